"""Wide characters on a terminal: rows fit the width and columns are aligned."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from command import LLMTOOL
from rich.cells import cell_len
from terminal.screen import Terminal

from llmtool.cli.terminal.text import truncate_to_width
from llmtool.sessions.store import Sessions
from llmtool.sessions.types import Session, Turn

NAME = "会议记录摘要与后续行动"
COLUMNS = [pytest.param(80, id="80"), pytest.param(30, id="30")]
PROGRESS = """
import sys, time
from llmtool.cli.terminal.console import Console
from llmtool.cli.terminal.interrupts import Interrupts
from llmtool.cli.terminal.progress import RecordProgress
console = Console(Interrupts())
with RecordProgress(console, sys.argv[1]) as progress:
    for done in (1, 2, 3):
        progress.show(done, 9)
        time.sleep(0.2)
console.say("done\\n")
"""


def shown_by(argv: Sequence[str | Path], env: dict[str, str], columns: int) -> list[str]:
    """Return the rows that a successful command prints on a terminal."""
    with Terminal(argv, env, columns=columns, lines=400) as terminal:
        assert terminal.wait(60) == 0
        rows = [row for row in narrow(terminal) if row]
    assert all(cell_len(row) <= columns for row in rows)
    return rows


def narrow(terminal: Terminal) -> list[str]:
    """Return the rows as text; pyte has an empty cell after each wide character."""
    return [row.replace("\0", "") for row in terminal.screen()]


def cell_of(row: str, word: str) -> int:
    """Return the terminal column where a word starts."""
    return cell_len(row[: row.index(word)])


@pytest.mark.parametrize(
    ("text", "n_cells", "shown"),
    [
        ("plain", 9, "plain"),
        ("plain", 3, "pla"),
        ("模型", 4, "模型"),
        ("模型", 3, "模"),
        ("a模型", 1, "a"),
        ("a模型", 2, "a"),
        ("한국어 ok", 6, "한국어"),
        ("e\u0301e", 1, "e\u0301"),
        ("模", 0, ""),
    ],
)
def test_text_is_truncated_by_cell_width(text: str, n_cells: int, shown: str) -> None:
    assert truncate_to_width(text, n_cells) == shown


@pytest.mark.parametrize("columns", COLUMNS)
@pytest.mark.parametrize(
    "what", ["正在处理会议记录摘要与后续行动项目: ", "\x1b[2J坏\n名字: "], ids=["wide", "hostile"]
)
def test_progress_stays_on_one_line_and_is_cleared(
    env: dict[str, str], columns: int, what: str
) -> None:
    with Terminal([sys.executable, "-c", PROGRESS, what], env, columns=columns) as terminal:
        assert terminal.wait() == 0
        assert [row for row in narrow(terminal) if row] == ["done"]
    written = re.findall(r"\r\x1b\[K([^\r]+?)(?=\r\r|\r\x1b)", terminal.raw.decode())
    assert len(written) == 3
    for line in written:
        assert cell_len(line) < columns and "\n" not in line and "\x1b" not in line


@pytest.mark.parametrize("columns", COLUMNS)
def test_templates(env: dict[str, str], columns: int) -> None:
    folder = Path(env["LLMTOOL_CONFIG_DIR"]) / "prompts"
    folder.mkdir(parents=True)
    about = "把会议记录整理成要点并列出每个人的后续行动和截止日期还有需要澄清的问题"
    (folder / "meeting.yaml").write_text(
        f"llmtool: 1\nname: meeting\ndescription: {about}\n"
        "inputs:\n  text: {type: text}\nprompt: '{{ text }}'\n"
    )
    rows = shown_by([*LLMTOOL, "prompts", "ls"], env, columns)
    assert "".join(re.findall(r"[\u4e00-\u9fff]", "".join(rows))) == about


@pytest.mark.parametrize("columns", COLUMNS)
def test_models_with_wide_names(env: dict[str, str], columns: int, tiny: Path) -> None:
    folder = Path(env["LLMTOOL_DATA_DIR"]).parent / "模型"
    folder.mkdir()
    path = folder / "小模型.gguf"
    path.write_bytes(tiny.read_bytes())
    argv = [*LLMTOOL, "models", "info", path]
    assert "小模型.gguf" in "".join("".join(shown_by(argv, env, columns)).split())


@pytest.mark.parametrize("columns", COLUMNS)
def test_sessions(env: dict[str, str], columns: int) -> None:
    sessions = Sessions(Path(env["LLMTOOL_DATA_DIR"]) / "sessions")
    for name in (NAME, "plain"):
        sessions.save(Session(name=name, turns=(Turn(user="你好", text="您好", model="tiny"),)))
    rows = shown_by([*LLMTOOL, "sessions", "ls"], env, columns)
    assert NAME in "".join("".join(rows).split())
    if columns == 80:
        of_name, plain = (next(row for row in rows if name in row) for name in (NAME, "plain"))
        assert cell_of(of_name, " 1 ") == cell_of(plain, " 1 ") == cell_len(NAME) + 12


@pytest.mark.parametrize("columns", COLUMNS)
def test_labels(env: dict[str, str], columns: int, tiny: Path) -> None:
    labels = "账单与发票,故障,account"
    argv = [*LLMTOOL, "classify", "我被扣了两次款", "-l", labels, "-m", tiny]
    rows = shown_by(argv, env, columns)
    assert all(any(label in row for row in rows) for label in labels.split(","))
    if columns == 80:
        scored = [row for row in rows if re.search(r"\d\.\d\d", row)]
        assert len({cell_len(row[: re.search(r"\d\.\d\d", row).start()]) for row in scored}) == 1
