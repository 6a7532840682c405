"""Exporting sessions as Markdown, JSON and HTML."""

from __future__ import annotations

import json
from html.parser import HTMLParser

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from llmtool.documents.markdown.rendering import close_blocks, to_html
from llmtool.errors import UsageError
from llmtool.sessions.export import export, find_format
from llmtool.sessions.types import Attachment, Session, Turn

SESSION = Session(
    name="work",
    folder="/home/me",
    created_at="2026-11-26T10:40:18Z",
    model="starter",
    system="Be brief.",
    options={"temperature": 0.5},
    summary="They said hello.",
    turns=(
        Turn(
            user="What is this?\nSay it.",
            files=(Attachment(name="a.py", text='print("```")'),),
            text="A *program*:\n\n```py\nprint(1)\n```",
            reasoning="hm",
            model="m",
            created_at="2026-11-26T10:41:00Z",
        ),
        Turn(user="Again", text="It pr", finish_reason="interrupted"),
    ),
)
MARKDOWN = """\
# work

- started: 2026-11-26T10:40:18Z
- model: starter
- folder: /home/me
- options: temperature 0.5

## System prompt

> Be brief.

## Summary

> They said hello.

## Turn 1

> What is this?
> Say it.

File a.py:

````
print("```")
````

Reasoning:

> hm

A *program*:

```py
print(1)
```

## Turn 2

> Again

It pr

*(interrupted)*
"""


def test_markdown() -> None:
    assert export(SESSION, "md") == MARKDOWN


def test_json_contains_every_field() -> None:
    text = export(SESSION, "json")
    assert msgspec.json.decode(text, type=Session) == SESSION
    assert json.loads(text)["turns"][1] == {
        **dict.fromkeys(("sent", "reasoning", "model", "created_at"), ""),
        **dict.fromkeys(("prompt_tokens", "cached_tokens", "completion_tokens", "seconds"), 0),
        "decode_seconds": 0,
        "user": "Again",
        "files": [],
        "text": "It pr",
        "finish_reason": "interrupted",
        "seed": None,
        "exchange": None,
    }


def headings(markdown: str) -> list[str]:
    """Return the headings at the top level of a document, as CommonMark reads it."""
    tokens = MarkdownIt("commonmark").parse(markdown)
    return [
        inline.content
        for opened, inline in zip(tokens, tokens[1:], strict=False)
        if opened.type == "heading_open" and opened.level == 0
    ]


UNCLOSED = [
    "```py\nprint(1)",
    "```py\nprint(1)\n",
    "~~~~\nx\n~~~",
    "  ```\nx\n    ```",
    "- a\n\n  ```\n  x",
    "> ```\n> x",
    "1. a\n   ```\nx",
    "text <!-- never closed",
    "<!-- never closed",
    "<script>\n\nx",
    "<pre>\n\n```",
    "<![CDATA[\n\nx",
    "<?php\n\n```",
    "```\r\nx",
    "```\rx",
    "```",
    "`````\n```\n````",
    "a\n===\n\n    ```",
    "[x]: <",
    "\\",
    "<div>",
    "* * *\n- ",
    "| a |\n|---|\n| `",
]


@pytest.mark.parametrize("text", UNCLOSED)
def test_unclosed_markdown_does_not_affect_later_sections(text: str) -> None:
    file = Attachment(name="- # a`b\n1. <!--", text=text)
    turn = Turn(user=text, files=(file,), text=text, reasoning=text, finish_reason="length")
    session = Session(name="a_b", system=text, summary=text, turns=(turn, turn))
    found = [each for each in headings(export(session, "md")) if not each.startswith("a\n")]
    expected = ["System prompt", "Summary", "Turn 1", "Turn 2"]
    assert [each for each in found if each in expected] == expected
    assert found[0] == "a\\_b"


