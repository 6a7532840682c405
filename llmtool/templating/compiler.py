"""Jinja's sandboxed compiler, with a charge in the generated code for every block and operator.

The only importer of jinja2. Not supported: `include`, `import`, `extends`, `block`,
`autoescape`, `self`, and the filters and globals that chat templates do not use.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from datetime import datetime
from types import BuiltinMethodType, CodeType
from typing import Any, NoReturn

from jinja2 import TemplateSyntaxError, Undefined, nodes, pass_context
from jinja2.compiler import CodeGenerator, Frame
from jinja2.filters import FILTERS as JINJA_FILTERS
from jinja2.lexer import TokenStream
from jinja2.runtime import Context, LoopContext, Macro, StrictUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.tests import TESTS
from jinja2.utils import Namespace

from llmtool.templating.budget import RenderError
from llmtool.templating.guards import FILTERS, MAX_RANGE, METHODS, Meter, check_filter

MAX_SOURCE = 128 * 1024
FILE_NAME = "<template>"
_CALL_STEPS = 10
_COUNT = "count items"  # a filter that no template can name

_EXCLUDED: dict[type[nodes.Node], str] = {
    nodes.Include: "include",
    nodes.Import: "import",
    nodes.FromImport: "import",
    nodes.Extends: "extends",
    nodes.Block: "block",
    nodes.ScopedEvalContextModifier: "autoescape",
}
_LOOP = {"cycle", "changed", "depth", "depth0", "first", "index", "index0", "last", "length"}
_LOOP |= {"nextitem", "previtem", "revindex", "revindex0"}
_ATTRIBUTES: dict[type, Iterable[str]] = {
    LoopContext: _LOOP,
    Macro: {"arguments", "caller", "catch_kwargs", "catch_varargs", "name"},
    **METHODS,
}
_TIME_FORMAT = re.compile(r"(?:[^%]|%[-_0^#]?[A-Za-z%])*")


class TemplateContext(Context):
    """The variables of one rendering, its meter and its clock."""

    meter: Meter
    clock: Callable[[], datetime]

    def derived(self, locals: dict[str, Any] | None = None) -> TemplateContext:
        context: Any = super().derived(locals)
        context.meter, context.clock = self.meter, self.clock
        return context  # type: ignore[no-any-return]


class MeteredGenerator(CodeGenerator):
    """Writes Jinja's code with calls of the meter."""

    def write_commons(self) -> None:
        super().write_commons()
        self.writeline("meter = context.meter")
        self.writeline("concat = meter.concat")

    def blockvisit(self, nodes: Iterable[nodes.Node], frame: Frame) -> None:
        nodes = list(nodes)
        self.writeline(f"meter.step({1 + sum(map(_count_operations, nodes))})")
        super().blockvisit(nodes, frame)

    def _output_child_to_const(self, node: nodes.Expr, frame: Frame, finalize: Any) -> str:
        if not isinstance(node, nodes.TemplateData):
            raise nodes.Impossible
        return super()._output_child_to_const(node, frame, finalize)

    def _output_child_pre(self, node: nodes.Expr, frame: Frame, finalize: Any) -> None:
        self.write("meter.text(")

    def _output_child_post(self, node: nodes.Expr, frame: Frame, finalize: Any) -> None:
        self.write(")")

    def _call(self, method: str, *operands: nodes.Node, frame: Frame) -> None:
        self.write(f"meter.{method}(")
        for operand in operands:
            self.visit(operand, frame)
            self.write(", ")
        self.write(")")

    def _call_with_all(self, method: str, operands: Iterable[nodes.Node], frame: Frame) -> None:
        self.write(f"meter.{method}((")
        for operand in operands:
            self.visit(operand, frame)
            self.write(", ")
        self.write("))")

    def visit_Concat(self, node: nodes.Concat, frame: Frame) -> None:
        self._call_with_all("join", node.nodes, frame)

    def visit_Add(self, node: nodes.BinExpr, frame: Frame) -> None:
        operands: list[nodes.Expr] = []
        left: nodes.Expr = node
        while isinstance(left, nodes.Add):  # a long sum would nest deeper than Python compiles
            operands.append(left.right)
            left = left.left
        self._call_with_all("add", [left, *reversed(operands)], frame)

    def visit_Mul(self, node: nodes.BinExpr, frame: Frame) -> None:
        self._call("multiply", node.left, node.right, frame=frame)

    def visit_Pow(self, node: nodes.BinExpr, frame: Frame) -> None:
        self._call("power", node.left, node.right, frame=frame)

    def visit_Mod(self, node: nodes.BinExpr, frame: Frame) -> None:
        self._call("modulo", node.left, node.right, frame=frame)

    def visit_Compare(self, node: nodes.Compare, frame: Frame) -> None:
        if len(node.ops) == 1:
            name = nodes.Const(node.ops[0].op, lineno=node.lineno)
            self._call("compare", name, node.expr, node.ops[0].expr, frame=frame)
            return
        self.write("(")
        self._call("operand", node.expr, frame=frame)
        for op in node.ops:
            self.visit(op, frame)
        self.write(")")

    def visit_Getitem(self, node: nodes.Getitem, frame: Frame) -> None:
        if isinstance(node.arg, nodes.Slice):
            self.write("meter.track(")
            super().visit_Getitem(node, frame)
            self.write(")")
        elif isinstance(node.arg, nodes.Const):
            super().visit_Getitem(node, frame)
        else:
            self.write("environment.getitem(")
            self.visit(node.node, frame)
            self.write(", ")
            self._call("operand", node.arg, frame=frame)
            self.write(")")

    def visit_Dict(self, node: nodes.Dict, frame: Frame) -> None:
        self.write("{")
        for item in node.items:
            self._call("operand", item.key, frame=frame)
            self.write(": ")
            self.visit(item.value, frame)
            self.write(", ")
        self.write("}")


