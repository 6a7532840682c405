"""`llmtool classify` on a terminal: bars, abstained texts, progress of an evaluation."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from command import LLMTOOL
from terminal.screen import Terminal

DATA = Path(__file__).resolve().parent.parent / "data" / "topic.jsonl"
SPORT = "The striker scored a hat-trick in the cup final."


def rows(terminal: Terminal) -> list[str]:
    return [row for row in terminal.screen() if row]


def test_labels_are_rows_with_bars_best_first(env: dict[str, str], tiny: Path) -> None:
    with Terminal([*LLMTOOL, "classify", SPORT, "-t", "topic", "-m", tiny], env) as terminal:
        assert terminal.exit_status == 0
        heading, *shown = rows(terminal)
    assert heading.split() == ["label", "score"]
    scores = [float(row.split()[1]) for row in shown]
    bars = [row.count("█") for row in shown]
    assert len(shown) == 5 and scores == sorted(scores, reverse=True)
    assert all(abs(bar - 20 * score) <= 1 for bar, score in zip(bars, scores, strict=True))


def test_abstained_text_shows_its_scores(env: dict[str, str], tiny: Path) -> None:
    args = ["-t", "topic", "-m", tiny, "--min-margin", "1"]
    with Terminal([*LLMTOOL, "classify", SPORT, *args], env) as terminal:
        assert terminal.exit_status == 15
        *table, why = rows(terminal)
    assert len(table) == 6
    assert why == "llmtool: no label: the score is less than 1 above the second best"


@pytest.mark.parametrize(
    ("stderr_is_terminal", "options"),
    [
        (True, []),
        (False, []),
        (False, ["--balanced"]),
        pytest.param(True, ["--balanced"], marks=pytest.mark.long),
    ],
    ids=["terminal", "file", "file-balanced", "terminal-balanced"],
)
def test_evaluation_shows_progress_only_on_a_terminal(
    env: dict[str, str],
    starter: Path,
    tiny: Path,
    tmp_path: Path,
    options: list[str],
    stderr_is_terminal: bool,
) -> None:
    other = None if stderr_is_terminal else tmp_path / "stderr"
    data = tmp_path / "data.jsonl"
    data.write_text("".join(DATA.read_text().splitlines(keepends=True)[:12]))
    model = starter if stderr_is_terminal else tiny  # the status is not shown at once
    command = [*LLMTOOL, "classify", "eval", data, "-t", "topic", "-m", model, *options]
    with Terminal(command, env, lines=50, stderr=other) as terminal:
        assert terminal.wait(120) == 0
        result = terminal.raw if other is None else other.read_bytes()
        assert not any("/s," in row for row in terminal.screen())
        assert any(row.startswith("accuracy") for row in rows(terminal))
    seen = re.findall(rb"\d+ records?, [\d.]+/s, \d+:\d\d left", result)
    assert bool(seen) is stderr_is_terminal
