"""A look at the bytes rules out much, and never what matches."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlq.decode import decode
from dlq.ledger.packing import raw_of
from dlq.message import DLQMessage, Form, WireMessage, encode
from dlq.query import AnyOf, AtPath, Contains, Glimpse, Searchable, TextTerm, parse
from dlq.query.paths import scalar_text
from tests.support.ledger import a_message

UUID = "550e8400-e29b-41d4-a716-446655440000"
TITLE = f"Read timed out in enrich_track {UUID}"


def may_match(wire: WireMessage, *terms: TextTerm) -> bool:
    named = (TITLE, decode(wire).message.error_type)
    return Glimpse(terms).may_match(raw_of(wire), named)


# --- what matches ------------------------------------------------------------------------

WORDS = [
    *("sigur", "Sigur Ros", "ros", "n", "new", "ny", "tab", "C:\\new\\tab", "AC/DC", "a\\ny"),
    *('say "hi"', "true", "unknown", "12", "100", "4.29", "x" * 40, "y" * 45, UUID, UUID[:13]),
]
BETWEEN = [
    "\n",
    "\t",
    "\r\n",
    " ",
    " ",
    "  ",
    "-",
    "_",
    "",
    "/",
    "\\",
    '"',
    ", ",
    "é",
    "\x00",
    "日",
]
NUMBERS = [
    *("1e2", "4.290", "1.50", "-0", "-0.0", "1E5", "2.5e-7", "1e22", "1e999", "-1E999", "NaN"),
    *("-Infinity", "7", "127.5", "12345678901234567890123", "9" * 3500, "0.10", "100"),
]
TEXTS = st.builds(
    lambda words, between: "".join(w + b for w, b in zip(words, between, strict=False)),
    st.lists(st.sampled_from(WORDS), min_size=1, max_size=4),
    st.lists(st.sampled_from([*BETWEEN[:12], *BETWEEN[:12], *BETWEEN]), min_size=4, max_size=4),
)
PLACEHOLDER = "@number {}@"
LEAVES = (
    TEXTS
    | st.sampled_from(WORDS)
    | st.sampled_from(range(len(NUMBERS))).map(PLACEHOLDER.format)
    | st.sampled_from([True, False, None, 429, 0.5])
)
OBJECTS = st.dictionaries(
    st.sampled_from(["a", "b", "artist_name"]),
    st.recursive(
        LEAVES,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner),
        max_leaves=4,
    ),
    max_size=3,
)
SPELLINGS = st.fixed_dictionaries(
    {
        "ensure_ascii": st.booleans(),
        "indent": st.sampled_from([None, None, 1]),
        "separators": st.sampled_from([(",", ":"), (", ", ": "), (" , ", " : ")]),
    }
)


def spelled(value: Any, spelling: dict[str, Any], *, escapes_slashes: bool) -> str:
    """JSON as another program may write it."""
    text = json.dumps(value, **spelling)
    for at, number in enumerate(NUMBERS):
        text = text.replace(f'"{PLACEHOLDER.format(at)}"', number)
    return text.replace("/", "\\/") if escapes_slashes else text


def deep(value: Any, depth: int) -> Any:
    for _ in range(depth):
        value = [value]
    return value


@st.composite
def wires(draw: st.DrawFn) -> WireMessage:
    """In our form, with every field in the body, in the headers, in both or in none."""

    def json_of(value: Any) -> str:
        return spelled(value, draw(SPELLINGS), escapes_slashes=draw(st.booleans()))

    def some(values: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in values.items() if draw(st.booleans())}

    text = TEXTS.map(lambda text: text[:200])
    body = {"payload": draw(OBJECTS), "error_type": draw(text)} | some(
        {
            "error_message": draw(TEXTS),
            "stack_trace": draw(TEXTS),
            "correlation_id": draw(TEXTS),
            "routing_key": draw(text),
            "source_service": draw(TEXTS),
            "error_class": draw(TEXTS),
            "metadata": draw(OBJECTS),
        }
    )
    if draw(st.integers(0, 9)) == 0:
        body["payload"]["deep"] = deep(draw(LEAVES), draw(st.sampled_from([50, 57, 58, 70])))
    metadata: Any = draw(OBJECTS)
    if draw(st.integers(0, 9)) == 0:
        metadata["deep"] = deep(draw(TEXTS), 70)
    headers = some(
        {
            "x-error-message": draw(TEXTS),
            "x-stack-trace": draw(TEXTS | TEXTS.map(str.encode)),
            "x-source-service": draw(TEXTS),
            "x-error-type": draw(TEXTS),
            "x-metadata": draw(st.sampled_from([metadata, json_of(metadata), "not {JSON"])),
            **draw(
                st.sampled_from(
                    [{}, {}, {"x-replay-id": "r", "x-original-routing-key": draw(TEXTS) * 20}]
                )
            ),
        }
    )
    return WireMessage(
        body=json_of(body).encode("utf-8", "surrogatepass"),
        routing_key=draw(st.sampled_from(["spotify.enrichment.failed"] * 3 + ["", "z" * 300])),
        headers=headers,
        properties=some({"correlation_id": draw(TEXTS)}),
    )


def terms_of(searched: Searchable, begin: int, end: int) -> Iterator[TextTerm]:
    """Terms cut from its texts."""
    message = searched.message
    for text in searched._texts():
        for phrase in (text, text[begin:end], text[begin : begin + 3], *text.split()):
            if phrase:
                yield Contains(phrase)
                yield Contains(phrase, is_start=True)
    for field in ("correlation_id", "routing_key"):
        if text := getattr(message, field):
            yield AnyOf(field, values=("else", text))
            yield AnyOf(field, starts=(text[:end],))
    for steps, value in leaves(("payload",), message.payload):
        yield from terms_at(steps, value, end)
    for steps, value in leaves(("metadata",), message.metadata):
        yield from terms_at(steps, value, end)


def terms_at(steps: tuple[str, ...], value: Any, end: int) -> Iterator[TextTerm]:
    if (text := scalar_text(value)) is not None:
        yield AtPath(steps, values=("else", text))
        yield AtPath(steps, starts=(text[:end],))
        yield AtPath(steps, values=("else",), starts=(text[:1],))


def leaves(steps: tuple[str, ...], value: Any) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves((*steps, key), inner)
    elif isinstance(value, list):
        for at, inner in enumerate(value):
            yield from leaves((*steps, str(at)), inner)
    else:
        yield steps, value


@given(wires(), st.integers(0, 30), st.integers(1, 60))
def test_what_matches_is_never_ruled_out(wire: WireMessage, begin: int, end: int) -> None:
    decoded = decode(wire)
    assert decoded.form is Form.CURRENT
    searched = Searchable.of(decoded.message, TITLE)
    raw, named = raw_of(wire), (TITLE, decoded.message.error_type)
    for term in set(terms_of(searched, begin, end)):
        if searched.matches(term):
            assert Glimpse([term]).may_match(raw, named), term


# --- what does not -----------------------------------------------------------------------

MESSAGE = a_message(
    "m-1",
    error_message="429 Too\nMany requests",
    payload={"artist": "Sigur Ros", "bpm": 127, "tags": [{"n": tag} for tag in range(100)]},
)


@pytest.mark.parametrize(
    "text",
    [
        *('"many too"', '"too requests"', "mag*", '"ros sigur"', "sigu", "igur", "428", "any"),
        *('payload.artist:"sigur ros"', "payload.artist:Sigur", "payload.artist:Ros*"),
        *(
            "payload.bpm:1270",
            "payload.bpm:1280,Ros",
            "routing_key:deezer",
            "日",
            '"request timed"',
        ),
        *("ros -sigur many mag*", "metadata.spider:mixes", "metadata.spider:ixesdb*"),
    ],
)
def test_much_is_ruled_out(text: str) -> None:
    assert not may_match(encode(MESSAGE), *parse(text).text_terms)


@pytest.mark.parametrize(
    "text",
    [
        *('"too many"', "ros", "-ros", '"timed out"', "spotify", "payload.artist:x,Sig*"),
        *("payload.bpm>200", "payload.nope:*", '"!!!"', "metadata.spider:mixesdb", "-unknown"),
    ],
)
def test_what_the_bytes_cannot_tell_may_match(text: str) -> None:
    assert may_match(encode(MESSAGE), *parse(text).text_terms)


def wire_of(message: DLQMessage, **changes: Any) -> WireMessage:
    body = message.model_dump(mode="json") | changes
    return WireMessage(json.dumps(body).encode("ascii"), "spotify.enrichment.failed")


@pytest.mark.parametrize(
    ("wire", "text"),
    [
        (wire_of(MESSAGE, payload={"x": 1e2}), "100"),
        (wire_of(MESSAGE, source_service=None), "unknown"),
        (wire_of(MESSAGE, error_type="Some Body"), "some_body"),
        (wire_of(MESSAGE, payload={"x": deep("a" * 3000, 70)}), '"nested deeper than 60"'),
        (WireMessage(b'{"payload":{"x":1e2},"error_message":""}', "k"), "payload.x:100.0"),
        (WireMessage(b'{"payload":{"x":1e999},"error_message":""}', "k"), "payload.x:Inf*"),
        (WireMessage(b'{"payload":{},"error_message":""}', ""), "general.enrichment"),
        (WireMessage(b'{"payload":{},"error_message":""}', "z" * 260), "z" * 40),
        (
            WireMessage(b'{"payload":{},"error_type":""}', "k", {"x-error-message": b"bytes"}),
            "bytes",
        ),
        (WireMessage(b'{"payload":{"x":"A\\/B"},"error_type":""}', "k"), "payload.x:A/B"),
        (WireMessage(b'{"payload":{"x":"\\u0041"},"error_type":""}', "k"), "payload.x:A"),
        (WireMessage('{"payload":{"x":"Ä"},"error_type":""}'.encode(), "k"), "payload.x:Ä"),
    ],
)
def test_texts_that_are_others_in_the_bytes_are_found(wire: WireMessage, text: str) -> None:
    message = decode(wire).message
    [term] = parse(text).text_terms
    assert Searchable.of(message).matches(term)
    assert may_match(wire, term)
