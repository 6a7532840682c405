"""reStructuredText, also with the directives and roles of Sphinx.

Our scanner finds paragraphs, titles and other texts. Docutils, which gives no positions, checks
that a translated paragraph has the same inline markup, and the output the same structure.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator, Sequence

import msgspec

from llmtool.documents.csv_cells import (
    CsvSyntax,
    find_csv_cells,
    find_csv_syntax,
    write_csv_cell,
)
from llmtool.documents.lines import display_width, join_lines, split_lines, wrap
from llmtool.documents.prose import are_sentences, may_be_prose
from llmtool.documents.protected_spans import hide_protected, show_protected, split_parts
from llmtool.documents.rst.structure import CODE_DIRECTIVES, inline_elements, skeleton
from llmtool.documents.rst.tables import Cell, find_cells, lay_out
from llmtool.documents.types import (
    Document,
    OutsideText,
    Part,
    ProtectedSpan,
    Segment,
    has_letters,
    make_break,
    split_at_breaks,
)

_ADORNMENT = re.compile(r"([!-/:-@\[-`{-~])\1+\s*")
_DIRECTIVE = re.compile(r"\.\.[ ]+(?:\|[^|\n]+\|[ ]+)?(\w+(?:[:+.-]\w+)*)::(?:[ ]+|$)")
_EXPLICIT = re.compile(r"\.\.(?:[ \f\v]|$)|__ ")
_TARGET = re.compile(r"\.\.[ ]+(?:_[^\n]*?:(?:\s|$)|\|)|__ ")
_FOOTNOTE = re.compile(r"\.\.[ ]+\[[^\]\n]+\][ ]+")
_MARKER = re.compile(
    r"(?:[-*+•‣⁃]|\(?(?:\d+|#|[a-zA-Z]|[ivxlcIVXLC]+)[.)])[ ]+(?=\S)"  # list items
    r"|:(?![ ])(?:[^:\n\\]|\\.)+:(?:[ ]+|$)"  # fields
    r"|\|[ ]+"  # line blocks
    r"|(?:(?:--?|[+/])\w[\w-]*(?:[ =]<?\w+>?)?(?:,[ ])?)+(?:[ ]{2,}|$)"  # command-line options
)
_GRID = re.compile(r"\+[-=]+\+")
_SIMPLE_TABLE = re.compile(r"=+(?:[ ]+=+)+\s*$")
_STARTS_BLOCK = re.compile(
    _MARKER.pattern + r"|\.\.(?:\s|$)|__\s|>>>\s|\+[-=]+\+|=+[ ]+=+|[-*+•‣⁃][ ]?$"
)
_INLINE = re.compile(
    r"""
    (?P<literal>``.+?``(?!`))
  | (?P<title>(?P<role>:[\w:+.-]{1,100}:)?`(?P<text>[^`<>]*[^`<>\s])(?P<goal>\s+<[^`<>]+>`_{0,2}))
  | (?P<before>:abbr:`[^`(]*\()(?P<expansion>[^`]*[^`\s])(?P<after>\)`)
  | (?P<before2>:(?:dfn|emphasis|strong|title(?:-reference)?|t):`)
      (?P<shown>[^`]*[^`\s])(?P<after2>`)
  | :[\w:+.-]{1,100}:`[^`]+` | `[^`]+`:[\w:+.-]{1,100}: | _`[^`]+` | `[^`]+`_{0,2}
  | \|[^|\s](?:[^|\n]*[^|\s])?\|_{0,2}
  | \[[^\[\]\s]+\]_
  | (?<![\w`])[A-Za-z0-9](?:[\w.+-]{0,100}[A-Za-z0-9])?__?(?![\w`])
  | \\.
    """,
    re.VERBOSE | re.DOTALL,
)
_REFERENCE = re.compile(
    r"(?<![`:\w])(?:`([^`<>]+)`|([A-Za-z0-9](?:[\w.+-]{0,100}[A-Za-z0-9])?))__?(?![\w`])"
)
# Directives whose argument is text, or part of their content.
_TITLED = frozenset(
    "admonition topic sidebar rubric centered table list-table tab tab-item group-tab dropdown"
    " card grid-item-card details title".split()
)
_ADMONITIONS = frozenset(
    "note warning tip hint important attention caution danger error seealso todo epigraph"
    " pull-quote highlights compound replace header footer".split()
)
_TYPE_FIELD = re.compile(r":(?:type [^:\n]+|rtype|vartype [^:\n]+):")  # of Sphinx
_VERSIONS = frozenset(
    "versionadded versionchanged versionremoved deprecated version-added version-changed"
    " version-removed version-deprecated".split()
)
_CONTAINERS = frozenset(
    "container only class rst-class figure glossary hlist tab-set grid cssclass parsed-text role"
    " function method class attribute data module exception option envvar confval describe object"
    " program cmdoption decorator property staticmethod classmethod macro type member enum struct"
    " versionnote column tabs".split()
)
_TEXTS = _TITLED | _ADMONITIONS | _VERSIONS | _CONTAINERS
_TEXT_OPTION = re.compile(
    r"alt|caption|title|subtitle|synopsis|tooltip|summary|link-alt|button-text"
    r"|(?:description|keywords|property=(?:og|twitter)\\?:(?:title|description))(?: [^:\n]+)?"
)
_ENTRY = re.compile(
    r"[ \t]*(?=\S)([^<>]*[^<>\s])[ \t]+<[^<>]+>[ \t]*$"
)  # of a toctree: Title <page>
_OPTION = re.compile(
    r"\s*:([\w-]+|(?:\w+ )?[\w.-]+=(?:[^:\n\\]|\\.)+|\w+ [\w-]+=[^:\n]+):[ ]*(.*)$"
)


