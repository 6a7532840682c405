"""Slugs of headings, so that links within a page still work in its translation."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING
from urllib.parse import unquote

if TYPE_CHECKING:
    from markdown_it.token import Token

_EXPLICIT = re.compile(r"(?<!\s)\s*\{(?:/\*\s*)?:?[^{}#]*#(?P<id>[^\s{}*]+)[^{}]*\}\s*\Z")
_ATTRIBUTES = re.compile(r"(?<!\s)\s*\{(?::?\s*[.#:][^{}]*|\s?[a-z]+(?:-[a-z]+)+\s?)\}\s*\Z")
_HTML_HEADING = re.compile(r"<h([1-6])\b([^>]*)>(.*?)</h\1\s*>", re.IGNORECASE | re.DOTALL)
_ID = re.compile(r"""\bid\s*=\s*["']?([^\s"'>]+)""", re.IGNORECASE)
_WORD = ("Nd", "Nl", "Pc")  # categories, besides letters and marks
# References to headings: in a link, in a tag, and in a wiki link of Obsidian.
PAGE_TARGET = re.compile(r"\A(\(\s*<?)#([^\s)>]+)")
PAGE_REFERENCE = re.compile(r"""(\shref\s*=\s*["'])#([^"']+)""", re.IGNORECASE)
PAGE_HEADING = re.compile(r"\A(!?\[\[#)([^\[\]|\n]+)")
_NUMBERED = re.compile(r"(.*)_(\d+)\Z", re.DOTALL)


def fragment(href: str) -> str:
    """Return the slug of `#slug`, percent-decoded."""
    return unquote(href[1:])


def heading_texts(tokens: Sequence[Token]) -> list[tuple[str, str | None]]:
    """Return the text of each heading, and its id if it is explicit."""
    from html import unescape

    found: list[tuple[str, str | None]] = []
    for token, content in zip(tokens, tokens[1:], strict=False):
        if token.type == "heading_open":
            text = "".join(_text(child) for child in content.children or ())
            explicit = _EXPLICIT.search(text)
            text = _ATTRIBUTES.sub("", text[: explicit.start()] if explicit else text)
            found.append((text, explicit["id"] if explicit else None))
        elif token.type == "html_block":
            for _, attributes, inner in _HTML_HEADING.findall(token.content):
                text = " ".join(unescape(re.sub(r"<[^>]*>", "", inner)).split())
                identifier = _ID.search(attributes)
                found.append((text, identifier[1] if identifier else None))
    return found


def _text(token: Token) -> str:
    if token.type in ("softbreak", "hardbreak"):
        return " "
    return token.content if token.type in ("text", "code_inline", "text_special") else ""


def slugs(headings: Iterable[tuple[str, str | None]], rule: str) -> list[str]:
    """Return the slugs of headings, the explicit ones included.

    Example:
        >>> slugs([("Über uns!", None), ("图书 馆", None), ("über uns", None)], "github")
        ['über-uns', '图书-馆', 'über-uns-1']
    """
    make, number = RULES[rule]
    used: dict[str, int] = {}  # slugs, and the last number that was added to each
    found = []
    for text, explicit in headings:
        slug = explicit if explicit is not None else number(make(text), used)
        used.setdefault(slug, 0)
        found.append(slug)
    return found


def choose_rule(links: Iterable[str], headings: Sequence[tuple[str, str | None]]) -> str:
    """Return the rule under which most links lead to a heading."""
    wanted = set(links)
    return max(RULES, key=lambda rule: len(wanted & set(slugs(headings, rule))))


def _github(text: str) -> str:
    kept = (
        c
        for c in text.strip().lower()
        if c in " -" or unicodedata.category(c)[0] in "LM" or unicodedata.category(c) in _WORD
    )
    return "".join(kept).replace(" ", "-")


def _python_markdown(text: str) -> str:
    text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", text).strip().lower())


def _kramdown(text: str) -> str:
    text = re.sub(r"[^a-zA-Z0-9 -]", "", re.sub(r"\A[^a-zA-Z]+", "", text))
    return text.replace(" ", "-").lower() or "section"


def _number_with_hyphen(slug: str, used: dict[str, int]) -> str:
    found = slug
    while found in used:
        used[slug] += 1
        found = f"{slug}-{used[slug]}"
    return found


def _number_with_underscore(slug: str, used: dict[str, int]) -> str:
    if slug and slug not in used:
        return slug
    found = _NUMBERED.match(slug)
    base, number = (found[1], int(found[2])) if found else (slug, 0)
    number = max(number, used.get(slug, 0)) + 1
    while f"{base}_{number}" in used:
        number += 1
    used[slug] = number
    return f"{base}_{number}"


_Rule = tuple[Callable[[str], str], Callable[[str, dict[str, int]], str]]
RULES: dict[str, _Rule] = {
    "github": (_github, _number_with_hyphen),
    "python-markdown": (_python_markdown, _number_with_underscore),
    "kramdown": (_kramdown, _number_with_hyphen),
}
