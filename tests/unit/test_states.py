from __future__ import annotations

import itertools

import pytest

from dlq.errors import IllegalTransition
from dlq.states import DELETABLE, IN_DLQ, LEGAL_MOVES, State, check_delete, check_move

LEGAL = {
    ("pending", "scheduled"),
    ("pending", "replaying"),
    ("pending", "parked"),
    ("scheduled", "pending"),
    ("scheduled", "replaying"),
    ("scheduled", "parked"),
    ("replaying", "pending"),
    ("replaying", "parked"),
    ("replaying", "resolved"),
    ("parked", "pending"),
    ("parked", "scheduled"),
    ("parked", "replaying"),
}


@pytest.mark.parametrize(("current", "target"), list(itertools.product(State, State)))
def test_only_the_moves_of_the_table_are_allowed(current: State, target: State) -> None:
    if (current, target) in LEGAL:
        check_move("m-1", current, target)
    else:
        with pytest.raises(IllegalTransition, match=f"Message m-1 is {current}"):
            check_move("m-1", current, target)


def test_a_refusal_names_the_states_from_which_the_move_is_allowed() -> None:
    with pytest.raises(IllegalTransition) as refused:
        check_move("m-1", State.RESOLVED, State.REPLAYING)
    assert str(refused.value) == (
        "Message m-1 is resolved; it can become replaying only from: pending, scheduled, parked."
    )
    assert refused.value.code == "illegal_state"


@pytest.mark.parametrize("current", list(State))
def test_only_what_is_in_the_dlq_can_be_deleted(current: State) -> None:
    if current in IN_DLQ:
        check_delete("m-1", current)
    else:
        with pytest.raises(IllegalTransition, match="only while it is parked, pending, scheduled"):
            check_delete("m-1", current)


def test_every_state_has_its_row_and_can_be_reached_from_pending() -> None:
    assert set(LEGAL_MOVES) == set(State)
    reached = {State.PENDING}
    for _ in State:
        reached |= {target for state in reached for target in LEGAL_MOVES[state]}
    assert reached == set(State)
    assert frozenset(IN_DLQ) == DELETABLE
