"""Reads a filter as people type it: terms separated by spaces, all of which must hold.

    filter := term*                   term   := ["-" | "not "] (named | free)
    named  := (NAME | path) op value  op     := ":" | "<" | "<=" | ">" | ">="
    path   := ROOT ("." key)+         key    := KEY | quoted
    value  := item ("," item)* | "*"  item   := (word | quoted) ["*"]
    free   := (word | quoted) ["*"]   quoted := '"' (any | '\\"' | '\\\\')* '"'

One pass, one character or one word at a time, no nesting: the time is linear in the length.
What looks like a slip (an unknown field, a stray operator, OR) is refused rather than searched
for as text, since a filter that quietly means something else chooses the wrong dead letters.
"""

from __future__ import annotations

from collections.abc import Iterator

from dlq.payload import clean_text
from dlq.query.errors import FilterError
from dlq.query.filter import Filter
from dlq.query.named import PATH_EXAMPLE, named_term
from dlq.query.paths import ROOTS
from dlq.query.scanner import Scanner
from dlq.query.terms import Contains, Term
from dlq.query.values import MAX_CHARS
from dlq.query.words import words_of


def parse(text: str) -> Filter:
    """Raises: FilterError: with the position of the character that it failed at."""
    text = clean_text(text)
    if len(text) > MAX_CHARS:
        raise FilterError(
            f"expected at most {MAX_CHARS:,} characters, got {len(text):,}.",
            text=text,
            position=MAX_CHARS,
        )
    return Filter(tuple(_terms(Scanner(text))))


def _terms(scanner: Scanner) -> Iterator[Term]:
    scanner.skip_spaces()
    while scanner.next():
        negated = _negation(scanner)
        if scanner.next() == '"':
            yield _phrase(scanner, negated)
        else:
            yield named_term(scanner, negated) or _word(scanner, negated)
        scanner.skip_spaces()


def _negation(scanner: Scanner) -> bool:
    if not _take_negation(scanner):
        return False
    start = scanner.at
    if scanner.at_space():
        scanner.fail("expected what is to be negated directly after it, as -state:parked.")
    if _take_negation(scanner):
        scanner.fail("expected a term, got a second negation.", start)
    return True


def _take_negation(scanner: Scanner) -> bool:
    if scanner.next() == "-":
        scanner.at += 1
        return True
    word = scanner.word()
    if word.casefold() != "not":
        return False
    scanner.at += len(word)
    scanner.skip_spaces()
    return True


# --- free text ---------------------------------------------------------------------------


def _phrase(scanner: Scanner, negated: bool) -> Contains:
    start, phrase = scanner.at, scanner.quoted()
    if not phrase:
        scanner.fail("expected a text between the quotes.", start)
    is_start = scanner.take_star()
    if not scanner.at_space():
        scanner.fail("expected a space after the closing quote.")
    return _contains(scanner, phrase, negated, is_start)


def _word(scanner: Scanner, negated: bool) -> Contains:
    start, word = scanner.at, scanner.word()
    _refuse_slips(scanner, word)
    scanner.at += len(word)
    phrase = word.removesuffix("*")
    if "*" in phrase:
        scanner.fail(
            "expected a * only at the end. Quoted, it is a character like others.",
            start + phrase.index("*"),
        )
    return _contains(scanner, phrase, negated, is_start=phrase != word)


def _refuse_slips(scanner: Scanner, word: str) -> None:
    quote_it = f'To search for the text itself, quote it: "{word[:40]}".'
    if word.casefold() in {"and", "or"}:
        scanner.fail(
            f"there is no {word.upper()}: all terms must hold, and a comma means any of, as "
            f"category:timeout,network. {quote_it}"
        )
    if word[0] in ":<>=!":
        scanner.fail(f"expected a field before {word[0]!r}, without spaces. {quote_it}")
    if word[0] in "()":
        scanner.fail(f"expected a term, got a parenthesis: there are none. {quote_it}")
    if '"' in word and word.partition(".")[0].casefold() in ROOTS:
        scanner.fail(
            f"expected a path and a value, as {PATH_EXAMPLE}:x. To search for the text itself, "
            "put all of it in quotes."
        )
    if '"' in word:
        scanner.fail("expected a space before the quote.", scanner.at + word.index('"'))


def _contains(scanner: Scanner, phrase: str, negated: bool, is_start: bool) -> Contains:
    if is_start and not words_of(phrase):
        scanner.fail("expected the start of a word before the *.", scanner.at - 1)
    return Contains(phrase, negated, is_start)
