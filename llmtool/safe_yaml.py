"""Load a safe subset of YAML from untrusted files.

The subset is one document of mappings, sequences and scalars, without anchors, aliases, tags,
duplicate keys, and keys that are not strings. Scalars follow the core schema of YAML 1.2: only
`true`, `false`, `null`, `~`, the empty scalar and decimal numbers are not strings. So `NO`, `on`,
`12:30`, `017`, `1_000` and dates are strings. Unlike the core schema, the subset excludes octal and
hexadecimal numbers, `.inf`, `.nan`, and other spellings of `true` and `null`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from math import isfinite
from typing import Any, NamedTuple, NoReturn

from llmtool.errors import TemplateError

MAX_CHARACTERS = 1 << 20
MAX_DEPTH = 32
MAX_NODES = 50_000

Path = tuple[str | int, ...]

_NULLS = ("", "~", "null")
_INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,17})")
_FLOAT = re.compile(r"-?(0|[1-9][0-9]{0,99})(\.[0-9]{1,99}|(?=[eE]))([eE][-+]?[0-9]{1,3})?")


class Plain(str):
    """The source text of an unquoted scalar, whose type depends on its position."""

    __slots__ = ()


class Document(NamedTuple):
    """A value whose unquoted scalars are `Plain` or None, with the lines of the values in it.

    A `Path` of keys and indexes addresses a value in it.
    """

    value: object
    source: str
    lines: dict[Path, int]
    starts: dict[Path, int]

    def line_of(self, path: Path) -> int:
        """Return the line of a key or item; if it does not exist, that of its closest parent."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)

    def start_of(self, path: Path) -> int:
        """Return the line where the text of a value starts, for a block scalar after `|` or `>`."""
        return self.starts.get(path, self.line_of(path))


def load(text: str, *, source: str) -> object:
    """Return the value of a document; errors start with `source`, a file name.

    Raises:
        TemplateError: "source:line: reason".

    Example:
        >>> load("a: NO\\nb: [1, 2.5, 017]", source="x.yaml")
        {'a': 'NO', 'b': [1, 2.5, '017']}
    """
    return core(load_document(text, source=source).value)


def core(value: object) -> object:
    """Return a value with each `Plain` text converted by the core schema."""
    if isinstance(value, dict):
        return {key: core(item) for key, item in value.items()}
    if isinstance(value, list):
        return [core(item) for item in value]
    if not isinstance(value, Plain):
        return value
    if value in ("true", "false"):
        return value == "true"
    if _INTEGER.fullmatch(value):
        return int(value)
    if _FLOAT.fullmatch(value) and isfinite(float(value)):
        return float(value)
    return str(value)


def load_document(text: str, *, source: str) -> Document:
    """Return a document with unconverted scalars and their lines; otherwise like `load`."""
    if len(text) > MAX_CHARACTERS:
        raise TemplateError(f"{source}:1: longer than {MAX_CHARACTERS:,} characters")
    import yaml

    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    composer = _Composer(source)
    try:
        value = composer.document(yaml.parse(text, Loader=loader))
    except yaml.MarkedYAMLError as exc:
        mark = exc.problem_mark or exc.context_mark
        reason = " ".join((exc.problem or exc.context or "not YAML").split())
        raise TemplateError(
            f"{source}:{mark.line + 1 if mark else 1}: not valid YAML: {reason}"
        ) from exc
    except (yaml.reader.ReaderError, UnicodeEncodeError) as exc:
        position = exc.start if isinstance(exc, UnicodeEncodeError) else exc.position
        line = text.count("\n", 0, position) + 1
        raise TemplateError(f"{source}:{line}: character that YAML does not allow") from exc
    except RecursionError as exc:
        raise TemplateError(f"{source}:1: nested too deeply") from exc
    return Document(value, source, composer.lines, composer.starts)


