"""Blocks of Markdown dialects, as a rule of markdown-it.

CommonMark sees most of them as paragraphs. A line of syntax becomes a token of type `directive`:
its `info` names the syntax, its `content` is all that must not change, and `meta["texts"]` are the
texts in it, each as `Text`. What the syntax contains is parsed as usual, so that it can be nested.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from llmtool.documents.csv_cells import (
    CsvSyntax,
    find_csv_cells,
    find_csv_row,
    find_csv_syntax,
)
from llmtool.documents.markdown.directives import (
    Rule,
    Text,
    attribute_texts,
    close_or_end,
    find_line,
    line_text,
    parse_content,
    push_directive,
    title_texts,
)
from llmtool.documents.markdown.front_matter import find_values
from llmtool.documents.markdown.template_blocks import read_esm, read_tags
from llmtool.documents.prose import are_sentences, may_be_prose

if TYPE_CHECKING:
    from markdown_it.rules_block import StateBlock

_INDENT = 4
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
# Cells of Quarto, R Markdown and others.
_CELLS = re.compile(
    r"r|python|julia|bash|sh|sql|ojs|dot|css|js|webr(?:-r)?|pyodide(?:-python)?|stata"
)
_MAX_LINES = 100  # of a directive that are read to find sentences
_PATH_DIRECTIVES = frozenset("figure grid container div glossary tab-set".split())

_ADMONITION = re.compile(
    r'(?:!!!|\?\?\?\+?)[ \t]?[ \t]*[\w-]+(?:[ \t]+[\w-]+)*(?:[ \t]+"(?P<title>.*)")?[ \t]*$'
    r'|\?\?\?\+?[ \t]+"(?P<only>.*)"[ \t]*$'
)
_TAB = re.compile(r'={3}(?:\+!?|!\+?)?[ \t]+"(?P<title>.*)"[ \t]*$')
_IDENTIFIER = re.compile(r"(?:#{1,6}[ \t]*)?:::[ \t]?(?P<name>[\w.:/$-]*\w)[ \t]*$")
_SLASHES = re.compile(
    r"/{3,}[ \t]*(?:(?P<name>[\w-]+)(?:[ \t]*\|[ \t]*(?P<title>(?:.*[^ \t\n])?))?)?[ \t]*$"
)
_COLONS = re.compile(
    r":{3,}[ \t]*(?:\{(?P<directive>[\w:+-]+)\}|\{(?P<attributes>[^{}]*)\}|(?P<name>[\w.-]+))?"
    r"(?:\[(?P<label>.*)\])?(?P<after>\{[^{}]*\})?(?:[ \t]+(?P<title>[^\s{](?:[ \t]*[^ \t\n])*?))?"
    r"(?P<last>[ \t]*\{[^{}]*\})?(?:[ \t]*:+)?[ \t]*$"
)
_FENCE = re.compile(
    r"(?P<fence>`{3,}|~{3,})\{(?P<directive>[\w:+-]+)\}[ \t]*(?P<title>(?:[^`]*[^ \t\n`])?)[ \t]*$"
)
_OPTION = re.compile(r":(?P<name>[\w-]+):(?:[ \t]+(?P<value>(?:.*[^ \t\n])?))?[ \t]*$")
_FOLDED = re.compile(r":[ \t]+(?P<value>\S.*)")  # a line of a value after `:header: >`
_YAML_OPTION = re.compile(r"(?P<name>[\w-]+):(?:[ \t]+(?P<value>(?:.*[^ \t\n])?))?[ \t]*$")
_QUOTED_VALUE = re.compile(r"""\A(["'])(.+)\1\Z""")
_TEXT_OPTION = re.compile(r"alt|caption|title|header|footer")
_ENTRY = re.compile(r"(?P<title>[^<>]*[^<>\s])[ \t]+<[^<>]+>[ \t]*$")  # of a toctree
# In a cell of several lines: other blocks than one paragraph.
_BLOCKS = re.compile(r"\n[ \t]*(?:\n|[-*+>] |\d+[.)] |[`~]{3}|:{3})")
UNKNOWN_DIRECTIVE = "unknown directive"
CSV_TABLE = "the directive csv-table is not supported"
_DEFINITION = re.compile(r":[ \t]+(?=\S)")
_FOOTNOTE = re.compile(r"\[\^[^\]\s]+\]:[ \t]*")
_CALLOUT = re.compile(r"\[!(?P<type>[^\[\]\n]+)\][+-]?(?:\s+(?P<title>\S(?:.*[^ \t\n])?))?[ \t]*$")
_ABBREVIATION = re.compile(r"\*\[[^\]]+\]:[ \t]+(?P<title>\S(?:.*[^ \t\n])?)[ \t]*$")
_ATTRIBUTES = re.compile(
    r"\{:[^{}]*\}[ \t]*$|\{[ \t]*[#.][^{}]*\}[ \t]*$|\{::[^{}]*/?\}[ \t]*$"
    r"""|\{[ \t]*(?:[\w-]+=(?:"[^"\n]*"|'[^'\n]*'|[^\s{}"']+)[ \t]*)+\}[ \t]*$"""
)
_EXTENSION = re.compile(r"\{::(comment|nomarkdown)[^{}]*(?<!/)\}")
_CODE_START = re.compile(r"`{3,}[^`]*$|~{3,}|\{%-?\s*(?:highlight|raw|comment)\b")
_END_TAG = re.compile(r"</[A-Za-z][^<>]*>\s*$")
_PARSED_TAG = re.compile(r"<[A-Za-z][^<>]*\smarkdown(?:=[^<>]*)?>\s*$")
_LINK_DEFINITION = re.compile(r"\[[^\[\]]+\]:[ \t]+[^\s<]\S*[ \t]*$")
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
    "{": (("comment", re.compile(r"\{\{-?\s*/\*(?!.*\*/)"), r"\*/\s*-?\}\}[ \t]*$"),),
}
_GRID = re.compile(r"\+(?:[-=:]{2,}\+)+[ \t]*$")
# The columns of a table of Pandoc, and the lines around one with rows of several lines.
_COLUMNS = re.compile(r"-{3,}(?:[ ]+-{2,})+[ ]*$")
_DASHES = re.compile(r"-{3,}[ ]*$")
_MAX_HEADER = 10  # lines
_MAX_UNCLOSED = 50  # environments of LaTeX
GRID_TABLE = "table of fixed width"
_DISPLAY = re.compile(r"\$\$.*\$\$[ \t]*$|\\\[.*\\\][ \t]*$")


