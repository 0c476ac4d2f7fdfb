"""What an exception, or the text of one, tells about its cause; pure, never raises.

`Evidence` is the form in which both are weighed. Texts are read here (single facts of them in
`told.py`), exception objects in `raised.py`.
"""

from __future__ import annotations

import builtins
from dataclasses import dataclass, replace

from dlq.classify.told import MAX_TEXT_CHARS, classes_in_words, code_in_words, retry_after_in_words
from dlq.classify.tracebacks import Frame, Link, Section

MAX_EXCEPTIONS = 24
MAX_FRAMES = 60


@dataclass(frozen=True, slots=True)
class Evidence:
    """One exception and, through `inner` and `members`, those behind it."""

    classes: tuple[str, ...] = ()  # qualified names, most derived first
    named: tuple[str, ...] = ()  # classes and error codes that the text itself names
    text: str = ""
    status: int | None = None  # HTTP, 400 to 599
    body: str = ""  # of the HTTP answer, if it was read
    retry_after_s: float | None = None
    is_quota_spent: bool = False  # a header said that no request is left
    code: tuple[str, str] | None = None  # ("errno", "ECONNREFUSED"), ("sqlstate", "40001") …
    url: str = ""
    frames: tuple[Frame, ...] = ()  # innermost first
    inner: Evidence | None = None
    link: Link = Link.NONE  # to inner
    members: tuple[Evidence, ...] = ()  # of an exception group

    def all(self) -> list[Evidence]:
        """This one and everything behind it, outermost first."""
        found = [self]
        for other in (*self.members, *((self.inner,) if self.inner else ())):
            found.extend(other.all())
        return found


def read_sections(sections: list[Section]) -> Evidence | None:
    """The exceptions of a parsed traceback; None if it has none.

    Of a chain without end the root and the last are kept: recursion must stay bounded.
    """
    if len(sections) > MAX_EXCEPTIONS:
        sections = sections[: MAX_EXCEPTIONS // 2] + sections[-MAX_EXCEPTIONS // 2 :]
    outermost: Evidence | None = None
    members: list[Evidence] = []
    for section in sections:
        inner = (members[-1] if members else None) if section.is_member else outermost
        linked = inner if section.link is not Link.NONE else None
        read = read_text(
            section.message,
            error_class=section.error_class,
            frames=tuple(reversed(section.frames[-MAX_FRAMES:])),
            inner=linked,
            link=section.link,
        )
        if not section.is_member:
            outermost = read
        elif linked is not None:
            members[-1] = read
        elif len(members) < MAX_EXCEPTIONS:
            members.append(read)
    if outermost is None or not members:
        return outermost
    return replace(outermost, members=tuple(members))


def read_text(
    text: str,
    *,
    error_class: str | None = None,
    status: int | None = None,
    frames: tuple[Frame, ...] = (),
    inner: Evidence | None = None,
    link: Link = Link.NONE,
) -> Evidence:
    """What a message tells by itself."""
    return Evidence(
        classes=_class_names_of_word(error_class) if error_class else (),
        named=classes_in_words(text),
        text=text[:MAX_TEXT_CHARS],
        status=status if status is not None and 400 <= status <= 599 else None,
        retry_after_s=retry_after_in_words(text),
        code=code_in_words(text),
        frames=frames,
        inner=inner,
        link=link if inner is not None else Link.NONE,
    )


# --- classes -----------------------------------------------------------------------------


def class_names(error_type: type[BaseException]) -> tuple[str, ...]:
    """Qualified names along the MRO; builtins without their module; less the common roots."""
    names: list[str] = []
    for cls in error_type.__mro__[:12]:
        if cls in (BaseException, object) or (cls is Exception and names):
            continue
        is_builtin = cls.__module__ == "builtins"
        names.append(cls.__qualname__ if is_builtin else f"{cls.__module__}.{cls.__qualname__}")
    return tuple(names)


def _class_names_of_word(word: str) -> tuple[str, ...]:
    """The parents of Python's own exceptions are known; of others there is but the name."""
    known = vars(builtins).get(word.removeprefix("builtins."))
    if isinstance(known, type) and issubclass(known, BaseException):
        return class_names(known)
    return (word,)
