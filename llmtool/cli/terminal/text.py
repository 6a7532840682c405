"""Text for a terminal: control characters, width in cells and styles."""

from __future__ import annotations

_ALLOWED = (0x09, 0x0A)
_BIDI_CONTROLS = (0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
_ESCAPES = {code: chr(0x2400 + code) for code in range(0x20) if code not in _ALLOWED}
_ESCAPES |= {0x7F: "\u2421"}
_ESCAPES |= {code: f"<U+{code:04X}>" for code in (*range(0x80, 0xA0), *_BIDI_CONTROLS)}


def escape_control_chars(text: str) -> str:
    """Replace the characters that control a terminal with visible ones.

    These are the control characters except newline and tab, DEL, C1 controls and bidirectional
    overrides. ESC becomes U+241B, the others U+2400 + code or <U+XXXX>.

    Example:
        >>> escape_control_chars("a\\x1b[31m")
        'a\\u241b[31m'
    """
    return text.translate(_ESCAPES)


def paint(text: str, style: str) -> str:
    """Return text in a style given by its SGR numbers: `4;31` is underlined and red."""
    return f"\x1b[{style}m{text}\x1b[0m"


def cell_width(text: str) -> int:
    """Return the number of terminal cells that text occupies; a Chinese character takes two."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def truncate_to_width(text: str, n_cells: int) -> str:
    """Return the longest prefix of text that fits in `n_cells` cells.

    Example:
        >>> truncate_to_width("模型 ok", 3)
        '模'
    """
    if cell_width(text) <= n_cells:
        return text
    if text.isascii():
        return text[: max(n_cells, 0)]
    used = 0
    for at, character in enumerate(text):
        used += cell_width(character)
        if used > n_cells:
            return text[:at]
    return text
