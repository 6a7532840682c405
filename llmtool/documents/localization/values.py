"""Tell messages from other values in files with the texts of a program."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from llmtool.documents.localization.icu import find_icu_fault
from llmtool.documents.localization.messages import find_invented_placeholder
from llmtool.documents.protected_spans import (
    PROTECTED_IN_TEXT,
    find_nesting_fault,
    split_parts,
)
from llmtool.documents.types import Part, has_letters, is_blank

# One word that is not language: constants, colors, names and paths in ASCII, patterns of dates.
_CODE = re.compile(
    r"""
    (?:true|false|null|nil|none|ltr|rtl|utf-?8)
  | \#[0-9a-fA-F]{3,8}
  | [a-z][\w-]*(?:\.[\w$-]+)+                       # com.example.Name, icon.png
  | [\w.~-]*(?:/[\w.~%-]+){2,}/? | \.{0,2}/\S* | \S*/[^/\s]*\.\w{1,5}
  | (?=\w*_)\w* | [a-z]+(?:[A-Z][a-z0-9]*)+
  | (?:y+|M+|d+|E+|H+|h+|m+|s+|S+|a+|z+)(?:[./:,-]+(?:y+|M+|d+|E+|H+|h+|m+|s+|S+|a+|z+))+
    """,
    re.VERBOSE | re.ASCII,
)


def is_message(text: str) -> bool:
    """Whether a value is natural language.

    Example:
        >>> [is_message(text) for text in ("Yes/No", "CANCEL", "Loading...", "确定", "a.png", "%s")]
        [True, True, True, True, False, False]
    """
    return not _CODE.fullmatch(text.strip()) and has_letters(split_parts(text, PROTECTED_IN_TEXT))


def find_message_fault(
    source: Sequence[Part], translation: Sequence[Part], text: str, flags: Collection[str]
) -> str | None:
    """Return why a translation is not a message like its source, or None.

    `text` is the source as one string, and `flags` name the format of its placeholders.
    """
    if is_blank(translation):
        return "is empty"
    if invented := find_invented_placeholder(translation, text, flags):
        return f"has the placeholder {invented}, which its source does not have"
    return find_icu_fault(source, translation) or find_nesting_fault(source, translation)


def join_surrogates(text: str) -> str:
    """Replace the surrogate pairs of escapes such as `\\ud83d\\ude00` by their characters."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
