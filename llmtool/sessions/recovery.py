"""Recover what is valid in a damaged session file."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator
from functools import lru_cache
from typing import TypeVar

import msgspec

from llmtool.sessions.types import Session, StoredTurn, TurnV1, restore_all

S = TypeVar("S", bound=msgspec.Struct)
_DECODER = json.JSONDecoder(strict=False)  # accepts control characters in strings
_HEADER = set(Session.__struct_fields__)


def recover(data: bytes, name: str) -> tuple[Session, int] | None:
    """Return the session in a damaged file, and the number of lines without a recovered turn.

    Bytes that are not UTF-8 are replaced, NUL bytes removed, and fields of a wrong type omitted. A
    header that cannot be recovered is replaced by an empty one. Return None if neither a header nor
    a turn is found.
    """
    is_utf16 = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    text = data.decode("utf-16" if is_utf16 else "utf-8-sig", "replace").replace("\0", "")
    head: Session | None = None
    stored: list[StoredTurn | TurnV1] = []
    n_lost = 0
    for number, line in enumerate(text.split("\n")):
        objects = list(_objects(line))
        found = [turn for each in objects if (turn := _turn(each)) is not None]
        if not number and not found and objects and objects[0].keys() & _HEADER:
            head = _convert({**objects[0], "name": name, "turns": []}, Session)
        elif line.strip() and not found:
            n_lost += 1
        stored += found
    turns = tuple(restore_all(stored))
    if head is None and not turns:
        return None
    head = head or Session(name=name)
    n_omitted = min(head.n_omitted, len(turns))
    return msgspec.structs.replace(head, turns=turns, n_omitted=n_omitted), n_lost


def _objects(line: str) -> Iterator[dict[str, object]]:
    """Yield the JSON objects at the start of a line: lines may have lost the break between them."""
    line, at = line.strip(), 0
    while at < len(line):
        try:
            value, at = _DECODER.raw_decode(line, at)
        except (ValueError, RecursionError):
            return
        if isinstance(value, dict):
            yield value


def _turn(value: dict[str, object]) -> StoredTurn | TurnV1 | None:
    kind: type[StoredTurn | TurnV1] = StoredTurn if "user" in value else TurnV1
    return _convert(value, kind)


def _convert(value: dict[str, object], kind: type[S]) -> S | None:
    """Return a struct of the valid fields of an object, or None if a required field is not."""
    fields = {}
    for field in _fields(kind):
        if field.encode_name in value:
            try:
                text = json.dumps(value[field.encode_name], ensure_ascii=False)
                decoded = msgspec.json.decode(text.encode("utf-8", "replace"), type=field.type)
            except (ValueError, RecursionError):
                continue
            fields[field.name] = decoded
    try:
        return kind(**fields)
    except TypeError:
        return None


@lru_cache(maxsize=3)
def _fields(kind: type[msgspec.Struct]) -> tuple[msgspec.structs.FieldInfo, ...]:
    return msgspec.structs.fields(kind)  # evaluates annotations, which takes 0.1 ms
