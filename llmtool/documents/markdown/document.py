"""Markdown: the text of its blocks, of directives, of attributes and of front matter."""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from html import unescape
from typing import TYPE_CHECKING, cast
from urllib.parse import unquote

import msgspec

from llmtool.documents.accounting import protected_reason
from llmtool.documents.html import Html
from llmtool.documents.lines import display_width, is_wide, wrap
from llmtool.documents.markdown import anchors, front_matter
from llmtool.documents.markdown.blocks import GRID_TABLE, Text
from llmtool.documents.markdown.dialects import constructs_of
from llmtool.documents.markdown.inline import normalize, split_inline
from llmtool.documents.markdown.parser import count_inline, parse_markdown, skeleton
from llmtool.documents.markdown.tags import text_attributes
from llmtool.documents.protected_spans import find_nesting_fault, hide_protected, show_protected
from llmtool.documents.types import (
    Dialect,
    Document,
    OutsideText,
    Part,
    ProtectedSpan,
    Segment,
    has_letters,
    join_parts,
)
from llmtool.errors import InputError

if TYPE_CHECKING:
    from markdown_it.token import Token

# Text at the start of a line that would begin another block.
_BLOCK_START = re.compile(
    r"#{1,6}(?:\s|$)|[-+*](?:\s|$)|\d{1,9}[.)](?:\s|$)|>|\||=+\s*$|-+\s*$|`{3}|~{3}|<[/!?a-zA-Z]"
    r"|:\s|\[[^\]]*\]:|[*_-](?:[ \t]*[*_-]){2,}\s*$|:?-+:?\s*\||!!!|\?\?\?|===|///|:::|\{[:%#{]"
    r"|\([^()]*\)=|%|\\\[|\\begin|\$\$|\[[!^]|\^|\*\[|-+8<|\+\+\+|(?:import|export)\b"
)
# Emphasis that CommonMark does not close, as a letter follows the punctuation in it.
_PUNCTUATION_IN_EMPHASIS = re.compile(
    r"(?<![*\w])(\*{1,2})(?=[^\s*])([^*\n]{0,400}?[^\s*、。，．：；！？])([、。，．：；！？]+)\1(?=[^\W_])"
)
_LINK_TITLE = re.compile(
    r"""(?<=\s)(?:"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)'|\(([^()]*)\))\s*\)\Z""", re.S
)
_DEFINITION_TITLE = re.compile(
    r"""(?<=\s)(?:"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)'|\(([^()]*)\))\s*\Z""", re.S
)
_PAGE_TARGET = re.compile(r"\A(\(\s*<?)#([^\s)>]+)")
_PAGE_REFERENCE = re.compile(r"""(\shref\s*=\s*["'])#([^"']+)""", re.IGNORECASE)
_PAGE_HEADING = re.compile(r"\A(!?\[\[#)([^\[\]|\n]+)")  # of Obsidian
_DEFINITION_TARGET = re.compile(r"\A\s*\[[^\]]+\]:\s*<?#([^\s>]+)")
_BLOCK_KINDS = ("paragraph", "heading", "setext heading", "cell", "leading cell")
_PLAIN_START = re.compile(r"(?!import\b|export\b)(?:[*_]{1,2}|\[)?[^\W\d_]|`(?!``)")
_MARKUP = re.compile(r"[*_\[\]>~#$^=!%]")
_OTHER_MARKUP = re.compile(r"[`<&|{}\\\n\r]|\[\[|\]:")
# A line break, or half of a wiki link or role.
_PARTIAL_SPAN = re.compile(r"\n|\|\Z|\A\]\]|\A[^`]*`[^`]*\Z")
# Lines of a paragraph that are rows of a table, items of a list or lines of a block in dialects.
_ROW = re.compile(r"\||\+[-=:+]|%[ \t]")
_ITEM = re.compile(
    r"\(@[\w-]*\)[ \t]|#\.[ \t]|\(?(?:[A-Za-z]|[ivxlc]{2,}|\d{1,3})\)[ \t]|[ivxa-h]+\.[ \t]|\(ref:"
)
_LINE_END = re.compile(r"\n[ \t>]*\Z")
_MAX_UNCLOSED_TARGETS, _MAX_UNCLOSED_BRACKETS = 1000, 20_000
_MIN_COLUMNS = 40
_CHANGED_BY_PARSER = "text that the Markdown parser changes"


