"""Contexts in a msgid, such as "Toolbar|Cut", which its translation must not have.

Source: GLib, `g_strip_context`, of older programs of GNOME; newer ones have a msgctxt.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_CONTEXT = re.compile(r"([^\W\d_][^|\n%{}<>()\[\].,;!?*]{0,59})\|(?![\s|*.])([^|]+)")
_WORD = re.compile(r"[^\W\d_]{3,}")
_MAX_STEM = 4  # letters in which forms of a plural, as in "one file|two files", are equal
_HINT = re.compile(r"\bcontext|\bprefix|\bstrip|\||\bQ_|\.(?:c|cc|cpp|h|vala)(?=[:\s]|\Z)")


def split_context(msgid: str) -> tuple[str, str] | None:
    """Return the context in a msgid and its text, None for other text, such as plural forms.

    Example:
        >>> split_context("Toolbar|Cut"), split_context("one file|two files")
        (('Toolbar', 'Cut'), None)
    """
    found = _CONTEXT.fullmatch(msgid)
    if found is None:
        return None
    stems, others = (
        {word.casefold()[:_MAX_STEM] for word in _WORD.findall(text)} for text in found.groups()
    )
    return None if stems & others else (found[1], found[2])


def has_contexts(messages: Iterable[tuple[str, str, str]]) -> bool:
    """Return whether the msgids of a catalog have contexts before a bar.

    Messages are msgid, msgstr, and comments with references. If some of those with a bar are
    translated, their translations decide; otherwise the comments, or a context that is repeated.

    Example:
        >>> has_contexts([("Toolbar|Cut", "Couper", ""), ("Menu|Cut", "", "")])
        True
        >>> has_contexts([("Yes|No", "", "")])
        False
    """
    with_bar = without_bar = 0
    contexts: list[str] = []
    has_hint = False
    for msgid, msgstr, comments in messages:
        if found := split_context(msgid):
            with_bar += "|" in msgstr
            without_bar += bool(msgstr) and "|" not in msgstr
            contexts.append(found[0])
            has_hint = has_hint or bool(_HINT.search(comments))
    if with_bar or without_bar:
        return without_bar > with_bar
    return has_hint or len(set(contexts)) < len(contexts)