def find_syntax_error(text: str) -> str | None:
    """Return why a text is not a mapping or list in YAML, None if it is. Builds no values.

    A single scalar is an error although it is valid YAML, because any prose would be.

    Example:
        >>> find_syntax_error("a: b: c"), find_syntax_error("a: [1, 2]")
        ('line 1, column 5: mapping values are not allowed in this context', None)
    """
    import yaml

    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        names = {type(event).__name__ for event in yaml.parse(text, Loader=loader)}
    except yaml.MarkedYAMLError as exc:
        mark = exc.problem_mark or exc.context_mark
        position = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        return position + " ".join((exc.problem or exc.context or "not YAML").split())
    except (yaml.reader.ReaderError, UnicodeEncodeError):
        return "character that YAML does not allow"
    except RecursionError:
        return "nested too deeply"
    if not names & {"MappingStartEvent", "SequenceStartEvent"}:
        return "a single text, not a mapping or list"
    return None


class _Composer:
    """Builds values directly from the parser's events, so that limits are checked early."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.lines: dict[Path, int] = {}
        self.starts: dict[Path, int] = {}
        self._nodes = 0

    def fail(self, event: Any, reason: str) -> NoReturn:
        raise TemplateError(f"{self.source}:{event.start_mark.line + 1}: {reason}")

    def document(self, events: Iterator[Any]) -> object:
        value: object = None
        documents = 0
        for event in events:
            if type(event).__name__ == "DocumentStartEvent":
                documents += 1
                if documents > 1:
                    self.fail(event, "more than one document")
                value = self._value(events, next(events), ())
        return value

    def _value(self, events: Iterator[Any], event: Any, path: Path) -> object:
        name = type(event).__name__
        self._nodes += 1
        if self._nodes > MAX_NODES:
            self.fail(event, f"more than {MAX_NODES:,} values")
        if name == "AliasEvent":
            self.fail(event, f"aliases are not allowed (*{event.anchor})")
        if event.anchor is not None:
            self.fail(event, f"anchors are not allowed (&{event.anchor})")
        if event.tag is not None:
            self.fail(event, f"tags are not allowed ({event.tag})")
        if name == "ScalarEvent":
            return self._scalar(event, path)
        if len(path) >= MAX_DEPTH:
            self.fail(event, f"nested deeper than {MAX_DEPTH} levels")
        if name == "SequenceStartEvent":
            return self._sequence(events, path)
        return self._mapping(events, path)

    def _scalar(self, event: Any, path: Path) -> object:
        if event.style in ("|", ">"):
            self.starts[path] = event.start_mark.line + 2
        if not event.implicit[0]:
            return event.value
        return None if event.value in _NULLS else Plain(event.value)

    def _sequence(self, events: Iterator[Any], path: Path) -> list[object]:
        items: list[object] = []
        for event in events:
            if type(event).__name__ == "SequenceEndEvent":
                break
            item_path = (*path, len(items))
            self.lines[item_path] = event.start_mark.line + 1
            items.append(self._value(events, event, item_path))
        return items

    def _mapping(self, events: Iterator[Any], path: Path) -> dict[str, object]:
        table: dict[str, object] = {}
        for event in events:
            if type(event).__name__ == "MappingEndEvent":
                break
            key = self._key(events, event, path)
            item_path = (*path, key)
            if key in table:
                self.fail(event, f"duplicate key {key!r} (first on line {self.lines[item_path]})")
            self.lines[item_path] = event.start_mark.line + 1
            table[key] = self._value(events, next(events), item_path)
        return table

    def _key(self, events: Iterator[Any], event: Any, path: Path) -> str:
        if type(event).__name__ in ("SequenceStartEvent", "MappingStartEvent"):
            self.fail(event, "a key must be a string")
        self._value(events, event, path)
        key = str(event.value)
        if event.implicit[0] and key in ("", "<<"):
            self.fail(event, "merge keys (<<) are not allowed" if key else "a key is missing")
        return key
