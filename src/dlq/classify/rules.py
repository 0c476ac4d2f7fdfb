"""The categories of failure, and the names that the shipped rules give to codes.

A category says what an operator does about a failure, not where it was raised. Where two fit,
the earlier one wins: that is the order of `Category`. The rules themselves are data, in
`rules.toml`; `ruleset.py` reads them.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class Category(StrEnum):
    """What kind of failure, by what should be done about it."""

    RATE_LIMIT = "rate_limit"
    AUTH = "auth"
    TIMEOUT = "timeout"
    NETWORK = "network"
    NOT_FOUND = "not_found"
    SERVER_ERROR = "server_error"
    RESOURCE = "resource"
    INVALID_DATA = "invalid_data"
    BUG = "bug"
    MALFORMED = "malformed"
    UNKNOWN = "unknown"


CATEGORIES = tuple(Category)

LASTFM_NAMES: Mapping[int, str]
"""What Last.fm's error numbers are called; read with the rules on first use."""


def __getattr__(name: str) -> Mapping[int, str]:
    if name != "LASTFM_NAMES":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from dlq.classify.ruleset import shipped_rules  # it imports this module

    return shipped_rules().lastfm_names
