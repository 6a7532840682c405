"""How the translation of a segment of Markdown is written."""

from __future__ import annotations

import re

import msgspec

from llmtool.documents.csv_cells import CsvSyntax
from llmtool.documents.html.document import Html
from llmtool.documents.types import Segment

# Lines of a paragraph that are rows of a table, items of a list or lines of a block in dialects.
ROW = re.compile(
    r"\||\+[-=:+]|\\(?:begin|end)\{|%[ \t]|</?[A-Za-z][^<>]*>[ \t]*$|\{[{%][^{}]*[%}]\}[ \t]*$"
    r"|(?::[\w-]+:(?:`[^`]*`)?[ \t]*)+$"
)
ITEM = re.compile(
    r"\(@[\w-]*\)[ \t]|#\.[ \t]|:[\w.-]+:[ \t]"
    r"|\(?(?:[A-Za-z]|[ivxlc]{2,}|\d{1,3})\)[ \t]|[ivxa-h]+\.[ \t]|\(ref:"
)
LINE_BREAK = re.compile(r"[ \t]*\r?\n[ \t>]*")


class Layout(msgspec.Struct, frozen=True, kw_only=True):
    """How to write a segment; a paragraph of several lines is wrapped to `columns`."""

    # heading, setext heading, paragraph, cell, leading cell; of syntax: title, attribute, argument,
    # link title, csv cell; html; anchor; or the style of a value of the front matter
    kind: str
    columns: int = 0
    prefix: str = ""  # of each line but the first
    around: tuple[str, str] = ("", "")  # the rest of a directive, before and after its text
    inner: tuple[Html, Segment] | None = None  # of a block of HTML
    attribute: tuple[str, int, int] | None = None  # its tag, and where it is in the tag
    cell: tuple[CsvSyntax, bool] | None = None  # of a csv-table: whether it is in quotes


class MarkdownSegment(Segment, frozen=True, kw_only=True):
    layout: Layout


def layout_of(segment: Segment) -> Layout:
    assert isinstance(segment, MarkdownSegment)
    return segment.layout
