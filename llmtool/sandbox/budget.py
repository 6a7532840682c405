"""What one rendering may cost: evaluation steps, bytes built and processor time.

Steps and bytes depend on nothing but the template and the data, so both end the same way on every
machine; the processor clock of the thread is the backstop for work that the steps rate too low.
Every operation that can build something larger than its operands asks for room before it builds.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import NamedTuple

MAX_STEPS = 500_000
MAX_BYTES = 64 << 20
MAX_SECONDS = 2.0
MAX_DEPTH = 100
MAX_INTEGER_BITS = 1024

# Long conversations and documents earn more: per byte of the variables handed in.
STEPS_PER_INPUT_BYTE = 4
BYTES_PER_INPUT_BYTE = 32
SECONDS_PER_INPUT_BYTE = 1e-6

_STEPS_BETWEEN_LOOKS = 4096


class Fault(Exception):
    """Why an evaluation stopped; `Template.render` adds the template's name and the line."""


class Budget:
    """The steps, bytes and seconds that are left to one rendering, or to several in a row.

    `reclaim_below` is when to look for bytes that are no longer in use (see `survey`).
    """

    __slots__ = ("bytes", "limit", "reclaim_below", "steps", "_deadline", "_next_look")

    def __init__(self) -> None:
        self.steps = MAX_STEPS
        self.bytes = self.limit = MAX_BYTES
        self._deadline = time.thread_time() + MAX_SECONDS
        self.admit(0)

    def admit(self, input_bytes: int) -> None:
        """Add what variables of this size earn; the next rendering begins."""
        self.steps += STEPS_PER_INPUT_BYTE * input_bytes
        self.limit += BYTES_PER_INPUT_BYTE * input_bytes
        self.bytes = self.limit
        self.reclaim_below = self.limit // 2
        self._deadline += SECONDS_PER_INPUT_BYTE * input_bytes
        self._next_look = self.steps - _STEPS_BETWEEN_LOOKS
        self._look()

    def keep(self, text: str) -> str:
        """Take a finished text out of what is left to the renderings behind it."""
        self.limit = max(self.limit - text.__sizeof__(), 0)
        return text

    def step(self, count: int = 1) -> None:
        """Pay for `count` small operations (about 0.2 µs each)."""
        self.steps -= count
        if self.steps < self._next_look:
            self._look()

    def _look(self) -> None:
        if self.steps < 0:
            raise Fault("it takes too many steps to render")
        if time.thread_time() > self._deadline:
            raise Fault("it takes too long to render")
        self._next_look = max(self.steps - _STEPS_BETWEEN_LOOKS, 0)

    def room(self, size_bytes: float) -> None:
        """Refuse what would not fit if it were built now."""
        if size_bytes > self.bytes:
            raise Fault("it builds more data than a template may")

    def spend(self, size_bytes: int) -> None:
        """Pay for `size_bytes` just built or copied."""
        self.bytes -= size_bytes
        if self.bytes < 0:
            raise Fault("it builds more data than a template may")
        self.step(size_bytes >> 10)

    def built(self, text: str) -> str:
        """Pay for a text and return it."""
        self.spend(text.__sizeof__())
        return text

    def scan(self, text: str) -> None:
        """Pay for reading through a text once."""
        self.step(1 + (len(text) >> 6))


def width(*texts: str) -> int:
    """Return the most bytes that a character of a text made of these can take."""
    return 1 if all(text.isascii() for text in texts) else 4


def join(parts: list[str], separator: str, budget: Budget) -> str:
    """Join texts after checking that the result fits; the caller has paid for the parts."""
    length = sum(map(len, parts)) + len(separator) * len(parts)
    budget.room(length * width(separator, *parts))
    return separator.join(parts)


class Extent(NamedTuple):
    """What a value unfolds to when each shared part is written out again."""

    size_bytes: int
    nodes: int
    depth: int


def measure(value: object, budget: Budget) -> Extent:
    """Walk a value as `repr`, `==` or JSON would, paying a step per node.

    Twenty lines of `{% set x = [x, x] %}` stand for a million nodes in a few hundred bytes: the
    steps run out before such a value is handed to code that has no limits.
    """
    size = nodes = deepest = 0
    stack: list[Iterator[object]] = [iter((value,))]
    while stack:
        for item in stack[-1]:
            nodes += 1
            inner: Iterable[object] | None = None
            if isinstance(item, str):
                size += item.__sizeof__()
            elif isinstance(item, dict):
                inner = chain(item, item.values())
            elif isinstance(item, (list, tuple)):
                inner = item
            if nodes & 255 == 0:
                budget.step(256)
            if inner is None:
                continue
            stack.append(iter(inner))
            if len(stack) > MAX_DEPTH:
                raise Fault(f"a value is nested deeper than {MAX_DEPTH} levels")
            deepest = max(deepest, len(stack))
            break
        else:
            stack.pop()
    budget.step((nodes & 255) + (size >> 6))
    return Extent(size + 40 * nodes, nodes, deepest)
