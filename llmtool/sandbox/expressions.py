"""Expressions of the syntax tree to Python closures that evaluate them within a budget."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from llmtool.sandbox.access import attribute, invoke, look_up
from llmtool.sandbox.budget import MAX_INTEGER_BITS, Fault, measure
from llmtool.sandbox.filters_list import FILTERS, filter_named, test_named
from llmtool.sandbox.methods import method_of
from llmtool.sandbox.operators import BINARY, COMPARISONS, concat, negate, plus
from llmtool.sandbox.predicates import TESTS
from llmtool.sandbox.syntax import SyntaxFault
from llmtool.sandbox.values import SCALARS, Frame, Undefined, item_of, kind

if TYPE_CHECKING:
    from jinja2 import nodes

Expr = Callable[[Frame], object]
Arguments = Callable[[Frame], tuple[list[object], dict[str, object]]]

FILTERED = ""  # the name, impossible in a template, of the text that a filter block captured


class Expressions:
    """Turns expression nodes into closures; `weight` counts the nodes turned so far."""

    def __init__(self, *, lenient: bool) -> None:
        self.lenient = lenient
        self.weight = 0
        self.loaded: dict[str, int] = {}

    def expr(self, node: nodes.Node) -> Expr:
        self.weight += 1
        kind = type(node).__name__
        if kind in BINARY:
            return self._binary(node)  # type: ignore[arg-type]
        build: Callable[[nodes.Node], Expr] | None = getattr(self, "on_" + kind.lower(), None)
        if build is None:
            raise SyntaxFault(f"{kind} is not available in templates", node.lineno)
        return build(node)

    def on_const(self, node: nodes.Const) -> Expr:
        value = node.value
        if isinstance(value, int) and value.bit_length() > MAX_INTEGER_BITS:
            raise SyntaxFault(f"an integer has more than {MAX_INTEGER_BITS} bits", node.lineno)
        return lambda frame: value

    def on_templatedata(self, node: nodes.TemplateData) -> Expr:
        text = node.data
        return lambda frame: text

    def on_name(self, node: nodes.Name) -> Expr:
        name = node.name
        self.loaded.setdefault(name, node.lineno)
        return lambda frame: look_up(frame, name)

    def on_tuple(self, node: nodes.Tuple) -> Expr:
        build = self._sequence(node.items)
        return lambda frame: tuple(build(frame))

    def on_list(self, node: nodes.List) -> Expr:
        return self._sequence(node.items)

    def _sequence(self, items: list[nodes.Expr]) -> Callable[[Frame], list[object]]:
        parts = [self.expr(item) for item in items]

        def evaluate(frame: Frame) -> list[object]:
            frame.state.budget.spend(64 + 80 * len(parts))
            return [part(frame) for part in parts]

        return evaluate

    def on_dict(self, node: nodes.Dict) -> Expr:
        pairs = [(self.expr(pair.key), self.expr(pair.value)) for pair in node.items]

        def evaluate(frame: Frame) -> object:
            budget = frame.state.budget
            budget.spend(64 + 200 * len(pairs))
            table = {}
            for key_of, value_of in pairs:
                key = key_of(frame)
                if not isinstance(key, SCALARS):
                    measure(key, budget)
                table[key] = value_of(frame)
                budget.step()
            return table

        return evaluate

    def _binary(self, node: nodes.BinExpr) -> Expr:
        left, right = self.expr(node.left), self.expr(node.right)
        apply = BINARY[type(node).__name__]
        return lambda frame: apply(left(frame), right(frame), frame.state.budget)

    def on_neg(self, node: nodes.Neg) -> Expr:
        value = self.expr(node.node)
        return lambda frame: negate(value(frame), frame.state.budget)

    def on_pos(self, node: nodes.Pos) -> Expr:
        value = self.expr(node.node)
        return lambda frame: plus(value(frame), frame.state.budget)

    def on_not(self, node: nodes.Not) -> Expr:
        value = self.expr(node.node)
        return lambda frame: not value(frame)

    def on_and(self, node: nodes.And) -> Expr:
        left, right = self.expr(node.left), self.expr(node.right)
        return lambda frame: left(frame) and right(frame)

    def on_or(self, node: nodes.Or) -> Expr:
        left, right = self.expr(node.left), self.expr(node.right)
        return lambda frame: left(frame) or right(frame)

    def on_condexpr(self, node: nodes.CondExpr) -> Expr:
        test, yes = self.expr(node.test), self.expr(node.expr1)
        if node.expr2 is not None:
            no = self.expr(node.expr2)
            return lambda frame: yes(frame) if test(frame) else no(frame)
        hint = "an inline if is false and has no else"
        return lambda frame: yes(frame) if test(frame) else frame.state.missing(hint)

    def on_concat(self, node: nodes.Concat) -> Expr:
        parts = [self.expr(part) for part in node.nodes]
        return lambda frame: concat([part(frame) for part in parts], frame.state.budget)

    def on_compare(self, node: nodes.Compare) -> Expr:
        first = self.expr(node.expr)
        steps = [(COMPARISONS[operand.op], self.expr(operand.expr)) for operand in node.ops]
        if len(steps) == 1:
            compare, second = steps[0]
            return lambda frame: compare(first(frame), second(frame), frame.state.budget)

        def chain(frame: Frame) -> bool:
            left = first(frame)
            for compare, operand in steps:
                right = operand(frame)
                if not compare(left, right, frame.state.budget):
                    return False
                left = right
            return True

        return chain

    def on_getattr(self, node: nodes.Getattr) -> Expr:
        target, name = self.expr(node.node), node.attr
        return lambda frame: attribute(target(frame), name, frame.state)

    def on_getitem(self, node: nodes.Getitem) -> Expr:
        target = self.expr(node.node)
        if type(node.arg).__name__ == "Slice":
            return self._slice(target, node.arg)  # type: ignore[arg-type]
        key_of = self.expr(node.arg)
        is_written = type(node.arg).__name__ == "Const"

        def evaluate(frame: Frame) -> object:
            value, key = target(frame), key_of(frame)
            found = item_of(value, key, frame.state)
            if isinstance(found, Undefined) and isinstance(key, str):
                found = attribute(value, key, frame.state)
                if isinstance(found, Undefined) and not is_written:  # an input can be the key
                    return frame.state.missing(f"{kind(value)} has no such element")
            return found

        return evaluate

    def _slice(self, target: Expr, node: nodes.Slice) -> Expr:
        ends = [self.expr(part) if part else None for part in (node.start, node.stop, node.step)]

        def evaluate(frame: Frame) -> object:
            value = target(frame)
            part: Any = slice(*[end(frame) if end else None for end in ends])
            budget = frame.state.budget
            if isinstance(value, str):
                budget.step(1 + (len(value) >> 8))
                return budget.built(value[part])
            if isinstance(value, Undefined):
                value.fail()
            if not isinstance(value, (list, tuple, range)):
                raise Fault(f"{kind(value)} cannot be sliced")
            taken = value[part]
            budget.spend(64 + 8 * len(taken))
            return taken

        return evaluate

    def on_test(self, node: nodes.Test) -> Expr:
        self._known(node, TESTS, "test")
        value, arguments, name = self.expr(node.node), self.arguments(node), node.name

        def evaluate(frame: Frame) -> bool:
            args, kwargs = arguments(frame)
            return bool(test_named(name)(frame.state, value(frame), *args, **kwargs))

        return evaluate

    def on_filter(self, node: nodes.Filter) -> Expr:
        self._known(node, FILTERS, "filter")
        name, arguments = node.name, self.arguments(node)
        value: Expr = self.expr(node.node) if node.node else lambda at: look_up(at, FILTERED)

        def evaluate(frame: Frame) -> object:
            frame.state.budget.step()
            subject = value(frame)
            args, kwargs = arguments(frame)
            return filter_named(name)(frame.state, subject, *args, **kwargs)

        return evaluate

    def _known(
        self, node: nodes.Filter | nodes.Test, table: Mapping[str, object], what: str
    ) -> None:
        """Refuse an unknown name early, except where only the branches not taken may use it."""
        if node.name not in table and not self.lenient:
            from difflib import get_close_matches

            near = get_close_matches(node.name, table, 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise SyntaxFault(f"there is no {what} {node.name!r}{hint}", node.lineno)

    def on_call(self, node: nodes.Call) -> Expr:
        arguments = self.arguments(node)
        if type(node.node).__name__ != "Getattr":
            callee = self.expr(node.node)
            return lambda frame: invoke(callee(frame), frame.state, *arguments(frame))
        target, name = self.expr(node.node.node), node.node.attr  # type: ignore[attr-defined]

        def call_method(frame: Frame) -> object:
            value = target(frame)
            method = method_of(value, name)
            args, kwargs = arguments(frame)
            if method is None:
                return invoke(attribute(value, name, frame.state), frame.state, args, kwargs)
            frame.state.budget.step()
            return method(frame.state.budget, value, *args, **kwargs)

        return call_method

    def arguments(self, node: nodes.Call | nodes.Filter | nodes.Test) -> Arguments:
        """Return a function that evaluates the arguments of a call, filter or test."""
        parts = [self.expr(arg) for arg in node.args]
        named = [(str(pair.key), self.expr(pair.value)) for pair in node.kwargs]
        more = self.expr(node.dyn_args) if node.dyn_args else None
        more_named = self.expr(node.dyn_kwargs) if node.dyn_kwargs else None

        def evaluate(frame: Frame) -> tuple[list[object], dict[str, object]]:
            args = [part(frame) for part in parts]
            kwargs: dict[str, object] = {key: value(frame) for key, value in named}
            if more or more_named:
                self._unpack(frame, args, kwargs, more, more_named)
            return args, kwargs

        return evaluate

    @staticmethod
    def _unpack(
        frame: Frame,
        args: list[object],
        kwargs: dict[str, object],
        more: Expr | None,
        more_named: Expr | None,
    ) -> None:
        """Add what `f(*more, **more_named)` passes."""
        budget = frame.state.budget
        if more:
            extra = more(frame)
            if not isinstance(extra, (list, tuple)):
                raise Fault(f"*{kind(extra)} is not possible")
            budget.spend(8 * len(extra))
            args.extend(extra)
        if more_named:
            table = more_named(frame)
            if not isinstance(table, dict) or not all(isinstance(key, str) for key in table):
                raise Fault(f"**{kind(table)} is not possible")
            budget.spend(100 * len(table))
            kwargs.update(table)
