"""How well labels are chosen: scores beside free and constrained generation, on our own texts.

    python benchmarks/labels.py [--model REF] [--split test] [--sets sentiment,spam,…]

The texts are those of tests/data; prompts were chosen on the half called `tune`, and figures are
given on `test`. Ways, on the same texts in one run:

    written freely        a chat asks for the label, its name is looked for in the reply
    under a grammar       the same, and the model can write nothing but a label
    no example            `classify -l a,b`: scores, calibrated on neutral sentences
    the template          `classify -t NAME`: one example of each label shown, others calibrate
    fitted                the template, bias and temperature fitted to the half called `tune`

Then, for the template: how many labels change when the order of the labels does, how many when a
batch is skewed to 85 in 100 of one label, and how many hostile texts keep their label.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path

from llmtool import Toolbox
from llmtool.config import Folders
from llmtool.engine.types import Failed
from llmtool.tasks.prepare import Case
from llmtool.tasks.scoring import evaluate
from llmtool.tasks.scoring.evaluate import Texts
from llmtool.tasks.scoring.labelling import Labelling

DATA = Path(__file__).resolve().parent.parent / "tests" / "data"
SETS = "sentiment,spam,urgency,topic,intent"


def load(name: str, split: str) -> Texts:
    rows = [json.loads(line) for line in (DATA / f"{name}.jsonl").open()]
    rows = [row for row in rows if row["split"] == split]
    return Texts(tuple(row["text"] for row in rows), tuple(row["label"] for row in rows))


def chosen(box: Toolbox, labelling: Labelling, texts: Sequence[str]) -> list[str]:
    cases = [Case(id=i, variables={"text": text}) for i, text in enumerate(texts)]
    found = []
    for outcome in labelling.outcomes(box.engine, cases):
        if isinstance(outcome, Failed):
            raise outcome.error
        found.append(outcome.text)
    return found


def measure(box: Toolbox, name: str, split: str) -> dict[str, tuple[float, float, float]]:
    """Return (accuracy, macro-F1, expected calibration error) of each way; nan where none."""
    data = load(name, split)
    names = sorted(set(data.labels))
    free = evaluate.free_generation(box, names, data)
    bound = evaluate.constrained_generation(box, names, data)
    result = {
        "written freely": (free.accuracy, free.macro_f1, float("nan")),
        "under a grammar": (bound.accuracy, bound.macro_f1, float("nan")),
    }
    template = box.prepare_labels(None, {"template": name})
    fitted = box.prepare_labels(None, {"template": name})
    tuned = load(name, "tune")
    for way, labelling in (
        ("no example", box.prepare_labels(names, {})),
        ("raw", box.prepare_labels(None, {"template": name, "calibrate": "none"})),
        ("the template", template),
    ):
        found = evaluate.evaluate(box, labelling, data)
        result[way] = (found.accuracy, found.macro_f1, found.ece)
    pairs = zip(tuned.texts, tuned.labels, strict=True)
    fitted.fit(box.engine, [(Case(variables={"text": text}), label) for text, label in pairs])
    found = evaluate.evaluate(box, fitted, data)
    result["fitted"] = (found.accuracy, found.macro_f1, found.ece)
    (box.folders.data / "calibrations").rename(box.folders.data / f"calibrations-{name}")
    return result


def changes(box: Toolbox, name: str, split: str) -> tuple[float, float]:
    """Return the share of labels that change with the labels' order, and in a skewed batch."""
    data = load(name, split)
    labels = box.library.load(name).output.labels
    labelling = box.prepare_labels(labels, {"template": name})
    usual = chosen(box, labelling, data.texts)
    turned = dict(reversed(labels.items()))
    reversed_ = chosen(box, box.prepare_labels(turned, {"template": name}), data.texts)
    by_order = sum(a != b for a, b in zip(usual, reversed_, strict=True)) / len(usual)
    skewed_changes = []
    for favourite in labels:
        many = [i for i, label in enumerate(data.labels) if label == favourite]
        few = [i for i, label in enumerate(data.labels) if label != favourite]
        kept = many + few[: max(1, round(len(many) * 15 / 85))]
        skewed = chosen(box, labelling, [data.texts[i] for i in kept])
        skewed_changes.append(
            sum(usual[i] != label for i, label in zip(kept, skewed, strict=True)) / len(kept)
        )
    return by_order, statistics.mean(skewed_changes)


def hostile(box: Toolbox, name: str) -> tuple[int, int, int]:
    """Return how many hostile texts there are, how many are right, and how many would be."""
    rows = [json.loads(line) for line in (DATA / "hostile.jsonl").open()]
    rows = [row for row in rows if row["set"] == name]
    found = chosen(box, box.prepare_labels(None, {"template": name}), [r["text"] for r in rows])
    right = sum(a == row["label"] for a, row in zip(found, rows, strict=True))
    data = load(name, "test")
    share = evaluate.evaluate(box, box.prepare_labels(None, {"template": name}), data).accuracy
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
            by_order, skewed = changes(box, name, args.split)
            n, right, usual = hostile(box, name)
            print(f"{name}: {by_order:.1%} of labels change with their order, "
                  f"{skewed:.1%} in batches of 85/15; {right} of {n} hostile texts right, "
                  f"{usual} expected of harmless ones")  # fmt: skip


if __name__ == "__main__":
    main()