_Scan = Generator[OutsideText, None, int]  # returns the index of the next line


class _Block(msgspec.Struct, frozen=True, kw_only=True):
    """How a segment is written: its lines, the indent of all but the first, and its adornment."""

    n_lines: int = 1
    columns: int = 0
    indent: str = ""
    overline: str = ""
    underline: str = ""
    inset: str = ""


class Rst(Document):
    """A reStructuredText document and its segments.

    Raises:
        InputError: docutils cannot parse it.
        UsageError: the extra `rst` is not installed.

    Example:
        >>> document = Rst("Title\\n=====\\n\\n.. note::\\n   See :ref:`the hours <h>`.\\n")
        >>> [segment.source for segment in document.segments]
        ['Title', 'See :ref:`the hours <h>`.']
    """

    def __init__(self, source: str, *, is_cell: bool = False) -> None:
        super().__init__(source)
        self._lines = split_lines(source)
        self._blocks: dict[int, _Block] = {}  # by the start of each segment
        self._tables: dict[int, _Contents] = {}
        # By the start of a cell of a csv-table, its syntax and whether it is quoted.
        self._csv_cells: dict[int, tuple[CsvSyntax, bool]] = {}
        self._references = {
            _normalize(quoted or name) for quoted, name in _REFERENCE.findall(source)
        }
        segments: list[Segment] = []
        self.outside = tuple(self._scan(segments))
        self.segments = tuple(segments)
        self._skeleton = [] if is_cell else skeleton(source)

    def _encode(self, segment: Segment, parts: Sequence[Part]) -> str:
        if table := self._tables.get(segment.start):
            first, *lines = table.lines_with(parts)
            indented = (f"{table.indent}{line}" if line else "" for line in lines)
            return self._newline.join((first, *indented))
        if cell := self._csv_cells.get(segment.start):
            text = "".join(part if isinstance(part, str) else part.source for part in parts)
            syntax, is_quoted = cell
            return write_csv_cell(" ".join(text.split("\n")), syntax, is_quoted=is_quoted)
        block = self._blocks[segment.start]
        text, protected = hide_protected(parts, lambda text: " ".join(text.split("\n")))
        text = text.strip()
        if block.underline:
            title = show_protected(text, protected)
            width = max(display_width(title) + len(block.inset), len(block.underline))
            lines = [title, block.underline[0] * width]
            if block.overline:
                lines[:1] = [block.overline[0] * width, block.inset + title]
            return self._newline.join(lines)
        lines = wrap(text, block.columns) if block.n_lines > 1 else [text]
        return show_protected(f"{self._newline}{block.indent}".join(lines), protected)

    def find_fault(self, segment: Segment, parts: Sequence[Part]) -> str | None:
        if table := self._tables.get(segment.start):
            return table.find_fault(segment.parts, parts)
        text = "".join(part if isinstance(part, str) else part.source for part in parts).strip()
        if not text:
            return "is empty"
        if _STARTS_BLOCK.match(text) and not _STARTS_BLOCK.match(segment.source.strip()):
            return "starts like another kind of block"
        if text.count(" : ") != segment.source.count(" : "):
            return "adds or loses a colon between spaces, which marks a classifier"
        if inline_elements(self.encode(segment, parts)) != inline_elements(
            self.encode(segment, segment.parts)
        ):
            return "has other markup than the source"
        return None

    def compare(self, output: str) -> str | None:
        before, after = self._skeleton, skeleton(output)
        for number, (one, other) in enumerate(zip(before, after, strict=False), 1):
            if one != other:
                return f"element {number} ({one[0]}) differs"
        return None if len(before) == len(after) else "the number of elements differs"

    def _scan(self, segments: list[Segment]) -> Iterator[OutsideText]:
        """Append the segments, and yield the text outside of them."""
        i = 0
        while i < len(self._lines):
            start, line = self._lines[i]
            text = line.strip("\ufeff \t")
            if not text.strip():
                i += 1
            elif n_lines := (yield from self._title(i, segments)):
                i += n_lines
            elif _EXPLICIT.match(text):
                i = yield from self._explicit(i, segments)
            elif text.startswith(">>> "):
                i = yield from self._skip(i, self._end_of_paragraph(i), "code")
            elif _GRID.match(text) or _SIMPLE_TABLE.match(text):
                i = yield from self._table(i, self._end_of_table(i), segments)
            elif text == "::":
                i = yield from self._literal_block(i + 1, self._indent(i))
            elif _ADORNMENT.fullmatch(text):
                i += 1
            else:
                i = yield from self._paragraph(
                    i, start + len(line) - len(line.lstrip("\ufeff \t")), segments
                )

    def _skip(self, first: int, end: int, reason: str, *, is_language: bool = False) -> _Scan:
        last_start, last = self._lines[max(first, end - 1)]
        start = self._lines[first][0]
        if end > first and any(map(str.isalpha, self.source[start : last_start + len(last)])):
            yield OutsideText(start, last_start + len(last), reason, is_language=is_language)
        return end

    def _indent(self, i: int) -> int:
        line = self._lines[i][1].lstrip("\ufeff").expandtabs()
        return len(line) - len(line.lstrip())

    def _is_blank(self, i: int) -> bool:
        return not self._lines[i][1].strip()

    def _end_of_block(self, i: int, indent: int) -> int:
        """Return the index of the first line at or after `i` that is not indented deeper."""
        while i < len(self._lines) and (self._is_blank(i) or self._indent(i) > indent):
            i += 1
        return i

    def _end_of_paragraph(self, i: int) -> int:
        while i < len(self._lines) and not self._is_blank(i):
            i += 1
        return i

    def _next_text(self, i: int) -> int:
        """Return the index of the first line at or after `i` that is not blank."""
        while i < len(self._lines) and self._is_blank(i):
            i += 1
        return i

    def _end_of_table(self, i: int) -> int:
        if _GRID.match(self._lines[i][1].strip()):
            return self._end_of_paragraph(i)
        at = i + 1
        n_borders = 1
        while at < len(self._lines):
            if re.match(r"\s*=+(?:[ ]+=+)*\s*$", self._lines[at][1]):
                n_borders += 1
                if n_borders > 1 and (at + 1 == len(self._lines) or self._is_blank(at + 1)):
                    return at + 1
            at += 1
        return at

    def _table(self, first: int, end: int, segments: list[Segment]) -> _Scan:
        """Append the segment of a table, whose texts are those of its cells."""
        while self._is_blank(end - 1):
            end -= 1
        start, line = self._lines[first]
        indent = line[: len(line) - len(line.lstrip("\ufeff \t"))]
        lines = [text[len(indent) :].rstrip() for _, text in self._lines[first:end]]
        cells = find_cells(lines) if "\t" not in "".join(lines) else None
        contents = [Rst("\n".join(cell.lines), is_cell=True) for cell in cells or ()]
        texts = [segment.parts for content in contents for segment in content.segments]
        is_nested = any(len(split_at_breaks(parts)) > 1 for parts in texts)
        if cells is None or is_nested or any(_has_unsupported(each) for each in contents):
            reason = "the syntax of the table is not supported"
            return (yield from self._skip(first, end, reason, is_language=True))
        if not texts:
            return (yield from self._skip(first, end, "code, link or name"))
        start += len(indent)
        table = self._tables[start] = _Table(lines, cells, contents, indent)
        segments.append(Segment(start=start, end=self._end(end - 1), parts=table.parts))
        for cell, content in zip(cells, contents, strict=True):
            starts = [
                self._lines[first + cell.top + k][0] + len(indent) + at
                for k, at in enumerate(cell.starts)
            ]
            yield from _placed_outside(content, starts)
        return end

    def _title(self, i: int, segments: list[Segment]) -> _Scan:
        """Append the segment of a title and return its number of lines, 0 if there is none."""
        texts = [line.lstrip("\ufeff") for _, line in self._lines[i : i + 3]]
        start = self._lines[i][0] + len(self._lines[i][1]) - len(texts[0])
        over = bool(_ADORNMENT.fullmatch(texts[0]) and len(texts) == 3)
        if over and texts[1].strip() and texts[2].rstrip() == texts[0].rstrip():
            overline, title, underline = texts
            n_lines = 3
        elif len(texts) > 1 and texts[0][:1].strip() and _ADORNMENT.fullmatch(texts[1]):
            overline, title, underline = "", texts[0], texts[1]
            if len(underline.rstrip()) < min(4, display_width(title.rstrip())):
                return 0
            if _ADORNMENT.fullmatch(title):
                return 0
            n_lines = 2
        else:
            return 0
        parts = tuple(_inline_parts(title.strip()))
        last_start, last = self._lines[i + n_lines - 1]
        if _normalize(title) in self._references:
            reason = "a link refers to this title by its text"
            yield OutsideText(start, last_start + len(last), reason, is_language=True)
        elif has_letters(parts):
            inset = title[: len(title) - len(title.lstrip())]
            self._blocks[start] = _Block(
                overline=overline.rstrip(), underline=underline.rstrip(), inset=inset
            )
            segments.append(Segment(start=start, end=last_start + len(last.rstrip()), parts=parts))
        else:
            yield OutsideText(start, last_start + len(last), "code, link or name")
        return n_lines

    def _explicit(self, i: int, segments: list[Segment]) -> _Scan:
        start, line = self._lines[i]
        stripped = line.lstrip("\ufeff \t")
        at, indent = start + len(line) - len(stripped), self._indent(i)
        if found := _FOOTNOTE.match(stripped):
            yield OutsideText(at, at + found.end(), "footnote label")
            return (yield from self._paragraph(i, at + found.end(), segments))
        if found := _DIRECTIVE.match(stripped):
            return (yield from self._directive(i, at, found, segments))
        reason = "link target" if _TARGET.match(stripped) else "comment"
        return (yield from self._skip(i, self._end_of_block(i + 1, indent), reason))

    def _directive(self, i: int, at: int, found: re.Match[str], segments: list[Segment]) -> _Scan:
        name, indent = found[1].lower(), self._indent(i)  # in any case
        base = name.rpartition(":")[2]
        start, line = self._lines[i]
        end = start + len(line)
        following = self._end_of_options(i + 1, indent)
        is_code = name in CODE_DIRECTIVES or base.startswith("auto")
        is_text = name in _TEXTS or ":" in name or self._has_sentences(following, indent)
        if is_code or name == "csv-table" or not is_text:
            has_title = name in ("csv-table", "contents") and not _OPTION.match(
                self.source[at + found.end() : end]
            )
            if has_title and at + found.end() < end:
                title = at + found.end()
                yield OutsideText(at, title, "directive")
                yield from self._segment([(title, self.source[title:end])], "", segments)
            else:
                yield OutsideText(at, at + found.end(), "directive")
                yield self._argument(name, at + found.end(), end, is_known=is_code)
            last = self._end_of_block(following, indent)
            cells = self._find_csv_cells(i + 1, following, last) if name == "csv-table" else None
            if cells is not None:
                segments += cells
                yield from self._around(cells, i + 1, last)
                return last
            if name == "meta" and following == i + 1:
                following = self._end_of_options(self._next_text(following), indent)
            yield from self._options(i + 1, following, segments)
            if name == "toctree":
                return (yield from self._entries(following, last, segments))
            has_body = not all(map(self._is_blank, range(following, last)))
            is_language = has_body and not is_code
            reason = f"the directive {name} is not supported" if is_language else "directive"
            return (yield from self._skip(following, last, reason, is_language=is_language))
        yield OutsideText(at, at + found.end(), "directive")
        at += found.end()
        if name in _VERSIONS:
            version = re.match(r"\S*\s*", self.source[at:end])
            assert version is not None
            yield OutsideText(at, at + version.end(), "version")
            at += version.end()
        is_text = name in _ADMONITIONS | _VERSIONS
        if at < end and is_text and following == i + 1:
            following = yield from self._paragraph(i, at, segments)
        elif at < end and (is_text or name in _TITLED):
            yield from self._segment([(at, self.source[at:end])], "", segments)
        elif at < end:
            yield self._argument(name, at, end, is_known=name in _TEXTS or ":" in name)
        yield from self._options(i + 1, following, segments)
        return following

    def _argument(self, name: str, start: int, end: int, *, is_known: bool) -> OutsideText:
        """Return the argument of a directive; that of an unknown one may be natural language."""
        if is_known:
            return OutsideText(start, end, "argument of a directive")
        if may_be_prose(self.source[start:end]):
            return OutsideText(start, end, f"the directive {name} is not supported", True)
        return OutsideText(start, end, "argument of an unknown directive")

    def _end_of_options(self, i: int, indent: int) -> int:
        """Return the index of the line after options, of which each may have several lines."""
        first = i
        while i < len(self._lines) and not self._is_blank(i) and self._indent(i) > indent:
            is_option = _OPTION.match(self._lines[i][1])
            if not is_option and (i == first or self._indent(i) <= self._indent(first)):
                break
            i += 1
        return i

    def _each_option(self, first: int, last: int) -> Iterator[tuple[re.Match[str], int, int]]:
        """Yield each option, its first line, and the line after it."""
        starts = [at for at in range(first, last) if _OPTION.match(self._lines[at][1])]
        for at, end in zip(starts, [*starts[1:], last], strict=False):
            option = _OPTION.match(self._lines[at][1])
            assert option is not None
            yield option, at, end

    def _end(self, line: int) -> int:
        """Return the position after the text of a line."""
        start, text = self._lines[line]
        return start + len(text.rstrip())

    def _find_csv_cells(self, first: int, following: int, last: int) -> list[Segment] | None:
        """Return the texts of a csv-table, None if its syntax is not supported.

        Its options are the lines from `first`, its rows those from `following` to `last`.
        """
        options: dict[str, str] = {}
        ranges: list[tuple[int, int]] = []
        for option, at, end in self._each_option(first, following):
            options[option[1]] = option[2]
            if option[1] == "header":
                ranges.append((self._lines[at][0] + option.start(2), self._end(end - 1)))
        if following < last:
            ranges.append((self._lines[following][0], self._end(last - 1)))
        syntax = find_csv_syntax(options)
        segments: list[Segment] = []
        for start, end in ranges:
            source = self.source[start:end]
            cells = None if syntax is None else find_csv_cells(source, syntax)
            if cells is None or syntax is None:
                return None
            for cell in cells:
                begin, stop = start + cell.start, start + cell.end
                if "\n" in cell.text:
                    block = _CsvCell(cell.text, syntax)
                    if _has_unsupported(block.contents[0]):
                        return None
                    self._tables[begin], parts = block, block.parts
                else:
                    self._csv_cells[begin] = syntax, cell.is_quoted
                    parts = tuple(_inline_parts(cell.text))
                if has_letters(parts):
                    segments.append(Segment(start=begin, end=stop, parts=parts))
        return segments

    def _around(self, found: list[Segment], first: int, last: int) -> Iterator[OutsideText]:
        """Yield the text around the segments in lines of a directive."""
        at = self._lines[first][0]
        for segment in found:
            yield OutsideText(at, segment.start, "directive")
            at = segment.end
        yield OutsideText(at, max(at, self._end(last - 1)), "directive")

    def _entries(self, first: int, last: int, segments: list[Segment]) -> _Scan:
        """Yield the pages of a toctree, whose titles are text: `Title <page>`."""
        for start, line in self._lines[first:last]:
            at = start
            if entry := _ENTRY.match(line):
                yield from self._segment([(start + entry.start(1), entry[1])], "", segments)
                at += entry.end(1)
            yield OutsideText(at, start + len(line), "directive")
        return last

    def _has_sentences(self, i: int, indent: int) -> bool:
        """Return whether the content of an unknown directive begins with a paragraph of text."""
        i = self._next_text(i)
        if i == len(self._lines) or self._indent(i) <= indent:
            return False
        lines = self._lines[i : self._end_of_paragraph(i)]
        return are_sentences(" ".join(line.strip() for _, line in lines))

    def _options(self, first: int, last: int, segments: list[Segment]) -> Iterator[OutsideText]:
        """Yield the options of a directive, of which some have a text."""
        for option, at, end in self._each_option(first, last):
            start = self._lines[at][0]
            value = start + option.start(2)
            if option[1] == "header":  # of a csv-table
                yield OutsideText(
                    value, self._end(end - 1), "the option header is not supported", True
                )
                yield OutsideText(start, value, "option")
            elif _TEXT_OPTION.fullmatch(option[1]) and (option[2] or end > at + 1):
                lines = [(value, option[2])] if option[2] else []
                for line_start, line in self._lines[at + 1 : end]:
                    indent = _indent_of(line)
                    lines.append((line_start + len(indent), line[len(indent) :]))
                yield OutsideText(start, lines[0][0], "option")
                yield from self._segment(lines, _indent_of(self._lines[end - 1][1]), segments)
            else:
                yield OutsideText(start, self._end(end - 1), "option")

    def _paragraph(self, i: int, start: int, segments: list[Segment]) -> _Scan:
        """Yield what is outside of the paragraph that begins at `start` in line `i`."""
        line_start, line = self._lines[i]
        end = line_start + len(line)
        base = self._indent(i)
        is_first = True
        marker = ""
        while found := _MARKER.match(self.source, start, end):
            if is_first is False and marker[:1] in ":|":
                break
            marker, is_first = found[0], False
            if _TYPE_FIELD.match(marker):
                return (yield from self._skip(i, self._end_of_block(i + 1, base), "type"))
            yield OutsideText(start, start + len(found[0]), "field or option")
            start += len(found[0])
            if start >= end:
                return i + 1
        is_marked = start > line_start + len(line) - len(line.lstrip("\ufeff \t"))
        column = start - line_start
        lines, at = [(start, self.source[start:end])], i + 1
        indent = ""
        while at < len(self._lines) and not self._is_blank(at) and marker[:1] != "|":
            depth = self._indent(at)
            if indent and depth != len(indent):
                break
            if (
                not indent
                and depth != column
                and not (
                    is_marked and depth > base and (marker[:1] in (":", "") or marker[:1] == "-")
                )
            ):
                break
            if not indent and _STARTS_BLOCK.match(self._lines[at][1].strip()) and is_marked:
                break
            text_line = self._lines[at][1]
            stripped = text_line.lstrip()
            indent = text_line[: len(text_line) - len(stripped)]
            lines.append((self._lines[at][0] + len(indent), stripped))
            at += 1
            if not indent:
                continue
        yield from self._segment(lines, indent, segments)
        if lines[-1][1].rstrip().endswith("::"):
            body = len(indent) if len(lines) > 1 or not is_marked else column
            at = yield from self._literal_block(at, max(base, body if not is_marked else base))
        return at

    def _literal_block(self, i: int, indent: int) -> _Scan:
        first = i
        while first < len(self._lines) and self._is_blank(first):
            first += 1
        if first == len(self._lines):
            return i
        if self._indent(first) > indent:
            return (yield from self._skip(first, self._end_of_block(first, indent), "code"))
        if not self._lines[first][1].strip()[0].isalnum():  # each line is quoted
            return (yield from self._skip(first, self._end_of_paragraph(first), "code"))
        return i

    def _segment(
        self, lines: list[tuple[int, str]], indent: str, segments: list[Segment]
    ) -> Iterator[OutsideText]:
        text = join_lines([line.strip() for _, line in lines])
        parts = tuple(_inline_parts(text))
        start = lines[0][0]
        end = lines[-1][0] + len(lines[-1][1].rstrip())
        if not has_letters(parts):
            yield OutsideText(start, end, "code, link or name")
            return
        columns = max(display_width(line.rstrip()) for _, line in lines)
        self._blocks[start] = _Block(n_lines=len(lines), columns=columns, indent=indent)
        segments.append(Segment(start=start, end=end, parts=parts))


