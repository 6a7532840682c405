"""Jinja's sandbox, in which operators, calls, filters and tests are charged to a budget.

The only importer of jinja2. Not supported: `include`, `import`, `extends`, `block`,
`autoescape`, `self`, and the filters and globals that chat templates do not use.
"""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Callable, Iterable, Sequence
from copy import copy
from datetime import datetime
from functools import partial
from types import BuiltinMethodType, CodeType
from typing import Any, NoReturn

from jinja2 import TemplateSyntaxError, Undefined, nodes, pass_context
from jinja2.compiler import CodeGenerator, Frame
from jinja2.filters import FILTERS
from jinja2.lexer import TokenStream
from jinja2.runtime import Context, LoopContext, Macro, StrictUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment, SandboxedFormatter
from jinja2.tests import TESTS
from jinja2.utils import Namespace

from llmtool.templating.budget import Budget, RenderError

MAX_SOURCE = 128 * 1024
MAX_INTEGER_BITS = 1024
MAX_RANGE = 100_000
FILE_NAME = "<template>"

_COUNT = "count items"  # a filter that no template can name
_CONSTANT_TIME = {"attr", "count", "d", "default", "first", "last", "length"}
_LAZY = {"items", "map", "reject", "rejectattr", "select", "selectattr"}
_LOOKUPS = {"get", "keys", "values"}
_WIDENING = {"batch", "center", "expandtabs", "indent", "ljust", "rjust", "round", "slice"}
_WIDENING |= {"tojson", "zfill"}
_ITERATING = {"dictsort", "groupby", "join", "list", "max", "min", "reverse", "sort", "sum"}
_ITERATING |= {"title", "unique", "wordcount"}
_FILTERS = _CONSTANT_TIME | _LAZY | _ITERATING
_FILTERS |= {"abs", "batch", "capitalize", "center", "e", "escape", "float", "format", "indent"}
_FILTERS |= {"int", "lower", "replace", "round", "safe", "slice", "string", "tojson", "trim"}
_FILTERS |= {"truncate", "upper"}

_METHODS: dict[type, set[str]] = {
    str: {name for name in dir(str) if not name.startswith("_")}
    - {"encode", "format", "format_map", "maketrans", "translate"},
    list: {"copy", "count", "index"},
    tuple: {"count", "index"},
    dict: {"copy", "get", "items", "keys", "values"},
}
_ATTRIBUTES: dict[type, set[str]] = {
    LoopContext: {name for name in dir(LoopContext) if not name.startswith("_")},
    Macro: {"arguments", "caller", "catch_kwargs", "catch_varargs", "name"},
    **_METHODS,
}
_LINE_ENDS = "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"
_TIME_FORMAT = re.compile(r"(?:[^%]|%[-_0^#]?[A-Za-z%])*")
_EXCLUDED: dict[type[nodes.Node], str] = {
    nodes.Include: "include",
    nodes.Import: "import",
    nodes.FromImport: "import",
    nodes.Extends: "extends",
    nodes.Block: "block",
    nodes.ScopedEvalContextModifier: "autoescape",
}


