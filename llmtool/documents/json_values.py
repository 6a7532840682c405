"""JSON: the values that are language, found in the source; keys and all else stay."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence

from llmtool.documents.placeholders import split_parts
from llmtool.documents.types import Part, Segment
from llmtool.errors import InputError

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+', re.DOTALL)
# Values that are single tokens of a machine: names, dates, numbers, colours, paths.
_IS_TOKEN = re.compile(r"\S*[\d_/\\@#=<>]\S*|\S+\.\w{1,5}|[a-z]+(?:[A-Z-]\S*)+|[A-Z]{2,}")
_PLURAL = re.compile(r"\{\s*\w+\s*,\s*(?:plural|select|selectordinal)\s*,")  # ICU's messages
_MAX_DEPTH = 400


class JsonValues:
    """A JSON text and its passages."""

    def __init__(self, source: str) -> None:
        self.source = source
        self._is_ascii = source.isascii() and "\\u" in source
        values = tuple(_segments(source))
        self.segments: tuple[Segment, ...] = tuple(s for s in values if not _is_plural(s))
        # Values with plurals of ICU, whose branches are a language of their own: left as they are.
        self.left_alone: tuple[Segment, ...] = tuple(filter(_is_plural, values))

    def encode(self, segment: Segment, parts: Sequence[Part]) -> str:
        if tuple(parts) == segment.parts:
            return self.source[segment.start : segment.end]
        text = "".join(part if isinstance(part, str) else part.source for part in parts)
        return json.dumps(text, ensure_ascii=self._is_ascii)[1:-1]

    def find_fault(self, segment: Segment, parts: Sequence[Part]) -> str | None:
        return None

    def compare(self, output: str) -> str | None:
        """Say which keys, numbers or lengths differ; strings may."""
        before, after = _skeleton(json.loads(self.source)), None
        try:
            after = _skeleton(json.loads(output))
        except ValueError:
            return "it is no JSON"
        return None if before == after else "another structure of keys and values"


def parse(text: str) -> JsonValues:
    """Return the passages of a JSON text.

    Raises:
        InputError: it is no JSON, with line and column; or nested too deep.

    Example:
        >>> document = parse('{"id": "a-1", "title": "Good morning", "n": 3}')
        >>> [(segment.before, segment.text) for segment in document.segments]
        [(('title',), 'Good morning')]
    """
    depth = deepest = 0
    for found in _TOKEN.finditer(text):
        depth += {"{": 1, "[": 1, "}": -1, "]": -1}.get(found[0], 0)
        deepest = max(deepest, depth)
    if deepest > _MAX_DEPTH:
        raise InputError(f"the JSON is nested deeper than {_MAX_DEPTH} levels")
    try:
        json.loads(text.removeprefix("\ufeff"))
    except json.JSONDecodeError as exc:
        raise InputError(f"line {exc.lineno}, column {exc.colno}: not JSON: {exc.msg}") from exc
    except ValueError as exc:
        raise InputError(f"not JSON: {exc}") from exc
    return JsonValues(text)


def _segments(source: str) -> Iterator[Segment]:
    path: list[str | int] = []  # keys and positions above the value that comes
    is_key: list[bool] = []
    for found in _TOKEN.finditer(source):
        token = found[0]
        if token == "{":
            path.append("")
            is_key.append(True)
        elif token == "[":
            path.append(0)
            is_key.append(False)
        elif token in "}]":
            path.pop()
            is_key.pop()
        elif token == "," and path:
            last = path[-1]
            is_key[-1] = isinstance(last, str)
            if isinstance(last, int):
                path[-1] = last + 1
        elif token == ":":
            is_key[-1] = False
        elif token[0] == '"' and is_key and is_key[-1]:
            path[-1] = json.loads(token)
        elif token[0] == '"':
            text = json.loads(token)
            if _is_language(text, path):
                yield Segment(
                    start=found.start() + 1,
                    end=found.end() - 1,
                    parts=split_parts(text),
                    before=tuple(str(key) for key in path),
                )


def _is_language(text: str, path: list[str | int]) -> bool:
    # Keys of metadata: those of ARB files, `$schema`.
    if any(isinstance(key, str) and key[:1] in ("@", "$") for key in path):
        return False
    if not text.isprintable() and any("\ud800" <= c <= "\udfff" for c in text):
        return False  # half a character, which no file can hold
    if _PLURAL.search(text):
        return True  # for those who tell what is left alone
    words = text.split()
    if len(words) == 1 and _IS_TOKEN.fullmatch(words[0]):
        return False
    parts = split_parts(text)
    return any(isinstance(part, str) and any(map(str.isalpha, part)) for part in parts)


def _is_plural(segment: Segment) -> bool:
    return bool(_PLURAL.search(segment.source))


def _skeleton(value: object) -> object:
    """Return a value without what its strings say."""
    if isinstance(value, dict):
        return {key: _skeleton(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_skeleton(each) for each in value]
    return str if isinstance(value, str) else (type(value), value)
