"""Tags of HTML, JSX and templates: where they end, and which of their attributes are text."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator

from llmtool.documents.html.elements import (
    COMPONENT_ATTRIBUTES,
    DATA_ATTRIBUTES,
    GUESSED_ATTRIBUTES,
    is_prose,
)

MAX_LENGTH = 4000
_TEXT_ATTRIBUTES = (
    f"{COMPONENT_ATTRIBUTES}|alt|title|placeholder|aria-(?:label|description|placeholder|valuetext)"
    "|summary|fig-(?:alt|cap|title)|lst-cap|tbl-cap"
)
# In an attribute list of kramdown, no space is needed: {:title="A title"}
_ATTRIBUTE = re.compile(
    rf"""(?:(?<=\s)|(?<=\{{:)|(?<=\{{))(?P<name>{_TEXT_ATTRIBUTES}
    |(?P<guessed>{DATA_ATTRIBUTES}|(?-i:{GUESSED_ATTRIBUTES})))
    \s*=\s*(?:"(?P<double>[^"]*)"|'(?P<single>[^']*)')""",
    re.IGNORECASE | re.VERBOSE,
)
# An argument without a name is text if it has a space: {{< note "Heads up" >}}.
_ARGUMENT = re.compile(r"""(?<=\s)(?:"(?P<double>[^"\s]+\s[^"]*)"|'(?P<single>[^'\s]+\s[^']*)')""")
_TEMPLATE = re.compile(
    r"\{\{<.*?>\}\}|\{\{%.*?%\}\}|\{\{\{.*?\}\}\}|\{\{.*?\}\}|\{%.*?%\}|\{#[\s-].*?#\}", re.DOTALL
)
_NAME = re.compile(r"</?([A-Za-z][\w.:-]*)?(?=[\s/>])")
_TAG_SYNTAX = re.compile("[\"'`{}<>]")
_BRACES_SYNTAX = re.compile('["`{}]')
_QUOTE_END = {'"': re.compile('["\n]'), "`": re.compile("[`\n]")}
_FILE_NAME = re.compile(r"[\w./~-]*\w\.[a-z][a-z0-9]{0,4}")
_META_TAG = re.compile(
    r"<(?:meta|input|param|data)\b", re.IGNORECASE
)  # `content`, `label`, … are code


def tag_end(
    text: str, start: int, limit: int | None = None, max_length: int = MAX_LENGTH
) -> int | None:
    """Return the end of the HTML or JSX tag at `start`, None if there is none.

    Quotes and braces may contain `>`.

    Example:
        >>> tag = "<Card icon={<Rocket />} title='a > b'>"
        >>> tag_end(tag + "text", 0) == len(tag)
        True
    """
    name = _NAME.match(text, start)
    if name is None:
        return None
    at, depth = name.end(), 0
    last = len(text) if limit is None else limit
    stop = min(last, start + max_length)
    while found := _TAG_SYNTAX.search(text, at, stop):
        at, c = found.end(), found[0]
        if c in "\"'`":
            close = text.find(c, at, stop)
            if text.startswith("data:", at):
                close = text.find(c, at, last)
                stop = min(last, stop + max(close, at) - at)
            if close < 0:
                return None
            at = close + 1
        elif c == "{":
            depth += 1
        elif c == "}":
            depth -= 1
        elif depth <= 0 and c == ">":
            return at
        elif not depth and c == "<":
            return None
    return None


def braces_end(
    text: str, start: int, limit: int | None = None, max_length: int = MAX_LENGTH
) -> int | None:
    """Return the end of the braces that open at `start`, None if they are not closed."""
    depth, at = 0, start
    stop = min(len(text) if limit is None else limit, start + max_length)
    while found := _BRACES_SYNTAX.search(text, at, stop):
        at, c = found.end(), found[0]
        if c in _QUOTE_END:
            close = _QUOTE_END[c].search(text, at, stop)
            if close is None:
                return None
            at = close.end()
        else:
            depth += 1 if c == "{" else -1
            if not depth:
                return at
    return None


def template_end(text: str, start: int, limit: int, max_length: int = MAX_LENGTH) -> int | None:
    """Return the end of the shortcode or Liquid tag at `start`, None if there is none."""
    stop = min(limit, start + max_length)
    found = _TEMPLATE.match(text, start, stop)
    return found.end() if found else None


def text_attributes(tag: str) -> Iterator[tuple[int, int, str]]:
    """Yield the start, end and name of each attribute value in a tag that is text.

    Example:
        >>> tag = "<img src='a.png' alt='A cat'>"
        >>> [(tag[start:end], name) for start, end, name in text_attributes(tag)]
        [('A cat', 'alt')]
    """
    for start, end, found in _candidates(tag):
        value, groups = tag[start:end], found.groupdict()
        if groups.get("guessed") and not is_prose(value):
            continue
        if any(map(str.isalpha, value)) and not _FILE_NAME.fullmatch(value):
            yield start, end, (groups.get("name") or "").lower()


def _candidates(tag: str) -> Iterator[tuple[int, int, re.Match[str]]]:
    """Yield the start and end of each attribute value that may be text, and its match."""
    if _META_TAG.match(tag):
        return
    is_template = tag.startswith(("{{", "{%", "{#"))  # no expression of MDX
    starts: list[int] = []
    for pattern in [_ATTRIBUTE, _ARGUMENT] if is_template else [_ATTRIBUTE]:
        for found in pattern.finditer(tag):
            group = "double" if found["double"] is not None else "single"
            start, end = found.span(group)
            # An argument can be HTML with attributes: '<span title="One">'
            if pattern is _ATTRIBUTE or bisect_left(starts, start) == bisect_left(starts, end):
                yield start, end, found
            if pattern is _ATTRIBUTE:
                starts.append(start)


def without_texts(tag: str) -> str:
    """Return a tag without the attribute values that are text.

    Example:
        >>> without_texts("<img src='a.png' alt='A cat'>")
        "<img src='a.png' alt=''>"
    """
    for start, end in sorted({each[:2] for each in _candidates(tag)}, reverse=True):
        tag = tag[:start] + tag[end:]
    return tag
