"""Labels with and without examples, several labels, and texts that name labels wrongly.

    python benchmarks/label_sets.py [--split test] [-m REF] [--sets topic,reviews] [-o form=chat]

The sets are in `data/labels` (`topic` and `intent` in tests/data). Each text is in a split: choose
on `tune`, report `test`; three texts per label are `examples`. Only `classify` is called. On a busy
machine, `--every 2` measures every second text; the texts are in the order of their labels.

    single      accuracy without and with the examples, and the share of the most frequent answer:
                0.50 of four equally frequent labels means that the model hardly distinguishes them
    misnamed    texts that name other labels ("This is not about sports: …"), compared with the
                same texts without these words, and with other texts that name their own label
    several     micro-F1, compared with assigning all labels, and the best F1 of one threshold for
                all labels, chosen on the same texts
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import yaml

from llmtool import Toolbox
from llmtool.config import Folders
from llmtool.errors import UsageError

FOLDERS = (Path(__file__).parent / "data" / "labels", Path(__file__).parents[1] / "tests" / "data")
SINGLE = ("topic", "intent", "devices", "reviews", "feedback", "genre")
SEVERAL = ("buildings", "news", "clinic", "school", "hotel", "council", "software", "garage")
MISNAMED = "misnamed"
Record = dict[str, Any]


def read(name: str, split: str, every: int = 1) -> list[Record]:
    paths = [folder / f"{name}.jsonl" for folder in FOLDERS]
    lines = [line for path in paths if path.exists() for line in path.open(encoding="utf-8")]
    return [record for record in map(json.loads, lines) if record["split"] == split][::every]


def pairs(name: str) -> list[tuple[str, Any]]:
    return [(each["text"], each.get("label") or each["labels"]) for each in read(name, "examples")]


def names_of(records: Sequence[Record]) -> list[str]:
    return sorted({label for each in records for label in each.get("labels") or [each["label"]]})


def accuracy(box: Toolbox, records: Sequence[Record], **options: Any) -> tuple[float, float, str]:
    """Return the accuracy, the share of the most frequent answer, and the recipe."""
    found = box.classify([each["text"] for each in records], names_of(records), **options)
    answers = [each.text for each in found]
    right = mean(a == each["label"] for a, each in zip(answers, records, strict=True))
    often = Counter(answers).most_common(1)[0][1] / len(answers)
    recipe = found[0].recipe
    return right, often, "" if recipe is None else f"{recipe.name} ({recipe.accuracy:.2f})"


def measure_single(
    box: Toolbox, names: Sequence[str], split: str, every: int, options: Record
) -> None:
    print(f"{'':<12}{'texts':>6}{'labels':>7}{'without':>9}{'(most)':>8}{'examples':>10}"
          f"{'(most)':>8}{'noise':>7}{'seconds':>9}")  # fmt: skip
    rows = []
    for name in names:
        records, started = read(name, split, every), time.perf_counter()
        without, often, _ = accuracy(box, records, **options)
        shown, shown_often, recipe = accuracy(box, records, examples=pairs(name), **options)
        noise = math.sqrt(without * (1 - without) / len(records))  # one standard error
        rows.append((without, often, shown, shown_often, noise, time.perf_counter() - started))
        print(f"{name:<12}{len(records):>6}{len(names_of(records)):>7}" + _cells(rows[-1])
              + f"  {recipe}")  # fmt: skip
    means = [mean(column) for column in zip(*rows, strict=True)]
    print(f"{'mean':<25}" + _cells(means))


def _cells(row: Sequence[float]) -> str:
    return "{:>9.3f}{:>8.2f}{:>10.3f}{:>8.2f}{:>7.3f}{:>9.1f}".format(*row)


def measure_misnamed(box: Toolbox, split: str, every: int, options: Record) -> None:
    records = read(MISNAMED, split, every)
    plain = [each | {"text": each["plain"]} for each in records]
    named = read("named", split, every)
    print(f"{MISNAMED:<25}{'with':>9}{'without':>9}{'named':>9}   by kind, with these words")
    for way, more in (("no examples", {}), ("examples", {"examples": pairs("topic")})):
        by_kind = {
            kind: accuracy(box, [r for r in records if r["kind"] == kind], **options, **more)[0]
            for kind in ("denial", "mention", "tag")
        }
        shares = (accuracy(box, r, **options, **more)[0] for r in (records, plain, named))
        print(f"{way:<25}" + "".join(f"{share:>9.3f}" for share in shares) + "   "
              + ", ".join(f"{kind} {right:.2f}" for kind, right in by_kind.items()))  # fmt: skip


def micro_f1(truth: Sequence[set[str]], answers: Sequence[set[str]]) -> float:
    """Return the F1 of all decisions, of every text and label, together.

    Example:
        >>> micro_f1([{"a"}, {"b"}], [{"a", "b"}, {"b"}])
        0.8
    """
    hits = sum(len(a & b) for a, b in zip(truth, answers, strict=True))
    return 2 * hits / max(1, sum(map(len, truth)) + sum(map(len, answers)))


def measure_several(
    box: Toolbox, names: Sequence[str], split: str, every: int, options: Record
) -> None:
    print(f"{'':<25}{'micro-F1':>9}{'all':>7}{'gain':>7}{'labels':>8}{'true':>6}"
          f"{'threshold':>11}{'seconds':>9}")  # fmt: skip
    for name in names:
        records = read(name, split, every)
        if not records:  # some sets have one half only
            continue
        labels = names_of(read(name, split))
        truth = [set(each["labels"]) for each in records]
        for way, more in (("", {}), (", examples", {"examples": pairs(name)})):
            started = time.perf_counter()
            texts = [each["text"] for each in records]
            try:
                found = box.classify(texts, labels, multi=True, **options, **more)
            except UsageError as error:
                print(f"{name + way:<25}{error}")
                continue
            answers = [set(each.labels or ()) for each in found]
            scores = [each.scores for each in found]
            best = max(
                micro_f1(truth, [{n for n, s in row.items() if s >= limit} for row in scores])
                for limit in {s for row in scores for s in row.values()}
            )
            f1, all_f1 = micro_f1(truth, answers), micro_f1(truth, [set(labels)] * len(truth))
            print(f"{name + way:<25}{f1:>9.3f}{all_f1:>7.3f}{f1 - all_f1:>+7.3f}"
                  f"{mean(map(len, answers)):>8.1f}{mean(map(len, truth)):>6.1f}{best:>11.3f}"
                  f"{time.perf_counter() - started:>9.1f}")  # fmt: skip


def measure(box: Toolbox, chosen: Sequence[str], split: str, every: int, options: Record) -> None:
    print(f"{box.model_name}, split {split}, every {every}, {options or 'default options'}")
    if single := [name for name in chosen if name in SINGLE]:
        measure_single(box, single, split, every, options)
    if MISNAMED in chosen:
        measure_misnamed(box, split, every, options)
    if several := [name for name in chosen if name in SEVERAL]:
        measure_several(box, several, split, every, options)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--split", default="tune", choices=("tune", "test"))
    parser.add_argument("--every", type=int, default=1, metavar="N", help="only every Nth text")
    parser.add_argument("-m", "--model", default="starter")
    parser.add_argument("--sets", help="only these sets, separated by commas")
    parser.add_argument("--threads", type=int, help="one is faster on a busy machine")
    parser.add_argument("-o", "--option", action="append", default=[], metavar="NAME=VALUE",
                        help="an option of classify, such as form=chat")  # fmt: skip
    args = parser.parse_args()
    options = {n: yaml.safe_load(v) for n, _, v in (each.partition("=") for each in args.option)}
    chosen = args.sets.split(",") if args.sets else [*SINGLE, MISNAMED, *SEVERAL]
    with tempfile.TemporaryDirectory() as folder:  # caches the choices of recipes
        own = Folders(**{name: Path(folder) for name in ("config", "data", "cache", "hub_cache")})
        box = Toolbox(args.model, folders=own, n_threads=args.threads)
        measure(box, chosen, args.split, args.every, options)


if __name__ == "__main__":
    main()