class _Layout(msgspec.Struct, frozen=True, kw_only=True):
    """How to write a segment; a paragraph of several lines is wrapped to `columns`."""

    # heading, setext heading, paragraph, cell, leading cell; of syntax: title, attribute, argument,
    # link title; html; anchor; or the style of a value of the front matter
    kind: str
    columns: int = 0
    prefix: str = ""  # of each line but the first
    around: tuple[str, str] = ("", "")  # the rest of a directive, before and after its text
    inner: tuple[Html, Segment] | None = None  # of a block of HTML
    attribute: tuple[str, int, int] | None = None  # its tag, and where it is in the tag


class _Segment(Segment, frozen=True, kw_only=True):
    layout: _Layout


class Markdown(Document):
    """A Markdown text and its segments.

    Raises:
        InputError: so many brackets are unclosed that parsing would take quadratic time.

    Example:
        >>> source = "# Hello\\n\\n- one\\n  more\\n\\n```\\ncode\\n```\\n"
        >>> [segment.text for segment in Markdown(source).segments]
        ['Hello', 'one more']
    """

    def __init__(self, source: str, dialect: Dialect = "auto") -> None:
        super().__init__(source)
        n_targets = source.count("](") - source.count(")")
        n_brackets = source.count("[") - source.count("]")
        if n_targets > _MAX_UNCLOSED_TARGETS or n_brackets > _MAX_UNCLOSED_BRACKETS:
            raise InputError(f"the Markdown has {max(n_targets, n_brackets):,} unclosed brackets")
        self._constructs = constructs_of(dialect, source)
        self._bom = source.startswith("\ufeff")
        self._text = source.removeprefix("\ufeff").replace("\r\n", "\n")
        self._starts = _line_starts(source)
        self._text_starts = _line_starts(self._text)
        self._lines = [line.rstrip("\r") for line in source.split("\n")]
        self._has_front = front_matter.find_front_matter(self._text) > 0
        self._masked_front_matter = _masked_front_matter(self._text) if self._has_front else ""
        self._env: dict[str, object] = {}
        self._tokens = self._parse(self._text, self._env)
        references = self._env.get("references")
        self._references = references if isinstance(references, dict) else {}
        self._labels = {normalize(label) for label in self._references}
        self._headings = anchors.heading_texts(self._tokens)
        links = {found for found in re.findall(r"#([^\s)>\"']+)", source)} if self._headings else ()
        self._rule = anchors.choose_rule(map(unquote, links), self._headings)
        self._slugs = anchors.slugs(self._headings, self._rule)
        self._known_slugs = set(self._slugs)
        self._titles = {text for text, _ in self._headings}
        self._new_slugs: dict[str, str] = {}
        self._new_titles: dict[str, str] = {}  # of headings, by the old ones
        self._new_attributes: dict[str, dict[tuple[int, int], str]] = {}  # by tag
        self._output: tuple[str, list[Token]] = ("", [])  # the last that was parsed
        self._regions: list[OutsideText] = []
        self._first_tokens = self._sections()  # by position
        self.sections = tuple(self._first_tokens)
        self.segments = tuple(sorted(self._segments(), key=lambda segment: segment.start))
        self.outside = tuple(_without_segments(self._regions, self.segments))

    def _parse(self, text: str, env: dict[str, object], *, front: bool = True) -> list[Token]:
        return parse_markdown(text, env, self._constructs, front=front)

    # Writing

    def connect(self, results: Sequence[Sequence[Part]]) -> None:
        """Compute the slugs of the translated headings."""
        output, at = [], 0
        for segment, parts in zip(self.segments, results, strict=True):
            output += [self.source[at : segment.start], self.encode(segment, parts)]
            at = segment.end
        text = "".join([*output, self.source[at:]])
        headings = anchors.heading_texts(self._parse_output(text))
        if len(headings) == len(self._headings):
            new = anchors.slugs(headings, self._rule)
            self._new_slugs = {
                old: slug for old, slug in zip(self._slugs, new, strict=True) if old != slug
            }
            self._new_titles = {
                old: new for (old, _), (new, _) in zip(self._headings, headings, strict=True)
            }

    def encode(self, segment: Segment, parts: Sequence[Part]) -> str:
        renewed = tuple(
            ProtectedSpan(self._renew_all(part.source), is_fixed=part.is_fixed)
            if isinstance(part, ProtectedSpan)
            else part
            for part in parts
        )
        layout = _layout(segment)
        if layout.inner:
            html, inner = layout.inner
            return html.encode(inner, renewed)
        if layout.kind == "anchor":
            return self._write(layout, parts)
        if layout.attribute and renewed == segment.parts:
            tag, start, end = layout.attribute
            self._new_attributes.get(tag, {}).pop((start, end), None)
            return ""
        return super().encode(segment, renewed)

    def _encode(self, segment: Segment, parts: Sequence[Part]) -> str:
        layout = _layout(segment)
        text = self._write(layout, parts)
        if layout.attribute is None:
            return text
        tag, start, end = layout.attribute
        self._new_attributes.setdefault(tag, {})[start, end] = text
        return ""

    def _renew_all(self, source: str) -> str:
        """Renew the spans that a source consists of: adjacent spans are joined."""
        if not self._new_slugs and not self._new_attributes:
            return source
        spans = tuple(self._split(f"]{source}"))  # as in a link, so that targets are recognized
        return "".join(
            span if isinstance(span, str) else self._renew(span.source) for span in spans
        )[1:]

    def _renew(self, source: str) -> str:
        """Return a protected span with its translated attributes and links to headings."""
        if source in self._new_attributes:
            new = source
            for (start, end), text in sorted(self._new_attributes[source].items(), reverse=True):
                new = new[:start] + text + new[end:]
            source = new
        if self._new_slugs and "#" in source and "`" not in source:
            for pattern in (_PAGE_TARGET, _PAGE_REFERENCE):
                source = pattern.sub(lambda found: f"{found[1]}#{self._new_slug(found[2])}", source)
        found = _PAGE_HEADING.match(source)
        if found and found[2] in self._new_titles:
            source = found[1] + self._new_titles[found[2]] + source[found.end() :]
        return source

    def _new_slug(self, slug: str) -> str:
        return self._new_slugs.get(unquote(slug), slug)

    def _write(self, layout: _Layout, parts: Sequence[Part]) -> str:
        kind = layout.kind
        if kind.startswith(("yaml", "toml")):
            text = "".join(p if isinstance(p, str) else p.source for p in parts)
            return front_matter.write(text, cast("front_matter.Style", kind))
        if kind == "anchor":
            return self._new_slug("".join(p.source for p in parts if isinstance(p, ProtectedSpan)))
        quote = layout.around[0][-1:]
        text, protected = hide_protected(
            _without_repeated_labels(parts), lambda text: _escape(kind, quote, text)
        )
        text = text.strip(" \t")  # leading space would indent a list item
        if kind not in ("attribute", "argument"):
            text = _PUNCTUATION_IN_EMPHASIS.sub(r"\1\2\1\3", text)
        if layout.columns:
            columns = max(_MIN_COLUMNS, layout.columns - display_width(layout.prefix))
            newline = f"{self._newline}{layout.prefix}"
            text = "".join(
                newline.join(_wrap(line, columns, protected))
                for line in _split_at_line_breaks(text, protected)
            )
        return show_protected(text, protected)

    # Checks

    def find_fault(self, segment: Segment, parts: Sequence[Part]) -> str | None:
        """Parse the segment and its replacement, each on its own, and compare their structure."""
        layout = _layout(segment)
        if layout.inner:
            html, inner = layout.inner
            return html.find_fault(inner, parts)
        if layout.kind in ("attribute", "argument"):
            is_same = _markup(segment.parts) == _markup(parts)
            return None if is_same else "changes the markup in an attribute"
        if layout.kind.startswith(("yaml", "toml", "anchor")):
            return None
        if layout.kind in _BLOCK_KINDS:
            before_shape, after_shape = map(self._inline_shape, (segment.parts, parts))
            if before_shape is not None and before_shape == after_shape:
                return find_nesting_fault(segment.parts, parts)
        before, after = self._block(layout, segment.parts), self._block(layout, tuple(parts))
        if before == after:
            return find_nesting_fault(segment.parts, parts)
        if before[0] != after[0]:
            return "would become another kind of block"
        return f"changes {_difference(before[1], after[1])}"

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
            if _OTHER_MARKUP.search(part) or (self._labels and "[" in part):
                return None
            for found in _MARKUP.finditer(part):
                index = at + found.start()
                for c in (text[index - 1 : index], found[0], text[index + 1 : index + 2]):
                    kind = _character_kind(c)
                    shape.append(c if kind == "punctuation" else kind)
            at += len(part)
        return shape

    def _block(self, layout: _Layout, parts: tuple[Part, ...]) -> tuple[list[str], Counter[str]]:
        """Parse a segment as a document; return its block types and count its inline elements."""
        text = self._write(layout, parts)
        if layout.prefix:
            text = text.replace(f"{self._newline}{layout.prefix}", "\n")
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
        tokens = self._parse(text, {"references": self._references}, front=False)
        kinds = [
            token.type + token.content * (token.type == "directive")
            for token in tokens
            if token.type != "inline"
        ]
        counts = [count_inline(token, {}) for token in tokens if token.type == "inline"]
        return kinds, sum(counts, Counter())

    def compare(self, output: str) -> str | None:
        if self._has_front and self._masked_front_matter != _masked_front_matter(
            _normalized(output)
        ):
            return "the front matter differs"
        tokens = self._parse_output(output)
        slugs = anchors.slugs(anchors.heading_texts(tokens), self._rule)
        # In a part of the output, links to headings are not changed yet.
        indexes = {**_indexes(self._slugs), **_indexes(slugs)}
        return _compare_tokens(self._tokens, tokens, _indexes(self._slugs), indexes)

    def is_same_section(self, start: int, end: int, output: str) -> bool:
        first = self._first_tokens.get(start) if start else 0
        if first is None:
            return False
        has_front = self._has_front and not start
        text = _normalized(output)
        if has_front and self._masked_front_matter != _masked_front_matter(text):
            return False
        tokens = self._parse(text, {"references": self._references}, front=has_front)
        return (
            _compare_tokens(self._tokens[first : self._first_tokens[end]], tokens, {}, {}) is None
        )

    def _parse_output(self, output: str) -> list[Token]:
        if self._output[0] != output:
            # A text that begins with a thematic break has no front matter after its translation.
            tokens = self._parse(_normalized(output), {}, front=self._has_front)
            self._output = output, tokens
        return self._output[1]

    # Reading

    def _sections(self) -> dict[int, int]:
        """Return the positions of blocks after a blank line, and the indexes of their tokens."""
        found: dict[int, int] = {}
        for index, token in enumerate(self._tokens):
            if token.level or token.nesting < 0 or not token.map or not (line := token.map[0]):
                continue
            if not self._lines[line - 1].strip() and self._lines[line][:1] not in (" ", "\t", ":"):
                found.setdefault(self._starts[line], index)
        return found

    def _position(self, offset: int) -> int:
        """Return the position in the source of an offset in the parsed text."""
        line = bisect_right(self._text_starts, offset) - 1
        return self._starts[line] + offset - self._text_starts[line] + (self._bom and not line)

    def _line_range(self, token: Token) -> tuple[int, int]:
        assert token.map is not None
        first, last = token.map
        end = self._starts[last] if last < len(self._starts) else len(self.source)
        return self._starts[first], end

    def _skip(self, start: int, end: int, reason: str, *, is_language: bool = False) -> None:
        self._regions.append(OutsideText(start, end, reason, is_language))

    def _segments(self) -> Iterator[Segment]:
        yield from self._front_matter_segments()
        yield from self._reference_segments()
        cells: list[tuple[int, str]] = []
        row = -1
        previous = None
        for token in self._tokens:
            if token.type == "inline" and token.map is not None:
                first, last = token.map
                if previous is not None and previous.type in ("th_open", "td_open"):
                    if first != row:
                        row, cells = first, _cells(self._lines[first])
                        self._skip(*self._line_range(token), "cell without a column")
                    yield from self._cell_segment(first, cells, token.content)
                elif token.content.strip():
                    kind = "paragraph"
                    if previous is not None and previous.type == "heading_open":
                        kind = "heading" if previous.markup.startswith("#") else "setext heading"
                    yield from self._block_segments(kind, first, last, token.content)
            elif token.type in ("fence", "code_block"):
                self._skip(*self._line_range(token), "code block")
            elif token.type == "html_block":
                yield from self._html_segments(token)
            elif token.type == "directive":
                yield from self._directive_segments(token)
            elif token.type == "footnote_open":
                assert token.map is not None
                start = self._starts[token.map[0]]
                column = self._lines[token.map[0]].find(token.info)
                self._skip(start, start + column + len(token.info), "footnote label")
            previous = token

    def _front_matter_segments(self) -> Iterator[Segment]:
        end = front_matter.find_front_matter(self._text)
        if end:
            self._skip(0, self._position(end), "front matter")
        for value in front_matter.find_values(self._text, end) if end else ():
            parts = tuple(self._split(value.text))
            if has_letters(parts):
                yield _Segment(
                    start=self._position(value.start),
                    end=self._position(value.end),
                    parts=parts,
                    layout=_Layout(kind=value.style),
                )

    def _reference_segments(self) -> Iterator[Segment]:
        """Yield the titles of link reference definitions, and their targets on the page."""
        duplicates = self._env.get("duplicate_refs")
        for reference in [
            *self._references.values(),
            *(duplicates if isinstance(duplicates, list) else ()),
        ]:
            first, last = reference["map"]
            start = self._starts[first]
            end = self._starts[last] if last < len(self._starts) else len(self.source)
            self._skip(start, end, "link target")
            text = self.source[start:end]
            target = _DEFINITION_TARGET.match(text)
            if target and unquote(target[1]) in self._known_slugs:
                yield _Segment(
                    start=start + target.start(1),
                    end=start + target.end(1),
                    parts=(ProtectedSpan(target[1]),),
                    waits=True,
                    layout=_Layout(kind="anchor"),
                )
            title = _DEFINITION_TITLE.search(text)
            if title and reference.get("title"):
                group = title.lastindex or 1
                begin, stop = title.span(group)
                around = (f"[x]: x {text[begin - 1]}", text[stop])
                yield from self._text_segment(
                    start + begin, start + stop, _Layout(kind="link title", around=around)
                )

    def _text_segment(self, start: int, end: int, layout: _Layout) -> Iterator[Segment]:
        """Yield the segment of a text within one line of syntax."""
        text = self.source[start:end]
        is_html = layout.kind == "attribute"
        parts = tuple(self._split(" ".join((unescape(text) if is_html else text).split())))
        if has_letters(parts):
            yield from self._nested_segments(start, parts)
            yield _Segment(start=start, end=end, parts=parts, layout=layout)

    def _directive_segments(self, token: Token) -> Iterator[Segment]:
        start, end = self._line_range(token)
        self._skip(start, end, token.info, is_language=token.info == GRID_TABLE)
        texts: list[Text] = token.meta["texts"]
        assert token.map is not None
        for text in texts:
            begin, stop = self._position(text.start), self._position(text.end)
            around = (self.source[start:begin].lstrip(" \t>"), self.source[stop:end].rstrip())
            kind: str = text.kind
            if kind == "attribute" and token.info != "tag":
                kind = "argument"
            yield from self._text_segment(begin, stop, _Layout(kind=kind, around=around))

    def _html_segments(self, token: Token) -> Iterator[Segment]:
        start, end = self._line_range(token)
        source = self.source[start:end]
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
        for inner in html.segments:
            yield _Segment(
                start=start + inner.start,
                end=start + inner.end,
                parts=inner.parts,
                context=inner.context,
                waits=self._links_to_heading(inner.parts),
                layout=_Layout(kind="html", inner=(html, inner)),
            )

    def _cell_segment(
        self, row: int, cells: list[tuple[int, str]], content: str
    ) -> Iterator[Segment]:
        if not content:
            del cells[:1]
            return
        for index, (column, text) in enumerate(cells):
            body = text.replace("\\|", "|")
            prefix = body.removesuffix(content)
            if body != content and (prefix == body or index or prefix.strip(" \t>*+-.)0123456789")):
                continue
            begin = self._starts[row] + column + len(prefix)
            end = self._starts[row] + column + len(text)
            begins = not self.source[self._starts[row] : begin].strip(" \t>\ufeff")
            del cells[: index + 1]
            layout = _Layout(kind="leading cell" if begins else "cell")
            yield from self._segment(begin, end, self._split(self.source[begin:end]), layout)
            return
        start = self._starts[row]
        self._skip(start, start + len(self._lines[row]), _CHANGED_BY_PARSER, is_language=True)

    def _block_segments(self, kind: str, first: int, last: int, content: str) -> Iterator[Segment]:
        """Yield the segment of a block, or none if its content does not occur in the source."""
        bodies = [text.strip(" \t") for text in content.split("\n")]
        spans: list[tuple[int, int]] = []
        for number, body in enumerate(bodies, first):
            line = self._lines[number] if number < last else ""
            column = line.find(body) if kind == "heading" else len(line.rstrip()) - len(body)
            if column < 0 or line[column : column + len(body)] != body:
                start = self._starts[first]
                end = self._starts[last] if last < len(self._starts) else len(self.source)
                self._skip(start, end, _CHANGED_BY_PARSER, is_language=True)
                return
            spans.append((self._starts[number] + column, self._starts[number] + column + len(body)))
        layout = _Layout(kind=kind)
        if len(spans) > 1:
            columns = max(display_width(line) for line in self._lines[first : first + len(spans)])
            prefix = self.source[self._starts[first + 1] : spans[1][0]]
            layout = _Layout(kind=kind, columns=columns, prefix=prefix)
        yield from self._segment(spans[0][0], spans[-1][1], self._read_lines(spans), layout)

    def _read_lines(self, spans: list[tuple[int, int]]) -> Iterator[Part]:
        """Yield the parts of some lines as one text, with hard line breaks as protected spans."""
        text = previous = ""
        breaks: dict[int, str] = {}  # the line breaks that became a space, by position in the text
        for index, (begin, end) in enumerate(spans):
            line = self.source[begin:end]
            if index:
                between = self.source[spans[index - 1][1] : begin]
                is_break = between.split("\n")[0].rstrip("\r").endswith("  ")
                is_syntax = _ROW.match(previous) or _ROW.match(line) or _ITEM.match(line)
                if is_break or is_syntax or text.endswith("\\"):
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
        for part in self._split(text):
            source = part if isinstance(part, str) else part.source
            if isinstance(part, ProtectedSpan) and breaks and " " in source:
                source = "".join(breaks.get(at + n, c) for n, c in enumerate(source))
                yield ProtectedSpan(source, is_fixed=part.is_fixed)
            else:
                yield part
            if source.startswith("[") and not text.startswith(source, at):
                source = "[]" if text.startswith("[]", at) else ""  # a label that `_split` repeats
            at += len(source)

    def _split(self, text: str) -> Iterator[Part]:
        return split_inline(text, self._labels, is_mdx="mdx" in self._constructs)

    def _segment(
        self, start: int, end: int, parts: Iterable[Part], layout: _Layout
    ) -> Iterator[Segment]:
        parts = tuple(parts)
        nested = list(self._nested_segments(start, parts))
        waits = self._links_to_heading(parts)
        if has_letters(parts) or nested or waits:
            yield from nested
            yield _Segment(start=start, end=end, parts=parts, waits=waits, layout=layout)
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
                inner = tuple(self._split(" ".join(text.split())))
                if has_letters(inner):
                    around = (tag[:begin], tag[end:])
                    if kind == "link title":
                        around = (f"[x]{around[0]}", around[1])
                    yield _Segment(
                        start=start,
                        end=start,
                        parts=inner,
                        layout=_Layout(kind=kind, around=around, attribute=(tag, begin, end)),
                    )

    def _links_to_heading(self, parts: Iterable[Part]) -> bool:
        wiki = (_PAGE_HEADING.match(part.source) for part in parts if not isinstance(part, str))
        return any(found and found[2] in self._titles for found in wiki) or any(
            unquote(slug) in self._known_slugs
            for part in parts
            if isinstance(part, ProtectedSpan) and "#" in part.source and "`" not in part.source
            for pattern in (_PAGE_TARGET, _PAGE_REFERENCE)
            for _, slug in pattern.findall(part.source)
        )


