"""The records that a template is tuned on, and their division into parts.

A record has values for the inputs of the template, and `expected` or `label` (a text, a label or
JSON), or `assert`, a list of assertions as in a test, or both. `split: test` marks records of the
final part. Other columns are ignored.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from llmtool.batch.lines import format_place
from llmtool.errors import InputError, OutputValidationError, format_json_error
from llmtool.evals.dataset import SPLIT, read_rows, to_sample
from llmtool.evals.plan import hash_of
from llmtool.prompts.assertions import check_assertion
from llmtool.prompts.schema import Assertion
from llmtool.prompts.validation_errors import explain
from llmtool.sizes import format_count
from llmtool.tasks.pipeline.output_spec import OutputSpec, output_spec_of

if TYPE_CHECKING:
    from llmtool.prompts.template import Template

ASSERT = "assert"
FINAL_SPLIT = "test"
MIN_RECORDS = 20
_FINAL_SHARE = 0.3
_EXAMPLE_SHARE = 1 / 3  # of the records that are not in the final part
_MAX_EXAMPLES = 48
_IN_MEMORY = Path("data")


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """Values for a template's inputs, and what a reply is compared with.

    `key` is a hash of the inputs, and `place` the position in the data, for error messages.
    """

    variables: dict[str, Any]
    expected: str | None
    assertions: tuple[Assertion, ...]
    key: str
    place: str
    is_final: bool = False


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """Records for examples, for selection, and for the final figure; no inputs are in two parts."""

    examples: tuple[Record, ...]
    selection: tuple[Record, ...]
    final: tuple[Record, ...]
    n_duplicates: int = 0


class Data(msgspec.Struct, frozen=True, kw_only=True):
    """Records, with the name and SHA-256 of their file; the name is empty without a file."""

    records: tuple[Record, ...]
    name: str
    sha256: str


def read_data(
    source: str | os.PathLike[str] | Iterable[Mapping[str, Any]], template: Template
) -> Data:
    """Read the records of a JSONL, CSV or TSV file, or of mappings.

    Raises:
        InputError: the file cannot be read, or a record is invalid.

    Example:
        >>> from llmtool.prompts.library import Library
        >>> rows = [{"text": "Great!", "label": "positive"}]
        >>> data = read_data(rows, Library().load("sentiment"))
        >>> data.records[0].variables, data.records[0].expected
        ({'text': 'Great!'}, 'positive')
    """
    if isinstance(source, (str, os.PathLike)):
        path, name = Path(source), Path(source).name
        if not path.exists():
            raise InputError(f"{path}: no such file")
        if path.is_fifo():
            raise InputError(f"{path} is a pipe, which cannot be read twice; use a file")
        rows = list(read_rows(path))
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    else:
        path, name = _IN_MEMORY, ""
        rows = list(enumerate(source, 1))
        sha256 = hash_of([dict(row) for _, row in rows])
    has_form = template.output.kind in ("json", "regex", "grammar")
    spec = output_spec_of(template.output) if has_form else None
    records = tuple(_to_record(path, line, row, template, spec) for line, row in rows)
    return Data(records=records, name=name, sha256=sha256)


def divide(records: Sequence[Record]) -> Parts:
    """Divide records into parts, by the hashes of their inputs, and each label alike.

    Of records with the same inputs, only the first is used. The final part has the records marked
    with `split: test`, or else 30 %.

    Raises:
        InputError: there are too few records.
    """
    unique = list({record.key: record for record in reversed(records)}.values())
    unique.sort(key=lambda record: record.key)
    final = [record for record in unique if record.is_final]
    rest = [record for record in unique if not record.is_final]
    if not final:
        final, rest = _take(unique, round(_FINAL_SHARE * len(unique)))
    if len(unique) < MIN_RECORDS or len(rest) < MIN_RECORDS // 2:
        count = format_count(len(unique), "different record")
        raise InputError(f"{count}, {len(final)} of them for the final figure; {_MORE}")
    examples, selection = _take(rest, min(round(_EXAMPLE_SHARE * len(rest)), _MAX_EXAMPLES))
    return Parts(
        examples=tuple(examples),
        selection=tuple(selection),
        final=tuple(final),
        n_duplicates=len(records) - len(unique),
    )


_MORE = f"add some, at least {MIN_RECORDS} in all and {MIN_RECORDS // 2} for tuning"


def interleave(records: Iterable[Record]) -> list[Record]:
    """Return records ordered so that each label is equally frequent at the beginning.

    Example:
        >>> def record(label: str, key: str) -> Record:
        ...     return Record(variables={}, expected=label, assertions=(), key=key, place="")
        >>> records = [record("a", "1"), record("a", "2"), record("b", "3")]
        >>> [each.key for each in interleave(records)]
        ['1', '3', '2']
    """
    by_answer: dict[str | None, list[Record]] = {}
    for record in records:
        by_answer.setdefault(record.expected, []).append(record)
    ranked = [
        (rank, order, record)
        for order, group in enumerate(by_answer.values())
        for rank, record in enumerate(group)
    ]
    return [record for _, _, record in sorted(ranked, key=lambda each: each[:2])]


def _take(records: Sequence[Record], n: int) -> tuple[list[Record], list[Record]]:
    """Return every k-th record of each label, `n` in all, and the others."""
    grouped = sorted(records, key=lambda record: (record.expected or "", record.key))
    if not _are_labels(records):
        grouped = list(records)
    chosen = {(2 * i + 1) * len(grouped) // (2 * n) for i in range(n)}
    taken = [record for i, record in enumerate(grouped) if i in chosen]
    others = [record for i, record in enumerate(grouped) if i not in chosen]
    return interleave(_by_key(taken)), interleave(_by_key(others))


def _are_labels(records: Sequence[Record]) -> bool:
    """Whether answers repeat, as labels do, so that each part should have all of them."""
    return len({record.expected for record in records}) <= len(records) / 2


def _by_key(records: Iterable[Record]) -> list[Record]:
    return sorted(records, key=lambda record: record.key)


def _to_record(
    path: Path, line: int, row: Mapping[str, Any], template: Template, spec: OutputSpec | None
) -> Record:
    place = format_place(str(path), line)
    sample = to_sample(path, line, row, inputs=template.inputs, output=template.output)
    expected = sample.expected
    if expected is not None and spec is not None:
        expected = _checked(expected, spec, place)
    given = row.get(ASSERT) if ASSERT not in template.inputs else None
    return Record(
        variables=sample.variables,
        expected=expected,
        assertions=tuple(_assertions(given, template, place)) if given else (),
        key=hash_of(msgspec.to_builtins(sample.variables)),
        place=place,
        is_final=SPLIT not in template.inputs and row.get(SPLIT) == FINAL_SPLIT,
    )


def _checked(expected: str, spec: OutputSpec, place: str) -> str:
    """Return an expected answer, JSON in one line.

    Raises:
        InputError: the template does not allow this reply.
    """
    if spec.constraint.kind == "json_schema":
        try:
            spec.parse(expected)
        except OutputValidationError as exc:
            raise InputError(f"{place}: expected: {str(exc).removeprefix('the reply ')}") from exc
        return json.dumps(msgspec.json.decode(expected), ensure_ascii=False)
    if not spec.matches(expected):
        raise InputError(f"{place}: expected: the output of the template does not allow it")
    return expected


def _assertions(value: object, template: Template, place: str) -> Iterator[Assertion]:
    try:
        if isinstance(value, str):  # in a table
            value = msgspec.json.decode(value)
        found = msgspec.convert(value, tuple[Assertion, ...])
    except msgspec.ValidationError as exc:
        _, reason = explain(value, tuple[Assertion, ...], str(exc))
        raise InputError(f"{place}: assert: {reason.removeprefix('the template: ')}") from exc
    except msgspec.DecodeError as exc:
        raise InputError(f"{place}: assert: not valid JSON: {format_json_error(exc)}") from exc
    for assertion in found:
        try:
            yield check_assertion(
                assertion, output=template.output, inputs=template.inputs, is_dataset=False
            )
        except ValueError as exc:
            raise InputError(f"{place}: assert: {exc}") from exc
