"""Markdown for notebooks: no text of a model becomes HTML, a link or an image."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from llmtool.text.notebook import code_block, safe_markdown, table

HARMLESS = {"p", "em", "strong", "h1", "h2", "ul", "ol", "li", "hr", "br", "code", "pre"}
HARMLESS |= {"blockquote", "table", "thead", "tbody", "tr", "th", "td", "s"}


def render(markdown: str) -> str:
    return str(MarkdownIt("commonmark", {"html": True}).enable(["table"]).render(markdown))


def tags(html: str) -> set[str]:
    return set(re.findall(r"<([a-zA-Z!?][^\s>/]*)", html))


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "![x](https://example.org/pixel.png)",
        "[x](javascript:alert(1))",
        r"\[x](javascript:alert(1)) \\[y](javascript:alert(1))",
        "[x]\n\n[x]: javascript:alert(1)",
        "<https://example.org>",
        "`a\n`<script>`",
        "- ```\n<script>\n```",
        "```\n<script>\n```\n<script>",
        "```\na\n````\n<script>\n```",
        "~~~ `\n```\n~~~\n<script>\n```",
        "a | b\n--|--\n`x | <script>`",
        "``` `\n<script>",
        "> ```\n<script>",
    ],
)
def test_markup_is_shown_as_text(text: str) -> None:
    assert tags(render(safe_markdown(text))) <= HARMLESS
    assert tags(render(table(["text"], [[text]]))) <= HARMLESS
    assert tags(render(code_block(text, text))) <= {"pre", "code"}


PARTS = ["`", "``", "```", "~~~", "\n", "\\", "<script>", "<img>", "[x]", "(javascript:x)"]
PARTS += ["![", "]", "|", "--|--", "- ", "> ", "   ", "a", "&lt;", "$$", ": /x", "<a@b.c>", "1. "]


@given(st.lists(st.sampled_from(PARTS), max_size=24).map("".join))
def test_any_text_is_shown_as_text(text: str) -> None:
    assert tags(render(safe_markdown(text))) <= HARMLESS
    assert tags(render(f"{safe_markdown(text)}\n\n---\n\n{safe_markdown(text)}")) <= HARMLESS


def test_formatting_and_code_are_preserved() -> None:
    block = "1. Then\n   ```py\n   x = a < b\n   ```"
    html = render(safe_markdown(f"# Map\n\nUse *one* `map<k, v>`:\n\n{block}\n\nDone, 3 > 2."))
    assert "<h1>Map</h1>" in html and "<em>one</em>" in html
    assert "<code>map&lt;k, v&gt;</code>" in html
    assert '<code class="language-py">x = a &lt; b\n</code>' in html
    assert "Done, 3 &gt; 2." in html


def test_indented_code_in_a_block_is_preserved() -> None:
    text = "```py\n    x = 1\n```"
    assert safe_markdown(text) == text


def test_table_has_literal_cells() -> None:
    html = render(table(("label", "score"), [("a|b *c*\nd", "0.9")]))
    assert "<td>a|b *c* d</td>" in html and "<td>0.9</td>" in html