def read_block(state: StateBlock, line: int, end: int, silent: bool) -> bool:
    """Read a block of a dialect; a block rule of markdown-it."""
    start = state.bMarks[line] + state.tShift[line]
    constructs = state.env["constructs"]
    if "grid tables" in constructs and _read_dash_table(state, line, end, silent):
        return True
    rules = _RULES.get(state.src[start : start + 1])
    if rules is None or state.is_code_block(line):
        return False
    return any(
        construct in constructs and rule(state, line, end, silent) for construct, rule in rules
    )


def ends_html(state: StateBlock, line: int) -> bool:
    """Return whether a line after HTML is of a container such as `:::`, or defines a link.

    In dialects with attribute lists, code can follow an end tag, and Markdown a tag such as
    `<div markdown="1">`.
    """
    text, constructs = line_text(state, line), state.env["constructs"]
    is_container = "containers" in constructs and _COLONS.match(text)
    if "attributes" in constructs:
        before = line_text(state, line - 1)
        if _PARSED_TAG.match(before) or (_CODE_START.match(text) and _END_TAG.search(before)):
            return True
    return bool(is_container or _LINK_DEFINITION.match(text))


# MkDocs


def _read_indented(state: StateBlock, line: int, end: int, silent: bool) -> bool:
    """Read an admonition or a tab, whose content is indented."""
    text = line_text(state, line)
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
    push_directive(state, line, line + 1, "directive", title_texts(state, line, found, *groups))
    if last > line + 1:
        parse_content(state, line + 1, last, "admonition", indent=indent)
    return True


