"""Print accuracy and calibration on labelled texts."""

from __future__ import annotations

from typing import Any

import msgspec

from llmtool.cli.options import groups as g
from llmtool.cli.render import tables
from llmtool.cli.render.classification import bar
from llmtool.cli.terminal.console import Console
from llmtool.cli.terminal.output_file import open_sink
from llmtool.tasks.classify.evaluate import Baseline, Evaluation

_SHOWN_MISTAKES, _SHOWN_LABELS = 5, 12


def write(
    console: Console, found: Evaluation, others: list[Baseline], output: g.OutputOptions
) -> None:
    """Write the figures and those of other methods: as tables on a terminal, rows or JSON."""
    with open_sink(console, output.path) as sink:
        if output.json:
            sink.write_json(
                {**msgspec.to_builtins(found), "baselines": msgspec.to_builtins(others)}
            )
        elif sink.is_terminal:
            _draw(console, found, others)
        else:
            for name, value in _figures(found):
                sink.write(f"{name}\t{value}\n")
            for each in others:
                sink.write(f"{each.name}\t{each.accuracy:.3f}\t{each.macro_f1:.3f}\n")


def _figures(found: Evaluation) -> list[tuple[str, str]]:
    return [
        ("texts", str(found.n_texts)),
        ("accuracy", f"{found.accuracy:.3f}"),
        ("macro-F1", f"{found.macro_f1:.3f}"),
        ("expected calibration error", f"{found.ece:.3f}"),
        ("calibrated on labelled texts", "yes" if found.calibrated else "no"),
        ("texts per second", f"{found.texts_per_second:.1f}"),
    ]


def _draw(console: Console, found: Evaluation, others: list[Baseline]) -> None:
    tables.fields(console, _figures(found))
    if others:
        console.stdout.write("\n")
        tables.table(
            console,
            ["method", "accuracy", "macro-F1", "no label", "per second"],
            [
                (
                    each.name,
                    f"{each.accuracy:.3f}",
                    f"{each.macro_f1:.3f}",
                    str(each.n_without_label),
                    f"{each.texts_per_second:.1f}",
                )
                for each in others
            ],
            right=["accuracy", "macro-F1", "no label", "per second"],
        )
    if len(found.labels) <= _SHOWN_LABELS:
        console.stdout.write("\n")
        _confusion(console, found)
    else:
        console.note("too many labels to print the confusion matrix; use --plot FILE or --json")
    if found.mistakes:
        console.stdout.write("\n")
        tables.table(
            console,
            ["score", "label", "expected", "most confident mistakes"],
            [
                (f"{each.score:.2f}", each.label, each.expected, " ".join(each.input.split())[:300])
                for each in found.mistakes[:_SHOWN_MISTAKES]
            ],
            right=["score"],
        )


def _confusion(console: Console, found: Evaluation) -> None:
    """Print the confusion matrix; columns are numbered like the rows."""
    numbers = [str(i + 1) for i in range(len(found.labels))]
    rows: list[tuple[Any, ...]] = []
    for number, name, counts in zip(numbers, found.labels, found.confusion, strict=True):
        recall = counts[int(number) - 1] / max(sum(counts), 1)
        rows.append((f"{number} {name}", *map(str, counts), bar(recall, 10)))
    tables.table(console, ["expected", *numbers, "correct"], rows, right=numbers)
