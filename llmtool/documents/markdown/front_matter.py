"""Front matter in YAML or TOML: the values of keys such as `title`, without a YAML parser.

Only values are replaced, so comments, order and quotes of the rest do not change.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Literal

import msgspec

from llmtool.safe_yaml import find_syntax_error

_BLOCK = re.compile(
    r"(---|\+\+\+)[ \t]*\n(?P<body>.*?)^\1[ \t]*(?:\n|\Z)", re.DOTALL | re.MULTILINE
)
_KEYS = (
    "title|subtitle|description|summary|excerpt|tagline|lead|caption|headline|heading|abstract"
    "|teaser|intro|sidebar_label|sidebar_title|sidebarTitle|pagination_label|linkTitle|link_title"
    "|nav_title|navTitle|short_title|shortTitle|menu_title|meta_title|metaTitle|meta_description"
    "|metaDescription|seo_title|seo_description|og_title|og_description|alt|details|text|label"
    "|image-alt|image_alt|imageAlt|question|answer|tooltip|blurb|linkText|buttonText"
)
_YAML_LINE = re.compile(
    r"[ \t]*(?:#|- |-$|[\]}\"']|$)|[ \t]+\S|(?:[^\s:#]|:(?!\s))(?:[^:#\n]|:(?!\s|$))*:(?:\s|$)"
)
_TOML_LINE = re.compile(r"\s*(?:#|\[|[\]}]|$|[\"'{])|[ \t]*[\w.\"' -]+=|[ \t]+\S")
_FIRST_KEY = re.compile(r"[\w\"'$.-](?:[^:=#\n]|:(?!\s|$))*(?::(?:\s|$)|=)|\[")
_YAML_VALUE = re.compile(
    r"(?P<indent>[ ]*(?:-[ ]+)*)(?P<quote>[\"']?)(?P<key>[\w-]+)(?P=quote)[ ]*:[ \t]+"
    r"(?P<value>\S.*)"
)
_TOML_VALUE = re.compile(
    r"[ \t]*(?P<key>[\w-]+)[ \t]*=[ \t]*(?P<value>\"(?:[^\"\\]|\\.)*\"|'[^']*')[ \t]*(?:#.*)?"
)
_SAFE_SCALAR = re.compile(r"[^\W\d_](?:[^\n:#]|:(?!\s|$)|(?<!\s)#)*")
_RESERVED = re.compile(r"(?:true|false|yes|no|on|off|null|nan)", re.IGNORECASE)
_BLOCK_HEADER = re.compile(r"(?P<style>[|>])[+-]?\d?[+-]?[ \t]*(?:#.*)?$")

Style = Literal[
    "yaml plain", "yaml double", "yaml single", "yaml line", "toml basic", "toml literal"
]


class Value(msgspec.Struct, frozen=True):
    """A value from `start` to `end` of the text, and the text that it stands for."""

    start: int
    end: int
    text: str
    style: Style


def find_front_matter(text: str) -> int:
    """Return the end of the front matter at the start of a text, 0 if it has none.

    A text can also begin with a thematic break.

    Example:
        >>> find_front_matter("---\\ntitle: A\\n---\\nText")
        17
        >>> find_front_matter("---\\n\\n# A report\\n\\nText.\\n\\n---\\n")
        0
    """
    found = _BLOCK.match(text)
    if found is None:
        return 0
    line = _YAML_LINE if found[1] == "---" else _TOML_LINE
    lines = found["body"].split("\n")
    first = next((each for each in lines if each.strip() and not each.startswith("#")), "")
    if found["body"].strip() and not (line.match(first) and _FIRST_KEY.match(first)):
        return 0
    if all(line.match(each) for each in lines):
        return found.end()
    is_yaml = found[1] == "---" and find_syntax_error(found["body"]) is None
    return found.end() if is_yaml else 0


def find_values(text: str, end: int, keys: str = _KEYS) -> Iterator[Value]:
    """Yield the values of the front matter that ends at `end` that are text, by a regex of keys."""
    is_yaml = text.startswith("---")
    lines: list[tuple[int, str]] = []
    at = 0
    for line in text[:end].split("\n"):
        lines.append((at, line))
        at += len(line) + 1
    number = 1
    while number < len(lines):
        start, line = lines[number]
        number += 1
        found = (_YAML_VALUE if is_yaml else _TOML_VALUE).fullmatch(line)
        if found is None or not re.fullmatch(keys, found["key"]):
            continue
        begin = start + found.start("value")
        if not is_yaml:
            yield from _toml_value(begin, found["value"])
            continue
        column = len(found["indent"])
        last = number
        while last < len(lines) - 1 and _is_deeper(lines[last][1], column):
            last += 1
        yield from _yaml_value(begin, found["value"], lines[number:last])
        number = last


def write(text: str, style: Style) -> str:
    """Return a text as a value.

    Example:
        >>> write("Notes: new", "yaml plain"), write("it's", "yaml single")
        ('"Notes: new"', "'it''s'")
    """
    text = " ".join(text.split())
    if style == "yaml line":
        return text
    if style == "yaml single":
        return "'" + text.replace("'", "''") + "'"
    if style == "yaml plain" and _SAFE_SCALAR.fullmatch(text) and not _RESERVED.fullmatch(text):
        return text
    if style == "toml literal" and "'" not in text:
        return f"'{text}'"
    return json.dumps(text, ensure_ascii=False)


def _is_deeper(line: str, column: int) -> bool:
    return not line.strip() or len(line) - len(line.lstrip(" ")) > column


def _toml_value(start: int, value: str) -> Iterator[Value]:
    text = _decode(value) if value[0] == '"' else value[1:-1]
    if text is not None:
        style: Style = "toml basic" if value[0] == '"' else "toml literal"
        yield Value(start, start + len(value), text, style)


def _yaml_value(start: int, value: str, more: list[tuple[int, str]]) -> Iterator[Value]:
    """Yield the values of a key: one, or one per paragraph of a block scalar."""
    header = _BLOCK_HEADER.fullmatch(value)
    if header:
        yield from _block_values(more, is_folded=header["style"] == ">")
        return
    while more and not more[-1][1].strip():
        more = more[:-1]
    lines = [value.rstrip(), *(line.strip() for _, line in more)]
    end = more[-1][0] + len(more[-1][1].rstrip()) if more else start + len(lines[0])
    joined = " ".join(line for line in lines if line)
    if value[0] == '"':
        closing = re.fullmatch(r'("(?:[^"\\]|\\.)*")(\s+#.*)?', joined)
        text = _decode(closing[1]) if closing else None
        if closing and text is not None:
            yield Value(start, end - len(closing[2] or ""), text, "yaml double")
    elif value[0] == "'":
        closing = re.fullmatch(r"('(?:[^']|'')*')(\s+#.*)?", joined)
        if closing:
            text = closing[1][1:-1].replace("''", "'")
            yield Value(start, end - len(closing[2] or ""), text, "yaml single")
    elif value[0] not in "&*!|>[]{}%@`#,":
        comment = re.search(r"\s+#", joined)
        if comment and not more:
            joined, end = joined[: comment.start()], start + comment.start()
        if not comment or not more:
            yield Value(start, end, joined, "yaml plain")


def _block_values(lines: list[tuple[int, str]], *, is_folded: bool) -> Iterator[Value]:
    run: list[tuple[int, str]] = []
    for start, line in [*lines, (0, "")]:
        if run and (not is_folded or not line.strip()):
            first, begin = run[0][1], run[0][0]
            begin += len(first) - len(first.lstrip())
            end = run[-1][0] + len(run[-1][1].rstrip())
            yield Value(begin, end, " ".join(each.strip() for _, each in run), "yaml line")
            run = []
        if line.strip():
            run.append((start, line))


def _decode(value: str) -> str | None:
    try:
        text = json.loads(value)
    except ValueError:
        return None  # an escape that JSON does not have
    return text if isinstance(text, str) else None