def _read_slashes(state: StateBlock, line: int, end: int, silent: bool) -> bool:
    found = _SLASHES.match(line_text(state, line))
    if found is None:
        return False
    if silent:
        return True
    next_line = line + 1
    while found["name"] and next_line < end and state.sCount[next_line] >= state.sCount[line] + 4:
        next_line += 1  # options
    texts = [] if found["name"] == "html" else title_texts(state, line, found, "title")
    push_directive(state, line, next_line, "directive", texts)
    return True


def _read_identifier(state: StateBlock, line: int, end: int, silent: bool) -> bool:
    """Read the name of an object that mkdocstrings documents, and its indented options."""
    found = _IDENTIFIER.match(line_text(state, line))
    # Without a dot, it can be a container of another dialect.
    if found is None or ("." not in found["name"] and "containers" in state.env["constructs"]):
        return False
    if silent:
        return True
    next_line = line + 1
    while (
        next_line < end
        and not state.isEmpty(next_line)
        and state.sCount[next_line] > state.sCount[line]
    ):
        next_line += 1
    push_directive(state, line, next_line, "directive")
    return True


# Docusaurus, VitePress, Pandoc, MyST


def _read_colons(state: StateBlock, line: int, end: int, silent: bool) -> bool:
    found = _COLONS.match(line_text(state, line))
    if found is None:
        return False
    if silent:
        return True
    name = found["directive"]
    if name and _CODE_DIRECTIVES.fullmatch(name):
        close, after = close_or_end(state, r"^:{3,}[ \t]*$", line + 1, end)
        _push_code(state, line, found, close, after)
        return True
    texts = title_texts(
        state, line, found, "label", *(() if name in _PATH_DIRECTIVES else ("title",))
    )
    start = state.bMarks[line] + state.tShift[line]
    for group in ("attributes", "after", "last"):
        if found[group]:
            begin, stop = found.span(group)
            texts += attribute_texts(state, start + begin, start + stop)
    next_line = line + 1
    if name:
        next_line, options = _read_options(state, next_line, end)
        texts += options
    push_directive(state, line, next_line, "directive", texts)
    return True


def _push_code(state: StateBlock, line: int, found: re.Match[str], close: int, after: int) -> None:
    """Add a directive whose content is not Markdown, with the texts in its options or its list."""
    name = found["directive"]
    is_table = name == "csv-table"
    next_line, texts = _read_options(state, line + 1, close)
    if is_table:
        texts = title_texts(state, line, found, "title")
        options, next_line = next_line, line + 1
    push_directive(state, line, next_line, "directive", texts)
    if is_table:
        for number, after_row, cells in _read_csv_cells(state, next_line, options, close):
            info = CSV_TABLE if cells is None else "directive"
            push_directive(state, number, after_row, info, cells or [])
        next_line = close
    elif name == "toctree":
        for number in range(next_line, close):
            entry = _ENTRY.match(line_text(state, number))
            titles = title_texts(state, number, entry, "title") if entry else []
            push_directive(state, number, number + 1, "directive", titles)
        next_line = close
    if next_line < after:
        push_directive(state, next_line, after, "code block")


