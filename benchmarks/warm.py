"""Time to the first byte of a one-liner with a running server, compared with one without.

    python benchmarks/warm.py [--rounds 11] [--model FILE.gguf]

Starts a server in the background, in folders of its own, then alternates pairs of both commands, so
that drifts in machine speed cancel out. Prints medians, processor time and the ratio of the pairs.
Also compares `--server auto` and `never` while no server runs.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import tempfile
from pathlib import Path

from contestants import PROMPT, contestants, find_model, speed_of


def processor_seconds() -> float:
    """Return the processor time of all children that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def compare(commands: dict[str, list[str]], rounds: int) -> None:
    """Print the times of two commands in alternating pairs."""
    times: dict[str, list[float]] = {name: [] for name in commands}
    work: dict[str, list[float]] = {name: [] for name in commands}
    for number in range(rounds + 1):
        for name, command in commands.items():
            before = processor_seconds()
            seconds = speed_of(command, first_only=True).first
            if number:  # the first round warms caches
                times[name].append(seconds)
                work[name].append(processor_seconds() - before)
    base = next(iter(commands))
    for name in commands:
        pairs = zip(times[name], times[base], strict=True)
        print(
            f"{name:30} {min(times[name]):6.3f} {statistics.median(times[name]):7.3f} "
            f"{max(times[name]):6.3f} {statistics.median(work[name]):9.3f}  "
            f"{statistics.median(each / other for each, other in pairs):5.2f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--model", type=Path)
    args = parser.parse_args()
    model = find_model(args.model)
    ours = contestants(model, prompt=PROMPT)[1].command
    end = ours.index("gen")
    print(f"{'first byte, seconds':30} {'min':>6} {'median':>7} {'max':>6} processor  ratio")
    with tempfile.TemporaryDirectory() as folder:
        os.environ.pop("CI", None)
        names = ("CONFIG", "DATA", "CACHE", "RUNTIME")
        os.environ.update({f"LLMTOOL_{name}_DIR": f"{folder}/{name.lower()}" for name in names})
        cold = [*ours, "--no-log", "--server", "never"]
        looking = [*ours, "--no-log", "--server", "auto"]
        compare({"never": cold, "auto, no server": looking}, args.rounds)
        server = [*ours[:end], "serve", "--detach", "--port", "0", "-q", "-m", str(model)]
        subprocess.run(server, check=True, stdout=subprocess.DEVNULL)
        try:
            compare({"never": cold, "auto, warm": looking}, args.rounds)
        finally:
            subprocess.run([*ours[:end], "stop", "--all", "-q"], check=True)


if __name__ == "__main__":
    main()
