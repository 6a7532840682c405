"""The output format of a template."""

from __future__ import annotations

import re
import warnings
from typing import Any, Literal

import msgspec
from msgspec import UNSET

from llmtool.errors import UsageError
from llmtool.prompts.raw_template import RawTemplate
from llmtool.prompts.schema import OutputFile
from llmtool.safe_yaml import core

OutputKind = Literal["text", "labels", "json", "grammar", "regex", "code"]


class Output(msgspec.Struct, frozen=True, kw_only=True):
    """The format of a reply. The field with the name of `kind` is set.

    `labels` maps each label to its description, which may be empty. `code` is a language, or empty
    for any.
    """

    kind: OutputKind = "text"
    labels: dict[str, str] = {}
    json: dict[str, Any] | None = None
    grammar: str | None = None
    regex: str | None = None
    code: str = ""


def check_output(raw: RawTemplate, output: str | OutputFile) -> Output:
    """Validate the output of a template, which must have exactly one kind."""
    if isinstance(output, str):
        return Output(kind=output)  # type: ignore[arg-type]
    kinds = given(output)
    if len(kinds) != 1:
        found = ", ".join(kinds) or "none"
        raw.fail(("output",), f"output: needs exactly one kind, got {found}")
    kind, value = kinds.popitem()
    if kind == "labels":
        names = dict.fromkeys(value) if isinstance(value, list) else value
        if len(names) < len(value) or not names or not all(name.strip() for name in names):
            raw.fail(("output", "labels"), "output.labels: labels must be unique and not empty")
        return Output(kind="labels", labels={name: text or "" for name, text in names.items()})
    if kind == "json" and isinstance(value, str):
        from llmtool.structured.resolve import resolve

        if not isinstance(core(value), str):
            text = f"output.json: must be a schema, such as 'name, age int', not {value}"
            raw.fail(("output", "json"), text)
        try:
            return Output(kind="json", json=resolve(str(value)).json_schema)
        except UsageError as exc:
            raw.fail(("output", "json"), f"output.json: {str(exc).removeprefix('schema: ')}")
    if kind == "json":
        return Output(kind="json", json=core(value))  # type: ignore[arg-type]
    if kind == "regex":
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # "Possible nested set"
                re.compile(value)
        except (re.error, OverflowError, RecursionError) as exc:
            raw.fail(("output", "regex"), f"output.regex: {exc}")
    return Output(kind=kind, **{kind: str(value)})  # type: ignore[arg-type]


def given(struct: msgspec.Struct) -> dict[str, Any]:
    """Return the fields of a struct that are set."""
    return {
        key: value for key, value in msgspec.structs.asdict(struct).items() if value is not UNSET
    }
