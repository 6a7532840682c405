"""JSON records: values with their numbers as written, elements of an array, nested fields."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec

from llmtool.batch.lines import Line
from llmtool.encoding import MAX_BYTES, Errors
from llmtool.errors import InputError, format_json_error
from llmtool.option_names import option

MISSING: Any = object()
_SPACE = b" \t\r\n"
_STRUCTURE = re.compile(rb'["\[\]{},]')
_STRING_PART = re.compile(rb'\\.|"', re.DOTALL)
_DECODER = msgspec.json.Decoder(float_hook=float)
_FIELDS_DECODER = msgspec.json.Decoder(dict[str, msgspec.Raw])


def decode_json(text: str, *, errors: Errors = "strict") -> tuple[Any, dict[str, Any]]:
    """Return a JSON value, and the fields of an object to encode again, as they are written.

    NaN and Infinity, which JSON lacks, become None, as in pandas' `to_json`. A surrogate without
    its pair is invalid, or replaced if `errors` is "replace". Of repeated keys, the last counts.

    Raises:
        InputError: the text is not valid JSON.

    Example:
        >>> value, written = decode_json('{"n": 1.50}')
        >>> value, msgspec.json.encode(written)
        ({'n': 1.5}, b'{"n":1.50}')
    """
    try:
        value = _DECODER.decode(text)
        return value, _FIELDS_DECODER.decode(text) if isinstance(value, dict) else {}
    except RecursionError:
        raise InputError("nested too deeply") from None
    except msgspec.DecodeError as exc:
        try:
            # Python also reads NaN, surrogates and integers of any length.
            value = _load(text, float)
            written = _load(text, lambda digits: msgspec.Raw(digits.encode()))
        except (ValueError, RecursionError):
            raise InputError(f"not valid JSON: {format_json_error(exc)}") from exc
    try:
        msgspec.json.encode(value)
    except UnicodeEncodeError as exc:
        if errors == "strict":
            surrogate = f"\\u{ord(exc.object[exc.start]):04x}"
            raise InputError(
                f"{surrogate} is half of a surrogate pair; pass {option('errors', 'replace')}"
            ) from exc
        value, written = _without_surrogates(value), _without_surrogates(written)
    return value, written if isinstance(value, dict) else {}


def _load(text: str, number: Callable[[str], Any]) -> Any:
    return json.loads(
        text, parse_int=number, parse_float=number, parse_constant=lambda constant: None
    )


def _without_surrogates(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_without_surrogates(each) for each in value]
    if isinstance(value, dict):
        return {_without_surrogates(k): _without_surrogates(v) for k, v in value.items()}
    return value


def find_field(value: Any, path: str) -> Any:
    """Return a field of a record, or `MISSING`: a key, or keys and list indexes joined by dots.

    A key that contains a dot takes precedence.

    Example:
        >>> find_field({"data": {"text": ["a", "b"]}}, "data.text.1")
        'b'
    """
    if isinstance(value, list):
        head, _, rest = path.partition(".")
        if not (head.isascii() and head.isdigit() and int(head) < len(value)):
            return MISSING
        return find_field(value[int(head)], rest) if rest else value[int(head)]
    if not isinstance(value, dict):
        return MISSING
    if path in value:
        return value[path]
    for end in (found.start() for found in re.finditer(r"\.", path)):
        found_value = find_field(value.get(path[:end]), path[end + 1 :])
        if found_value is not MISSING:
            return found_value
    return MISSING


def is_message(value: Any) -> bool:
    """Return whether a value is a message of a conversation, with a role and content."""
    return isinstance(value, dict) and isinstance(value.get("role"), str) and "content" in value


def number_as_written(fields: dict[str, Any], path: str) -> str:
    """Return the text of a number in the second result of `decode_json`."""
    return str(find_field(_load(msgspec.json.encode(fields).decode(), str), path))


def is_array(start: bytes) -> bool | None:
    """Return whether a file is one array, not lines of JSON; None if more of it is needed.

    Example:
        >>> [is_array(start) for start in (b"[1,\\n2]", b"[1]\\n[2]\\n", b"{", b"[1]\\n")]
        [True, False, False, None]
    """
    first, end, rest = start.lstrip(_SPACE + codecs.BOM_UTF8).partition(b"\n")
    if first[:1] != b"[":
        return False if first else None
    if end and not first.rstrip(_SPACE).endswith(b"]"):
        return True
    # Lines can also be arrays.
    return rest.lstrip(_SPACE)[:1] != b"[" if rest.strip(_SPACE) else None


def split_array(chunks: Iterable[bytes | None]) -> Iterator[Line | None]:
    """Yield the elements of an array as lines, numbered by their first line in the file.

    `None` means that a pipe has no data. Text after the array is one more element. Elements are not
    validated, and a missing element or end of the array is an empty one.

    Example:
        >>> [line.data for line in split_array([b'[{"a": [1, 2]}, "]', b'", 3]'])]
        [b'{"a": [1, 2]}', b'"]"', b'3']
    """
    element = _Element()
    depth, in_string, has_ended, held = 0, False, False, b""
    for chunk in chunks:
        if chunk is None:
            yield None
            continue
        data, held = held + chunk, b""
        begin = at = 0
        while not has_ended and (
            found := (_STRING_PART if in_string else _STRUCTURE).search(data, at)
        ):
            at, token = found.end(), found[0]
            if token == b'"':
                in_string = not in_string
            elif token in b"[{":
                depth += 1
                if depth == 1 and element.is_first:
                    element.add(data[begin : at - 1])
                    element.end()
                    begin = at
            elif token in b"]}":
                depth -= 1
                has_ended = not depth
                if has_ended:
                    element.add(data[begin : at - 1])
                    yield from filter(None, [element.end()])
                    begin = at
            elif token == b"," and depth == 1:
                element.add(data[begin : at - 1])
                yield element.end() or element.missing()
                begin = at
        if in_string and data.endswith(b"\\") and at < len(data):
            data, held = data[:-1], b"\\"  # an escape sequence continues in the next chunk
        element.add(data[begin:])
        if not begin:
            yield None  # lets the caller cancel in the middle of a long element
    yield from filter(None, [element.end()])
    if not has_ended:
        yield element.missing()


class _Element:
    """The bytes of an element, of which a limited number is saved."""

    def __init__(self) -> None:
        self.is_first = True
        self._number, self._offset = 1, 0
        self._pieces: list[bytes] = []
        self._size = self._n_newlines = 0

    def add(self, piece: bytes) -> None:
        if self._size <= MAX_BYTES:
            self._pieces.append(piece)
        self._size += len(piece)
        self._n_newlines += piece.count(b"\n")

    def end(self) -> Line | None:
        """Return the element, or None if it is blank, and begin the next one."""
        data = b"".join(self._pieces)
        text = data.lstrip(_SPACE)
        n_blank = len(data) - len(text)
        line = Line(
            text.rstrip(_SPACE)[:MAX_BYTES],
            b"",
            self._number + data[:n_blank].count(b"\n"),
            self._offset + n_blank,
            len(text) > MAX_BYTES,
        )
        self.is_first = False
        self._number, self._offset = self._number + self._n_newlines, self._offset + self._size + 1
        self._pieces, self._size, self._n_newlines = [], 0, 0
        return line if text else None

    def missing(self) -> Line:
        return Line(b"", b"", self._number, self._offset)
