"""The limits of one rendering: steps, bytes in use and processor time.

Steps and bytes depend only on the template and its variables, so a template fails the same way on
every machine. The thread's processor clock stops work that the steps underrate. All three limits
grow with the size of the variables.
"""

from __future__ import annotations

import time
import weakref
from collections.abc import Iterable, Iterator
from typing import Any

MAX_STEPS = 1_000_000
MAX_BYTES = 64 << 20
MAX_SECONDS = 1.5
MAX_DEPTH = 100

STEPS_PER_INPUT_BYTE = 200
BYTES_PER_INPUT_BYTE = 32
SECONDS_PER_INPUT_BYTE = 5e-6

_STEPS_BETWEEN_CLOCK_READS = 8192
_TRACKED_LENGTH = 4096  # characters or items; the bytes of smaller values are not credited again


class RenderError(Exception):
    """Why a rendering stopped; `Template.render` adds the template's name and the line."""


class Budget:
    """The steps, bytes and seconds left to one rendering, or to several in a row."""

    def __init__(self) -> None:
        self._steps = MAX_STEPS
        self._bytes = MAX_BYTES
        self._seconds = MAX_SECONDS
        self._deadline: float | None = None  # a short rendering does not read the clock
        self._next_clock_read = self._steps - _STEPS_BETWEEN_CLOCK_READS
        self._tracked: list[tuple[weakref.ref[Any], int]] = []

    def grow(self, input_bytes: int) -> None:
        """Raise the limits for variables of this size."""
        self._steps += STEPS_PER_INPUT_BYTE * input_bytes
        self._bytes += BYTES_PER_INPUT_BYTE * input_bytes
        self._seconds += SECONDS_PER_INPUT_BYTE * input_bytes
        if self._deadline is not None:
            self._deadline += SECONDS_PER_INPUT_BYTE * input_bytes
        self._next_clock_read = self._steps - _STEPS_BETWEEN_CLOCK_READS

    def step(self, n: int = 1) -> None:
        """Charge `n` small operations, about 0.1 µs each."""
        self._steps -= n
        if self._steps < self._next_clock_read:
            if self._steps < 0:
                raise RenderError("it takes too many steps to render")
            now = time.thread_time()
            if self._deadline is None:
                self._deadline = now + self._seconds
            if now > self._deadline:
                raise RenderError("it takes too long to render")
            self._next_clock_read = self._steps - _STEPS_BETWEEN_CLOCK_READS

    def reserve(self, size_bytes: float) -> None:
        """Check that a value of this size may be built."""
        if size_bytes > self._bytes:
            self._credit_freed()
            if size_bytes > self._bytes:
                raise RenderError("it builds too much data")

    def spend(self, size_bytes: int) -> None:
        """Charge bytes just built."""
        self._bytes -= size_bytes
        self.step(size_bytes >> 9)
        if self._bytes < 0:
            self.reserve(0)

    def track(self, value: Any) -> Any:
        """Charge a new value and return it; the bytes of a large one return when it is freed.

        Chat templates collect their whole output in one variable (`ns.out = ns.out ~ piece`):
        they build much, and little of it is in use.
        """
        if type(value) in (_Text, _List):
            return value
        if isinstance(value, (str, list, tuple, dict)):
            size = value.__sizeof__()
            if len(value) >= _TRACKED_LENGTH and type(value) in (str, list):
                self.reserve(2 * size)  # for a moment there are two copies
                value = _Text(value) if type(value) is str else _List(value)
                self._tracked.append((weakref.ref(value), size))
            self.spend(size)
            if isinstance(value, tuple):  # it may become a key, and hashing visits all of it
                self.measure(value)
        elif hasattr(value, "__next__"):
            return self.count(value)
        return value

    def _credit_freed(self) -> None:
        in_use = [each for each in self._tracked if each[0]() is not None]
        self._bytes += sum(size for _, size in self._tracked) - sum(size for _, size in in_use)
        self.step(len(self._tracked) >> 2)
        self._tracked = in_use

    def measure(self, value: object) -> int:
        """Return about how many bytes the text of a value takes; charge a step per item.

        Twenty lines of `{% set x = [x, x] %}` describe a million items in a few hundred bytes. The
        steps run out here, before such a value reaches code that has no limits.
        """
        size = 0
        level = [value]
        for _ in range(MAX_DEPTH):
            deeper: list[object] = []
            for each in level:
                if isinstance(each, str):
                    size += each.__sizeof__()
                elif isinstance(each, (list, tuple, dict)):
                    self.step(2 * len(each))
                    self.reserve(16 * (len(deeper) + len(each)))
                    deeper += each
                    if isinstance(each, dict):
                        deeper += each.values()
            size += 64 * len(level)
            if not deeper:
                self.step(1 + (size >> 6))
                return size
            level = deeper
        raise RenderError(f"a value is nested deeper than {MAX_DEPTH} levels")

    def count(self, items: Iterable[Any]) -> Iterator[Any]:
        """Yield items, and charge a step for each."""
        for item in items:
            self.step()
            yield item


class _Text(str):
    """A str that can be weakly referenced."""


class _List(list):  # type: ignore[type-arg]
    """A list that can be weakly referenced."""
