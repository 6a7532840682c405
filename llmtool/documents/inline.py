"""Markdown inline markup: split a paragraph into text and protected spans."""

from __future__ import annotations

import re
from collections.abc import Container, Iterator

from llmtool.documents.protected_spans import split_parts
from llmtool.documents.types import Part, ProtectedSpan

_MAX_BACKTICKS = 64
_TOKEN = re.compile(
    r"""
    (?P<escape>\\[!-/:-@\[-`{-~])
  | (?P<code>(?<!`)(?P<ticks>`{1,64})(?!`))
  | (?P<entity>&(?:[A-Za-z][A-Za-z0-9]{1,31}|\#\d{1,7}|\#[xX][0-9a-fA-F]{1,6});)
  | (?P<auto><(?:[A-Za-z][A-Za-z0-9+.-]{1,31}:[^\s<>]*|[\w.!\#$%&'*+/=?^`{|}~-]+@[\w.-]+)>)
  | (?P<comment><!--.{0,4000}?-->)
  | (?P<tag></?[A-Za-z][A-Za-z0-9-]*(?:\s[^<>]*)?/?>)
  | (?P<wiki>!?\[\[[^\[\]\n]{1,400}\]\](?![(\[]))
  | (?P<emoji>(?<![\w:]):(?:[a-z][a-z0-9_+-]*|[+-]1):(?![\w:]))
  | (?P<definition>\A:(?=[ \t]))
  | (?P<note>\[\^[^\]\s]+\]:?)
  | (?P<task>\A\[[ xX]\](?=\s))
  | (?P<target>(?<=\])\()
  | (?P<reference>(?<=\])\[[^\[\]]*\])
  | (?P<label>\[(?P<name>[^\[\]]+)\](?![\[(:]))
  | (?P<display>\$\$.{1,4000}?\$\$)
  | (?P<math>(?<![\\$\w])\$(?=[^\s$])[^$\n]*?[^\s$\\]\$(?![\w$]))
    """,
    re.VERBOSE | re.DOTALL,
)

_FIXED = re.compile(r"\[\^[^\]\s]+\]:|\[[ xX]\]\s|:[ \t]")


def split_inline(text: str, labels: Container[str] = ()) -> Iterator[Part]:
    """Yield the parts of a paragraph's source.

    Protected are code, link and image targets, references, wiki links, tags, entities, escapes,
    emoji names, the colon of a definition, footnotes and formulas. Emphasis and the brackets of
    links stay in the text, because models preserve them well. `labels` are the normalized labels of
    the document's references, so that `[label]` without a target is recognized as a link.

    Example:
        >>> list(split_inline("Run `ls`, see [the *manual*](http://x)."))[-2:]
        [ProtectedSpan(source='(http://x)'), '.']
    """
    at = 0
    for start, end in _protected_ranges(text, labels):
        if start > at:
            yield from split_parts(text[at:start])
        yield ProtectedSpan(text[start:end], is_fixed=not start and bool(_FIXED.match(text)))
        at = end
    if at < len(text):
        yield from split_parts(text[at:])


def normalize(label: str) -> str:
    """Return a label in the form in which CommonMark compares labels."""
    return " ".join(label.split()).casefold()


def _protected_ranges(text: str, labels: Container[str]) -> Iterator[tuple[int, int]]:
    at = 0
    closing = _code_ends(text)
    while (found := _TOKEN.search(text, at)) is not None:
        start, end = found.span()
        if found["code"] or found["target"]:
            last = closing.get(start) if found["code"] else _target_end(text, start)
            if last is None:
                at = end
                continue
            end = last
        elif found["label"] and normalize(found["name"]) not in labels:
            at = start + 1
            continue
        yield start, end
        at = end


def _code_ends(text: str) -> dict[int, int]:
    """Return the end of each code span, by its start."""
    ends: dict[int, int] = {}
    next_end: dict[int, int] = {}  # of the following run, by its length
    for start, end in reversed([found.span() for found in re.finditer("`+", text)]):
        length = end - start
        if length in next_end and length <= _MAX_BACKTICKS:
            ends[start] = next_end[length]
        next_end[length] = end
    return ends


def _target_end(text: str, start: int) -> int | None:
    """Return the end of the link target that begins with the parenthesis at `start`, or None."""
    depth, at = 0, start
    quote = ""
    while at < len(text) and at - start < 4000:
        c = text[at]
        if c == "\\":
            at += 1
        elif quote:
            if c == quote:
                quote = ""
        elif c in "\"'" and text[at - 1].isspace():
            quote = c
        elif c == "(":
            depth += 1
        elif c == ")":
            depth -= 1
            if depth == 0:
                return at + 1
        at += 1
    return None
