"""Limit the length of numbers in JSON text: small models may write digits without end.

A grammar for JSON numbers does not bound the digits, and llguidance has no option for it.
"""

from __future__ import annotations

MAX_CHARACTERS = 24  # the longest double with all its digits
MAX_EXPONENT_DIGITS = 2  # with 24 characters before it, within the range of a double
LONGEST_TOKEN = 16

_NUMBER = frozenset(b"+-.0123456789eE")


class NumberLength:
    """The position in a JSON text: in a string, or `length` characters into a number.

    Example:
        >>> numbers = NumberLength()
        >>> numbers.push(b'[0.' + b'3' * 22)
        >>> numbers.fits(b'3'), numbers.fits(b', 1')
        (False, True)
    """

    def __init__(self) -> None:
        self.length = 0
        self._exponent: int | None = None
        self._in_string = False
        self._escaped = False

    @property
    def near_limit(self) -> bool:
        """Whether the next token could make a number too long."""
        return self._exponent is not None or self.length > MAX_CHARACTERS - LONGEST_TOKEN

    def copy(self) -> NumberLength:
        twin = NumberLength()
        twin.length, twin._exponent = self.length, self._exponent
        twin._in_string, twin._escaped = self._in_string, self._escaped
        return twin

    def fits(self, piece: bytes) -> bool:
        """Whether all numbers are short enough after `piece`."""
        if self._in_string and b'"' not in piece:
            return True
        return self.copy().push(piece)

    def push(self, piece: bytes) -> bool:
        """Advance by the bytes of a token; return whether all numbers were short enough."""
        short = True
        for byte in piece:
            if self._in_string:
                if self._escaped:
                    self._escaped = False
                elif byte == 0x5C:
                    self._escaped = True
                elif byte == 0x22:
                    self._in_string = False
            elif byte in _NUMBER:
                short = self._digit(byte) and short
            else:
                self._in_string = byte == 0x22
                self.length, self._exponent = 0, None
        return short

    def _digit(self, byte: int) -> bool:
        self.length += 1
        if byte in b"eE":
            # The e of true and false is not an exponent.
            self._exponent = 0 if self.length > 1 else None
        elif self._exponent is not None and byte not in b"+-":
            self._exponent += 1
        return self.length <= MAX_CHARACTERS and (self._exponent or 0) <= MAX_EXPONENT_DIGITS
