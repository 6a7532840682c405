"""Split a Markdown document into chunks for a model, or into sections."""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

from llmtool.text.chunks import CountTokens, split

HEADING = re.compile(r"^ {0,3}(#{1,6})[ \t]+(.+?)[ \t]*#*[ \t]*$")
UNDERLINE = re.compile(r"^ {0,3}(=+|-{2,})[ \t]*$")  # of a heading
LINE = re.compile(r"[^\n]*\n|[^\n]+\Z")
_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})")


class Chunk(msgspec.Struct, frozen=True, kw_only=True):
    """Part of a document, from `start` to `end` in characters.

    `path` are the headings above its first line, outermost first.
    """

    text: str
    start: int
    end: int
    n_tokens: int
    path: tuple[str, ...] = ()


class Section(msgspec.Struct, frozen=True, kw_only=True):
    """The text under a heading, or before the first one (`heading` None)."""

    heading: str | None
    text: str
    start: int


class _Heading(msgspec.Struct, frozen=True):
    start: int
    end: int  # after its last line
    level: int
    text: str


def split_document(text: str, *, max_tokens: int, count: CountTokens) -> list[Chunk]:
    """Split a document into consecutive chunks of at most `max_tokens`.

    It is split at headings if that fits, else between blocks, sentences or words. A fence or table
    is split only if it is longer than a chunk.

    Example:
        >>> words = lambda text: len(text.split())
        >>> text = "# A\\n\\nOne two.\\n\\n# B\\n\\nSix."
        >>> [chunk.text for chunk in split_document(text, max_tokens=5, count=words)]
        ['# A\\n\\nOne two.\\n\\n', '# B\\n\\nSix.']
    """
    chunks, at = [], 0
    headings = list(_headings(text))
    for part in split(text, max_tokens=max_tokens, count=count, is_markdown=True):
        chunks.append(
            Chunk(
                text=part,
                start=at,
                end=at + len(part),
                n_tokens=count(part),
                path=_path_at(headings, text, at),
            )
        )
        at += len(part)
    return chunks


def split_sections(text: str) -> list[Section]:
    """Split a document at the highest level with more than one heading.

    The headings themselves are not part of the sections' text.

    Example:
        >>> text = "# T\\n\\nHi\\n\\n## A\\none\\n## B\\ntwo\\n"
        >>> [(section.heading, section.text) for section in split_sections(text)]
        [(None, '# T\\n\\nHi\\n\\n'), ('A', 'one\\n'), ('B', 'two\\n')]
    """
    headings = list(_headings(text))
    levels = sorted({each.level for each in headings})
    level = next(
        (n for n in levels if sum(each.level == n for each in headings) > 1),
        levels[0] if levels else 0,
    )
    chosen = [each for each in headings if each.level == level]
    if not chosen:
        return [Section(heading=None, text=text, start=0)]
    ends = [*(each.start for each in chosen[1:]), len(text)]
    found = [
        Section(heading=each.text, text=text[each.end : end], start=each.end)
        for each, end in zip(chosen, ends, strict=True)
    ]
    before = text[: chosen[0].start]
    return [Section(heading=None, text=before, start=0), *found] if before.strip() else found


def _path_at(headings: list[_Heading], text: str, at: int) -> tuple[str, ...]:
    """Return the headings above a position, without those that directly follow it."""
    path: list[_Heading] = []
    for heading in headings:
        if heading.start >= at:
            break
        while path and path[-1].level >= heading.level:
            path.pop()
        path.append(heading)
    first = next((each for each in headings if each.start >= at), None)
    if first is not None and not text[at : first.start].strip():
        path = [each for each in path if each.level < first.level]
    return tuple(each.text for each in path)


def _headings(text: str) -> Iterator[_Heading]:
    fence = ""
    at = previous_start = 0
    previous = ""
    for found in LINE.finditer(text):
        line = found[0].rstrip("\r\n")
        at = found.start()
        was_open, fence = bool(fence), next_fence(line, fence)
        if not was_open and not fence:
            if heading := HEADING.match(line):
                yield _Heading(at, found.end(), len(heading[1]), heading[2])
            elif (under := UNDERLINE.match(line)) and _can_be_title(previous):
                level = 1 if under[1][0] == "=" else 2
                yield _Heading(previous_start, found.end(), level, previous.strip())
        previous, previous_start = line, at


def next_fence(line: str, fence: str) -> str:
    """Return the fence of the block that is open after a line, "" if none is.

    `fence` is the same before the line.

    Example:
        >>> next_fence("~~~ py", ""), next_fence("```", "~~~"), next_fence("~~~~", "~~~")
        ('~~~', '~~~', '')
    """
    found = _FENCE.match(line)
    if not fence:
        return found[1] if found else ""
    closes = found and found[1].startswith(fence) and not line.strip().strip(fence[0])
    return "" if closes else fence


def _can_be_title(line: str) -> bool:
    return (
        bool(line.strip())
        and not re.match(r"\s*(?:[-*+>|#]|\d+[.)]|={3,}$)", line)
        and (not line.startswith("    "))
    )
