"""Find syntax errors with tree-sitter grammars; the only importer of tree_sitter.

The grammars are separate packages, installed by the extra `code` and imported on first use.
Limitation: they are made for editors and accept some programs that a compiler rejects. An error
that they report is almost always real.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from tree_sitter import Node, Parser

MAX_ERRORS = 20  # per text; later errors often result from the first
_EXCERPT_LENGTH = 20

_LANGUAGES = frozenset("bash c cpp css go html java javascript rust sql tsx typescript".split())


class Diagnostic(msgspec.Struct, frozen=True, kw_only=True):
    """A syntax error; line and column count from 1, in characters."""

    message: str
    line: int | None = None
    column: int | None = None

    def __str__(self) -> str:
        if self.line is None:
            return self.message
        column = f", column {self.column}" if self.column is not None else ""
        return f"line {self.line}{column}: {self.message}"


def has_grammar(language: str) -> bool:
    """Return whether a grammar of the language exists, installed or not."""
    return language in _LANGUAGES


def find_errors(language: str, text: str) -> tuple[Diagnostic, ...] | None:
    """Return up to `MAX_ERRORS` syntax errors in source order, None without the grammar."""
    parser = _parser(language)
    if parser is None:
        return None
    data = text.encode("utf-8", "replace")
    root = parser.parse(data).root_node
    if not root.has_error:
        return ()
    lines = data.split(b"\n")
    found = []
    for node in _error_nodes(root):
        row, offset = node.start_point
        column = len(lines[row][:offset].decode("utf-8", "replace")) + 1
        found.append(Diagnostic(message=_message(node, data), line=row + 1, column=column))
        if len(found) == MAX_ERRORS:
            break
    return tuple(found)


def _error_nodes(root: Node) -> Iterator[Node]:
    """Yield the outermost nodes that are errors or missing tokens, in source order."""
    waiting = [root]
    while waiting:  # not recursive: the tree of hostile input can be deep
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
    short = line if len(line) <= _EXCERPT_LENGTH else line[:_EXCERPT_LENGTH] + "…"
    return f"syntax error at {short!r}"


@cache
def _parser(language: str) -> Parser | None:
    # One package has the grammars of both TypeScript and TSX.
    is_typescript = language in ("typescript", "tsx")
    package = f"tree_sitter_{'typescript' if is_typescript else language}"
    function = f"language_{language}" if is_typescript else "language"
    try:
        from tree_sitter import Language, Parser

        grammar = Language(getattr(importlib.import_module(package), function)())
        return Parser(grammar)
    except (ImportError, AttributeError, ValueError):  # not installed, or incompatible
        return None
