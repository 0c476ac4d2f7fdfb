"""The states of a dead letter and the moves between them; pure.

`docs/states.md` draws this table. Anything that is not in it is refused with
`IllegalTransition` and changes nothing.
"""

from __future__ import annotations

from enum import StrEnum

from dlq.errors import IllegalTransition


class State(StrEnum):
    PENDING = "pending"  # in the DLQ, nobody has decided yet
    SCHEDULED = "scheduled"  # in the DLQ, will be replayed at next_replay_at
    REPLAYING = "replaying"  # handed to the retry queue, outcome awaited
    RESOLVED = "resolved"  # a worker confirmed success
    PARKED = "parked"  # in the DLQ, held for a person: replay budget spent, or poison


class Outcome(StrEnum):
    """What became of one replay."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    RETURNED = "returned"  # its time in the retry queue ran out; nobody took it
    PRESUMED = "presumed"  # a consumer took it and never reported


IN_DLQ = (State.PENDING, State.SCHEDULED, State.PARKED)
"""What an operator means by "in the DLQ"."""

LEGAL_MOVES: dict[State, frozenset[State]] = {
    State.PENDING: frozenset({State.SCHEDULED, State.REPLAYING, State.PARKED}),
    State.SCHEDULED: frozenset({State.PENDING, State.REPLAYING, State.PARKED}),
    State.REPLAYING: frozenset({State.PENDING, State.PARKED, State.RESOLVED}),
    State.RESOLVED: frozenset(),
    State.PARKED: frozenset({State.PENDING, State.SCHEDULED, State.REPLAYING}),
}

DELETABLE = frozenset(IN_DLQ)


def check_move(message_id: str, current: State, target: State) -> None:
    """Refuse a move that the table does not hold.

    Raises:
        IllegalTransition: names the states from which the move is allowed.
    """
    if target in LEGAL_MOVES[current]:
        return
    allowed = ", ".join(s for s in State if target in LEGAL_MOVES[s]) or "none"
    raise IllegalTransition(
        f"Message {message_id} is {current}; it can become {target} only from: {allowed}."
    )


def check_delete(message_id: str, current: State) -> None:
    """Refuse to delete what is on its way to a worker, or already resolved.

    Raises:
        IllegalTransition: the state is not one of pending, scheduled, parked.
    """
    if current in DELETABLE:
        return
    raise IllegalTransition(
        f"Message {message_id} is {current}; it can be deleted only while it is "
        f"{', '.join(sorted(DELETABLE))}."
    )
