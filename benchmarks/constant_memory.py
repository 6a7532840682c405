"""Memory of a batch of 100,000 records stays constant, and input is read only as needed.

    python benchmarks/constant_memory.py [--model FILE.gguf] [--records 100000] [--score]

Records are created on demand and answered with two tokens, or scored against three labels. Prints
the memory of the process and the number of records read ahead after each tenth. Without --model it
uses a tiny model with random weights, so that the batch takes minutes; a leak would still show.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from llmtool.engine.llama.engine import LocalEngine
from llmtool.engine.llama.model import load_model
from llmtool.engine.types import (
    Failed,
    Finished,
    Message,
    Prompt,
    Request,
    Sampling,
    ScoreRequest,
    Scores,
)
from llmtool.machine import resident_bytes

LABELS = (" sport", " weather", " other")
INSTRUCTION = "Say what the text is about: sport, weather or other."
TEXTS = (
    "The river rose during the night.",
    "The home team lost again, and the pub was not surprised by the way it did.",
    "Rain.",
    "The committee will meet on Thursday to discuss the budget for the coming year.",
)


class Records:
    """Creates records on demand; `n_read` counts them."""

    def __init__(self, count: int, *, score: bool) -> None:
        self.count, self.score, self.n_read = count, score, 0

    def __iter__(self) -> Iterator[Request | ScoreRequest]:
        for i in range(self.count):
            self.n_read += 1
            text = f"Record {i}: {TEXTS[i % len(TEXTS)]}"
            prompt = Prompt(messages=(Message("system", INSTRUCTION), Message("user", text)))
            if self.score:
                yield ScoreRequest(prompt=prompt, candidates=LABELS, id=i)
            else:
                yield Request(prompt=prompt, sampling=Sampling(temperature=0, max_tokens=2), id=i)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path)
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--score", action="store_true", help="score labels instead of generating")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        answer(args.model or write_tiny(Path(folder)), args.records, score=args.score)


def write_tiny(folder: Path) -> Path:
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
    from tiny_model import write_tiny_model

    path: Path = write_tiny_model(folder / "tiny.gguf", n_layer=1)
    return path


def answer(model: Path, count: int, *, score: bool) -> None:
    engine = LocalEngine(load_model(model))
    records = Records(count, score=score)
    events = engine.score(records) if score else engine.stream(records)
    n_done = most_ahead = 0
    steps = {max(1, count // 100), *(count * tenth // 10 for tenth in range(1, 11))}
    started, first = time.perf_counter(), None
    print(f"{'records':>9} {'MB':>7} {'growth':>7} {'read ahead':>11} {'per second':>11}")
    for event in events:
        if isinstance(event, Failed):
            raise event.error
        if not isinstance(event, Finished | Scores):
            continue
        n_done += 1
        most_ahead = max(most_ahead, records.n_read - n_done)
        if n_done in steps:
            used = (resident_bytes() or 0) / 1e6
            first = first or used
            speed = n_done / (time.perf_counter() - started)
            print(
                f"{n_done:9,} {used:7.1f} {used - first:7.1f} {most_ahead:11} {speed:11.0f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
