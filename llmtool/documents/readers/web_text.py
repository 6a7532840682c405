"""Extract the text of a web page, without navigation and other boilerplate.

The only importer of selectolax.
"""

from __future__ import annotations

import re
from html import escape
from typing import TYPE_CHECKING

import msgspec

from llmtool.documents.html.elements import BLOCKS, VOID_ELEMENTS, end_element, start_element
from llmtool.documents.html.tokens import is_xhtml
from llmtool.errors import InputError

if TYPE_CHECKING:
    from selectolax.lexbor import LexborNode

_NO_TEXT = frozenset(
    "script style template svg math head noscript iframe object canvas audio video select"
    " datalist textarea".split()
)
_LINES = frozenset("tr dt dd".split())
_HEADING = re.compile("h[1-6]")
_MARKERS = ("\n- ", "# ", " | ")  # a block at their end starts no line
_SPACES = re.compile("[ \\t\\r\\n\\f\\xa0]+")
_MANY_NEWLINES = re.compile(r"\n(?:[ \t]*\n)+")

# Boilerplate: by element or role; and by class or id, if it is also made of links.
_ROLES = {
    "nav": "navigation", "navigation": "navigation", "menu": "navigation", "search": "navigation",
    "header": "the header", "banner": "the header", "footer": "the footer",
    "contentinfo": "the footer", "aside": "a sidebar", "complementary": "a sidebar",
    "dialog": "a dialog", "alertdialog": "a dialog",
}  # fmt: skip
_HIDDEN = re.compile(r"(?:^|;)\s*(?:display\s*:\s*none|visibility\s*:\s*hidden)\b", re.IGNORECASE)
_SECTIONING = frozenset("article main section blockquote figure".split())
_NOTICE = re.compile(r"cookie|consent|gdpr|onetrust", re.IGNORECASE)
_LINK_LIST = re.compile(
    r"(?:^|[\s_-])(?:nav\w*|menu\w*|breadcrumbs?|sidebar|pagination|pager|share|social|related"
    r"|skip|toolbar|topbar|foot\w*)(?:$|[\s_-])",
    re.IGNORECASE,
)
_MIN_LINKS = 3
_MIN_LINK_SHARE = 0.6
_MAX_NOTICE = 3000  # characters
_MIN_USED = 0.1  # with less, and few of the sentences, all text is used
_SENTENCE_END = re.compile(r"\w[.!?…][\"')\]”’»]?(?:\s|\Z)")
_WIDE_SENTENCE_END = re.compile("[。！？؟।]")
_MIN_WORDS = 4  # of a sentence

# With deeper nesting, parsing takes quadratic time. Browsers build at most 512 levels.
_MAX_DEPTH = 1000
_MANY_TAGS = 20_000  # fewer are parsed in half a second at any depth
# In XHTML, a CDATA section is text, unless it is in an element whose content HTML does not parse.
_CDATA = re.compile(
    r"(<(script|style)\b.*?(?:</\2|\Z)|<!--.*?(?:-->|\Z))|<!\[CDATA\[(.*?)\]\]>",
    re.DOTALL | re.IGNORECASE,
)
_NO_TAGS = re.compile(
    r"<(script|style)\b.*?(?:</\1|\Z)|<!--.*?(?:-->|\Z)", re.DOTALL | re.IGNORECASE
)
_TAG = re.compile("<(/?)([A-Za-z][^\\s/>]*)")
_TITLE_END = re.compile("</title", re.IGNORECASE)
_UNCLOSED_TITLE = re.compile("<title\\b[^<>]*>[^<]*", re.IGNORECASE)
_SELF_CLOSING = re.compile("<([A-Za-z][\\w:.-]*)([^<>]*)/>")


class WebText(msgspec.Struct, frozen=True, kw_only=True):
    """The text of a page; the share that was used, and what was skipped, each with its share."""

    text: str
    share: float = 1.0
    skipped: tuple[tuple[str, float], ...] = ()


class _Element(msgspec.Struct):
    """An open element: where its text starts, and counts of the text and links in it.

    `n_prose` counts the characters of texts with sentences, outside of links.
    """

    node: LexborNode
    tag: str
    start: int  # index of its first piece
    n_characters: int = 0
    n_in_links: int = 0
    n_links: int = 0
    n_prose: int = 0
    has_main: bool = False  # an h1, main or article


