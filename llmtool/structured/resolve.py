"""From what a caller has (a dictionary, a text, a type) to one `Schema`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec

from llmtool.errors import InputError, OutputValidationError, UsageError, format_json_error
from llmtool.structured.schema import Schema
from llmtool.structured.short_form import read_short_form

MAX_FILE_BYTES = 1 << 20
_PATHS = ("/", "./", "../")  # how no field begins
_LONE_WORD = re.compile(r"[^\s,:{}\[\]]*[./][^\s,:{}\[\]]*")  # a lone word that is no field


def resolve(schema: object) -> Schema:
    """Return the schema that `schema` stands for.

    Args:
        schema: a JSON Schema as a dictionary or as JSON text; the short form; a dataclass, msgspec
            struct, `TypedDict` or list of these; a pydantic model; or a `Schema`.

    Raises:
        UsageError: it is none of these, or it is broken; the text says what and where.

    Example:
        >>> resolve("name, age int").json_schema["required"]
        ['name', 'age']
    """
    if isinstance(schema, Schema):
        return schema
    if isinstance(schema, dict):
        return _checked(schema)
    if isinstance(schema, str):
        return _from_text(schema)
    if hasattr(schema, "model_json_schema") and hasattr(schema, "model_validate_json"):
        return _from_pydantic(schema)
    return _from_type(schema)


def from_argument(argument: str) -> Schema:
    """Return the schema of a command's option: a JSON file's, or that of the text itself.

    Raises:
        InputError: the file cannot be read.
        UsageError: the text, or the file's, is no schema.
    """
    path = Path(argument)
    try:
        is_file = path.is_file()
    except (OSError, ValueError):
        is_file = False
    if not is_file:
        if path.is_dir() and argument.startswith(_PATHS):
            raise InputError(f"{argument}: is a directory")
        if (
            _LONE_WORD.fullmatch(argument)
            or argument.endswith(".json")
            or argument.startswith(_PATHS)
        ):
            raise InputError(f"{argument}: no such file")
        return _from_text(argument)
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
        if len(content) > MAX_FILE_BYTES:
            raise InputError(f"{path}: larger than {MAX_FILE_BYTES >> 20} MiB")
        text = content.removeprefix(b"\xef\xbb\xbf").decode()
    except OSError as exc:
        raise InputError(f"{path}: cannot be read ({exc.strerror or exc})") from exc
    except UnicodeDecodeError as exc:
        raise InputError(f"{path}: not UTF-8 at byte {exc.start}") from exc
    try:
        return _from_text(text)
    except UsageError as exc:
        raise UsageError(f"{path}: {exc}") from exc


def _checked(schema: dict[str, Any]) -> Schema:
    try:
        msgspec.json.encode(schema)
    except (TypeError, ValueError, RecursionError) as exc:
        raise UsageError(f"JSON Schema: cannot be written as JSON: {exc}") from exc
    resolved = Schema(schema)
    resolved.check()
    return resolved


def _from_text(text: str) -> Schema:
    bare = text.strip()
    if not bare.startswith("{"):
        return Schema(read_short_form(bare))
    try:
        return _checked(msgspec.json.decode(bare, type=dict[str, Any]))
    except (msgspec.DecodeError, RecursionError) as exc:
        if bare[1:].lstrip()[:1] in ('"', "}", ""):
            raise UsageError(f"JSON Schema: not JSON: {format_json_error(exc)}") from exc
    return Schema(read_short_form(bare))


def _from_pydantic(model: Any) -> Schema:
    def build(text: str, _value: object) -> object:
        try:
            return model.model_validate_json(text.strip())
        except ValueError as exc:
            problems = exc.errors() if hasattr(exc, "errors") else [{"loc": (), "msg": str(exc)}]
            told = "; ".join(
                f"{'.'.join(map(str, ('$', *one['loc'])))}: {one['msg']}" for one in problems[:3]
            )
            raise OutputValidationError(f"the reply is no {model.__name__}: {told}") from exc

    return Schema(model.model_json_schema(), build=build)


def _from_type(kind: Any) -> Schema:
    name = getattr(kind, "__name__", repr(kind))

    def build(_text: str, value: object) -> object:
        try:
            return msgspec.convert(value, type=kind)
        except msgspec.ValidationError as exc:
            raise OutputValidationError(f"the reply is no {name}: {exc}") from exc

    expected = "a JSON Schema, a short form, a dataclass or a pydantic model"
    if not isinstance(kind, type) and not hasattr(kind, "__origin__"):
        raise UsageError(f"schema: expected {expected}, got {type(kind).__name__}")
    try:
        schema = msgspec.json.schema(kind)
    except (TypeError, NameError) as exc:
        raise UsageError(
            f"schema: {name} cannot be described: {exc} (expected {expected})"
        ) from exc
    return Schema(schema, build=build)
