"""What stays in any format: placeholders, addresses, tags."""

from __future__ import annotations

import re

from llmtool.documents.types import Mask, Part

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


def split_parts(text: str) -> tuple[Part, ...]:
    """Return a text in parts: what a translation may not change is a `Mask`.

    Example:
        >>> split_parts("Hi {name}, 5% off!")
        ('Hi ', Mask(source='{name}'), ', 5% off!')
    """
    parts: list[Part] = []
    at = 0
    for found in _KEPT.finditer(text):
        if found.start() > at:
            parts.append(text[at : found.start()])
        parts.append(Mask(found[0]))
        at = found.end()
    if at < len(text):
        parts.append(text[at:])
    return tuple(parts)
