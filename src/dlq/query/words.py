"""The words of a text: the one way in which texts are indexed and searched; pure.

A word is a run of letters, digits and underscores, in lower case and without accents. A UUID
is one word, and so is each ideograph, kana or hangul syllable, since those scripts put no
spaces between words.
"""

from __future__ import annotations

import re
import unicodedata

MAX_WORD_CHARS = 40
"""What a longer word has beyond is not looked at: a SHA-1 in hex fits, base64 does not."""

_NO_ACCENTS = frozenset({0, 7, 8, 9})
"""Combining classes of what is no accent: starters, nukta, kana voicing, virama."""
_LAST_SIMPLE = "\u08ff"
"""Behind it are scripts in which what follows a letter can make another letter of it."""

_UUID = r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}"
_DASHES_IN_A_UUID = 4
_ALONE = (
    r"\u3005-\u3007\u3041-\u3096\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff\u3105-\u312f\u31f0-\u31ff"
    r"\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3\uf900-\ufaff\U00020000-\U000323af"
)
_ASCII_WORD = re.compile(r"[a-z0-9_]+")
_ASCII_WORD_OR_UUID = re.compile(rf"{_UUID}(?!\w)|[a-z0-9_]+", re.ASCII)
_ANY_WORD = re.compile(rf"{_UUID}(?![^\W{_ALONE}])|[{_ALONE}]|[^\W{_ALONE}]+")
_UP_TO_A_SEPARATOR = re.compile(r".*[^\w\x80-\U0010ffff-]", re.ASCII | re.DOTALL)


def fold(text: str) -> str:
    """Casefolded, in compatibility form, without accents: `Größe` is `grosse`, `Ünï` is `uni`.

    Source: Unicode Standard Annex 15; The Unicode Standard, 3.13, default case folding.
    """
    if text.isascii():
        return text.lower()
    apart = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    accents = {c for c in set(apart) if unicodedata.combining(c) not in _NO_ACCENTS}
    if accents:
        apart = re.sub(f"[{''.join(sorted(accents))}]", "", apart)
    return unicodedata.normalize("NFC", apart)


def words_of(text: str) -> list[str]:
    """In order, each at most `MAX_WORD_CHARS` characters. Time: linear."""
    return words_of_folded(fold(text))


def words_of_folded(folded: str) -> list[str]:
    """As `words_of`, of what `fold` gave. Each is a part of the text as it stands there."""
    if not folded.isascii():
        word = _ANY_WORD
    elif folded.count("-") < _DASHES_IN_A_UUID:
        word = _ASCII_WORD
    else:
        word = _ASCII_WORD_OR_UUID
    return [found[:MAX_WORD_CHARS] for found in word.findall(folded)]


def begun(text: str) -> tuple[frozenset[str], str | None]:
    """What is known of the words of every text that begins with `text`.

    Returns: words that it has, and how one more of its words begins. Behind the last separator
    nothing is whole: the word may go on, `550e8400-e29b` may become a UUID, and a UUID may turn
    out to be none.
    """
    folded = fold(text)
    whole = _UP_TO_A_SEPARATOR.match(folded)
    end = whole.end() if whole else 0
    rest = words_of_folded(folded[end:])
    start = rest[0].partition("-")[0] if rest and rest[0][-1] <= _LAST_SIMPLE else None
    return frozenset(words_of_folded(folded[:end])), start