class MeteredGenerator(CodeGenerator):
    """Writes Jinja's code for an environment that is known when the template is rendered."""

    def write_commons(self) -> None:
        self.writeline("environment = context.environment")
        self.writeline("str_join = environment.join")
        super().write_commons()

    def blockvisit(self, nodes: Iterable[nodes.Node], frame: Frame) -> None:
        nodes = list(nodes)
        self.writeline(f"environment.budget.step({1 + sum(map(_count_operations, nodes))})")
        super().blockvisit(nodes, frame)

    def visit_Compare(self, node: nodes.Compare, frame: Frame) -> None:
        self.write(f"environment.compare({[each.op for each in node.ops]}, (")
        for operand in (node.expr, *(each.expr for each in node.ops)):
            self.visit(operand, frame)
            self.write(", ")
        self.write("))")

    def visit_Getitem(self, node: nodes.Getitem, frame: Frame) -> None:
        self.write("environment.budget.track(" if isinstance(node.arg, nodes.Slice) else "(")
        super().visit_Getitem(node, frame)
        self.write(")")

    def visit_Tuple(self, node: nodes.Tuple, frame: Frame) -> None:
        self.write("environment.budget.track(" if node.ctx == "load" else "(")
        super().visit_Tuple(node, frame)
        self.write(")")


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

    budget: Budget
    clock: Callable[[], datetime]

    code_generator_class = MeteredGenerator
    intercepted_binops = frozenset({"+", "*", "**", "%"})
    tags = frozenset({"break", "continue", "generation"})

    def __init__(self, *, chat: bool) -> None:
        super().__init__(
            trim_blocks=True,
            lstrip_blocks=True,
            optimized=False,  # or Jinja computes constant expressions without limits
            finalize=_finalize,
            undefined=Undefined if chat else StrictUndefined,
            cache_size=0,
        )
        self.filters = {
            name: _metered(name, _tojson if name == "tojson" else FILTERS[name])
            for name in _FILTERS
        }
        self.filters[_COUNT] = _count_items
        self.tests = {
            name: _metered(name, test)
            for name, test in TESTS.items()
            if name not in ("filter", "test", "escaped")
        }
        self.globals = {"dict": dict, "namespace": _namespace, "range": _range}
        if chat:
            self.globals |= {"raise_exception": _raise, "strftime_now": _strftime_now}

    def metered(self, budget: Budget, clock: Callable[[], datetime]) -> MeteredEnvironment:
        """Return a copy for one rendering."""
        environment = copy(self)
        environment.budget, environment.clock = budget, clock
        return environment

    def iter_extensions(self) -> Any:
        return iter((_Tags,))

    def _tokenize(
        self, source: str, name: Any, filename: Any = None, state: Any = None
    ) -> TokenStream:
        # All at once: a lexer that a deep nesting interrupts would print a traceback of its own.
        tokens = self.lexer.wrap(list(self.lexer.tokeniter(source, name, filename, state)))
        return TokenStream(list(tokens), name, filename)

    def generate_code(self, source: str) -> tuple[nodes.Template, CodeType]:
        """Return the syntax tree and the code of a template.

        Raises:
            TemplateSyntaxError: it cannot be read.
        """
        if len(source) > MAX_SOURCE:
            raise TemplateSyntaxError(f"the template is longer than {MAX_SOURCE} characters", 1)
        tree = self._parse(source, None, FILE_NAME)
        for node in tree.find_all(nodes.Node):
            name = _EXCLUDED.get(type(node), "")
            if name or (isinstance(node, nodes.Name) and node.name == "self"):
                reason = f"{name or 'self'!r} is not available in templates"
                raise TemplateSyntaxError(reason, node.lineno)
        for loop in tree.find_all(nodes.For):
            if loop.test is not None:  # the items that `if` skips run no block
                counted = nodes.Filter(loop.iter, _COUNT, [], [], None, None, lineno=loop.lineno)
                loop.iter = counted
        return tree, self._compile(self._generate(tree, None, FILE_NAME), FILE_NAME)

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        if isinstance(obj, Namespace):
            return not attr.startswith("_")
        return any(isinstance(obj, kind) and attr in names for kind, names in _ATTRIBUTES.items())

    def wrap_str_format(self, value: Any) -> Any:
        if isinstance(value, BuiltinMethodType) and value.__name__ == "format":
            return partial(self._format, str(value.__self__))
        return None

    def _format(self, text: str, *args: Any, **kwargs: Any) -> str:
        return str(_Formatter(self).vformat(text, args, kwargs))

    def call(__self, __context: Any, __obj: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: B902
        if isinstance(__obj, BuiltinMethodType) and type(__obj.__self__) is not type:
            for extra in ("_loop_vars", "_block_vars"):
                kwargs.pop(extra, None)
            value, name = __obj.__self__, __obj.__name__
            build = partial(__obj, *args, **kwargs)
            if name == "join" and args:  # in the filter's order
                value, args = args[0], (value, *args[1:])
            return __self.run(name, build, value, args, kwargs)
        __self.budget.step(10)
        __self.budget.measure(args)
        return __self.budget.track(super().call(__context, __obj, *args, **kwargs))

    def run(
        self, name: str, build: Callable[[], Any], value: Any, args: tuple[Any, ...], kwargs: Any
    ) -> Any:
        """Call a filter, test or method with its value and arguments after a check of the result.

        The result is at most six times the value, as JSON has `\\u0001` for a character, and for
        each piece of the value all arguments: texts, or columns.
        """
        budget = self.budget
        options = (*args, *kwargs.values())
        size = 0 if name in _LAZY | _LOOKUPS else budget.measure(value)
        n_characters = sum(len(each) for each in options if isinstance(each, str))
        n_columns = sum(abs(each) for each in options if isinstance(each, int))
        budget.step(10 + (size * (n_characters + (size if name == "int" else 0)) >> 8))
        budget.measure(options)
        if name == "format":
            self._check_percent(str(value), kwargs or args)
        n = _count_pieces(name, value, size, args)
        if name == "sum" and any(isinstance(each, (list, tuple)) for each in options):
            n *= size  # a list is copied again for each item
        width = 80 + 24 * n_characters + (100 * n_columns if name in _WIDENING else 0)
        budget.reserve(6 * size + n * width)
        if n > 64 and (isinstance(value, str) or name in ("batch", "slice")):
            budget.spend(40 * n)
        return budget.track(build())

    def concat(self, parts: Iterable[str]) -> str:  # type: ignore[override]
        """Join the output of a block."""
        parts = list(parts)
        self.budget.reserve(4 * sum(map(len, parts)))
        return self.budget.track("".join(parts))  # type: ignore[no-any-return]

    def join(self, values: Sequence[object]) -> str:
        """Return `a ~ b ~ c`."""
        for value in values:
            self.budget.reserve(self.budget.measure(value))
        return self.concat(map(str, values))

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        budget = self.budget
        if isinstance(left, (str, list, tuple)) and operator == "+":
            budget.reserve(8 * (len(left) + (len(right) if hasattr(right, "__len__") else 0)))
        elif operator == "*" and not (isinstance(left, int) and isinstance(right, int)):
            for times, other in ((left, right), (right, left)):
                if isinstance(times, int) and isinstance(other, (str, list, tuple)):
                    budget.reserve(max(times, 0) * budget.measure(other))
        elif isinstance(left, int) and isinstance(right, int):
            bits = left.bit_length() * abs(right) if operator == "**" else left.bit_length()
            if operator != "%" and bits + right.bit_length() > MAX_INTEGER_BITS:
                raise RenderError(f"a number has more than {MAX_INTEGER_BITS} bits")
        elif isinstance(left, str) and operator == "%":
            self._check_percent(left, right)
        return budget.track(super().call_binop(context, operator, left, right))

    def _check_percent(self, text: str, values: Any) -> None:
        """Check that `text % values` may be built."""
        n_fields = text.count("%")
        size = self.budget.measure(values) * (n_fields if isinstance(values, dict) else 1)
        columns = _count_columns(text)
        if "*" in text:
            values = values if isinstance(values, tuple) else (values,)
            columns += sum(abs(each) for each in values if isinstance(each, int))
        self.budget.reserve(4 * (len(text) + 100 * n_fields + columns) + 6 * size)

    def compare(self, names: list[str], values: tuple[Any, ...]) -> Any:
        """Return `a < b <= c`; operators have their names in Jinja's syntax tree."""
        result: Any = True
        for name, left, right in zip(names, values, values[1:], strict=False):
            if isinstance(right, (str, list, tuple, dict)):
                if isinstance(left, (list, tuple, dict)):
                    self.budget.measure((left, right))
                elif not isinstance(right, dict):
                    self.budget.step(len(right) >> 4)
            result = result and _COMPARE[name](left, right)
        return result


_COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "lt": operator.lt,
    "lteq": operator.le,
    "gt": operator.gt,
    "gteq": operator.ge,
    "in": lambda left, right: left in right,
    "notin": lambda left, right: left not in right,
}


