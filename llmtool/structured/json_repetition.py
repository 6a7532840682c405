"""Detect endless repetition in JSON: small models repeat a list item or a phrase until cut off.

A counter ("item 1", "item 2", …) is not a repetition; `maxItems` and `max_tokens` end it.
"""

from __future__ import annotations

_MAX_PERIOD = 64  # bytes of a repeated phrase
_MIN_REPEATED = 96  # bytes of a string that are a repeated phrase, at least 4 times
_MAX_CYCLE = 4  # items that alternate
_MIN_CYCLES = 6  # repetitions of an item, or of a cycle
_MIN_SCALAR_CYCLES = 32  # of numbers and constants, which often repeat in data


class Repetition:
    """Tracks the open strings and arrays of JSON text.

    `near_limit` is whether the innermost string or array repeats itself, so that it should end, and
    `found` whether one ever did.

    Example:
        >>> json = Repetition()
        >>> json.push(b'["a", "a", "a", "a", "a", "a", "a')
        >>> json.near_limit, json.fits(b'", "'), json.fits(b'"]')
        (True, False, True)
    """

    def __init__(self) -> None:
        self.found = False
        self._arrays: list[_Array | None] = []  # the open containers, None for an object
        self._value = bytearray()  # the open string
        self._in_string = self._escaped = self._string_repeats = False

    @property
    def near_limit(self) -> bool:
        return self._string_repeats or any(each and each.repeats for each in self._arrays)

    def fits(self, piece: bytes) -> bool:
        """Return whether `piece` adds nothing to a string or array that repeats itself."""
        if not self.near_limit:
            return True
        if self._string_repeats and not self._escaped and piece[:1] != b'"':
            return False
        in_string, escaped = self._in_string, self._escaped
        depth = len(self._arrays)
        for byte in piece:
            if in_string:
                in_string = byte != 0x22 or escaped
                escaped = byte == 0x5C and not escaped
            elif byte == 0x22:
                in_string = True
            elif byte in b"[{":
                depth += 1
            elif byte in b"]}":
                depth -= 1
            elif byte == 0x2C and 0 < depth <= len(self._arrays):
                array = self._arrays[depth - 1]
                if array is not None and array.repeats:
                    return False
        return True

    def push(self, piece: bytes) -> None:
        """Advance by the bytes of a token."""
        for byte in piece:
            self._push(byte)
        if self._in_string and not self._string_repeats:
            self._string_repeats = _repeats(self._value)
            self.found |= self._string_repeats

    def _push(self, byte: int) -> None:
        if self._arrays and not (byte in b",]" and not self._in_string):
            for array in self._arrays:
                if array is not None:
                    array.item.append(byte)
        if self._in_string:
            if byte == 0x22 and not self._escaped:
                self._in_string = self._string_repeats = False
            else:
                self._value.append(byte)
            self._escaped = byte == 0x5C and not self._escaped
        elif byte == 0x22:
            self._in_string, self._value = True, bytearray()
        elif byte == 0x5B:
            self._arrays.append(_Array())
        elif byte == 0x7B:
            self._arrays.append(None)
        elif byte in b"]}" and self._arrays:
            self._arrays.pop()
        elif byte == 0x2C and self._arrays and (array := self._arrays[-1]) is not None:
            array.end_item()
            self.found |= array.repeats


class _Array:
    def __init__(self) -> None:
        self.item = bytearray()  # the bytes of the current item, without separators inside
        self.repeats = False
        self._items: list[bytes] = []

    def end_item(self) -> None:
        item = bytes(self.item.strip())
        self._items.append(item)
        self.item.clear()
        cycles = _MIN_CYCLES if item[-1:] in b'"]}' else _MIN_SCALAR_CYCLES
        del self._items[: -_MAX_CYCLE * _MIN_SCALAR_CYCLES]
        items = self._items
        self.repeats = any(
            len(items) >= n * cycles and items[-n * cycles :] == items[-n:] * cycles
            for n in range(1, _MAX_CYCLE + 1)
        )


def _repeats(text: bytearray) -> bool:
    """Return whether a string ends with a phrase that is repeated many times."""
    if len(text) < _MIN_REPEATED:
        return False
    for period in range(1, _MAX_PERIOD + 1):
        n = max(4, -(-_MIN_REPEATED // period))
        if text[-period:] == text[-2 * period : -period] and text.endswith(text[-period:] * n):
            return True
    return False
