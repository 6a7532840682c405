"""Read texts with their true labels, for evaluation and calibration."""

from __future__ import annotations

import json
from typing import NamedTuple

from llmtool.batch.readers import Format, Reader, Record
from llmtool.errors import InputError

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
    format: Format = "csv" if path.lower().endswith((".csv", ".tsv")) else "jsonl"
    found: list[LabelledText] = []
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
        if split is not None and record.fields.get("split") != split:
            continue
        text = _field_text(record, text_field or _text_field(record, label_field))
        label = _field_text(record, label_field).strip()
        found.append(LabelledText(text, label))
    if not found:
        where = f" in split {split!r}" if split else ""
        raise InputError(f"{path}: no labelled texts{where}")
    return found


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
