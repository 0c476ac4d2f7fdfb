"""The filter language: what is read, what is refused and where, and its page."""

from __future__ import annotations

import contextlib
import datetime as dt
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlq.errors import InvalidInput
from dlq.query import (
    MAX_CHARS,
    AnyOf,
    AtPath,
    Compare,
    CompareAt,
    Contains,
    Filter,
    FilterError,
    Operator,
    parse,
    where,
    words_of,
)
from dlq.states import IN_DLQ, State

HOUR, DAY = dt.timedelta(hours=1), dt.timedelta(days=1)
NOV_1 = dt.datetime(2026, 11, 1, tzinfo=dt.UTC)
NOON = NOV_1 + 12 * HOUR
RELEASE, ARTIST, BPM = ("metadata", "release"), ("payload", "artist_name"), ("payload", "bpm")


# --- what is read ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "term"),
    [
        ("error_type:spotify", AnyOf("error_type", ("spotify",))),
        ("provider:spotify,lastfm", AnyOf("error_type", ("spotify", "lastfm"))),
        ("PROVIDER:Spotify,LAST*", AnyOf("error_type", ("spotify",), ("last",))),
        ("service:Spotify", AnyOf("service", ("Spotify",))),
        ("category:Rate_Limit", AnyOf("category", ("rate_limit",))),
        ("service:api-*", AnyOf("service", starts=("api-",))),
        ('source_service:"a b",c', AnyOf("service", ("a b", "c"))),
        (r'service:"say \"hi\" \\ there"', AnyOf("service", (r'say "hi" \ there',))),
        ('service:"a*"', AnyOf("service", ("a*",))),
        ('service:"a b"*', AnyOf("service", starts=("a b",))),
        ('service:""', AnyOf("service", ("",))),
        ("group:3F1C", AnyOf("group", starts=("3f1c",))),
        ("fingerprint:3f1c0a9be2d47a55", AnyOf("group", ("3f1c0a9be2d47a55",))),
        ('group:"3f1c"', AnyOf("group", ("3f1c",))),
        ("message_id:a:b", AnyOf("id", ("a:b",))),
        ("outcome:none,failed", AnyOf("outcome", ("none", "failed"))),
        ("state:parked,pending", AnyOf("state", ("pending", "parked"))),
        ("state:dlq", AnyOf("state", tuple(IN_DLQ))),
        ("state:all,parked", AnyOf("state", tuple(State))),
        ("-state:parked", AnyOf("state", ("parked",), negated=True)),
        ("NOT state:parked", AnyOf("state", ("parked",), negated=True)),
        ("age>1h", Compare("age", Operator.MORE, HOUR)),
        ("age<=7d", Compare("age", Operator.AT_MOST, 7 * DAY)),
        ("age>=1h30m", Compare("age", Operator.AT_LEAST, 1.5 * HOUR)),
        ("age<2w", Compare("age", Operator.LESS, 14 * DAY)),
        ("-age>90S", Compare("age", Operator.MORE, dt.timedelta(seconds=90), negated=True)),
        ("replay_count>0", Compare("replay_count", Operator.MORE, 0)),
        ("replay_count:3", Compare("replay_count", Operator.EQUALS, 3)),
        ("failed_at>=2026-11-01", Compare("failed_at", Operator.AT_LEAST, NOV_1)),
        ("failed_at<=2026-11-01", Compare("failed_at", Operator.LESS, NOV_1 + DAY)),
        ("failed_at>2026-11-01", Compare("failed_at", Operator.AT_LEAST, NOV_1 + DAY)),
        ("ingested_at<2026-11-01T12:00:00Z", Compare("ingested_at", Operator.LESS, NOON)),
        ("ingested_at<=2026-11-01T01:00+01:00", Compare("ingested_at", Operator.AT_MOST, NOV_1)),
        ("next_replay_at>2026-11-01T00:00", Compare("next_replay_at", Operator.MORE, NOV_1)),
        ("timeout", Contains("timeout")),
        ('"429 Too Many"', Contains("429 Too Many")),
        ('-"429 Too Many"', Contains("429 Too Many", negated=True)),
        ("not timeout", Contains("timeout", negated=True)),
        ("notable", Contains("notable")),
        ("a,b", Contains("a,b")),
        ("f(x)", Contains("f(x)")),
        ("2026-11-01T12:00", Contains("2026-11-01T12:00")),
        ("dead*", Contains("dead", is_start=True)),
        ('-"too ma"*', Contains("too ma", negated=True, is_start=True)),
        ('"dead*"', Contains("dead*")),
        ("payload.track_id", Contains("payload.track_id")),
        ("error_class:requests.HTTPError", AnyOf("error_class", ("requests.HTTPError",))),
        ("error_class:Read*", AnyOf("error_class", starts=("Read",))),
        ("http_status>=500", Compare("http_status", Operator.AT_LEAST, 500)),
        ("http_status:429", Compare("http_status", Operator.EQUALS, 429)),
        ("retry_count<3", Compare("retry_count", Operator.LESS, 3)),
        ("is:New,regressed", AnyOf("is", ("new", "regressed"))),
        ("-is:muted", AnyOf("is", ("muted",), negated=True)),
        ("correlation_id:req-1,Req-2*", AnyOf("correlation_id", ("req-1",), ("Req-2",))),
        ("routing_key:spotify.*", AnyOf("routing_key", starts=("spotify.",))),
        ("release:2026.11", AtPath(RELEASE, ("2026.11",))),
        ("RELEASE:2026.*", AtPath(RELEASE, starts=("2026.",))),
        ("-release:*", AtPath(RELEASE, starts=("",), negated=True)),
        ("payload.artist_name:Deadmau5", AtPath(ARTIST, ("Deadmau5",))),
        ("PAYLOAD.artist_name:Dead*,Orbital", AtPath(ARTIST, ("Orbital",), ("Dead",))),
        ('payload.artist_name:"Sigur Rós"*', AtPath(ARTIST, starts=("Sigur Rós",))),
        ('payload.artist_name:"*",""', AtPath(ARTIST, ("*", ""))),
        ("payload.artist_name:*", AtPath(ARTIST, starts=("",))),
        ("payload.a.0.b-c:x", AtPath(("payload", "a", "0", "b-c"), ("x",))),
        ('payload."release date".größe:x', AtPath(("payload", "release date", "größe"), ("x",))),
        (r'metadata."a.\"b\\":x', AtPath(("metadata", 'a."b\\'), ("x",))),
        ('payload."":x', AtPath(("payload", ""), ("x",))),
        ('payload."plain":x', AtPath(("payload", "plain"), ("x",))),
        ("metadata.spider:mixesdb", AtPath(("metadata", "spider"), ("mixesdb",))),
        ("payload.bpm>=120", CompareAt(BPM, Operator.AT_LEAST, 120)),
        ("-payload.bpm<-0.5", CompareAt(BPM, Operator.LESS, -0.5, negated=True)),
        ("payload.bpm>1E+3", CompareAt(BPM, Operator.MORE, 1000.0)),
    ],
)  # fmt: skip
def test_a_term_is_read_as_people_mean_it(text: str, term: Any) -> None:
    assert parse(text) == Filter((term,))
    assert parse(parse(text).text()) == parse(text)


