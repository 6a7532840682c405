"""`csv_safe`: texts that a spreadsheet would evaluate as formulas start with an apostrophe."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from llmtool.batch.readers import Reader
from llmtool.batch.runner import BatchOptions
from llmtool.batch.writers import CsvRows
from llmtool.config import Folders, Settings
from llmtool.engine.scripted import ScriptedEngine
from llmtool.errors import UsageError
from llmtool.toolbox import Toolbox

FORMULAS = [
    "=1+1",
    '=HYPERLINK("http://a","b")',
    "+1+1",
    "-1+1",
    "-2-3",
    "@SUM(A1)",
    "+49 151 23",
    "--5",
    "\t=1",
    "\r=1",
    "\n=1",
    "-",
    "=",
    "-5 apples",
    "+1e",
    "-.",
    "-1e5x",
    "\uff1d1+1",
    "\uff0b1",
    "\uff20A1",
    "-5\n",
    "-cmd|' /C calc'!A0",
    "+(1)",
]
OTHERS = [
    "-5",
    "+5",
    "-5.25",
    "-1,234.5",
    "+1.5e3",
    "-1E-7",
    "-.5",
    "-,5",
    "-12%",
    "0",
    "1+1",
    "a=b",
    "",
    " ",
    "'=1+1",
    "text - more",
    "a\n=1",
    '["-a"]',
]


def cells(writer: CsvRows, value: object) -> list[str]:
    line = writer.encode({"a": value, "b": "x"}).decode()
    return next(csv.reader(io.StringIO(line, newline=""), delimiter=writer.header.decode()[1]))


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("text", FORMULAS + OTHERS)
def test_formulas_start_with_an_apostrophe(text: str, delimiter: str) -> None:
    safe = CsvRows(["a", "b"], delimiter=delimiter, safe=True)
    assert cells(safe, text) == [f"'{text}" if text in FORMULAS else text, "x"]
    assert cells(CsvRows(["a", "b"], delimiter=delimiter), text) == [text, "x"]


@pytest.mark.parametrize("value", [-5, -0.5, None, ["-1"], {"=a": "=b"}, True])
def test_other_values_are_unchanged(value: object) -> None:
    columns = ["a", "b"]
    assert cells(CsvRows(columns, safe=True), value) == cells(CsvRows(columns), value)


def test_batch_defuses_replies_fields_and_header(tmp_path: Path) -> None:
    folders = Folders(
        **{name: tmp_path / name for name in ("config", "data", "cache", "hub_cache")}
    )
    box = Toolbox(
        engine=ScriptedEngine(lambda prompt: "=cmd()" if "bad" in prompt else "-5"),
        folders=folders,
        settings=Settings(),
        environ={},
    )
    source, out = tmp_path / "in.csv", tmp_path / "out.csv"
    source.write_text("text,=note,n\nbad,@x,-7\nfine,+1+2,+3\n")

    def run(**options: bool) -> list[str]:
        output = BatchOptions(output=out, format="csv", csv_safe=True, **options)
        reader = Reader("csv", [str(source)])
        options_ = {"seed": 1, "temperature": 0.0}
        list(box.prepare_batch("gen", reader, output, field="text", options=options_).run())  # type: ignore[arg-type]
        return out.read_text().splitlines()

    header, first, second = run()
    assert header.startswith("input_text,'=note,n,text,")
    assert first.startswith("bad,'@x,-7,'=cmd(),")
    assert second.startswith("fine,'+1+2,+3,-5,")
    out.write_text(f"{header}\n{first}\n")
    assert run(resume=True) == [header, first, second]
    assert run(retry_failed=True) == [header, first, second]


def test_only_csv_can_be_safe(tmp_path: Path) -> None:
    box = Toolbox(engine=ScriptedEngine())
    with pytest.raises(UsageError, match="csv_safe needs the format csv, not jsonl"):
        box.prepare_batch("gen", Reader("line", [__file__]), BatchOptions(csv_safe=True))
