"""Markdown inline markup: split a paragraph into text and protected spans."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from html import escape

from llmtool.documents.markdown.tags import MAX_LENGTH, braces_end, tag_end
from llmtool.documents.protected_spans import split_parts
from llmtool.documents.types import Part, ProtectedSpan, has_letters

_MAX_BACKTICKS = 64
_HIDDEN_PIPE = "\ue07c"
_MAX_UNCLOSED = 50  # braces and link targets in a text; each takes time up to its limit
MAX_PARENTHESES = 32  # nested in a link target, as in the parser
_MAX_TARGET = 4000
_TOKEN = re.compile(
    r"""
    (?P<command>\\@ref\([\w:-]+\)|(?<![\w\\])\\[A-Za-z]+\*?(?:\[[^\[\]\s]*\]|\{[^{}\s]*\})*)
  | (?P<latex>\\\((?P<formula>(?:(?!\\\()[^\n]){1,2000}?)\\\)
      |\\\[(?P<formula2>(?:(?!\\\[)[^\n]){1,2000}?)\\\])
  | (?P<escape>\\[!-/:-@\[-`{-~])
  | (?P<textrole>\{abbr\}`[^`\n(]*\((?P<expansion>[^`\n]*)\)`
      |\{(?:dfn|emphasis|strong|title-reference)\}`(?P<roletext2>[^`\n]*)`)
  | (?P<role>\{[\w:+-]+\}`(?P<roletext>[^`\n<]*?)(?:[ ]?<[^`<>\n]*>)?`)
  | (?P<code>(?<!`)(?P<ticks>`{1,64})(?!`))
  | (?P<entity>&(?:[A-Za-z][A-Za-z0-9]{1,31}|\#\d{1,7}|\#[xX][0-9a-fA-F]{1,6});)
  | (?P<auto><(?:[A-Za-z][A-Za-z0-9+.-]{1,31}:[^\s<>]*|[\w.!\#$%&'*+/=?^`{|}~-]+@[\w.-]+)>)
  | (?P<comment><!--.{0,4000}?-->|(?<!\S)%%[^\n]{1,4000}?%%)
  | (?P<template>\{\{[<%](?:(?!\{\{).){0,4000}?[>%]\}\}|\{\{(?:(?!\{\{).){0,4000}?\}\}
      |\{%(?:(?!\{%).){0,4000}?%\}|\{\#[\s-](?:(?!\{\#).){0,4000}?\#\})
  | (?P<attributes>\{:?[ ]*(?:[#.][\w-]|[\w-]+=)[^{}\n]*\}|\{:[^{}\n]*\}
      |(?<=\S)\{[ ]?[a-z]+(?:-[a-z]+)+[ ]?\}|\{[ ][a-z]+(?:-[a-z]+)+[ ]\}[ ]*\Z)
  | (?P<tag></?(?:[A-Za-z]|>))
  | (?P<braces>\{)
  | (?P<wiki>!?\[\[[^\[\]\n|]{1,400}(?:\\?\|(?P<shown>[^\[\]\n]{1,400}))?\]\](?![(\[]))
  | (?P<emoji>(?<![\w:]):(?:[a-z][a-z0-9_+-]*|[+-]1):(?![\w:]))
  | (?P<cite>\[-?@[^\[\]\s]+\])
  | (?P<mention>(?<![0-9A-Za-z_/.@])@[A-Za-z][A-Za-z0-9_:./-]*[A-Za-z0-9_])
  | (?P<hashtag>(?<!\S)\#[\w/-]*[^\W\d][\w/-]*)
  | (?P<keys>(?<!\w)\+\+[a-z0-9"_-]{1,40}(?:\+[a-z0-9"_-]{1,40})*\+\+(?!\w))
  | (?P<note>\[\^[^\[\]\s]+\]:?)
  | (?P<task>\A\[[ xX]\](?=\s))
  | (?P<target>(?<=\])\()
  | (?P<reference>(?<=\])\[[^\[\]]*\])
  | (?P<unresolved>\[(?P<text>[^\[\]]+)\](?=\[(?P<unknown>[^\[\]^][^\[\]]*)\]))
  | (?P<label>\[(?P<name>[^\[\]]+)\](?:\[\]|(?!\[(?!\^)|[(:])))
  | (?P<display>\$\$.{1,4000}?\$\$)
  | (?P<math>(?<![\\$0-9A-Za-z_])\$(?=[^\s$])[^$\n]*?[^\s$\\]\$(?![0-9A-Za-z_$]))
  | (?P<block>(?<=\s)\^[A-Za-z0-9-]+\Z)
    """,
    re.VERBOSE | re.DOTALL,
)
_START = re.compile(r"[\\{`&<%!\[:@#+($^]")  # the first character of each token
# A formula in \\( \\), not text in escaped parentheses.
_FORMULA = re.compile(r"[\\^_=+*/<>{}|\d]|\A\s*[A-Za-z](?:\s*[(,)'-]\s*[A-Za-z]?)*\s*\Z")
# From a price, with two words and without the syntax of a formula: "$5 today, or 4$".
_PROSE = re.compile(r"\$\d[^\\^_=]*[^\W\d_]{2,},? [^\W\d_]{2,}[^\\^_=]*\Z")
_CODE_TAG = re.compile(r"<(code|kbd|samp|var|tt|script|style|math|svg)(?=[\s>])", re.IGNORECASE)
_LABEL = re.compile(r"\[([^\[\]^@][^\[\]]*)\](?:\[\])?")
_COLLAPSED = re.compile(r"\[([^\[\]^@][^\[\]]*)\]\[\]")
_IN_TARGET = re.compile(r"\\.|[\"'()]", re.DOTALL)
_TEXT_BEFORE = re.compile(r"\[([^\[\]]+)\]\s\Z")
_MARKUP = re.compile(r"[`*_<>&\\{}$]")
_MAX_CODE = 4000
_MAX_LABEL = 1000  # characters, of CommonMark
_BEFORE_LABEL = re.compile(r"\[[^\[\]]+\]\[[^\]]")
_FIXED = re.compile(r"\[[ xX]\]\s")


def split_inline(
    text: str, labels: Container[str] = (), *, is_mdx: bool = False, has_hashtags: bool = False
) -> Iterator[Part]:
    """Yield the parts of a paragraph's source.

    Protected are code, link and image targets, references, tags, templates, attribute lists,
    entities, escapes, emoji names, footnotes, formulas, and the target of a wiki link or role.
    Emphasis and the brackets of links stay in the text, because models preserve them well. `labels`
    are the normalized labels of the document's references. A link whose text is its label,
    `[label]` or `[label][]`, gets the form `[text][label]`. In MDX, `{x}` is an expression; in
    Obsidian, `#word` is a tag.

    Example:
        >>> list(split_inline("Run `ls`, see [the *manual*](http://x)."))[-2:]
        [ProtectedSpan(source='(http://x)'), '.']
        >>> [part for part in split_inline("[[Page|the page]]")]
        [ProtectedSpan(source='[[Page|'), 'the page', ProtectedSpan(source=']]')]
    """
    at = 0
    for start, end in _protected_ranges(text, labels, is_mdx=is_mdx, has_hashtags=has_hashtags):
        if start > at:
            yield from split_parts(text[at:start])
        label = _LABEL.fullmatch(text, start, end)
        if label and normalize(label[1]) in labels and _is_link_text(text, start, label[1], labels):
            yield f"[{label[1]}]"
            yield ProtectedSpan(f"[{label[1]}]")
            at = end
            continue
        yield ProtectedSpan(text[start:end], is_fixed=not start and bool(_FIXED.match(text)))
        at = end
    if at < len(text):
        yield from split_parts(text[at:])


def without_repeated_labels(parts: Sequence[Part], collapsed: Container[str]) -> list[Part]:
    """Omit the label of each link whose text is its label; `collapsed` labels become `[]`."""
    found: list[Part] = []
    for previous, part in zip(("", *parts), parts, strict=False):
        if not (
            isinstance(part, ProtectedSpan)
            and part.source.startswith("[")
            and isinstance(previous, str)
            and previous.endswith(part.source)
        ):
            found.append(part)
        elif part.source[1:-1] in collapsed:
            found.append(ProtectedSpan("[]"))
    return found


def collapsed_labels(text: str) -> frozenset[str]:
    """Return the labels of the links that are written as `[label][]`."""
    return frozenset(_COLLAPSED.findall(text))


def split_html(parts: Iterable[Part], labels: Container[str], *, is_mdx: bool) -> Iterator[Part]:
    """Also protect the Markdown in the text of HTML, which many dialects parse."""
    for part in parts:
        if isinstance(part, ProtectedSpan):
            yield part
            continue
        for piece in split_inline(part, labels, is_mdx=is_mdx):
            if isinstance(piece, ProtectedSpan):
                piece = ProtectedSpan(escape(piece.source, quote=False))
            yield piece


def normalize(label: str) -> str:
    """Return a label in the form in which CommonMark compares labels."""
    return " ".join(label.split()).casefold()


def _is_link_text(text: str, start: int, label: str, labels: Container[str]) -> bool:
    """Return whether the label at `start` is also the text of the link, in words without markup."""
    is_reference = text[start - 1 : start] == "]" or (not start and _FIXED.match(text))
    # In the first Markdown, white space may separate the text of a link and its label.
    before = _TEXT_BEFORE.search(text, max(0, start - _MAX_LABEL), start)
    if before is not None and not _FIXED.match(text, before.start()):
        is_reference = is_reference or normalize(before[1]) not in labels
    # CommonMark sees a footnote or an undefined label after it as the label.
    is_reference = is_reference or _BEFORE_LABEL.match(text, start)
    return not is_reference and has_letters((label,)) and not _MARKUP.search(label)


def _protected_ranges(
    text: str, labels: Container[str], *, is_mdx: bool, has_hashtags: bool
) -> Iterator[tuple[int, int]]:
    at = n_unclosed = 0
    closing = _code_ends(text)
    while (first := _START.search(text, at)) is not None:
        found = _TOKEN.match(text, first.start())
        if found is None:
            at = first.end()
            continue
        start, end = found.span()
        if found["latex"] and not _FORMULA.search(found["formula"] or found["formula2"]):
            end = start + 2  # an escaped parenthesis
        elif found["code"] or found["target"] or found["tag"] or found["braces"]:
            is_long = (
                found["target"]
                or found["braces"]
                or (found["tag"] and "{" in text[start : start + MAX_LENGTH])
            )
            last = None
            if not is_long or n_unclosed < _MAX_UNCLOSED:
                last = _find_end(found, text, closing, is_mdx=is_mdx)
            if last is None:
                n_unclosed += bool(is_long)
                at = end
                continue
            end = last
        elif (
            (found["hashtag"] and not has_hashtags)
            or (found["math"] and _PROSE.match(found["math"]))
            or (found["label"] and normalize(found["name"]) not in labels)
            or (found["unresolved"] and not _is_link(found, labels))
        ):
            at = start + 1
            continue
        groups = ("shown", "expansion", "roletext2", "roletext")
        group = next((each for each in groups if found[each]), "shown")
        shown = found[group]
        if shown and any(map(str.isalpha, shown)) and _is_named_link(found):
            yield start, found.start(group)
            start = found.end(group)
        yield start, end
        at = end


def _is_link(found: re.Match[str], labels: Container[str]) -> bool:
    """Return whether a text is the label of a link, as that after it is not defined."""
    return normalize(found["text"]) in labels and normalize(found["unknown"]) not in labels


def _is_named_link(found: re.Match[str]) -> bool:
    """Return whether a wiki link or role has a text besides its target.

    What is embedded has a caption, or one word for its size or place.
    """
    if found["shown"]:
        return not found[0].startswith("!") or " " in found["shown"].strip()
    if found["textrole"]:
        return True
    return found[0][found.end("roletext") - found.start() :] != "`"


def _find_end(
    found: re.Match[str], text: str, closing: Mapping[int, int], *, is_mdx: bool
) -> int | None:
    """Return the end of code, a link target, a tag or braces, None if it is only text."""
    start = found.start()
    if found["code"]:
        return closing.get(start)
    if found["target"]:
        return _target_end(text, start)
    if found["braces"]:
        return braces_end(text, start) if is_mdx else None
    if found[0].endswith(">"):
        return found.end() if is_mdx else None
    end = tag_end(text, start)
    name = _CODE_TAG.match(text, start)
    if end is None or name is None or text.startswith("/>", end - 2):
        return end
    closing_tag = re.compile(rf"</{name[1]}\s*>", re.I).search(text, end, end + _MAX_CODE)
    return closing_tag.end() if closing_tag else end


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


def hide_pipes(text: str) -> str:
    """Replace the pipes in code in each line: in Python-Markdown, they do not end a cell.

    Example:
        >>> show_pipes(hide_pipes("| `x|y` | z |"))
        '| `x|y` | z |'
        >>> hide_pipes("| `x|y` | z |").count("|")
        3
    """
    if _HIDDEN_PIPE in text:
        return text
    return "\n".join(
        _hide_pipes_in_line(line) if "|" in line and "`" in line else line
        for line in text.split("\n")
    )


def _hide_pipes_in_line(line: str) -> str:
    pieces, at = [], 0
    ends = _code_ends(line)
    for start in sorted(ends):
        if start >= at and line[start - 1 : start] != "\\":
            pieces += [line[at:start], line[start : ends[start]].replace("|", _HIDDEN_PIPE)]
            at = ends[start]
    return "".join([*pieces, line[at:]])


def show_pipes(text: str) -> str:
    """Return a text with the pipes that `hide_pipes` replaced."""
    return text.replace(_HIDDEN_PIPE, "|")


def _target_end(text: str, start: int) -> int | None:
    """Return the end of the link target that begins with the parenthesis at `start`, or None."""
    if text.startswith("(data:", start):
        return text.find(")", start) + 1 or None
    depth, quote = 0, ""
    for found in _IN_TARGET.finditer(text, start, start + _MAX_TARGET):
        c = found[0]
        if quote:
            quote = "" if c == quote else quote
        elif c == "(":
            depth += 1
            if depth > MAX_PARENTHESES:
                return None
        elif c == ")":
            depth -= 1
            if depth == 0:
                return found.end()
        elif c in "\"'" and text[found.start() - 1].isspace():
            quote = c
    return None
