"""Jinja's sandbox, in which operators, calls, filters and tests are charged to a budget.

The only importer of jinja2. Not supported: `include`, `import`, `extends`, `block`,
`autoescape`, `self`, and the filters and globals that chat templates do not use.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from functools import cache, partial
from itertools import pairwise
from types import BuiltinMethodType, CodeType
from typing import Any, NoReturn

from jinja2 import TemplateSyntaxError, Undefined, nodes, pass_context
from jinja2.compiler import CodeGenerator, Frame, operators
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
_UNAVAILABLE = {"filesizeformat", "forceescape", "pprint", "random", "striptags", "urlencode"}
_UNAVAILABLE |= {"urlize", "wordwrap", "xmlattr"}
_CONSTANT_TIME = {"attr", "count", "d", "default", "first", "last", "length"}
_LAZY = {"items", "map", "reject", "rejectattr", "select", "selectattr"}
_LAZY |= {_COUNT, "get", "keys", "values"}
_ITERATING = {"dictsort", "groupby", "join", "list", "max", "min", "reverse", "sort", "sum"}
_ITERATING |= {"title", "unique", "wordcount"}
_WIDENING = {"batch", "center", "expandtabs", "indent", "ljust", "rjust", "round", "slice"}
_WIDENING |= {"tojson", "zfill"}

_UNSAFE_METHODS = {"encode", "format", "format_map", "maketrans", "translate"}
_ATTRIBUTES: dict[type, set[str]] = {
    str: {name for name in dir(str) if not name.startswith("_")} - _UNSAFE_METHODS,
    list: {"copy", "count", "index"},
    tuple: {"count", "index"},
    dict: {"copy", "get", "items", "keys", "values"},
    LoopContext: {name for name in dir(LoopContext) if not name.startswith("_")},
    Macro: {"arguments", "caller", "catch_kwargs", "catch_varargs", "name"},
}
_LINE_ENDS = "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"
_SEPARATORS = {"expandtabs": "\t", "indent": _LINE_ENDS, "splitlines": _LINE_ENDS}
_EXCLUDED = {"include", "import", "from", "extends", "block", "autoescape"}


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
        names = [f"x{n}" for n in range(len(node.ops) + 1)]
        chain = "".join(
            f" {operators[op.op]} {x}" for op, x in zip(node.ops, names[1:], strict=True)
        )
        self.write(f"(lambda {', '.join(names)}: x0{chain})(*environment.comparable(")
        for operand in (node.expr, *(op.expr for op in node.ops)):
            self.visit(operand, frame)
            self.write(", ")
        self.write("))")

    def visit_Getitem(self, node: nodes.Getitem, frame: Frame) -> None:
        if not isinstance(node.arg, nodes.Slice):
            super().visit_Getitem(node, frame)
            return
        self.write("environment.budget.track(identity(")  # Python warns about slices of constants
        self.visit(node.node, frame)
        self.write(")[")
        self.visit(node.arg, frame)
        self.write("])")

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

    In a chat template an unknown variable is empty; in a prompt it is an error.
    """

    budget: Budget
    clock: Callable[[], datetime]

    code_generator_class = MeteredGenerator
    intercepted_binops = frozenset({"+", "*", "**", "%"})
    tags = frozenset({"break", "continue", "generation"})

    def __init__(self, chat: bool) -> None:
        super().__init__(
            trim_blocks=True,
            lstrip_blocks=True,
            optimized=False,  # or Jinja computes constant expressions without limits
            finalize=_finalize,
            undefined=Undefined if chat else StrictUndefined,
            cache_size=0,
        )
        self.filters = {
            name: filter if name in _CONSTANT_TIME else _metered(name, filter)
            for name, filter in {**FILTERS, "tojson": _tojson, _COUNT: iter}.items()
            if name not in _UNAVAILABLE
        }
        reading = {name for name, test in TESTS.items() if test.__module__ == "_operator"}
        self.tests = {
            name: _metered(name, test) if name in reading | {"in", "lower", "upper"} else test
            for name, test in TESTS.items()
            if name not in ("filter", "test", "escaped")
        }
        self.globals = {"dict": dict, "namespace": _namespace, "range": _range}
        if chat:
            self.globals |= {"raise_exception": _raise, "strftime_now": _strftime_now}

    def iter_extensions(self) -> Any:
        return iter((_Tags,))

    def _tokenize(self, source: str, name: Any, *args: Any, **kwargs: Any) -> TokenStream:
        # All at once: a lexer that a deep nesting interrupts would print a traceback of its own.
        tokens = list(self.lexer.wrap(self.lexer.tokeniter(source, name, *args)))
        for before, token in pairwise(tokens):
            is_excluded = before.type == "block_begin" and token.value in _EXCLUDED
            is_self = (token.type, token.value) == ("name", "self") and before.type != "dot"
            if is_excluded or is_self:
                reason = f"{token.value!r} is not available in templates"
                raise TemplateSyntaxError(reason, token.lineno)
        return TokenStream(tokens, name, FILE_NAME)

    def generate_code(self, source: str) -> tuple[nodes.Template, CodeType]:
        """Return the syntax tree and the code of a template."""
        if len(source) > MAX_SOURCE:
            raise TemplateSyntaxError(f"the template is longer than {MAX_SOURCE} characters", 1)
        tree = self._parse(source, None, FILE_NAME)
        for loop in tree.find_all(nodes.For):
            if loop.test is not None:  # the items that `if` skips run no block
                loop.iter = nodes.Filter(loop.iter, _COUNT, [], [], None, None, lineno=loop.lineno)
        return tree, self._compile(self._generate(tree, None, FILE_NAME), FILE_NAME)

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        if isinstance(obj, Namespace):
            return not attr.startswith("_")
        return any(isinstance(obj, kind) and attr in names for kind, names in _ATTRIBUTES.items())

    def wrap_str_format(self, value: Any) -> Any:
        if isinstance(value, BuiltinMethodType) and value.__name__ == "format":
            return partial(_Formatter(self).format, str(value.__self__))
        return None

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
        size = 0 if name in _LAZY else budget.measure(value)
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

    def concat(self, parts: Iterable[str]) -> str:
        """Join the output of a block."""
        parts = list(parts)
        self.budget.reserve(4 * sum(map(len, parts)))
        return self.budget.track("".join(parts))  # type: ignore[no-any-return]

    def join(self, values: Sequence[object]) -> str:
        """Return `a ~ b ~ c`."""
        for value in values:
            self.budget.reserve(6 * self.budget.measure(value))
        return self.concat(map(str, values))

    def call_binop(self, context: Context, op: str, left: Any, right: Any) -> Any:
        if isinstance(left, str) and op == "%":
            self._check_percent(left, right)
        elif isinstance(left, int) and isinstance(right, int) and op != "%":
            bits = left.bit_length() * abs(right) if op == "**" else left.bit_length()
            if bits + right.bit_length() > MAX_INTEGER_BITS:
                raise RenderError(f"a number has more than {MAX_INTEGER_BITS} bits")
        for value, other in ((left, right), (right, left)):
            if isinstance(value, (str, list, tuple)) and op == "+":
                self.budget.reserve(8 * len(value))
            elif isinstance(value, (str, list, tuple)) and op == "*" and isinstance(other, int):
                self.budget.reserve(max(other, 0) * self.budget.measure(value))
        return self.budget.track(super().call_binop(context, op, left, right))

    def _check_percent(self, text: str, values: Any) -> None:
        """Check that `text % values` may be built."""
        n_fields = text.count("%")
        size = self.budget.measure(values) * (n_fields if isinstance(values, dict) else 1)
        columns = _count_columns(text)
        if "*" in text:
            values = values if isinstance(values, tuple) else (values,)
            columns += sum(abs(each) for each in values if isinstance(each, int))
        self.budget.reserve(4 * (len(text) + 100 * n_fields + columns) + 6 * size)

    def comparable(self, *values: Any) -> tuple[Any, ...]:
        """Return values after a check that they may be compared."""
        for left, right in pairwise(values):
            if isinstance(left, (list, tuple, dict)) and isinstance(right, (list, tuple, dict)):
                self.budget.measure((left, right))
            elif isinstance(right, (str, list, tuple, range)):
                self.budget.step(len(right) >> 4)
        return values


