"""JSON: string values in natural language; keys and other values stay unchanged."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence

from llmtool.documents.localization.icu import find_icu_fault, is_icu, split_icu
from llmtool.documents.localization.messages import join_message, split_message
from llmtool.documents.protected_spans import find_nesting_fault
from llmtool.documents.types import Document, OutsideText, Part, Segment, has_letters
from llmtool.errors import InputError

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+', re.DOTALL)
# A value of one word that is an identifier in any file: a_b, #fff, a-1, a.png, ./a, fooBar, a:b.
_IDENTIFIER = re.compile(
    r"(?=\S*[_\\=#@])\S*|(?=\S*\d)\S*(?<![!?:…])|[\w-]+(?:\.[\w-]+)+|(?:~|\.{1,2})?/\S*|\S+/"
    r"|[\w.@~-]+(?:/[\w.@~-]+)*/[\w-]+\.[a-z][a-z0-9]{0,4}"
    r"|[a-z]+[A-Z]\S*|[a-z]+:[a-z]\S*|(?:application|audio|font|image|multipart|text|video)/\S+",
    re.ASCII,
)
# Values that are identifiers under these keys, and words elsewhere: sign-in, CANCEL, and/or.
_IDENTIFIER_KEYS = frozenset(
    "id key ref rel type kind class classname slug lang language locale code currency method icon"
    " variant mime mimetype contenttype timezone tz enum format href src url uri path file"
    " version license encoding charset".split()
)
_NAME = re.compile(
    r"[a-z]+(?:-[a-z]+)*(?: [a-z]+(?:-[a-z]+)*)*|[A-Z]{2,}|\w+(?:[-/]\w+)+", re.ASCII
)
_METADATA_KEY = re.compile(r"[@$]\w[\w.-]*|@@\w+")
_MAX_DEPTH = 400


class JsonValues(Document):
    """A JSON text and its segments; `to` is the code of the target language.

    Raises:
        InputError: the text is not valid JSON, with line and column, or is nested too deeply.

    Example:
        >>> document = JsonValues('{"id": "a-1", "title": "Good morning", "n": 3}')
        >>> [(segment.context, segment.text) for segment in document.segments]
        [(('title',), 'Good morning')]
    """

    def __init__(self, source: str, *, to: str | None = None) -> None:
        super().__init__(source)
        _check(source)
        self._is_ascii = source.isascii() and "\\u" in source
        values = tuple(_values(source, to))
        self.segments = tuple(value for value in values if isinstance(value, Segment))
        self.outside = tuple(value for value in values if isinstance(value, OutsideText))

    def _encode(self, segment: Segment, parts: Sequence[Part]) -> str:
        text = join_message(parts, segment.source)
        return json.dumps(text, ensure_ascii=self._is_ascii)[1:-1]

    def find_fault(self, segment: Segment, parts: Sequence[Part]) -> str | None:
        return find_icu_fault(segment.parts, parts) or find_nesting_fault(segment.parts, parts)

    def compare(self, output: str) -> str | None:
        """Compare keys, numbers and lengths; strings may differ."""
        try:
            after = _skeleton(_load(output))
        except ValueError:
            return "it is not valid JSON"
        before = _skeleton(_load(self.source))
        return None if before == after else "keys or values differ"


def _load(text: str) -> object:
    """Parse JSON; a whole number is its digits, as Python limits their number."""
    return json.loads(text.removeprefix("\ufeff"), parse_int=str.encode)


def _check(text: str) -> None:
    too_deep = f"JSON is nested more than {_MAX_DEPTH} levels deep"
    try:
        _load(text)
    except json.JSONDecodeError as exc:
        raise InputError(
            f"line {exc.lineno}, column {exc.colno}: not valid JSON: {exc.msg}"
        ) from exc
    except RecursionError as exc:
        raise InputError(too_deep) from exc
    depth = 0
    for found in _TOKEN.finditer(text):  # linear only if the JSON is valid
        depth += {"{": 1, "[": 1, "}": -1, "]": -1}.get(found[0], 0)
        if depth > _MAX_DEPTH:
            raise InputError(too_deep)


def _values(source: str, to: str | None) -> Iterator[Segment | OutsideText]:
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
            elif _is_identifier(parts := split_message(text, to=to), path):
                yield OutsideText(start, end, "identifier")
            else:
                context = tuple(str(key) for key in path)
                name = tuple("" if isinstance(key, int) else key for key in path)
                yield Segment(
                    start=start,
                    end=end,
                    parts=parts,
                    context=context,
                    key=name,
                    is_atomic=to is not None and is_icu(text),
                )
        else:
            yield OutsideText(*found.span(), "number or constant")


def _is_metadata(path: list[str | int]) -> bool:
    """Return whether a value is metadata, as in ARB files and `$schema`."""
    return any(isinstance(key, str) and _METADATA_KEY.fullmatch(key) for key in path)


def _unsupported(text: str) -> str | None:
    """Return why a text in natural language cannot be translated, or None."""
    if not text.isprintable() and any("\ud800" <= c <= "\udfff" for c in text):
        return "UTF-8 cannot encode its lone surrogate"
    if is_icu(text) and split_icu(text) is None:
        return "the syntax of the ICU message is not supported"
    return None


def _is_identifier(parts: Sequence[Part], path: list[str | int]) -> bool:
    if not has_letters(parts):
        return True
    text = "".join(part for part in parts if isinstance(part, str)).strip()
    if not text.isascii():
        return False
    key = next((key for key in reversed(path) if isinstance(key, str)), "")
    is_name_key = re.sub("[_-]", "", key).casefold() in _IDENTIFIER_KEYS
    if is_name_key and len(parts) == 1 and _NAME.fullmatch(text):
        return True
    return bool(_IDENTIFIER.fullmatch(text))


def _skeleton(value: object) -> object:
    """Return a value with each string replaced by its type."""
    if isinstance(value, dict):
        return {key: _skeleton(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_skeleton(each) for each in value]
    return str if isinstance(value, str) else (type(value), value)
