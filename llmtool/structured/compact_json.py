"""Remove the white space between the values of JSON text, which arrives in parts."""

from __future__ import annotations


class CompactJson:
    """Removes white space outside strings; all other characters stay as they are written.

    Example:
        >>> json = CompactJson()
        >>> json.push('{"a b": 1.0, "c'), json.push(' d": [1e5, 2]}')
        ('{"a b":1.0,"c', ' d":[1e5,2]}')
    """

    def __init__(self) -> None:
        self._in_string = self._escaped = False

    def push(self, text: str) -> str:
        """Return the next part of the text without its white space."""
        kept = []
        for character in text:
            if self._in_string:
                self._in_string = character != '"' or self._escaped
                self._escaped = character == "\\" and not self._escaped
            elif character in " \t\r\n":
                continue
            else:
                self._in_string = character == '"'
            kept.append(character)
        return "".join(kept)
