"""Purging by filter: counted, confirmed by that count, then emptied in small steps.

What is emptied is what was counted: the rows are fixed together with the count, and whatever
comes to match later is not swept in.
"""

from __future__ import annotations

import datetime as dt
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

from dlq.errors import IllegalTransition, InvalidInput
from dlq.keeping import rest_s
from dlq.ledger.base import Ledger
from dlq.ledger.retention_book import MOST_AT_ONCE, Survey
from dlq.query import Filter, parse


class CountChanged(IllegalTransition):
    """Another number of dead letters matches than was confirmed; nothing was changed."""

    code = "count_changed"


@dataclass(frozen=True, slots=True)
class Confirmed:
    """What somebody wants purged, and has said how many that is."""

    where: Filter
    survey: Survey


@dataclass(frozen=True, slots=True)
class Progress:
    """`purged` of the `done` that were looked at; the others had changed meanwhile."""

    done: int
    purged: int


class Purger:
    """Purges for whoever asks, on the thread that asks.

    Args:
        stopping: ends a purge with the step in hand.
    """

    def __init__(self, ledger: Ledger, *, stopping: threading.Event) -> None:
        self._ledger = ledger
        self._stopping = stopping

    def survey(self, where: str) -> Survey:
        """What would be purged. Raises: InvalidInput: the filter cannot be used."""
        return self._ledger.retention.survey(_filter(where), now=_now())

    def confirmed(self, where: str, expected_count: int) -> Confirmed:
        """Raises: InvalidInput; CountChanged."""
        chosen = _filter(where)
        survey = self._ledger.retention.survey(chosen, now=_now())
        if survey.total != expected_count:
            raise CountChanged(
                f"Expected {expected_count} dead letters to match, now it is {survey.total}. "
                "Nothing was purged. Look again with dry_run, and confirm the new count."
            )
        return Confirmed(chosen, survey)

    def run(self, confirmed: Confirmed, *, actor: str) -> Iterator[Progress]:
        """Purge step by step; between steps nothing is held, and the ledger is left to others
        for longer than a step took. Ended early, what is done is done."""
        row_ids, states = confirmed.survey.row_ids, confirmed.where.states
        done = purged = 0
        while done < len(row_ids) and not self._stopping.is_set():
            some = row_ids[done : done + MOST_AT_ONCE]
            began = time.monotonic()
            purged += self._ledger.retention.purge(some, states, actor=actor, now=_now())
            done += len(some)
            yield Progress(done, purged)
            if done < len(row_ids):
                self._stopping.wait(rest_s(time.monotonic() - began))


def _filter(text: str) -> Filter:
    """Raises: InvalidInput: also for a filter that says nothing: all of it has to be said."""
    where = parse(text)
    if where.is_empty:
        raise InvalidInput(
            "Expected a filter that says what to purge, got an empty one. All that is in the DLQ "
            "is state:dlq."
        )
    return where


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)
