"""The elements of HTML, which are open where end tags are optional, and attributes with text.

Source: WHATWG, HTML, section 13.1.2.4, "Optional tags". But: the rules for misnested formatting
elements and tables are omitted.
"""

from __future__ import annotations

import re

VOID_ELEMENTS = frozenset(
    "area base br col embed hr img input link meta source track wbr param keygen".split()
)
INLINE = frozenset(
    "a abbr acronym b bdi bdo big br cite code data del dfn em font i img ins kbd label mark q rp"
    " rt ruby s samp small span strike strong sub sup time tt u var wbr".split()
)
BLOCKS = frozenset(
    "address article aside blockquote center details dialog dir div dl fieldset figcaption figure"
    " footer form h1 h2 h3 h4 h5 h6 header hgroup hr main menu nav ol p pre search section table"
    " ul".split()
)
# Also of SVG and MathML, and obsolete ones.
ELEMENTS = (
    VOID_ELEMENTS
    | INLINE
    | BLOCKS
    | frozenset(
        "audio blink body button canvas caption colgroup datalist dd dt frame frameset g head html"
        " iframe legend li map marquee math meter nobr noframes noscript object optgroup option"
        " output path picture progress script select slot style summary svg tbody td template"
        " textarea tfoot th thead title tr video".split()
    )
)
# Attributes of scripts and libraries that are shown to readers if their value is prose.
DATA_ATTRIBUTES = (
    r"data-(?:[a-z]+-){0,3}(?:confirm|title|tooltip|tip|label|caption|content|placeholder|message"
    r"|hint|text|alt|description|summary|heading|prompt|warning|balloon)|hx-(?:confirm|prompt)"
    r"|wire:confirm"
)
# Attributes of components with text, and those of which it can be guessed.
COMPONENT_ATTRIBUTES = (
    "label|caption|description|heading|header|subtitle|tooltip|text|content|message|tagline|lead"
)
GUESSED_ATTRIBUTES = (
    r"[a-z]+(?:-[a-z]+){0,3}-(?:title|label|text|caption|description|tooltip|message|placeholder"
    r"|heading|hint)|[a-z]\w{0,40}(?:Title|Label|Text|Caption|Description|Tooltip|Message"
    r"|Placeholder|Heading|Hint)"
)
_CODE_SIGNS = re.compile(r"[{}=;$\\_#@|]|\w\(|://|\A[\w./-]*/[\w./-]*\Z|\w[.][a-z]\w*\Z")
_WORDS = re.compile(r"[^\W\d_]['’\w-]*[,:]?\s+(?:\S+\s+)*?['’\w-]*[^\W\d_]")
_FIRST_LETTER = re.compile(r"[^\W\d_]")
_CELLS = frozenset(["p", "td", "th"])
_SECTIONS = _CELLS | {"tr", "thead", "tbody", "tfoot", "caption", "colgroup"}
# The open elements that a start tag ends.
_ENDED_BY = {
    **dict.fromkeys(BLOCKS, frozenset(["p"])),
    "li": frozenset(["p", "li"]),
    "dt": frozenset(["p", "dt", "dd"]),
    "dd": frozenset(["p", "dt", "dd"]),
    "rt": frozenset(["rt", "rp"]),
    "rp": frozenset(["rt", "rp"]),
    "option": frozenset(["option"]),
    "optgroup": frozenset(["option", "optgroup"]),
    "td": _CELLS,
    "th": _CELLS,
    "tr": _CELLS | {"tr", "caption", "colgroup"},
    **dict.fromkeys(("thead", "tbody", "tfoot"), _SECTIONS),
    "body": frozenset(["head"]),
}
# End tags of other elements have no effect on what is outside of these.
_SCOPES = frozenset("table td th caption template object svg math button select".split())
_MAX_INLINE = 50  # unclosed inline elements between, so that a start tag takes constant time
_MAX_UNCLOSED = 200  # likewise for an end tag


def is_prose(value: str) -> bool:
    """Return whether the value of an attribute seems to be text: a capitalized word, or several.

    Example:
        >>> [is_prose(each) for each in ("Are you sure?", "save the file", "Preis", "save", "削除")]
        [True, True, True, False, True]
        >>> [is_prose(each) for each in ("btn-primary", "Users/index", "item.title", "/a b", "x")]
        [False, False, False, False, False]
    """
    first = _FIRST_LETTER.search(value)
    if first is None or value.startswith("/") or _CODE_SIGNS.search(value):
        return False
    return not first[0].islower() or _WORDS.search(value) is not None


def start_element(open_tags: list[str], tag: str) -> None:
    """Add an element to the open ones, after those that its start tag ends.

    Example:
        >>> open_tags = ["ul", "li", "p", "b"]
        >>> start_element(open_tags, "li"); open_tags
        ['ul', 'li']
    """
    ended = _ENDED_BY.get(tag)
    if ended:
        keep = at = len(open_tags)
        while at and at > keep - _MAX_INLINE:
            at -= 1
            if open_tags[at] in ended:
                keep = at
            elif open_tags[at] not in INLINE:
                break
        del open_tags[keep:]
    if tag not in VOID_ELEMENTS:
        open_tags.append(tag)


def end_element(open_tags: list[str], tag: str) -> None:
    """Remove the innermost open element of that name, and those in it.

    Example:
        >>> open_tags = ["div", "ul", "li", "p"]
        >>> end_element(open_tags, "ul"); open_tags
        ['div']
        >>> end_element(open_tags, "table"); open_tags
        ['div']
    """
    for at in range(len(open_tags) - 1, max(-1, len(open_tags) - 1 - _MAX_UNCLOSED), -1):
        if open_tags[at] == tag:
            del open_tags[at:]
            return
        if open_tags[at] in (BLOCKS if tag in INLINE else ()) or (
            open_tags[at] in _SCOPES and tag not in _SECTIONS
        ):
            return