def _read_csv_cells(
    state: StateBlock, line: int, rows: int, end: int
) -> Iterator[tuple[int, int, list[Text] | None]]:
    """Yield the lines of each option and row of a csv-table, and the texts of its cells.

    They are None if they are not supported. The options are before the line `rows`.
    """
    options: dict[str, str] = {}
    header: dict[int, int] = {}  # where its cells begin in each of its lines
    name = ""
    for number in range(line, rows):
        text = line_text(state, number)
        if found := _OPTION.match(text) or _YAML_OPTION.match(text):
            name = found["name"]
            options[name] = _QUOTED_VALUE.sub(r"\2", found["value"] or "")
        if name == "header":
            header[number] = found.start("value") if found else len(text) - len(text.lstrip(": "))
    syntax = find_csv_syntax(options)
    for number in range(line, rows):
        at = header.get(number, -1)
        texts = _cell_texts(state, number, number + 1, at, syntax) if at >= 0 else []
        yield number, number + 1, texts
    source = "\n".join(line_text(state, number) for number in range(rows, end))
    number = at = 0
    while rows + number < end:
        row = find_csv_row(source, at, syntax) if syntax else None
        if row is None:
            yield rows + number, end, None
            return
        first = rows + number
        number += source.count("\n", at, row[1]) + 1
        at = row[1] + 1
        yield first, rows + number, _cell_texts(state, first, rows + number, 0, syntax)


def _cell_texts(
    state: StateBlock, first: int, end: int, at: int, syntax: CsvSyntax | None
) -> list[Text] | None:
    """Return the texts of the cells in some lines, the first from `at`, None if not supported."""
    lines = [line_text(state, number) for number in range(first, end)]
    starts = [state.bMarks[number] + state.tShift[number] for number in range(first, end)]
    starts[0] += at
    lines[0] = lines[0][at:]
    source = "\n".join(lines)
    if state.src[starts[0] : starts[-1] + len(lines[-1])].split() != source.split():
        return None  # in a quotation
    cells = find_csv_cells(source, syntax) if syntax else None
    if syntax is None or cells is None or any(_BLOCKS.search(each.text) for each in cells):
        return None

    def position(offset: int) -> int:
        before = source[:offset]
        return starts[before.count("\n")] + offset - (before.rfind("\n") + 1)

    return [
        Text(
            start=position(cell.start),
            end=position(cell.end),
            kind="csv cell",
            text=cell.text,
            cell=(syntax, cell.is_quoted),
        )
        for cell in cells
        if any(map(str.isalpha, cell.text))
    ]


def _read_fence(state: StateBlock, line: int, end: int, silent: bool) -> bool:
    found = _FENCE.match(line_text(state, line))
    if found is None:
        return False
    is_code = _CODE_DIRECTIVES.fullmatch(found["directive"])
    is_known = is_code or _TEXT_DIRECTIVES.fullmatch(found["directive"])
    if not is_known and not _has_sentences(state, line + 1, end):
        return False
    if silent:
        return True
    mark = found["fence"]
    pattern = rf"^{mark[0]}{{{len(mark)},}}[ \t]*$"
    close, after = close_or_end(state, pattern, line + 1, end)
    if is_code:
        _push_code(state, line, found, close, after)
        return True
    has_title = (
        found["directive"] not in _PATH_DIRECTIVES if is_known else may_be_prose(found["title"])
    )
    texts = title_texts(state, line, found, "title") if has_title else []
    next_line, options = _read_options(state, line + 1, close)
    syntax = "directive" if is_known else UNKNOWN_DIRECTIVE
    push_directive(state, line, next_line, syntax, texts + options)
    if found["directive"] == "glossary":
        for number in range(next_line, close):
            if words := re.match("(?P<words>.*[^\\W\\d_].*)", line_text(state, number)):
                push_directive(
                    state,
                    number,
                    number + 1,
                    "directive",
                    title_texts(state, number, words, "words"),
                )
    elif next_line < close:
        parse_content(state, next_line, close, "admonition")
    if close < after:
        push_directive(state, close, after, "directive")
    return True


def find_unknown_directive(info: str) -> str | None:
    """Return the name of the directive of a fence, None if it is code or known.

    Example:
        >>> find_unknown_directive("{strange} x"), find_unknown_directive("{python}")
        ('strange', None)
    """
    found = _FENCE.match(f"```{info}")
    name = found["directive"] if found else None
    is_known = name is None or _CODE_DIRECTIVES.fullmatch(name) or _CELLS.fullmatch(name)
    return None if is_known else name


