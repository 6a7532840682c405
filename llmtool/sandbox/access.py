"""How templates look up names and attributes, and how they call."""

from __future__ import annotations

from llmtool.sandbox.budget import Fault
from llmtool.sandbox.methods import method_of
from llmtool.sandbox.values import Callee, Frame, Loop, State, Undefined, item_of, kind


def look_up(frame: Frame, name: str) -> object:
    scope: Frame | None = frame
    while scope is not None:
        if name in scope.names:
            return scope.names[name]
        scope = scope.parent
    return frame.state.missing(f"{name!r} is undefined")


def invoke(callee: object, state: State, args: list[object], kwargs: dict[str, object]) -> object:
    if isinstance(callee, Callee):
        state.budget.step()
        return callee.call(state, *args, **kwargs)
    if isinstance(callee, Loop) and callee.recurse is not None:
        return callee.recurse.call(state, *args, **kwargs)
    if isinstance(callee, Undefined):
        callee.fail()
    raise Fault(f"{kind(callee)} cannot be called")


def attribute(value: object, name: str, state: State) -> object:
    """`value.name`: a method before an item, as in Jinja."""
    method = method_of(value, name)
    if method is None:
        return item_of(value, name, state)
    state.budget.spend(200)
    bound = method
    return Callee(name, lambda at, *args, **kwargs: bound(at.budget, value, *args, **kwargs), value)
