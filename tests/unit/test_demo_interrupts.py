"""Signals end the demo at places where nothing is lost."""

from __future__ import annotations

import os
import signal

import pytest

from dlq.demo.interrupts import SIGNALS, Interrupts


def test_ctrl_c_and_sigterm_unwind() -> None:
    before = [signal.getsignal(number) for number in SIGNALS]
    with pytest.raises(KeyboardInterrupt), Interrupts():
        os.kill(os.getpid(), signal.SIGINT)
    with pytest.raises(SystemExit) as ended, Interrupts():
        os.kill(os.getpid(), signal.SIGTERM)
    assert ended.value.code == 143
    assert [signal.getsignal(number) for number in SIGNALS] == before


def test_a_held_signal_comes_at_the_end_of_the_block() -> None:
    reached: list[str] = []

    def make_child(interrupts: Interrupts) -> None:
        with interrupts.held():
            os.kill(os.getpid(), signal.SIGINT)
            reached.append("end of the block")
        reached.append("after the block")

    with Interrupts() as interrupts, pytest.raises(KeyboardInterrupt):
        make_child(interrupts)
    assert reached == ["end of the block"]


def test_once_the_end_has_begun_a_signal_changes_nothing() -> None:
    with Interrupts() as interrupts:
        interrupts.ignore_from_now()
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGTERM)