def _has_sentences(state: StateBlock, line: int, end: int) -> bool:
    """Return whether a directive, after its options, begins with a paragraph of sentences."""
    end = min(end, line + _MAX_LINES)
    while line < end and (state.isEmpty(line) or _OPTION.match(line_text(state, line))):
        line += 1
    lines = []
    while line < end and not state.isEmpty(line) and state.sCount[line] >= state.blkIndent:
        text = line_text(state, line)
        if text.startswith(("```", "~~~")):
            break
        lines.append(text)
        line += 1
    return are_sentences(" ".join(lines))


def _read_options(state: StateBlock, line: int, end: int) -> tuple[int, list[Text]]:
    """Return the line after the options of a directive, and the texts in them."""
    if line < end and line_text(state, line).rstrip() == "---":
        close = find_line(state, r"^---[ \t]*$", line + 1, end)
        return (line, []) if close is None else (close + 1, _yaml_texts(state, line, close))
    texts: list[Text] = []
    while line < end and (found := _OPTION.match(line_text(state, line))):
        is_text = _TEXT_OPTION.fullmatch(found["name"])
        while found:
            texts += title_texts(state, line, found, "value") if is_text else []
            line += 1
            found = _FOLDED.match(line_text(state, line)) if line < end else None
    return line, texts


def _yaml_texts(state: StateBlock, line: int, close: int) -> list[Text]:
    """Return the texts in options that are YAML between two lines."""
    start = state.bMarks[line] + state.tShift[line]
    yaml = state.src[start : state.eMarks[close]]
    return [
        Text(start=start + each.start, end=start + each.end, kind=each.style, text=each.text)
        for each in find_values(yaml, len(yaml), _TEXT_OPTION.pattern)
        if any(map(str.isalpha, each.text))
    ]


# Pandoc


def _read_dash_table(state: StateBlock, line: int, end: int, silent: bool) -> bool:
    """Read a table of Pandoc, after a blank line, whose columns are marked by dashes."""
    text = line_text(state, line)
    if silent or text.startswith((*"*+>#|`~=:", "- ")):
        return False
    is_framed = bool(_DASHES.match(text))
    if not _COLUMNS.match(text):
        at = line + 1
        last = min(end, at + _MAX_HEADER) if is_framed else min(end, at + 1)
        while at < last and not state.isEmpty(at) and not _COLUMNS.match(line_text(state, at)):
            at += 1
        if at >= last or state.isEmpty(at) or at + 1 >= end or state.isEmpty(at + 1):
            return False
    else:  # without a header, it ends like it begins
        at = line + 1
        while at < end and not state.isEmpty(at) and not _COLUMNS.match(line_text(state, at)):
            at += 1
        if at >= end or state.isEmpty(at):
            return False
    if is_framed:
        close = find_line(state, _DASHES.pattern, at + 1, end)
        if close is None:
            return False
        at = close
    while not is_framed and at + 1 < end and not state.isEmpty(at + 1):
        at += 1
    push_directive(state, line, at + 1, GRID_TABLE)
    return True


def _read_grid_table(state: StateBlock, line: int, end: int, silent: bool) -> bool:
    """Read a table of fixed width, whose columns a translation would break."""
    if not _GRID.match(line_text(state, line)):
        return False
    next_line = line + 1
    while next_line < end and line_text(state, next_line)[:1] in ("|", "+"):
        next_line += 1
    if not _GRID.match(line_text(state, next_line - 1)) or next_line < line + 3:
        return False
    if not silent:
        push_directive(state, line, next_line, GRID_TABLE)
    return True


# Extensions that several dialects share


def _read_definition(state: StateBlock, line: int, end: int, silent: bool) -> bool:
    """Read a definition, which follows a paragraph or another definition."""
    found = _DEFINITION.match(line_text(state, line))
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
    found = _FOOTNOTE.match(line_text(state, line))
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
    found = None if silent else _CALLOUT.match(line_text(state, line))
    if found is None:
        return False
    push_directive(state, line, line + 1, "directive", title_texts(state, line, found, "title"))
    return True


