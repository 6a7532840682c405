"""How the arguments of a macro call become variables."""

from __future__ import annotations

from collections.abc import Callable, Container

from llmtool.sandbox.budget import Fault
from llmtool.sandbox.values import Frame


class Signature:
    """The parameters of a macro, and which of `caller`, `kwargs` and `varargs` its body uses."""

    def __init__(
        self,
        name: str,
        parameters: list[str],
        defaults: list[Callable[[Frame], object]],
        used: Container[str],
    ) -> None:
        self.name = name
        self.parameters = parameters
        self.special = [
            word
            for word in ("caller", "kwargs", "varargs")
            if word in used and word not in parameters
        ]
        first = len(parameters) - len(defaults)
        self._defaults = dict(zip(parameters[first:], defaults, strict=True))

    def bind(self, frame: Frame, args: tuple[object, ...], kwargs: dict[str, object]) -> None:
        """Fill the scope of one call; defaults see the parameters before them."""
        names = frame.names
        frame.state.budget.spend(300 + 100 * (len(args) + len(kwargs)))
        for position, name in enumerate(self.parameters):
            if position < len(args):
                names[name] = args[position]
            elif name in kwargs:
                names[name] = kwargs.pop(name)
            elif name in self._defaults:
                names[name] = self._defaults[name](frame)
            else:
                names[name] = frame.state.missing(f"parameter {name!r} was not provided")
        if "caller" in self.special:
            missing = frame.state.missing("'caller' is undefined")
            names["caller"] = kwargs.pop("caller", missing)
        if "kwargs" in self.special:
            names["kwargs"] = kwargs
        elif kwargs:
            raise Fault(f"macro {self.name!r} has no parameter {next(iter(kwargs))[:60]!r}")
        if "varargs" in self.special:
            names["varargs"] = args[len(self.parameters) :]
        elif len(args) > len(self.parameters):
            raise Fault(f"macro {self.name!r} takes at most {len(self.parameters)} arguments")