@given(
    st.lists(st.sampled_from(["```", "~~~", "````", "\n", "\n", "  ", "> ", "- ", "<!--", "-->"]))
)
def test_close_blocks_preserves_the_text_and_is_idempotent(parts: list[str]) -> None:
    text = "".join(parts)
    closed = close_blocks(text)
    assert text in closed
    assert headings(f"{closed}\n\n# after\n")[-1:] == ["after"]
    assert close_blocks(closed) == closed


class Page(HTMLParser):
    """The tags, attributes, links and visible text of an HTML page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.names: set[str] = set()
        self.links: list[str] = []
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.names |= {name for name, _ in attrs}
        self.links += [value or "" for name, value in attrs if name in ("href", "src")]

    def handle_data(self, data: str) -> None:
        self.text += data


HOSTILE = (
    "<script>alert(1)</script> <img src=x onerror=alert(1)> \"'></pre></div><!-- &amp; "
    "![p](https://e.org/p.png) [j](javascript:alert(1)) [d](data:text/html,x) [r](/etc/passwd) "
    '[w](https://e.org/"onclick=) <https://e.org/a> [m](mailto:a@e.org) [F](FILE:///x)\n\n'
    "```html\n</code><script>\n```\n\n| a |\n|---|\n| <b>x</b> |\n"
)


def test_html_has_no_scripts_or_external_resources() -> None:
    turn = Turn(
        user=HOSTILE,
        files=(Attachment(name=HOSTILE, text=HOSTILE),),
        text=HOSTILE,
        reasoning=HOSTILE,
        model=HOSTILE,
        created_at=HOSTILE,
    )
    session = Session(
        name=HOSTILE,
        folder=HOSTILE,
        created_at=HOSTILE,
        model=HOSTILE,
        system=HOSTILE,
        options={HOSTILE: HOSTILE},
        summary=HOSTILE,
        turns=(turn,),
    )
    page = Page(export(session, "html"))
    known = (
        "html head meta title style body h1 h2 dl dt dd div section details summary pre code p a"
    )
    assert page.tags <= {*known.split(), *"table thead tbody tr th td".split()}
    attributes = {"charset", "name", "content", "http-equiv", "id", "class", "href", "rel"}
    assert page.names <= attributes
    assert all(link.startswith(("https://e.org/", "mailto:a@e.org")) for link in page.links)
    assert len(page.links) == 4
    assert "url(" not in page.text and "@import" not in page.text
    assert page.text.count("<script>alert(1)</script>") >= 10


def test_html_contains_all_text() -> None:
    text = export(SESSION, "html")
    page = Page(text)
    for words in ["Be brief.", "They said hello.", "What is this?\nSay it.", 'print("```")', "hm"]:
        assert words in page.text
    assert "<em>program</em>" in text and '<code class="language-py">print(1)\n</code>' in text
    assert "(interrupted)" in page.text and "prefers-color-scheme: dark" in text


@pytest.mark.parametrize("prefix", [">", "- ", "> - ", "1. "])
@pytest.mark.parametrize("depth", [5, 25, 58, 70])
def test_deeply_nested_text_is_complete(prefix: str, depth: int) -> None:
    assert "heron" in to_html(f"{prefix * depth} heron")


@given(st.text(st.characters(exclude_categories=("Cs",)), max_size=200))
def test_html_of_any_text_has_no_unsafe_tags(text: str) -> None:
    turn = Turn(user=text, text=text, reasoning=text)
    page = Page(export(Session(name="a", turns=(turn,)), "html"))
    assert not page.tags & {"script", "img", "iframe", "link", "object", "svg", "form"}
    assert not any(name.startswith("on") for name in page.names)


@pytest.mark.parametrize(
    ("name", "format"),
    [("a.md", "md"), ("a.MARKDOWN", "md"), ("x/a.json", "json"), ("a.htm", "html"), ("a", None),
     ("md", None), ("a.txt", None), (".html", "html"), ("a.md/b", None)],
)  # fmt: skip
def test_file_name_selects_the_format(name: str, format: str | None) -> None:
    assert find_format(name) == format


def test_unknown_format_is_rejected() -> None:
    with pytest.raises(UsageError, match="md, json, html"):
        export(SESSION, "pdf")
