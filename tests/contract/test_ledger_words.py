"""The index of words: what a search finds as rows come, change and go, on both databases."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
from sqlalchemy import func, select, text

from dlq.ledger import open_ledger, word_segments
from dlq.ledger.base import Ledger
from dlq.ledger.database import Database
from dlq.ledger.engines import connect
from dlq.ledger.schema import wide_segments, word_tail
from dlq.ledger.schema import word_segments as segment_rows
from dlq.ledger.signatures import NARROW, NARROW_WORDS
from dlq.query import parse
from tests.support.ledger import an_arrival, failed_again, replaying

ROWS = 400
VOCABULARY = [f"word{number}" for number in range(30)]
WORDS_OF_A_ROW = 5
WIDE_EVERY = 5
"""One in so many rows has more words than a narrow signature is for."""
FILLER = " ".join(f"filler{number}" for number in range(2 * NARROW_WORDS))


@pytest.fixture(autouse=True)
def _small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 64 rows, so that there are several."""
    monkeypatch.setattr(word_segments, "SEGMENT_ROWS", 64)
    monkeypatch.setattr(word_segments, "WIDE_SEGMENT_ROWS", 32)
    monkeypatch.setattr(word_segments, "FOLDED_AT", 72)
    monkeypatch.setattr(word_segments, "LOOKED_EVERY", 4)
    monkeypatch.setattr(word_segments, "WORTH_WRITING", 16)
    monkeypatch.setattr(word_segments, "LONGEST_TAIL", 256)
    monkeypatch.setattr(word_segments, "MAX_SLICES", 12)


@pytest.fixture
def database(ledger_url: str) -> Iterator[Database]:
    opened = connect(ledger_url)
    yield opened
    opened.close()


def filled(ledger: Ledger, rng: random.Random) -> dict[str, set[str]]:
    """Ids in order of arrival, and words of each."""
    texts = [rng.sample(VOCABULARY, WORDS_OF_A_ROW) for _ in range(ROWS)]
    arrivals = [
        an_arrival(payload={"text": " ".join(words), "more": "" if number % WIDE_EVERY else FILLER})
        for number, words in enumerate(texts)
    ]
    left = list(arrivals)
    while left:
        size = rng.randint(1, 12)
        ledger.ingest(left[:size])
        left = left[size:]
    ids = [arrival.message.message_id for arrival in arrivals]
    return {one: set(words) for one, words in zip(ids, texts, strict=True)}


def scrolled(ledger: Ledger, text: str, *, newest_first: bool, limit: int) -> list[str]:
    """Page after page."""
    found: list[str] = []
    cursor = None
    while True:
        page = ledger.scroll(parse(text), limit=limit, cursor=cursor, newest_first=newest_first)
        assert len(page.letters) <= limit
        found += [letter.message.message_id for letter in page.letters]
        cursor = page.next_cursor
        if cursor is None:
            return found


def counted(database: Database) -> tuple[int, int]:
    """Segments by id, and narrow rows in the tail; on PostgreSQL."""
    segments = select(func.count()).select_from(segment_rows)
    waiting = select(func.coalesce(func.sum(word_tail.c.count), 0))
    waiting = waiting.where(word_tail.c.width == NARROW)
    return database.read(
        lambda c: (c.execute(segments).scalar_one(), c.execute(waiting).scalar_one())
    )


@pytest.mark.parametrize("newest_first", [False, True])
def test_pages_have_all_that_match_in_order_and_nothing_twice(
    ledger: Ledger, *, newest_first: bool
) -> None:
    rng = random.Random(11)
    known = filled(ledger, rng)
    for _ in range(8):
        wanted = set(rng.sample(VOCABULARY, rng.choice((1, 1, 2))))
        expected = [one for one, words in known.items() if wanted <= words]
        if newest_first:
            expected.reverse()
        text = " ".join(sorted(wanted))
        found = scrolled(ledger, text, newest_first=newest_first, limit=rng.randint(3, 40))
        assert found == expected, text
        assert ledger.count(parse(text)) == len(expected)


def test_what_failed_anew_is_found_by_its_new_words(ledger: Ledger) -> None:
    known = filled(ledger, random.Random(12))
    oldest = next(iter(known))
    replay_id = replaying(ledger, oldest)
    ledger.ingest([failed_again(oldest, replay_id, error_message="entirely other")])
    assert scrolled(ledger, '"entirely other"', newest_first=False, limit=5) == [oldest]
    assert scrolled(ledger, '"429 too many"', newest_first=False, limit=50) == list(known)[1:]
    filled(ledger, random.Random(13))  # folded meanwhile
    assert scrolled(ledger, '"entirely other"', newest_first=True, limit=5) == [oldest]


def test_a_message_of_more_words_than_are_indexed_is_found_all_the_same(ledger: Ledger) -> None:
    text = " ".join(f"many{number}" for number in range(9000))
    ledger.ingest([an_arrival("long", payload={"text": text})])
    filled(ledger, random.Random(14))
    assert scrolled(ledger, '"many8998 many8999"', newest_first=True, limit=5) == ["long"]


def test_segments_are_filled_from_the_tail_and_go_with_their_rows(
    postgresql_ledger_url: str, request: pytest.FixtureRequest
) -> None:
    ledger, database = open_ledger(postgresql_ledger_url), connect(postgresql_ledger_url)
    request.addfinalizer(ledger.close)
    request.addfinalizer(database.close)
    known = filled(ledger, random.Random(15))
    segments, waiting = counted(database)
    assert segments >= ROWS // 64 - 1
    plain = text("SELECT attname FROM pg_attribute WHERE attname = 'slices' AND attstorage = 'e'")
    assert len(database.read(lambda c: c.execute(plain).all())) == 2, "read whole for each slice"
    assert waiting < 72 + 12
    gone = list(known)[:330]
    for one in gone:
        ledger.delete(one, actor="operator")
    more = filled(ledger, random.Random(16))
    first = select(func.min(segment_rows.c.number))
    assert database.read(lambda c: c.execute(first).scalar()) == 330 // 64
    wide = select(wide_segments.c.row_ids).order_by(wide_segments.c.id)
    kept = database.read(lambda c: list(c.execute(wide).scalars()))
    assert {len(ids) // 8 for ids in kept} == {32}
    assert len(kept) <= (2 * ROWS // WIDE_EVERY - 64) // 32
    left = [one for one, words in (known | more).items() if "word3" in words and one not in gone]
    assert scrolled(ledger, "word3", newest_first=False, limit=30) == left


def test_who_finds_the_tail_locked_leaves_it_and_loses_nothing(
    postgresql_ledger_url: str, request: pytest.FixtureRequest
) -> None:
    ledger, database = open_ledger(postgresql_ledger_url), connect(postgresql_ledger_url)
    request.addfinalizer(ledger.close)
    request.addfinalizer(database.close)
    held = select(func.pg_advisory_xact_lock(word_segments._LOCK_KEY))

    def while_held() -> dict[str, set[str]]:
        return database.write(lambda c: (c.execute(held), filled(ledger, random.Random(17)))[1])

    known = while_held()
    assert counted(database) == (0, ROWS - ROWS // WIDE_EVERY)
    expected = [one for one, words in known.items() if "word5" in words]
    assert scrolled(ledger, "word5", newest_first=False, limit=30) == expected
    database.write(word_segments.fold)
    assert counted(database)[0] == ROWS // 64 + 1
    assert counted(database)[1] == 0
    assert scrolled(ledger, "word5", newest_first=False, limit=30) == expected
