"""The cases of a template, examples and tests, checked against its inputs and its output."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import UNSET

from llmtool.prompts import values
from llmtool.prompts.draft import Draft
from llmtool.prompts.output import Output
from llmtool.prompts.schema import Assertion, Input, TestCase
from llmtool.safe_yaml import Path, core


class Example(msgspec.Struct, frozen=True):
    """A case with its answer: converted variables, and the reply."""

    variables: dict[str, Any]
    output: str


def convert(draft: Draft, path: Path, spec: Input, value: object) -> object:
    """Return a value of an input, or fail with its place."""
    if spec.type == "file":  # an example or a test holds the text itself
        spec = msgspec.structs.replace(spec, type="text")
    try:
        return values.convert(spec, value)
    except ValueError as exc:
        draft.fail(path, f"{'.'.join(map(str, path))}: {exc}")


def _variables(
    draft: Draft, path: Path, given: Mapping[str, object], inputs: Mapping[str, Input]
) -> dict[str, Any]:
    for name in given:
        if name not in inputs:
            from llmtool.prompts.nearest import nearest

            draft.fail((*path, name), f"{name!r} is not among the inputs{nearest(name, inputs)}")
    for name, spec in inputs.items():
        if spec.required and name not in given:
            draft.fail(path, f"{'.'.join(map(str, path))}: the required input {name!r} is missing")
    return {
        name: convert(draft, (*path, name), inputs[name], value) for name, value in given.items()
    }


def check_example(
    draft: Draft,
    index: int,
    example: dict[str, object],
    inputs: Mapping[str, Input],
    output: Output,
) -> Example:
    path: Path = ("examples", index)
    answer = example.get("output")
    if not isinstance(answer, str):
        draft.fail(path, f"examples.{index}: a text under `output` is needed")
    if output.kind == "labels" and answer not in output.labels:
        from llmtool.prompts.nearest import nearest

        hint = nearest(answer, output.labels)
        draft.fail((*path, "output"), f"examples.{index}: {answer!r} is not among the labels{hint}")
    given = {key: value for key, value in example.items() if key != "output"}
    return Example(_variables(draft, path, given, inputs), str(answer))


def check_test(
    draft: Draft, index: int, test: TestCase, inputs: Mapping[str, Input], output: Output
) -> TestCase:
    path: Path = ("tests", index)
    kinds = [key for key in ("vars", "dataset", "invariant") if getattr(test, key) is not UNSET]
    if len(kinds) != 1:
        draft.fail(path, f"tests.{index}: exactly one of vars, dataset and invariant is needed")
    changes: dict[str, Any] = {
        "assertions": tuple(
            _assertion(draft, (*path, "assert", number), assertion, output)
            for number, assertion in enumerate(test.assertions)
        )
    }
    if test.vars is not UNSET:
        changes["vars"] = _variables(draft, (*path, "vars"), test.vars, inputs)
    elif test.invariant is not UNSET:
        rows = [len(column) for column in test.invariant.values()]
        if not rows or min(rows) != max(rows) or rows[0] < 2:
            draft.fail(path, f"tests.{index}.invariant: lists of the same length, 2 or more")
        cases = [
            _variables(
                draft,
                (*path, "invariant"),
                {name: column[row] for name, column in test.invariant.items()},
                inputs,
            )
            for row in range(rows[0])
        ]
        changes["invariant"] = {name: [case[name] for case in cases] for name in test.invariant}
    return msgspec.structs.replace(test, **changes)


_TEXT_VALUES = ("equals", "contains", "regex", "label", "language", "syntax")


def _assertion(draft: Draft, path: Path, assertion: Assertion, output: Output) -> Assertion:
    kind = assertion.type.removeprefix("not-")
    value = assertion.value
    if kind in _TEXT_VALUES and kind != "syntax" and not isinstance(value, str):
        draft.fail(path, f"an assertion of type {assertion.type} needs a text as its value")
    label = value if kind == "label" else assertion.label
    if label is not None and output.kind == "labels" and label not in output.labels:
        from llmtool.prompts.nearest import nearest

        draft.fail(path, f"{label!r} is not among the labels{nearest(str(label), output.labels)}")
    if kind in ("score", "accuracy", "macro-f1") and assertion.min is assertion.max is None:
        draft.fail(path, f"an assertion of type {assertion.type} needs a min or a max")
    value = str(value) if isinstance(value, str) and kind in _TEXT_VALUES else core(value)
    return msgspec.structs.replace(assertion, value=value)
