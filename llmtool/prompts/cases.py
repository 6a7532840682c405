"""Validation of a template's examples and tests against its inputs and its output."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import UNSET

from llmtool.prompts import values
from llmtool.prompts.output import Output
from llmtool.prompts.raw_template import RawTemplate
from llmtool.prompts.schema import Assertion, Input, TestCase
from llmtool.safe_yaml import Path
from llmtool.suggest import suggest

DATASETS = (".jsonl", ".csv", ".tsv")


class LocatedTest(TestCase, frozen=True, kw_only=True):
    """A test with its file and line. The path of a dataset is relative to the file's folder."""

    file: str
    line: int


class Example(msgspec.Struct, frozen=True):
    """An example: converted variables and the expected reply."""

    variables: dict[str, Any]
    output: str


def convert(raw: RawTemplate, path: Path, spec: Input, value: object) -> object:
    """Convert the value of an input, or fail with its position."""
    if spec.type == "file":  # examples and tests contain the text itself
        spec = msgspec.structs.replace(spec, type="text")
    try:
        return values.convert(spec, value)
    except ValueError as exc:
        raw.fail(path, f"{'.'.join(map(str, path))}: {exc}")


def _variables(
    raw: RawTemplate, path: Path, given: Mapping[str, object], inputs: Mapping[str, Input]
) -> dict[str, Any]:
    for name in given:
        if name not in inputs:
            raw.fail((*path, name), f"unknown input {name!r}{suggest(name, inputs)}")
    for name, spec in inputs.items():
        if spec.required and name not in given:
            raw.fail(path, f"{'.'.join(map(str, path))}: required input {name!r} is missing")
    return {name: convert(raw, (*path, name), inputs[name], value) for name, value in given.items()}


def check_example(
    raw: RawTemplate,
    index: int,
    example: dict[str, object],
    inputs: Mapping[str, Input],
    output: Output,
) -> Example:
    path: Path = ("examples", index)
    answer = example.get("output")
    if not isinstance(answer, str):
        raw.fail(path, f"examples.{index}: 'output' must be a string")
    if output.kind == "labels" and answer not in output.labels:
        hint = suggest(answer, output.labels)
        raw.fail((*path, "output"), f"examples.{index}: unknown label {answer!r}{hint}")
    given = {key: value for key, value in example.items() if key != "output"}
    return Example(_variables(raw, path, given, inputs), str(answer))


def check_test(
    raw: RawTemplate, index: int, test: TestCase, inputs: Mapping[str, Input], output: Output
) -> LocatedTest:
    path: Path = ("tests", index)
    kinds = [key for key in ("vars", "dataset", "invariant") if getattr(test, key) is not UNSET]
    if len(kinds) != 1:
        raw.fail(path, f"tests.{index}: needs exactly one of vars, dataset and invariant")
    file, line = raw.position_of(path)
    changes: dict[str, Any] = {
        "assertions": tuple(
            _assertion(raw, (*path, "assert", number), assertion, test, inputs, output)
            for number, assertion in enumerate(test.assertions)
        )
    }
    if test.vars is not UNSET:
        changes["vars"] = _variables(raw, (*path, "vars"), test.vars, inputs)
    elif test.dataset is not UNSET:
        file, _ = raw.position_of((*path, "dataset"))
        changes["dataset"] = _check_dataset(raw, (*path, "dataset"), test.dataset)
    elif test.invariant is not UNSET:
        changes["invariant"] = _check_invariant(raw, (*path, "invariant"), test.invariant, inputs)
    fields = {name: getattr(test, name) for name in TestCase.__struct_fields__}
    return LocatedTest(**{**fields, **changes}, file=file, line=line)


def _check_dataset(raw: RawTemplate, path: Path, name: str) -> str:
    """Return the path of a dataset, which must be in the template's folder or below it."""
    name, parts = str(name), re.split(r"[/\\]", name)
    if name.startswith(("/", "~")) or ".." in parts or ":" in parts[0] or "\\" in name:
        raw.fail(path, f"dataset: {name!r} is not a path below the template's folder")
    if not name.endswith(DATASETS):
        raw.fail(path, f"dataset: {name!r} does not end in {', '.join(DATASETS)}")
    return name


def _check_invariant(
    raw: RawTemplate, path: Path, columns: Mapping[str, list[Any]], inputs: Mapping[str, Input]
) -> dict[str, list[Any]]:
    rows = [len(column) for column in columns.values()]
    if not rows or min(rows) != max(rows) or rows[0] < 2:
        raw.fail(path, f"{'.'.join(map(str, path))}: needs lists of the same length, at least 2")
    cases = [
        _variables(raw, path, {name: column[row] for name, column in columns.items()}, inputs)
        for row in range(rows[0])
    ]
    return {name: [case[name] for case in cases] for name in columns}


def _assertion(
    raw: RawTemplate,
    path: Path,
    assertion: Assertion,
    test: TestCase,
    inputs: Mapping[str, Input],
    output: Output,
) -> Assertion:
    from llmtool.prompts.assertions import check_assertion  # only templates with tests need it

    try:
        return check_assertion(
            assertion, output=output, inputs=inputs, is_dataset=test.dataset is not UNSET
        )
    except ValueError as exc:
        raw.fail(path, str(exc))
