"""Render untrusted Markdown: as safe HTML, or as part of another Markdown document."""

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
    """Return a Markdown text as HTML without scripts, images and links other than web and mail.

    HTML in the text is escaped, and an image becomes a link. A text that is nested too deeply is
    escaped as a whole.

    Example:
        >>> to_html("*Hi* <b> [x](javascript:1) [y](https://example.org)")  # doctest: +ELLIPSIS
        '<p><em>Hi</em> &lt;b&gt; [x](javascript:1) <a href="https://example.org" ...>y</a></p>\\n'
    """
    renderer = _renderer()
    env: dict[str, Any] = {}
    tokens = renderer.parse(text.replace("\r\n", "\n"), env)
    # The parser drops content that is nested more deeply.
    if any(token.level >= _MAX_NESTING - 2 for token in tokens):
        return f"<pre>{escape(text)}</pre>\n"
    rendered: str = renderer.renderer.render(tokens, renderer.options, env)
    return rendered


def close_blocks(text: str) -> str:
    """Return a Markdown text whose blocks all end before the text after it.

    An open fence is closed. A text that another construct leaves open, such as an HTML comment, is
    put into a fence as a whole.

    Example:
        >>> close_blocks("~~~\\nx = 1")
        '~~~\\nx = 1\\n~~~'
    """
    tokens = _parser().parse(text)
    last = tokens[-1].markup if tokens and tokens[-1].type == "fence" else ""
    for end in ("", "\n" * (not text.endswith("\n")) + last):
        if _is_closed(text + end):
            return text + end
    return fence(text, "markdown")


def fence(text: str, language: str = "") -> str:
    """Put a text into a fence that is longer than any in the text.

    Example:
        >>> fence("a ``` b")
        '````\\na ``` b\\n````'
    """
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    line = "`" * max(3, longest + 1)
    end = "" if text.endswith("\n") or not text else "\n"
    return f"{line}{language}\n{text}{end}{line}"


def _is_closed(text: str) -> bool:
    """Return whether a heading after the text is parsed as a heading."""
    after = _parser().parse(f"{text}\n\n# after\n")[-3:]
    return len(after) == 3 and after[0].type == "heading_open" and after[0].level == 0


@lru_cache(maxsize=1)
def _parser() -> MarkdownIt:
    from markdown_it import MarkdownIt

    # Inline markup cannot extend into another block.
    return MarkdownIt("commonmark", {"maxNesting": _MAX_NESTING}).disable("inline")


@lru_cache(maxsize=1)
def _renderer() -> MarkdownIt:
    from markdown_it import MarkdownIt

    reader = MarkdownIt("commonmark", {"maxNesting": _MAX_NESTING, "html": False})
    reader.enable(["table", "strikethrough"])
    reader.validateLink = _is_safe_link  # type: ignore[method-assign]
    reader.add_render_rule("image", _render_image)
    reader.add_render_rule("link_open", _render_link)
    return reader


def _is_safe_link(url: str) -> bool:
    return url.strip().lower().startswith(_SCHEMES)


def _render_link(renderer: Any, tokens: Any, at: int, options: Any, env: Any) -> str:
    tokens[at].attrSet("rel", "noreferrer noopener")
    rendered: str = renderer.renderToken(tokens, at, options, env)
    return rendered


def _render_image(renderer: Any, tokens: Any, at: int, options: Any, env: Any) -> str:
    url = escape(str(tokens[at].attrGet("src") or ""))
    label = escape(tokens[at].content) or url
    return f'<a href="{url}" rel="noreferrer noopener">{label}</a>'
