"""Jinja's own parser, borrowed to read templates; the only use of jinja2 in this package.

Only the lexer, the parser and the syntax tree are loaded, as a private copy under a name of our
own: `import jinja2` would load its compiler, loaders and byte-code cache as well and take three
times as long. Templates are never compiled to Python here.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import nodes
    from jinja2.parser import Parser

MAX_SOURCE = 128 * 1024


class SyntaxFault(Exception):
    """Why a template cannot be read, and the line."""

    def __init__(self, reason: str, line: int) -> None:
        super().__init__(reason)
        self.line = line


@cache
def _modules() -> tuple[ModuleType, ModuleType, ModuleType]:
    name = __name__.rpartition(".")[0] + "._jinja2"
    if name not in sys.modules:
        spec = find_spec("jinja2")
        if spec is None:
            raise ImportError("jinja2 is not installed", name="jinja2")
        package = ModuleType(name)
        package.__path__ = list(spec.submodule_search_locations or ())
        sys.modules[name] = package
    return (
        import_module(f"{name}.lexer"),
        import_module(f"{name}.nodes"),
        import_module(f"{name}.parser"),
    )


class _Syntax:
    """What Jinja's lexer and parser ask of an environment, and the tags that they get from it."""

    block_start_string, block_end_string = "{%", "%}"
    variable_start_string, variable_end_string = "{{", "}}"
    comment_start_string, comment_end_string = "{#", "#}"
    line_statement_prefix = line_comment_prefix = None
    newline_sequence = "\n"
    trim_blocks = lstrip_blocks = True
    keep_trailing_newline = False
    tags = frozenset({"break", "continue", "generation"})

    def __init__(self) -> None:
        self._lexing, self._nodes, _ = _modules()
        self.lexer = self._lexing.get_lexer(self)

    def _tokenize(
        self, source: str, name: str | None, filename: str | None, state: str | None
    ) -> Any:
        """Return all tokens, read at once: a generator that is at work where the stack ends would
        print a traceback of its own when it is thrown away.
        """
        raw = list(self.lexer.tokeniter(source, name, filename, state))
        tokens = list(self.lexer.wrap(raw, name, filename))
        return self._lexing.TokenStream(tokens, name, filename)

    def iter_extensions(self) -> Iterator[_Syntax]:
        return iter((self,))

    def parse(self, parser: Parser) -> nodes.Node:
        """Read one of `tags`: loop controls, and the `generation` block of training templates."""
        token = next(parser.stream)
        if token.value == "generation":
            body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
            scope: nodes.Node = self._nodes.Scope(body, lineno=token.lineno)
            return scope
        kind = self._nodes.Break if token.value == "break" else self._nodes.Continue
        control: nodes.Node = kind(lineno=token.lineno)
        return control


@cache
def _syntax() -> _Syntax:
    return _Syntax()


def parse(source: str) -> nodes.Template:
    """Return the syntax tree of a template; raise SyntaxFault when there is none."""
    if len(source) > MAX_SOURCE:
        raise SyntaxFault(f"the template is longer than {MAX_SOURCE} characters", 1)
    parser = _modules()[2]
    try:
        tree: nodes.Template = parser.Parser(_syntax(), source).parse()
    except parser.TemplateSyntaxError as exc:
        raise SyntaxFault(exc.message or "invalid syntax", exc.lineno) from exc
    except RecursionError:
        raise SyntaxFault("the template is nested too deeply", 1) from None
    except (ValueError, OverflowError, MemoryError) as exc:
        raise SyntaxFault(f"the template cannot be read ({exc})", 1) from exc
    return tree
