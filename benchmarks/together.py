"""32 replies decoded together, compared with one after another, through the whole library.

    python benchmarks/together.py [--model FILE.gguf] [--rounds 3] [--count 32] [--max-tokens 64]

Two batches: different short prompts, and samples of one prompt. Each run is a fresh process that
renders the template, loads the model and replies with the engine's default `n_parallel`, or with 1;
the two alternate. Prints tokens per second from exec to exit, and of the batch without loading; the
ratio is the median of the rounds. Targets for the first: 1.8 on Q4_1, 2.5 on Q4_0 and Q4_K_M
(135M), 2.0 (0.5B).
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

from contestants import find_model

THINGS = (
    "a river,a lighthouse,an old clock,a paper boat,the first snow,a lost glove,a night train,"
    "a small shop,a broken cup,the moon,a stray cat,an empty house,a long road,a red kite,"
    "a quiet lake,a school bus,a wooden bridge,a winter coat,a ripe apple,a deep well,a bee,"
    "a market square,a tall ship,a stone wall,a letter,an island,a garden gate,a candle,"
    "a mountain hut,a music box,a sand castle,a summer storm"
).split(",")

CHILD = """
import json, os, sys, time
os.environ.setdefault("GOMP_SPINCOUNT", "4000")
from pathlib import Path
from llmtool.engine.llama.engine import LocalEngine
from llmtool.engine.llama.model import load_model
from llmtool.toolbox import Toolbox
path, batch, n_parallel, max_tokens, things = json.loads(sys.argv[1])
engine = LocalEngine(load_model(Path(path)), n_parallel=n_parallel)
box = Toolbox(engine=engine, model=Path(path).name)
options = {"max_tokens": max_tokens, "seed": 1}
started = time.perf_counter()
if batch == "prompts":
    prompts = [f"Write a short story about {thing}." for thing in things]
    replies = box.generate(prompts, temperature=0, **options)
else:
    replies = [box.generate("Write a short story about a river.", n=len(things), **options)]
seconds = time.perf_counter() - started
print(json.dumps([sum(reply.usage.completion_tokens for reply in replies), seconds]), flush=True)
os._exit(0)
"""


class Rate(NamedTuple):
    """Tokens per second, from exec to exit and within the batch."""

    whole: float
    inside: float


def run(model: Path, batch: str, n_parallel: int | None, count: int, max_tokens: int) -> Rate:
    things = [THINGS[i % len(THINGS)] + " again" * (i // len(THINGS)) for i in range(count)]
    call = json.dumps([str(model), batch, n_parallel, max_tokens, things])
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", CHILD, call], stdout=subprocess.PIPE, text=True, check=True
    )
    whole = time.perf_counter() - started
    n_tokens, inside = json.loads(done.stdout)
    return Rate(n_tokens / whole, n_tokens / inside)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--count", type=int, default=32)
    parser.add_argument("--max-tokens", type=int, default=64)
    args = parser.parse_args()
    model = find_model(args.model)
    run(model, "samples", None, 2, 8)  # warms the page cache
    print(f"{model.name}: {args.count} replies of {args.max_tokens} tokens, {args.rounds} rounds")
    print(f"{'tok/s':12} {'one by one':>10} {'together':>9}  ratio   inside alone, ratio")
    for batch in ("prompts", "samples"):
        rounds = [
            [run(model, batch, n, args.count, args.max_tokens) for n in (1, None)]
            for _ in range(args.rounds)
        ]
        single, many = (statistics.median(pair[i].whole for pair in rounds) for i in (0, 1))
        whole = statistics.median(many.whole / one.whole for one, many in rounds)
        inside = statistics.median(many.inside / one.inside for one, many in rounds)
        print(f"{batch:12} {single:10.1f} {many:9.1f} {whole:6.2f} {inside:10.2f}", flush=True)


if __name__ == "__main__":
    main()
