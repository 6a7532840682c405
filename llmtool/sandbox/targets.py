"""Where `set`, `for` and `with` store values."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from llmtool.sandbox.access import look_up
from llmtool.sandbox.budget import Fault
from llmtool.sandbox.expressions import Expressions
from llmtool.sandbox.syntax import SyntaxFault
from llmtool.sandbox.values import Frame, Namespace, sequence_of

if TYPE_CHECKING:
    from jinja2 import nodes

Assign = Callable[[Frame, object], None]


class Targets(Expressions):
    """Turns target nodes into closures; `assigned` collects the names that they set."""

    def __init__(self, *, lenient: bool) -> None:
        super().__init__(lenient=lenient)
        self.assigned: set[str] = set()

    def target(self, node: nodes.Node) -> Assign:
        """Return a function that stores a value where `set` or `for` says."""
        self.weight += 1
        sort = type(node).__name__
        if sort == "Name":
            return self._name_target(node.name, node.lineno)  # type: ignore[attr-defined]
        if sort == "NSRef":
            return self._attribute_target(node.name, node.attr)  # type: ignore[attr-defined]
        if sort != "Tuple":
            raise SyntaxFault("this cannot be assigned to", node.lineno)
        targets = [self.target(item) for item in node.items]  # type: ignore[attr-defined]

        def unpack(frame: Frame, value: object) -> None:
            items = sequence_of(value, frame.state.budget)
            if len(items) != len(targets):
                raise Fault(f"{len(targets)} names for {len(items)} values")
            for assign, item in zip(targets, items, strict=True):
                assign(frame, item)

        return unpack

    def _name_target(self, name: str, line: int) -> Assign:
        if name == "loop":
            raise SyntaxFault("'loop' cannot be assigned to", line)
        self.assigned.add(name)

        def assign(frame: Frame, value: object) -> None:
            frame.names[name] = value

        return assign

    def _attribute_target(self, name: str, attribute: str) -> Assign:
        def assign(frame: Frame, value: object) -> None:
            owner = look_up(frame, name)
            if not isinstance(owner, Namespace):
                raise Fault(f"{name!r} is not a namespace")
            owner.names[attribute] = value

        return assign
