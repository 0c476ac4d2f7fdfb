"""The circuit breaker: when it opens, probes and closes."""

from __future__ import annotations

import datetime as dt

from hypothesis import given
from hypothesis import strategies as st

from dlq.circuit import Circuit, CircuitRules, CircuitState

T0 = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)
RULES = CircuitRules(failures=3, cooldown_s=60, max_cooldown_s=300)


def _after(seconds: float) -> dt.datetime:
    return T0 + dt.timedelta(seconds=seconds)


def _opened(at: dt.datetime = T0) -> Circuit:
    circuit = Circuit()
    for _ in range(RULES.failures):
        circuit = circuit.failed(RULES, at)
    return circuit


def test_it_opens_after_so_many_failures_in_a_row() -> None:
    circuit = Circuit()
    for number in range(1, RULES.failures):
        circuit = circuit.failed(RULES, T0)
        assert (circuit.state, circuit.failures) == (CircuitState.CLOSED, number)
        assert circuit.allows(T0) is None
    circuit = circuit.failed(RULES, T0)
    assert circuit == Circuit(CircuitState.OPEN, 3, 1, T0, _after(60))


def test_a_success_between_begins_the_row_anew() -> None:
    circuit = Circuit().failed(RULES, T0).failed(RULES, T0).succeeded().failed(RULES, T0)
    assert (circuit.state, circuit.failures) == (CircuitState.CLOSED, 1)


def test_while_open_nothing_goes_until_a_probe_may() -> None:
    circuit = _opened()
    assert circuit.allows(T0) == 0
    assert circuit.allows(_after(59.999)) == 0
    assert circuit.allows(_after(60)) == 1


def test_of_probes_one_goes_at_a_time() -> None:
    probing = _opened().probing(RULES, _after(60))
    assert probing.state is CircuitState.HALF_OPEN
    assert probing.allows(_after(60)) == 0
    assert probing.allows(_after(119)) == 0
    assert probing.allows(_after(120)) == 1, "the outcome of the first was lost"


def test_a_probe_that_comes_right_closes_it() -> None:
    assert _opened().probing(RULES, _after(60)).succeeded() == Circuit()


def test_each_failed_probe_doubles_the_cooldown_up_to_its_bound() -> None:
    circuit, now = _opened(), T0
    waits_s = []
    for _ in range(5):
        assert circuit.probe_at is not None
        waits_s.append((circuit.probe_at - now).total_seconds())
        now = circuit.probe_at
        circuit = circuit.probing(RULES, now).failed(RULES, now)
        assert circuit.state is CircuitState.OPEN
    assert waits_s == [60, 120, 240, 300, 300]


def test_after_it_closed_the_cooldown_is_the_first_again() -> None:
    circuit = _opened().probing(RULES, _after(60)).failed(RULES, _after(61)).succeeded()
    for _ in range(RULES.failures):
        circuit = circuit.failed(RULES, T0)
    assert circuit.probe_at == _after(60)


def test_what_was_on_its_way_when_it_opened_does_not_prolong_it() -> None:
    circuit = _opened()
    late = circuit.failed(RULES, _after(30))
    assert (late.opened_count, late.probe_at) == (circuit.opened_count, circuit.probe_at)


def test_a_cooldown_longer_than_its_bound_is_kept() -> None:
    assert CircuitRules(cooldown_s=600, max_cooldown_s=300).cooldown(3) == dt.timedelta(minutes=10)
    assert CircuitRules().cooldown(10**9) == dt.timedelta(hours=1)


@given(st.lists(st.sampled_from(["succeeded", "failed", "asked"]), max_size=60))
def test_it_always_tells_when_it_may_be_asked_again(events: list[str]) -> None:
    circuit, now = Circuit(), T0
    for event in events:
        now += dt.timedelta(seconds=7)
        if event == "succeeded":
            circuit = circuit.succeeded()
        elif event == "failed":
            circuit = circuit.failed(RULES, now)
        elif circuit.allows(now) == 1:
            circuit = circuit.probing(RULES, now)
        closed = circuit.state is CircuitState.CLOSED
        assert (circuit.allows(now) is None) == closed
        if not closed:
            assert circuit.probe_at is not None
            assert circuit.probe_at - now <= dt.timedelta(seconds=RULES.max_cooldown_s)
            assert circuit.allows(circuit.probe_at) == 1
