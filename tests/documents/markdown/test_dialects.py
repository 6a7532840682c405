"""Documents in dialects of Markdown keep their structure, by parsers that `llmtool` does not use.

The files in `dialects/` are written for these tests.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import markdown
import mistune
import pytest
from documents.rewriting import rewrite
from offenders import every

from llmtool.documents.formats import parse
from llmtool.documents.types import (
    Dialect,
    Document,
    Part,
    Segment,
    find_unaccounted,
    split_at_breaks,
)

FILES = sorted((Path(__file__).parent / "dialects").rglob("*.md*"))
MKDOCS_EXTENSIONS = [
    "admonition", "attr_list", "def_list", "footnotes", "md_in_html", "tables", "toc", "abbr",
    "pymdownx.details", "pymdownx.superfences", "pymdownx.tabbed", "pymdownx.tasklist",
    "pymdownx.blocks.admonition", "pymdownx.blocks.details", "pymdownx.arithmatex",
    "pymdownx.keys", "pymdownx.mark", "pymdownx.tilde",
]  # fmt: skip
MISTUNE_PLUGINS = ["table", "strikethrough", "footnotes", "task_lists", "def_list", "math"]
CHANGES: dict[str, Callable[[str], str]] = {
    "accents": lambda text: text.translate(str.maketrans("aeiouAEIOU", "áéíóúÁÉÍÓÚ")),
    "swapped case": str.swapcase,
    "reversed words": lambda text: re.sub(
        r"[^\W\d_]+(?: [^\W\d_]+)+", lambda found: " ".join(reversed(found[0].split())), text
    ),
    "longer words": lambda text: re.sub(r"[^\W\d_]{4,}", r"\g<0>\g<0>", text),
    "Chinese": lambda text: re.sub(r"[^\W\d_]+ ?", "译文", text),
}


def change_segments(document: Document, change: Callable[[str], str]) -> str:
    changed: dict[int, tuple[Part, ...]] = {}
    for index, segment in enumerate(document.segments):
        parts = change_parts(segment, change)
        if document.find_fault(segment, parts) is None:
            changed[index] = parts
    # At most a few emphasized words become text, beside CJK punctuation.
    assert len(changed) >= 0.9 * len(document.segments)
    return rewrite(document, changed)


def change_parts(segment: Segment, change: Callable[[str], str]) -> tuple[Part, ...]:
    return tuple(change(part) if isinstance(part, str) else part for part in segment.parts)


def outline(path: Path, text: str) -> list[str]:
    """Return the structure of a document without its text, by the parser of its dialect."""
    text = re.sub(r"\A(---|\+\+\+)\n.*?\n\1\n", "", text, count=1, flags=re.DOTALL)
    if path.parent.name in ("mkdocs", "material"):
        return html_outline(markdown.markdown(text, extensions=MKDOCS_EXTENSIONS))
    if path.parent.name == "myst":
        return myst_outline(text)
    render = mistune.create_markdown(renderer="html", escape=False, plugins=MISTUNE_PLUGINS)
    return html_outline(str(render(text)))


class _Tags(HTMLParser):
    """Collect tags, in order, and the text of code and formulas; anchors count, but not by name."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        kept = [
            (name, value)
            for name, value in attrs
            if name not in ("id", "alt", "title", "label", "text")
            and not (name == "href" and str(value).startswith("#"))
        ]
        self.found.append(f"<{tag} {kept}>")

    def handle_endtag(self, tag: str) -> None:
        self.found.append(f"</{tag}>")

    def handle_data(self, data: str) -> None:
        if self.found and re.match(r"<(code|script)\b", self.found[-1]):
            self.found.append(data)


def html_outline(html: str) -> list[str]:
    tags = _Tags()
    tags.feed(html)
    return tags.found


def myst_outline(text: str) -> list[str]:
    from docutils.core import publish_doctree
    from myst_parser.parsers.docutils_ import Parser

    settings = {
        "myst_enable_extensions": ["colon_fence", "deflist", "dollarmath", "attrs_block"],
        "report_level": 5,
        "halt_level": 5,
    }
    tree = publish_doctree(text, parser=Parser(), settings_overrides=settings)
    return [
        f"{node.tagname} {node.get('classes', '')}"
        for node in tree.findall()
        if node.tagname not in ("#text", "system_message", "problematic")
    ]


def ids(html: str) -> set[str]:
    return set(re.findall(r'\bid="([^"]+)"', html))


def test_there_are_at_least_ten_dialects_with_several_files() -> None:
    by_dialect = {path.parent.name: 0 for path in FILES}
    for path in FILES:
        by_dialect[path.parent.name] += 1
    assert len(by_dialect) >= 10
    assert min(by_dialect.values()) >= 2


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@every(path=FILES)
def test_structure_is_the_same_for_the_parser_of_the_dialect(
    path: Path, change: Callable[[str], str]
) -> None:
    text = path.read_text(encoding="utf-8")
    document = parse(text, "md", dialect="mdx" if path.suffix == ".mdx" else "auto")
    assert find_unaccounted(document) == []
    assert not any(each.is_language for each in document.outside or ())
    output = change_segments(document, change)
    assert output != text
    assert document.compare(output) is None
    assert outline(path, output) == outline(path, text)


