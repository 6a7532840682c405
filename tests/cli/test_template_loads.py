"""Each command reads each of its template files once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cli.calls import ASKING, FILES, stage

ROOT = Path(__file__).resolve().parent.parent.parent
# Imported by Python at start-up; writes the path of each opened template to a file.
RECORDER = """
import os, sys

def record(event, args):
    if event == "open" and str(args[0]).endswith(".yaml") and "catalogue" not in str(args[0]):
        with os.fdopen(os.open(os.environ["OPENED"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)) as f:
            os.write(f.fileno(), os.fsencode(f"{args[0]}\\n"))

sys.addaudithook(record)
"""


@pytest.mark.parametrize("output", [(), ("-o", "out.txt")], ids=["stdout", "file"])
@pytest.mark.parametrize(
    "command",
    [name for name in ASKING if name not in ("chat", "prompts test", "bench", "code complete")],
)
def test_command_reads_each_template_once(
    run_llmtool_process: Callable[..., Any],
    env: dict[str, str],
    tiny_model: Callable[..., Path],
    tmp_path: Path,
    command: str,
    output: tuple[str, ...],
) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(RECORDER)
    work = tmp_path / "work"
    work.mkdir()
    for name, content in FILES.items():
        (work / name).write_bytes(content)
    stage(work, env)
    opened = tmp_path / "opened"
    model = tiny_model("plain", n_ctx=2048, printable=True)
    options = () if command.startswith("classify") else ("--max-tokens", "4")
    result = run_llmtool_process(
        *ASKING[command], *output, *options, "-m", model,
        cwd=work, env={"PYTHONPATH": f"{tmp_path / 'site'}:{ROOT}", "OPENED": str(opened)},
    )  # fmt: skip
    counts = Counter(opened.read_text().splitlines())
    assert counts and set(counts.values()) == {1}, (counts, result.stderr)
