"""JSON: string values in natural language; keys and other values stay unchanged."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence

from llmtool.documents.protected_spans import split_parts
from llmtool.documents.types import Document, OutsideText, Part, Segment, has_letters, join_parts
from llmtool.errors import InputError

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+', re.DOTALL)
# Values that are identifiers and not language: names, dates, numbers, colors, paths.
_IDENTIFIER = re.compile(r"\S*[\d_/\\@#=<>]\S*|\S+\.\w{1,5}|[a-z]+(?:[A-Z-]\S*)+|[A-Z]{2,}")
_ICU_MESSAGE = re.compile(r"\{\s*\w+\s*,\s*(?:plural|select|selectordinal)\s*,")
_MAX_DEPTH = 400


class JsonValues(Document):
    """A JSON text and its segments.

    Raises:
        InputError: the text is not valid JSON, with line and column, or is nested too deeply.

    Example:
        >>> document = JsonValues('{"id": "a-1", "title": "Good morning", "n": 3}')
        >>> [(segment.context, segment.text) for segment in document.segments]
        [(('title',), 'Good morning')]
    """

    def __init__(self, source: str) -> None:
        super().__init__(source)
        _check(source)
        self._is_ascii = source.isascii() and "\\u" in source
        values = tuple(_values(source))
        self.segments = tuple(value for value in values if isinstance(value, Segment))
        self.outside = tuple(value for value in values if isinstance(value, OutsideText))

    def _encode(self, segment: Segment, parts: Sequence[Part]) -> str:
        return json.dumps(join_parts(parts), ensure_ascii=self._is_ascii)[1:-1]

    def compare(self, output: str) -> str | None:
        """Compare keys, numbers and lengths; strings may differ."""
        try:
            after = _skeleton(json.loads(output))
        except ValueError:
            return "it is not valid JSON"
        return None if _skeleton(json.loads(self.source)) == after else "keys or values differ"


def _check(text: str) -> None:
    depth = deepest = 0
    for found in _TOKEN.finditer(text):
        depth += {"{": 1, "[": 1, "}": -1, "]": -1}.get(found[0], 0)
        deepest = max(deepest, depth)
    if deepest > _MAX_DEPTH:
        raise InputError(f"JSON is nested more than {_MAX_DEPTH} levels deep")
    try:
        json.loads(text.removeprefix("\ufeff"))
    except json.JSONDecodeError as exc:
        raise InputError(
            f"line {exc.lineno}, column {exc.colno}: not valid JSON: {exc.msg}"
        ) from exc
    except ValueError as exc:
        raise InputError(f"not valid JSON: {exc}") from exc


def _values(source: str) -> Iterator[Segment | OutsideText]:
    """Yield the values in natural language, and the rest of the text."""
    path: list[str | int] = []  # keys and indexes of the next value
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
            yield OutsideText(*found.span(), "key")
        elif token[0] == '"':
            start, end = found.start() + 1, found.end() - 1
            text = json.loads(token)
            if _is_metadata(path):
                yield OutsideText(start, end, "metadata")
            elif reason := _unsupported(text):
                yield OutsideText(start, end, reason, is_language=True)
            elif _is_identifier(text):
                yield OutsideText(start, end, "identifier")
            else:
                context = tuple(str(key) for key in path)
                yield Segment(start=start, end=end, parts=split_parts(text), context=context)
        else:
            yield OutsideText(*found.span(), "number or constant")


def _is_metadata(path: list[str | int]) -> bool:
    """Return whether a value is metadata, as in ARB files and `$schema`."""
    return any(isinstance(key, str) and key[:1] in ("@", "$") for key in path)


def _unsupported(text: str) -> str | None:
    """Return why a text in natural language cannot be translated, or None."""
    if not text.isprintable() and any("\ud800" <= c <= "\udfff" for c in text):
        return "UTF-8 cannot encode its lone surrogate"
    if _ICU_MESSAGE.search(text):
        return "ICU plural and select messages are not supported"
    return None


def _is_identifier(text: str) -> bool:
    words = text.split()
    is_name = len(words) == 1 and bool(_IDENTIFIER.fullmatch(words[0]))
    return is_name or not has_letters(split_parts(text))


def _skeleton(value: object) -> object:
    """Return a value with each string replaced by its type."""
    if isinstance(value, dict):
        return {key: _skeleton(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_skeleton(each) for each in value]
    return str if isinstance(value, str) else (type(value), value)
