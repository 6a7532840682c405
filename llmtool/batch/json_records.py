"""JSON records: values over several lines, elements of an array, numbers as written, fields."""

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
_START = _SPACE + codecs.BOM_UTF8
_STRUCTURE = re.compile(rb'["\[\]{},]')
_STRING_PART = re.compile(rb'\\.|"', re.DOTALL)
_QUOTE_OR_BRACKET = re.compile(rb'["\[\]{}]')
_OPENS = (b"{", b"[")
_OPENED_BY = {b"}": ord("{"), b"]": ord("[")}
_YIELD_BYTES = 1 << 16  # of an incomplete value, after which the caller can cancel
_DECODER = msgspec.json.Decoder(float_hook=float)
_FIELDS_DECODER = msgspec.json.Decoder(dict[str, msgspec.Raw])


def decode_json(text: str, *, errors: Errors = "strict") -> tuple[Any, dict[str, Any]]:
    """Return a JSON value, and the fields of an object to encode again, as they are written.

    NaN and Infinity, which JSON lacks, become None, as in pandas' `to_json`. A surrogate without
    its pair is invalid, or replaced if `errors` is "replace". Of repeated keys, the last counts.

    Raises:
        InputError: the text is not valid JSON.

    Example:
        >>> import msgspec
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
    first, end, rest = start.lstrip(_START).partition(b"\n")
    if first[:1] != b"[":
        return False if first else None
    if end and not first.rstrip(_SPACE).endswith(b"]"):
        return True
    # Lines can also be arrays.
    return rest.lstrip(_SPACE)[:1] != b"[" if rest.strip(_SPACE) else None


def join_lines(lines: Iterable[Line | None]) -> Iterator[Line | None]:
    """Join the lines of each object or array that is written over several lines.

    A line that is damaged remains a line of its own. In a damaged value, the lines up to the next
    one that can begin a value are joined. `None` means that a pipe has no data.

    Example:
        >>> from llmtool.batch.lines import Line
        >>> lines = [Line(data, b"\\n", 1, 0) for data in (b"{", b' "a": 1', b"}", b'{"a": 2}')]
        >>> [line.data for line in join_lines(lines)]
        [b'{\\n "a": 1\\n}', b'{"a": 2}']
    """
    value: _OpenValue | None = None
    for line in lines:
        if line is None:
            yield None
            continue
        if value is not None and value.may_begin_next(line):
            yield value.line()
            value = None
        while line is not None:
            if value is None and not _is_incomplete(line):
                yield line
                break
            value = value or _OpenValue(line)
            rest = value.add(line)
            if value.is_complete:
                yield value.line()
                value = None
            elif value.n_unreported > _YIELD_BYTES:
                value.n_unreported = 0
                yield None
            line = rest
    if value is not None:
        yield value.line()


def _is_incomplete(line: Line) -> bool:
    """Return whether a line is the beginning of a value that can continue in the next line."""
    data = line.data
    if line.is_too_long or not data.lstrip(_START).startswith(_OPENS):
        return False
    if data.count(b"{") == data.count(b"}") and data.count(b"[") == data.count(b"]"):
        return False  # as in all lines of JSON Lines, but for brackets in strings
    value = _OpenValue(line)
    value.add(line)
    return not value.is_complete and not value.is_damaged


class _OpenValue:
    """A JSON value, of which a limited number of bytes is saved, until its last line."""

    def __init__(self, first: Line) -> None:
        self.is_complete = self.is_damaged = False
        self.n_unreported = 0
        self._first = self._last = first
        self._pieces: list[bytes] = []
        self._size = self._n_lines = 0
        self._is_too_long = False
        self._open = bytearray()
        self._last_byte = b""

    def add(self, line: Line) -> Line | None:
        """Add a line; return its rest if another value begins after the end of this one."""
        end = len(line.data) if self.is_damaged else self._scan(line.data)
        data, rest = line.data[:end], line.data[end:]
        if not rest.lstrip(_SPACE).startswith(_OPENS):
            data, rest = line.data, b""
        if self._size <= MAX_BYTES:
            self._pieces += [self._last.end, data] if self._pieces else [data]
        self._n_lines += bool(data.strip())
        self._size += len(data) + len(line.end)
        self.n_unreported += len(data)
        self._is_too_long |= line.is_too_long or self._size > MAX_BYTES
        self.is_damaged |= self._is_too_long
        self._last = line
        if not rest:
            return None
        self._last = Line(data, b"", line.number, line.offset)
        return Line(rest, line.end, line.number, line.offset + len(data), line.is_too_long)

    def may_begin_next(self, line: Line) -> bool:
        """Return whether a line is the next value: it cannot continue this one, or may not."""
        text = line.data.strip(_SPACE)
        if _indent(line.data) > _indent(self._first.data):
            return False
        if self._n_lines == 1 and _is_string(text):
            return True
        if not text.startswith(_OPENS):
            return False
        # The first line of this value may be a damaged one of JSON Lines.
        allowed = b":[," if self._open.endswith(b"[") else b":"
        return self.is_damaged or self._n_lines == 1 or self._last_byte not in allowed

    def line(self) -> Line:
        """Return the value as one line, which has the number and offset of its first line."""
        data, first = b"".join(self._pieces), self._first
        return Line(data[:MAX_BYTES], self._last.end, first.number, first.offset, self._is_too_long)

    def _scan(self, data: bytes) -> int:
        """Follow the brackets of a line; return where the value ends, or the length of the line."""
        at, in_string = 0, False
        while found := (_STRING_PART if in_string else _QUOTE_OR_BRACKET).search(data, at):
            at, token = found.end(), found[0]
            if token == b'"':
                in_string = not in_string
            elif token in _OPENS:
                self._open += token
            elif token in _OPENED_BY:
                if self._open.pop() != _OPENED_BY[token]:
                    self.is_damaged = True
                    break
                if not self._open:
                    self.is_complete = True
                    return at
        self.is_damaged |= in_string  # a string cannot contain a line feed
        self._last_byte = data.rstrip(_SPACE)[-1:] or self._last_byte
        return len(data)


def _is_string(data: bytes) -> bool:
    try:
        return data[:1] == b'"' and isinstance(_DECODER.decode(data), str)
    except msgspec.DecodeError:
        return False


def _indent(data: bytes) -> int:
    data = data.removeprefix(codecs.BOM_UTF8)
    return len(data) - len(data.lstrip(_SPACE))


def with_line(reason: str, value: Line) -> str:
    """Return a reason with the line of its byte in the file, if the value has several lines.

    Example:
        >>> from llmtool.batch.lines import Line
        >>> with_line("invalid character (byte 7)", Line(b'{"a":\\n b}', b"", 3, 0))
        'invalid character (line 4, byte 1)'
    """
    found = re.search(r"\(byte (\d+)\)$", reason)
    if found is None or b"\n" not in value.data:
        return reason
    before = value.data[: int(found[1])]
    line, at = value.number + before.count(b"\n"), len(before) - before.rfind(b"\n") - 1
    return f"{reason[: found.start()]}(line {line}, byte {at})"


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
