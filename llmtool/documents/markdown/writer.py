"""Write translations as Markdown: escaped, wrapped, and with links to translated headings."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, cast
from urllib.parse import unquote

from llmtool.documents.csv_cells import write_csv_cell
from llmtool.documents.lines import display_width, wrap
from llmtool.documents.markdown import anchors, front_matter
from llmtool.documents.markdown.inline import without_repeated_labels
from llmtool.documents.markdown.layout import ITEM, LINE_BREAK, ROW, Layout
from llmtool.documents.markdown.source import MarkdownSource
from llmtool.documents.protected_spans import hide_protected, show_protected
from llmtool.documents.types import Part, ProtectedSpan

if TYPE_CHECKING:
    from markdown_it.token import Token

# Text at the start of a line that would begin another block. In Python-Markdown, #1 is a heading.
_BLOCK_START = re.compile(
    r"#|[-+*](?:\s|$)|\d{1,9}[.)](?:\s|$)|>|\||=+\s*$|-+\s*$|`{3}|~{3}|<[/!?a-zA-Z]"
    r"|:\s|\[[^\]]*\]:|[*_-](?:[ \t]*[*_-]){2,}\s*$|:?-+:?\s*\||!!!|\?\?\?|===|///|:::|\{[:%#{]"
    r"|\([^()]*\)=|%|\\\[|\\begin|\$\$|\[[!^]|\^|\*\[|-+8<|\+\+\+|(?:import|export)\b"
)
# Emphasis that CommonMark does not close, as a letter follows the punctuation in it.
_PUNCTUATION_IN_EMPHASIS = re.compile(
    r"(?<![*\w])(\*{1,2})(?=[^\s*])([^*\n]{0,400}?[^\s*、。，．：；！？])([、。，．：；！？]+)\1(?=[^\W_])"
)
_LINE_END = re.compile(r"\n[ \t>]*\Z")
_MIN_COLUMNS = 40


class Writer:
    """Writes the segments of a text, and remembers its translated headings and attributes."""

    def __init__(self, source: MarkdownSource) -> None:
        self._source = source
        self._new_slugs: dict[str, str] = {}
        self._new_titles: dict[str, str] = {}  # of headings, by the old ones
        self._new_attributes: dict[str, dict[tuple[int, int], str]] = {}  # by tag

    def set_headings(self, tokens: Sequence[Token]) -> None:
        """Compute the slugs of the headings in a translation of the whole text."""
        source = self._source
        headings = anchors.heading_texts(tokens)
        if len(headings) == len(source.headings):
            new = anchors.slugs(headings, source.rule)
            self._new_slugs = {
                old: slug for old, slug in zip(source.slugs, new, strict=True) if old != slug
            }
            self._new_titles = {
                old: new for (old, _), (new, _) in zip(source.headings, headings, strict=True)
            }

    def set_attribute(self, attribute: tuple[str, int, int], text: str | None) -> None:
        """Set the translation of an attribute in a tag; None is its own text."""
        tag, start, end = attribute
        if text is None:
            self._new_attributes.get(tag, {}).pop((start, end), None)
        else:
            text = _wrap_attribute(text, tag[start:end])
            self._new_attributes.setdefault(tag, {})[start, end] = text

    def renew(self, source: str) -> str:
        """Renew the spans that a source consists of: adjacent spans are joined."""
        if not self._new_slugs and not self._new_attributes:
            return source
        # As in a link, so that targets are recognized.
        spans = tuple(self._source.split(f"]{source}"))
        return "".join(
            span if isinstance(span, str) else self._renew_span(span.source) for span in spans
        )[1:]

    def _renew_span(self, source: str) -> str:
        """Return a protected span with its translated attributes and links to headings."""
        if source in self._new_attributes:
            new = source
            for (start, end), text in sorted(self._new_attributes[source].items(), reverse=True):
                new = new[:start] + text + new[end:]
            source = new
        if self._new_slugs and "#" in source and "`" not in source:
            for pattern in (anchors.PAGE_TARGET, anchors.PAGE_REFERENCE):
                source = pattern.sub(lambda found: f"{found[1]}#{self._new_slug(found[2])}", source)
        found = anchors.PAGE_HEADING.match(source)
        if found and found[2] in self._new_titles:
            source = found[1] + self._new_titles[found[2]] + source[found.end() :]
        return source

    def _new_slug(self, slug: str) -> str:
        return self._new_slugs.get(unquote(slug), slug)

    def write(self, layout: Layout, parts: Sequence[Part]) -> str:
        """Return the source of parts, escaped and wrapped for their place."""
        kind = layout.kind
        if kind.startswith(("yaml", "toml")):
            text = "".join(p if isinstance(p, str) else p.source for p in parts)
            return front_matter.write(text, cast("front_matter.Style", kind))
        if kind == "anchor":
            return self._new_slug("".join(p.source for p in parts if isinstance(p, ProtectedSpan)))
        quote = layout.around[0][-1:]
        text, protected = hide_protected(
            without_repeated_labels(parts, self._source.collapsed),
            lambda text: _escape(kind, quote, text),
        )
        text = text.strip(" \t")  # leading space would indent a list item
        if kind not in ("attribute", "argument"):
            text = _PUNCTUATION_IN_EMPHASIS.sub(r"\1\2\1\3", text)
        if layout.columns:
            columns = max(_MIN_COLUMNS, layout.columns - display_width(layout.prefix))
            newline = f"{self._source.newline}{layout.prefix}"
            text = "".join(
                newline.join(_wrap(line, columns, protected))
                for line in _split_at_line_breaks(text, protected)
            )
        text = show_protected(text, protected)
        if layout.cell:
            syntax, is_quoted = layout.cell
            return write_csv_cell(text, syntax, is_quoted=is_quoted)
        return text


def _split_at_line_breaks(text: str, protected: Sequence[str]) -> list[str]:
    """Split a text after each protected span that ends a line."""
    pieces, at = [], 0
    for found in re.finditer("[\U000f0000-\U000ffffd]", text):
        if _LINE_END.search(show_protected(found[0], protected)):
            pieces.append(text[at : found.end()])
            at = found.end()
    return [*pieces, text[at:]]


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


def _wrap_attribute(text: str, old: str) -> str:
    """Wrap the value of an attribute like the old one: a tag on one line could begin a block."""
    end = LINE_BREAK.search(old)
    if end is None:
        return text
    lines = wrap(text, max(map(display_width, old.split("\n"))), only_at_spaces=True)
    return end[0].join(lines if len(lines) > 1 else [*lines, ""])


def _wrap(text: str, columns: int, protected: list[str]) -> list[str]:
    """Wrap a text so that no line would begin another block.

    Lines end only at spaces, since a reader sees a line break as a space. Items and rows of
    dialects are not wrapped.
    """
    shown = show_protected(text, protected).lstrip()
    if ITEM.match(shown) or ROW.match(shown):
        return [text]
    lines: list[str] = []
    for line in wrap(text, columns, only_at_spaces=True):
        if lines and _BLOCK_START.match(show_protected(line, protected)):
            lines[-1] += " " + line
        else:
            lines.append(line)
    return lines
