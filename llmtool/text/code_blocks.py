"""Find the fenced code blocks of a reply.

This follows CommonMark with exceptions for the habits of models: a fence can have any indentation;
a fence with an info string inside a block opens a nested block, if enough closing fences follow.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from llmtool.text.code_languages import canonical_name

_FENCE = re.compile(r"((?:[ \t]|[-*+][ \t]|\d{1,3}[.)][ \t]|>)*)(`{3,}|~{3,})([^\n]*)")
_QUOTE = re.compile(r"[ \t]{0,3}>[ \t]?")
_LINE = re.compile(r"[^\n]*\n|[^\n]+\Z")
_FILE_NAME = re.compile(r"[\w.@+-]*(?:/[\w.@+-]+)*\.[A-Za-z][\w+-]{0,11}|Dockerfile|Makefile")
_FILE_KEYS = re.compile(r"""(?:title|file|filename|path|name)\s*[=:]\s*["']?([^"'\s}]+)""")
_WORD = re.compile(r"\{?\s*\.?([A-Za-z][\w+#.-]*|c\+\+)")
_MAX_LOOKAHEAD = 2000  # fences to search for the end of a block


class Block(msgspec.Struct, frozen=True, kw_only=True):
    """A fenced block: `code` is its content without the indentation of the fence.

    `start` and `end` delimit the content in the text, in characters. `language` is the first word
    of the info string in lower case, "" if there is none, and `file` a file name in it. An unclosed
    block extends to the end of the text.
    """

    code: str
    start: int
    end: int
    info: str = ""
    language: str = ""
    file: str | None = None
    is_closed: bool = True


class _Fence(msgspec.Struct, frozen=True):
    """A line that can open or close a block."""

    line: int
    character: str
    length: int
    info: str
    prefix: str

    @property
    def can_close(self) -> bool:
        return not self.info


def find_blocks(text: str) -> tuple[Block, ...]:
    """Return the outermost fenced blocks of a text, in order.

    Example:
        >>> find_blocks("Here:\\n```py\\nprint(1)\\n```\\nDone.")[0].code
        'print(1)\\n'
    """
    lines = _LINE.findall(text)
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line))
    fences = [fence for i, line in enumerate(lines) if (fence := _read_fence(i, line))]
    found, at = [], 0
    while at < len(fences):
        opening = fences[at]
        closing = _find_end(fences, at)
        last = len(lines) if closing is None else fences[closing].line
        found.append(_make_block(lines, starts, opening, last, is_closed=closing is not None))
        at = len(fences) if closing is None else closing + 1
    return tuple(found)


def choose_block(blocks: Sequence[Block], language: str | None = None) -> Block | None:
    """Return the block that is most likely the answer: the largest, in the language if possible.

    The fence can name the language by any alias.

    Example:
        >>> blocks = find_blocks("```sh\\npip install x\\n```\\n```python\\nimport x\\n```")
        >>> choose_block(blocks, "python").code
        'import x\\n'
    """
    non_empty = [block for block in blocks if block.code.strip()]
    name = canonical_name(language or "")
    of_language = [block for block in non_empty if name and canonical_name(block.language) == name]
    return max(of_language or non_empty, key=lambda block: len(block.code), default=None)


def _read_fence(number: int, line: str) -> _Fence | None:
    found = _FENCE.match(line)
    if found is None:
        return None
    prefix, fence, info = found[1], found[2], found[3].strip()
    if fence[0] == "`" and "`" in info:
        return None  # inline code
    return _Fence(number, fence[0], len(fence), info, prefix)


def _find_end(fences: Sequence[_Fence], at: int) -> int | None:
    """Return the index of the fence that closes the one at `at`, None if none does.

    Nested blocks are assumed first. If they leave the block open, the first fence that could close
    it does.
    """
    opening = fences[at]
    unnested_end = None
    open_blocks: list[_Fence] = []
    for i in range(at + 1, min(len(fences), at + 1 + _MAX_LOOKAHEAD)):
        fence = fences[i]
        innermost = open_blocks[-1] if open_blocks else opening
        if (
            fence.can_close
            and fence.character == opening.character
            and fence.length >= opening.length
        ):
            unnested_end = i if unnested_end is None else unnested_end
        closes = fence.character == innermost.character and fence.length >= innermost.length
        if fence.can_close and closes:
            if not open_blocks:
                return i
            open_blocks.pop()
        elif not fence.can_close and len(fence.prefix) >= len(opening.prefix):
            open_blocks.append(fence)
    return unnested_end


def _make_block(
    lines: Sequence[str], starts: Sequence[int], opening: _Fence, last: int, *, is_closed: bool
) -> Block:
    first = opening.line + 1
    code = "".join(_strip_prefix(opening.prefix, line) for line in lines[first:last])
    return Block(
        code=code,
        start=starts[min(first, len(lines))],
        end=starts[max(first, last)] if first <= len(lines) else starts[-1],
        info=opening.info,
        language=_language(opening.info),
        file=_file(opening.info),
        is_closed=is_closed,
    )


def _strip_prefix(prefix: str, line: str) -> str:
    """Remove the prefix of the fence from a line: quote marks and list indentation."""
    for _ in range(prefix.count(">")):
        line = _QUOTE.sub("", line, count=1)
    width, n = len(prefix.rpartition(">")[2].removeprefix(" " if ">" in prefix else "")), 0
    while n < width and line[n : n + 1] in (" ", "\t"):
        n += 1
    return line[n:]


def _language(info: str) -> str:
    first = re.split(r"[\s:,]+", info)[0]
    if _FILE_NAME.fullmatch(first):
        return ""
    found = _WORD.match(first if first != "{" else info)
    return found[1].lower() if found else ""


def _file(info: str) -> str | None:
    keyed = _FILE_KEYS.search(info)
    if keyed:
        return keyed[1]
    words = re.split(r"[\s:,{}]+", info)
    return next((word for word in words if _FILE_NAME.fullmatch(word)), None)
