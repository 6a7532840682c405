"""Readers of input from others end on any document: in time, within memory, with our own errors."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest
from fuzz.mutations import MAX_BYTES, mutate
from fuzz.targets import TARGETS

TESTS = Path(__file__).resolve().parent.parent
SLOW = {"gguf": 40, "adapter": 40}  # each of them starts a process


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("name", TARGETS)
def test_mutated_documents_end_with_our_errors(name: str, seed: int, tmp_path: Path) -> None:
    run_worker(name, seed, SLOW.get(name, 500), tmp_path)


def test_a_few_mutated_documents_end_with_our_errors(tmp_path: Path) -> None:
    run_worker(",".join(TARGETS), 0, 3, tmp_path)


def test_most_mutated_models_are_as_long_as_before() -> None:
    """A truncated model is rejected before anything else in it is read."""
    model = bytes(MAX_BYTES + 100_000)
    sizes = [len(mutate(Random(i), [model], [b"GGUF"])) for i in range(100)]
    assert sum(size > MAX_BYTES for size in sizes) > 50


def run_worker(names: str, seed: int, n: int, folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "fuzz.worker", names, str(seed), str(n)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": f"{TESTS}{os.pathsep}{TESTS.parent}"},
        capture_output=True,
        text=True,
    )
    # The signal is SIGPROF (27 on Linux) if a document took longer than 10 seconds.
    message = f"exit status {done.returncode} for {folder / 'input'}\n{done.stderr[-3000:]}"
    assert done.returncode == 0, message
