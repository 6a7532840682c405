"""Where statements write: a list of texts, for the whole template or for a part of it."""

from __future__ import annotations

from collections.abc import Callable

from llmtool.sandbox.budget import Fault, join
from llmtool.sandbox.values import Frame, State

MAX_CALL_DEPTH = 50

Run = Callable[[Frame, list[str]], int]


def write(text: str, state: State, out: list[str]) -> None:
    out.append(text)
    state.budget.spend(text.__sizeof__())


def capture(run: Run, frame: Frame) -> str:
    """Return what a body writes."""
    out: list[str] = []
    state = frame.state
    state.captures += 1
    run(frame, out)
    state.captures -= 1
    return join(out, "", state.budget)


def call_body(state: State, body: Run, frame: Frame) -> str:
    """Return what a macro or a recursive loop writes, unless calls are nested too deeply."""
    if state.depth == MAX_CALL_DEPTH:
        raise Fault(f"macros call each other more than {MAX_CALL_DEPTH} levels deep")
    state.budget.step(10)
    state.depth += 1
    line = state.line
    text = capture(body, frame)
    state.depth -= 1
    state.line = line
    return text
