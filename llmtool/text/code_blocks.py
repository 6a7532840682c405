"""Find the fenced code blocks of a reply.

This follows CommonMark with exceptions for the habits of models. A fence can have any indentation.
Inside a block, a fence with an info string opens a nested block, and so does the first of two
fences that are indented more than the block, if enough closing fences follow. A block does not end
inside a string of triple quotes.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence

import msgspec

from llmtool.text.code_languages import canonical_name

_FENCE = re.compile(r"((?:[ \t]|[-*+][ \t]|\d{1,3}[.)][ \t]|>)*)(`{3,}|~{3,})([^\n]*)")
_QUOTE = re.compile(r"[ \t]{0,3}>[ \t]?")
_LINE = re.compile(r"[^\n]*\n|[^\n]+\Z")
_FILE_NAME = re.compile(r"[\w.@+-]*(?:/[\w.@+-]+)*\.[A-Za-z][\w+-]{0,11}|Dockerfile|Makefile")
_FILE_KEYS = re.compile(r"""(?:title|file|filename|path|name)\s*[=:]\s*["']?([^"'\s}]+)""")
_WORD = re.compile(r"\{?\s*\.?([A-Za-z][\w+#.-]*|c\+\+)")
_MAX_INDENT = 3  # columns of a closing fence in its container; with more it is code
_MAX_RUN = 100  # fences inside a string or comment
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
    """A line that can open or close a block.

    `has_open_string` is whether the lines before it have an odd number of triple quotes.
    """

    line: int
    character: str
    length: int
    info: str
    prefix: str
    has_open_string: bool

    @property
    def indent(self) -> int:
        """The columns between a quote mark, if any, and the fence."""
        return len(self.prefix.rpartition(">")[2].expandtabs(4))

    @property
    def is_list_item(self) -> bool:
        return self.prefix.strip(" \t>") != ""

    def matches(self, opening: _Fence) -> bool:
        """Return whether this fence could close a block but for its indentation."""
        same = self.character == opening.character and self.line > opening.line
        return not self.info and same and self.length >= opening.length

    def closes(self, opening: _Fence) -> bool:
        """Return whether this fence can close a block that another one opens."""
        if not self.matches(opening):
            return False
        if self.prefix == opening.prefix:
            return True
        in_same_quote = self.prefix.count(">") == opening.prefix.count(">")
        is_in_list = opening.is_list_item or opening.indent > _MAX_INDENT
        max_indent = _MAX_INDENT + (opening.indent if is_in_list else 0)
        return in_same_quote and not self.is_list_item and self.indent <= max_indent


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
    n_lines = len(_LINE.findall(text.rstrip()))
    fences = list(_read_fences(lines))
    found, at = [], 0
    while at < len(fences):
        opening = fences[at]
        closing = _find_end(fences, at)
        last_fence = fences[-1]
        if closing is None and last_fence.line == n_lines - 1 and last_fence.matches(opening):
            closing = len(fences) - 1  # with too much indentation
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


def _read_fences(lines: Sequence[str]) -> Iterator[_Fence]:
    n_double = n_single = 0
    for number, line in enumerate(lines):
        found = _FENCE.match(line)
        if found and not (found[2][0] == "`" and "`" in found[3]):  # that is inline code
            prefix, fence, info = found[1], found[2], found[3].strip()
            has_open_string = n_double % 2 == 1 or n_single % 2 == 1
            yield _Fence(number, fence[0], len(fence), info, prefix, has_open_string)
        n_double += line.count('"""')
        n_single += line.count("'''")


def _find_end(fences: Sequence[_Fence], at: int) -> int | None:
    """Return the index of the fence that closes the one at `at`, None if none does.

    Nested blocks are assumed first. If they leave the block open, the first fence that could close
    it does.
    """
    opening = fences[at]
    first_end = None
    open_blocks: list[_Fence] = []
    for i in range(at + 1, min(len(fences), at + 1 + _MAX_LOOKAHEAD)):
        fence = fences[i]
        first_end = i if first_end is None and fence.closes(opening) else first_end
        if open_blocks and fence.closes(open_blocks[-1]):
            open_blocks.pop()
        elif _opens_nested(fences, i, opening):
            open_blocks.append(fence)
        elif (
            not open_blocks
            and fence.closes(opening)
            and fence.has_open_string == opening.has_open_string
        ):
            return i
    return first_end


def _opens_nested(fences: Sequence[_Fence], at: int, opening: _Fence) -> bool:
    """Return whether a fence opens a block inside another one.

    A fence without an info string does if an even number of such fences with more indentation than
    the outer block is followed by one that closes the outer block.
    """
    fence = fences[at]
    if fence.info:
        return len(fence.prefix) >= len(opening.prefix)
    if fence.indent <= opening.indent:
        return False
    run = itertools.takewhile(
        lambda each: each.prefix == fence.prefix and not each.info, fences[at : at + _MAX_RUN]
    )
    n = sum(1 for _ in run)
    after = fences[at + n] if at + n < len(fences) else None
    is_closed = after is not None and after.indent <= opening.indent and after.closes(opening)
    return is_closed and n % 2 == 0


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
