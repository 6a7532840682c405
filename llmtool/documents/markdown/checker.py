"""Check that translations leave the structure of Markdown unchanged: parse both and compare."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from llmtool.documents.html.document import Html
from llmtool.documents.markdown import anchors, front_matter
from llmtool.documents.markdown.layout import Layout, layout_of
from llmtool.documents.markdown.source import MarkdownSource, normalized
from llmtool.documents.markdown.writer import Writer
from llmtool.documents.protected_spans import find_nesting_fault
from llmtool.documents.types import Part, ProtectedSpan, Segment, join_parts

if TYPE_CHECKING:
    from markdown_it.token import Token

_BLOCK_KINDS = ("paragraph", "heading", "setext heading", "cell", "leading cell")
_PLAIN_START = re.compile(r"(?!import\b|export\b)(?:[*_]{1,2}|\[)?[^\W\d_]|`(?!``)")
_MARKUP = re.compile(r"[*_\[\]>~#$^=!%]")
_OTHER_MARKUP = re.compile(r"[`<&|{}\\\n\r]|\[\[|\]:")
# A line break, or half of a wiki link or role.
_PARTIAL_SPAN = re.compile(r"\n|\|\Z|\A\]\]|\A[^`]*`[^`]*\Z")

_Block = tuple[list[str], Counter[str]]  # its types, and the number of each inline element


class Checker:
    """Compares a text with its translation; `sections` are those of `Reader`."""

    def __init__(self, source: MarkdownSource, writer: Writer, sections: Mapping[int, int]) -> None:
        self._source = source
        self._writer = writer
        self._sections = sections
        # Of the last segment, as several translations of one are checked in a row.
        self._shape: tuple[Segment, list[str] | None] | None = None
        self._parsed: tuple[Segment, _Block] | None = None
        self._skeleton: list[tuple[object, ...]] | None = None
        self._masked_front_matter = _masked_front_matter(source.text) if source.has_front else ""

    def find_fault(self, segment: Segment, parts: Sequence[Part]) -> str | None:
        """Parse the segment and its replacement, each on its own, and compare their structure."""
        layout = layout_of(segment)
        if layout.inner:
            html, inner = layout.inner
            return html.find_fault(inner, parts)
        if layout.kind in ("attribute", "argument"):
            is_same = _markup(segment.parts) == _markup(parts)
            return None if is_same else "changes the markup in an attribute"
        if layout.kind.startswith(("yaml", "toml", "anchor")):
            return None
        if layout.kind in _BLOCK_KINDS:
            before_shape, after_shape = self._shape_of(segment), self._inline_shape(parts)
            if before_shape is not None and before_shape == after_shape:
                return find_nesting_fault(segment.parts, parts)
        before, after = self._block_of(segment), self._block(layout, tuple(parts))
        if before == after:
            return find_nesting_fault(segment.parts, parts)
        if before[0] != after[0]:
            return "would become another kind of block"
        return f"changes {_difference(before[1], after[1])}"

    def _shape_of(self, segment: Segment) -> list[str] | None:
        if self._shape is None or self._shape[0] is not segment:
            self._shape = segment, self._inline_shape(segment.parts)
        return self._shape[1]

    def _block_of(self, segment: Segment) -> _Block:
        if self._parsed is None or self._parsed[0] is not segment:
            self._parsed = segment, self._block(layout_of(segment), segment.parts)
        return self._parsed[1]

    def _inline_shape(self, parts: Sequence[Part]) -> list[str] | None:
        """Return the markup of a text and the kinds of characters next to it.

        Texts of the same shape have the same structure for the parser. It is None for a text that
        may begin another block, or with markup that depends on more.
        """
        text = join_parts(parts)
        is_span = bool(parts) and isinstance(parts[0], ProtectedSpan) and not text.startswith("`")
        if is_span or not _PLAIN_START.match(text):
            return None
        shape: list[str] = []
        at = 0
        for part in parts:
            if isinstance(part, ProtectedSpan):
                if _PARTIAL_SPAN.search(part.source):
                    return None
                shape.append(part.source)
                at += len(part.source)
                continue
            if _OTHER_MARKUP.search(part) or (self._source.labels and "[" in part):
                return None
            for found in _MARKUP.finditer(part):
                index = at + found.start()
                for c in (text[index - 1 : index], found[0], text[index + 1 : index + 2]):
                    kind = _character_kind(c)
                    shape.append(c if kind == "punctuation" else kind)
            at += len(part)
        return shape

    def _block(self, layout: Layout, parts: tuple[Part, ...]) -> _Block:
        """Parse a segment as a document; return its block types and count its inline elements."""
        text = self._writer.write(layout, parts)
        if layout.prefix:
            text = text.replace(f"{self._source.newline}{layout.prefix}", "\n")
        text = text.replace("\r\n", "\n").lstrip()
        if layout.kind == "heading":
            text = "# " + " ".join(text.split("\n"))
        elif layout.kind == "setext heading":
            text = f"{text}\n==="
        elif layout.kind == "cell":
            text = f"| x | x |\n|---|---|\n| {text} | x |"
        elif layout.kind == "leading cell":
            text = f"x | x\n---|---\n{text} | x"
        else:
            text = text.join(layout.around)
        tokens = self._source.parse_part(text)
        kinds = [
            token.type + token.content * (token.type == "directive")
            for token in tokens
            if token.type != "inline"
        ]
        counts = [
            self._source.count_elements(token.content) for token in tokens if token.type == "inline"
        ]
        return kinds, sum(counts, Counter())

    def compare(self, output: str) -> str | None:
        """Return the first structural difference between the source and an output, or None."""
        if self._source.has_front and self._masked_front_matter != _masked_front_matter(
            normalized(output)
        ):
            return "the front matter differs"
        tokens, references = self._source.parse_output(output)
        slugs = anchors.slugs(anchors.heading_texts(tokens), self._source.rule)
        old, new = _indexes(self._source.slugs), _indexes(slugs)
        if self._skeleton is None:
            self._skeleton = self._source.skeleton(self._source.tokens, old)
        # In a part of the output, links to headings are not changed yet.
        for indexes in ({**old, **new}, {**new, **old}):
            after = self._source.skeleton(tokens, indexes, references)
            difference = _compare_skeletons(self._skeleton, after)
            if difference is None:
                return _compare_html(self._source.tokens, tokens)
        return difference

    def is_same_section(self, start: int, end: int, output: str) -> bool:
        """Return whether a section of the source and its output have the same structure."""
        first = self._sections.get(start) if start else 0
        if first is None:
            return False
        has_front = self._source.has_front and not start
        text = normalized(output)
        if has_front and self._masked_front_matter != _masked_front_matter(text):
            return False
        before = self._source.tokens[first : self._sections[end]]
        after = self._source.parse_part(text, front=has_front)
        one, other = (self._source.skeleton(tokens, {}) for tokens in (before, after))
        return _compare_skeletons(one, other) is None and _compare_html(before, after) is None


def _character_kind(c: str) -> str:
    """Return what a character is for the rules of emphasis."""
    if not c or c.isspace():
        return "space"
    return "punctuation" if unicodedata.category(c)[0] in "PS" else "letter"


def _markup(parts: Sequence[Part]) -> Counter[str]:
    """Count the characters that are markup where the tag itself is text for Markdown."""
    texts = (part for part in parts if isinstance(part, str))
    return Counter(c for text in texts for c in text if c in "*_`[]<>|~")


def _indexes(slugs: list[str]) -> dict[str, int]:
    return {slug: index for index, slug in reversed(list(enumerate(slugs)))}


def _compare_skeletons(
    before: list[tuple[object, ...]], after: list[tuple[object, ...]]
) -> str | None:
    """Return the first difference of two skeletons, or None."""
    for one, other in zip(before, after, strict=False):
        if one[1:] != other[1:]:
            return f"line {one[0]}: {one[1]} became {other[1]}"
    return None if len(before) == len(after) else "the number of blocks differs"


def _compare_html(source: Sequence[Token], output: Sequence[Token]) -> str | None:
    """Return the first difference of two texts in blocks of HTML, or None."""
    for one, other in zip(_html(source), _html(output), strict=True):
        if one == other:
            continue
        difference = Html(anchors.PAGE_REFERENCE.sub(r"\1", one)).compare(
            anchors.PAGE_REFERENCE.sub(r"\1", other)
        )
        if difference:
            return f"a block of HTML: {difference}"
    return None


def _html(tokens: Sequence[Token]) -> list[str]:
    return [token.content for token in tokens if token.type == "html_block"]


def _masked_front_matter(text: str) -> str:
    """Return the front matter without the values that are text."""
    end = front_matter.find_front_matter(text)
    matter = text[:end]
    for value in sorted(front_matter.find_values(text, end), key=lambda v: -v.start) if end else ():
        matter = matter[: value.start] + matter[value.end :]
    return matter


def _difference(before: Counter[str], after: Counter[str]) -> str:
    """Describe the first element that one count has more often."""
    for more, fewer, verb in ((before, after, "loses"), (after, before, "adds")):
        for element in more - fewer:
            return f"the markup: it {verb} {element.split(' ')[0]}"
    return "the markup"