class _Tags:
    """The tags that Jinja's parser lacks: loop controls, and transformers' `generation` block."""

    tags = MeteredEnvironment.tags

    @staticmethod
    def parse(parser: Any) -> nodes.Node:
        token = next(parser.stream)
        if token.value == "generation":
            body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
            return nodes.Scope(body, lineno=token.lineno)
        around = [tag for tag in parser._tag_stack if tag in ("for", "macro", "call")]
        if around[-1:] != ["for"]:
            parser.fail(f"'{token.value}' outside loop", token.lineno)
        kind = nodes.Break if token.value == "break" else nodes.Continue
        return kind(lineno=token.lineno)


class _Formatter(SandboxedFormatter):
    """`str.format`, whose fields reach what templates reach, no more."""

    _env: MeteredEnvironment

    def convert_field(self, value: Any, conversion: Any) -> Any:
        size = 6 * self._env.budget.measure(value)
        self._env.budget.reserve(size)
        self._env.budget.spend(size)
        return super().convert_field(value, conversion)

    def format_field(self, value: Any, format_spec: str) -> Any:
        self._env.budget.reserve(4 * _count_columns(format_spec))
        return super().format_field(value, format_spec)


def _count_columns(text: str) -> int:
    """Return the sum of all numbers in a format."""
    return sum(int(digits[0][:12]) for digits in re.finditer(r"\d+", text))


