"""Find the text in Markdown: blocks, directives, attributes, link titles and front matter."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from html import unescape
from typing import TYPE_CHECKING
from urllib.parse import unquote

import msgspec

from llmtool.documents.accounting import protected_reason
from llmtool.documents.html.document import Html
from llmtool.documents.lines import display_width, is_wide
from llmtool.documents.markdown import front_matter
from llmtool.documents.markdown.blocks import (
    CSV_TABLE,
    GRID_TABLE,
    UNKNOWN_DIRECTIVE,
    find_unknown_directive,
)
from llmtool.documents.markdown.directives import Text
from llmtool.documents.markdown.inline import hide_pipes, show_pipes, split_html
from llmtool.documents.markdown.layout import ITEM, LINE_BREAK, ROW, Layout, MarkdownSegment
from llmtool.documents.markdown.source import MarkdownSource
from llmtool.documents.markdown.tags import text_attributes
from llmtool.documents.prose import may_be_prose
from llmtool.documents.types import (
    OutsideText,
    Part,
    ProtectedSpan,
    Segment,
    has_letters,
    make_break,
)

if TYPE_CHECKING:
    from markdown_it.token import Token

_LINK_TITLE = re.compile(
    r"""(?<=\s)(?:"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)'|\(([^()]*)\))\s*\)\Z""", re.S
)
_DEFINITION_TITLE = re.compile(
    r"""(?<=\s)(?:"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)'|\(([^()]*)\))\s*\Z""", re.S
)
_DEFINITION_TARGET = re.compile(r"\A\s*\[[^\]]+\]:\s*<?#([^\s>]+)")
_DELIMITER_ROW = re.compile(r"\|?[ \t]*:?-+:?[ \t]*\|")
# HTML whose text is Markdown, in Python-Markdown and kramdown.
_PARSED_HTML = re.compile(r"<[a-z][^<>]*\smarkdown\b", re.IGNORECASE)
_BORDER = re.compile(r"(?<!\\)\|")
_PATH = re.compile(r"[!-~]*[./\\_:][!-~]*")  # as the title of a code block
_CHANGED_BY_PARSER = "text that the Markdown parser changes"


