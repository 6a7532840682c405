"""Read texts with their true labels, for evaluation and calibration."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import NamedTuple

from llmtool.batch.readers import Format, Reader, Record
from llmtool.errors import InputError
from llmtool.text.separators import COMMA

_SEPARATOR = f"{COMMA}|[;|]"
_JSONL_SUFFIXES = (".jsonl", ".ndjson", ".json")


class LabelledText(NamedTuple):
    """A text and its true label."""

    text: str
    label: str


def read_labelled_texts(
    path: str,
    *,
    text_field: str | None = None,
    label_field: str = "label",
    split: str | None = None,
) -> list[LabelledText]:
    """Return the labelled texts of a CSV or JSONL file.

    Args:
        text_field: the field of the text; None uses the only field besides the label and "split",
            else "text" or "input".
        split: read only the records whose field "split" has this value.

    Raises:
        InputError: the file or a record is invalid, or has no text or label.
    """
    found = []
    for record in _records(path, split):
        text = _field_text(record, text_field or _text_field(record, label_field))
        found.append(LabelledText(text, _field_text(record, label_field).strip()))
    return found


def read_multi_labelled_texts(
    path: str, *, text_field: str | None = None
) -> list[tuple[str, list[str]]]:
    """Return texts with any number of labels.

    The labels are in the field "labels" or "label": an array, or a text in which they are separated
    by commas or semicolons. An empty one means that no label fits.

    Raises:
        InputError: the file or a record is invalid, or has no text or labels.
    """
    found = []
    for record in _records(path, None):
        field = "labels" if "labels" in record.fields else "label"
        text = _field_text(record, text_field or _text_field(record, field))
        found.append((text, _labels(record, field)))
    return found


def _records(path: str, split: str | None) -> Iterator[Record]:
    """Yield the records of a file, or of a split.

    Raises:
        InputError: the file or a record is invalid, or there is none.
    """
    format: Format = "csv" if path.lower().endswith((".csv", ".tsv")) else "jsonl"
    n_found = 0
    reader = Reader(format, [path])
    reader.wait_for_header()
    reader.check_unique_columns()
    for record in reader.wait_for_records():
        if record.error is not None:
            if (
                isinstance(record.error, InputError)
                and format == "jsonl"
                and not path.lower().endswith(_JSONL_SUFFIXES)
            ):
                raise InputError(f"{record.error}; use a .jsonl or .csv file") from record.error
            raise record.error
        if split is None or record.fields.get("split") == split:
            n_found += 1
            yield record
    if not n_found:
        where = f" in split {split!r}" if split else ""
        raise InputError(f"{path}: no labelled texts{where}")


def _labels(record: Record, field: str) -> list[str]:
    value = record.fields.get(field)
    if isinstance(value, str) and value.lstrip().startswith("["):  # as in the rows of a batch
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raise InputError(f"{record.place}: {field}: not a valid JSON array") from None
    if isinstance(value, str):
        return [name for name in map(str.strip, re.split(_SEPARATOR, value)) if name]
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise InputError(f"{record.place}: {field}: must be a list of labels")
    return value


def _text_field(record: Record, label_field: str) -> str:
    others = [name for name in record.fields if name not in (label_field, "split")]
    if len(others) == 1:
        return others[0]
    return "input" if "input" in others and "text" not in others else "text"


def _field_text(record: Record, name: str) -> str:
    value = record.fields.get(name)
    if isinstance(value, (bool, int)):
        value = json.dumps(value)
    if not isinstance(value, str) or not value.strip():
        known = ", ".join(record.fields) or "none"
        fault = "no text in column" if name in record.fields else "unknown column"
        raise InputError(f"{record.place}: {fault} {name!r}; columns: {known}")
    return value