class _Contents:
    """Cells with several texts, which are separated by breaks."""

    indent = ""  # before each line but the first

    def __init__(self, contents: list[Rst]) -> None:
        self.contents = contents

    @property
    def parts(self) -> tuple[Part, ...]:
        texts = [segment.parts for each in self.contents for segment in each.segments]
        return tuple(part for each in texts for part in (make_break(""), *each))

    def lines_with(self, parts: Sequence[Part]) -> list[str]:
        """Return the lines of the source with translated texts."""
        raise NotImplementedError

    def _contents_with(self, parts: Sequence[Part]) -> Iterator[str]:
        texts = iter(_texts(parts))
        for content in self.contents:
            at, text = 0, ""
            for segment in content.segments:
                text += content.source[at : segment.start]
                text += content.encode(segment, next(texts))
                at = segment.end
            yield text + content.source[at:]

    def find_fault(self, before: Sequence[Part], after: Sequence[Part]) -> str | None:
        """Return what is wrong with the translations of some texts, or None."""
        cells = {
            segment.parts: (content, segment)
            for content in self.contents
            for segment in content.segments
        }
        for source, text in zip(_texts(before), _texts(after), strict=True):
            if source != text:
                content, segment = cells[source]
                if fault := content.find_fault(segment, text):
                    return fault
        return None


