"""Text for a terminal: control characters, width in cells and styles."""

from __future__ import annotations

import re

_ALLOWED = (0x09, 0x0A)
# What the program itself writes: styles, and moving in and clearing the current reply.
_OWN_SEQUENCES = re.compile(r"(\x1b\[[\d;]*[mAJK]|\r)")
_BIDI_CONTROLS = (0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
# Without a width, and not needed to write a language, as U+200C and U+200D are.
_INVISIBLE = (0x00AD, 0x115F, 0x1160, 0x180E, 0x200B, *range(0x2060, 0x2065), 0x3164, 0xFEFF)
_INVISIBLE += (0xFFA0, *range(0x206A, 0x2070), *range(0xFFF9, 0xFFFC), *range(0xE0000, 0xE0080))
_ESCAPES = {code: chr(0x2400 + code) for code in range(0x20) if code not in _ALLOWED}
_ESCAPES |= {0x7F: "\u2421"}
_ESCAPES |= {code: f"<U+{code:04X}>" for code in (*range(0x80, 0xA0), *_BIDI_CONTROLS, *_INVISIBLE)}


def escape_control_chars(text: str) -> str:
    """Replace the characters that control a terminal with visible ones.

    These are the control characters except newline and tab, DEL, C1 controls, bidirectional
    overrides, and characters without a width, such as tags. ESC becomes U+241B, the others U+2400
    + code or <U+XXXX>.

    Example:
        >>> escape_control_chars("a\\x1b[31m")
        'a\\u241b[31m'
    """
    return text.translate(_ESCAPES)


def escape_foreign_sequences(text: str) -> str:
    """Escape rendered text, but keep the sequences that the program writes.

    Example:
        >>> escape_foreign_sequences("\\x1b[1mbold\\x1b[0m\\x1b]52;c;aGk=\\x07")
        '\\x1b[1mbold\\x1b[0m\u241b]52;c;aGk=\u2407'
    """
    pieces = _OWN_SEQUENCES.split(text)
    pieces[::2] = map(escape_control_chars, pieces[::2])
    return "".join(pieces)


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


def shorten_status(text: str, n_cells: int) -> str:
    """Return a status that fits in `n_cells` cells: its first part, and of the others the last.

    Parts are separated by commas; if the first is too long, it ends at a word.

    Example:
        >>> shorten_status("40 records, 5.0/s, 1 failed, 0:06 left", 34)
        '40 records, 1 failed, 0:06 left'
        >>> shorten_status("reading the prompt: 512 of 900 tokens, 25 tok/s", 24)
        'reading the prompt: 512…'
    """
    parts = text.split(", ")
    while len(parts) > 1 and cell_width(", ".join(parts)) > n_cells:
        del parts[1]
    text = ", ".join(parts)
    if cell_width(text) <= n_cells or n_cells < 2:
        return truncate_to_width(text, n_cells)
    cut = truncate_to_width(text, n_cells - 1)
    return (cut if text[len(cut)] == " " else cut.rpartition(" ")[0] or cut) + "…"
