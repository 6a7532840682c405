"""The rows of a dataset: values for the inputs of a template, and the expected answers.

Columns named like an input contain its values. The answer is in `expected`, or else in `label`.
`split` is the part of the data that a row belongs to. Other columns are ignored.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from llmtool.batch.lines import format_place
from llmtool.batch.readers import Reader
from llmtool.errors import InputError, os_error_reason
from llmtool.prompts import values
from llmtool.prompts.output import Output
from llmtool.prompts.schema import Input
from llmtool.suggest import suggest

MAX_BYTES = 64 << 20
_ANSWERS = ("expected", "label")
SPLIT = "split"


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """A test case: converted variables, and the expected answer, if known.

    `line` is its line in the dataset, or 0 for a case of the template itself.
    """

    name: str
    variables: dict[str, Any]
    expected: str | None = None
    line: int = 0


def read_dataset(
    path: Path, *, inputs: Mapping[str, Input], output: Output, split: str | None = None
) -> list[Sample]:
    """Return the rows of a JSONL, CSV or TSV file, optionally of one split.

    A dataset without splits ignores `split`.

    Raises:
        InputError: the file does not exist, or a row is invalid.

    Example:
        >>> from pathlib import Path
        >>> from llmtool.prompts.library import Library
        >>> template = Library().load("sentiment")
        >>> _ = Path("reviews.csv").write_text("text,label\\nGreat!,positive\\n")
        >>> read_dataset(Path("reviews.csv"), inputs=template.inputs, output=template.output)
        [Sample(name='reviews.csv:2', variables={'text': 'Great!'}, expected='positive', line=2)]
    """
    rows = list(read_rows(path, advice="; check `dataset` in the template"))
    splits = sorted({str(row[SPLIT]) for _, row in rows if row.get(SPLIT) and SPLIT not in inputs})
    if split is not None and splits:
        rows = [(line, row) for line, row in rows if str(row.get(SPLIT)) == split]
        if not rows:
            raise InputError(
                f"{path}: no rows with split {split!r}; available: {', '.join(splits)}"
            )
    if not rows:
        raise InputError(f"{path}: no rows")
    return [to_sample(path, line, row, inputs=inputs, output=output) for line, row in rows]


def to_sample(
    path: Path, line: int, row: Mapping[str, object], *, inputs: Mapping[str, Input], output: Output
) -> Sample:
    """Convert the row in a line of a file.

    Raises:
        InputError: a value is missing or invalid, or the answer is not a label of the template.
    """
    name, place = f"{path.name}:{line}", format_place(str(path), line)
    variables = {}
    for key, spec in inputs.items():
        value = row.get(key)
        if value is None or (value == "" and spec.type not in ("text", "string", "file")):
            if spec.required:
                raise InputError(f"{place}: missing required input {key!r}")
            continue
        if spec.type == "file":  # a dataset contains the text, not a file name
            spec = msgspec.structs.replace(spec, type="text")
        try:
            variables[key] = values.convert(spec, value)
        except ValueError as exc:
            raise InputError(f"{place}: {key}: {exc}") from exc
    keys = [key for key in _ANSWERS if key not in inputs and row.get(key) not in (None, "")]
    if not keys:
        return Sample(name=name, variables=variables, line=line)
    answer = row[keys[0]]
    expected = answer if isinstance(answer, str) else msgspec.json.encode(answer).decode()
    if output.kind == "labels" and expected not in output.labels:
        hint = suggest(expected, output.labels)
        raise InputError(f"{place}: unknown label {expected!r}{hint}")
    return Sample(name=name, variables=variables, expected=expected, line=line)


def read_rows(path: Path, *, advice: str = "") -> Iterator[tuple[int, Mapping[str, object]]]:
    """Yield the lines and values of a JSONL, CSV or TSV file.

    Args:
        advice: what the user can do if the file does not exist.

    Raises:
        InputError: the file cannot be read, or a row is invalid.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"{path} is larger than {MAX_BYTES >> 20} MiB; split it")
    except FileNotFoundError as exc:
        raise InputError(f"{path} not found{advice}") from exc
    except OSError as exc:
        raise InputError(f"cannot read {path}: {os_error_reason(exc)}") from exc
    reader = Reader("jsonl" if path.suffix == ".jsonl" else "csv", [str(path)])
    reader.wait_for_header()
    reader.check_unique_columns()
    for record in reader.wait_for_records():
        if record.error is not None:
            raise record.error
        yield record.line or 0, record.fields
