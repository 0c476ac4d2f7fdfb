"""Whatever a pipeline puts into an item becomes JSON."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import json
import math
import time
import uuid
from collections import OrderedDict, UserList, deque, namedtuple
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pydantic
import pytest
import scrapy
from hypothesis import given
from hypothesis import strategies as st

from dlq import payload
from dlq.payload import (
    LEFT_OUT,
    MAX_DEPTH,
    as_object,
    clean_text,
    from_json,
    iso_z,
    representable,
)


class _Mood(enum.Enum):
    DARK = "dark"


class _Number(enum.IntEnum):
    ONE = 1


@dataclasses.dataclass
class _Track:
    title: str
    played_at: dt.datetime


class _Model(pydantic.BaseModel):
    bpm: float


class _Item(scrapy.Item):
    artist = scrapy.Field()


_Pair = namedtuple("_Pair", "left right")


class _Unprintable:
    def __repr__(self) -> str:
        raise RuntimeError("no")


class _BrokenMapping(dict[str, Any]):
    def items(self) -> Any:
        raise RuntimeError("no")


AT = dt.datetime(2025, 10, 10, 12, 30, 45, 123456, tzinfo=dt.timezone(dt.timedelta(hours=2)))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        (True, True),
        (1.5, 1.5),
        ("Beyoncé", "Beyoncé"),
        (AT, "2025-10-10T10:30:45.123456Z"),
        (AT.date(), "2025-10-10"),
        (dt.time(1, 2), "01:02:00"),
        (dt.timedelta(minutes=3, seconds=30), 210.0),
        (Decimal("128.00"), "128.00"),
        (b"text", "text"),
        (b"\xff\x00", {"$base64": "/wA="}),
        (bytearray(b"x"), "x"),
        (memoryview(b"x"), "x"),
        ({"b", "a"}, ["a", "b"]),
        (frozenset({2, 1}), [1, 2]),
        ((1, (2,)), [1, [2]]),
        (_Mood.DARK, "dark"),
        (_Number.ONE, 1),
        (_Track("Strobe", AT), {"title": "Strobe", "played_at": "2025-10-10T10:30:45.123456Z"}),
        (_Model(bpm=128), {"bpm": 128.0}),
        (_Item(artist="Deadmau5"), {"artist": "Deadmau5"}),
        (_Pair(1, 2), [1, 2]),
        (OrderedDict(a=1), {"a": 1}),
        ({1: "a", None: "b", (1, 2): "c"}, {"1": "a", "None": "b", "(1, 2)": "c"}),
        (math.nan, "NaN"),
        (math.inf, "Infinity"),
        (-math.inf, "-Infinity"),
        (2**64 - 1, 2**64 - 1),
        (2**64, str(2**64)),
        ("a\x00b\ud800", "a\ufffdb\ufffd\ufffd\ufffd"),
        (Path("/a/b"), "/a/b"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (_Unprintable(), "<unprintable _Unprintable>"),
        (_BrokenMapping(), "{}"),
        (_Model, f"<class '{__name__}._Model'>"),
    ],
)
def test_each_value_becomes_its_nearest_readable_form(value: Any, expected: Any) -> None:
    assert representable(value) == expected


def test_a_huge_integer_does_not_break_pythons_limit_of_digits() -> None:
    assert representable(10**6000).startswith("0x")


def test_a_cycle_is_named_and_a_value_used_twice_is_not_one() -> None:
    cycle: dict[str, Any] = {"n": 1}
    cycle["self"] = [cycle]
    assert representable(cycle) == {"n": 1, "self": ["<cycle>"]}
    shared = [1]
    assert representable([shared, shared]) == [[1], [1]]


def test_deep_nesting_ends_in_text() -> None:
    value: Any = "core"
    for _ in range(MAX_DEPTH * 50):
        value = [value]
    text = json.dumps(representable(value))
    assert f"nested deeper than {MAX_DEPTH}" in text
    assert text.count("[") < MAX_DEPTH * 50


def test_other_values_become_an_object_too() -> None:
    assert as_object({"a": 1}) == {"a": 1}
    assert as_object([1]) == {"value": [1]}
    assert as_object(None) == {"value": None}


def test_an_instant_is_written_in_utc() -> None:
    assert iso_z(AT) == "2025-10-10T10:30:45.123456Z"
    assert iso_z(dt.datetime(2025, 1, 1)) == "2025-01-01T00:00:00Z"  # noqa: DTZ001


ANYTHING = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(st.characters()),
        st.binary(),
        st.decimals(),
        st.datetimes(timezones=st.none() | st.just(dt.UTC)),
        st.timedeltas(),
        st.complex_numbers(),
        st.sets(st.integers()),
    ),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner),
    max_leaves=15,
)


@given(ANYTHING)
def test_everything_is_json_in_utf8_afterwards(value: Any) -> None:
    converted = representable(value)
    encoded = json.dumps(converted, ensure_ascii=False, allow_nan=False).encode("utf-8")
    assert json.loads(encoded) == converted
    assert representable(converted) == converted


@given(st.text(st.characters()))
def test_clean_text_is_utf8_without_nul(text: str) -> None:
    clean = clean_text(text)
    clean.encode("utf-8")
    assert "\x00" not in clean


def test_a_big_item_is_converted_in_bounded_time() -> None:
    started = time.perf_counter()
    representable([{"title": f"track {n}", "tags": ["a", "b"]} for n in range(20_000)])
    assert time.perf_counter() - started < 5.0


def test_shared_references_are_written_out_within_a_bound() -> None:
    item: Any = {"a": 1}
    for _ in range(30):  # a thousand million values, of thirty dicts
        item = {"left": item, "right": item}
    assert LEFT_OUT in json.dumps(representable(item))


def test_sequences_of_any_kind_are_lists() -> None:
    made = representable([deque([{"a": 1}]), range(3), {"k": 1}.values(), UserList([1])])
    assert made == [[{"a": 1}], [0, 1, 2], [1], [1]]


# --- JSON text ---------------------------------------------------------------------------


def _outcome(read: Callable[[str], Any], text: str) -> str:
    """What came of it; as `repr`, which tells 1 from 1.0 and from True."""
    try:
        return repr(read(text))
    except (ValueError, RecursionError) as error:
        return type(error).__name__


def _read_and_walked(text: str) -> Any:
    return representable(json.loads(text))


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats()
    | st.text(st.characters())
    | st.text('\x00\ufffd\ud83d\ude00é\\"[{'),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters() | st.sampled_from("\x00\ufffda")), inner)
    ),
    max_leaves=20,
)
FRAGMENTS = st.lists(
    st.sampled_from(
        [
            "[",
            "]",
            "{",
            "}",
            '"',
            ":",
            ",",
            "1",
            "-1",
            ".5",
            "e999",
            "9" * 25,
            "NaN",
            "-Infinity",
            "null",
            "\\",
            "\\u0000",
            "\\ud800",
            "\\uDC00",
            "\\u00e9",
            "\x00",
            "\ud800",
            "é",
            "😀",
            " ",
        ]
    ),
    max_size=12,
).map("".join)


@given(st.builds(json.dumps, JSON_VALUES, ensure_ascii=st.booleans()) | FRAGMENTS)
def test_json_text_is_read_as_if_all_its_values_were_walked(text: str) -> None:
    assert _outcome(from_json, text) == _outcome(_read_and_walked, text)
    assert _outcome(from_json, f'["{text}"]') == _outcome(_read_and_walked, f'["{text}"]')


@pytest.mark.parametrize(
    "text",
    [
        *("[" * depth + "1" + "]" * depth for depth in range(MAX_DEPTH - 2, MAX_DEPTH + 3)),
        *('{"a":' * depth + "1" + "}" * depth for depth in range(MAX_DEPTH - 2, MAX_DEPTH + 3)),
        "[" + '["]]]]",' * (MAX_DEPTH + 2) + "1" + "]" * (MAX_DEPTH + 3),
        "[" * 100_000,
        r'{"a\u0000": 1, "a\ufffd": 2, "a\u0000": 3}',
        r'["\\u0000", "\ud83d\ude00", "\ude00\ud83d", "\uD800"]',
        "[1e999, -1e999, NaN, Infinity, -Infinity, -0.0, -0, 1E5]",
        f"[{2**64 - 1}, {2**64}, {-(2**63)}, {-(2**63) - 1}, {10**4000}]",
        "1" * 5000,
        "",
        "\ufeff{}",
    ],
)
def test_hostile_json_text_is_read_the_same_way(text: str) -> None:
    assert _outcome(from_json, text) == _outcome(_read_and_walked, text)


def test_json_text_of_very_many_values_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(payload, "MAX_NODES", 20)
    for count in range(1, 30):
        text = json.dumps([0] * count, separators=(",", ":"))
        assert from_json(text) == _read_and_walked(text)
    assert from_json(text)[-1] == LEFT_OUT


def test_most_json_text_is_not_walked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(payload, "representable", lambda _: pytest.fail("walked"))
    text = '{"artist": "Sigur Rós", "title": "Ára b\\u00e1tur", "bpm": 1.5, "n": [1, null]}'
    assert from_json(text) == json.loads(text)