def test_all_terms_hold_whatever_the_spaces_between_them() -> None:
    read = parse("  category:auth\u00a0\tage>1h\n-denied ")
    assert [term.text() for term in read.terms] == ["category:auth", "age>1h", "-denied"]
    assert read == parse("category:auth") & parse("age>1h -denied")


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("PROVIDER:spotify   not  state:parked", "error_type:spotify -state:parked"),
        ("state:pending,scheduled,parked", "state:dlq"),
        ("state:resolved,replaying,dlq", "state:all"),
        ("age>90m", "age>1h30m"),
        ("age<1w", "age<7d"),
        ("age>0h", "age>0s"),
        ("failed_at<2026-11-01T01:00+01:00", "failed_at<2026-11-01T00:00:00Z"),
        ('"or" "(a)" "x:y"', '"or" "(a)" "x:y"'),
        ('service:"plain"', "service:plain"),
        ('"dead"* "a b"*', 'dead* "a b"*'),
        ('Payload."plain"."a b"."":x', 'payload.plain."a b"."":x'),
        ("release:1", "metadata.release:1"),
        ("payload.x:* payload.x>007 payload.x<1.50", "payload.x:* payload.x>7 payload.x<1.5"),
    ],
)
def test_a_filter_is_written_out_in_one_way(text: str, canonical: str) -> None:
    assert parse(text).text() == canonical


