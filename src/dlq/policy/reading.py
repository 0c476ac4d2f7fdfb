"""A policy file → checked `Policies`, or one error that names every line to mend.

The only module of the package that opens a file.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import resources
from pathlib import Path

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from dlq.policy.form import RULE_FORMS, Form, Match, PolicyFile
from dlq.policy.policies import Policies
from dlq.policy.problems import (
    Place,
    PolicyError,
    Problem,
    did_you_mean,
    policy_error,
    quoted,
)
from dlq.policy.source import MAX_BYTES, Plain, Source, Steps, check_size, read_source

DEFAULTS = "defaults.yml"


def load_policies(path: Path | None = None) -> Policies:
    """Read a policy file; None: the defaults that are shipped.

    Raises:
        PolicyError: it cannot be read or used; the text names file and lines.
    """
    if path is None:
        return read_policies(default_text(), DEFAULTS)
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise PolicyError(
            f"{path}: expected a policy file that can be read, got: {error.strerror or error}. "
            "Mend the path or its permissions."
        ) from None
    check_size(len(content), str(path))
    return read_policies(_decoded(content, str(path)), str(path))


def default_text() -> str:
    """The shipped policy file, with its comments."""
    return resources.files(__package__).joinpath(DEFAULTS).read_text("utf-8")


def read_policies(text: str, name: str = "policies.yml") -> Policies:
    """Check the text of a policy file.

    Args:
        name: of the file, for the error.
    Raises:
        PolicyError: one line for each problem, at most 10.
    """
    read = read_source(text, name)
    if read.data is None:
        raise policy_error(name, [Problem(Place(1, 1), _EMPTY)])
    try:
        form = PolicyFile.model_validate(read.data)
    except ValidationError as error:
        problems = [_problem(told, read) for told in error.errors() if told["type"] != _FOLLOWS]
        raise policy_error(name, problems) from None
    if problems := [*_same_names(form, read), *_unreachable(form, read)]:
        raise policy_error(name, problems)
    return Policies(form.rules, form.timezone)


_EMPTY = (
    'expected "version: 1" and "rules:", got an empty file. '
    "`dlq policy show --defaults` prints one."
)


def _decoded(content: bytes, name: str) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start]
        place = Place(before.count(b"\n") + 1, error.start - before.rfind(b"\n"))
        text = f"expected UTF-8, got the byte 0x{content[error.start]:02X}. Save it as UTF-8."
        raise policy_error(name, [Problem(place, text)]) from None


# --- what pydantic found, in our words ---------------------------------------------------

_FOLLOWS = "default_factory_not_called"
"""Told beside another problem of the same rule; there is nothing to mend."""

_SHAPES = {
    "model_type": "a mapping of keys",
    "model_attributes_type": "a mapping of keys",
    "dict_type": "a mapping of keys",
    "tuple_type": "a list",
    "frozen_set_type": "a value or a list of values",
}


def _problem(told: ErrorDetails, read: Source) -> Problem:
    path = _path_in_file(told["loc"], read.data)
    if told["type"] == "union_tag_invalid":
        path = (*path, "retry")
    place = read.place(path, of_key=told["type"] == "extra_forbidden")
    return Problem(place, f"{_whereabouts(path, read.data)}{_said(told, path)}")


def _path_in_file(loc: tuple[int | str, ...], data: Plain) -> Steps:
    """Without what pydantic adds to it: the kind of a rule, the 0 of a value that is no list."""
    path: Steps = ()
    for step in loc:
        match data, step:
            case dict(), str() if step in data:
                data = data[step]
            case list(), int() if step < len(data):
                data = data[step]
            case _:
                continue
        path = (*path, step)
    return path


def _whereabouts(path: Steps, data: Plain) -> str:
    """`rule "rate limits", base: `; nothing at the top of the file."""
    words = [str(step) for step in path if isinstance(step, str)]
    rules = data.get("rules") if isinstance(data, dict) else None
    if len(path) > 1 and path[0] == "rules" and isinstance(path[1], int):
        rule = rules[path[1]] if isinstance(rules, list) else None
        name = rule.get("name") if isinstance(rule, dict) else None
        words[0] = f"rule {quoted(name) if isinstance(name, str) else path[1] + 1}"
    return f"{', '.join(words)}: " if words else ""


def _said(told: ErrorDetails, path: Steps) -> str:
    kind, value = told["type"], told["input"]
    if kind == "value_error":
        return str(told["ctx"]["error"])
    if kind == "extra_forbidden":
        known = _known_keys(told["loc"])
        hint = did_you_mean(str(path[-1]), known)
        return f"unknown key; expected one of {', '.join(known)}.{hint} Correct or remove it."
    if kind == "missing":
        return f'expected the key "{told["loc"][-1]}", which is missing. Add it.'
    if kind.startswith("union_tag"):
        return _retry_said(value)
    if kind == "too_long":
        return f"expected at most {told['ctx']['max_length']} entries, got more. Shorten the list."
    return f"expected {_SHAPES.get(kind, told['msg'])}, got {quoted(value)}."


def _known_keys(loc: tuple[int | str, ...]) -> list[str]:
    """Of the mapping in which a key is unknown: `loc` is that of the key."""
    form: type[Form] = PolicyFile
    if "match" in loc[:-1]:
        form = Match
    elif len(loc) > 2:
        form = RULE_FORMS[str(loc[2])]
    return [field.alias or name for name, field in form.model_fields.items()]


def _retry_said(rule: object) -> str:
    kinds = ", ".join(RULE_FORMS)
    if not isinstance(rule, dict) or "retry" not in rule:
        return f'expected the key "retry" (one of {kinds}), which is missing. Add it.'
    retry = rule["retry"]
    hint = did_you_mean(retry, RULE_FORMS) if isinstance(retry, str) else ""
    return f"expected one of {kinds}, got {quoted(retry)}.{hint}"


# --- what only the whole file shows ------------------------------------------------------


def _same_names(form: PolicyFile, read: Source) -> Iterator[Problem]:
    first: dict[str, int] = {}
    for index, rule in enumerate(form.rules):
        place = read.place(("rules", index, "name"))
        if rule.name in first:
            text = f"is the name of the rule on line {first[rule.name]} too. Rename one of them."
            yield Problem(place, f"rule {quoted(rule.name)}: {text}")
        first.setdefault(rule.name, place.line)


def _unreachable(form: PolicyFile, read: Source) -> Iterator[Problem]:
    for index, rule in enumerate(form.rules):
        for earlier in form.rules[:index]:
            if earlier.match.includes(rule.match):
                text = f"is never reached: {quoted(earlier.name)} above takes all that it matches."
                yield Problem(
                    read.place(("rules", index)),
                    f"rule {quoted(rule.name)}: {text} Move it up, or remove it.",
                )
                break