def _read_abbreviation(state: StateBlock, line: int, end: int, silent: bool) -> bool:
    found = _ABBREVIATION.match(line_text(state, line))
    if found is None:
        return False
    if not silent:
        push_directive(state, line, line + 1, "directive", title_texts(state, line, found, "title"))
    return True


def _read_attributes(state: StateBlock, line: int, end: int, silent: bool) -> bool:
    text = line_text(state, line)
    if not _ATTRIBUTES.match(text) and not _EXTENSION.match(text):
        return False
    if silent:
        return True
    next_line = line + 1
    if (extension := _EXTENSION.match(text)) and "{:/" not in text:
        pattern = rf"\{{:/(?:{extension[1]})?\}}"
        _, next_line = close_or_end(state, pattern, line + 1, end)
    start = state.bMarks[line] + state.tShift[line]
    texts = [] if extension else attribute_texts(state, start, start + len(text))
    push_directive(state, line, next_line, "comment" if extension else "attribute list", texts)
    return True


def _read_line(state: StateBlock, line: int, end: int, silent: bool) -> bool:
    text = line_text(state, line)
    for syntax, pattern in _LINES.get(text[0], ()):
        if pattern.match(text):
            if not silent:
                push_directive(state, line, line + 1, syntax)
            return True
    return False


def _read_range(state: StateBlock, line: int, end: int, silent: bool) -> bool:
    """Read a formula or a comment of one or more lines."""
    text = line_text(state, line)
    close: int | None = None
    syntax = "formula"
    if _DISPLAY.match(text):
        close = line
    for syntax_, opening, closing in _RANGES.get(text[0], ()) if close is None else ():
        found = opening.match(text)
        if found is None:
            continue
        name = found["name"] if "name" in opening.groupindex else ""
        # Each name has another end, so `find_line` reads the rest of the text for each.
        if name and state.env.get("unclosed environments", 0) >= _MAX_UNCLOSED:
            return False
        closing = closing.replace("NAME", re.escape(name))
        if re.search(closing, text[found.end() :]):
            close = line
        else:
            close = find_line(state, closing, line + 1, end)
            state.env["unclosed environments"] = state.env.get("unclosed environments", 0) + bool(
                name and close is None
            )
        syntax = syntax_
        break
    if close is None:
        return False
    if not silent:
        push_directive(state, line, close + 1, syntax)
    return True


def _read_comment_line(state: StateBlock, line: int, end: int, silent: bool) -> bool:
    """Read a comment or block break of MyST."""
    text = line_text(state, line)
    if text[0] == "+" and not re.match(r"\+\+\+(?:[ \t].*)?$", text):
        return False
    if text.startswith("%%") or state.level:
        return False
    if not silent:
        push_directive(state, line, line + 1, "comment" if text[0] == "%" else "directive")
    return True


# By the first character of a line: the group of constructs, and the rule.
_RULES: dict[str, tuple[tuple[str, Rule], ...]] = {
    "!": (("admonitions", _read_indented),),
    "?": (("admonitions", _read_indented),),
    "=": (("admonitions", _read_indented),),
    "/": (("slashes", _read_slashes),),
    "#": (("mkdocstrings", _read_identifier),),
    ":": (
        ("mkdocstrings", _read_identifier),
        ("containers", _read_colons),
        ("definitions", _read_definition),
    ),
    "`": (("myst", _read_fence),),
    "~": (("myst", _read_fence),),
    "{": (
        ("attributes", _read_attributes),
        ("templates", read_tags),
        ("templates", _read_range),
        ("mdx", read_tags),
    ),
    "<": (("snippets", _read_line), ("components", read_tags)),
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
    "i": (("mdx", read_esm),),
    "e": (("mdx", read_esm),),
}