def _without_repeated_labels(parts: Sequence[Part]) -> list[Part]:
    """Omit the label of each link whose text is its label."""
    return [
        part
        for previous, part in zip(("", *parts), parts, strict=False)
        if not (
            isinstance(part, ProtectedSpan)
            and part.source.startswith("[")
            and isinstance(previous, str)
            and previous.endswith(part.source)
        )
    ]


def _split_at_line_breaks(text: str, protected: Sequence[str]) -> list[str]:
    """Split a text after each protected span that ends a line."""
    pieces, at = [], 0
    for found in re.finditer("[\U000f0000-\U000ffffd]", text):
        if _LINE_END.search(show_protected(found[0], protected)):
            pieces.append(text[at : found.end()])
            at = found.end()
    return [*pieces, text[at:]]


def _layout(segment: Segment) -> _Layout:
    assert isinstance(segment, _Segment)
    return segment.layout


def _character_kind(c: str) -> str:
    """Return what a character is for the rules of emphasis."""
    if not c or c.isspace():
        return "space"
    return "punctuation" if unicodedata.category(c)[0] in "PS" else "letter"


def _markup(parts: Sequence[Part]) -> Counter[str]:
    """Count the characters that are markup where the tag itself is text for Markdown."""
    texts = (part for part in parts if isinstance(part, str))
    return Counter(c for text in texts for c in text if c in "*_`[]<>|~")