@pytest.mark.parametrize(
    ("text", "states"),
    [
        ("", IN_DLQ),
        ("timeout", IN_DLQ),
        ("state:all", tuple(State)),
        ("state:replaying", (State.REPLAYING,)),
        ("-state:parked", (State.PENDING, State.SCHEDULED)),
        ("-state:resolved", IN_DLQ),  # taking away never adds
        (
            "state:all -state:resolved",
            (State.PENDING, State.SCHEDULED, State.REPLAYING, State.PARKED),
        ),
        ("state:pending,parked state:parked,resolved", (State.PARKED,)),
        ("state:pending state:parked", ()),
    ],
)
def test_states_are_what_is_in_the_dlq_unless_said_otherwise(
    text: str, states: tuple[State, ...]
) -> None:
    assert parse(text).states == states


def test_only_no_terms_is_an_empty_filter() -> None:
    assert parse("") == parse(" \n") == where(states=()) == Filter()
    assert Filter().is_empty
    assert not parse("state:dlq").is_empty


def test_values_become_the_filter_that_their_text_would() -> None:
    by_value = where(
        states=[State.PARKED, State.PENDING],
        category="auth",
        error_type="spotify",
        fingerprint="3f1c0a9be2d47a55",
        source_service="a b",
    )
    text = "state:pending,parked category:auth error_type:spotify group:3f1c0a9be2d47a55"
    assert by_value == parse(f'{text} service:"a b"')
    assert where(fingerprint="3f1c").text() == 'group:"3f1c"'  # exact, not a start
    assert len({by_value, parse(by_value.text())}) == 1


def test_a_category_is_checked_also_as_a_value() -> None:
    with pytest.raises(FilterError, match="Did you mean rate_limit") as refused:
        where(category="rate_limt")
    assert refused.value.text[refused.value.position :] == "rate_limt"


