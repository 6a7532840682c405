"""Write values as readable YAML that our reader reads back unchanged."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

_WIDTH = 90
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_-]*( [A-Za-z0-9_(][A-Za-z0-9_,;()/-]*)*\.?")
_LOOKS_LIKE_VALUE = frozenset("true false null yes no on off y n".split())
# Characters that YAML does not allow or changes: controls, other line breaks, surrogates, BOMs.
_ESCAPED = re.compile("[\x7f-\xa0\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]")


def to_yaml(value: Mapping[str, object]) -> str:
    """Return a mapping of strings, numbers, booleans, None, lists and mappings as YAML.

    Example:
        >>> print(to_yaml({"name": "x", "prompt": "Sum up:\\n{{ text }}", "tags": ["a"]}), end="")
        name: x
        prompt: |-
          Sum up:
          {{ text }}
        tags: [a]
    """
    return "".join(_entry(key, item, "") for key, item in value.items())


def _entry(key: str, value: object, indent: str) -> str:
    head = f"{indent}{_scalar(key, is_key=True)}:"
    if isinstance(value, str) and _fits_block(value):
        keep = "" if value.endswith("\n") else "-"
        lines = (
            f"{indent}  {line}" if line else "" for line in value.removesuffix("\n").split("\n")
        )
        return f"{head} |{keep}\n" + "\n".join(lines) + "\n"
    flow = _flow(value)
    is_short = len(head) + len(flow) < _WIDTH
    if isinstance(value, Mapping) and value and (not indent or not is_short):
        inner = "".join(_entry(k, item, indent + "  ") for k, item in value.items())
        return f"{head}\n{inner}"
    if isinstance(value, (list, tuple)) and value and not is_short:
        return f"{head}\n" + "".join(f"{indent}  - {_flow(item)}\n" for item in value)
    return f"{head} {flow}\n"


def _flow(value: object) -> str:
    if isinstance(value, Mapping):
        return (
            "{"
            + ", ".join(f"{_scalar(k, is_key=True)}: {_flow(v)}" for k, v in value.items())
            + "}"
        )
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_flow, value)) + "]"
    return _scalar(value)


def _scalar(value: object, *, is_key: bool = False) -> str:
    if not isinstance(value, str):
        return json.dumps(value)
    plain = re.fullmatch(r"[a-z][a-z0-9_+-]*", value) if is_key else _PLAIN.fullmatch(value)
    if plain and value.lower() not in _LOOKS_LIKE_VALUE and "," not in value:
        return value
    text = json.dumps(value, ensure_ascii=False)
    return _ESCAPED.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def _fits_block(text: str) -> bool:
    """Whether a string can be written as a literal block (`|`)."""
    lines = text.removesuffix("\n").split("\n")
    return (
        len(lines) > 1
        and bool(lines[0])
        and bool(lines[-1])
        and not text.startswith((" ", "\t"))
        and not any(line.isspace() for line in lines)
        and all(char == "\n" or char == "\t" or char >= " " for char in text)
        and not _ESCAPED.search(text)
    )
