"""The class for pipelines of Ray Data."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

from llmtool.engine.scripted import ScriptedEngine
from llmtool.ray import Mapper

PAGE = Path(__file__).resolve().parents[2] / "docs" / "remote.md"
START = 'import ray; ray.init("local", num_cpus=8, include_dashboard=False, log_to_driver=False)\n'
WRITE = """import pyarrow, pyarrow.parquet
reviews = pyarrow.table({"id": [1, 2, 3], "review": ["Great!", "Awful.", ""]})
pyarrow.parquet.write_table(reviews, "reviews.parquet")
"""
READ = 'for row in sorted(ray.data.read_parquet("rated").take_all(), key=lambda row: row["id"]):\n'
READ += '    print(row["id"], row["review"], row["label"], row["score"] is None, row["error"])\n'


def test_rows_have_results_errors_and_their_other_columns() -> None:
    mapper = Mapper("title", engine=ScriptedEngine("Rain"))
    found = mapper({"id": [1, 2], "text": ["It rains.", ""]})
    assert found["id"] == [1, 2]
    assert found["input_text"] == ["It rains.", ""]
    assert found["text"] == ["Rain", None]
    assert found["error"][0] is None and "empty" in found["error"][1]


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs the extra `ray`")
def test_pipeline_of_the_documentation_runs(tiny: Path, tmp_path: Path) -> None:
    shown = re.search(r"```python\n(import ray\n.*?)```", PAGE.read_text(), re.DOTALL)
    assert shown is not None
    script = tmp_path / "pipeline.py"
    script.write_text(START + WRITE + shown[1].replace("/srv/models/model.gguf", str(tiny)) + READ)
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, cwd=tmp_path)
    lines = [line for line in done.stdout.splitlines() if line[:1].isdecimal()]  # not Ray's
    assert [line.split()[0] for line in lines] == ["1", "2", "3"], done.stderr
    assert lines[0].endswith("False None") and "Great!" in lines[0]
    assert "None True" in lines[2] and "empty" in lines[2]