# --- what is refused ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "at", "said"),
    [
        ("age>1h categry:auth", "categry", "Did you mean category"),
        ("error-type:spotify", "error-type", "Did you mean error_type"),
        ("artist_name:x", "artist_name", r"error_type, category, .*or payload\.artist_name"),
        ("http_status:a", "a", "whole number"),
        ("http_status:429,503", "503", "expected one value for http_status"),
        ("http_status!=500", "!=", "expected -http_status:"),
        ("is:reopened", "reopened", "expected one of new, regressed, muted"),
        ("is>new", ">", "expected is with :, got"),
        ("release>1", ">", "expected release with :, got"),
        ("correlation-id:x", "correlation-id", "Did you mean correlation_id"),
        ("https://example.org", "https", "quote it"),
        ("category:auth,rate_limt", "rate_limt", "Did you mean rate_limit"),
        ("state:parkd", "parkd", "Did you mean parked"),
        ("outcome:lost", "lost", "expected one of succeeded, failed, returned, presumed, none"),
        ("category:rate*", "rate*", "a category without a \\*"),
        ("group:zzzz", "zzzz", "4 to 16 hex digits"),
        ("group:3f1", "3f1", "4 to 16 hex digits"),
        ('group:"3f1c"*', '"3f1c"', "a group without a \\*"),
        ("state=pending", "=", "expected state with :, got"),
        ("state!=pending", "!=", "expected -state:"),
        ("category>auth", ">", "expected category with :, got"),
        ("age:1h", ":", "expected age with <, <=, >, >=, got"),
        ("age!=1h", "!=", "expected age with <, <=, >, >=, got"),
        ("age>1y", "1y", "expected a duration"),
        ("age>1h,2h", "2h", "expected one value"),
        ("age>36501d", "36501d", "at most 36500d"),
        ("age>9999999999w", "9999999999w", "at most 36500d"),
        ("replay_count>-1", "-1", "whole number"),
        ("replay_count>2147483648", "2147483648", "whole number"),
        ("replay_count:1*", "1*", "whole number"),
        ("failed_at>1h", "1h", "expected a date or time in UTC"),
        ("failed_at>2026-13-01", "2026-13-01", "expected a date or time in UTC"),
        ("failed_at>9999-12-31", "9999-12-31", "expected a date or time in UTC"),
        ("failed_at:2026-11-01", ":", "expected failed_at with <"),
        ("age > 1h", "> 1h", "without spaces"),
        ("category: auth", " auth", "directly after ':'"),
        ("category:auth, bug", " bug", "directly after ','"),
        ("category:", "", "directly after ':'"),
        ("service:*", "*", "before the \\*"),
        ('service:""*', '""*', "before the \\*"),
        ("service:a*b", "*b", "only at the end"),
        ("payload.x=5", "=", "expected payload.x with :, <, <=, >, >=, got '='"),
        ("payload.x!=5", "!=", "expected -payload.x: for what it is not"),
        ('a payload."b c"!=5', "!=", 'expected -payload."b c": for'),
        ("payload.x>a", "a", "expected a number"),
        ("payload.x>*", "*", "before the \\*"),
        ("payload.x>1*", "1*", "expected a number"),
        ("payload.x>nan", "nan", "expected a number"),
        ("payload.x>1e999", "1e999", "expected a number"),
        ("payload.x>1,2", "2", "expected one value for payload.x"),
        ("payload.x:", "", "directly after ':'"),
        ("payload.x:a,*", "*", "before the \\*"),
        ("payload.x:*,a", "*,a", "before the \\*"),
        ("payload.x:a*b", "*b", "only at the end"),
        ("payload:x", "payload", "expected a path before ':'"),
        ("a payload..x:y", "payload..x", "expected a path before ':'"),
        ('payload."a b" x', 'payload."a b"', "expected a path and a value"),
        ('payload."a b', 'payload."a', "expected a path and a value"),
        (r'payload."\n":x', 'payload."', "expected a path and a value"),
        ("ti*me", "*me", "only at the end"),
        ("a **kwargs", "**k", "only at the end"),
        ("*", "*", "start of a word before the \\*"),
        ('a "!!!"*', "*", "start of a word before the \\*"),
        ('"a"*b', "*b", "space after the closing quote"),
        ("a OR b", "OR", "comma means any of"),
        ("a and b", "and", "all terms must hold"),
        ("(a b)", "(a", "parenthesis"),
        ('service:"a', '"a', "closing"),
        ('service:"a"b', "b", "comma or a space"),
        ('"a"b', "b", "space after the closing quote"),
        ('a"b"', '"b"', "space before the quote"),
        (r'"a\n"', r"\n", "for a quote or a backslash"),
        ('"a\\', "\\", "for a quote or a backslash"),
        ('""', '""', "expected a text between"),
        ("-", "", "expected what is to be negated"),
        ("- a", " a", "expected what is to be negated"),
        ("a not", "", "expected what is to be negated"),
        ("--a", "-a", "second negation"),
        ("not -a", "-a", "second negation"),
    ],
)
def test_a_slip_is_refused_and_pointed_at(text: str, at: str, said: str) -> None:
    with pytest.raises(FilterError, match=said) as refused:
        parse(text)
    error = refused.value
    assert error.text == text
    assert text[error.position :].startswith(at) if at else error.position == len(text)
    assert f"at character {error.position + 1}:" in str(error)
    assert (error.code, isinstance(error, InvalidInput)) == ("invalid_filter", True)