def _count_operations(node: nodes.Node) -> int:
    """Return the size of a statement without the blocks in it, which charge their own."""
    inner = [child for child in node.iter_child_nodes() if not isinstance(child, nodes.Stmt)]
    if isinstance(node, nodes.If):
        inner += [branch.test for branch in node.elif_]
    return 1 + sum(map(_count_operations, inner))


class MeteredEnvironment(ImmutableSandboxedEnvironment):
    """Jinja as transformers sets it up for chat templates, metered.

    Args:
        chat: whether the template comes from a model: an unknown variable is then empty, and
            `raise_exception` and `strftime_now` are there.
    """

    code_generator_class = MeteredGenerator
    context_class = TemplateContext
    tags = frozenset({"break", "continue", "generation"})

    def __init__(self, *, chat: bool) -> None:
        super().__init__(
            trim_blocks=True,
            lstrip_blocks=True,
            optimized=False,  # or Jinja computes constant expressions without limits
            undefined=Undefined if chat else StrictUndefined,
            cache_size=0,
        )
        functions = {**JINJA_FILTERS, "tojson": _tojson}
        self.filters = {name: _guard(name, functions[name]) for name in FILTERS}
        self.filters[_COUNT] = _count_items
        self.tests = {
            name: _guard_test(test)
            for name, test in TESTS.items()
            if name not in ("filter", "test", "escaped")
        }
        self.globals = {"dict": _dict, "namespace": _namespace, "range": _range}
        if chat:
            self.globals |= {"raise_exception": _raise, "strftime_now": _strftime_now}

    def iter_extensions(self) -> Any:
        return iter((_Tags,))

    def _tokenize(
        self, source: str, name: Any, filename: Any = None, state: Any = None
    ) -> TokenStream:
        # All at once: a lexer that a deep nesting interrupts would print a traceback of its own.
        tokens = self.lexer.wrap(list(self.lexer.tokeniter(source, name, filename, state)))
        return TokenStream(list(tokens), name, filename)

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        if isinstance(obj, Namespace):
            return not attr.startswith("_")
        return any(isinstance(obj, kind) and attr in names for kind, names in _ATTRIBUTES.items())

    def wrap_str_format(self, value: Any) -> Any:
        if isinstance(value, BuiltinMethodType) and value.__name__ == "format":
            return _FormatMethod(str(value.__self__))
        return None

    def call(__self, __context: Any, __obj: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: B902
        meter = __context.meter
        meter.step(_CALL_STEPS)
        if isinstance(__obj, _FormatMethod):
            return meter.format(__self, __obj.text, args, kwargs)
        if isinstance(__obj, BuiltinMethodType) and not isinstance(__obj.__self__, type):
            for name in ("_loop_vars", "_block_vars"):
                kwargs.pop(name, None)
            return meter.call(__obj, args, kwargs)
        meter.budget.measure(args)
        return super().call(__context, __obj, *args, **kwargs)

    def generate_code(self, source: str) -> tuple[nodes.Template, CodeType]:
        """Return the syntax tree and the code of a template.

        Raises:
            TemplateSyntaxError: it cannot be read.
        """
        if len(source) > MAX_SOURCE:
            raise TemplateSyntaxError(f"the template is longer than {MAX_SOURCE} characters", 1)
        tree = self._parse(source, None, FILE_NAME)
        for node in tree.find_all(tuple(_EXCLUDED)):
            reason = f"{_EXCLUDED[type(node)]!r} is not available in templates"
            raise TemplateSyntaxError(reason, node.lineno)
        for name in tree.find_all(nodes.Name):
            if name.name == "self":
                raise TemplateSyntaxError("'self' is not available in templates", name.lineno)
        for loop in tree.find_all(nodes.For):
            if loop.test is not None:  # the items that `if` skips run no block
                counted = nodes.Filter(loop.iter, _COUNT, [], [], None, None, lineno=loop.lineno)
                loop.iter = counted
        python = self._generate(tree, None, FILE_NAME)
        try:
            return tree, self._compile(python, FILE_NAME)
        except SyntaxError as exc:
            if "loop" not in exc.msg:
                raise
            pairs = (
                pair.split("=") for pair in python.rpartition("'")[0].rpartition("'")[2].split("&")
            )
            line = max((int(line) for line, at in pairs if int(at) <= (exc.lineno or 0)), default=1)
            raise TemplateSyntaxError(exc.msg, line) from None


class _Tags:
    """The tags that Jinja's parser lacks: loop controls, and transformers' `generation` block."""

    tags = MeteredEnvironment.tags

    @staticmethod
    def parse(parser: Any) -> nodes.Node:
        token = next(parser.stream)
        if token.value == "generation":
            body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
            return nodes.Scope(body, lineno=token.lineno)
        kind = nodes.Break if token.value == "break" else nodes.Continue
        return kind(lineno=token.lineno)


class _FormatMethod:
    def __init__(self, text: str) -> None:
        self.text = text


def _guard(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    wanted = getattr(function, "jinja_pass_arg", None)

    @pass_context
    def guarded(context: TemplateContext, value: Any, /, *args: Any, **kwargs: Any) -> Any:
        budget = context.meter.budget
        value = check_filter(name, budget, value, args, kwargs)
        first = {
            "context": (context,),
            "eval_context": (context.eval_ctx,),
            "environment": (context.environment,),
        }.get(wanted.name if wanted else "", ())
        return budget.track(function(*first, value, *args, **kwargs))

    return guarded


def _guard_test(test: Any) -> Callable[..., Any]:
    wants_environment = hasattr(test, "jinja_pass_arg")

    @pass_context
    def guarded(context: TemplateContext, *values: Any) -> Any:
        for value in values if len(values) > 1 else ():
            context.meter.operand(value)
        return test(context.environment, *values) if wants_environment else test(*values)

    return guarded


def _tojson(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | str | None = None,
    separators: Any = None,
    sort_keys: bool = False,
) -> str:
    """Write JSON as transformers does: no HTML escaping, characters as they are."""
    return json.dumps(
        value,
        ensure_ascii=ensure_ascii,
        indent=indent,
        separators=separators and tuple(separators),
        sort_keys=sort_keys,
    )


@pass_context
def _count_items(context: TemplateContext, items: Any) -> Any:
    return context.meter.budget.count(items)


@pass_context
def _dict(context: TemplateContext, *args: Any, **kwargs: Any) -> dict[str, Any]:
    return context.meter.track(dict(*args, **kwargs))


@pass_context
def _namespace(context: TemplateContext, *args: Any, **kwargs: Any) -> Namespace:
    return Namespace(_dict(context, *args, **kwargs))


def _range(*ends: int) -> range:
    numbers = range(*ends)
    if numbers and abs(numbers[-1] - numbers[0]) // abs(numbers.step) >= MAX_RANGE:
        raise RenderError(f"a range has more than {MAX_RANGE} numbers")
    return numbers


def _raise(message: object) -> NoReturn:
    raise RenderError(str(message)[:300])


@pass_context
def _strftime_now(context: TemplateContext, format: str) -> str:
    if len(format) > 200 or not _TIME_FORMAT.fullmatch(format):
        raise RenderError("strftime_now: unknown format")
    return context.clock().strftime(format)