class Reader:
    """The segments of a Markdown text, what is outside of them, and its sections.

    `sections` are the positions of blocks after a blank line, with the indexes of their tokens.
    """

    def __init__(self, source: MarkdownSource) -> None:
        self._source = source
        self._regions: list[OutsideText] = []
        self.sections = self._sections()
        self.segments = tuple(sorted(self._segments(), key=lambda segment: segment.start))
        self.outside = tuple(_without_segments(self._regions, self.segments))

    def _sections(self) -> dict[int, int]:
        found: dict[int, int] = {}
        for index, token in enumerate(self._source.tokens):
            if token.level or token.nesting < 0 or not token.map or not (line := token.map[0]):
                continue
            if not self._source.lines[line - 1].strip() and self._source.lines[line][:1] not in (
                " ",
                "\t",
                ":",
            ):
                found.setdefault(self._source.starts[line], index)
        return found

    def _skip(self, start: int, end: int, reason: str, *, is_language: bool = False) -> None:
        self._regions.append(OutsideText(start, end, reason, is_language))

    def _segments(self) -> Iterator[Segment]:
        yield from self._front_matter_segments()
        yield from self._reference_segments()
        cells: list[tuple[int, str]] = []
        row = -1
        previous = None
        for index, token in enumerate(self._source.tokens):
            if token.type == "inline" and token.map is not None:
                first, last = token.map
                if previous is not None and previous.type in ("th_open", "td_open"):
                    if first != row:
                        row, cells = first, self._cells(first)
                    yield from self._cell_segment(first, cells, token.content)
                elif token.content.strip():
                    kind = "paragraph"
                    if previous is not None and previous.type == "heading_open":
                        kind = "heading" if previous.markup.startswith("#") else "setext heading"
                    following = [each.type for each in self._source.tokens[index + 1 : index + 3]]
                    has_terms = following == ["paragraph_close", "definition_open"]
                    yield from self._block_segments(
                        kind, first, last, token.content, has_terms=has_terms
                    )
            elif token.type == "tr_close":
                self._skip_cells(row, cells)
            elif token.type in ("fence", "code_block"):
                yield from self._code_segments(token)
            elif token.type == "html_block":
                yield from self._html_segments(token)
            elif token.type == "directive":
                yield from self._directive_segments(token)
            elif token.type == "footnote_open":
                assert token.map is not None
                start = self._source.starts[token.map[0]]
                column = self._source.lines[token.map[0]].find(token.info)
                self._skip(start, start + column + len(token.info), "footnote label")
            previous = token

    def _front_matter_segments(self) -> Iterator[Segment]:
        end = front_matter.find_front_matter(self._source.text)
        if end:
            self._skip(0, self._source.position(end), "front matter")
        for value in front_matter.find_values(self._source.text, end) if end else ():
            parts = tuple(self._source.split(value.text))
            if has_letters(parts):
                yield MarkdownSegment(
                    start=self._source.position(value.start),
                    end=self._source.position(value.end),
                    parts=parts,
                    layout=Layout(kind=value.style),
                )

    def _reference_segments(self) -> Iterator[Segment]:
        """Yield the titles of link reference definitions, and their targets on the page."""
        source = self._source
        for reference in [*source.references.values(), *source.duplicate_references]:
            first, last = reference["map"]
            start = self._source.starts[first]
            end = (
                self._source.starts[last]
                if last < len(self._source.starts)
                else len(self._source.original)
            )
            self._skip(start, end, "link target")
            text = self._source.original[start:end]
            target = _DEFINITION_TARGET.match(text)
            if target and unquote(target[1]) in self._source.known_slugs:
                yield MarkdownSegment(
                    start=start + target.start(1),
                    end=start + target.end(1),
                    parts=(ProtectedSpan(target[1]),),
                    waits=True,
                    layout=Layout(kind="anchor"),
                )
            title = _DEFINITION_TITLE.search(text)
            if title and reference.get("title"):
                group = title.lastindex or 1
                begin, stop = title.span(group)
                around = (f"[x]: x {text[begin - 1]}", text[stop])
                yield from self._text_segment(
                    start + begin, start + stop, Layout(kind="link title", around=around)
                )

    def _text_segment(
        self, start: int, end: int, layout: Layout, text: str | None = None
    ) -> Iterator[Segment]:
        """Yield the segment of a text within one line of syntax."""
        text = self._source.original[start:end] if text is None else text
        is_html = layout.kind == "attribute"
        parts = tuple(self._source.split(" ".join((unescape(text) if is_html else text).split())))
        if has_letters(parts):
            yield from self._nested_segments(start, parts)
            yield MarkdownSegment(start=start, end=end, parts=parts, layout=layout)

    def _directive_segments(self, token: Token) -> Iterator[Segment]:
        start, end = self._source.line_range(token)
        self._skip(start, end, token.info, is_language=token.info in (CSV_TABLE, GRID_TABLE))
        texts: list[Text] = token.meta["texts"]
        assert token.map is not None
        for text in texts:
            begin, stop = self._source.position(text.start), self._source.position(text.end)
            around = (
                self._source.original[start:begin].lstrip(" \t>"),
                self._source.original[stop:end].rstrip(),
            )
            kind: str = text.kind
            if kind == "attribute" and token.info != "tag":
                kind = "argument"
            layout = Layout(kind=kind, around=around, cell=text.cell)
            yield from self._text_segment(begin, stop, layout, text.text)

    def _code_segments(self, token: Token) -> Iterator[Segment]:
        """Yield the title of a code block: ```py title="An example"."""
        start, end = self._source.line_range(token)
        directive = None
        if token.type == "fence" and "myst" in self._source.constructs:
            directive = find_unknown_directive(token.info)
        if directive is None:
            self._skip(start, end, "code block")
        elif may_be_prose(token.content) or may_be_prose(token.info.partition("}")[2]):
            reason = f"the directive {directive} is not supported"
            self._skip(start, end, reason, is_language=True)
        else:
            self._skip(start, end, UNKNOWN_DIRECTIVE)
        if token.type == "fence" and token.info:
            assert token.map is not None
            line = self._source.lines[token.map[0]]
            at = line.index(token.markup) + len(token.markup)
            for begin, stop, _ in text_attributes(line[at:]):
                if _PATH.fullmatch(line, at + begin, at + stop):
                    continue
                around = (token.markup + line[at : at + begin], line[at + stop :])
                begin, stop = start + at + begin, start + at + stop
                yield from self._text_segment(begin, stop, Layout(kind="argument", around=around))

    def _html_segments(self, token: Token) -> Iterator[Segment]:
        start, end = self._source.line_range(token)
        source = self._source.original[start:end]
        is_comment = source.lstrip(" \t>").startswith(("<!--", "<?", "<!"))
        content = source.replace("\r\n", "\n")
        lines = zip(content.split("\n"), token.content.split("\n"), strict=False)
        is_whole = all(line.strip() == other.strip() for line, other in lines)
        if is_comment or not is_whole:
            language = not is_comment and any(map(str.isalpha, re.sub("<[^>]*>", "", source)))
            reason = "HTML on lines with other markup" if language else "tag"
            self._skip(start, end, "comment" if is_comment else reason, is_language=language)
            return
        html = Html(source)
        for each in html.outside or ():
            begin, stop = start + each.start, start + each.end
            self._skip(begin, stop, each.reason, is_language=each.is_language)
        labels = self._source.labels if _PARSED_HTML.search(source) else ()
        for inner in html.segments:
            parts = tuple(split_html(inner.parts, labels, is_mdx="mdx" in self._source.constructs))
            inner = msgspec.structs.replace(inner, parts=parts)
            yield MarkdownSegment(
                start=start + inner.start,
                end=start + inner.end,
                parts=parts,
                context=inner.context,
                waits=self._source.links_to_heading(inner.parts),
                layout=Layout(kind="html", inner=(html, inner)),
            )

    def _cells(self, row: int) -> list[tuple[int, str]]:
        """Return the cells of a table row, each as its column and text."""
        line = self._source.lines[row]
        if "code pipes" in self._source.constructs:
            line = hide_pipes(line)
        cells, at = [], 0
        for piece in _BORDER.split(line):
            body = piece.strip(" \t")
            cells.append((at + piece.find(body), body))
            at += len(piece) + 1
        return cells

    def _skip_cells(self, row: int, cells: list[tuple[int, str]]) -> None:
        """Skip the cells without a column; if a pipe in code moved them, they are language."""
        line = self._source.lines[row]
        is_moved = "code pipes" not in self._source.constructs and len(_BORDER.findall(line)) > len(
            _BORDER.findall(hide_pipes(line))
        )
        for column, text in cells:
            start = self._source.starts[row] + column
            is_language = is_moved and has_letters(tuple(self._source.split(text)))
            self._skip(start, start + len(text), "cell without a column", is_language=is_language)

    def _cell_segment(
        self, row: int, cells: list[tuple[int, str]], content: str
    ) -> Iterator[Segment]:
        if not content:
            del cells[:1]
            return
        for index, (column, text) in enumerate(cells):
            body = show_pipes(text.replace("\\|", "|"))
            prefix = body.removesuffix(content)
            if body != content and (prefix == body or index or prefix.strip(" \t>*+-.)0123456789")):
                continue
            begin = self._source.starts[row] + column + len(prefix)
            end = self._source.starts[row] + column + len(text)
            begins = not self._source.original[self._source.starts[row] : begin].strip(" \t>\ufeff")
            del cells[: index + 1]
            layout = Layout(kind="leading cell" if begins else "cell")
            yield from self._segment(
                begin, end, self._source.split(self._source.original[begin:end]), layout
            )
            return
        start = self._source.starts[row]
        self._skip(
            start, start + len(self._source.lines[row]), _CHANGED_BY_PARSER, is_language=True
        )

    def _block_segments(
        self, kind: str, first: int, last: int, content: str, *, has_terms: bool = False
    ) -> Iterator[Segment]:
        """Yield the segment of a block, or none if its content does not occur in the source.

        If it `has_terms`, each line is one of a definition.
        """
        bodies = [text.strip(" \t") for text in content.split("\n")]
        spans: list[tuple[int, int]] = []
        for number, body in enumerate(bodies, first):
            line = self._source.lines[number] if number < last else ""
            column = line.find(body) if kind == "heading" else len(line.rstrip()) - len(body)
            if column < 0 or line[column : column + len(body)] != body:
                start = self._source.starts[first]
                end = (
                    self._source.starts[last]
                    if last < len(self._source.starts)
                    else len(self._source.original)
                )
                self._skip(start, end, _CHANGED_BY_PARSER, is_language=True)
                return
            spans.append(
                (
                    self._source.starts[number] + column,
                    self._source.starts[number] + column + len(body),
                )
            )
        layout = Layout(kind=kind)
        if len(spans) > 1:
            columns = max(
                display_width(line) for line in self._source.lines[first : first + len(spans)]
            )
            prefix = self._source.original[self._source.starts[first + 1] : spans[1][0]]
            layout = Layout(kind=kind, columns=columns, prefix=prefix)
        parts = self._read_lines(spans, are_terms=has_terms)
        yield from self._segment(spans[0][0], spans[-1][1], parts, layout)

    def _read_lines(self, spans: list[tuple[int, int]], *, are_terms: bool) -> Iterator[Part]:
        """Yield the parts of some lines as one text, with hard line breaks as protected spans.

        Terms are translated separately.
        """
        text = previous = ""
        breaks: dict[int, str] = {}  # the line breaks that became a space, by position in the text
        for index, (begin, end) in enumerate(spans):
            line = self._source.original[begin:end]
            if index:
                between = self._source.original[spans[index - 1][1] : begin]
                is_break = between.split("\n")[0].rstrip("\r").endswith("  ")
                is_syntax = ROW.match(previous) or ROW.match(line) or ITEM.match(line)
                # A shorter line before a delimiter row would be the header of a table.
                following = spans[index + 1] if index + 1 < len(spans) else (0, 0)
                is_syntax = is_syntax or _DELIMITER_ROW.match(self._source.original, *following)
                if are_terms:
                    yield from self._split_lines(text, breaks)
                    yield make_break(between)
                    text, breaks = "", {}
                elif is_break or is_syntax or text.endswith("\\"):
                    if text.endswith("\\") and not is_break:
                        text, between = text[:-1], "\\" + between
                    yield from self._split_lines(text, breaks)
                    yield ProtectedSpan(between)
                    text, breaks = "", {}
                elif not (text and line and is_wide(text[-1]) and is_wide(line[0])):
                    breaks[len(text)] = between
                    text += " "
            text += line
            previous = line
        yield from self._split_lines(text, breaks)

    def _split_lines(self, text: str, breaks: dict[int, str]) -> Iterator[Part]:
        """Split a text; a protected span keeps its line breaks."""
        at = 0
        for part in self._source.split(text):
            source = part if isinstance(part, str) else part.source
            if source.startswith("[") and not text.startswith(source, at):
                yield part  # a label that `split` repeats
                at += 2 * text.startswith("[]", at)
                continue
            if isinstance(part, ProtectedSpan) and breaks and " " in source:
                broken = "".join(breaks.get(at + n, c) for n, c in enumerate(source))
                yield ProtectedSpan(broken, is_fixed=part.is_fixed)
            else:
                yield part
            at += len(source)

    def _segment(
        self, start: int, end: int, parts: Iterable[Part], layout: Layout
    ) -> Iterator[Segment]:
        parts = tuple(parts)
        nested = list(self._nested_segments(start, parts))
        waits = self._source.links_to_heading(parts)
        if has_letters(parts) or nested or waits:
            yield from nested
            yield MarkdownSegment(start=start, end=end, parts=parts, waits=waits, layout=layout)
        else:
            self._account(start, end, parts)

    def _account(self, start: int, end: int, parts: Sequence[Part]) -> None:
        """Account for the protected spans of a text without other letters."""
        reasons = [
            protected_reason(part.source)
            for part in parts
            if isinstance(part, ProtectedSpan) and any(map(str.isalpha, part.source))
        ]
        if reasons:
            self._skip(start, end, Counter(reasons).most_common(1)[0][0])

    def _nested_segments(self, start: int, parts: Iterable[Part]) -> Iterator[Segment]:
        """Yield the attributes and link titles in protected spans that are text."""
        for part in parts:
            if not isinstance(part, ProtectedSpan):
                continue
            tag = part.source
            found: list[tuple[int, int, str]] = []
            if tag.startswith("("):
                title = _LINK_TITLE.search(tag)
                if title:
                    found = [(*title.span(title.lastindex or 1), "link title")]
            elif tag.startswith(("<", "{")) and not tag.startswith("<!--"):
                kind = "attribute" if tag.startswith("<") else "argument"
                found = [(begin, end, kind) for begin, end, _ in text_attributes(tag)]
            for begin, end, kind in found:
                text = unescape(tag[begin:end]) if kind == "attribute" else tag[begin:end]
                text = LINE_BREAK.sub(" ", text)  # with the signs of a quotation
                inner = tuple(self._source.split(" ".join(text.split())))
                if has_letters(inner):
                    around = (tag[:begin], tag[end:])
                    if kind == "link title":
                        around = (f"[x]{around[0]}", around[1])
                    yield MarkdownSegment(
                        start=start,
                        end=start,
                        parts=inner,
                        layout=Layout(kind=kind, around=around, attribute=(tag, begin, end)),
                    )


def _without_segments(
    regions: list[OutsideText], segments: Sequence[Segment]
) -> Iterator[OutsideText]:
    """Yield the parts of regions that are in no segment and no earlier region."""
    at, index = 0, 0
    for region in sorted(regions, key=lambda region: region.start):
        start, end = max(region.start, at), region.end
        while index < len(segments) and segments[index].end <= start:
            index += 1
        number = index
        while start < end:
            stop = end
            if number < len(segments) and segments[number].start < end:
                stop = max(start, segments[number].start)
            if stop > start:
                yield msgspec.structs.replace(region, start=start, end=stop)
            start = segments[number].end if stop < end else end
            number += 1
        at = max(at, end)
