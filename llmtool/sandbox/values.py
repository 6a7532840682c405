"""The values that a template can hold, and how it looks into them.

Apart from these records there are only `None`, booleans, numbers, texts, lists, tuples, dicts and
ranges. Nothing here reads a Python attribute by a name that the template chose, so there is no way
from a value to the interpreter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import NoReturn

from llmtool.sandbox.budget import Budget, Fault, measure

SCALARS = (str, int, float, type(None))


class Undefined:
    """A name or key that is not there: empty, false, and an error as soon as it is used."""

    __slots__ = ("hint",)

    def __init__(self, hint: str) -> None:
        self.hint = hint

    def fail(self) -> NoReturn:
        raise Fault(self.hint)

    def __bool__(self) -> bool:
        return False

    def __str__(self) -> str:
        return ""

    def __repr__(self) -> str:
        return "Undefined"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Undefined)

    def __hash__(self) -> int:
        return hash(Undefined)

    def __iter__(self) -> Iterator[object]:
        return iter(())


class StrictUndefined(Undefined):
    """As `Undefined`, but printing, testing, comparing or iterating over it is an error too."""

    __slots__ = ()

    def __bool__(self) -> bool:
        self.fail()

    def __str__(self) -> str:
        self.fail()

    def __repr__(self) -> str:
        self.fail()

    def __eq__(self, other: object) -> bool:
        self.fail()

    def __hash__(self) -> int:
        self.fail()

    def __iter__(self) -> Iterator[object]:
        self.fail()


class State:
    """What one rendering shares among all its frames."""

    __slots__ = ("budget", "captures", "clock", "depth", "line", "undefined")

    def __init__(
        self, budget: Budget, undefined: type[Undefined], clock: Callable[[], datetime]
    ) -> None:
        self.budget = budget
        self.undefined = undefined
        self.clock = clock
        self.line = 1
        self.depth = 0
        self.captures = 0

    def missing(self, hint: str) -> Undefined:
        """Pay for an undefined value and return it."""
        self.budget.spend(200)
        return self.undefined(hint)


class Frame:
    """One scope of variables inside another."""

    __slots__ = ("names", "parent", "state")

    def __init__(self, names: dict[str, object], parent: Frame | None, state: State) -> None:
        self.names = names
        self.parent = parent
        self.state = state


class Namespace:
    """What `namespace()` makes: the only value that a template can change."""

    __slots__ = ("names",)

    def __init__(self, names: dict[str, object]) -> None:
        self.names = names

    def __repr__(self) -> str:
        return "<Namespace>"


class Callee:
    """Something that a template can call, and the values that it keeps alive."""

    __slots__ = ("call", "held", "name")

    def __init__(self, name: str, call: Callable[..., object], *held: object) -> None:
        self.name = name
        self.call = call
        self.held = held

    def __repr__(self) -> str:
        return f"<{self.name}>"


class Loop:
    """The `loop` variable of a `for` statement."""

    __slots__ = ("changes", "depth0", "index0", "items", "recurse")

    def __init__(self, items: Sequence[object], depth0: int, recurse: Callee | None) -> None:
        self.items = items
        self.depth0 = depth0
        self.recurse = recurse
        self.index0 = -1
        self.changes: tuple[object, ...] | None = None

    def __repr__(self) -> str:
        return "<loop>"

    def look_up(self, name: str, state: State) -> object:
        index, length = self.index0, len(self.items)
        if name == "previtem":
            return self.items[index - 1] if index else state.missing("there is no previous item")
        if name == "nextitem":
            if index + 1 < length:
                return self.items[index + 1]
            return state.missing("there is no next item")
        if name == "cycle":
            return Callee("cycle", self._cycle, self)
        if name == "changed":
            return Callee("changed", self._changed, self)
        simple: dict[str, object] = {
            "index": index + 1,
            "index0": index,
            "revindex": length - index,
            "revindex0": length - index - 1,
            "first": index == 0,
            "last": index + 1 == length,
            "length": length,
            "depth": self.depth0 + 1,
            "depth0": self.depth0,
        }
        if name in simple:
            return simple[name]
        return state.missing(f"'loop' has no attribute {name!r}")

    def _cycle(self, _: State, *args: object) -> object:
        if not args:
            raise Fault("loop.cycle needs something to cycle through")
        return args[self.index0 % len(args)]

    def _changed(self, state: State, *args: object) -> bool:
        measure(args, state.budget)
        changed = self.changes != args
        self.changes = args
        return changed


def kind(value: object) -> str:
    """Name the type of a value for an error message."""
    return "none" if value is None else type(value).__name__


def text_of(value: object, budget: Budget) -> str:
    """Write a value as `{{ value }}` does; a container is measured first."""
    if isinstance(value, str):
        return value
    if isinstance(value, (list, tuple, dict)):
        # repr can turn one byte into an escape of four, and widen each to four bytes.
        budget.room(16 * measure(value, budget).size_bytes)
        return budget.built(str(value))
    return str(value)


def sequence_of(value: object, budget: Budget) -> Sequence[object]:
    """Return what a loop over the value goes through."""
    if isinstance(value, (list, tuple, str, range)):
        return value
    if isinstance(value, dict):
        budget.spend(8 * len(value))
        return list(value)
    if isinstance(value, Undefined):
        return tuple(value)
    raise Fault(f"{kind(value)} is not iterable")


def item_of(value: object, key: object, state: State) -> object:
    """Return `value[key]`, or an undefined value when it is not there."""
    if isinstance(value, Undefined):
        value.fail()
    if isinstance(value, dict):
        if not isinstance(key, SCALARS):
            measure(key, state.budget)
        try:
            return value[key]
        except (KeyError, TypeError):
            pass
    elif isinstance(key, int) and isinstance(value, (str, list, tuple, range)):
        try:
            return value[key]
        except IndexError:
            pass
    elif isinstance(value, Namespace) and isinstance(key, str) and key in value.names:
        return value.names[key]
    elif isinstance(value, Loop) and isinstance(key, str):
        return value.look_up(key, state)
    if isinstance(key, str):
        return state.missing(f"{kind(value)} has no attribute {key[:60]!r}")
    return state.missing(f"{kind(value)} has no such element")
