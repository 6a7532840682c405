"""Render untrusted Jinja templates in bounded time and memory.

Chat templates are untrusted code inside model files, and prompt templates may be. Jinja's sandbox
runs both, and every block, call and operation is charged to a budget. jinja2 is imported when the
first template is compiled.

A template sees Jinja as transformers sets it up for chat templates: `trim_blocks`, `lstrip_blocks`,
`break` and `continue`, the `generation` block, `tojson` without HTML escaping, and (for chat
templates) `raise_exception` and `strftime_now`.

Example:
    >>> Template("Hello {{ name }}!", name="greeting", chat=False).render(name="Ada")
    'Hello Ada!'
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable, Mapping
from copy import copy
from datetime import datetime
from typing import TYPE_CHECKING, Any

from llmtool.errors import TemplateError
from llmtool.suggest import suggest
from llmtool.templating.budget import MAX_DEPTH, Budget, RenderError

if TYPE_CHECKING:
    from llmtool.templating.environment import MeteredEnvironment

__all__ = ["Budget", "Template", "measure_variables"]

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

        from llmtool.templating.environment import make_environment

        self.name = name
        self._source = source
        self._clock = clock
        self._lines_before = first_line - 1
        environment = self._environment = make_environment(chat)
        try:
            self._tree, code = environment.generate_code(source)
            names: list[Any] = list(self._tree.find_all((nodes.Name, nodes.Macro)))
            self._template = JinjaTemplate.from_code(environment, code, environment.globals)
        except TemplateSyntaxError as exc:
            raise self._error(exc.lineno, _suggest_name(exc.message or "", environment)) from exc
        except (RecursionError, MemoryError):
            raise self._error(1, _TOO_DEEP) from None
        except SyntaxError as exc:  # of Python: a limit on nesting, or `break` in `else`
            raise self._error(1, exc.msg) from None
        except (ValueError, OverflowError) as exc:
            raise self._error(1, f"the template cannot be read ({exc})") from exc
        known = {*environment.globals, "loop", "caller"}
        known |= {"varargs", "kwargs"} if self._tree.find(nodes.Macro) else set()
        known |= {each.name for each in names if getattr(each, "ctx", "") != "load"}
        self.names: dict[str, int] = {}
        """Each variable that the template reads and never sets, with the line of its first use."""
        for each in sorted(names, key=lambda each: each.lineno):
            if each.name not in known:
                self.names.setdefault(each.name, self._lines_before + each.lineno)

    def undefined_variables(self) -> set[str]:
        """Return the variables that the template reads, also those for which it sets a default."""
        from jinja2.meta import find_undeclared_variables

        return find_undeclared_variables(self._tree)

    def find_variables(self, pattern: str) -> dict[str, list[Any]]:
        """Return the variables whose names match, each with the constants it is compared with."""
        from jinja2 import nodes

        from llmtool.templating.environment import compared_constants

        names = dict.fromkeys(each.name for each in self._tree.find_all(nodes.Name))
        found = [name for name in names if re.search(pattern, name)]
        return {name: compared_constants(self._tree, name) for name in found}

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
        environment = copy(self._environment)
        environment.budget, environment.clock = budget, self._clock
        context = new_context(environment, None, {}, dict(variables), globals=environment.globals)
        try:
            return str(environment.concat(self._template.root_render_func(context)))
        except (RenderError, JinjaError, RecursionError, MemoryError, *_FAILURES) as exc:
            reason, line = self._explain(exc), self._line(exc)
        raise self._error(line, reason)  # outside, where the failed frames and their data are freed

    def _explain(self, exc: BaseException) -> str:
        if isinstance(exc, RenderError):
            return str(exc)
        if isinstance(exc, RecursionError):
            return _TOO_DEEP
        if isinstance(exc, MemoryError):
            return "not enough memory to render the template"
        return self._without_values(str(exc)) or type(exc).__name__

    def _line(self, exc: BaseException) -> int:
        """Return the line of the template where an exception comes from."""
        line = 1
        for frame, python_line in traceback.walk_tb(exc.__traceback__):
            if frame.f_code.co_filename == self._template.filename:
                line = self._template.get_corresponding_lineno(python_line)
        return line

    def _without_values(self, reason: str) -> str:
        """Hide quoted values of variables: prompts must not appear in errors."""
        known = {*re.findall(r"\w+", self._source), *_TYPE_NAMES}

        def hide(quoted: re.Match[str]) -> str:
            return quoted[0] if known.issuperset(re.findall(r"\w+", quoted[0])) else "…"

        reason = re.sub(r"'[^']*'|\"[^\"]*\"", hide, reason)
        return re.sub(r"has no (attribute|element) …", r"has no such \1", reason)

    def _error(self, line: int, reason: str) -> TemplateError:
        reason = " ".join(reason[:300].split()).removesuffix(".")
        return TemplateError(f"{self.name}:{self._lines_before + line}: {reason}")


def _suggest_name(reason: str, environment: MeteredEnvironment) -> str:
    """Add a suggestion to the error about an unknown filter or test."""
    unknown = re.fullmatch(r"No (filter|test) named '(\w+)'\.", reason)
    if unknown is None:
        return reason
    kind, name = unknown.groups()
    return f"unknown {kind} {name!r}{suggest(name, getattr(environment, f'{kind}s'))}"


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
