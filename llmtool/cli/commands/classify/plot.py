"""Plot the reliability curve and the confusion matrix of an evaluation."""

from __future__ import annotations

from functools import partial
from typing import Any

from llmtool.cli.render import plots
from llmtool.cli.render.plots import BLUE, FAINT, INK, VERMILION
from llmtool.cli.terminal.console import Console
from llmtool.tasks.classify.evaluate import Evaluation

check = plots.check
_MIN_ROW_INCHES, _MAX_INCHES = 0.21, 40.0  # height of a matrix row, and of the figure
_MAX_NAMED_COLUMNS, _MAX_COLUMN_NAME = 8, 14  # if exceeded, columns are numbered
_MAX_NAME = 28
_MAX_COUNTED_LABELS = 30  # with more, cells show only colours


def draw(console: Console, found: Evaluation, path: str, *, title: str) -> None:
    """Draw the reliability curve and the confusion matrix, side by side."""
    height = min(max(4.6, 1.4 + _MIN_ROW_INCHES * len(found.labels)), _MAX_INCHES)
    top = 0.99 - 0.6 / height
    paint = partial(_paint, found=found, title=title)
    plots.save(console, path, paint, size=(9.6 + (height - 4.6), height), top=top)


def _paint(figure: Any, found: Evaluation, title: str) -> None:
    width, height = figure.get_size_inches()
    left, right = figure.subplots(1, 2, width_ratios=[4.6, width - 5])
    figure.text(0.02, 1 - 0.25 / height, title, fontsize=12, fontweight="bold", color=INK)
    summary = (
        f"{found.n_texts} texts, accuracy {found.accuracy:.2f}, macro-F1 {found.macro_f1:.2f}, "
        f"expected calibration error {found.ece:.2f}"
    )
    figure.text(0.02, 1 - 0.48 / height, summary, color=FAINT)
    _reliability(left, found)
    _confusion(right, found)


def _reliability(axes: Any, found: Evaluation) -> None:
    largest = max(each.n for each in found.bins)
    for each in found.bins:
        axes.bar(
            each.low + 0.05,
            each.accuracy,
            width=0.092,
            color=BLUE,
            alpha=0.25 + 0.75 * each.n / largest,
        )
        axes.text(
            each.low + 0.05,
            each.accuracy + 0.015,
            str(each.n),
            ha="center",
            color=FAINT,
            fontsize=8,
        )
    axes.plot([0, 1], [0, 1], color=VERMILION, linewidth=1.2, label="ideal")
    axes.set(xlim=(0, 1), ylim=(0, 1.08), xlabel="score", ylabel="share of correct labels")
    axes.set_title("Reliability (with number of texts)", loc="left", fontsize=10)
    axes.legend(loc="upper left", frameon=False, fontsize=8)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _confusion(axes: Any, found: Evaluation) -> None:
    shares = [[n / max(sum(row), 1) for n in row] for row in found.confusion]
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    n = len(found.labels)
    names = [
        name if len(name) <= _MAX_NAME else f"{name[: _MAX_NAME - 1]}…" for name in found.labels
    ]
    if (
        n > _MAX_NAMED_COLUMNS or max(map(len, names)) > _MAX_COLUMN_NAME
    ):  # columns are numbered like the rows
        axes.set_xticks(range(n), [str(i + 1) for i in range(n)])
        names = [f"{name}  {i + 1}" for i, name in enumerate(names)]
    else:
        axes.set_xticks(range(n), names, rotation=35, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(n), names)
    axes.set(xlabel="predicted label", ylabel="expected label")
    axes.set_title("Confusion matrix (number of texts)", loc="left", fontsize=10)
    if n <= _MAX_COUNTED_LABELS:
        for i, row in enumerate(found.confusion):
            for j, count in enumerate(row):
                color = "white" if shares[i][j] > 0.55 else INK
                axes.text(j, i, str(count), ha="center", va="center", color=color, fontsize=9)
