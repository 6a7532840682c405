"""Read YAML that strangers may have written, without its surprises.

One document of mappings, sequences and scalars: no anchors, aliases or tags, no duplicate keys, and
no key that is not a text. Scalars follow the core schema of YAML 1.2: only `true`, `false`, `null`,
`~`, nothing, and decimal numbers are anything but texts, so that `NO`, `on`, `12:30`, `017`,
`1_000` and dates stay what they look like. Left out of that schema: octal and hexadecimal numbers,
`.inf` and `.nan`, and other spellings of `true` and `null`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from math import isfinite
from typing import Any, NoReturn

from llmtool.errors import TemplateError

MAX_CHARACTERS = 1 << 20
MAX_DEPTH = 32
MAX_NODES = 50_000

Path = tuple[str | int, ...]

_NOTHING = ("", "~", "null")
_INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,17})")
_FLOAT = re.compile(r"-?(0|[1-9][0-9]{0,99})(\.[0-9]{1,99}|(?=[eE]))([eE][-+]?[0-9]{1,3})?")


class Plain(str):
    """A scalar written without quotes, as it was written: what it means depends on its place."""

    __slots__ = ()


class Document:
    """A value whose unquoted scalars are `Plain` texts or None, and the lines of its parts.

    A part is named by the keys and indexes that lead to it.
    """

    def __init__(
        self, value: object, source: str, lines: dict[Path, int], starts: dict[Path, int]
    ) -> None:
        self.value = value
        self.source = source
        self.lines = lines
        self.starts = starts

    def line_of(self, path: Path) -> int:
        """Return the line of a part's key or item; of what it is in, if it is not there."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)

    def start_of(self, path: Path) -> int:
        """Return the line on which a part's text itself begins: below `|` or `>`, if it has one."""
        return self.starts.get(path, self.line_of(path))


def load(text: str, *, source: str) -> object:
    """Return the value of a document; `source`, a file's name, stands in its errors.

    Raises:
        TemplateError: "source:line: reason".

    Example:
        >>> load("a: NO\\nb: [1, 2.5, 017]", source="x.yaml")
        {'a': 'NO', 'b': [1, 2.5, '017']}
    """
    return core(load_document(text, source=source).value)


def core(value: object) -> object:
    """Give each `Plain` text in a value its meaning in the core schema."""
    if isinstance(value, Plain):
        return _meaning(value)
    if isinstance(value, dict):
        return {key: core(item) for key, item in value.items()}
    if isinstance(value, list):
        return [core(item) for item in value]
    return value


def _meaning(text: str) -> object:
    if text in ("true", "false"):
        return text == "true"
    if _INTEGER.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text) and isfinite(float(text)):
        return float(text)
    return str(text)


def load_document(text: str, *, source: str) -> Document:
    """As `load`, for a reader that gives scalars their types itself and reports lines."""
    if len(text) > MAX_CHARACTERS:
        raise TemplateError(f"{source}:1: longer than {MAX_CHARACTERS} characters")
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
        raise TemplateError(f"{source}:{line}: a character that YAML does not allow") from exc
    except RecursionError as exc:
        raise TemplateError(f"{source}:1: nested too deeply") from exc
    return Document(value, source, composer.lines, composer.starts)


def find_syntax_error(text: str) -> str | None:
    """Return what makes a text no mapping or list in YAML, or None; nothing is built from it.

    A lone text is refused, although it is YAML: all prose would be.

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
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        return place + " ".join((exc.problem or exc.context or "not YAML").split())
    except (yaml.reader.ReaderError, UnicodeEncodeError):
        return "a character that YAML does not allow"
    except RecursionError:
        return "nested too deeply"
    if not names & {"MappingStartEvent", "SequenceStartEvent"}:
        return "a text, and no mapping or list"
    return None


class _Composer:
    """Builds values straight from the parser's events, so that no limit is checked too late."""

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
            self.fail(event, f"more than {MAX_NODES} values")
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
        return None if event.value in _NOTHING else Plain(event.value)

    def _sequence(self, events: Iterator[Any], path: Path) -> list[object]:
        items: list[object] = []
        for event in events:
            if type(event).__name__ == "SequenceEndEvent":
                break
            place = (*path, len(items))
            self.lines[place] = event.start_mark.line + 1
            items.append(self._value(events, event, place))
        return items

    def _mapping(self, events: Iterator[Any], path: Path) -> dict[str, object]:
        table: dict[str, object] = {}
        for event in events:
            if type(event).__name__ == "MappingEndEvent":
                break
            key = self._key(events, event, path)
            place = (*path, key)
            if key in table:
                self.fail(event, f"duplicate key {key!r} (first on line {self.lines[place]})")
            self.lines[place] = event.start_mark.line + 1
            table[key] = self._value(events, next(events), place)
        return table

    def _key(self, events: Iterator[Any], event: Any, path: Path) -> str:
        if type(event).__name__ in ("SequenceStartEvent", "MappingStartEvent"):
            self.fail(event, "a key must be a text")
        self._value(events, event, path)
        key = str(event.value)
        if event.implicit[0] and key in ("", "<<"):
            self.fail(event, "merge keys (<<) are not allowed" if key else "a key is missing")
        return key
