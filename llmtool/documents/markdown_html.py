"""Markdown that others wrote, to be shown: as HTML that is safe, or inside of a document."""

from __future__ import annotations

import re
from functools import lru_cache
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from markdown_it import MarkdownIt

_SCHEMES = ("http://", "https://", "mailto:")
_MAX_NESTING = 60


def to_html(text: str) -> str:
    """Return a Markdown text as HTML: no scripts, no pictures, links to the web and mail alone.

    What reads as HTML in the text is shown as it was written; a picture becomes a link to it. A
    text that is nested absurdly deep is shown as it is.

    Example:
        >>> to_html("*Hi* <b> [x](javascript:1) [y](https://example.org)")  # doctest: +ELLIPSIS
        '<p><em>Hi</em> &lt;b&gt; [x](javascript:1) <a href="https://example.org" ...>y</a></p>\\n'
    """
    renderer = _renderer()
    env: dict[str, Any] = {}
    tokens = renderer.parse(text.replace("\r\n", "\n"), env)
    # What is nested deeper than that is not read, and would be missing.
    if any(token.level >= _MAX_NESTING - 2 for token in tokens):
        return f"<pre>{escape(text)}</pre>\n"
    rendered: str = renderer.renderer.render(tokens, renderer.options, env)
    return rendered


def close_blocks(text: str) -> str:
    """Return a Markdown text that does not go on into what follows it in a document.

    A fence that is open gets its end; a text that stays open otherwise (by a comment of HTML, say)
    goes into a fence as a whole.

    Example:
        >>> close_blocks("~~~\\nx = 1")
        '~~~\\nx = 1\\n~~~'
    """
    tokens = _parser().parse(text)
    last = tokens[-1].markup if tokens and tokens[-1].type == "fence" else ""
    for end in ("", "\n" * (not text.endswith("\n")) + last):
        if _ends(text + end):
            return text + end
    return fence(text, "markdown")


def fence(text: str, language: str = "") -> str:
    """Return text in a fence that nothing in it can close.

    Example:
        >>> fence("a ``` b")
        '````\\na ``` b\\n````'
    """
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    mark = "`" * max(3, longest + 1)
    end = "" if text.endswith("\n") or not text else "\n"
    return f"{mark}{language}\n{text}{end}{mark}"


def _ends(text: str) -> bool:
    """Whether a heading after the text is one."""
    after = _parser().parse(f"{text}\n\n# after\n")[-3:]
    return len(after) == 3 and after[0].type == "heading_open" and after[0].level == 0


@lru_cache(maxsize=1)
def _parser() -> MarkdownIt:
    from markdown_it import MarkdownIt

    # Blocks alone: what stands within a line goes on into no other block.
    return MarkdownIt("commonmark", {"maxNesting": _MAX_NESTING}).disable("inline")


@lru_cache(maxsize=1)
def _renderer() -> MarkdownIt:
    from markdown_it import MarkdownIt

    reader = MarkdownIt("commonmark", {"maxNesting": _MAX_NESTING, "html": False})
    reader.enable(["table", "strikethrough"])
    reader.validateLink = _is_plain_link  # type: ignore[method-assign]
    reader.add_render_rule("image", _render_picture)
    reader.add_render_rule("link_open", _render_link)
    return reader


def _is_plain_link(url: str) -> bool:
    return url.strip().lower().startswith(_SCHEMES)


def _render_link(renderer: Any, tokens: Any, at: int, options: Any, env: Any) -> str:
    tokens[at].attrSet("rel", "noreferrer noopener")
    shown: str = renderer.renderToken(tokens, at, options, env)
    return shown


def _render_picture(renderer: Any, tokens: Any, at: int, options: Any, env: Any) -> str:
    address = escape(str(tokens[at].attrGet("src") or ""))
    words = escape(tokens[at].content) or address
    return f'<a href="{address}" rel="noreferrer noopener">{words}</a>'
