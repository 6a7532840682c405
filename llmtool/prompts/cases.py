"""The cases of a template, examples and tests, checked against its inputs and its output."""

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


class PlacedTest(TestCase, frozen=True, kw_only=True):
    """A test and where it stands; a dataset is looked for in the folder of its `file`."""

    file: str
    line: int


class Example(msgspec.Struct, frozen=True):
    """A case with its answer: converted variables, and the reply."""

    variables: dict[str, Any]
    output: str


def convert(raw: RawTemplate, path: Path, spec: Input, value: object) -> object:
    """Return a value of an input, or fail with its place."""
    if spec.type == "file":  # an example or a test holds the text itself
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
            raw.fail((*path, name), f"{name!r} is not among the inputs{suggest(name, inputs)}")
    for name, spec in inputs.items():
        if spec.required and name not in given:
            raw.fail(path, f"{'.'.join(map(str, path))}: the required input {name!r} is missing")
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
        raw.fail(path, f"examples.{index}: a text under `output` is needed")
    if output.kind == "labels" and answer not in output.labels:
        hint = suggest(answer, output.labels)
        raw.fail((*path, "output"), f"examples.{index}: {answer!r} is not among the labels{hint}")
    given = {key: value for key, value in example.items() if key != "output"}
    return Example(_variables(raw, path, given, inputs), str(answer))


def check_test(
    raw: RawTemplate, index: int, test: TestCase, inputs: Mapping[str, Input], output: Output
) -> PlacedTest:
    path: Path = ("tests", index)
    kinds = [key for key in ("vars", "dataset", "invariant") if getattr(test, key) is not UNSET]
    if len(kinds) != 1:
        raw.fail(path, f"tests.{index}: exactly one of vars, dataset and invariant is needed")
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
    return PlacedTest(**{**fields, **changes}, file=file, line=line)


def _check_dataset(raw: RawTemplate, path: Path, name: str) -> str:
    """Return the name of a dataset, which is beside the template or below it."""
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
        raw.fail(path, f"{'.'.join(map(str, path))}: lists of the same length, 2 or more")
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
    from llmtool.prompts.assertions import check_assertion  # not for templates without tests

    try:
        return check_assertion(
            assertion, output=output, inputs=inputs, is_dataset=test.dataset is not UNSET
        )
    except ValueError as exc:
        raw.fail(path, str(exc))