make_environment = cache(MeteredEnvironment)


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
        self._env.budget.spend(6 * self._env.budget.measure(value))
        return super().convert_field(value, conversion)

    def format_field(self, value: Any, format_spec: str) -> Any:
        self._env.budget.reserve(4 * _count_columns(format_spec))
        return super().format_field(value, format_spec)


def _count_columns(text: str) -> int:
    """Return the sum of all numbers in a format."""
    return sum(int(digits[0][:12]) for digits in re.finditer(r"\d+", text))


def _count_pieces(name: str, value: Any, size: int, args: tuple[Any, ...]) -> int:
    """Return how often a filter or method may write its arguments, or how many items it makes."""
    wanted = args[:1] if name in ("replace", "rsplit", "split") else _SEPARATORS.get(name)
    if wanted is not None:
        exact = wanted and isinstance(value, str) and all(isinstance(each, str) for each in wanted)
        return 1 + sum(map(value.count, wanted)) if exact else size
    if name in _ITERATING:
        return len(value) if hasattr(value, "__len__") else MAX_RANGE
    return size >> 1 if name == "tojson" else 1


def _metered(name: str, function: Any) -> Callable[..., Any]:
    """Return a filter or test that is charged to the budget of the rendering."""
    kind = getattr(function, "jinja_pass_arg", None)

    @pass_context
    def metered(context: Context, value: Any, /, *args: Any, **kwargs: Any) -> Any:
        environment: Any = context.environment
        passed = {"context": context, "eval_context": context.eval_ctx, "environment": environment}
        first = [passed[kind.name]] if kind else []
        build = partial(function, *first, value, *args, **kwargs)
        return environment.run(name, build, value, args, kwargs)

    return metered


