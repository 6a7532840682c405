"""Statements of the syntax tree to Python closures that write into a list of texts.

Scopes follow Jinja: `if` has none of its own, each round of a loop, a macro, a captured block and
`with` have one, and a macro sees the variables of the place where it was defined. A statement
returns GO_ON, or how it leaves the loop around it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from llmtool.sandbox.access import invoke
from llmtool.sandbox.expressions import FILTERED, Expr
from llmtool.sandbox.macros import Signature
from llmtool.sandbox.output import Run, call_body, capture, write
from llmtool.sandbox.survey import reclaim
from llmtool.sandbox.syntax import SyntaxFault
from llmtool.sandbox.targets import Assign, Targets
from llmtool.sandbox.values import Callee, Frame, Loop, State, sequence_of, text_of

if TYPE_CHECKING:
    from jinja2 import nodes

GO_ON, BREAK, CONTINUE = 0, 1, 2


class Statements(Targets):
    """Turns statement nodes into closures."""

    def __init__(self, *, lenient: bool) -> None:
        super().__init__(lenient=lenient)
        self._in_loop = False

    def body(self, children: list[nodes.Node]) -> Run:
        """Return the statements in a row; each run pays for its expressions up front."""
        outside, self.weight = self.weight, 1
        runs: list[Run] = []
        for child in children:
            runs.extend(self._statement(child))
        weight, self.weight = self.weight, outside

        def run(frame: Frame, out: list[str]) -> int:
            frame.state.budget.step(weight)
            for statement in runs:
                signal = statement(frame, out)
                if signal:
                    return signal
            return GO_ON

        return run

    def _statement(self, node: nodes.Node) -> list[Run]:
        if type(node).__name__ == "Output":
            return [self._output(part) for part in node.nodes]  # type: ignore[attr-defined]
        self.weight += 1
        name = type(node).__name__.lower()
        build: Callable[[nodes.Node], Run] | None = getattr(self, "on_" + name, None)
        if build is None:
            raise SyntaxFault(f"{name!r} is not available in templates", node.lineno)
        run, line = build(node), node.lineno

        def at_line(frame: Frame, out: list[str]) -> int:
            frame.state.line = line
            return run(frame, out)

        return [at_line]

    def _output(self, node: nodes.Expr) -> Run:
        if type(node).__name__ == "TemplateData":
            text: str = node.data  # type: ignore[attr-defined]
            size = text.__sizeof__()

            def literal(frame: Frame, out: list[str]) -> int:
                out.append(text)
                frame.state.budget.spend(size)
                return GO_ON

            return literal
        value, line = self.expr(node), node.lineno

        def written(frame: Frame, out: list[str]) -> int:
            state = frame.state
            state.line = line
            write(text_of(value(frame), state.budget), state, out)
            return GO_ON

        return written

    def on_if(self, node: nodes.If) -> Run:
        branches = [(self.expr(node.test), self.body(node.body))]
        branches += [(self.expr(part.test), self.body(part.body)) for part in node.elif_]
        otherwise = self.body(node.else_)

        def run(frame: Frame, out: list[str]) -> int:
            for test, body in branches:
                if test(frame):
                    return body(frame, out)
            return otherwise(frame, out)

        return run

    def on_for(self, node: nodes.For) -> Run:
        iterable, target = self.expr(node.iter), self.target(node.target)
        around, self._in_loop = self._in_loop, True
        test = self._item_test(node.test) if node.test else None
        body = self.body(node.body)
        self._in_loop = around
        otherwise = self.body(node.else_)

        def rounds(value: object, frame: Frame, out: list[str], depth0: int) -> int:
            state = frame.state
            items = sequence_of(value, state.budget)
            if test:
                items = [item for item in items if test(frame, target, item)]
            loop = Loop(items, depth0, recursion(frame, depth0 + 1) if node.recursive else None)
            complete = False
            for index, item in enumerate(items):
                loop.index0 = index
                inner = Frame({"loop": loop}, frame, state)
                target(inner, item)
                if state.budget.bytes < state.budget.reclaim_below and not state.captures:
                    reclaim(inner, out)
                signal = body(inner, out)
                if signal == BREAK:
                    break
                complete = complete or signal == GO_ON
            if complete:
                return GO_ON
            return otherwise(Frame({}, frame, state), out)

        def recursion(frame: Frame, depth0: int) -> Callee:
            def call(state: State, value: object) -> str:
                return call_body(state, lambda inner, out: rounds(value, frame, out, depth0), frame)

            return Callee("loop", call, frame)

        return lambda frame, out: rounds(iterable(frame), frame, out, 0)

    def _item_test(self, node: nodes.Node) -> Callable[[Frame, Assign, object], bool]:
        """The `if` of a `for`: asked of each item in a scope of its own."""
        outside, self.weight = self.weight, 1
        test = self.expr(node)
        weight, self.weight = self.weight, outside

        def ask(frame: Frame, target: Assign, item: object) -> bool:
            frame.state.budget.step(weight)
            inner = Frame({}, frame, frame.state)
            target(inner, item)
            return bool(test(inner))

        return ask

    def on_break(self, node: nodes.Node) -> Run:
        return self._leave(node, BREAK)

    def on_continue(self, node: nodes.Node) -> Run:
        return self._leave(node, CONTINUE)

    def _leave(self, node: nodes.Node, signal: int) -> Run:
        if not self._in_loop:
            raise SyntaxFault(f"{type(node).__name__.lower()!r} outside of a loop", node.lineno)
        return lambda frame, out: signal

    def on_assign(self, node: nodes.Assign) -> Run:
        value, target = self.expr(node.node), self.target(node.target)

        def run(frame: Frame, out: list[str]) -> int:
            target(frame, value(frame))
            return GO_ON

        return run

    def on_assignblock(self, node: nodes.AssignBlock) -> Run:
        text, target = self._captured(node.body, node.filter), self.target(node.target)

        def run(frame: Frame, out: list[str]) -> int:
            target(frame, text(frame))
            return GO_ON

        return run

    def on_filterblock(self, node: nodes.FilterBlock) -> Run:
        text = self._captured(node.body, node.filter)

        def run(frame: Frame, out: list[str]) -> int:
            write(text_of(text(frame), frame.state.budget), frame.state, out)
            return GO_ON

        return run

    def _captured(self, children: list[nodes.Node], filter: nodes.Filter | None) -> Expr:
        body = self._in_place(children)
        change = self.expr(filter) if filter else None

        def evaluate(frame: Frame) -> object:
            text = capture(body, Frame({}, frame, frame.state))
            if change is None:
                return text
            return change(Frame({FILTERED: text}, frame, frame.state))

        return evaluate

    def _in_place(self, children: list[nodes.Node]) -> Run:
        """A body whose text is captured: no loop around it can be left from inside."""
        around, self._in_loop = self._in_loop, False
        body = self.body(children)
        self._in_loop = around
        return body

    def on_scope(self, node: nodes.Scope) -> Run:
        body = self.body(node.body)
        return lambda frame, out: body(Frame({}, frame, frame.state), out)

    def on_with(self, node: nodes.With) -> Run:
        pairs = [
            (self.target(target), self.expr(value))
            for target, value in zip(node.targets, node.values, strict=True)
        ]
        body = self.body(node.body)

        def run(frame: Frame, out: list[str]) -> int:
            inner = Frame({}, frame, frame.state)
            for assign, value in pairs:
                assign(inner, value(frame))
            return body(inner, out)

        return run

    def on_macro(self, node: nodes.Macro) -> Run:
        make, name = self._macro(node, node.name), node.name
        self.assigned.add(name)

        def run(frame: Frame, out: list[str]) -> int:
            frame.names[name] = make(frame)
            return GO_ON

        return run

    def on_callblock(self, node: nodes.CallBlock) -> Run:
        callee, arguments = self.expr(node.call.node), self.arguments(node.call)
        make = self._macro(node, "caller")

        def run(frame: Frame, out: list[str]) -> int:
            args, kwargs = arguments(frame)
            kwargs["caller"] = make(frame)
            result = invoke(callee(frame), frame.state, args, kwargs)
            write(text_of(result, frame.state.budget), frame.state, out)
            return GO_ON

        return run

    def _macro(self, node: nodes.Macro | nodes.CallBlock, name: str) -> Callable[[Frame], Callee]:
        parameters = [parameter.name for parameter in node.args]
        self.assigned.update(parameters)
        defaults = [self.expr(default) for default in node.defaults]
        outside, self.loaded = self.loaded, {}
        body = self._in_place(node.body)
        signature = Signature(name, parameters, defaults, self.loaded)
        self.assigned.update(signature.special)
        for loaded, line in self.loaded.items():
            outside.setdefault(loaded, line)
        self.loaded = outside

        def make(frame: Frame) -> Callee:
            frame.state.budget.spend(500)

            def call(state: State, *args: object, **kwargs: object) -> str:
                inner = Frame({}, frame, state)
                signature.bind(inner, args, kwargs)
                return call_body(state, body, inner)

            return Callee(name, call, frame)

        return make
