"""Classified records per second, compared with other ways to get labels.

    python benchmarks/classify.py [--model FILE.gguf] [--records 40] [--rounds 3] [--loop 5]

All use the prompts of `llmtool classify`: an example of each label, then a short text and `Label:`,
about 130 tokens, of which 20 differ between records.

    shared prefix           one `score` call of our engine for all records, all labels scored
    cached prefix           llama-cpp-python's Llama class, one by one; it reuses the common prefix
    full prompts            the same without reuse
    a shell loop of llm     one process per record (starter model, --loop records)

The others generate the label up to the end of its line. Each way runs in a fresh process; loading
is excluded, except in the shell loop. Ratios are medians over the rounds, of wall time and
processor time. Targets: 5 times full prompts; 1.5 times the cached prefix (Q4_0); 12 times the loop
(Q4_1).
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

from contestants import LLM, find_model

from llmtool.models.installed import find_starter

LABELS = ("sport", "weather", "money", "health", "travel")
EXAMPLES = (
    ("The match ended in a draw.", "sport"),
    ("The storm tore roofs off in three villages.", "weather"),
    ("Shares fell by a third after the report.", "money"),
    ("Washing hands keeps most colds away.", "health"),
    ("The ferry to the islands sails twice a day.", "travel"),
)
SHOWN = "".join(f'Text: "{text}"\nLabel: {label}\n\n' for text, label in EXAMPLES)
TEXTS = (
    "The home team won after extra time.",
    "Snow is expected above a thousand metres.",
    "The bank raised its interest rates again.",
    "A new vaccine protects children for life.",
    "The night train to the coast is back.",
    "The goalkeeper saved two penalties.",
    "Fog closed the airport until noon.",
    "Inflation eats up the pay rise.",
    "Doctors advise more sleep.",
    "The island can be reached by ferry.",
)

OURS = """
import json, os, sys, time
os.environ.setdefault("GOMP_SPINCOUNT", "4000")
from pathlib import Path
from llmtool.engine.llama.engine import LocalEngine
from llmtool.engine.llama.model import load_model
from llmtool.engine.types import Prompt, ScoreRequest
path, shown, labels, texts = json.loads(sys.argv[1])
engine = LocalEngine(load_model(Path(path)))
candidates = tuple(" " + label for label in labels)
requests = [
    ScoreRequest(
        prompt=Prompt(text=f'{shown}Text: "{text}"\\nLabel:'), candidates=candidates, id=i
    )
    for i, text in enumerate(texts)
]
wall, cpu = time.perf_counter(), time.process_time()
labelled = {}
for scores in engine.score(requests):
    labelled[scores.id] = labels[scores.totals.index(max(scores.totals))]
print(json.dumps([time.perf_counter() - wall, time.process_time() - cpu]), flush=True)
os._exit(0)
"""
CLASS = """
import json, os, sys, time
from llama_cpp import Llama
path, shown, labels, texts = json.loads(sys.argv[1])
reuse = sys.argv[2] == "reuse"
model = Llama(path, n_ctx=512, n_threads=len(os.sched_getaffinity(0)), verbose=False)
wall, cpu = time.perf_counter(), time.process_time()
for text in texts:
    if not reuse:
        model.reset()
    model.create_completion(
        f'{shown}Text: "{text}"\\nLabel:', temperature=0, max_tokens=4, stop=["\\n"]
    )
print(json.dumps([time.perf_counter() - wall, time.process_time() - cpu]), flush=True)
os._exit(0)
"""


class Cost(NamedTuple):
    """Wall time and processor time in seconds per record."""

    wall: float
    cpu: float


def run(program: str, model: Path, n_records: int, *arguments: str) -> Cost:
    texts = [f"{TEXTS[i % len(TEXTS)]} ({i})" for i in range(n_records)]
    call = json.dumps([str(model), SHOWN, LABELS, texts])
    command = [sys.executable, "-c", program, call, *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    wall, cpu = json.loads(done.stdout)
    return Cost(wall / n_records, cpu / n_records)


def loop(model: Path, n_records: int) -> Cost:
    before, started = os.times(), time.perf_counter()
    for i in range(n_records):
        prompt = f'{SHOWN}Text: "{TEXTS[i % len(TEXTS)]}"\nLabel:'
        subprocess.run(
            [sys.executable, "-c", LLM, str(model), prompt, "4"], stdout=subprocess.DEVNULL
        )
    wall, after = time.perf_counter() - started, os.times()
    cpu = sum(after[2:4]) - sum(before[2:4])
    return Cost(wall / n_records, cpu / n_records)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path)
    parser.add_argument("--records", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--loop", type=int, default=5, help="records of the shell loop; 0: skip it")
    args = parser.parse_args()
    model = find_model(args.model)
    ways = {
        "shared prefix": lambda: run(OURS, model, args.records),
        "cached prefix": lambda: run(CLASS, model, args.records, "reuse"),
        "full prompts": lambda: run(CLASS, model, args.records, "reset"),
    }
    if model == find_starter() and importlib.util.find_spec("llm") and args.loop:
        ways["a shell loop of llm"] = lambda: loop(model, args.loop)
    else:
        print("skipped: the loop of llm (needs llm and the starter model)", file=sys.stderr)
    ways["shared prefix"]()  # warms the page cache
    rounds = [{name: way() for name, way in ways.items()} for _ in range(args.rounds)]
    print(f"{model.name}: {args.records} records, {args.rounds} rounds")
    print(f"{'':22} {'per second':>10} {'ratio':>7} {'CPU s each':>11} {'ratio':>7}")
    for name in ways:
        wall = statistics.median(costs[name].wall for costs in rounds)
        cpu = statistics.median(costs[name].cpu for costs in rounds)
        ours = "shared prefix"
        wall_ratio = statistics.median(costs[name].wall / costs[ours].wall for costs in rounds)
        cpu_ratio = statistics.median(costs[name].cpu / costs[ours].cpu for costs in rounds)
        print(f"{name:22} {1 / wall:10.2f} {wall_ratio:7.2f} {cpu:11.4f} {cpu_ratio:7.2f}")


if __name__ == "__main__":
    main()
