"""The state of the signal handlers."""

from __future__ import annotations

import signal

import pytest

from llmtool.cancellation import Cancellation
from llmtool.cli.terminal.interrupts import Interrupts
from llmtool.errors import Cancelled


@pytest.fixture
def cancellation() -> Cancellation:
    return Cancellation()


@pytest.fixture
def interrupts(cancellation: Cancellation) -> Interrupts:
    made = Interrupts()
    made.attach(cancellation)
    return made


def test_signal_sets_the_cancellation(interrupts: Interrupts, cancellation: Cancellation) -> None:
    interrupts.receive(signal.SIGTERM)
    assert cancellation.cancelled
    assert interrupts.received == signal.SIGTERM


def test_signal_raises_only_in_an_interruptible_block(interrupts: Interrupts) -> None:
    with pytest.raises(Cancelled) as stopped, interrupts.interruptible():
        interrupts.receive(signal.SIGINT)
    assert stopped.value.reason == signal.SIGINT
    interrupts.receive(signal.SIGTERM)  # outside the block


def test_earlier_signal_stops_an_interruptible_block(interrupts: Interrupts) -> None:
    interrupts.receive(signal.SIGINT)
    with pytest.raises(Cancelled), interrupts.interruptible():
        pytest.fail("the block was entered")


def test_repeated_signal_is_final(interrupts: Interrupts) -> None:
    assert not interrupts.is_final(signal.SIGINT)
    interrupts.receive(signal.SIGINT)
    assert interrupts.is_final(signal.SIGINT)
    assert not interrupts.is_final(signal.SIGTERM)


def test_only_a_repeated_ctrl_c_can_be_ignored(interrupts: Interrupts) -> None:
    interrupts.ignore_repeated_signals()
    for number in (signal.SIGINT, signal.SIGTERM):
        interrupts.receive(number)
    assert not interrupts.is_final(signal.SIGINT)
    assert interrupts.is_final(signal.SIGTERM)


def test_clear_resets_ctrl_c(interrupts: Interrupts, cancellation: Cancellation) -> None:
    interrupts.receive(signal.SIGINT)
    interrupts.clear()
    assert not cancellation.cancelled
    assert not interrupts.is_final(signal.SIGINT)


def test_clear_raises_for_a_terminating_signal(interrupts: Interrupts) -> None:
    interrupts.receive(signal.SIGINT)
    interrupts.receive(signal.SIGTERM)
    with pytest.raises(Cancelled) as stopped:
        interrupts.clear()
    assert stopped.value.reason == signal.SIGTERM
