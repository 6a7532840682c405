"""Parse Markdown: CommonMark with tables, strikethrough and the blocks of dialects.

This and `documents/markdown/rendering.py` are the only importers of markdown_it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from llmtool.documents.markdown.blocks import ends_html, read_block
from llmtool.documents.markdown.directives import Rule
from llmtool.documents.markdown.front_matter import find_front_matter
from llmtool.documents.markdown.inline import MAX_PARENTHESES, hide_pipes, show_pipes
from llmtool.documents.markdown.tags import without_texts

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.rules_block import StateBlock
    from markdown_it.rules_core import StateCore
    from markdown_it.rules_inline import StateInline
    from markdown_it.token import Token

MAX_NESTING = 60
_MAX_UNCLOSED = 50
_TASK = re.compile(r"\A\[[ xX]\]\s")
_IN_DESTINATION = re.compile(r"\\[^ ]|[()\x00-\x20\x7f]")
_WIKI = re.compile(
    r"!?\[\[[^\[\]\n|]{1,400}(?:\\?\|(?=[^\[\]\n]{1,400}\]\](?![(\[]))|(?=\]\](?![(\[])))"
)
_ENDS_LATER = re.compile(r"(?!<)|<(?:[!?]|(?:script|pre|style|textarea)\b)", re.IGNORECASE)
# [label]: {% link a.md %}
_TEMPLATE_DEFINITION = re.compile(
    r"\[((?:[^\[\]\\]|\\.)+)\]:[ \t]*"
    r"(<?[^\s{}<>]*(?:(?:\{%[^{}\n]*%\}|\{\{[^{}\n]*\}\})[^\s{}<>]*)+>?)[ \t]*$"
)
_ROLE = re.compile(r"\{[\w:+-]+\}\Z")
_HIGHLIGHT = re.compile(r"(?<!=)==(?=[^\s=])[^=]*(?<=[^\s=])==(?!=)")
_EMPHASIS = {"strong_open": "bold text", "em_open": "italic text", "s_open": "deleted text"}
_EMPHASIS_ENDS = ("strong_close", "em_close", "s_close")


def parse_markdown(
    text: str, env: dict[str, object], constructs: frozenset[str], *, front: bool = True
) -> list[Token]:
    """Return the tokens of a text without CR; front matter and BOM count as blank.

    Of inline content, only that of headings is parsed; `InlineElements` parses the rest. `env`
    receives the link reference definitions.
    """
    end = find_front_matter(text) if front else 0
    text = re.sub(r"[^\n]", " ", text[:end]) + text[end:]
    if text.startswith("\ufeff"):
        text = text[1:]
    env["constructs"] = constructs
    parser = _parser(is_mdx="mdx" in constructs)
    if "code pipes" not in constructs or (hidden := hide_pipes(text)) == text:
        return parser.parse(text, env)
    tokens = parser.parse(hidden, env)
    for token in tokens:
        for each in (token, *(token.children or ())):
            each.content = show_pipes(each.content)
    return tokens


@lru_cache(maxsize=2)
def _parser(*, is_mdx: bool) -> MarkdownIt:
    from markdown_it import MarkdownIt, helpers
    from markdown_it.rules_block import html_block, lheading, list_block, paragraph, reference
    from markdown_it.rules_inline import image, link

    parser = MarkdownIt("commonmark", {"maxNesting": MAX_NESTING})
    parser.enable(["table", "strikethrough"])
    balanced = {"parseLinkDestination": _if_balanced(helpers.parseLinkDestination)}
    parser.helpers = SimpleNamespace(**{**vars(helpers), **balanced})  # type: ignore[assignment]
    if is_mdx:
        parser.disable("code")  # in MDX, indentation has no meaning
        for name, block in (("lheading", lheading), ("paragraph", paragraph)):
            parser.block.ruler.at(name, _up_to_indented(block))
        terminated = ["paragraph", "reference", "blockquote"]
        parser.block.ruler.at("list", _at_any_indent(list_block), {"alt": terminated})
    for name, rule in (("link", link), ("image", image)):
        parser.inline.ruler.at(name, _if_closed(rule))
    interrupts = ["paragraph", "reference", "blockquote"]
    parser.block.ruler.at("html_block", _up_to_markdown(html_block), {"alt": interrupts})
    parser.block.ruler.at("reference", _or_template(reference))
    terminated = ["paragraph", "reference", "blockquote", "list"]
    parser.block.ruler.before("table", "dialect", read_block, {"alt": terminated})
    parser.core.ruler.at("inline", _parse_headings)
    return parser


def _parse_headings(state: StateCore) -> None:
    for token, content in pairwise(state.tokens):
        if token.type == "heading_open":
            content.children = state.md.inline.parse(content.content, state.md, state.env, [])


def _if_closed(rule: Callable[[StateInline, bool], bool]) -> Callable[[StateInline, bool], bool]:
    """Return a rule for `[` that fails at once if the bracket is not closed.

    The parser would read the rest of the text at each of many brackets. It decides about a few, as
    a `]` may be in code.
    """

    def read(state: StateInline, silent: bool) -> bool:
        at = state.pos + (state.src[state.pos] == "!")
        last, unclosed = _brackets(state)
        return at <= last and at not in unclosed and rule(state, silent)

    return read


def _brackets(state: StateInline) -> tuple[int, frozenset[int]]:
    """Return the position of the last `]`, and those of `[` that are not closed, if they are many.

    They are cached by the identity of the text: to compare long texts takes as long as to read one.
    """
    cache: dict[int, tuple[str, int, frozenset[int]]] = state.env.setdefault("brackets", {})
    text = state.src
    if id(text) not in cache:
        cache[id(text)] = text, text.rfind("]"), _unclosed(text)  # the id is valid while it exists
    return cache[id(text)][1:]


def _unclosed(text: str) -> frozenset[int]:
    opened: list[int] = []
    for found in re.finditer(r"\\.|[\[\]]", text, re.DOTALL):
        if found[0] == "[":
            opened.append(found.start())
        elif found[0] == "]" and opened:
            opened.pop()
    return frozenset(opened if len(opened) > _MAX_UNCLOSED else ())


def _if_balanced(read: Callable[[str, int, int], Any]) -> Callable[[str, int, int], Any]:
    """Return a reader of link destinations that first searches for unbalanced parentheses.

    The parser reads up to 32 links, character by character, at each that is not closed.
    """

    def read_balanced(text: str, start: int, end: int) -> Any:
        level = 0
        for found in _IN_DESTINATION.finditer(text, start, end):
            if found[0] == "(":
                level += 1
                if level > MAX_PARENTHESES:
                    break
            elif found[0] == ")" and level:
                level -= 1
            elif found[0][0] != "\\":
                break
        is_open = level and not text.startswith("<", start)
        return read("", 0, 0) if is_open else read(text, start, end)

    return read_balanced


def _up_to_markdown(rule: Rule) -> Rule:
    """Return the rule for HTML so that a line of a container or a link definition ends it.

    In MDX, so does every block that ends a paragraph.
    """

    def read(state: StateBlock, line: int, end: int, silent: bool) -> bool:
        start = state.bMarks[line] + state.tShift[line]
        is_tag = not silent and not _ENDS_LATER.match(state.src, start)
        if is_tag:
            at = line + 1
            is_mdx = "mdx" in state.env["constructs"]
            while at < end and not state.isEmpty(at) and not ends_html(state, at):
                if is_mdx and _ends_paragraph(state, at):
                    break
                at += 1
            end = at if at < end and not state.isEmpty(at) else end
        return rule(state, line, end, silent)

    return read


def _or_template(rule: Rule) -> Rule:
    """Return the rule for link definitions, of which the target may be a template with spaces."""

    def read(state: StateBlock, line: int, end: int, silent: bool) -> bool:
        start = state.bMarks[line] + state.tShift[line]
        found = _TEMPLATE_DEFINITION.match(state.src, start, state.eMarks[line])
        if found is None or "templates" not in state.env["constructs"] or state.is_code_block(line):
            return rule(state, line, end, silent)
        if not silent:
            target = {"title": "", "href": found[2], "map": [line, line + 1]}
            state.env.setdefault("references", {}).setdefault(_label(found[1]), target)
            state.line = line + 1
        return True

    return read


def _label(text: str) -> str:
    """Return the label of a link as the parser compares it."""
    from markdown_it.common.utils import normalizeReference

    return normalizeReference(text)


def _ends_paragraph(state: StateBlock, line: int) -> bool:
    parent, state.parentType = state.parentType, "paragraph"
    rules = state.md.block.ruler.getRules("paragraph")
    found = any(rule(state, line, state.lineMax, True) for rule in rules)
    state.parentType = parent
    return found


def _up_to_indented(rule: Rule) -> Rule:
    """Return the rule for a paragraph or heading so that also an indented block ends it."""

    def read(state: StateBlock, line: int, end: int, silent: bool) -> bool:
        line_max = state.lineMax
        for at in range(line + 1, line_max):
            if state.isEmpty(at):
                break
            if _ends_paragraph(state, at):
                if state.sCount[at] - state.blkIndent > 3:
                    state.lineMax = at
                break
        try:
            return rule(state, line, min(end, state.lineMax), silent)
        finally:
            state.lineMax = line_max

    return read


def _at_any_indent(rule: Rule) -> Rule:
    """Return the rule for a list without the limit to how far an item is indented."""

    def read(state: StateBlock, line: int, end: int, silent: bool) -> bool:
        indent, state.listIndent = state.listIndent, -1
        try:
            return rule(state, line, end, silent)
        finally:
            state.listIndent = indent

    return read


class InlineElements:
    """Counts the elements of inline content that must not change, once for each text.

    Most of a text and its translation is counted as a part and again with the whole.
    """

    def __init__(self, constructs: frozenset[str]) -> None:
        self._parser = _parser(is_mdx="mdx" in constructs)
        self._references: Mapping[str, Mapping[str, Any]] = {}
        self._targets: dict[str, str] = {}  # of the references
        self._counted: dict[str, Counter[str]] = {}

    def count(self, content: str, references: Mapping[str, Mapping[str, Any]]) -> Counter[str]:
        """Return the number of each element of a text; references are by label."""
        if references is not self._references:
            targets = {label: reference["href"] for label, reference in references.items()}
            if targets != self._targets:
                self._targets, self._counted = targets, {}
            self._references = references
        if content not in self._counted:
            tokens = self._parser.inline.parse(
                content, self._parser, {"references": references}, []
            )
            self._counted[content] = _count_elements(content, tokens)
        return self._counted[content]


def skeleton(
    tokens: Sequence[Token], anchors: Mapping[str, int], count: Callable[[str], Counter[str]]
) -> list[tuple[object, ...]]:
    """Return each block as its line, its type, and everything that must not change.

    `anchors` are the indexes of headings by their slugs, and `count` returns the elements of inline
    content.
    """
    found: list[tuple[object, ...]] = []
    line = 0
    for token in tokens:
        line = token.map[0] + 1 if token.map else line
        if token.type == "inline":
            elements = count(token.content).items()
            found.append((line, "text", sorted((_locate(e, anchors), n) for e, n in elements)))
        else:
            has_content = token.type in ("fence", "code_block", "directive")
            content = token.content if has_content else ""
            attributes = sorted((str(k), str(v)) for k, v in token.attrs.items())
            info = without_texts(token.info) if token.type == "fence" else token.info
            found.append((line, token.type, token.tag, token.level, info, content, attributes))
    return found


def _count_elements(content: str, tokens: Iterable[Token]) -> Counter[str]:
    counted: Counter[str] = Counter(_TASK.findall(content))
    if "[[" in content:
        counted.update("[[#" if "[#" in link else link for link in _WIKI.findall(content))
    texts, before = [], ""
    emphasis: list[str] = []  # that is open
    for token in tokens:
        if token.type == "link_open":
            counted[f"link {token.attrGet('href')}"] += 1
        elif token.type == "image":
            counted[f"image {token.attrGet('src')}"] += 1
            counted += _count_elements(token.content, token.children or ())
        elif token.type == "code_inline":
            # The text of a role is translated: {ref}`text <target>`
            is_role = bool(_ROLE.search(before))
            code = token.content
            if is_role:
                code = code[code.rfind("<") :] if "<" in code else ""
            counted[f"code {code}"] += 1
        elif token.type == "html_inline":
            counted[f"tag {' '.join(without_texts(token.content).split())}"] += 1
        elif token.type == "hardbreak":
            counted["line break"] += 1
        elif token.type in _EMPHASIS:
            emphasis.append(_EMPHASIS[token.type])
            counted[" in ".join(reversed(emphasis[-_MAX_NESTING:]))] += 1
        elif token.type in _EMPHASIS_ENDS:
            emphasis.pop()
        before = token.content
        texts.append("x" if "inline" in token.type else before)
    # The parser does not know ==highlighted== text.
    if "==" in content:
        counted["highlighted text"] += len(_HIGHLIGHT.findall("".join(texts)))
    return +counted


_MAX_NESTING = 8  # levels of emphasis that are distinguished; hostile text has thousands
_HREF = re.compile(r"""(\shref\s*=\s*["'])(#[^"']+)""")


def _locate(element: str, anchors: Mapping[str, int]) -> str:
    """Return an element with the index of a heading in place of its slug."""
    if "#" not in element:
        return element
    if element.startswith("link "):
        return f"link {_target(element.removeprefix('link '), anchors)}"
    if element.startswith("tag "):
        return _HREF.sub(lambda found: found[1] + _target(found[2], anchors), element)
    return element


def _target(href: str, anchors: Mapping[str, int]) -> str:
    from llmtool.documents.markdown.anchors import fragment

    if href.startswith("#") and (slug := fragment(href)) in anchors:
        return f"heading {anchors[slug]}"
    return href