class _Skipped(msgspec.Struct, frozen=True):
    start: int
    end: int
    n_characters: int
    n_prose: int
    name: str
    is_menu: bool  # most of its text is links, or should be


def extract_text(source: str) -> WebText:
    """Return the text of an HTML page, with Markdown headings and list items.

    Navigation, header, footer, sidebars, dialogs and cookie notices are skipped, unless they have
    most of the text, as does a `<nav>` without an end tag. Menus may have most of the text, but not
    of the sentences.

    Raises:
        InputError: elements are nested too deeply.

    Example:
        >>> extract_text("<h1>Hi</h1><nav><a href=a>Home</a></nav><p>One <b>two</b>").text
        '# Hi\\n\\nOne two'
    """
    from selectolax.lexbor import LexborHTMLParser

    if source.count("<") > _MANY_TAGS:
        _check_depth(source)
    if is_xhtml(source):
        source = _SELF_CLOSING.sub(_expand_tag, source)
        source = _CDATA.sub(lambda found: found[1] or escape(found[3]), source)
    if not _TITLE_END.search(source):  # the title would contain the page
        source = _UNCLOSED_TITLE.sub(r"\g<0></title>", source, count=1)
    tree = LexborHTMLParser(source)
    body = tree.body
    if body is None:
        return WebText(text="")
    pieces, found, whole = _collect(body)
    n_total = whole.n_characters
    skipped = _choose(found, whole)
    kept, at = [], 0
    for each in skipped:
        kept += [*pieces[at : each.start], "\n\n"]
        at = each.end
    text = _join([*kept, *pieces[at:]])
    title = tree.css_first("head > title")
    if title is not None and "\n# " not in f"\n{text}":
        name = _SPACES.sub(" ", title.text()).strip()
        text = f"# {name}\n\n{text}" if name else text
    totals: dict[str, int] = {}
    for each in skipped:
        totals[each.name] = totals.get(each.name, 0) + each.n_characters
    shares = sorted(((name, n / n_total) for name, n in totals.items()), key=lambda x: -x[1])
    return WebText(text=text, share=1 - sum(share for _, share in shares), skipped=tuple(shares))


def _collect(body: LexborNode) -> tuple[list[str], list[_Skipped], _Element]:
    """Return the pieces of text, the ranges that seem to be boilerplate, and the whole body."""
    pieces: list[str] = []
    found: list[_Skipped] = []
    stack = [_Element(body, "body", 0)]
    n_pre = n_open_links = 0
    node = body.child
    while True:
        if node is None:  # the end of the last open element
            element = stack.pop()
            pieces += _after(element.tag)
            n_pre -= element.tag == "pre"
            n_open_links -= element.tag == "a"
            if not stack:
                return pieces, found, element
            if name := _boilerplate(element, stack):
                found.append(
                    _Skipped(
                        element.start,
                        len(pieces),
                        element.n_characters,
                        element.n_prose,
                        name,
                        is_menu=name == "navigation" or _is_list_of_links(element),
                    )
                )
            parent = stack[-1]
            parent.n_characters += element.n_characters
            parent.n_prose += element.n_prose
            parent.n_links += element.n_links
            parent.n_in_links += element.n_in_links
            if element.tag == "a":
                parent.n_links += 1
                parent.n_in_links += element.n_characters - element.n_in_links
            is_main = element.tag in ("h1", "main", "article")
            parent.has_main = parent.has_main or element.has_main or is_main
            node = element.node.next
            continue
        tag = str(node.tag)
        if tag == "-text":
            text = node.text(deep=False)
            n_characters = len(text) - sum(map(str.isspace, text))
            stack[-1].n_characters += n_characters
            if not n_open_links and _has_sentence(text):
                stack[-1].n_prose += n_characters
            # In preformatted text, NUL is a space that stays until the lines are joined.
            pieces.append(text.replace(" ", "\0") if n_pre else _SPACES.sub(" ", text))
        elif not tag.startswith("-") and tag not in _NO_TEXT:
            element = _Element(node, tag, len(pieces))
            pieces += _before(tag, node)
            n_pre += tag == "pre"
            n_open_links += tag == "a"
            stack.append(element)
            node = node.child
            continue
        node = node.next


