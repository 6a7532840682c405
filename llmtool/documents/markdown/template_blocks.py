"""Blocks of tags and code: shortcodes of Hugo, Liquid, JSX, and imports and exports of MDX."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

from llmtool.documents.html.elements import ELEMENTS
from llmtool.documents.markdown.directives import (
    attribute_texts,
    find_line,
    line_text,
    push_directive,
)
from llmtool.documents.markdown.tags import MAX_LENGTH, braces_end, tag_end, template_end

if TYPE_CHECKING:
    from markdown_it.rules_block import StateBlock

_VERBATIM_ELEMENTS = frozenset("pre script style svg math textarea code".split())
# Not `raw`, whose content is Markdown in which tags are text.
_VERBATIM_TEMPLATES = frozenset(
    "highlight comment code codeblock mermaid math katex plantuml".split()
)
# {{< tab header="a.toml" lang="toml" >}}
_CODE_TEMPLATE = re.compile(r"\{\{[<%]\s*(?:tab|code[\w-]*)\s[^{}]*\blang(?:uage)?\s*=")
# JSX may hold the data of a page. Fewer unclosed tags are read that far, for linear time.
_MAX_LENGTH = 100_000
_MAX_UNCLOSED = {MAX_LENGTH: 500, _MAX_LENGTH: 20}  # tags of a document that are searched in vain
_ESM = re.compile(
    r"import\s+(?:[\w${*][^\n]*(?:[^\S\n]|\n\s*)from\s*)?['\"]"
    r"|import\s*(?:(?:type\s+)?[\w$]+\s*,\s*)?[{*][^;'\"]*$"
    r"|export\s+(?:default|const|let|var|function|async|class|type|interface|\{|\*)"
)


def read_tags(state: StateBlock, line: int, end: int, silent: bool) -> bool:
    """Read lines that have only tags: of Hugo, Liquid or JSX."""
    src, start = state.src, state.bMarks[line] + state.tShift[line]
    limit = state.eMarks[end - 1]
    is_mdx = "mdx" in state.env["constructs"]
    at, texts = start, []
    verbatim = ""
    while at < limit and src[at] != "\n":
        after = _tag_end(state, at, limit, is_mdx=is_mdx)
        if after is None and is_mdx and src[at] in "<{":
            after = _tag_end(state, at, limit, is_mdx=is_mdx, max_length=_MAX_LENGTH)
        if after is None:
            return False
        texts += attribute_texts(state, at, after)
        verbatim = verbatim or _verbatim_name(src[at:after])
        at = after
        while at < limit and src[at] in " \t":
            at += 1
    next_line = line + 1
    while next_line < end and state.bMarks[next_line] < at:
        next_line += 1
    if verbatim:
        close = find_line(state, rf"\{{[{{%][<%]?-?\s*(?:/|end)\s*{verbatim}\b", line, end)
        if close is not None:
            next_line = max(next_line, close + 1)
    if not silent:
        push_directive(state, line, next_line, "tag" if src[start] == "<" else "template", texts)
    return True


def _tag_end(
    state: StateBlock, at: int, limit: int, *, is_mdx: bool, max_length: int = MAX_LENGTH
) -> int | None:
    src = state.src

    def search(find_end: Callable[[str, int, int, int], int | None]) -> int | None:
        counts = state.env.setdefault("unclosed tags", Counter())
        if counts[max_length] >= _MAX_UNCLOSED[max_length]:
            return None
        end = find_end(src, at, limit, max_length)
        counts[max_length] += end is None
        return end

    if src.startswith("{", at):
        is_long = src.startswith(("{{", "{%", "{# ", "{#-"), at)  # others are attributes
        end = search(template_end) if is_long else template_end(src, at, limit)
        if end is None and is_mdx:
            end = search(braces_end)
        elif end is not None and src.startswith("{{", at) and src[at + 2] not in "<%{":
            return end if is_mdx else None  # {{ x }} is text
        return end
    if not src.startswith("<", at):
        return None
    name = re.compile(r"</?([A-Za-z][\w.:-]*)?").match(src, at)
    tag = name[1] if name else None
    if tag is None:
        is_fragment = is_mdx and src.startswith(("<>", "</>"), at)
        return search(tag_end) if is_fragment else None
    is_component = tag[0].isupper() and tag.lower() not in ELEMENTS
    if is_component or (is_mdx and tag not in _VERBATIM_ELEMENTS):
        return search(tag_end)
    return None


def _verbatim_name(tag: str) -> str:
    found = re.match(r"\{(?:%-?|\{[<%])\s*([\w-]+)", tag)
    if found is None or tag.rstrip("}>%").endswith("/"):
        return ""
    return found[1] if found[1] in _VERBATIM_TEMPLATES or _CODE_TEMPLATE.match(tag) else ""


def read_esm(state: StateBlock, line: int, end: int, silent: bool) -> bool:
    """Read imports and exports, up to an empty line outside of braces."""
    if silent or state.level or not _ESM.match(line_text(state, line)):
        return False
    next_line, depth = line, 0
    while next_line < end and (depth > 0 or not state.isEmpty(next_line)):
        text = line_text(state, next_line)
        depth += sum(map(text.count, "{[(")) - sum(map(text.count, "}])"))
        next_line += 1
    push_directive(state, line, next_line, "code")
    return True
