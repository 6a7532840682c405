"""Accuracy of `classify`, compared with free and constrained generation, on our own texts.

    python benchmarks/labels.py [--model REF] [--split test] [--sets sentiment,spam,…]

The texts are in tests/data. Prompts were chosen on the half `tune`; report figures of the half
`test`. On the same texts in one run:

    free generation       a chat prompt asks for the label; its name is searched in the reply
    with a grammar        the same, with a grammar that allows only labels
    no example            `classify -l a,b`: scores, calibrated on neutral sentences
    the template          `classify -t NAME`: one example per label shown, others calibrate
    fitted                the template, with bias and temperature fitted to the half `tune`

Then, for the template: the share of labels that change if the order of the labels changes or if
texts are scored one by one, with the largest change of a score; the number of hostile texts with
the right label; and the accuracy lost in batches with 85 of 100 texts of one label (one batch
series per label), compared with the same texts in the balanced half, for the template's anchors and
for `--balanced`, which assumes balanced batches.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from llmtool import Toolbox
from llmtool.config import Folders
from llmtool.engine.types import Failed
from llmtool.tasks.classify import evaluate
from llmtool.tasks.classify.classifier import Classifier
from llmtool.tasks.classify.labelled_texts import LabelledText, read_labelled_texts
from llmtool.tasks.classify.labels import Labels
from llmtool.tasks.classify.task import prepare_classifier
from llmtool.tasks.options import ClassifyOptions
from llmtool.tasks.pipeline.prepare import Case
from llmtool.tasks.results import Classification

DATA = Path(__file__).resolve().parent.parent / "tests" / "data"
SETS = "sentiment,spam,urgency,topic,intent"
DRAWS = 4  # skewed batches of each label


def quiet(_done: int, _total: int) -> None:
    """Report no progress."""


def load(name: str, split: str) -> list[LabelledText]:
    return read_labelled_texts(str(DATA / f"{name}.jsonl"), text_field="text", split=split)


def make_classifier(box: Toolbox, labels: Labels | None, **options: Any) -> Classifier:
    return prepare_classifier(box.context, labels, ClassifyOptions(**options))


def results(box: Toolbox, classifier: Classifier, texts: Sequence[str]) -> list[Classification]:
    cases = [Case(id=i, variables={"text": text}) for i, text in enumerate(texts)]
    found = []
    for outcome in classifier.outcomes(box.engine, cases):
        if isinstance(outcome, Failed):
            raise outcome.error
        found.append(outcome)
    return found


def measure(box: Toolbox, name: str, split: str) -> dict[str, tuple[float, float, float]]:
    """Return (accuracy, macro-F1, expected calibration error or nan) of each way."""
    data = load(name, split)
    names = sorted({label for _, label in data})
    free = evaluate.free_generation(box.context, names, data, on_progress=quiet)
    bound = evaluate.constrained_generation(box.context, names, data, on_progress=quiet)
    result = {
        "free generation": (free.accuracy, free.macro_f1, float("nan")),
        "with a grammar": (bound.accuracy, bound.macro_f1, float("nan")),
    }
    template = make_classifier(box, None, template=name)
    fitted = make_classifier(box, None, template=name)
    tuned = load(name, "tune")
    for way, classifier in (
        ("no example", make_classifier(box, names)),
        (
            "raw",
            make_classifier(box, None, template=name, calibrate="none"),
        ),
        ("the template", template),
    ):
        found = evaluate.evaluate(box.context, classifier, data)
        result[way] = (found.accuracy, found.macro_f1, found.ece)
    fitted.calibrate(box.engine, tuned)
    found = evaluate.evaluate(box.context, fitted, data)
    result["fitted"] = (found.accuracy, found.macro_f1, found.ece)
    (box.context.folders.data / "calibrations").rename(
        box.context.folders.data / f"calibrations-{name}"
    )
    return result


def changes(box: Toolbox, name: str, split: str) -> tuple[float, float, float]:
    """Return the share of labels changed by order, by single scoring, and the largest change."""
    data = load(name, split)
    labels = box.library.load(name).output.labels
    classifier = make_classifier(box, labels, template=name)
    texts = [text for text, _ in data]
    batch = results(box, classifier, texts)
    reordered = prepare_classifier(
        box.context, dict(reversed(labels.items())), ClassifyOptions(template=name)
    )
    reversed_ = results(box, reordered, texts)
    alone = [results(box, classifier, [text])[0] for text in texts]
    return (
        statistics.mean(a.text != b.text for a, b in zip(batch, reversed_, strict=True)),
        statistics.mean(a.text != b.text for a, b in zip(batch, alone, strict=True)),
        max(
            abs(a.scores[k] - b.scores[k])
            for a, b in zip(batch, alone, strict=True)
            for k in labels
        ),
    )


def skewed(box: Toolbox, name: str, split: str, calibrate: str) -> tuple[float, float, float]:
    """Return accuracies: of the half, and of the texts of skewed batches in the half and alone."""
    data = load(name, split)
    classifier = prepare_classifier(
        box.context, None, ClassifyOptions(template=name, calibrate=calibrate)
    )
    right = correct(box, classifier, data, range(len(data)))
    rng = random.Random(0)
    there, here = [], []
    for favourite in classifier.names:
        many = [i for i, (_, label) in enumerate(data) if label == favourite]
        few = [i for i, (_, label) in enumerate(data) if label != favourite]
        for _ in range(DRAWS):
            batch = many + rng.sample(few, round(len(many) * 15 / 85))
            rng.shuffle(batch)
            there.append(statistics.mean(right[i] for i in batch))
            here.append(statistics.mean(correct(box, classifier, data, batch)))
    return statistics.mean(right), statistics.mean(there), statistics.mean(here)


def correct(
    box: Toolbox, classifier: Classifier, data: Sequence[LabelledText], batch: Sequence[int]
) -> list[bool]:
    found = results(box, classifier, [data[i].text for i in batch])
    return [each.text == data[i].label for i, each in zip(batch, found, strict=True)]


def hostile(box: Toolbox, name: str) -> tuple[int, int, int]:
    """Return the number of hostile texts, the correct ones, and the expected correct ones."""
    rows = [json.loads(line) for line in (DATA / "hostile.jsonl").open()]
    rows = [row for row in rows if row["set"] == name]
    found = results(
        box,
        make_classifier(box, None, template=name),
        [r["text"] for r in rows],
    )
    right = sum(a.text == row["label"] for a, row in zip(found, rows, strict=True))
    data = load(name, "test")
    share = evaluate.evaluate(box.context, make_classifier(box, None, template=name), data).accuracy
    return len(rows), right, round(share * len(rows))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="starter")
    parser.add_argument("--split", default="test")
    parser.add_argument("--sets", default=SETS)
    args = parser.parse_args()
    names = args.sets.split(",")
    with tempfile.TemporaryDirectory() as folder:
        own = Folders(**{name: Path(folder) for name in ("config", "data", "cache", "hub_cache")})
        box = Toolbox(args.model, folders=own, prefix_cache=False)
        tables = {name: measure(box, name, args.split) for name in names}
        print(f"{box.model_name}, half `{args.split}`: accuracy / macro-F1 (calibration error)")
        print(f"{'':16}" + "".join(f"{name:>18}" for name in [*names, "mean"]))
        for way in next(iter(tables.values())):
            rows = [tables[name][way] for name in names]
            rows.append(tuple(statistics.mean(column) for column in zip(*rows, strict=True)))
            cells = [f"{a:.2f}/{f:.2f}" + ("" if e != e else f" ({e:.2f})") for a, f, e in rows]
            print(f"{way:16}" + "".join(f"{cell:>18}" for cell in cells))
        for name in names:
            by_order, alone, most = changes(box, name, args.split)
            n, right, usual = hostile(box, name)
            print(f"{name}: {by_order:.1%} of labels change with their order, {alone:.1%} one by "
                  f"one (scores by at most {most:.3f}); {right} of {n} hostile texts right, "
                  f"{usual} expected of harmless ones")  # fmt: skip
        print(f"{'accuracy, skewed batches':28}balanced half  same texts there  skewed  lost")
        for calibrate, way in (("auto", "the template"), ("balanced", "--balanced")):
            rows = [skewed(box, name, args.split, calibrate) for name in names]
            rows.append(tuple(statistics.mean(column) for column in zip(*rows, strict=True)))
            for name, (half, there, here) in zip([*names, "mean"], rows, strict=True):
                print(f"{way:14}{name:14}{half:13.3f}{there:18.3f}{here:8.3f}{there - here:7.3f}")


if __name__ == "__main__":
    main()
