"""Render untrusted Jinja templates in bounded time and memory.

Two kinds of templates come here: chat templates found inside model files, which are code of
strangers, and prompt templates. Jinja's parser reads both, and closures of our own evaluate them
over plain data; they are never turned into Python code. So a template has no attribute, file,
module or variable of the interpreter within reach, and one budget pays for every loop, call and
operation.

What a template sees is Jinja as transformers sets it up for chat templates: `trim_blocks`,
`lstrip_blocks`, `break` and `continue`, the `generation` block, `tojson` without HTML escaping, and
(for chat templates) `raise_exception` and `strftime_now`. Left out: `include`, `import`, `extends`,
`block` and `autoescape`.

Example:
    >>> compile_template("Hello {{ name }}!", name="greeting", chat=False).render(name="Ada")
    'Hello Ada!'
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from types import MappingProxyType

from llmtool.errors import TemplateError
from llmtool.sandbox.budget import Budget, Fault, join
from llmtool.sandbox.builtins import CHAT_GLOBALS, PROMPT_GLOBALS, check_variables
from llmtool.sandbox.output import Run
from llmtool.sandbox.statements import Statements
from llmtool.sandbox.syntax import SyntaxFault, parse
from llmtool.sandbox.values import Frame, State, StrictUndefined, Undefined

__all__ = ["Budget", "Template", "compile_template"]


class Template:
    """A template ready to be rendered, from any thread and any number of times.

    `names` maps each variable that the template reads and does not set itself to the line of its
    first use: `"enable_thinking" in template.names` tells whether a model's thinking can be
    switched.
    """

    def __init__(
        self,
        name: str,
        names: Mapping[str, int],
        run: Run,
        *,
        chat: bool,
        clock: Callable[[], datetime],
        first_line: int,
    ) -> None:
        self.name = name
        self._lines_before = first_line - 1
        self.names = names
        self._run = run
        self._clock = clock
        self._globals = CHAT_GLOBALS if chat else PROMPT_GLOBALS
        self._undefined = Undefined if chat else StrictUndefined

    def render(self, /, **variables: object) -> str:
        """Return the text of the template with these variables.

        Values are None, booleans, numbers, texts, and lists, tuples and dicts of them; they are
        data, and nothing in them is evaluated.
        Raises TemplateError, with the name and the line, when the template fails or costs too much.
        """
        return self.render_on(Budget(), variables)

    def render_on(self, budget: Budget, variables: Mapping[str, object]) -> str:
        """As `render`, at the cost of a budget that pays for other texts, too."""
        input_bytes = check_variables(variables)
        state = State(budget, self._undefined, self._clock)
        frame = Frame({**self._globals, **variables}, None, state)
        out: list[str] = []
        try:
            budget.admit(input_bytes)
            self._run(frame, out)
            return budget.keep(join(out, "", budget))
        except Fault as exc:
            reason = str(exc)
        except RecursionError:
            reason = "it is nested too deeply"
        except MemoryError:
            reason = "there is not enough memory to render it"
        except (ArithmeticError, LookupError, TypeError, ValueError, AttributeError) as exc:
            reason = str(exc) or type(exc).__name__
        line = self._lines_before + state.line
        raise TemplateError(f"{self.name}:{line}: {_one_line(reason)}")


def compile_template(
    source: str,
    *,
    name: str,
    chat: bool,
    clock: Callable[[], datetime] = datetime.now,
    first_line: int = 1,
) -> Template:
    """Read a template; `name` (a file or a model) stands in its errors.

    With `chat`, an unknown variable is empty and an unknown filter fails only when it is reached,
    as in transformers; otherwise both are errors, and unknown filters are found here. `clock` is
    what `strftime_now` reads; `first_line` is where the template begins in its file.
    Raises TemplateError, with the line, when the template cannot be read.
    """
    statements = Statements(lenient=chat)
    line = 1
    try:
        run = statements.body(parse(source).body)
    except SyntaxFault as exc:
        reason, line = str(exc), exc.line
    except RecursionError:
        reason = "the template is nested too deeply"
    else:
        known = statements.assigned | set(CHAT_GLOBALS if chat else PROMPT_GLOBALS) | {"loop"}
        before = first_line - 1
        names = {key: before + at for key, at in statements.loaded.items() if key not in known}
        return Template(
            name, MappingProxyType(names), run, chat=chat, clock=clock, first_line=first_line
        )
    raise TemplateError(f"{name}:{first_line - 1 + line}: {_one_line(reason)}")


def _one_line(reason: str) -> str:
    return " ".join(reason[:300].split())
