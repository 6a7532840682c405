"""Tags that have to stay around what they stood around, wherever a translation moves them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from llmtool.documents.types import Part, ProtectedSpan

_TAG = re.compile(r"<(/?)([A-Za-z][A-Za-z0-9]*)[^<>]*?(/?)>")
VOID = frozenset(
    "area base br col embed hr img input link meta source track wbr param keygen".split()
)


def unpaired_tags(parts: Sequence[Part]) -> Counter[str]:
    """Count the tags of a passage that open or close nothing within it.

    Example:
        >>> b, end, i, last = map(ProtectedSpan, ("<b>", "</b>", "<i>", "</i>"))
        >>> unpaired_tags([b, "one", end, i, "two", last])
        Counter()
        >>> sorted(unpaired_tags([i, b, "one", last, end, "two"]).elements())
        ['/i', 'i']
    """
    left: Counter[str] = Counter()
    open_tags: list[str] = []
    protected = [part.source for part in parts if isinstance(part, ProtectedSpan)]
    text = "".join(span for span in protected if not span.startswith("`"))  # code spells tags
    for closes, name, is_closed in _TAG.findall(text):
        tag = name.lower()
        if is_closed or (tag in VOID and not closes):
            continue
        if not closes:
            open_tags.append(tag)
        elif open_tags and open_tags[-1] == tag:
            open_tags.pop()
        else:
            left[f"/{tag}"] += 1
    left.update(open_tags)
    return left


def find_nesting_fault(before: Sequence[Part], after: Sequence[Part]) -> str | None:
    """Return what is wrong with the order of a translation's tags, None where each has its pair."""
    if unpaired_tags(before) == unpaired_tags(after):
        return None
    return "has its tags in an order in which they do not pair"
