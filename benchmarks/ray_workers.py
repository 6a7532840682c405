"""Rows of a batch on Ray whose workers are killed: lost, repeated or changed ones, and time.

    python benchmarks/ray_workers.py [--rows 10000] [--workers 2] [--kill-seconds 5]

A tiny model with random weights answers each row three times: once in a single process, once on a
local Ray cluster, and once more while random workers get SIGKILL. The files must be equal, byte by
byte. The extras `ray` and `dev` are needed.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
from tiny_model import write_tiny_model

WORKER = b"MapWorker(MapBatches(Worker)).submit"  # one that has cases


def find_workers(driver: int) -> list[int]:
    """Return the processes of Ray below a driver that answer cases."""
    parents, workers = {}, []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(entry.name)] = int(
                (entry / "stat").read_text().rpartition(")")[2].split()[1]
            )
            if WORKER in (entry / "cmdline").read_bytes():
                workers.append(int(entry.name))
        except OSError:
            continue

    def is_below(process: int) -> bool:
        while process and process != driver:
            process = parents.get(process, 0)
        return bool(process)

    return [each for each in workers if is_below(each)]


def run(command: list[str], kill_seconds: float | None) -> tuple[float, int]:
    """Return seconds, and how many workers were killed."""
    started = time.monotonic()
    process = subprocess.Popen(command)
    n_killed = 0
    stop = threading.Event()

    def kill() -> None:
        nonlocal n_killed
        assert kill_seconds is not None
        while not stop.wait(random.uniform(0.5, 1.5) * kill_seconds):
            if workers := find_workers(process.pid):
                try:
                    os.kill(random.choice(workers), signal.SIGKILL)
                    n_killed += 1
                except ProcessLookupError:
                    pass

    if kill_seconds is not None:
        threading.Thread(target=kill, daemon=True).start()
    code = process.wait()
    stop.set()
    if code:
        raise SystemExit(f"exit code {code}: {' '.join(command)}")
    return time.monotonic() - started, n_killed


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--kill-seconds", type=float, default=5.0)
    parser.add_argument("--max-tokens", type=int, default=16)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = write_tiny_model(folder / "tiny.gguf", printable=True)
        source = folder / "in.txt"
        source.write_text("".join(f"row {i}\n" for i in range(args.rows)))
        command = [
            str(Path(sys.executable).with_name("llmtool")),
            "gen",
            "--each",
            "line",
            "--jsonl",
        ]
        command += ["-f", str(source), "-m", str(model), "--reproducible", "--seed", "1"]
        command += ["--threads", "1", "--max-tokens", str(args.max_tokens), "-q"]
        ray = ["--ray", "local", "--ray-workers", str(args.workers)]
        results = {}
        for title, options, kill_seconds in (
            ("single process", [], None),
            ("Ray", ray, None),
            ("Ray, workers killed", ray, args.kill_seconds),
        ):
            output = folder / f"{title}.jsonl"
            seconds, n_killed = run([*command, *options, "-o", str(output)], kill_seconds)
            results[title] = output.read_bytes()
            n_rows = results[title].count(b"\n")
            is_equal = results[title] == results["single process"]
            print(
                f"{title}: {n_rows} rows, {'equal' if is_equal else 'DIFFERENT'}, {seconds:.1f} s, "
                f"{n_killed} workers killed",
                flush=True,
            )
    if len(set(results.values())) > 1:
        raise SystemExit("the files differ")


if __name__ == "__main__":
    main()
