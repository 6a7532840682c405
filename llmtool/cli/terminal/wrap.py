"""Wrap text for a terminal between words, and between Chinese and Japanese characters.

Follows the line breaking classes of UAX #14 for ideographs, and the rules of GB/T 15834 and
JIS X 4051 for punctuation. Korean has spaces between words, so Hangul is treated like letters.
Thai, Lao, Khmer and Burmese would need dictionaries: a run of their letters is one word.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import accumulate

from llmtool.cli.terminal.text import cell_width

# Punctuation, and the small kana and marks that belong to the character before them.
_NO_START = frozenset(
    "，。、．：；！？）」』】〕〉》〗〙〛｝］｠”’…‥・·‧～ー々〻ゝゞヽヾ｡｣､･ｰﾞﾟ"
    "ぁぃぅぇぉっゃゅょゎゕゖァィゥェォッャュョヮヵヶㇰㇱㇲㇳㇴㇵㇶㇷㇸㇹㇺㇻㇼㇽㇾㇿｧｨｩｪｫｯｬｭｮ"
    ",.!?;:)]}>%％‰℃°¢￠"
)
_NO_END = frozenset("（「『【〔〈《〖〘〚｛［｟｢“‘([{<$￥¥£￡€＄№＃")
_FENCE = "```"
_JOINER = "\u200d"


def wrap(text: str, columns: int, *, hangs: bool = True) -> list[str]:
    """Return a line as rows of at most `columns` cells; together they are the text.

    If `hangs`, spaces at the end of a row may exceed the width. A word longer than a row starts on
    a new row and is split anywhere. The rows before the last do not change if text is appended.

    Example:
        >>> wrap("Words stay whole.", 8), wrap("他说：“好。”", 8)
        (['Words ', 'stay ', 'whole.'], ['他说：', '“好。”'])
    """
    if text.isascii() and len(text) <= columns:
        return [text]
    rows = []
    start = n_cells = 0  # of the current row
    split = n_before = 0  # where the row may be split, and the cells before
    for at, character in enumerate(text):
        if at > start and _can_split(text[at - 1], character):
            split, n_before = at, n_cells
        size = _width(character)
        while n_cells + size > columns and at > start and not (hangs and character == " "):
            if split <= start:
                split, n_before = at, n_cells
            rows.append(text[start:split])
            start, n_cells = split, n_cells - n_before
        n_cells += size
    return [*rows, text[start:]]


def wrap_message(text: str, columns: int) -> str:
    """Return a text wrapped at words; a longer word is left to the terminal, so it can be copied.

    Example:
        >>> wrap_message("see https://example.com/page", 10)
        'see\\nhttps://example.com/page'
    """

    def end(row: str) -> str:
        is_full = row[-1:] != " " and cell_width(row) == columns
        return row if is_full else row.rstrip(" ") + "\n"

    lines = (wrap(line, columns) for line in text.split("\n"))
    return "\n".join("".join(map(end, rows[:-1])) + rows[-1] for rows in lines)


class WordWrap:
    """Wraps streamed text between words, so that it can be copied from the terminal as one line.

    A row is padded with spaces up to the right edge, where the terminal itself starts the next one,
    since a newline would be copied. Code blocks, and lines with tabs, are left to the terminal.
    """

    def __init__(self) -> None:
        self._row = ""  # the last row of the current line
        self._start = ""  # of the current line, without indentation
        self._in_code = self._has_tab = False

    def push(self, text: str, columns: int) -> str:
        """Return what to write to a terminal with `columns` to show the next chunk of a text."""
        first, *others = text.split("\n")
        out = self._add(first, columns)
        for line in others:
            if self._start == _FENCE:
                self._in_code = not self._in_code
            self._row = self._start = ""
            self._has_tab = False
            out += "\n" + self._add(line, columns)
        return out

    def _add(self, text: str, columns: int) -> str:
        self._start = (self._start + text).lstrip()[: len(_FENCE)]
        self._has_tab = self._has_tab or "\t" in text
        if self._in_code or self._has_tab:
            return text
        shown = self._row
        *rows, self._row = wrap(shown + text, columns, hangs=False)
        padded = [row + " " * (columns - cell_width(row)) for row in rows]
        out = "".join([*padded, self._row])
        return out[len(shown) :] if out.startswith(shown) else f"\r\x1b[K{out}"


def split_offsets(text: str, columns: int) -> list[int]:
    """Return the offsets between the rows of a line."""
    return list(accumulate(map(len, wrap(text, columns)[:-1])))


def _can_split(before: str, after: str) -> bool:
    """Return whether a row may end with `before` and the next one start with `after`."""
    if before == " " or after == " ":
        return after != " "
    if not (_is_ideographic(before) or _is_ideographic(after)):
        return False
    if after in _NO_START or before in _NO_END or not _width(after):
        return False
    if before == _JOINER or "\U0001f3fb" <= after <= "\U0001f3ff":  # one emoji
        return False
    return not (_is_regional(before) and _is_regional(after))


@lru_cache(4096)
def _is_ideographic(character: str) -> bool:
    """Return whether a character can be separated from its neighbours."""
    return _width(character) == 2 and not (
        "\u1100" <= character <= "\u11ff" or "\uac00" <= character <= "\ud7ff"
    )


def _is_regional(character: str) -> bool:
    return "\U0001f1e6" <= character <= "\U0001f1ff"


def _width(character: str) -> int:
    if character.isascii():
        return 1
    from rich.cells import get_character_cell_size

    return get_character_cell_size(character)
