"""Syntax errors that tree-sitter's grammars find; the only importer of tree_sitter.

Each grammar is a package of its own (the extra `code`), imported when its language is asked for.
But: these grammars are written for editors. They read on behind an error, and take some programs
that a compiler refuses; what they call an error nearly always is one.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING

import msgspec

from llmtool.text.code_languages import CodeLanguage

if TYPE_CHECKING:
    from tree_sitter import Node, Parser

MAX_ERRORS = 20  # of one text; what follows an error is often no error of its own
_SHOWN = 20  # characters of the text in a message

# Language to the package of its grammar and the function in it.
_PACKAGES: dict[CodeLanguage, tuple[str, str]] = {
    CodeLanguage.bash: ("tree_sitter_bash", "language"),
    CodeLanguage.c: ("tree_sitter_c", "language"),
    CodeLanguage.cpp: ("tree_sitter_cpp", "language"),
    CodeLanguage.css: ("tree_sitter_css", "language"),
    CodeLanguage.go: ("tree_sitter_go", "language"),
    CodeLanguage.html: ("tree_sitter_html", "language"),
    CodeLanguage.java: ("tree_sitter_java", "language"),
    CodeLanguage.javascript: ("tree_sitter_javascript", "language"),
    CodeLanguage.rust: ("tree_sitter_rust", "language"),
    CodeLanguage.sql: ("tree_sitter_sql", "language"),
    CodeLanguage.tsx: ("tree_sitter_typescript", "language_tsx"),
    CodeLanguage.typescript: ("tree_sitter_typescript", "language_typescript"),
}


class GrammarError(msgspec.Struct, frozen=True, kw_only=True):
    """A place where a text does not follow the grammar; line and column count from 1."""

    message: str
    line: int
    column: int


def has_grammar(language: CodeLanguage) -> bool:
    """Whether there is a grammar of a language, installed or not."""
    return language in _PACKAGES


def find_errors(language: CodeLanguage, text: str) -> tuple[GrammarError, ...] | None:
    """Return where a text breaks the grammar of its language, at most `MAX_ERRORS`, in order.

    None says that the grammar is not installed. Columns count characters.
    """
    parser = _parser(language)
    if parser is None:
        return None
    data = text.encode("utf-8", "replace")
    root = parser.parse(data).root_node
    if not root.has_error:
        return ()
    lines = data.split(b"\n")
    found = []
    for node in _broken(root):
        row, offset = node.start_point
        column = len(lines[row][:offset].decode("utf-8", "replace")) + 1
        found.append(GrammarError(message=_message(node, data), line=row + 1, column=column))
        if len(found) == MAX_ERRORS:
            break
    return tuple(found)


def _broken(root: Node) -> Iterator[Node]:
    """Yield the outermost nodes that are errors or were made up to go on, in their order."""
    waiting = [root]
    while waiting:  # no recursion: trees of hostile texts are deep
        node = waiting.pop()
        if node.is_missing or (node.is_error and node.parent is not None):
            yield node
        elif node.has_error or node.is_error:
            inner = [child for child in node.children if child.has_error or child.is_missing]
            if not inner:
                yield node
            waiting += reversed(inner)


def _message(node: Node, data: bytes) -> str:
    if node.is_missing:
        return f"{node.type!r} is missing"
    text = data[node.start_byte : node.end_byte].decode("utf-8", "replace").strip()
    line = text.split("\n", 1)[0].strip()
    if not line:
        return "syntax error"
    short = line if len(line) <= _SHOWN else line[:_SHOWN] + "…"
    return f"syntax error at {short!r}"


@cache
def _parser(language: CodeLanguage) -> Parser | None:
    package, function = _PACKAGES[language]
    try:
        from tree_sitter import Language, Parser

        grammar = Language(getattr(importlib.import_module(package), function)())
        return Parser(grammar)
    except (ImportError, AttributeError, ValueError):  # not there, or made for another version
        return None