@every(path=[path for path in FILES if path.parent.name in ("mkdocs", "material")])
def test_links_to_headings_work_for_python_markdown(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    output = change_segments(parse(text, "md"), CHANGES["reversed words"])
    html = markdown.markdown(output, extensions=MKDOCS_EXTENSIONS)
    links = set(re.findall(r'href="#([^"]+)"', html))
    assert links <= ids(html)


NAMED: dict[str, Dialect] = {
    "mkdocs": "mkdocs", "material": "mkdocs", "docusaurus": "docusaurus", "mdx": "mdx",
    "hugo": "hugo", "jekyll": "kramdown", "kramdown": "kramdown", "obsidian": "obsidian",
    "myst": "myst", "github": "github",
}  # fmt: skip


@every(path=[path for path in FILES if path.parent.name in NAMED])
def test_a_named_dialect_finds_the_same_text_as_its_detection(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    named = parse(text, "md", dialect=NAMED[path.parent.name])
    assert find_unaccounted(named) == []
    assert named.compare(change_segments(named, CHANGES["accents"])) is None
    detected = parse(text, "md")
    if path.parent.name not in ("mdx", "docusaurus"):
        assert [s.text for s in named.segments] == [s.text for s in detected.segments]


ONLY_NAMED: dict[str, tuple[Dialect, str, str]] = {
    "mkdocstrings": (
        "mkdocs",
        "## ::: a.B\n\nText\n::: package.module\n    options:\n      members:\n        - one\n\n"
        "- item\n\n    ::: package\n\n    more\n",
        "## ::: a.B\n\nTéxt\n::: package.module\n    options:\n      members:\n        - one\n\n"
        "- ítém\n\n    ::: package\n\n    móré\n",
    ),
    "pipes in code": (
        "mkdocs",
        "| `a|b` | B c |\n|---|---|\n| a `x|y` or ``z`|`` | cell |\n"
        "| `x\\|y` or \\| e | [`a|b`] |\n\n"
        "[`a|b`]: x.md\n",
        "| `a|b` | B c |\n|---|---|\n| á `x|y` ór ``z`|`` | céll |\n"
        "| `x\\|y` ór \\| é | [`a|b`] |\n\n"
        "[`a|b`]: x.md\n",
    ),
    "options and lists of MyST": (
        "myst",
        "```{toctree}\n:caption: One\n:maxdepth: 2\n\nA title <page>\nother\n```\n\n"
        "- item\n\n  :::{toctree}\n  A title <page>\n  :::\n\n"
        "```{code-block} python\n:caption: A title\n\none = 1\n```\n\n"
        "```{image} one.png\n:alt: One\n```\n\n```{csv-table} Title\n:file: one.csv\n```\n",
        "```{toctree}\n:caption: Óné\n:maxdepth: 2\n\nÁ títlé <page>\nother\n```\n\n"
        "- ítém\n\n  :::{toctree}\n  Á títlé <page>\n  :::\n\n"
        "```{code-block} python\n:caption: Á títlé\n\none = 1\n```\n\n"
        "```{image} one.png\n:alt: Óné\n```\n\n```{csv-table} Títlé\n:file: one.csv\n```\n",
    ),
    "examples": (
        "kramdown",
        '<div class="example" markdown="1">\nDefault label\n{: .label }\n'
        "```js\none = 1\n```\n</div>\n"
        "```markdown\nDefault label\n{: .label }\n```\n\n<p>One</p>\n{% highlight js %}\n"
        "two = 2\n{% endhighlight %}\nText\n\n<p>One</p>\ntwo `three`\n",
        '<div class="example" markdown="1">\nDéfáúlt lábél\n{: .label }\n'
        "```js\none = 1\n```\n</div>\n"
        "```markdown\nDefault label\n{: .label }\n```\n\n<p>Óné</p>\n{% highlight js %}\n"
        "two = 2\n{% endhighlight %}\nTéxt\n\n<p>Óné</p>\ntwó `three`\n",
    ),
    "hashtags": (
        "obsidian",
        "#project/active and #work\n\n# Head #2024-a\n\nOne#one, [a](#b) is #1\n\n- #alone\n",
        "#project/active ánd #work\n\n# Héád #2024-a\n\nÓné#óné, [á](#b) ís #1\n\n- #alone\n",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("dialect", "text", "expected"), ONLY_NAMED.values(), ids=ONLY_NAMED)
def test_syntax_of_a_named_dialect_stays(dialect: Dialect, text: str, expected: str) -> None:
    document = parse(text, "md", dialect=dialect)
    assert find_unaccounted(document) == []
    assert change_segments(document, CHANGES["accents"]) == expected
    assert document.compare(expected) is None
    if dialect == "mkdocs":
        before, after = (
            markdown.markdown(each, extensions=["tables"]) for each in (text, expected)
        )
        assert html_outline(before) == html_outline(after)


def test_each_line_before_a_definition_is_a_term() -> None:
    text = "One term\nAnother term\n: A definition\n  of both\n\nOne\ntwo\n\nthree\n"
    document = parse(text, "md", dialect="kramdown")
    runs = [split_at_breaks(segment.parts) for segment in document.segments]
    assert [len(run) for run in runs] == [2, 1, 1, 1]
    output = change_segments(document, CHANGES["Chinese"])
    assert output == "译文译文\n译文译文\n: 译文译文译文译文\n\n译文译文\n\n译文\n"
    before, after = (markdown.markdown(each, extensions=["def_list"]) for each in (text, output))
    assert html_outline(before) == html_outline(after)


def test_cells_are_those_of_python_markdown() -> None:
    text = ONLY_NAMED["pipes in code"][1]
    html = markdown.markdown(text, extensions=["tables"])
    cells = [re.sub("<[^>]*>", "", cell) for cell in re.findall("<td>(.*)</td>", html)]
    assert cells == ["a x|y or z`|", "cell", "x\\|y or | e", "[a|b]"]
    document = parse(text, "md", dialect="mkdocs")
    sources = [text[segment.start : segment.end] for segment in document.segments]
    assert sources == ["B c", "a `x|y` or ``z`|``", "cell", "`x\\|y` or \\| e"]
