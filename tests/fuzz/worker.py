"""Read mutated documents in this process, each within limits of time and memory.

Readers that the package runs in a child process run in this one, where they have no other limits,
except constraints on replies: llguidance needs those of the child.

    PYTHONPATH=tests python -m fuzz.worker TARGET SEED N

TARGET may be several names, separated by commas. The first document is valid. For others, an error
of the reader is fine; another exception, a signal, or a document that takes too long ends the
process. The file `input` in the current folder is then the document.
"""

from __future__ import annotations

import resource
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from fuzz import peers
from fuzz.mutations import mutate
from fuzz.targets import TARGETS
from tiny_model import write_tiny_model

from llmtool import worker
from llmtool.errors import LlmtoolError

SECONDS = 10  # of processor time
BYTES = 500_000_000  # more than after the first document


def main(name: str, seed: int, n: int) -> None:
    target = TARGETS[name]
    with tempfile.TemporaryDirectory() as folder:
        corpus = target.corpus or [
            write_tiny_model(Path(folder) / f"{kind}.gguf", kind).read_bytes()
            for kind in ("plain", "spm")
        ]
        slowest, peak = 0.0, _peak()
        for i in range(n):
            data = mutate(Random(f"{name} {seed} {i}"), corpus, target.syntax) if i else corpus[0]
            Path("input").write_bytes(data)
            signal.setitimer(signal.ITIMER_PROF, SECONDS)
            started = time.process_time()
            try:
                with tempfile.TemporaryDirectory(dir=folder) as own:
                    target.read(data, Path(own))
            except LlmtoolError:
                if i == 0:  # it is valid
                    raise
            signal.setitimer(signal.ITIMER_PROF, 0)
            slowest = max(slowest, time.process_time() - started)
            if i == 0:
                peak = _peak()
            assert _peak() - peak < BYTES, f"document {i} took {_peak() - peak:,} bytes"
    memory = (_peak() - peak) / 1_000_000
    sys.stdout.write(
        f"{name}, seed {seed}: {n} documents, slowest {slowest:.2f} s, {memory:.0f} MB\n"
    )


def _peak() -> int:
    """Return the largest resident size so far, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (
        1 if sys.platform == "darwin" else 1024
    )


def _call_here(function: Callable[..., Any], *arguments: object, **_: object) -> Any:
    return function(*arguments)


if __name__ == "__main__":
    in_child = worker.call
    with peers.resources:
        for each in sys.argv[1].split(","):
            worker.call = in_child if TARGETS[each].has_limits else _call_here
            main(each, int(sys.argv[2]), int(sys.argv[3]))
