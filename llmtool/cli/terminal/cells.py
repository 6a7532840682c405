"""Text cut to the cells of a terminal, of which a Chinese character takes two."""

from __future__ import annotations


def width(text: str) -> int:
    """Return how many cells of a terminal text takes."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def fit(text: str, n_cells: int) -> str:
    """Return the beginning of text that takes no more than `n_cells` cells.

    Example:
        >>> fit("模型 ok", 3)
        '模'
    """
    if width(text) <= n_cells:
        return text
    if text.isascii():
        return text[: max(n_cells, 0)]
    taken = 0
    for at, character in enumerate(text):
        taken += width(character)
        if taken > n_cells:
            return text[:at]
    return text