@pass_context
def _finalize(context: Any, value: Any) -> Any:
    """Charge what `{{ value }}` prints."""
    budget: Budget = context.environment.budget
    budget.spend(budget.measure(value) * (1 if isinstance(value, str) else 6))
    return value


def _tojson(value: Any, ensure_ascii: bool = False, indent: Any = None, **options: Any) -> str:
    """Write JSON as transformers does: no HTML escaping, characters as they are."""
    if not options.keys() <= {"separators", "sort_keys"}:
        raise TypeError("tojson takes ensure_ascii, indent, separators and sort_keys")
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, **options)


@pass_context
def _namespace(context: Any, *args: Any, **kwargs: Any) -> Namespace:
    return Namespace(context.environment.budget.track(dict(*args, **kwargs)))


def _range(*ends: int) -> range:
    numbers = range(*ends)
    if len(numbers) > MAX_RANGE:
        raise RenderError(f"a range has more than {MAX_RANGE} numbers")
    return numbers


def _raise(message: object) -> NoReturn:
    raise RenderError(str(message)[:300])


@pass_context
def _strftime_now(context: Any, format: str) -> str:
    context.environment.budget.reserve(100 * len(format) + _count_columns(format))
    return str(context.environment.clock().strftime(format))


def compared_constants(tree: nodes.Template, variable: str) -> list[Any]:
    """Return the constants that a template compares a variable or a copy of it with."""

    def reads(node: nodes.Node) -> bool:
        return any(each.name in names for each in node.find_all(nodes.Name))

    names = {variable}
    for copy in tree.find_all(nodes.Assign):
        if isinstance(copy.target, nodes.Name) and not copy.find(nodes.BinExpr) and reads(copy):
            names.add(copy.target.name)
    found = tree.find_all((nodes.Compare, nodes.Test, nodes.Getitem))
    return [const.value for node in found if reads(node) for const in node.find_all(nodes.Const)]
