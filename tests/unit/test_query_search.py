"""What is searched of a dead letter, what matches, and that the index may be trusted."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlq.message import DLQMessage
from dlq.query import (
    AnyOf,
    AtPath,
    Contains,
    Searchable,
    TextTerm,
    parse,
    trace_words,
    words_of,
)
from dlq.query import search as search_module
from tests.support.ledger import a_message

UUID = "550e8400-e29b-41d4-a716-446655440000"
MESSAGE = a_message(
    "m-1",
    correlation_id=f"req-{UUID}",
    error_class="requests.exceptions.HTTPError",
    error_message="Rate limit: 429 Too Many Requests (100% sure!!!)",
    stack_trace='Traceback\n  File "/app/scrapers/mixes.py", line 7, in fetch_page\n',
    payload={
        "artist_name": "Sigur Rós",
        "track": {"id": 7, "bpm": 127.5, "live": True, "key": None},
        "tags": ["Post-Rock", {"n": "12"}],
        "release date": "1999-06-12",
        "big": 10**400,
    },
    metadata={"spider": "mixesdb", "release": "2026.11.1", "empty": ""},
)


def found(text: str, message: DLQMessage = MESSAGE, title: str = "HTTPError in enrich") -> bool:
    """Whether all terms hold, as the ledger decides it."""
    searched = Searchable.of(message, title)
    return all(searched.matches(term) != term.negated for term in parse(text).text_terms)


# --- free text ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        *("429", "LIMIT", "ros", "RÓS", "mixesdb", "true", "httperror", "requests", "fetch_page"),
        *(
            "enrich",
            "m-1",
            "-m",
            "-M-1",
            "spotify",
            "api-enrichment-pipeline",
            "post-rock",
            "127.5",
            '"limit:429"',
        ),
        *(UUID, UUID.upper(), "550e8400*", "550e8400-*", '"req 550e8400-e29b-4"*', "1999-06"),
        *('"too many requests"', '"Too, many... REQUESTS"', '"requests 100 sure"', '"many req"*'),
        *('"429 Too"', "enri*", "mix*", "429*", '"!!!"', "%", '"% sure"', '"/app/scrapers/"'),
        *("-imit", "-any", '-"many too"', '-"429 Requests"', "-550e8400", "-fetch", "-e29b*"),
        *('-"too many requests sigur"', '-"any requests"*', '-"$$$"', "-artist_name", "-null"),
        *("-payload", "-spider", '-"lim!"*', '"limit!"*'),
    ],
)
def test_free_text_is_found_by_whole_words_and_phrases(text: str) -> None:
    assert found(text)


def test_a_phrase_does_not_reach_from_one_text_into_the_next() -> None:
    assert found("enrich requests")
    assert not found('"enrich requests"')
    assert not found('"httperror requests"', title="HTTPError")


def test_what_is_not_there_is_not_found() -> None:
    bare = a_message("m", correlation_id=None, error_class=None, stack_trace=None, metadata={})
    assert found("deadmau5 -none -traceback -mixesdb", bare)
    assert found("-title", bare, title="")


# --- fields and paths --------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        *('payload.artist_name:"Sigur Rós"', "payload.artist_name:x,Sig*", "payload.track.id:7"),
        *("-payload.artist_name:sigur*", '-payload.artist_name:"sigur rós"', "-payload.nope:*"),
        *("payload.track.live:true", "payload.track.bpm:127.5", "payload.tags.0:Post-Rock"),
        *("payload.tags.1.n:12", '-payload.tags:"Post-Rock"', "-payload.tags.2:*"),
        *('payload."release date":1999*', "metadata.spider:mixesdb", "release:2026.11.*"),
        *("payload.track:*", "payload.tags:*", "metadata.empty:*", 'metadata.empty:""'),
        *("-payload.track.key:*", '-payload.track.key:""', "-payload.track:7", "-payload.Track:*"),
        *("payload.track.bpm>127", "payload.track.bpm<=127.5", "payload.tags.1.n>=12"),
        *("payload.big>1e300", "-payload.track.live>0", "-payload.artist_name>0"),
        *("-payload.track.key<1", "-payload.track>0", "-payload.nope<1", "-payload.track.id>7"),
        *(f"correlation_id:req-{UUID}", "correlation_id:req-550e8400-e2*", "-correlation_id:req"),
        *("routing_key:spotify.enrichment.failed", "routing_key:spotify.*", "-routing_key:Spot*"),
    ],
)
def test_values_are_compared_exactly_and_numbers_by_size(text: str) -> None:
    assert found(text)


def test_no_correlation_id_is_none_of_any() -> None:
    assert not found('correlation_id:""', a_message("m", correlation_id=None))


def test_only_terms_about_the_message_are_asked_of_it() -> None:
    chosen = parse("timeout payload.x:1 routing_key:a id:m is:new http_status>1 state:all age>1h")
    assert [term.text() for term in chosen.text_terms] == [
        *("timeout", "payload.x:1", "routing_key:a"),
    ]
    assert [term.text() for term in chosen.column_terms] == [
        *("id:m", "is:new", "http_status>1", "state:all", "age>1h"),
    ]


# --- the index ---------------------------------------------------------------------------


def test_own_words_are_those_of_the_message_and_of_no_other_text() -> None:
    searched = Searchable.of(MESSAGE.model_copy(update={"payload": {"a": [{"b": "Ünï x_1"}, 7]}}))
    assert searched.own_words == {
        *("rate", "limit", "429", "too", "many", "requests", "100", "sure", "req", UUID),
        *("uni", "x_1", "7", "mixesdb", "2026", "11", "1"),
    }
    assert not searched.is_cut
    assert trace_words(MESSAGE.stack_trace or "") >= {"traceback", "app", "fetch_page", "7"}


def test_what_an_index_must_have_is_said_by_the_term() -> None:
    def needs(text: str) -> Any:
        [term] = parse(text).text_terms
        return term.needs(), term.start

    assert needs("Rós") == (({"ros"},), None)
    assert needs('"Too Many, too"') == (({"too", "many"},), None)
    assert needs('"too ma"*') == (({"too"},), "ma")
    assert needs("dead*") == ((), "dead")
    assert needs("-dead") == needs("-dead*") == needs('"!!!"') == ((), None)
    assert needs('payload.x:"a b",c') == (({"a", "b"}, {"c"}), None)
    assert needs('payload.x:a,"b c"*') == (({"a"}, {"b"}), None)
    assert needs('payload.x:"b c"*') == (({"b"},), "c")
    assert needs("payload.x:a,b*") == needs('payload.x:a,""') == ((), None)
    assert needs("payload.x:*") == needs("payload.x>1") == ((), None)
    assert needs(f"correlation_id:req-{UUID}") == (({"req", UUID},), None)
    assert needs("routing_key:spotify.enr*") == (({"spotify"},), "enr")


PIECES = ["too", "Many", UUID, UUID[:13], UUID[:9], " ", "-", ".", "é", "か\u3099", "日", "x" * 41]
TEXTS = st.lists(st.sampled_from(PIECES) | st.text(max_size=2), max_size=5).map("".join)


@given(TEXTS, st.integers(0, 40), st.integers(0, 40), st.booleans())
def test_what_matches_has_the_words_that_the_term_needs(
    text: str, begin: int, end: int, is_start: bool
) -> None:
    message = a_message("\U0001f3a7", payload={"x": text}, correlation_id=text)
    searched = Searchable.of(message, "title")
    asked: list[TextTerm] = [
        AnyOf("correlation_id", starts=(text[:end],)),
        AtPath(("payload", "x"), values=("else", text)),
        AtPath(("payload", "x"), starts=(text[:end],)),
    ]
    assert all(searched.matches(term) for term in asked)
    phrase = Contains(text[begin:end] or text, is_start=is_start)
    if searched.matches(phrase):
        asked.append(phrase)
    words = searched.own_words.union(*map(words_of, searched.named))
    words |= trace_words(message.stack_trace or "")
    for term in asked:
        needs, start = term.needs(), term.start
        assert not needs or any(needed <= words for needed in needs)
        assert start is None or any(word.startswith(start) for word in words)


def test_a_long_error_message_leaves_room_for_the_payload_in_the_index() -> None:
    message = a_message("m", error_message="<html>" * 20_000 + "end", payload={"track_id": "t-9"})
    searched = Searchable.of(message)
    assert searched.own_words >= {"html", "t", "9", "mixesdb"}
    assert searched.is_cut
    assert "end" not in searched.own_words
    assert searched.matches(Contains("end"))  # whatever is indexed, all of it is searched


@pytest.mark.parametrize(
    ("payload", "is_cut"),
    [
        ({str(n): n for n in range(search_module.MAX_VALUES - 10)}, False),
        ({str(n): n for n in range(search_module.MAX_VALUES)}, True),
        ({str(n): "ß" * 1000 for n in range(100)}, True),
        ({"x": "y" * search_module.MAX_VALUE_CHARS}, False),
        ({"x": "y" * (search_module.MAX_VALUE_CHARS + 1)}, True),
    ],
)
def test_the_index_is_bounded_and_says_so(payload: dict[str, Any], is_cut: bool) -> None:
    searched = Searchable.of(a_message("m", payload=payload))
    assert searched.is_cut is is_cut
    assert sum(map(len, searched.own_words)) <= 2 * search_module.MAX_TOTAL_CHARS


def test_deep_and_wide_payloads_are_searched_in_a_moment() -> None:
    deep: Any = "bottom"
    for _ in range(50_000):
        deep = [deep]
    wide = {str(n): "ß" * 10 for n in range(100_000)} | {"end": "bottom"}
    payloads: list[dict[str, Any]] = [{"x": deep}, wide, {"x": [[]] * 100_000, "y": "bottom"}]
    for payload in payloads:
        searched = Searchable.of(MESSAGE.model_copy(update={"payload": payload}))
        begun = time.perf_counter()
        assert searched.is_cut
        assert searched.matches(Contains("bottom"))
        assert time.perf_counter() - begun < 5
