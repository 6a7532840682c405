"""A JSON Schema: the constraint for decoding, and the check of the finished reply."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import cached_property, lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Any

import msgspec

from llmtool import worker
from llmtool.errors import InputError, OutputValidationError, UsageError, format_json_error
from llmtool.option_names import option
from llmtool.structured import patterns
from llmtool.structured.constraint import Constraint
from llmtool.structured.references import has_many_paths
from llmtool.suggest import suggest

if TYPE_CHECKING:
    from jsonschema_rs import ValidationError

_MAX_ERRORS = 3  # reported for one reply
_MAX_MESSAGE = 200
_MAX_PATHS = 10_000  # with more, also those of recursive schemas, a child process checks replies
_CHECK_SECONDS = 2  # of its processor time
_TYPES = "array, boolean, integer, null, number, object or string"
# What JSON Schema allows as the value of a keyword, for errors that would list its alternatives.
_KEYWORD_VALUES = {
    "type": "a type name or a list of type names",
    "items": "a schema or a list of schemas",
}
_OTHER_DOCUMENT = "references to other documents are not supported"
_FORMAT = re.compile(r'is not a "(\S+)"$')


class Schema:
    """A JSON Schema, and how to convert a valid reply to a Python value.

    Args:
        json_schema: a JSON Schema of draft 4 to 2020-12; without `$schema`, 2020-12.
        build: converts the (text, value) of a valid reply to the caller's own type.
    """

    def __init__(
        self,
        json_schema: dict[str, Any],
        *,
        build: Callable[[str, object], object] | None = None,
    ) -> None:
        self.json_schema = json_schema
        self._build = build

    @cached_property
    def constraint(self) -> Constraint:
        """The constraint that enforces this schema while decoding."""
        return Constraint("json_schema", msgspec.json.encode(self.json_schema).decode())

    def parse(self, text: str) -> Any:
        """Return the value of a reply: an instance, if the schema was made from a type.

        Raises:
            OutputValidationError: the reply is not valid JSON or violates the schema; the message
                names the path.

        Example:
            >>> from llmtool.structured.resolve import resolve
            >>> resolve("name, age int").parse('{"name": "Ada", "age": 36}')
            {'name': 'Ada', 'age': 36}
        """
        try:
            value = msgspec.json.decode(text.strip())
        except (msgspec.DecodeError, RecursionError) as exc:
            limit = option("max_tokens")
            advice = f"; raise {limit} if it was truncated" if "truncated" in str(exc) else ""
            raise OutputValidationError(
                f"the reply is not valid JSON: {format_json_error(exc)}{advice}"
            ) from exc
        if errors := self._find_errors(value):
            raise OutputValidationError(f"the reply does not match the schema: {errors}")
        return value if self._build is None else self._build(text, value)

    def _find_errors(self, value: object) -> str:
        """Return the errors of a value, "" if it is valid.

        A check takes exponential time if several paths lead to the same subschema.
        """
        if not self._has_many_paths:
            errors = islice(self._validator.iter_errors(value), _MAX_ERRORS + 1)
            return _join_errors(list(errors))
        texts = (msgspec.json.encode(each).decode() for each in (self.json_schema, value))
        try:
            return worker.call(find_errors, *texts, returns=str, seconds=_CHECK_SECONDS)
        except InputError as exc:
            reason = f"the reply cannot be checked with this JSON Schema: {exc}"
            raise OutputValidationError(reason.partition(" to read;")[0]) from exc

    @cached_property
    def _has_many_paths(self) -> bool:
        return has_many_paths(self.json_schema, _MAX_PATHS)

    def check(self) -> None:
        """Check that this is a valid JSON Schema.

        Raises:
            UsageError: it is not valid; the message names the path.
        """
        _ = self._validator

    @cached_property
    def _validator(self) -> Any:
        import jsonschema_rs

        try:
            return jsonschema_rs.validator_for(
                patterns.rewrite(self.json_schema),
                validate_formats=True,
                retriever=_reject_other_documents,
            )
        except jsonschema_rs.ValidationError as exc:
            raise UsageError(f"JSON Schema: {_describe_schema_error(exc)}") from exc
        except RecursionError as exc:
            raise UsageError("JSON Schema: nested too deeply") from exc
        except ValueError as exc:
            raise UsageError(f"JSON Schema: {exc}") from exc


def find_errors(schema: str, text: str) -> str:
    """Return the errors of a JSON value, "" if it is valid; the child process calls it."""
    errors = _decode(schema)._validator.iter_errors(msgspec.json.decode(text))
    return _join_errors(list(islice(errors, _MAX_ERRORS + 1)))


@lru_cache(maxsize=8)
def _decode(schema: str) -> Schema:
    return Schema(msgspec.json.decode(schema))


def _reject_other_documents(uri: str) -> Any:
    raise ValueError(f"'{uri}': {_OTHER_DOCUMENT}; copy the definition into $defs")


def _describe_schema_error(error: ValidationError) -> str:
    causes = [each for branch in getattr(error.kind, "context", ()) for each in branch]
    deepest = max(causes, key=lambda each: len(each.instance_path), default=error)
    if len(deepest.instance_path) > len(error.instance_path):
        return _describe_schema_error(deepest)
    _, ours, why = error.message.partition("ValueError: ")
    if ours and _OTHER_DOCUMENT in why:
        return why
    if error.instance_path[-1:] == ["type"] and isinstance(error.instance, str):
        path, name = _format_path(error.instance_path), error.instance
        return f"{path}: unknown type '{name}'; use {_TYPES}{_hint(name)}"
    expected = _KEYWORD_VALUES.get(str(error.instance_path[-1])) if error.instance_path else None
    if expected and error.schema_path[-1:] == ["anyOf"]:
        found = _shorten(json.dumps(error.instance))
        return f"{_format_path(error.instance_path)}: must be {expected}, not {found}"
    return _join_errors([error])


def _hint(name: str) -> str:
    """Return a suggestion for a type that is named as in Python or SQL."""
    from llmtool.structured.short_form import find_type

    found = (find_type(name) or {}).get("type")
    return f"; did you mean '{found}'?" if found else suggest(name, re.findall("[a-z]{3,}", _TYPES))


def _join_errors(errors: list[ValidationError]) -> str:
    lines = [
        f"{_format_path(error.instance_path)}: {_shorten(error.message)}"
        for error in errors[:_MAX_ERRORS]
    ]
    return "; ".join(lines) + ("; and more" if len(errors) > _MAX_ERRORS else "")


def _format_path(path: Any) -> str:
    """Return the path of a value in JSONPath notation, such as `$.tags[0]`."""
    return "$" + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)


def _shorten(message: str) -> str:
    message = _FORMAT.sub(r"is not a valid \1", " ".join(message.split()))
    return message if len(message) <= _MAX_MESSAGE else message[: _MAX_MESSAGE - 1] + "…"