class _Table(_Contents):
    """A table of fixed width."""

    def __init__(
        self, lines: list[str], cells: list[Cell], contents: list[Rst], indent: str
    ) -> None:
        super().__init__(contents)
        self._lines, self._cells = lines, cells
        self.indent = indent

    def lines_with(self, parts: Sequence[Part]) -> list[str]:
        written = [text.split("\n") if text else [] for text in self._contents_with(parts)]
        return lay_out(self._lines, self._cells, written)


class _CsvCell(_Contents):
    """A cell of a csv-table with several lines; those after the first have the same margin."""

    def __init__(self, text: str, syntax: CsvSyntax) -> None:
        first, *others = text.splitlines()
        self.indent = min(
            (_indent_of(line) for line in others if line.strip()), key=len, default=""
        )
        lines = [first, *(line[len(self.indent) :] for line in others)]
        super().__init__([Rst("\n".join(lines), is_cell=True)])
        self._syntax = syntax

    def lines_with(self, parts: Sequence[Part]) -> list[str]:
        (text,) = self._contents_with(parts)
        return write_csv_cell(text, self._syntax, is_quoted=True).split("\n")


def _indent_of(line: str) -> str:
    return line[: len(line) - len(line.lstrip())]


def _texts(parts: Sequence[Part]) -> list[tuple[Part, ...]]:
    return [each[1:] for each in split_at_breaks(parts)]


