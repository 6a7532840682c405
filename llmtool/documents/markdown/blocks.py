"""Blocks of Markdown dialects, as a rule of markdown-it.

CommonMark sees most of them as paragraphs. A line of syntax becomes a token of type `directive`:
its `info` names the syntax, its `content` is all that must not change, and `meta["texts"]` are the
texts in it, each as `Text`. What the syntax contains is parsed as usual, so that it can be nested.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

import msgspec

from llmtool.documents.html.elements import ELEMENTS
from llmtool.documents.markdown.tags import (
    braces_end,
    tag_end,
    template_end,
    text_attributes,
)

if TYPE_CHECKING:
    from markdown_it.rules_block import StateBlock

_INDENT = 4
_VERBATIM_ELEMENTS = frozenset("pre script style svg math textarea code".split())
_VERBATIM_TEMPLATES = frozenset(
    "raw verbatim highlight comment code codeblock mermaid math katex plantuml".split()
)
# MyST directives whose content is code or a list of files; of a fence, only the others are parsed.
_CODE_DIRECTIVES = re.compile(
    r"code|code-block|code-cell|sourcecode|literalinclude|math|mermaid|toctree|eval-rst|csv-table"
    r"|raw|include|bibliography|image|doctest|testcode|parsed-literal|prompt|plantuml|graphviz"
    r"|contents|tableofcontents|auto\w+|py:\w+|jupyter-execute|video|iframe|embed|only|highlight"
)
_TEXT_DIRECTIVES = re.compile(
    r"admonition|attention|caution|danger|error|hint|important|note|seealso|tip|warning|topic"
    r"|sidebar|versionadded|versionchanged|deprecated|figure|table|list-table|dropdown|card|grid"
    r"|grid-item|grid-item-card|tab-set|tab-item|details|epigraph|highlights|pull-quote|glossary"
    r"|margin|aside|exercise|solution|proof|prf:\w+|theorem|definition|example|rubric|container"
    r"|div|todo|compound|line-block"
)
_PATH_DIRECTIVES = frozenset("figure grid container div glossary tab-set".split())

Kind = Literal["title", "attribute"]


class Text(msgspec.Struct, frozen=True):
    """A text in a line of syntax, from `start` to `end` of the parsed source."""

    start: int
    end: int
    kind: Kind = "title"


Rule = Callable[["StateBlock", int, int, bool], bool]
_ADMONITION = re.compile(
    r'(?:!!!|\?\?\?\+?)[ \t]?[ \t]*[\w-]+(?:[ \t]+[\w-]+)*(?:[ \t]+"(?P<title>.*)")?[ \t]*$'
    r'|\?\?\?\+?[ \t]+"(?P<only>.*)"[ \t]*$'
)
_TAB = re.compile(r'={3}(?:\+!?|!\+?)?[ \t]+"(?P<title>.*)"[ \t]*$')
_SLASHES = re.compile(r"/{3,}[ \t]*(?:(?P<name>[\w-]+)(?:[ \t]*\|[ \t]*(?P<title>.*?))?)?[ \t]*$")
_COLONS = re.compile(
    r":{3,}[ \t]*(?:\{(?P<directive>[\w:+-]+)\}|\{(?P<attributes>[^{}]*)\}|(?P<name>[\w.-]+))?"
    r"(?:\[(?P<label>.*)\])?(?P<after>\{[^{}]*\})?(?:[ \t]+(?P<title>[^\s{].*?))?"
    r"(?P<last>[ \t]*\{[^{}]*\})?[ \t]*:*[ \t]*$"
)
_FENCE = re.compile(
    r"(?P<fence>`{3,}|~{3,})\{(?P<directive>[\w:+-]+)\}[ \t]*(?P<title>[^`]*?)[ \t]*$"
)
_OPTION = re.compile(r":(?P<name>[\w-]+):(?:[ \t]+(?P<value>.*?))?[ \t]*$")
_TEXT_OPTION = re.compile(r"alt|caption|title|header|footer")
_DEFINITION = re.compile(r":[ \t]+(?=\S)")
_FOOTNOTE = re.compile(r"\[\^[^\]\s]+\]:[ \t]*")
_CALLOUT = re.compile(r"\[!(?P<type>[^\[\]\n]+)\][+-]?(?:\s+(?P<title>\S.*?))?[ \t]*$")
_ABBREVIATION = re.compile(r"\*\[[^\]]+\]:[ \t]+(?P<title>\S.*?)[ \t]*$")
_ATTRIBUTES = re.compile(
    r"\{:[^{}]*\}[ \t]*$|\{[ \t]*[#.][^{}]*\}[ \t]*$|\{::[^{}]*/?\}[ \t]*$"
    r"""|\{[ \t]*(?:[\w-]+=(?:"[^"\n]*"|'[^'\n]*'|[^\s{}"']+)[ \t]*)+\}[ \t]*$"""
)
_EXTENSION = re.compile(r"\{::(comment|nomarkdown)[^{}]*(?<!/)\}")
_LINK_DEFINITION = re.compile(r"\[[^\[\]]+\]:[ \t]+[^\s<]\S*[ \t]*$")
_ESM = re.compile(
    r"import\s+(?:[\w${*][^\n]*\s+from\s*)?['\"]"
    r"|import\s*(?:(?:type\s+)?[\w$]+\s*,\s*)?[{*][^;'\"]*$"
    r"|export\s+(?:default|const|let|var|function|async|class|type|interface|\{|\*)"
)
# One line, and a block up to a line that matches the second expression.
_LINES: dict[str, tuple[tuple[str, re.Pattern[str]], ...]] = {
    "(": (("target", re.compile(r"\([^()\n]+\)=[ \t]*$")),),
    "[": (("directive", re.compile(r"\[TOC\][ \t]*$|\[\[_?toc_?\]\][ \t]*$", re.I)),),
    "^": (("block id", re.compile(r"\^[A-Za-z0-9-]*[ \t]*$")),),
    "-": (("directive", re.compile(r"-+8<-+[ \t]+\S.*$")),),
    "%": (("comment", re.compile(r"%%.*%%[ \t]*$")),),
    "<": (("directive", re.compile(r"<<<[ \t]+@?\S+.*$")),),
}
_RANGES: dict[str, tuple[tuple[str, re.Pattern[str], str], ...]] = {
    "$": (("formula", re.compile(r"\$\$(?!.*\$\$)"), r"\$\$"),),
    "\\": (
        ("formula", re.compile(r"\\\[(?!.*\\\])"), r"\\\]"),
        ("formula", re.compile(r"\\begin\{(?P<name>[\w*]+)\}"), r"\\end\{NAME\}"),
    ),
    "%": (("comment", re.compile(r"%%(?!.*%%)"), r"%%"),),
    "-": (("directive", re.compile(r"-+8<-+[ \t]*$"), r"^-+8<-+[ \t]*$"),),
}
_GRID = re.compile(r"\+(?:[-=:]{2,}\+)+[ \t]*$")
GRID_TABLE = "table of fixed width"
_DISPLAY = re.compile(r"\$\$.*\$\$[ \t]*$|\\\[.*\\\][ \t]*$")


def read_block(state: StateBlock, line: int, end: int, silent: bool) -> bool:
    """Read a block of a dialect; a block rule of markdown-it."""
    start = state.bMarks[line] + state.tShift[line]
    rules = _RULES.get(state.src[start : start + 1])
    if rules is None or state.is_code_block(line):
        return False
    constructs = state.env["constructs"]
    return any(
        construct in constructs and rule(state, line, end, silent) for construct, rule in rules
    )


def _line(state: StateBlock, line: int) -> str:
    return state.src[state.bMarks[line] + state.tShift[line] : state.eMarks[line]]


def ends_html(state: StateBlock, line: int) -> bool:
    """Return whether a line after HTML is of a container such as `:::`, or defines a link."""
    text = _line(state, line)
    is_container = "containers" in state.env["constructs"] and _COLONS.match(text)
    return bool(is_container or _LINK_DEFINITION.match(text))


def _directive(
    state: StateBlock, line: int, next_line: int, syntax: str, texts: list[Text] | None = None
) -> None:
    """Add lines of syntax, with the texts in them."""
    token = state.push("directive", "", 0)
    token.map = [line, next_line]
    token.info = syntax
    texts = sorted(texts or [], key=lambda text: text.start)
    at, pieces = state.bMarks[line] + state.tShift[line], []
    for text in texts:
        pieces.append(state.src[at : text.start])
        at = text.end
    pieces.append(state.src[at : state.eMarks[next_line - 1]])
    token.content = "…".join(pieces)
    token.meta = {"texts": texts}
    state.line = next_line


def _title(state: StateBlock, line: int, found: re.Match[str], *groups: str) -> list[Text]:
    start = state.bMarks[line] + state.tShift[line]
    texts = []
    for group in groups:
        if found[group] and any(map(str.isalpha, found[group])):
            begin, stop = found.span(group)
            texts.append(Text(start + begin, start + stop))
    return texts


def _attribute_texts(state: StateBlock, start: int, end: int) -> list[Text]:
    tag = state.src[start:end]
    return [Text(start + a, start + b, "attribute") for a, b, _ in text_attributes(tag)]


def _parse_content(
    state: StateBlock, line: int, end: int, kind: str, *, indent: int | None = None
) -> None:
    """Parse the lines of a container."""
    parent, line_max, old_indent = state.parentType, state.lineMax, state.blkIndent
    state.parentType, state.lineMax = "container", end
    state.blkIndent = state.blkIndent if indent is None else indent
    token = state.push(f"{kind}_open", "", 1)
    token.map = [line, end]
    state.md.block.tokenize(state, line, end)
    state.push(f"{kind}_close", "", -1)
    state.parentType, state.lineMax, state.blkIndent = parent, line_max, old_indent
    state.line = end


def _find_line(state: StateBlock, pattern: str, line: int, end: int) -> int | None:
    """Return the first line from `line` that contains a pattern, None if there is none.

    A search that found none is not repeated, so that unclosed blocks take linear time.
    """
    missing: set[tuple[str, int]] = state.env.setdefault("missing", set())
    if (pattern, end) in missing:
        return None
    expression = re.compile(pattern)
    for number in range(line, end):
        if state.sCount[number] < state.blkIndent and not state.isEmpty(number):
            return None
        if expression.search(_line(state, number)):
            return number
    missing.add((pattern, end))
    return None


def _close_or_end(state: StateBlock, pattern: str, line: int, end: int) -> tuple[int, int]:
    """Return the line that closes a block and the line after it; an unclosed block ends later."""
    close = _find_line(state, pattern, line, end)
    if close is not None:
        return close, close + 1
    while line < end and (state.isEmpty(line) or state.sCount[line] >= state.blkIndent):
        line += 1
    return line, line


# MkDocs


def _read_indented(state: StateBlock, line: int, end: int, silent: bool) -> bool:
    """Read an admonition or a tab, whose content is indented."""
    text = _line(state, line)
    found = (_TAB if text[0] == "=" else _ADMONITION).match(text)
    if found is None:
        return False
    if silent:
        return True
    next_line = last = line + 1
    indent = state.sCount[line] + _INDENT
    while next_line < end and (state.isEmpty(next_line) or state.sCount[next_line] >= indent):
        next_line += 1
        if not state.isEmpty(next_line - 1):
            last = next_line
    groups = ("title",) if text[0] == "=" else ("title", "only")
    _directive(state, line, line + 1, "directive", _title(state, line, found, *groups))
    if last > line + 1:
        _parse_content(state, line + 1, last, "admonition", indent=indent)
    return True


def _read_slashes(state: StateBlock, line: int, end: int, silent: bool) -> bool:
    found = _SLASHES.match(_line(state, line))
    if found is None:
        return False
    if silent:
        return True
    next_line = line + 1
    while found["name"] and next_line < end and state.sCount[next_line] >= state.sCount[line] + 4:
        next_line += 1  # options
    texts = [] if found["name"] == "html" else _title(state, line, found, "title")
    _directive(state, line, next_line, "directive", texts)
    return True


# Docusaurus, VitePress, Pandoc, MyST


def _read_colons(state: StateBlock, line: int, end: int, silent: bool) -> bool:
    found = _COLONS.match(_line(state, line))
    if found is None:
        return False
    if silent:
        return True
    name = found["directive"]
    if name and _CODE_DIRECTIVES.fullmatch(name):
        _, next_line = _close_or_end(state, r"^:{3,}[ \t]*$", line + 1, end)
        _directive(state, line, next_line, "directive")
        return True
    texts = _title(state, line, found, "label", *(() if name in _PATH_DIRECTIVES else ("title",)))
    start = state.bMarks[line] + state.tShift[line]
    for group in ("attributes", "after", "last"):
        if found[group]:
            begin, stop = found.span(group)
            texts += _attribute_texts(state, start + begin, start + stop)
    next_line = line + 1
    if name:
        next_line, options = _read_options(state, next_line, end)
        texts += options
    _directive(state, line, next_line, "directive", texts)
    return True


def _read_fence(state: StateBlock, line: int, end: int, silent: bool) -> bool:
    found = _FENCE.match(_line(state, line))
    if found is None or not _TEXT_DIRECTIVES.fullmatch(found["directive"]):
        return False
    if silent:
        return True
    mark = found["fence"]
    pattern = rf"^{mark[0]}{{{len(mark)},}}[ \t]*$"
    close, after = _close_or_end(state, pattern, line + 1, end)
    texts = [] if found["directive"] in _PATH_DIRECTIVES else _title(state, line, found, "title")
    next_line, options = _read_options(state, line + 1, close)
    _directive(state, line, next_line, "directive", texts + options)
    if found["directive"] == "glossary":
        for number in range(next_line, close):
            if words := re.match("(?P<words>.*[^\\W\\d_].*)", _line(state, number)):
                _directive(
                    state, number, number + 1, "directive", _title(state, number, words, "words")
                )
    elif next_line < close:
        _parse_content(state, next_line, close, "admonition")
    if close < after:
        _directive(state, close, after, "directive")
    return True


def _read_options(state: StateBlock, line: int, end: int) -> tuple[int, list[Text]]:
    """Return the line after the options of a directive, and the texts in them."""
    if line < end and _line(state, line).rstrip() == "---":
        close = _find_line(state, r"^---[ \t]*$", line + 1, end)
        return (line, []) if close is None else (close + 1, [])
    texts: list[Text] = []
    while line < end and (found := _OPTION.match(_line(state, line))):
        if _TEXT_OPTION.fullmatch(found["name"]):
            texts += _title(state, line, found, "value")
        line += 1
    return line, texts


# Pandoc


def _read_grid_table(state: StateBlock, line: int, end: int, silent: bool) -> bool:
    """Read a table of fixed width, whose columns a translation would break."""
    if not _GRID.match(_line(state, line)):
        return False
    next_line = line + 1
    while next_line < end and _line(state, next_line)[:1] in ("|", "+"):
        next_line += 1
    if not _GRID.match(_line(state, next_line - 1)) or next_line < line + 3:
        return False
    if not silent:
        _directive(state, line, next_line, GRID_TABLE)
    return True


# Extensions that several dialects share


def _read_definition(state: StateBlock, line: int, end: int, silent: bool) -> bool:
    """Read a definition, which follows a paragraph or another definition."""
    found = _DEFINITION.match(_line(state, line))
    if found is None or not line:
        return False
    if silent:
        return state.parentType == "paragraph"
    last = next((token for token in reversed(state.tokens) if token.level == state.level), None)
    # The term can be a comment that a plug-in replaces.
    if last is None or last.type not in ("paragraph_close", "definition_close", "html_block"):
        return False
    return _read_marked(state, line, end, found.end(), "definition", min(found.end(), _INDENT))


def _read_footnote(state: StateBlock, line: int, end: int, silent: bool) -> bool:
    found = _FOOTNOTE.match(_line(state, line))
    if found is None:
        return False
    return silent or _read_marked(state, line, end, found.end(), "footnote", _INDENT)


def _read_marked(
    state: StateBlock, line: int, end: int, width: int, kind: str, indent: int
) -> bool:
    """Parse a container whose first line begins after a marker of `width` characters."""
    old = state.bMarks[line], state.tShift[line], state.sCount[line]
    parent, old_indent = state.parentType, state.blkIndent
    begin = state.bMarks[line] + state.tShift[line] + width
    token = state.push(f"{kind}_open", "", 1)
    token.info = state.src[begin - width : begin].strip()
    state.blkIndent = min(state.sCount[line] + indent, state.blkIndent + _INDENT)
    state.bMarks[line], state.tShift[line] = begin, 0
    state.sCount[line] = state.blkIndent
    state.parentType = "container"
    if begin < state.eMarks[line]:
        state.md.block.tokenize(state, line, end)
    else:
        state.md.block.tokenize(state, line + 1, end)
        state.line = max(state.line, line + 1)
    state.bMarks[line], state.tShift[line], state.sCount[line] = old
    state.parentType, state.blkIndent = parent, old_indent
    token.map = [line, state.line]
    state.push(f"{kind}_close", "", -1)
    return True


def _read_callout(state: StateBlock, line: int, end: int, silent: bool) -> bool:
    found = None if silent else _CALLOUT.match(_line(state, line))
    if found is None:
        return False
    _directive(state, line, line + 1, "directive", _title(state, line, found, "title"))
    return True


def _read_abbreviation(state: StateBlock, line: int, end: int, silent: bool) -> bool:
    found = _ABBREVIATION.match(_line(state, line))
    if found is None:
        return False
    if not silent:
        _directive(state, line, line + 1, "directive", _title(state, line, found, "title"))
    return True


def _read_attributes(state: StateBlock, line: int, end: int, silent: bool) -> bool:
    text = _line(state, line)
    if not _ATTRIBUTES.match(text) and not _EXTENSION.match(text):
        return False
    if silent:
        return True
    next_line = line + 1
    if (extension := _EXTENSION.match(text)) and "{:/" not in text:
        pattern = rf"\{{:/(?:{extension[1]})?\}}"
        _, next_line = _close_or_end(state, pattern, line + 1, end)
    _directive(state, line, next_line, "comment" if extension else "attribute list")
    return True


def _read_line(state: StateBlock, line: int, end: int, silent: bool) -> bool:
    text = _line(state, line)
    for syntax, pattern in _LINES.get(text[0], ()):
        if pattern.match(text):
            if not silent:
                _directive(state, line, line + 1, syntax)
            return True
    return False


def _read_range(state: StateBlock, line: int, end: int, silent: bool) -> bool:
    """Read a formula or a comment of one or more lines."""
    text = _line(state, line)
    close: int | None = None
    syntax = "formula"
    if _DISPLAY.match(text):
        close = line
    for syntax_, opening, closing in _RANGES.get(text[0], ()) if close is None else ():
        found = opening.match(text)
        if found is None:
            continue
        name = found["name"] if "name" in opening.groupindex else ""
        closing = closing.replace("NAME", re.escape(name))
        if re.search(closing, text[found.end() :]):
            close = line
        else:
            close = _find_line(state, closing, line + 1, end)
        syntax = syntax_
        break
    if close is None:
        return False
    if not silent:
        _directive(state, line, close + 1, syntax)
    return True


# Templates, MDX


def _read_tags(state: StateBlock, line: int, end: int, silent: bool) -> bool:
    """Read lines that have only tags: of Hugo, Liquid or JSX."""
    src, start = state.src, state.bMarks[line] + state.tShift[line]
    limit = state.eMarks[end - 1]
    is_mdx = "mdx" in state.env["constructs"]
    at, texts = start, []
    verbatim = ""
    while at < limit and src[at] != "\n":
        after = _tag_end(src, at, limit, is_mdx=is_mdx)
        if after is None:
            return False
        texts += _attribute_texts(state, at, after)
        verbatim = verbatim or _verbatim_name(src[at:after])
        at = after
        while at < limit and src[at] in " \t":
            at += 1
    next_line = line + 1
    while next_line < end and state.bMarks[next_line] < at:
        next_line += 1
    if verbatim:
        close = _find_line(state, rf"\{{[{{%][<%]?-?\s*(?:/|end)\s*{verbatim}\b", line, end)
        if close is not None:
            next_line = max(next_line, close + 1)
    if not silent:
        _directive(state, line, next_line, "tag" if src[start] == "<" else "template", texts)
    return True


def _tag_end(src: str, at: int, limit: int, *, is_mdx: bool) -> int | None:
    if src.startswith("{", at):
        end = template_end(src, at, limit)
        if end is None and is_mdx:
            end = braces_end(src, at, limit)
        elif end is not None and src.startswith("{{", at) and src[at + 2] not in "<%{":
            return end if is_mdx else None  # {{ x }} is text
        return end
    if not src.startswith("<", at):
        return None
    name = re.compile(r"</?([A-Za-z][\w.:-]*)?").match(src, at)
    tag = name[1] if name else None
    if tag is None:
        return tag_end(src, at, limit) if is_mdx and src.startswith(("<>", "</>"), at) else None
    is_component = tag[0].isupper() and tag.lower() not in ELEMENTS
    if is_component or (is_mdx and tag not in _VERBATIM_ELEMENTS):
        return tag_end(src, at, limit)
    return None


def _verbatim_name(tag: str) -> str:
    found = re.match(r"\{(?:%-?|\{[<%])\s*([\w-]+)", tag)
    is_open = found and found[1] in _VERBATIM_TEMPLATES and not tag.rstrip("}>%").endswith("/")
    return found[1] if found and is_open else ""


def _read_esm(state: StateBlock, line: int, end: int, silent: bool) -> bool:
    """Read imports and exports, up to an empty line outside of braces."""
    if silent or state.level or not _ESM.match(_line(state, line)):
        return False
    next_line, depth = line, 0
    while next_line < end and (depth > 0 or not state.isEmpty(next_line)):
        text = _line(state, next_line)
        depth += sum(map(text.count, "{[(")) - sum(map(text.count, "}])"))
        next_line += 1
    _directive(state, line, next_line, "code")
    return True


def _read_comment_line(state: StateBlock, line: int, end: int, silent: bool) -> bool:
    """Read a comment or block break of MyST."""
    text = _line(state, line)
    if text[0] == "+" and not re.match(r"\+\+\+(?:[ \t].*)?$", text):
        return False
    if text.startswith("%%") or state.level:
        return False
    if not silent:
        _directive(state, line, line + 1, "comment" if text[0] == "%" else "directive")
    return True


# By the first character of a line: the group of constructs, and the rule.
_RULES: dict[str, tuple[tuple[str, Rule], ...]] = {
    "!": (("admonitions", _read_indented),),
    "?": (("admonitions", _read_indented),),
    "=": (("admonitions", _read_indented),),
    "/": (("slashes", _read_slashes),),
    ":": (("containers", _read_colons), ("definitions", _read_definition)),
    "`": (("myst", _read_fence),),
    "~": (("myst", _read_fence),),
    "{": (("attributes", _read_attributes), ("templates", _read_tags), ("mdx", _read_tags)),
    "<": (("snippets", _read_line), ("components", _read_tags)),
    "[": (
        ("footnotes", _read_footnote),
        ("callouts", _read_callout),
        ("snippets", _read_line),
    ),
    "*": (("abbreviations", _read_abbreviation),),
    "(": (("myst", _read_line),),
    "^": (("wiki", _read_line), ("attributes", _read_line)),
    "-": (("snippets", _read_line), ("snippets", _read_range)),
    "$": (("math", _read_range),),
    "\\": (("math", _read_range),),
    "%": (("wiki", _read_line), ("wiki", _read_range), ("myst comments", _read_comment_line)),
    "+": (("myst comments", _read_comment_line), ("grid tables", _read_grid_table)),
    "i": (("mdx", _read_esm),),
    "e": (("mdx", _read_esm),),
}
