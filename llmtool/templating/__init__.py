"""Render untrusted Jinja templates in bounded time and memory.

Chat templates are untrusted code inside model files, and prompt templates may be. Jinja's sandbox
compiles both, and the generated code charges every block, call and operation to a budget. jinja2 is
imported when the first template is compiled.

A template sees Jinja as transformers sets it up for chat templates: `trim_blocks`, `lstrip_blocks`,
`break` and `continue`, the `generation` block, `tojson` without HTML escaping, and (for chat
templates) `raise_exception` and `strftime_now`.

Example:
    >>> compile_template("Hello {{ name }}!", name="greeting", chat=False).render(name="Ada")
    'Hello Ada!'
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any

from llmtool.errors import TemplateError
from llmtool.suggest import suggest
from llmtool.templating.budget import MAX_DEPTH, Budget, RenderError

if TYPE_CHECKING:
    from types import TracebackType

    from llmtool.templating.compiler import MeteredEnvironment

__all__ = ["Budget", "Template", "compile_template"]

_TYPE_NAMES = {
    "object",
    "str",
    "list",
    "dict",
    "tuple",
    "int",
    "float",
    "bool",
    "NoneType",
    "range",
}
_FAILURES = (ArithmeticError, LookupError, TypeError, ValueError, AttributeError)


class Template:
    """A compiled template, to be rendered from any thread and any number of times.

    Args:
        name: the file or model, for error messages.
        source: the template text.
        chat: whether it is a model's chat template.
        clock: the time source of `strftime_now`.
        first_line: the line of the file in which the template starts.

    Raises:
        TemplateError: the syntax is not valid; the message names the line.
    """

    def __init__(
        self,
        name: str,
        source: str,
        *,
        chat: bool,
        clock: Callable[[], datetime] = datetime.now,
        first_line: int = 1,
    ) -> None:
        from jinja2 import Template as JinjaTemplate
        from jinja2 import TemplateSyntaxError, nodes

        self.name = name
        self._source = source
        self._clock = clock
        self._lines_before = first_line - 1
        environment = _environment(chat)
        try:
            tree, code = environment.generate_code(source)
            names = list(tree.find_all(nodes.Name))
            self._template = JinjaTemplate.from_code(environment, code, environment.globals)
        except TemplateSyntaxError as exc:
            raise self._error(exc.lineno, _explain(exc.message or "", environment)) from exc
        except (RecursionError, MemoryError, SyntaxError):  # Python's limits on nesting
            raise self._error(1, "the template is nested too deeply") from None
        except (ValueError, OverflowError) as exc:
            raise self._error(1, f"the template cannot be read ({exc})") from exc
        known = {each.name for each in names if each.ctx != "load"} | {"loop", "caller"}
        known |= {macro.name for macro in tree.find_all(nodes.Macro)} | set(environment.globals)
        known |= {"varargs", "kwargs"} if tree.find(nodes.Macro) else set()
        lines: dict[str, int] = {}
        for each in names:
            line = self._lines_before + each.lineno
            if each.name not in known:
                lines[each.name] = min(line, lines.get(each.name, line))
        self.names: Mapping[str, int] = lines
        """Each variable that the template reads and does not set, with the line of its first use.

        `"enable_thinking" in template.names` is true if the model's reasoning can be switched.
        """

    def render(self, /, **variables: object) -> str:
        """Render the template with variables.

        Values are None, booleans, numbers, strings, and lists, tuples and dicts of them. They are
        data and never evaluated.

        Raises:
            TemplateError: the template fails or exceeds a limit; the message names the line.
        """
        return self.render_on(Budget(), variables)

    def render_on(self, budget: Budget, variables: Mapping[str, object]) -> str:
        """Like `render`, but charge a budget that other templates share."""
        from jinja2 import TemplateError as JinjaError

        from llmtool.templating.guards import Meter

        budget.grow(measure_variables(variables))
        meter = Meter(budget)
        context: Any = self._template.new_context(dict(variables))
        context.meter, context.clock = meter, self._clock
        try:
            return str(meter.concat(self._template.root_render_func(context)))
        except (RenderError, JinjaError, RecursionError, MemoryError, *_FAILURES) as exc:
            reason, line = self._explain(exc), self._line(exc.__traceback__)
        raise self._error(line, reason)  # outside, where the failed frames and their data are freed

    def _explain(self, exc: BaseException) -> str:
        if isinstance(exc, RenderError):
            return str(exc)
        if isinstance(exc, RecursionError):
            return "the template is nested too deeply"
        if isinstance(exc, MemoryError):
            return "not enough memory to render the template"
        return self._without_values(str(exc)) or type(exc).__name__

    def _line(self, trace: TracebackType | None) -> int:
        """Return the line of the template where a traceback ends."""
        line = 1
        while trace is not None:
            if trace.tb_frame.f_code.co_filename == self._template.filename:
                line = self._template.get_corresponding_lineno(trace.tb_lineno)
            trace = trace.tb_next
        return line

    def _without_values(self, reason: str) -> str:
        """Hide quoted values of variables: prompts must not appear in errors."""
        known = {*re.findall(r"\w+", self._source), *_TYPE_NAMES}

        def hide(quoted: re.Match[str]) -> str:
            return quoted[0] if known.issuperset(re.findall(r"\w+", quoted[0])) else "…"

        reason = re.sub(r"'[^']*'|\"[^\"]*\"", hide, reason)
        return re.sub(r"has no (attribute|element) …", r"has no such \1", reason)

    def _error(self, line: int, reason: str) -> TemplateError:
        reason = " ".join(reason[:300].split())
        return TemplateError(f"{self.name}:{self._lines_before + line}: {reason}")


def compile_template(
    source: str,
    *,
    name: str,
    chat: bool,
    clock: Callable[[], datetime] = datetime.now,
    first_line: int = 1,
) -> Template:
    """Compile a template; see `Template` for the arguments."""
    return Template(name, source, chat=chat, clock=clock, first_line=first_line)


def _explain(reason: str, environment: MeteredEnvironment) -> str:
    """Add a suggestion to the error about an unknown filter or test."""
    unknown = re.fullmatch(r"No (filter|test) named '(\w+)'\.", reason)
    if unknown is None:
        return reason
    kind, name = unknown.groups()
    return f"unknown {kind} {name!r}{suggest(name, getattr(environment, f'{kind}s'))}"


@cache
def _environment(chat: bool) -> MeteredEnvironment:
    from llmtool.templating.compiler import MeteredEnvironment

    return MeteredEnvironment(chat=chat)


def measure_variables(variables: Mapping[str, object]) -> int:
    """Return the approximate size of variables in bytes.

    Raises:
        TypeError: a value is not plain data or is nested too deeply.
    """
    size = 0
    level: list[object] = list(variables.values())
    for _ in range(MAX_DEPTH):
        deeper: list[object] = []
        for value in level:
            if isinstance(value, str):
                size += value.__sizeof__()
            elif isinstance(value, dict):
                deeper.extend(value.values())
            elif isinstance(value, (list, tuple)):
                deeper.extend(value)
            elif value is not None and not isinstance(value, (bool, int, float)):
                raise TypeError(f"a template takes plain data, not {type(value).__name__}")
        size += 100 * len(level)
        if not deeper:
            return size
        level = deeper
    raise TypeError(f"a template takes data at most {MAX_DEPTH} levels deep")
