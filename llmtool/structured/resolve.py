"""Convert what a caller passes as a schema (a dictionary, a text, a type) to a `Schema`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec

from llmtool.errors import InputError, OutputValidationError, UsageError, format_json_error
from llmtool.structured.schema import Schema
from llmtool.structured.short_form import read_short_form

MAX_FILE_BYTES = 1 << 20
_PATHS = ("/", "./", "../")  # field names do not begin with these
_FILE_NAME = re.compile(r"[^\s,:{}\[\]]*[./][^\s,:{}\[\]]*")  # one word, unlike a field name


def resolve(schema: object) -> Schema:
    """Return `schema` as a `Schema`.

    Args:
        schema: a JSON Schema as a dictionary or as JSON text; the short form; a dataclass, msgspec
            struct, `TypedDict` or list of these; a pydantic model; or a `Schema`.

    Raises:
        UsageError: it is none of these, or not valid; the message names the error and its path.

    Example:
        >>> resolve("name, age int").json_schema["required"]
        ['name', 'age']
    """
    if isinstance(schema, Schema):
        return schema
    if isinstance(schema, dict):
        return _check(schema)
    if isinstance(schema, str):
        return _from_text(schema)
    if hasattr(schema, "model_json_schema") and hasattr(schema, "model_validate_json"):
        return _from_pydantic(schema)
    return _from_type(schema)


def from_argument(argument: str) -> Schema:
    """Return the schema of a command-line option: the name of a JSON file, or the schema itself.

    Raises:
        InputError: the file cannot be read.
        UsageError: the schema is not valid.
    """
    path = Path(argument)
    try:
        is_file = path.is_file()
    except (OSError, ValueError):
        is_file = False
    if not is_file:
        if path.is_dir() and argument.startswith(_PATHS):
            raise InputError(f"{argument} is a directory; pass a JSON file")
        if (
            _FILE_NAME.fullmatch(argument)
            or argument.endswith(".json")
            or argument.startswith(_PATHS)
        ):
            raise InputError(f"{argument}: no such file")
        return _from_text(argument)
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
        if len(content) > MAX_FILE_BYTES:
            raise InputError(f"{path} is larger than {MAX_FILE_BYTES >> 20} MiB")
        text = content.removeprefix(b"\xef\xbb\xbf").decode()
    except OSError as exc:
        raise InputError(f"cannot read {path}: {(exc.strerror or str(exc)).lower()}") from exc
    except UnicodeDecodeError as exc:
        raise InputError(f"{path}: not valid UTF-8 at byte {exc.start}") from exc
    try:
        return _from_text(text)
    except UsageError as exc:
        raise UsageError(f"{path}: {exc}") from exc


def _check(schema: dict[str, Any]) -> Schema:
    try:
        msgspec.json.encode(schema)
    except (TypeError, ValueError, RecursionError) as exc:
        raise UsageError(f"JSON Schema: cannot be encoded as JSON: {exc}") from exc
    resolved = Schema(schema)
    resolved.check()
    return resolved


def _from_text(text: str) -> Schema:
    bare = text.strip()
    if not bare.startswith("{"):
        return Schema(read_short_form(bare))
    try:
        return _check(msgspec.json.decode(bare, type=dict[str, Any]))
    except (msgspec.DecodeError, RecursionError) as exc:
        if bare[1:].lstrip()[:1] in ('"', "}", ""):
            raise UsageError(f"JSON Schema: not valid JSON: {format_json_error(exc)}") from exc
    return Schema(read_short_form(bare))


def _from_pydantic(model: Any) -> Schema:
    def build(text: str, _value: object) -> object:
        try:
            return model.model_validate_json(text.strip())
        except ValueError as exc:
            errors = exc.errors() if hasattr(exc, "errors") else [{"loc": (), "msg": str(exc)}]
            reason = "; ".join(
                f"{'.'.join(map(str, ('$', *error['loc'])))}: {error['msg']}"
                for error in errors[:3]
            )
            raise OutputValidationError(
                f"the reply is not a valid {model.__name__}: {reason}"
            ) from exc

    return Schema(model.model_json_schema(), build=build)


def _from_type(kind: Any) -> Schema:
    name = getattr(kind, "__name__", repr(kind))

    def build(_text: str, value: object) -> object:
        try:
            return msgspec.convert(value, type=kind)
        except msgspec.ValidationError as exc:
            raise OutputValidationError(f"the reply is not a valid {name}: {exc}") from exc

    expected = "a JSON Schema, a short form, a dataclass or a pydantic model"
    if not isinstance(kind, type) and not hasattr(kind, "__origin__"):
        raise UsageError(f"schema: expected {expected}, got {type(kind).__name__}")
    try:
        schema = msgspec.json.schema(kind)
    except (TypeError, NameError) as exc:
        raise UsageError(
            f"schema: cannot convert {name} to a JSON Schema: {exc}; pass {expected}"
        ) from exc
    return Schema(schema, build=build)