@pytest.mark.parametrize("piece", ['"', "\\", "-", "not ", "a:", "a,", "(", "*", "x" * 50, '"a" '])
def test_what_is_too_long_is_refused_at_once(piece: str) -> None:
    begun = time.perf_counter()
    with contextlib.suppress(FilterError):
        parse(piece * (MAX_CHARS // len(piece)))
    with pytest.raises(FilterError, match="at most 2,000"):
        parse(piece * 10**6)
    assert time.perf_counter() - begun < 2


def test_no_filter_is_longer_than_can_be_read_back() -> None:
    half = parse(" ".join(f"w{n}" for n in range(200)))
    with pytest.raises(FilterError, match="at most 2,000"):
        half & half & half
    with pytest.raises(FilterError, match="at most 2,000"):
        where(source_service="x" * MAX_CHARS)
    with pytest.raises(FilterError, match="written out it has"):
        parse("ä " * 900)  # each gains its quotes


PIECES = [
    *('"', "\\", "-", "not", " ", ",", ":", "<=", ">", "=", "*", "(", "\x00", "\u2028", "é"),
    *("state", "category", "age", "failed_at", "replay_count", "service", "group", "outcome"),
    *("auth", "parked", "1h", "2026-11-01", "3f1c", "9999", "T24:00", "or", "payload", "."),
]
TEXTS = st.lists(st.sampled_from(PIECES) | st.text(max_size=5), max_size=12).map("".join)
NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=20)
STEPS = st.tuples(st.sampled_from(["payload", "metadata"]), NAMES, NAMES)
NUMBERS = st.integers(-(10**18), 10**18) | st.floats(allow_nan=False, allow_infinity=False)
TERMS = (
    st.builds(AnyOf, st.just("service"), st.tuples(NAMES), negated=st.booleans())
    | st.builds(AnyOf, st.just("id"), starts=st.tuples(NAMES.filter(bool)), negated=st.booleans())
    | st.builds(AnyOf, st.just("group"), st.tuples(NAMES))
    | st.builds(AnyOf, st.just("correlation_id"), st.tuples(NAMES), st.tuples(NAMES.filter(bool)))
    | st.builds(Contains, NAMES.filter(bool), negated=st.booleans())
    | st.builds(Contains, NAMES.filter(words_of), negated=st.booleans(), is_start=st.just(True))
    | st.builds(AtPath, STEPS, st.tuples(NAMES), negated=st.booleans())
    | st.builds(AtPath, STEPS, starts=st.tuples(NAMES), negated=st.booleans())
    | st.builds(AtPath, STEPS, st.tuples(NAMES), starts=st.tuples(NAMES.filter(bool)))
    | st.builds(CompareAt, STEPS, st.sampled_from(list(Operator)[1:]), NUMBERS)
    | st.builds(
        Compare,
        st.just("age"),
        st.sampled_from(list(Operator)[1:]),
        st.integers(0, 10**9).map(lambda s: dt.timedelta(seconds=s)),
        negated=st.booleans(),
    )
    | st.builds(
        Compare,
        st.just("failed_at"),
        st.sampled_from(list(Operator)[1:]),
        st.datetimes(timezones=st.just(dt.UTC)),
        negated=st.booleans(),
    )
)  # fmt: skip


@given(TEXTS)
def test_any_text_is_a_filter_that_reads_back_or_a_filter_error(text: str) -> None:
    read = Filter()
    with contextlib.suppress(FilterError):
        read = parse(text)
    again = parse(read.text())
    assert (again, hash(again)) == (read, hash(read))


@given(st.lists(TERMS, max_size=4).map(tuple))
def test_what_is_written_out_reads_back_equal(terms: tuple[Any, ...]) -> None:
    chosen = Filter(terms)
    assert parse(chosen.text()) == chosen
