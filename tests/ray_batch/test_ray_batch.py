"""Batches on a local Ray cluster: order, lost workers, a killed driver, errors, signals."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command import linux

from llmtool.errors import install_command
from llmtool.ray import cluster

Run = Callable[..., Any]
Start = Callable[..., subprocess.Popen[bytes]]
N_ROWS = 300
needs_ray = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="needs the extra `ray`"
)
RAY = ("--ray", "local", "--ray-workers", "2")


def batch_call(tiny: Path, source: Path, output: Path, *options: str) -> list[str]:
    model = ["-m", str(tiny), "--reproducible", "--seed", "1", "--threads", "1"]
    rows = ["--each", "jsonl", "-f", str(source), "-o", str(output), "--max-tokens", "16"]
    return ["gen", *rows, *model, *options]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Records, of which two have no text."""
    rows: list[dict[str, str]] = [{"text": f"row {i}"} for i in range(N_ROWS)]
    rows[0] = rows[100] = {}
    path = tmp_path / "in.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def find_workers(driver: int) -> list[int]:
    """Return the processes that hold a model."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if b"MapWorker" in (entry / "cmdline").read_bytes() and is_below(entry, driver):
                found.append(int(entry.name))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def is_below(entry: Path, driver: int) -> bool:
    process = entry.name
    while process not in ("0", str(driver)):
        process = (Path("/proc", process, "stat")).read_text().rpartition(")")[2].split()[1]
    return process != "0"


def wait_for_rows(output: Path, n: int, process: subprocess.Popen[bytes]) -> None:
    limit = time.monotonic() + 240
    while not output.exists() or output.read_bytes().count(b"\n") < n:
        assert process.poll() is None, process.stderr and process.stderr.read()
        assert time.monotonic() < limit
        time.sleep(0.02)


def wait_until_gone(processes: list[int]) -> None:
    limit = time.monotonic() + 60
    while any(Path("/proc", str(each)).exists() for each in processes):
        assert time.monotonic() < limit, processes
        time.sleep(0.1)


@needs_ray
@linux
@pytest.mark.long
@pytest.mark.timeout(900)
def test_rows_equal_those_of_one_process_although_workers_and_the_driver_are_killed(
    run_llmtool_process: Run, start_llmtool: Start, tiny: Path, tmp_path: Path, source: Path
) -> None:
    whole, output = tmp_path / "whole.jsonl", tmp_path / "out.jsonl"
    single = run_llmtool_process(*batch_call(tiny, source, whole))
    assert single.returncode == 3

    process = start_llmtool(*batch_call(tiny, source, output, *RAY), stdin=subprocess.DEVNULL)
    wait_for_rows(output, 20, process)
    workers = find_workers(process.pid)
    assert len(workers) == 2
    os.kill(workers[0], signal.SIGKILL)
    wait_for_rows(output, 100, process)
    workers = find_workers(process.pid)
    process.kill()
    process.wait(30)
    n_saved = output.read_bytes().count(b"\n")
    assert n_saved < N_ROWS
    assert whole.read_bytes().startswith(output.read_bytes())
    wait_until_gone(workers)

    call = batch_call(tiny, source, output, *RAY, "--resume")
    resumed = run_llmtool_process(*call, timeout=240)
    assert (resumed.returncode, resumed.stdout) == (3, single.stdout)
    assert output.read_bytes() == whole.read_bytes()
    assert b"Ray" not in resumed.stderr and b"raylet" not in resumed.stderr
    assert not list(Path("/tmp").glob(f"llmtool-ray-*/session_*_{process.pid}"))


@needs_ray
@linux
@pytest.mark.long
@pytest.mark.timeout(600)
def test_interrupt_saves_rows_and_ends_the_workers(
    start_llmtool: Start, tiny: Path, tmp_path: Path, source: Path
) -> None:
    output = tmp_path / "out.jsonl"
    process = start_llmtool(*batch_call(tiny, source, output, *RAY), stdin=subprocess.DEVNULL)
    wait_for_rows(output, 20, process)
    workers = find_workers(process.pid)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == -signal.SIGINT
    assert process.stderr is not None
    assert b"--resume continues" in process.stderr.read()
    wait_until_gone(workers)
    assert output.read_bytes().endswith(b"\n")
    assert not list(Path("/tmp").glob(f"llmtool-ray-*/session_*_{process.pid}"))


@needs_ray
@pytest.mark.long
@pytest.mark.timeout(600)
def test_classify_runs_on_ray(run_llmtool_process: Run, tiny: Path, tmp_path: Path) -> None:
    source = tmp_path / "in.txt"
    source.write_text("good\nbad\n")
    call = ["classify", "-l", "good,bad", "--each", "line", "-f", source, "-m", tiny]
    call += ["--reproducible", "--threads", "1", "--jsonl"]
    single = run_llmtool_process(*call)
    spread = run_llmtool_process(*call, "--ray", "local")
    assert (spread.stdout, spread.stderr) == (single.stdout, single.stderr)


@needs_ray
@pytest.mark.parametrize(("address", "said"), [("127.0.0.1:1", "refused"), ("auto", "no Ray")])
def test_cluster_that_cannot_be_reached_has_its_exit_code(
    run_llmtool_process: Run, tiny: Path, tmp_path: Path, source: Path, address: str, said: str
) -> None:
    call = batch_call(tiny, source, tmp_path / "out.jsonl", "--ray", address)
    failed = run_llmtool_process(*call)
    assert (failed.returncode, failed.stdout) == (20, b"")
    assert said.encode() in failed.stderr and failed.stderr.count(b"\n") == 1


def test_missing_extra_is_named(
    run_llmtool: Run, tiny: Path, tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "_is_installed", lambda name: False)
    failed = run_llmtool(*batch_call(tiny, source, tmp_path / "out.jsonl", *RAY))
    assert failed.returncode == 2
    command = install_command("ray")
    assert failed.stderr.decode() == f"llmtool: Ray is not installed; run {command}\n"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--ray-workers", "2"], "--ray-workers needs --ray"),
        (["--ray", "somewhere"], "--ray somewhere: must be local, auto or HOST:PORT"),
        (["--ray", "ray://head:10001"], "Ray Client is not supported"),
        (["--ray", "local", "--server", "auto"], "--server auto and --ray cannot be combined"),
    ],
    ids=str,
)
def test_options_that_cannot_work_are_named(
    run_llmtool: Run,
    tiny: Path,
    tmp_path: Path,
    source: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: list[str],
    said: str,
) -> None:
    monkeypatch.setattr(cluster, "_is_installed", lambda name: True)
    failed = run_llmtool(*batch_call(tiny, source, tmp_path / "out.jsonl", *options))
    assert failed.returncode == 2
    assert said.encode() in failed.stderr
    assert not (tmp_path / "out.jsonl").exists()


def test_balanced_labels_need_all_records(run_llmtool: Run, tiny: Path, source: Path) -> None:
    call = ["classify", "-l", "a,b", "--balanced", "--each", "jsonl", "-f", source, "-m", tiny]
    failed = run_llmtool(*call, "--ray", "local")
    assert (failed.returncode, failed.stdout) == (2, b"")
    assert b"--balanced and --ray cannot be combined" in failed.stderr


def test_ray_needs_a_batch(run_llmtool: Run, tiny: Path) -> None:
    failed = run_llmtool("gen", "hello", "-m", tiny, "--ray", "local")
    assert failed.returncode == 2
    assert b"--ray needs a batch" in failed.stderr
