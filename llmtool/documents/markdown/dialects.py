"""The dialects of Markdown, and the constructs of each."""

from __future__ import annotations

import re

from llmtool.documents.types import Dialect

_SHARED = frozenset({"footnotes", "math"})
_CONSTRUCTS: dict[str, frozenset[str]] = {
    "commonmark": frozenset(),
    "github": _SHARED | {"callouts"},
    "mkdocs": _SHARED
    | {"admonitions", "slashes", "attributes", "definitions", "abbreviations", "snippets"}
    | {"templates", "callouts", "mkdocstrings", "code pipes"},
    "kramdown": _SHARED | {"attributes", "templates", "definitions", "abbreviations"},
    "obsidian": _SHARED | {"callouts", "wiki", "hashtags"},
    "docusaurus": _SHARED | {"containers", "components", "mdx", "attributes"},
    "mdx": _SHARED | {"components", "mdx", "containers", "callouts", "attributes"},
    "hugo": _SHARED | {"templates", "attributes", "definitions", "callouts"},
    "myst": _SHARED
    | {"myst", "myst comments", "containers", "attributes", "definitions", "templates"},
}
# In other dialects these are text: a line that begins with "% ", `{x y}` and `#word`; and a pipe in
# code ends a cell.
_AMBIGUOUS = {"mdx", "myst comments", "hashtags", "code pipes"}
_EVERYWHERE = frozenset().union(*_CONSTRUCTS.values()) | {"components", "grid tables"}
_MDX = re.compile(
    r"^import\s+(?:[\w${*][^\n]*(?:[^\S\n]|\n\s*)from\s+)?['\"][^'\"\n]+['\"];?[ \t]*$"
    r"|^export\s+(?:const|let|default|function|async)\s[^\n]*[={(;][^\n]*$|^\{/\*"
    r"|<[A-Z][\w.]*\s(?:[^<>\n]*\s)?[\w-]+=\{",
    re.MULTILINE,
)
# A directive is not a cell of Quarto or R Markdown, such as ```{python}.
_MYST = re.compile(
    r"^\([\w:. -]+\)=[ \t]*$"
    r"|^(?:`{3,}|~{3,}|:{3,})\{(?!(?:r|python|julia|bash|sql|ojs|dot|css|js)\b)[\w:+-]+\}"
    r"|\{(?:ref|doc|term|numref|eq|abbr|cite\S*|py:\w+)\}`|^jupytext:|^kernelspec:",
    re.MULTILINE,
)
_SCRIPT = re.compile(r"^<script\b(?:(?!</script)[^\0]){0,100000}", re.MULTILINE)
_FENCE = re.compile(r"[ \t>]*(`{3,}|~{3,})")
_CODE_FENCE = re.compile(rf"{_FENCE.pattern}(?!\{{)")  # not of a directive


def constructs_of(dialect: Dialect, text: str) -> frozenset[str]:
    """Return the constructs of a dialect; `auto` means those that the text can have.

    Example:
        >>> sorted(constructs_of("github", ""))
        ['callouts', 'footnotes', 'math']
        >>> "mdx" in constructs_of("auto", "import Tabs from '@theme/Tabs';")
        True
    """
    if dialect != "auto":
        return _CONSTRUCTS[dialect]
    found = _EVERYWHERE - _AMBIGUOUS
    if _MDX.search(_without_code(text, _FENCE)):
        found |= {"mdx"}
    elif _MYST.search(_without_code(text, _CODE_FENCE)):
        found |= {"myst comments"}
    return found


def _without_code(text: str, opening: re.Pattern[str]) -> str:
    """Return a text without its scripts, and the blocks that a line which matches opens."""
    lines, fence = [], ""
    for line in _SCRIPT.sub("", text).splitlines():
        found = opening.match(line)
        if found and not fence:
            fence = found[1]
        elif fence:
            if line.strip(" \t>").startswith(fence):
                fence = ""
        else:
            lines.append(line)
    return "\n".join(lines)