def _count_pieces(name: str, value: Any, size: int, args: tuple[Any, ...]) -> int:
    """Return how often a filter or method may write its arguments, or how many items it makes."""
    if name in ("replace", "split", "rsplit"):
        wanted = args[0] if args else None
        if not isinstance(value, str) or not isinstance(wanted, str):
            return size
        return value.count(wanted) + 1
    if name in ("indent", "splitlines") and isinstance(value, str):
        return 1 + sum(map(value.count, _LINE_ENDS))
    if name == "expandtabs":
        return 1 + int(value.count("\t"))
    if name in _ITERATING:
        return len(value) if hasattr(value, "__len__") else MAX_RANGE
    return size >> 1 if name == "tojson" else 1


def _metered(name: str, function: Any) -> Callable[..., Any]:
    """Return a filter or test that is charged to the budget of the rendering."""
    is_operator = name == "in" or function.__module__ == "_operator"
    if name in _CONSTANT_TIME or (name not in _FILTERS and not is_operator):
        return function
    kind = getattr(getattr(function, "jinja_pass_arg", None), "name", "")

    @pass_context
    def metered(context: Context, value: Any, /, *args: Any, **kwargs: Any) -> Any:
        environment: Any = context.environment
        first = {
            "context": (context,),
            "eval_context": (context.eval_ctx,),
            "environment": (environment,),
        }.get(kind, ())
        build = partial(function, *first, value, *args, **kwargs)
        return environment.run(name, build, value, args, kwargs)

    return metered


@pass_context
def _finalize(context: Context, value: Any) -> str:
    """Return what `{{ value }}` prints."""
    budget: Budget = context.environment.budget  # type: ignore[attr-defined]
    size = budget.measure(value)
    if type(value) is not str:
        budget.reserve(6 * size)
        value = str(value)
    budget.spend(size)
    return value  # type: ignore[no-any-return]


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
def _count_items(context: Any, items: Any) -> Any:
    return context.environment.budget.count(items)


@pass_context
def _namespace(context: Any, *args: Any, **kwargs: Any) -> Namespace:
    return Namespace(context.environment.budget.track(dict(*args, **kwargs)))


def _range(*ends: int) -> range:
    numbers = range(*ends)
    if numbers and abs(numbers[-1] - numbers[0]) // abs(numbers.step) >= MAX_RANGE:
        raise RenderError(f"a range has more than {MAX_RANGE} numbers")
    return numbers


def _raise(message: object) -> NoReturn:
    raise RenderError(str(message)[:300])


@pass_context
def _strftime_now(context: Any, format: str) -> str:
    if len(format) > 200 or not _TIME_FORMAT.fullmatch(format):
        raise RenderError("strftime_now: unknown format")
    return str(context.environment.clock().strftime(format))
