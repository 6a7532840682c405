"""Each command reads each of its template files once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

from cli.calls import ASKING, FILES, stage
from one_process import run_in_one_process

# Imported by Python at start-up; writes the path of each opened template to a file.
RECORDER = """
import os, sys

def record(event, args):
    if event == "open" and str(args[0]).endswith(".yaml") and "catalogue" not in str(args[0]):
        with os.fdopen(os.open(os.environ["OPENED"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)) as f:
            os.write(f.fileno(), os.fsencode(f"{args[0]}\\n"))

sys.addaudithook(record)
"""


def test_command_reads_each_template_once(
    env: dict[str, str], tiny_model: Callable[..., Path], tmp_path: Path
) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(RECORDER)
    model = tiny_model("plain", n_ctx=2048, printable=True)
    calls: list[tuple[list[str | Path], Path]] = []
    for command, args in ASKING.items():
        if command in ("chat", "prompts test", "prompts tune", "bench", "code complete"):
            continue
        options = () if command.startswith("classify") else ("--max-tokens", "4")
        for output in ((), ("-o", "out.txt")):
            work = tmp_path / f"{command} {len(output)}"
            work.mkdir()
            for name, content in FILES.items():
                (work / name).write_bytes(content)
            if command == "code commit":
                stage(work, env)
            calls.append(([*args, *output, *options, "-m", model], work))
    opened = [work.with_name(f"opened by {work.name}") for _, work in calls]
    done = run_in_one_process(
        calls, env=env, site=tmp_path / "site", each_env=[{"OPENED": str(each)} for each in opened]
    )
    for result, file in zip(done, opened, strict=True):
        counts = Counter(file.read_text().splitlines())
        assert counts and set(counts.values()) == {1}, (file.name, counts, result.stderr)
