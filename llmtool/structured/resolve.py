"""Convert what a caller passes as a schema (a dictionary, a text, a type) to a `Schema`."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, Protocol, TypeVar, get_origin, runtime_checkable

import msgspec

from llmtool.errors import (
    InputError,
    OutputValidationError,
    UsageError,
    format_json_error,
    os_error_reason,
)
from llmtool.option_names import option
from llmtool.structured.schema import Schema
from llmtool.structured.short_form import find_type, read_short_form

MAX_FILE_BYTES = 1 << 20
T_co = TypeVar("T_co", covariant=True)
_EXPECTED = "a JSON Schema, a short form, a dataclass or a pydantic model"
_KEYWORDS = frozenset(
    """$anchor $comment $defs $dynamicRef $id $recursiveRef $ref $schema additionalItems
    additionalProperties allOf anyOf const contains default definitions dependencies
    dependentRequired dependentSchemas description else enum examples exclusiveMaximum
    exclusiveMinimum format if items maxContains maxItems maxLength maxProperties maximum
    minContains minItems minLength minProperties minimum multipleOf not oneOf pattern
    patternProperties prefixItems properties propertyNames required then title type
    unevaluatedItems unevaluatedProperties uniqueItems""".split()
)
_PATHS = ("/", "./", "../")  # field names do not begin with these
_FILE_NAME = re.compile(r"[^\s,:{}\[\]]*[./][^\s,:{}\[\]]*")  # one word, unlike a field name


@runtime_checkable
class SchemaAdapter(Protocol[T_co]):
    """A `TypeAdapter` of pydantic, or an object with the same methods."""

    def json_schema(self) -> dict[str, Any]: ...

    def validate_json(self, data: str, /) -> T_co: ...


def resolve(schema: object) -> Schema:
    """Return `schema` as a `Schema`.

    Args:
        schema: a JSON Schema as a dictionary or as JSON text; the short form; a type, such as a
            dataclass, a pydantic model, a `TypedDict`, an enum, or a list or union of these; a
            pydantic `TypeAdapter`; or a `Schema`.

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
    return _from_type(schema)


def from_argument(argument: str) -> Schema:
    """Return the schema of a command-line option: the name of a JSON file, or the schema itself.

    Raises:
        InputError: the file cannot be read.
        UsageError: the schema is not valid.
    """
    path = Path(argument)
    if not os.path.isfile(argument):  # unlike `path.is_file`, also for a long text
        if argument.startswith(_PATHS) and os.path.isdir(argument):
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
        raise InputError(f"cannot read {path}: {os_error_reason(exc)}") from exc
    except UnicodeDecodeError as exc:
        raise InputError(f"{path}: not valid UTF-8 at byte {exc.start}") from exc
    try:
        return _from_text(text)
    except UsageError as exc:
        raise UsageError(f"{path}: {exc}") from exc


def _check(schema: dict[str, Any]) -> Schema:
    unknown = [key for key in schema if key not in _KEYWORDS]
    if any(isinstance(schema[key], str) and find_type(schema[key]) for key in unknown) or (
        unknown and len(unknown) == len(schema)
    ):
        raise UsageError(
            f"JSON Schema: unknown keyword {unknown[0]!r}; write fields under 'properties', or in "
            "the short form: 'name, age int'"
        )
    try:
        msgspec.json.encode(schema)
    except RecursionError as exc:
        raise UsageError("JSON Schema: nested too deeply") from exc
    except (TypeError, ValueError) as exc:
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


def _from_type(kind: Any) -> Schema:
    """Convert a type with msgspec, or with pydantic if it contains types of pydantic.

    msgspec also rejects unions of several dataclasses, which pydantic accepts.
    """
    if isinstance(kind, SchemaAdapter) and not isinstance(kind, type):
        return _from_adapter(kind, "value of the schema")
    if not _is_type(kind):
        raise UsageError(f"{option('schema', kind)}: must be {_EXPECTED}")
    name = _type_name(kind)
    try:
        if hasattr(kind, "__pydantic_core_schema__"):
            raise _PydanticType
        json_schema = msgspec.json.schema(kind, schema_hook=_reject_pydantic)
    except (TypeError, NameError, _PydanticType) as exc:
        error: Exception = exc
        is_union = "unions may not contain more than one" in str(exc)
        if is_union or isinstance(exc, _PydanticType):
            try:
                from pydantic import TypeAdapter

                return _from_adapter(TypeAdapter(kind), name)
            except (ImportError, RuntimeError, TypeError, NameError) as failure:
                error = failure
        reason = " ".join(str(error).split())
        raise UsageError(
            f"schema: cannot convert {name} to a JSON Schema: {reason}; pass {_EXPECTED}"
        ) from error

    def build(_text: str, value: object) -> object:
        try:
            return msgspec.convert(value, type=kind)
        except msgspec.ValidationError as exc:
            raise OutputValidationError(f"the reply is not a valid {name}: {exc}") from exc

    return Schema(json_schema, build=build)


def _from_adapter(adapter: SchemaAdapter[Any], name: str) -> Schema:
    def build(text: str, _value: object) -> object:
        try:
            return adapter.validate_json(text.strip())
        except ValueError as exc:
            errors = exc.errors() if hasattr(exc, "errors") else [{"loc": (), "msg": str(exc)}]
            reason = "; ".join(
                f"{'.'.join(map(str, ('$', *error['loc'])))}: {error['msg']}"
                for error in errors[:3]
            )
            raise OutputValidationError(f"the reply is not a valid {name}: {reason}") from exc

    return Schema(adapter.json_schema(), build=build)


class _PydanticType(Exception):
    """msgspec cannot convert a type, because it contains one of pydantic."""


def _reject_pydantic(kind: Any) -> dict[str, Any]:
    if hasattr(kind, "__pydantic_core_schema__"):
        raise _PydanticType
    raise NotImplementedError


def _is_type(kind: object) -> bool:
    is_alias = hasattr(kind, "__supertype__") or hasattr(kind, "__value__")  # NewType, type X = …
    return isinstance(kind, type) or get_origin(kind) is not None or is_alias


def _type_name(kind: Any) -> str:
    """Return a type as in an annotation, without modules: `list[Person]`."""
    if get_origin(kind) is None:
        return getattr(kind, "__name__", repr(kind))
    return re.sub(r"[\w.<>]+\.(?=\w)", "", str(kind))
