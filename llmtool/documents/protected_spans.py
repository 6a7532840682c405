"""Find the spans that every format protects, and check their order in a translation."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence

from llmtool.documents.types import Part, ProtectedSpan

# A URL does not end with punctuation: it belongs to the sentence around it.
_CLOSING = "）」』】。，、；：！？"
_URL_CHARACTER = rf"""[^\s<>"'{_CLOSING}]"""
_URL_END = rf"""[^\s<>"'.,;:!?)\]}}{_CLOSING}]"""
_PROTECTED = re.compile(
    r"""
    \{\{[^{}\n]*\}\}                                  # {{ x }}
  | \$?\{[^{}\s][^{}\n]*\} | \$?\{\}                  # {x} ${x} {0:.2f} {}
  | %\([A-Za-z_]\w*\)[-#0+ ]*\d*(?:\.\d+)?[a-zA-Z]    # %(name)s
  | %(?:\d+\$)?[-#0+]*\d*(?:\.\d+)?(?:hh|ll|[hlLzjt])?[diouxXeEfFgGcsaAp@](?![A-Za-z])  # %s %1$d
  | %%
  | \$[A-Za-z_]\w*                                    # $HOME
  | (?:https?|ftp|file|mailto|tel):URL_CHARACTER*URL_END
  | www\.URL_CHARACTER*URL_END
  | (?<![\w.+-])[\w.+-]+@[\w-]+(?:\.[\w-]+)+
  | </?[A-Za-z][^<>\n]*>                              # <b> </b> <br/>
    """.replace("URL_CHARACTER", _URL_CHARACTER).replace("URL_END", _URL_END),
    re.VERBOSE,
)
# While a text is wrapped, private-use characters from here on replace its protected spans.
_FIRST_PRIVATE = 0xF0000
_PRIVATE = re.compile("[\U000f0000-\U000ffffd]")
# Placeholders without a name or number take the next argument, so their order matters.
_POSITIONAL = re.compile(
    r"\{(?:[:!][^{}]*)?\}|%(?!\d+\$|\()[-#0+ ]*\d*(?:\.\d+)?[hlLzjt]*[a-zA-Z@]"
)
_TAG = re.compile(r"<(/?)([A-Za-z][A-Za-z0-9]*)[^<>]*?(/?)>")
VOID_ELEMENTS = frozenset(
    "area base br col embed hr img input link meta source track wbr param keygen".split()
)


def split_parts(text: str) -> tuple[Part, ...]:
    """Split a text into plain text and protected spans: placeholders, URLs, addresses and tags.

    Example:
        >>> split_parts("Hi {name}, 5% off!")
        ('Hi ', ProtectedSpan(source='{name}'), ', 5% off!')
    """
    parts: list[Part] = []
    at = 0
    for found in _PROTECTED.finditer(text):
        if found.start() > at:
            parts.append(text[at : found.start()])
        parts.append(ProtectedSpan(found[0]))
        at = found.end()
    if at < len(text):
        parts.append(text[at:])
    return tuple(parts)


def hide_protected(parts: Sequence[Part], escape: Callable[[str], str]) -> tuple[str, list[str]]:
    """Return the escaped parts with private-use characters for protected spans, and the spans."""
    text = ""
    protected: list[str] = []
    for part in parts:
        if isinstance(part, ProtectedSpan):
            text += chr(_FIRST_PRIVATE + len(protected))
            protected.append(part.source)
        else:
            text += escape(_PRIVATE.sub("", part))
    return text, protected


def show_protected(text: str, protected: Sequence[str]) -> str:
    """Replace the private-use characters of `hide_protected` by the protected spans."""
    return _PRIVATE.sub(lambda found: protected[ord(found[0]) - _FIRST_PRIVATE], text)


def find_placeholder_fault(source: Sequence[Part], translation: Sequence[Part]) -> str | None:
    """Return why the placeholders of a translation are wrong, or None.

    The caller checks that all protected spans are present.

    Example:
        >>> name = ProtectedSpan("%s")
        >>> find_placeholder_fault(["Mail for ", name], ["Post für ", name, " {x}"])
        'has a placeholder, URL or tag that its source does not have'
        >>> s, d = ProtectedSpan("%s"), ProtectedSpan("%d")
        >>> find_placeholder_fault([s, " has ", d, " files"], [d, " Dateien hat ", s])
        'changes the order of placeholders such as %s'
    """
    if _unprotected(translation) - _unprotected(source):
        return "has a placeholder, URL or tag that its source does not have"
    if _positional(source) != _positional(translation):
        return "changes the order of placeholders such as %s"
    return None


def _unprotected(parts: Sequence[Part]) -> Counter[str]:
    """Count the placeholders, URLs and tags that are part of the text."""
    texts = (part for part in parts if isinstance(part, str))
    return Counter(
        span.source
        for text in texts
        for span in split_parts(text)
        if isinstance(span, ProtectedSpan)
    )


def _positional(parts: Sequence[Part]) -> list[str]:
    protected = (part.source.replace("%%", "") for part in parts if isinstance(part, ProtectedSpan))
    return [found for span in protected if span[:1] != "`" for found in _POSITIONAL.findall(span)]


def find_nesting_fault(source: Sequence[Part], translation: Sequence[Part]) -> str | None:
    """Return why the tags of a translation are not nested as in its source, or None."""
    if unpaired_tags(source) == unpaired_tags(translation):
        return None
    return "has tags that no longer match"


def unpaired_tags(parts: Sequence[Part]) -> Counter[str]:
    """Count the start tags without an end tag, and the end tags without a start tag.

    Example:
        >>> b, end, i, last = map(ProtectedSpan, ("<b>", "</b>", "<i>", "</i>"))
        >>> unpaired_tags([b, "one", end, i, "two", last])
        Counter()
        >>> sorted(unpaired_tags([i, b, "one", last, end, "two"]).elements())
        ['/i', 'i']
    """
    unpaired: Counter[str] = Counter()
    open_tags: list[str] = []
    protected = [part.source for part in parts if isinstance(part, ProtectedSpan)]
    markup = "".join(span for span in protected if not span.startswith("`"))  # skip code
    for slash, name, self_closing in _TAG.findall(markup):
        tag = name.lower()
        if self_closing or (tag in VOID_ELEMENTS and not slash):
            continue
        if not slash:
            open_tags.append(tag)
        elif open_tags and open_tags[-1] == tag:
            open_tags.pop()
        else:
            unpaired[f"/{tag}"] += 1
    unpaired.update(open_tags)
    return unpaired
