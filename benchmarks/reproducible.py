"""How the composition of a batch changes results, and what `--reproducible` costs.

    python benchmarks/reproducible.py [--model REF] [--texts 200] [--replies 40]

The texts are those of tests/data (half `test`), classified with the built-in templates, and
greedy replies of at most 32 tokens to the same texts. Each is computed in one batch, in a shuffled
batch, and alone; the figures compare each result with that of the first batch. Speeds are per
second of CPU time, which a busy machine changes less than wall-clock time.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from llmtool import Toolbox
from llmtool.config import Folders, Settings
from llmtool.tasks.classify.labelled_texts import read_labelled_texts

DATA = Path(__file__).resolve().parent.parent / "tests" / "data"
SETS = ("sentiment", "topic")
NEAR_TIE = 0.02  # the difference between the two best scores

Run = Callable[[Sequence[str]], Sequence[Any]]


def variants(run: Run, texts: Sequence[str]) -> tuple[list[Any], list[Any], list[Any], list[float]]:
    """Return the results in a batch, a shuffled batch and alone, and the CPU seconds of each."""
    order = list(range(len(texts)))
    random.Random(1).shuffle(order)
    run(texts[:2])  # loads the model, creates a context and scores the anchors
    clock = [time.process_time()]
    batch = list(run(texts))
    clock.append(time.process_time())
    shuffled = dict(zip(order, run([texts[i] for i in order]), strict=True))
    clock.append(time.process_time())
    alone = [run([text])[0] for text in texts]
    clock.append(time.process_time())
    seconds = [b - a for a, b in zip(clock, clock[1:], strict=False)]
    return batch, [shuffled[i] for i in range(len(texts))], alone, seconds


def print_row(name: str, changes: Sequence[str], seconds: Sequence[float], n: int) -> None:
    speeds = ", ".join(f"{n / each:.1f}" for each in seconds)
    print(
        f"{name}: {'; '.join(changes)}; per CPU second (batch, shuffled, alone): {speeds}",
        flush=True,
    )


def measure_labels(box: Toolbox, name: str, n_texts: int, title: str) -> None:
    data = read_labelled_texts(str(DATA / f"{name}.jsonl"), text_field="text", split="test")
    texts = [text for text, _ in data][:n_texts]
    batch, *others, seconds = variants(
        lambda each: box.run(name, list(each)),  # type: ignore[arg-type]
        texts,
    )
    changes = []
    for other in others:
        differences = [
            max(abs(a.scores[label] - b.scores[label]) for label in a.scores)
            for a, b in zip(batch, other, strict=True)
        ]
        flips = sum(a.text != b.text for a, b in zip(batch, other, strict=True))
        changes.append(
            f"{sum(map(bool, differences))} of {len(texts)} scores differ, by at most "
            f"{max(differences):.4f}, {flips} labels"
        )
    ties = [sorted(each.scores.values())[-1] - sorted(each.scores.values())[-2] for each in batch]
    changes.append(f"{sum(each < NEAR_TIE for each in ties)} texts within {NEAR_TIE}")
    print_row(f"{title} {name}", changes, seconds, len(texts))


def measure_replies(box: Toolbox, n_texts: int, title: str) -> None:
    data = read_labelled_texts(str(DATA / "topic.jsonl"), text_field="text", split="test")
    texts = [f"Continue the story: {text}" for text, _ in data][:n_texts]
    batch, *others, seconds = variants(
        lambda each: box.generate(list(each), temperature=0, max_tokens=32), texts
    )
    changes = [
        f"{sum(a.text != b.text for a, b in zip(batch, other, strict=True))} of {len(texts)} "
        "replies differ"
        for other in others
    ]
    print_row(f"{title} replies", changes, seconds, len(texts))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="starter")
    parser.add_argument("--texts", type=int, default=200)
    parser.add_argument("--replies", type=int, default=40)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        folders = Folders(
            **{name: Path(folder) / name for name in ("config", "data", "cache", "hub_cache")}
        )
        for reproducible in (False, True):
            title = "reproducible" if reproducible else "default"
            with Toolbox(
                options.model, settings=Settings(), folders=folders, reproducible=reproducible
            ) as box:
                for name in SETS:
                    measure_labels(box, name, options.texts, title)
                measure_replies(box, options.replies, title)


if __name__ == "__main__":
    main()
