"""The rows of a dataset: values for the inputs of a template, and what is expected.

Columns of the inputs' names are their values; the answer is under `expected`, or else under
`label`; `split` says which part of the data a row belongs to. Other columns are left alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from llmtool.batch.readers import Reader
from llmtool.errors import InputError
from llmtool.prompts import values
from llmtool.prompts.output import Output
from llmtool.prompts.schema import Input
from llmtool.suggest import suggest

MAX_BYTES = 64 << 20
_ANSWERS = ("expected", "label")
_SPLIT = "split"


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that a model is asked: converted variables, and the answer where it is known."""

    name: str
    variables: dict[str, Any]
    expected: str | None = None


def read_dataset(
    path: Path, *, inputs: Mapping[str, Input], output: Output, split: str | None = None
) -> list[Sample]:
    """Return the rows of a JSONL, CSV or TSV file, or those of one split.

    Where no row has a split, a split asked for leaves all of them.

    Raises:
        InputError: the file is not there, outside its folder, or wrong; place and reason are told.

    Example:
        >>> read_dataset(Path("triage.csv"), inputs=template.inputs, output=template.output)
        ... # doctest: +SKIP
        [Sample(name='triage.csv:2', variables={'text': 'No login'}, expected='account')]
    """
    rows = list(_rows(path))
    splits = sorted({str(row[_SPLIT]) for _, row in rows if row.get(_SPLIT) and _free(inputs)})
    if split is not None and splits:
        rows = [(line, row) for line, row in rows if str(row.get(_SPLIT)) == split]
        if not rows:
            raise InputError(
                f"{path}: no row is of split {split!r} (there are: {', '.join(splits)})"
            )
    if not rows:
        raise InputError(f"{path}: there are no rows")
    return [_sample(path, line, row, inputs, output) for line, row in rows]


def _free(inputs: Mapping[str, Input]) -> bool:
    return _SPLIT not in inputs


def _sample(
    path: Path, line: int, row: Mapping[str, object], inputs: Mapping[str, Input], output: Output
) -> Sample:
    name = f"{path.name}:{line}"
    variables = {}
    for key, spec in inputs.items():
        value = row.get(key)
        if value is None or (value == "" and spec.type not in ("text", "string", "file")):
            if spec.required:
                raise InputError(f"{path}:{line}: the required input {key!r} is missing")
            continue
        if spec.type == "file":  # a dataset holds the text itself
            spec = msgspec.structs.replace(spec, type="text")
        try:
            variables[key] = values.convert(spec, value)
        except ValueError as exc:
            raise InputError(f"{path}:{line}: {key}: {exc}") from exc
    keys = [key for key in _ANSWERS if key not in inputs and row.get(key) not in (None, "")]
    if not keys:
        return Sample(name=name, variables=variables)
    answer = row[keys[0]]
    expected = answer if isinstance(answer, str) else msgspec.json.encode(answer).decode()
    if output.kind == "labels" and expected not in output.labels:
        hint = suggest(expected, output.labels)
        raise InputError(f"{path}:{line}: {expected!r} is not among the labels{hint}")
    return Sample(name=name, variables=variables, expected=expected)


def _rows(path: Path) -> Iterator[tuple[int, Mapping[str, object]]]:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"{path}: larger than {MAX_BYTES >> 20} MiB")
    except OSError as exc:
        raise InputError(f"{path}: cannot be read ({exc.strerror or exc})") from exc
    for record in filter(None, Reader("jsonl" if path.suffix == ".jsonl" else "csv", [str(path)])):
        if record.error is not None:
            raise record.error
        yield record.line or 0, record.fields