def _placed_outside(content: Rst, starts: Sequence[int]) -> Iterator[OutsideText]:
    """Yield the text outside of the segments of a cell, whose lines start at `starts`."""
    for each in content.outside or ():
        for (line_start, line), start in zip(split_lines(content.source), starts, strict=False):
            begin = max(each.start, line_start) - line_start
            end = min(each.end, line_start + len(line)) - line_start
            if begin < end:
                yield OutsideText(start + begin, start + end, each.reason)


def _has_unsupported(content: Rst) -> bool:
    return any(each.is_language for each in content.outside or ())


def _normalize(name: str) -> str:
    """Return the name of a link target in the form in which docutils compares names."""
    return " ".join(name.split()).casefold()


def _inline_parts(text: str) -> Iterator[Part]:
    """Yield the parts of a text; of a link with its own target, only that is protected."""
    body = text.removesuffix("::")
    at = 0
    for found in _INLINE.finditer(body):
        yield from split_parts(body[at : found.start()]) if found.start() > at else ()
        if found["title"]:
            yield ProtectedSpan(f"{found['role'] or ''}`")
            yield found["text"]
            yield ProtectedSpan(found["goal"])
        elif shown := found["expansion"] or found["shown"]:
            yield ProtectedSpan(found["before"] or found["before2"])
            yield shown
            yield ProtectedSpan(found["after"] or found["after2"])
        else:
            yield ProtectedSpan(found[0])
        at = found.end()
    if at < len(body):
        yield from split_parts(body[at:])
    if body != text:
        yield ProtectedSpan("::", is_fixed=True)
