r"""A look at the bytes of a message, before it is read: can it match at all? Pure.

Reading costs many times more than looking. What is ruled out is no match for certain; of what is
not, `search.Searchable` decides. In plain ASCII in our own form every text stands as it is, but
for what JSON escapes, and `\n` before a word ends with a letter.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

from dlq.decode import UNKNOWN_SERVICE
from dlq.message import ORIGINAL_ROUTING_KEY_HEADER, SHORTSTR_BYTES
from dlq.payload import MAX_DEPTH, MAX_NODES
from dlq.query.phrases import phrase_of
from dlq.query.terms import AnyOf, AtPath, Contains, TextTerm
from dlq.query.words import MAX_WORD_CHARS

_Look = Callable[[bytes, bytes, Sequence[str]], bool]
"""Of the bytes, of the same in lower case, and of the texts that are not in them."""

_ESCAPE = rb"\\[nrtbf]"
_BETWEEN_WORDS = rb"(?:%b|[^a-z0-9_])+" % _ESCAPE
_GOES_ON = rb"[a-z0-9_]*"
_ENDS = rb"(?![a-z0-9_])"

_QUOTABLE = re.compile(r"[ !#-.0-\[\]-~]+")
"""JSON escapes nothing in it."""
_UNQUOTED = ("true", "false", "NaN", "Infinity")
_WORD_OF_A_NUMBER = re.compile(r"[0-9]+e?|0x[0-9a-f]*|infinity")
_SPACES = rb"(?:\s|\\[nrt])*"
_NUMBER_IN_OTHER_WORDS = re.compile(
    rb'(?:"%b:|[\[,])%b-?[0-9]+[.e]|[0-9]{3000}' % (_SPACES, _SPACES)
)
"""1e2 is 100.0, 4.290 is 4.29, 1e999 is Infinity, and thousands of digits are shown in hex."""

_ROUTED = re.compile(rb'\{"routing_key":"[^"\\]{1,%d}"' % SHORTSTR_BYTES)
_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"')
_BRACKET = re.compile(rb"[\[\]{}]")


class Glimpse:
    """What must stand in the bytes of a message for which all of `terms` hold. Those that are
    negated rule nothing out, nor do comparisons."""

    def __init__(self, terms: Iterable[TextTerm]) -> None:
        looks = (_looks(term) for term in terms if not term.negated)
        self._looks = [any_of for any_of in looks if any_of]

    def may_match(self, raw: bytes, named: Sequence[str]) -> bool:
        """False: it does not, unless a term has its id.

        Args:
            raw: envelope and body of a message in our form, that nothing newer has replaced.
            named: its title and its error_type, which may not be in there.
        """
        if not self._looks or not _is_as_it_reads(raw):
            return True
        plain = raw.lower()
        texts = (*named, UNKNOWN_SERVICE)
        return all(
            any(look(raw, plain, texts) for look in any_of) for any_of in self._looks
        ) or _is_deep(raw)


# --- the bytes ---------------------------------------------------------------------------


def _is_as_it_reads(raw: bytes) -> bool:
    """Whether no text can be another in the message than in the bytes: escaped, encoded, left
    out, shortened or made from others."""
    return (
        raw.isascii()
        and len(raw) <= MAX_NODES
        and b"\\u" not in raw
        and raw.find(b'"$', 0, raw.find(b"\n")) < 0  # the envelope's bytes, instants, decimals
        and _ROUTED.match(raw) is not None
        and ORIGINAL_ROUTING_KEY_HEADER.encode("ascii") not in raw
    )


def _is_deep(raw: bytes) -> bool:
    """Whether a text may be the inside of a deep payload as Python would write it."""
    if raw.count(b"[") + raw.count(b"{") <= MAX_DEPTH:
        return False
    envelope, _, body = raw.partition(b"\n")
    if envelope.count(b"[") + envelope.count(b"{") > MAX_DEPTH:  # its metadata is a string
        return True
    depth = 0
    for bracket in _BRACKET.findall(_STRING.sub(b"", body)):
        depth += 1 if bracket in b"[{" else -1
        if depth > MAX_DEPTH:
            return True
    return False


# --- the terms ---------------------------------------------------------------------------


def _looks(term: TextTerm) -> list[_Look]:
    """One of them must succeed; none: nothing is ruled out."""
    if isinstance(term, Contains):
        look = _phrase(term.phrase, is_start=term.is_start)
        return [look] if look else []
    if isinstance(term, AnyOf):
        return [_all_words(words) for words in term.needs()]
    if not isinstance(term, AtPath):
        return []
    looks = [_value(text, is_start=False) for text in term.values]
    looks += [_value(text, is_start=True) for text in term.starts]
    known = [look for look in looks if look]
    return known if len(known) == len(looks) else []


def _all_words(words: frozenset[str]) -> _Look:
    """Anywhere: of a field that was shortened the last word may be cut."""
    wanted = [word.encode("utf-8") for word in words]
    return lambda _, plain, __: all(word in plain for word in wanted)


def _value(text: str, *, is_start: bool) -> _Look | None:
    """A scalar, or the start of one. A string in quotes; those of metadata in a header, which
    is JSON in JSON, are escaped."""
    is_quoted = text[:1] not in "-0123456789" and not any(u.startswith(text) for u in _UNQUOTED)
    if not is_quoted or not _QUOTABLE.fullmatch(text):
        return _phrase(text, is_start=is_start)
    ending = b"" if is_start else rb'\\?"'
    pattern = re.compile(b'"' + re.escape(text.encode("ascii")) + ending)
    return lambda raw, _, __: pattern.search(raw) is not None


def _phrase(text: str, *, is_start: bool) -> _Look | None:
    phrase = phrase_of(text, is_start=is_start)
    if not phrase.words:
        return None
    pattern = _pattern(phrase.words, is_start=is_start)
    is_number = _may_be_a_number(phrase.words, is_start=is_start)

    def look(_: bytes, plain: bytes, named: Sequence[str]) -> bool:
        return (
            (pattern is not None and pattern.search(plain) is not None)
            or any(phrase.stands_in(name) for name in named)
            or (is_number and _NUMBER_IN_OTHER_WORDS.search(plain) is not None)
        )

    return look


def _pattern(words: Sequence[str], *, is_start: bool) -> re.Pattern[bytes] | None:
    """Of the words one after the other; None: they are in no ASCII. The parts of a UUID are
    taken for words."""
    if not all(word.isascii() for word in words):
        return None
    first, *others = [part.encode("ascii") for word in words for part in word.split("-")]
    # Behind the word, what is looked for first is a literal, which is much faster.
    begins = rb"%b(?:(?<![a-z0-9_]%b)|(?<=%b%b))" % (first, first, _ESCAPE, first)
    spelled = [begins + _rest(first), *(other + _rest(other) for other in others)]
    return re.compile(_BETWEEN_WORDS.join(spelled) + (b"" if is_start else _ENDS))


def _rest(word: bytes) -> bytes:
    return _GOES_ON if len(word) == MAX_WORD_CHARS else b""


def _may_be_a_number(words: Sequence[str], *, is_start: bool) -> bool:
    *whole, last = words
    may_end = _WORD_OF_A_NUMBER.fullmatch(last) or (is_start and "infinity".startswith(last))
    return bool(may_end) and all(_WORD_OF_A_NUMBER.fullmatch(word) for word in whole)
