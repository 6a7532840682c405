"""Explain why msgspec rejects a template; imported only after an error."""

from __future__ import annotations

import re

import msgspec

from llmtool.field_types import choices_at, fields_at
from llmtool.safe_yaml import Path
from llmtool.suggest import suggest

_SEGMENT = re.compile(r"\.([^.\[]+)|\[(\d+)\]|(\[\.\.\.\])")
_YAML_TYPES = {
    "object": "a mapping",
    "array": "a list",
    "str": "a string",
    "int": "an integer",
    "float": "a number",
    "bool": "true or false",
    "null": "nothing",
}
_LIMITS = {">=": "of at least", "<=": "of at most", ">": "above"}


def explain(value: object, kind: type[object], message: str) -> tuple[Path, str]:
    """Return the path of the invalid part of `value`, and the reason in YAML's terms.

    `message` is msgspec's error for the conversion of `value` to `kind`.
    """
    reason, _, where = message.partition(" - at ")
    path = _locate(value, kind, message, where.strip("`")) if where else ()
    if unknown := re.search(r"unknown field `(.*)`", reason):
        key = unknown[1]
        return (*path, key), f"unknown key {key!r}{suggest(key, fields_at(kind, path))}"
    if missing := re.search(r"missing required field `(.*)`", reason):
        return path, f"{_dotted((*path, missing[1]))} is missing"
    if choice := re.search(r"Invalid enum value '(.*)'", reason):
        known = choices_at(kind, path)
        hint = suggest(choice[1], known) or f"; choose one of {', '.join(known)}"
        return path, f"{_dotted(path)}: unknown value {choice[1]!r}{hint}"
    return path, f"{_dotted(path)}: {_in_yaml_terms(reason)}"


def _locate(value: object, kind: type[object], message: str, where: str) -> Path:
    """Return the path of an error; msgspec writes `[...]` for the key of a mapping.

    Bisection finds the key: the half of the mapping with the same message contains it.
    """
    path: Path = ()
    for name, index, any_key in _SEGMENT.findall(where):
        if not any_key:
            path = (*path, int(index) if index else name)
            continue
        mapping = _value_at(value, path)
        mapping = mapping if isinstance(mapping, dict) else {}
        keys = list(mapping)
        while len(keys) > 1:
            half = keys[: len(keys) // 2]
            trial = _replace_at(value, path, {key: mapping[key] for key in half})
            keys = half if _error_message(kind, trial) == message else keys[len(half) :]
        if keys:
            value, path = _replace_at(value, path, {keys[0]: mapping[keys[0]]}), (*path, keys[0])
    return path


def _error_message(kind: type[object], value: object) -> str:
    try:
        msgspec.convert(value, kind, strict=False)
    except msgspec.ValidationError as exc:
        return str(exc)
    return ""


def _value_at(value: object, path: Path) -> object:
    for key in path:
        if isinstance(value, dict):
            value = value[key]
        elif isinstance(value, list) and isinstance(key, int):
            value = value[key]
    return value


def _replace_at(value: object, path: Path, part: object) -> object:
    """Return a copy of `value` with `part` at `path`."""
    if not path:
        return part
    key, rest = path[0], path[1:]
    if isinstance(value, dict):
        return {**value, key: _replace_at(value[key], rest, part)}
    assert isinstance(value, list) and isinstance(key, int)
    return [*value[:key], _replace_at(value[key], rest, part), *value[key + 1 :]]


def _dotted(path: Path) -> str:
    return ".".join(map(str, path)) or "the template"


def _in_yaml_terms(reason: str) -> str:
    def name(types: re.Match[str]) -> str:
        names = [each for each in types[1].split(" | ") if each != "null"] or ["null"]
        return " or ".join(_YAML_TYPES.get(each, each) for each in names)

    text = re.sub("`([^`]*)`", name, reason)
    text = re.sub("^Expected (.*), got (.*)", r"must be \1, not \2", text)
    text = re.sub("^Expected ", "must be ", text).removesuffix(".0")
    for sign, words in _LIMITS.items():
        text = text.replace(f" {sign} ", f" {words} ")
    return text[0].lower() + text[1:]
