"""Streamed responses: from their parts to the data of each event, in bounded memory."""

from __future__ import annotations

MAX_LINE = 8 << 20  # bytes; a token with 100 alternatives has 20 KB


class LineTooLong(Exception):
    """A line has more than `MAX_LINE` bytes."""


class LineReader:
    """Joins the parts of a response, and returns the lines that are complete.

    Example:
        >>> reader = LineReader()
        >>> reader.push(b'{"a"'), reader.push(b": 1}\\n\\n{")
        ([], [b'{"a": 1}'])
    """

    def __init__(self) -> None:
        self._pending = bytearray()

    def push(self, part: bytes) -> list[bytes]:
        """Append a part; return the complete lines that are not empty.

        Raises:
            LineTooLong: a line is longer than `MAX_LINE`.
        """
        *lines, rest = part.split(b"\n")
        if lines:
            lines[0] = bytes(self._pending) + lines[0]
            self._pending.clear()
        self._pending += rest
        if len(self._pending) > MAX_LINE:
            raise LineTooLong
        return [line for line in lines if line.strip()]


class EventReader:
    """Joins the parts of a response, and returns the data of the events that are complete.

    Events of other types, comments and ids have no meaning in the API. Lines end with LF, CR LF or
    CR; the data of an event may have several lines. Source: the HTML standard, section 9.2.

    Example:
        >>> reader = EventReader()
        >>> reader.push(b": comment\\n\\ndata: {\\"a\\""), reader.push(b": 1}\\r\\n\\r\\n")
        ([], [b'{"a": 1}'])
    """

    def __init__(self) -> None:
        self._pending = bytearray()
        self._data: list[bytes] = []
        self._n_data = 0
        self._after_cr = False

    def push(self, part: bytes) -> list[bytes]:
        """Append a part; return the data of complete events.

        Raises:
            LineTooLong: a line or an event is longer than `MAX_LINE`.
        """
        if self._after_cr and part:
            part, self._after_cr = part.removeprefix(b"\n"), False
        *lines, rest = self._split(part)
        events = []
        for line in lines:
            line = bytes(self._pending) + line
            self._pending.clear()
            if not line:
                if self._data:
                    events.append(b"\n".join(self._data))
                self._data, self._n_data = [], 0
            elif line.startswith(b"data:"):
                self._data.append(line[5:].removeprefix(b" "))
                self._n_data += len(line)
        self._pending += rest
        if max(len(self._pending), self._n_data) > MAX_LINE:
            raise LineTooLong
        return events

    def _split(self, part: bytes) -> list[bytes]:
        self._after_cr = part.endswith(b"\r")
        return part.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
