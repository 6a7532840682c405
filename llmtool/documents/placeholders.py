"""What stays in any format: placeholders, addresses, tags."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from llmtool.documents.types import Part, ProtectedSpan

# Characters of an address, and those that it can end with: a sentence's marks are not its own.
_CLOSING = "）」』】。，、；：！？"
_INSIDE = rf"""[^\s<>"'{_CLOSING}]"""
_LAST = rf"""[^\s<>"'.,;:!?)\]}}{_CLOSING}]"""
_KEPT = re.compile(
    r"""
    \{\{[^{}\n]*\}\}                                  # {{ x }}
  | \$?\{[^{}\s][^{}\n]*\} | \$?\{\}                  # {x} ${x} {0:.2f} {}
  | %\([A-Za-z_]\w*\)[-#0+ ]*\d*(?:\.\d+)?[a-zA-Z]    # %(name)s
  | %(?:\d+\$)?[-#0+]*\d*(?:\.\d+)?(?:hh|ll|[hlLzjt])?[diouxXeEfFgGcsaAp@](?![A-Za-z])  # %s %1$d
  | %%
  | \$[A-Za-z_]\w*                                    # $HOME
  | (?:https?|ftp|file|mailto|tel):INSIDE*LAST
  | www\.INSIDE*LAST
  | (?<![\w.+-])[\w.+-]+@[\w-]+(?:\.[\w-]+)+
  | </?[A-Za-z][^<>\n]*>                              # <b> </b> <br/>
    """.replace("INSIDE", _INSIDE).replace("LAST", _LAST),
    re.VERBOSE,
)
# Those that take the next value: they mean another one in another order.
_NEXT = re.compile(r"\{(?:[:!][^{}]*)?\}|%(?!\d+\$|\()[-#0+ ]*\d*(?:\.\d+)?[hlLzjt]*[a-zA-Z@]")


def split_parts(text: str) -> tuple[Part, ...]:
    """Return a text in parts: what a translation may not change is a `ProtectedSpan`.

    Example:
        >>> split_parts("Hi {name}, 5% off!")
        ('Hi ', ProtectedSpan(source='{name}'), ', 5% off!')
    """
    parts: list[Part] = []
    at = 0
    for found in _KEPT.finditer(text):
        if found.start() > at:
            parts.append(text[at : found.start()])
        parts.append(ProtectedSpan(found[0]))
        at = found.end()
    if at < len(text):
        parts.append(text[at:])
    return tuple(parts)


def find_placeholder_fault(before: Sequence[Part], after: Sequence[Part]) -> str | None:
    """Return what is wrong with a translation's placeholders whose protected spans are complete.

    Example:
        >>> name = ProtectedSpan("%s")
        >>> find_placeholder_fault(["Mail for ", name], ["Post für ", name, " {x}"])
        'has a placeholder, an address or a tag of its own'
        >>> s, d = ProtectedSpan("%s"), ProtectedSpan("%d")
        >>> find_placeholder_fault([s, " has ", d, " files"], [d, " Dateien hat ", s])
        'has %s and the like in another order'
    """
    if _in_text(after) - _in_text(before):
        return "has a placeholder, an address or a tag of its own"
    if _in_turn(before) != _in_turn(after):
        return "has %s and the like in another order"
    return None


def _in_text(parts: Sequence[Part]) -> Counter[str]:
    texts = (part for part in parts if isinstance(part, str))
    return Counter(
        p.source for text in texts for p in split_parts(text) if isinstance(p, ProtectedSpan)
    )


def _in_turn(parts: Sequence[Part]) -> list[str]:
    protected = (part.source.replace("%%", "") for part in parts if isinstance(part, ProtectedSpan))
    return [found for span in protected if span[:1] != "`" for found in _NEXT.findall(span)]
