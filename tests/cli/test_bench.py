"""`llmtool bench`: table, JSON, plot, interrupts."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command import LLMTOOL, error_line, linux, seconds_to_end, wait_until_mapped
from terminal.screen import Terminal

from llmtool.cli.commands.bench import plot
from llmtool.cli.terminal.console import Console
from llmtool.errors import UsageError, install_command

Run = Callable[..., subprocess.CompletedProcess[bytes]]
SHORT = ("bench", "--quick", "--threads", "1", "--parallel", "1,3")


@pytest.fixture
def bench(run_llmtool: Run, tiny: Path) -> Run:
    """Return `run_llmtool` with a short benchmark of the tiny model."""

    def run(*args: str | Path, **options: Any) -> subprocess.CompletedProcess[bytes]:
        return run_llmtool(*SHORT, "-m", tiny, *args, **options)

    return run


def test_json_has_model_machine_and_all_measurements(bench: Run, tiny: Path) -> None:
    value = json.loads(bench("--json", "-r", "2").stdout)
    rows = {row["test"]: row for row in value["rows"]}
    times, speeds = ["load", "first", "first cached"], ["pp256", "tg32 @ d100"]
    timed = [*times, *speeds, "tg24 x 1", "tg24 x 3"]
    assert [test for test in rows if not test.startswith("mem ")] == timed
    for test in timed:
        row = rows[test]
        assert len(row["values"]) == 2
        assert 0 < row["min"] <= row["median"] <= row["max"]
    assert rows["tg24 x 1"]["ratio"] == 1 and rows["tg24 x 3"]["ratio"] > 0
    assert (value["model"]["path"], value["model"]["architecture"]) == (str(tiny), "llama")
    assert value["model"]["size_bytes"] == tiny.stat().st_size
    assert value["machine"]["n_threads"] == 1 and value["machine"]["processor"]
    assert value["seconds"] > 0


def test_model_is_not_loaded_before_it_is_measured(
    bench: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr("llmtool.local_model.LocalModel.warm_up")
    assert bench("-q").returncode == 0


@linux
def test_memory_rows_are_consistent(run_llmtool_process: Run, tiny: Path) -> None:
    result = run_llmtool_process(*SHORT, "-m", tiny, "--json", "--parallel", "1")
    value = json.loads(result.stdout)
    memory = {r["test"]: r["median"] for r in value["rows"] if r["kind"] == "memory"}
    assert list(memory) == [
        f"mem {n}" for n in ("peak", "weights", "kv", "compute", "other", "loading")
    ]
    # llama.cpp reports MiB with two decimals: 256 cells x 2 layers x 2 heads x 32 values x 2 bytes
    assert memory["mem kv"] == pytest.approx(256 * 2 * 2 * (16 + 16) * 2, abs=11_000)
    assert memory["mem weights"] == pytest.approx(tiny.stat().st_size, rel=0.2)
    assert 0 < memory["mem other"] <= memory["mem loading"] <= memory["mem peak"]


def test_pipe_gets_tab_separated_rows_and_quiet_hides_notes(bench: Run) -> None:
    result = bench("-q")
    assert result.stderr == b""
    lines = [line.split("\t") for line in result.stdout.decode().splitlines()]
    assert {len(line) for line in lines} == {7}
    what, median, unit, low, high, ratio, test = next(li for li in lines if li[-1] == "tg24 x 3")
    assert (what, unit, low, high, test) == ("3 replies in parallel", "tok/s", "-", "-", "tg24 x 3")
    assert float(median) > 0 and float(ratio) > 0


def test_model_and_machine_are_reported_on_stderr(bench: Run, tiny: Path) -> None:
    said = bench().stderr.decode()
    assert f"{tiny.name} (llama, " in said
    assert "1 thread, llama.cpp" in said and "1 repetition\n" in said


def test_terminal_gets_a_table(env: dict[str, str], tiny: Path) -> None:
    with Terminal([*LLMTOOL, *SHORT, "-m", str(tiny)], env, columns=100, lines=40) as terminal:
        assert terminal.wait(60) == 0
        screen = terminal.screen()
    heading = next(line for line in screen if line.startswith("measurement"))
    row = next(line for line in screen if line.startswith("3 replies in parallel"))
    assert heading.split()[-1] == "test"
    assert row.index("tok/s") == heading.index("unit")
    assert row.rstrip().endswith("tg24 x 3")


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--parallel", "x"], "1,4,16"),
        (["--parallel", "4,0"], "between 1 and 256"),
        (["--plot", "scaling.jpeg"], ".svg, .png or .pdf"),
        (["--plot", "scaling.svg", "--parallel", "1"], "use --parallel 1,4,16"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_invalid_value_fails_before_measuring(bench: Run, args: list[str], said: str) -> None:
    assert said in error_line(bench("-q", *args), 2)


def test_plot_without_matplotlib_names_the_extra(
    monkeypatch: pytest.MonkeyPatch, console: Console
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(UsageError, match=re.escape(install_command("plot"))):
        plot.check(console, "scaling.svg", None, overwrite=False)


def test_plot_into_a_missing_folder_is_an_error(bench: Run) -> None:
    pytest.importorskip("matplotlib")
    assert "no/such" in error_line(bench("-q", "--plot", "no/such/scaling.svg"), 1)


def test_plot_shows_model_and_measurements(bench: Run, tmp_path: Path, tiny: Path) -> None:
    pytest.importorskip("matplotlib")
    value = json.loads(bench("--plot", tmp_path / "scaling.svg", "--json").stdout)
    picture = (tmp_path / "scaling.svg").read_text()
    assert tiny.name in picture and "parallel replies" in picture
    one, three = (row for row in value["rows"] if row["kind"] == "parallel")
    assert f">{one['median']:,.0f}<" in picture and f">{three['median']:,.0f}<" in picture
    assert f"\u00d7{three['ratio']:.2f}" in picture


def test_plot_as_png(bench: Run, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    assert bench("--plot", tmp_path / "scaling.png").returncode == 0
    picture = (tmp_path / "scaling.png").read_bytes()
    assert picture.startswith(b"\x89PNG") and int.from_bytes(picture[16:20], "big") > 1000


@pytest.fixture(scope="session")
def slow(tiny_model: Callable[..., Path]) -> Path:
    return tiny_model("plain", n_layer=100)


@linux
@pytest.mark.parametrize("seconds", [0.0, 0.2, 1.0])
def test_interrupt_ends_the_benchmark(
    start_llmtool: Callable[..., Any], slow: Path, seconds: float
) -> None:
    ends = []
    for _ in range(3):  # best of three, as the machine may be busy
        process = start_llmtool(
            *("bench", "-m", slow, "--threads", "1", "-r", "100"), stdin=subprocess.DEVNULL
        )
        wait_until_mapped(process, slow.name)
        time.sleep(seconds)
        process.send_signal(signal.SIGINT)
        ends.append(seconds_to_end(process))
        if ends[-1] <= 0.3:
            break
    assert min(ends) <= 0.3
    assert process.returncode == -signal.SIGINT
    assert process.stdout.read() == b"" and b"Traceback" not in process.stderr.read()