def _has_sentence(text: str) -> bool:
    if _SENTENCE_END.search(text):
        return len(text.split(None, _MIN_WORDS)) >= _MIN_WORDS
    return bool(_WIDE_SENTENCE_END.search(text))


def _before(tag: str, node: LexborNode) -> list[str]:
    if _HEADING.fullmatch(tag):
        return [f"\n\n{'#' * int(tag[1])} "]
    if tag == "li":
        return ["\n- "]
    if tag == "br" or tag in _LINES:
        return ["\n"]
    if tag in ("button", "input", "img"):
        return [" "]
    if tag in ("td", "th"):
        previous = node.prev
        while previous is not None and str(previous.tag).startswith("-"):
            previous = previous.prev
        return [] if previous is None else [" | "]
    return ["\n\n"] if tag in BLOCKS else []


def _after(tag: str) -> list[str]:
    return ["\n\n"] if tag in BLOCKS or _HEADING.fullmatch(tag) else []


def _boilerplate(element: _Element, ancestors: list[_Element]) -> str | None:
    """Return what kind of boilerplate an element seems to be."""
    if not element.n_characters or element.has_main:
        return None
    attributes = element.node.attributes
    if "hidden" in attributes and attributes["hidden"] != "until-found":
        return "hidden text"
    if _HIDDEN.search(attributes.get("style") or ""):
        return "hidden text"
    name = _ROLES.get((attributes.get("role") or element.tag).strip().lower())
    if name in ("the header", "the footer", "a sidebar"):
        # Within an article, they are parts of it.
        return None if any(each.tag in _SECTIONING for each in ancestors) else name
    if name:
        # A menu has no sentences, but an element without an end tag may contain the page.
        is_text = name == "navigation" and element.n_prose * 2 > element.n_characters
        return None if is_text else name
    label = f"{attributes.get('id') or ''} {attributes.get('class') or ''}"
    if _NOTICE.search(label) and element.n_characters <= _MAX_NOTICE:
        return "a cookie notice"
    if _is_list_of_links(element) and _LINK_LIST.search(label):
        return "navigation"
    return None


def _is_list_of_links(element: _Element) -> bool:
    share = element.n_in_links / element.n_characters
    return element.n_links >= _MIN_LINKS and share >= _MIN_LINK_SHARE


def _choose(found: list[_Skipped], whole: _Element) -> list[_Skipped]:
    """Return the ranges to skip, in order and disjoint; none has most of the text or sentences."""
    n_total, n_prose = whole.n_characters, whole.n_prose
    chosen: list[_Skipped] = []
    for each in sorted(found, key=lambda each: (each.start, -each.end)):
        is_nested = bool(chosen) and each.end <= chosen[-1].end
        has_little = each.n_characters * 2 <= n_total
        if not is_nested and (has_little or (each.is_menu and each.n_prose * 2 < n_prose)):
            chosen.append(each)
    n_used = n_total - sum(each.n_characters for each in chosen)
    n_used_prose = n_prose - sum(each.n_prose for each in chosen)
    has_most = n_used_prose * 2 > n_prose
    return chosen if n_used >= _MIN_USED * n_total or has_most else []


def _join(pieces: list[str]) -> str:
    """Join pieces; a space at the start of a line or after another space is dropped."""
    joined: list[str] = []
    for piece in pieces:
        last = joined[-1] if joined else ""
        if last.endswith(_MARKERS) and not piece.strip():
            continue
        if piece[:1] == " " and last[-1:] in ("\n", " "):
            piece = piece[1:]
        if piece:
            joined.append(piece)
    text = _MANY_NEWLINES.sub("\n\n", "".join(joined)).strip().replace("\0", " ")
    return "\n".join(line.rstrip() for line in text.split("\n"))


def _expand_tag(found: re.Match[str]) -> str:
    """Write an empty element of XHTML with an end tag, as HTML ignores the slash."""
    name, attributes = found.groups()
    if name.lower() in VOID_ELEMENTS:
        return found[0]
    return f"<{name}{attributes}></{name}>"


def _check_depth(source: str) -> None:
    open_tags: list[str] = []
    for slash, name in _TAG.findall(_NO_TAGS.sub("", source)):
        change = end_element if slash else start_element
        change(open_tags, name.lower())
        if len(open_tags) > _MAX_DEPTH:
            raise InputError(f"the HTML has more than {_MAX_DEPTH:,} nested or unclosed elements")
