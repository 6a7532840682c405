"""Give back the bytes of values that are gone.

The meter of bytes only counts up what is built, so a template that extends one text a thousand
times (`ns.out = ns.out ~ piece`, which real chat templates do) would run dry with little in use.
Between two statements every live value hangs on the variables or the output; what is found there
is in use, and the rest is credited again.
"""

from __future__ import annotations

from collections.abc import Iterable

from llmtool.sandbox.values import Callee, Frame, Loop, Namespace

# Beyond this the record of what was seen would itself be a burden; nothing is given back then.
MAX_OBJECTS = 200_000


def reclaim(frame: Frame, out: list[str]) -> None:
    """Set the meter to what is in use; only for a moment when no expression is half done."""
    budget = frame.state.budget
    used = _size_in_use(frame)
    if used is None or len(out) > MAX_OBJECTS:
        budget.reclaim_below = 0
        return
    budget.step(len(out) >> 4)
    budget.bytes = max(budget.bytes, budget.limit - used - sum(map(len, out)) * 4)
    # Half of what is left must be spent before the next survey, so surveys cost little in sum.
    budget.reclaim_below = budget.bytes // 2 if budget.bytes > 1 << 20 else 0


def _size_in_use(frame: Frame) -> int | None:
    size = 0
    seen: set[int] = set()
    pending: list[Iterable[object]] = [(frame,)]
    while pending:
        inner = [item for item in pending.pop() if id(item) not in seen]
        seen.update(map(id, inner))
        frame.state.budget.step(1 + len(inner))
        if len(seen) > MAX_OBJECTS:
            return None
        for item in inner:
            size += 200 if not isinstance(item, str) else item.__sizeof__()
            if isinstance(item, (list, tuple)):
                size += 8 * len(item)
                pending.append(item)
            elif isinstance(item, dict):
                size += 200 * len(item)
                pending += (item, item.values())
            elif isinstance(item, Frame):
                pending += (item.names.values(), (item.parent,))
            elif isinstance(item, Namespace):
                pending.append(item.names.values())
            elif isinstance(item, Loop):
                pending.append((item.items, item.changes, item.recurse))
            elif isinstance(item, Callee):
                pending.append(item.held)
    return size