def _line_starts(text: str) -> list[int]:
    return [0, *(found.end() for found in re.finditer("\n", text))]


def _normalized(text: str) -> str:
    return text.removeprefix("\ufeff").replace("\r\n", "\n")


def _indexes(slugs: list[str]) -> dict[str, int]:
    return {slug: index for index, slug in reversed(list(enumerate(slugs)))}


def _compare_tokens(
    source: Sequence[Token],
    output: Sequence[Token],
    source_anchors: dict[str, int],
    output_anchors: dict[str, int],
) -> str | None:
    """Return the first structural difference of two parsed texts, or None."""
    before, after = skeleton(source, source_anchors), skeleton(output, output_anchors)
    for one, other in zip(before, after, strict=False):
        if one[1:] != other[1:]:
            return f"line {one[0]}: {one[1]} became {other[1]}"
    if len(before) != len(after):
        return "the number of blocks differs"
    for one_html, other_html in zip(_html(source), _html(output), strict=True):
        difference = None if one_html == other_html else _compare_html(one_html, other_html)
        if difference:
            return difference
    return None


def _html(tokens: Sequence[Token]) -> list[str]:
    return [token.content for token in tokens if token.type == "html_block"]


def _compare_html(one: str, other: str) -> str | None:
    difference = Html(_PAGE_REFERENCE.sub(r"\1", one)).compare(_PAGE_REFERENCE.sub(r"\1", other))
    return difference and f"a block of HTML: {difference}"


