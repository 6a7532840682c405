"""The structure of reStructuredText by docutils; its only importer."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import count
from typing import Any

from llmtool.errors import InputError, missing_extra

# docutils searches the rest of a word at each of its characters.
_LONG_WORD = re.compile(r"(?<!\S)[^\s_`*|\\]{1000,}(?!\S)")
_MAX_MESSAGES = 5_000  # errors, warnings and notes such as "Duplicate implicit target name"
CODE_DIRECTIVES = frozenset(
    "code code-block sourcecode literalinclude math image raw toctree include contents highlight"
    " index meta doctest testcode testoutput testsetup testcleanup graphviz digraph graph mermaid"
    " parsed-literal productionlist prompt plot ipython jupyter-execute sectnum default-role"
    " currentmodule module py:module py:currentmodule c:namespace bibliography tabularcolumns"
    " unicode date uml plantuml sectionauthor codeauthor moduleauthor".split()
)


@lru_cache(maxsize=1)
def _docutils() -> tuple[Any, Any]:
    """Return docutils' parser, and settings that read no files and report nothing.

    Raises:
        UsageError: the extra `rst` is not installed.
    """
    try:
        from docutils.frontend import get_default_settings
        from docutils.parsers.rst import Parser
    except ImportError as exc:
        raise missing_extra("support of .rst files", "rst") from exc
    settings = get_default_settings(Parser)
    settings.file_insertion_enabled = settings.raw_enabled = False
    settings.report_level = settings.halt_level = 5
    settings._disable_config = True
    settings.line_length_limit = 1 << 24
    return Parser, settings


def _count_messages() -> Callable[[object], None]:
    """Return an observer of docutils' messages, each of which is several nodes of its tree.

    It raises `InputError` for text that can hardly be reStructuredText.
    """
    numbers = count(1)

    def observe(message: object) -> None:
        if next(numbers) > _MAX_MESSAGES:
            raise InputError(
                f"docutils reports more than {_MAX_MESSAGES:,} faults; is it reStructuredText?"
            )

    return observe


def _parse(text: str) -> Any:
    """Return the tree of docutils for a text; long words without markup are truncated."""
    text = _LONG_WORD.sub(lambda found: found[0][:50] + found[0][-50:], text.removeprefix("\ufeff"))
    parser, settings = _docutils()
    from docutils import nodes
    from docutils.parsers.rst import Directive, directives, roles
    from docutils.parsers.rst.states import Inliner
    from docutils.utils import new_document

    class AnyDirective(Directive):  # type: ignore[misc]
        """A directive that docutils does not know, of which only the text is parsed."""

        has_content = True
        optional_arguments = 1000
        final_argument_whitespace = True

        def run(self) -> list[Any]:
            node = nodes.container()
            if self.name not in CODE_DIRECTIVES:
                self.state.nested_parse(self.content, self.content_offset, node)
            return [node]

    class AnyOptions(dict[str, Any]):
        def __getitem__(self, key: str) -> Any:
            return directives.unchanged

    AnyDirective.option_spec = AnyOptions()
    # docutils searches for URLs and addresses in quadratic time; here they are protected spans.
    inliner = Inliner()
    inliner.implicit_inline = lambda text, lineno: [nodes.Text(text)] if text else []
    document = new_document("<text>", settings)
    document.reporter.attach_observer(_count_messages())
    from docutils.parsers.rst.languages import en

    for name in set(re.findall(r"^[ \t]*\.\.[ ]+(?:\|[^|\n]+\|[ ]+)?([\w:+.-]+?)::", text, re.M)):
        if name.lower() not in en.directives and name not in directives._directives:
            directives.register_directive(name, AnyDirective)
    for name in set(re.findall(r":([\w:+.-]{1,100}):`|`:([\w:+.-]{1,100}):", text)):
        role = (name[0] or name[1]).lower()
        if role not in en.roles and role not in roles._roles:
            roles.register_generic_role(role, nodes.inline)
    try:
        parser(inliner=inliner).parse(text, document)
    except RecursionError as exc:
        raise InputError("the document is nested too deeply") from exc
    except (InputError, MemoryError):
        raise
    except Exception as exc:  # docutils raises many types for malformed text
        raise InputError(f"docutils cannot parse the text ({type(exc).__name__})") from exc
    return document


_INLINE_NODES = frozenset(
    "emphasis strong literal reference footnote_reference citation_reference substitution_reference"
    " target inline title_reference problematic math subscript superscript image".split()
)


def find_table_cells(lines: Sequence[str]) -> list[tuple[int, int, int, int]] | None:
    """Return the top, left, bottom and right of each cell of a table, between its borders.

    A wide character is followed by a NUL. The result is None if the table is not valid.
    """
    _docutils()
    from docutils.parsers.rst.tableparser import GridTableParser, SimpleTableParser
    from docutils.statemachine import StringList

    class PlacedRows(SimpleTableParser):  # type: ignore[misc]
        def parse_row(self, lines: Any, start: int, spanline: Any = None) -> None:
            super().parse_row(lines, start, spanline)
            if not lines:
                return
            columns = self.parse_columns(*spanline) if spanline else self.columns[:]
            self.check_columns(lines, start, columns)
            for left, right in columns:
                found.append((start, left, start + len(lines), right))

    found: list[tuple[int, int, int, int]] = []
    is_grid = lines[0].startswith("+")
    parser = GridTableParser() if is_grid else PlacedRows()
    try:
        parser.parse(StringList(list(lines), "table"))
    except Exception:  # docutils raises many types for malformed tables
        return None
    if is_grid:
        for top, left, bottom, right, _ in parser.cells:
            found.append((top + 1, left + 1, bottom, right))
    return found


def skeleton(text: str) -> list[tuple[object, ...]]:
    """Return the elements that docutils parses; those in a paragraph are sorted."""
    found: list[tuple[object, ...]] = []
    stack = [_parse(text)]
    while stack:
        node = stack.pop()
        name = node.__class__.__name__
        if name in ("Text", "system_message"):
            continue
        children = list(node.children)
        inline = [each for each in children if each.__class__.__name__ in _INLINE_NODES]
        is_code = name in ("literal_block", "doctest_block", "comment", "literal", "raw")
        found.append((name, node.astext() if is_code else ""))
        if inline:
            found += sorted((each.__class__.__name__, "") for each in inline)
            children = [each for each in children if each.__class__.__name__ not in _INLINE_NODES]
        stack += reversed(children)
    return found


@lru_cache(maxsize=64)
def inline_elements(text: str) -> Counter[tuple[str, str]]:
    """Count the elements of a paragraph or title."""
    lines = text.splitlines()
    indents = [len(line) - len(line.lstrip()) for line in lines[1:] if line.strip()]
    indent = min(indents, default=0)
    body = "\n".join([lines[0], *(line[indent:] for line in lines[1:])])
    counted: Counter[tuple[str, str]] = Counter()
    for node in _parse(body).findall():
        name = node.__class__.__name__
        if name == "literal":
            counted[name, node.astext()] += 1
        elif name not in ("Text", "document"):
            counted[name, ""] += 1
    return counted
