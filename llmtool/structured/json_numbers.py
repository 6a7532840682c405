"""Limit the length of numbers in JSON text: small models may write endless digits.

JSON's grammar does not limit the number of digits, and llguidance has no option for it.
"""

from __future__ import annotations

MAX_CHARACTERS = 24  # enough for any double at full precision
MAX_EXPONENT_DIGITS = 2  # 24 digits and e99 are within the range of a double
LONGEST_TOKEN = 16

_NUMBER = frozenset(b"+-.0123456789eE")


class NumberLength:
    """Tracks the position in JSON text: in a string, or `length` characters into a number.

    Example:
        >>> numbers = NumberLength()
        >>> numbers.push(b'[0.' + b'3' * 22)
        True
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
        other = NumberLength()
        other.length, other._exponent = self.length, self._exponent
        other._in_string, other._escaped = self._in_string, self._escaped
        return other

    def fits(self, piece: bytes) -> bool:
        """Whether all numbers stay within the limits after `piece`."""
        if self._in_string and b'"' not in piece:
            return True
        return self.copy().push(piece)

    def push(self, piece: bytes) -> bool:
        """Advance by the bytes of a token; return whether all numbers are within the limits."""
        fits = True
        for byte in piece:
            if self._in_string:
                if self._escaped:
                    self._escaped = False
                elif byte == 0x5C:
                    self._escaped = True
                elif byte == 0x22:
                    self._in_string = False
            elif byte in _NUMBER:
                fits = self._digit(byte) and fits
            else:
                self._in_string = byte == 0x22
                self.length, self._exponent = 0, None
        return fits

    def _digit(self, byte: int) -> bool:
        self.length += 1
        if byte in b"eE":
            # The e in true and false is not an exponent.
            self._exponent = 0 if self.length > 1 else None
        elif self._exponent is not None and byte not in b"+-":
            self._exponent += 1
        return self.length <= MAX_CHARACTERS and (self._exponent or 0) <= MAX_EXPONENT_DIGITS
