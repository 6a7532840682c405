"""`llmtool prompts tune`: the table, JSON, the plan, the new file, and exit codes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from scripted_model import use_scripted_model

from llmtool.cli.app import load_command
from llmtool.cli.terminal.console import Console
from llmtool.cli.terminal.interrupts import Interrupts
from llmtool.engine.scripted import ScriptedEngine
from llmtool.errors import LlmtoolError

MOOD = """\
llmtool: 1
name: mood
task: classify
form: completion
inputs: {text: {type: text, required: true}}
prompt: "Text: {{ text }}"
prefill: "Mood:"
output: {labels: [good, bad]}
"""
OPTIONS = ("--written", "0")


class Done(NamedTuple):
    code: int
    out: str
    err: str


def score(prompt: str, label: str) -> float:
    """Score labels: right if the prompt shows an example, else always the first label."""
    *shown, last = prompt.split("Text: ")
    is_good = "sunny" in last or "Mood: " not in "".join(shown)
    return -0.1 if (label.strip() == "good") == is_good else -3.0


@pytest.fixture
def folder(env: dict[str, str], cwd: Path) -> Path:
    """The folder of user templates, with a template; its data is in the working directory."""
    folder = Path(env["LLMTOOL_CONFIG_DIR"], "prompts")
    folder.mkdir(parents=True)
    (folder / "mood.yaml").write_text(MOOD)
    rows = [("sunny", "good"), ("muddy", "bad")]
    lines = ["text,label", *(f"{rows[i % 2][0]} {i},{rows[i % 2][1]}" for i in range(50))]
    (cwd / "data.csv").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture
def engine() -> ScriptedEngine:
    return ScriptedEngine(scores=score)


@pytest.fixture
def run(
    env: dict[str, str],
    cwd: Path,
    folder: Path,
    engine: ScriptedEngine,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> Callable[..., Done]:
    """Return `run(*args)`: run the command in this process with the scripted engine."""
    for name, value in env.items():
        if name.startswith("LLMTOOL_"):
            monkeypatch.setenv(name, value)
    monkeypatch.chdir(cwd)
    use_scripted_model(monkeypatch, engine, cwd, "scripted")

    def run(*args: str | Path, console: Console | None = None) -> Done:
        capfd.readouterr()
        code, error = 0, ""
        words = ["tune", *map(str, args), "--data", "data.csv", *OPTIONS]
        try:
            load_command("prompts").main(
                words, standalone_mode=False, obj=console or Console(Interrupts())
            )
        except LlmtoolError as exc:
            code, error = int(exc.exit_code), f"llmtool: {exc}\n"
        out, err = capfd.readouterr()
        return Done(code, out, err + error)

    return run


Run = Callable[..., Done]


def test_better_template_is_written_and_printed_as_a_table(run: Run, folder: Path) -> None:
    done = run("mood")
    assert done.code == 0
    first, *others = [line.split("\t") for line in done.out.splitlines()]
    assert first[0] == "completion" and first[4] == "1.000" and first[7] == "best"
    assert [each[7] for each in others].count("original") == 1
    assert "accuracy 0.533 → 1.000 on 15 records not used for tuning" in done.err
    path = folder / "mood-tuned.yaml"
    assert f"saved {path}\n" in done.err
    assert path.read_text().startswith("llmtool: 1\nname: mood-tuned\nextends: mood\n")


def test_existing_file_is_replaced_only_with_overwrite(
    run: Run, folder: Path, engine: ScriptedEngine
) -> None:
    path = folder / "mood-tuned.yaml"
    path.write_text("old")
    done = run("mood")
    assert (done.code, done.out) == (2, "") and "already exists" in done.err
    assert path.read_text() == "old" and not engine.prompts
    assert run("mood", "--overwrite").code == 0
    assert path.read_text() != "old"


def test_template_that_is_not_better_is_written_only_on_request(
    run: Run, folder: Path, engine: ScriptedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "_scores", lambda prompt, label: -0.1 if label == " good" else -0.2)
    done = run("mood")
    assert done.code == 15 and "better than 'mood'" in done.err
    assert not (folder / "mood-tuned.yaml").exists() and done.out
    assert run("mood", "--always-write").code == 15
    assert (folder / "mood-tuned.yaml").exists()


def test_dry_run_prints_the_plan_without_a_model(
    run: Run, folder: Path, engine: ScriptedEngine
) -> None:
    done = run("mood", "--dry-run", "--budget", "200")
    lines = dict(line.split("\t") for line in done.out.splitlines())
    assert lines["records"] == "50: 12 for examples, 23 for selection, 15 for the final figure"
    assert lines["records to run"].endswith("of 200")
    assert done.code == 0 and not engine.prompts
    plan = json.loads(run("mood", "--dry-run", "--json").out)
    assert plan["n_calls"] <= plan["budget"] == 500


def test_json_has_all_trials_and_the_template(run: Run) -> None:
    found = json.loads(run("mood", "--json").out)
    assert found["is_better"] and found["final"]["tuned"] == 1.0
    assert found["trials"][0]["is_best"] and found["n_calls"] <= found["plan"]["n_calls"]
    assert "extends: mood\n" in found["text"]


def test_new_template_is_beside_one_that_is_named_by_path(run: Run, cwd: Path) -> None:
    (cwd / "mood.yaml").write_text(MOOD)
    assert run("./mood.yaml", "-o", "better.yaml").code == 0
    text = (cwd / "better.yaml").read_text()
    assert 'name: better\nextends: "./mood.yaml"\n' in text
    done = run("./mood.yaml", "-o", "../better.yaml")
    assert done.code == 2 and "must be in the folder of mood.yaml" in done.err


def test_original_is_never_replaced(run: Run, cwd: Path, engine: ScriptedEngine) -> None:
    (cwd / "mood.yaml").write_text(MOOD)
    done = run("./mood.yaml", "-o", "mood.yaml", "--overwrite")
    assert done.code == 2 and "is also an input" in done.err
    assert (cwd / "mood.yaml").read_text() == MOOD and not engine.prompts


def test_terminal_gets_a_line_for_each_interval(run: Run) -> None:
    made = Console(Interrupts())
    made.stdout.is_terminal = True
    lines = run("mood", "--color", "never", console=made).out.splitlines()
    assert lines[0].split() == [*"candidate records accuracy 0 95 % interval 1".split()]
    best = next(line for line in lines if line.rstrip().endswith("● best"))
    assert best.startswith("completion, 6 ") and " 1.000 " in best
    assert [line.split()[0] for line in lines[-2:]] == ["original", "tuned"]


def test_plot_is_drawn(run: Run, cwd: Path) -> None:
    assert run("mood", "--plot", "plot.svg").code == 0
    assert "15 records" in (cwd / "plot.svg").read_text()
