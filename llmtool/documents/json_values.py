"""JSON: string values in natural language; keys and other values stay unchanged."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence

from llmtool.documents.protected_spans import split_parts
from llmtool.documents.types import Document, Part, Segment, has_letters, join_parts
from llmtool.errors import InputError

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+', re.DOTALL)
# Values that are identifiers and not language: names, dates, numbers, colors, paths.
_IDENTIFIER = re.compile(r"\S*[\d_/\\@#=<>]\S*|\S+\.\w{1,5}|[a-z]+(?:[A-Z-]\S*)+|[A-Z]{2,}")
_ICU_MESSAGE = re.compile(r"\{\s*\w+\s*,\s*(?:plural|select|selectordinal)\s*,")
_MAX_DEPTH = 400


class JsonValues(Document):
    """A JSON text and its segments.

    `skipped` are ICU messages with plural or select forms, whose syntax is not parsed.

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
        values = tuple(_segments(source))
        self.segments = tuple(s for s in values if not _is_icu_message(s))
        self.skipped = tuple(filter(_is_icu_message, values))

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


def _segments(source: str) -> Iterator[Segment]:
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
        elif token[0] == '"':
            text = json.loads(token)
            if _is_language(text, path):
                yield Segment(
                    start=found.start() + 1,
                    end=found.end() - 1,
                    parts=split_parts(text),
                    context=tuple(str(key) for key in path),
                )


def _is_language(text: str, path: list[str | int]) -> bool:
    # Metadata, as in ARB files and `$schema`.
    if any(isinstance(key, str) and key[:1] in ("@", "$") for key in path):
        return False
    if not text.isprintable() and any("\ud800" <= c <= "\udfff" for c in text):
        return False  # a lone surrogate, which UTF-8 cannot encode
    if _ICU_MESSAGE.search(text):
        return True  # to report it as skipped
    words = text.split()
    if len(words) == 1 and _IDENTIFIER.fullmatch(words[0]):
        return False
    return has_letters(split_parts(text))


def _is_icu_message(segment: Segment) -> bool:
    return bool(_ICU_MESSAGE.search(segment.source))


def _skeleton(value: object) -> object:
    """Return a value with each string replaced by its type."""
    if isinstance(value, dict):
        return {key: _skeleton(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_skeleton(each) for each in value]
    return str if isinstance(value, str) else (type(value), value)
