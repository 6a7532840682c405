"""A JSON Schema, the constraint it makes, and the values that pass it."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any

import msgspec

from llmtool.errors import OutputValidationError, UsageError, format_json_error
from llmtool.structured.constraint import Constraint

if TYPE_CHECKING:
    from jsonschema_rs import ValidationError

_SHOWN = 3  # errors of one reply
_MAX_MESSAGE = 200


class Schema:
    """A JSON Schema and how to make a Python value of what passes it.

    Args:
        json_schema: a JSON Schema (draft 4 to 2020-12; 2020-12 where it does not say).
        build: makes the caller's own type of a reply's (text, value).
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
        """What keeps the model to this schema while it writes."""
        return Constraint("json_schema", msgspec.json.encode(self.json_schema).decode())

    def parse(self, text: str) -> Any:
        """Return the value of a reply: an instance, if the schema came from a type.

        Raises:
            OutputValidationError: it is not JSON or violates the schema; the text says where.

        Example:
            >>> resolve("name, age int").parse('{"name": "Ada", "age": 36}')
            {'name': 'Ada', 'age': 36}
        """
        try:
            value = msgspec.json.decode(text.strip())
        except (msgspec.DecodeError, RecursionError) as exc:
            cut = " (it may have been cut: --max-tokens)" if "truncated" in str(exc) else ""
            raise OutputValidationError(
                f"the reply is not JSON: {format_json_error(exc)}{cut}"
            ) from exc
        errors = list(_first(self._validator.iter_errors(value)))
        if errors:
            raise OutputValidationError(f"the reply breaks its schema: {_told(errors)}")
        return value if self._build is None else self._build(text, value)

    def check(self) -> None:
        """Find out whether this is a JSON Schema at all.

        Raises:
            UsageError: it is not; the text says why and where.
        """
        _ = self._validator

    @cached_property
    def _validator(self) -> Any:
        import jsonschema_rs

        try:
            return jsonschema_rs.validator_for(
                self.json_schema, validate_formats=True, retriever=_refuse
            )
        except jsonschema_rs.ValidationError as exc:
            raise UsageError(f"JSON Schema: {_told([exc])}") from exc
        except (ValueError, RecursionError) as exc:
            raise UsageError(f"JSON Schema: {exc}") from exc


def _refuse(uri: str) -> Any:
    raise ValueError(f"{uri}: references to other documents are not followed")


def _first(errors: Any) -> Any:
    for _, error in zip(range(_SHOWN + 1), errors, strict=False):
        yield error


def _told(errors: list[ValidationError]) -> str:
    lines = [f"{_place(error.instance_path)}: {_short(error.message)}" for error in errors[:_SHOWN]]
    return "; ".join(lines) + ("; and more" if len(errors) > _SHOWN else "")


def _place(path: Any) -> str:
    """Return a place in a value as people write it: `$.tags[0]`."""
    return "$" + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)


def _short(message: str) -> str:
    message = " ".join(message.split())
    return message if len(message) <= _MAX_MESSAGE else message[: _MAX_MESSAGE - 1] + "…"
