"""Batches: 200 records of `gen` with 16 tokens each, compared with single calls.

    python benchmarks/batch.py [--model FILE.gguf] [--records 200] [--rounds 3] [--loop 20]

    one batch           llmtool gen --each line, one process
    one by one          the same with --parallel 1
    library, in a loop  llmtool.generate for each record in one process, loading included
    a shell loop        one process per record (--loop records)

Reports records per second of wall time (median of the rounds) and the ratio to the batch in the
same round. All use the same prompts and greedy decoding; the ends of replies can differ with the
batch size.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from contestants import find_model

INSTRUCTION = "Name the main topic of this text in a few words"
TEXTS = (
    "The home team won after extra time.",
    "Snow is expected above a thousand metres, and the pass may be closed by the evening.",
    "The bank raised its interest rates again.",
    "A new vaccine protects children for life, according to a study from three countries.",
    "The night train to the coast is back.",
    "Inflation eats up the pay rise that the union fought for in the spring.",
)
LOOP = """
import sys, llmtool
box = llmtool.Toolbox(sys.argv[1], prefix_cache=False)
for line in open(sys.argv[2]):
    box.generate(sys.argv[3], input=line.rstrip(), max_tokens=16, temperature=0)
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path)
    parser.add_argument("--records", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--loop", type=int, default=20)
    args = parser.parse_args()
    model = find_model(args.model)
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "records.txt"
        lines = [f"{TEXTS[i % len(TEXTS)]} (No. {i})" for i in range(args.records)]
        source.write_text("\n".join(lines) + "\n")
        command = [sys.executable, "-m", "llmtool", "gen", INSTRUCTION, "-m", str(model), "-q"]
        command += ["--max-tokens", "16", "--temperature", "0", "--no-cache"]
        batch = [*command, "--each", "line", "-f", str(source)]
        ways: dict[str, Callable[[], float]] = {
            "one batch": lambda: timed(batch) / args.records,
            "one by one": lambda: timed([*batch, "--parallel", "1"]) / args.records,
            "library, in a loop": lambda: (
                timed([sys.executable, "-c", LOOP, str(model), str(source), INSTRUCTION])
                / args.records
            ),
            "a shell loop": lambda: (
                sum(timed(command, line) for line in lines[: args.loop]) / args.loop
            ),
        }
        ways["one batch"]()  # warms the page cache
        rounds = [{name: way() for name, way in ways.items()} for _ in range(args.rounds)]
    print(f"{model.name}: {args.records} records of 16 tokens, {args.rounds} rounds, "
          f"load {os.getloadavg()[0]:.1f}")  # fmt: skip
    print(f"{'':20} {'records/s':>9} {'batch ratio':>19}")
    for name in ways:
        rate = statistics.median(1 / seconds[name] for seconds in rounds)
        ratio = statistics.median(seconds[name] / seconds["one batch"] for seconds in rounds)
        print(f"{name:20} {rate:9.2f} {ratio:19.2f}")


def timed(command: list[str], text: str = "") -> float:
    started = time.perf_counter()
    subprocess.run(command, input=text.encode(), stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
