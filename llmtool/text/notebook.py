"""Show untrusted text in a notebook, which renders Markdown with HTML, links and images."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

# A fenced block, at any indentation, up to its end or the end of the text.
_BLOCK = re.compile(
    r"^(?P<indent>[ \t]*)(?P<fence>`{3,}|~{3,})(?P<language>[^`\n]*)\n"
    r"(?P<code>.*?)(?:^[ \t]*(?P=fence)[`~]*[ \t]*$|\Z)",
    re.MULTILINE | re.DOTALL,
)
# An escape, a code span within a line, or text that begins HTML, a link, an image or code.
_INLINE = re.compile(r"\\[^\n]|(?P<code>(`+)[^`|\n]+\2(?!`))|`+|~{3,}|[<\[]")
_PUNCTUATION = re.compile(r"[!-/:-@\[-`{-~]")


def safe_markdown(text: str) -> str:
    """Return Markdown whose HTML, links and images are shown as text; code is unchanged.

    Rendering the result loads nothing and runs nothing. Fenced blocks get new fences, so that no
    other text can end them.

    Example:
        >>> safe_markdown("*Hi* <b>you</b>, `a<b>` ![x](http://example.org/y)")
        '*Hi* &lt;b>you&lt;/b>, `a<b>` !\\\\[x](http://example.org/y)'
    """
    parts, end = [], 0
    for block in _BLOCK.finditer(text):
        parts.append(_INLINE.sub(_escape, text[end : block.start()]))
        indent = re.compile(rf"^[ \t]{{,{len(block['indent'])}}}", re.MULTILINE)
        parts.append(code_block(indent.sub("", block["code"]), block["language"]))
        end = block.end()
    return "".join([*parts, _INLINE.sub(_escape, text[end:])])


def code_block(code: str, language: str | None = None) -> str:
    """Return code as a fenced block that it cannot end.

    Example:
        >>> code_block("x = 1\\n", "python")
        '```python\\nx = 1\\n```'
    """
    longest = max(map(len, re.findall("`+", code)), default=0)
    fence = "`" * max(3, longest + 1)
    name = re.sub(r"[^\w+#.-]", "", (language or "").strip())
    ending = "" if code.endswith("\n") or not code else "\n"
    return f"{fence}{name}\n{code}{ending}{fence}"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table, in which the text of each cell is literal.

    Example:
        >>> print(table(["label", "score"], [["a|b", "0.9"]]))
        | label | score |
        |---|---|
        | a\\|b | 0\\.9 |
    """
    lines = [header, ["---"] * len(header), *([_literal(cell) for cell in row] for row in rows)]
    return "\n".join(
        "|" + "|".join(cells if cells[0] == "---" else [f" {cell} " for cell in cells]) + "|"
        for cells in lines
    )


def _literal(text: str) -> str:
    return _PUNCTUATION.sub(r"\\\g<0>", " ".join(text.split()))


def _escape(match: re.Match[str]) -> str:
    found = match[0]
    if match["code"] is not None or found.startswith("\\"):
        return found
    return "&lt;" if found == "<" else "".join(f"\\{char}" for char in found)