def _masked_front_matter(text: str) -> str:
    """Return the front matter without the values that are text."""
    end = front_matter.find_front_matter(text)
    matter = text[:end]
    for value in sorted(front_matter.find_values(text, end), key=lambda v: -v.start) if end else ():
        matter = matter[: value.start] + matter[value.end :]
    return matter


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


def _difference(before: Counter[str], after: Counter[str]) -> str:
    """Describe the first element that one count has more often."""
    for more, fewer, verb in ((before, after, "loses"), (after, before, "adds")):
        for element in more - fewer:
            return f"the markup: it {verb} {element.split(' ')[0]}"
    return "the markup"


def _cells(line: str) -> list[tuple[int, str]]:
    """Return the cells of a table row, each as its column and text."""
    cells, at = [], 0
    for piece in re.split(r"(?<!\\)\|", line):
        body = piece.strip(" \t")
        cells.append((at + piece.find(body), body))
        at += len(piece) + 1
    return cells


def _escape(kind: str, quote: str, text: str) -> str:
    """Escape a text for its place."""
    text = " ".join(text.splitlines()) if text.strip() else text
    if kind in ("cell", "leading cell"):
        return re.sub(r"(?<!\\)\|", r"\\|", text)
    if kind == "attribute":
        text = text.replace("&", "&amp;").replace("<", "&lt;")
        return text.replace(quote, "&quot;" if quote == '"' else "&#39;")
    if kind == "link title":
        return re.sub(rf"(?<!\\)[{re.escape(quote)})]", r"\\\g<0>", text)
    if kind == "argument" or (kind == "title" and quote == '"'):
        return text.replace(quote, "'" if quote == '"' else "’")
    return text


def _wrap(text: str, columns: int, protected: list[str]) -> list[str]:
    """Wrap a text so that no line would begin another block.

    Lines end only at spaces, since a reader sees a line break as a space.
    """
    lines: list[str] = []
    for line in wrap(text, columns, only_at_spaces=True):
        if lines and _BLOCK_START.match(show_protected(line, protected)):
            lines[-1] += " " + line
        else:
            lines.append(line)
    return lines
