"""Render untrusted Jinja templates in bounded time and memory.

Chat templates are untrusted code inside model files, and prompt templates may be. Jinja's sandbox
compiles both, and the generated code charges every block, call and operation to a budget. jinja2 is
imported when the first template is compiled.

A template sees Jinja as transformers sets it up for chat templates: `trim_blocks`, `lstrip_blocks`,
`break` and `continue`, the `generation` block, `tojson` without HTML escaping, and (for chat
templates) `raise_exception` and `strftime_now`.

Example:
    >>> Template("Hello {{ name }}!", name="greeting", chat=False).render(name="Ada")
    'Hello Ada!'
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING

from llmtool.errors import TemplateError
from llmtool.suggest import suggest
from llmtool.templating.budget import MAX_DEPTH, Budget, RenderError

if TYPE_CHECKING:
    from types import TracebackType

    from llmtool.templating.environment import MeteredEnvironment

__all__ = ["Budget", "Template"]

_TYPE_NAMES = set("object str list dict tuple int float bool NoneType range".split())
_TOO_DEEP = "the template is nested too deeply"
_FAILURES = (ArithmeticError, LookupError, TypeError, ValueError, AttributeError)


class Template:
    """A compiled template, to be rendered from any thread and any number of times.

    Args:
        source: the template text.
        name: the file or model, for error messages.
        chat: whether it is a model's chat template.
        clock: the time source of `strftime_now`.
        first_line: the line of the file in which the template starts.

    Raises:
        TemplateError: the syntax is not valid; the message names the line.
    """

    def __init__(
        self,
        source: str,
        *,
        name: str,
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
        environment = self._environment = _environment(chat)
        try:
            tree, code = environment.generate_code(source)
            names = list(tree.find_all(nodes.Name))
            self._template = JinjaTemplate.from_code(environment, code, environment.globals)
        except TemplateSyntaxError as exc:
            raise self._error(exc.lineno, _explain(exc.message or "", environment)) from exc
        except (RecursionError, MemoryError, SyntaxError) as exc:  # Python's limits on nesting
            outside = re.match("'(break|continue)'", str(exc))
            reason = f"{outside[0]} outside loop" if outside else _TOO_DEEP
            raise self._error(1, reason) from None
        except (ValueError, OverflowError) as exc:
            raise self._error(1, f"the template cannot be read ({exc})") from exc
        known = {*environment.globals, "loop", "caller"}
        known |= {each.name for each in names if each.ctx != "load"}
        known |= {macro.name for macro in tree.find_all(nodes.Macro)}
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
        from jinja2.runtime import new_context

        budget.grow(measure_variables(variables))
        environment = self._environment.metered(budget, self._clock)
        context = new_context(environment, None, {}, dict(variables), globals=environment.globals)
        try:
            return str(environment.concat(self._template.root_render_func(context)))
        except (RenderError, JinjaError, RecursionError, MemoryError, *_FAILURES) as exc:
            reason, line = self._explain(exc), self._line(exc.__traceback__)
        raise self._error(line, reason)  # outside, where the failed frames and their data are freed

    def _explain(self, exc: BaseException) -> str:
        if isinstance(exc, RenderError):
            return str(exc)
        if isinstance(exc, RecursionError):
            return _TOO_DEEP
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


def _explain(reason: str, environment: MeteredEnvironment) -> str:
    """Add a suggestion to the error about an unknown filter or test."""
    unknown = re.fullmatch(r"No (filter|test) named '(\w+)'\.", reason)
    if unknown is None:
        return reason
    kind, name = unknown.groups()
    return f"unknown {kind} {name!r}{suggest(name, getattr(environment, f'{kind}s'))}"


@cache
def _environment(chat: bool) -> MeteredEnvironment:
    from llmtool.templating.environment import MeteredEnvironment

    return MeteredEnvironment(chat=chat)


def measure_variables(value: object, depth: int = -1) -> int:
    """Return the approximate size of variables in bytes.

    Raises:
        TypeError: a value is not plain data or is nested too deeply.
    """
    if isinstance(value, str):
        return 100 + value.__sizeof__()
    if value is None or isinstance(value, (bool, int, float)):
        return 100
    if not isinstance(value, (dict, list, tuple)):
        raise TypeError(f"a template takes plain data, not {type(value).__name__}")
    if depth == MAX_DEPTH:
        raise TypeError(f"a template takes data at most {MAX_DEPTH} levels deep")
    items = value.values() if isinstance(value, dict) else value
    return 100 + sum(measure_variables(item, depth + 1) for item in items)
