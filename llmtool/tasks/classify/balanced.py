"""Classify a batch in which all labels are about equally frequent.

The bias is estimated from the batch itself, after Zhou et al. (arXiv 2309.17249), but iterated
until every label is equally frequent. With several labels per text, it is the mean of the bias of
anchors and that of the batch. Opt-in, because it makes the results of unbalanced batches
worse.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Iterable, Sequence

import msgspec

from llmtool.engine.types import Engine, Failed
from llmtool.errors import UsageError
from llmtool.sizes import format_count
from llmtool.tasks.classify.calibration import bias_of_balanced
from llmtool.tasks.classify.classifier import Classifier, ScoredText
from llmtool.tasks.classify.multi_label import MultiLabelClassifier
from llmtool.tasks.pipeline.prepare import Case
from llmtool.tasks.results import Classification

MAX_TEXTS = 10_000  # their scores are held in memory


class BalancedClassifier(Classifier):
    """Corrects scores so that all labels are equally frequent in the batch.

    Yields the first result after the last text is scored.
    """

    def outcomes(
        self, engine: Engine, cases: Iterable[Case | Failed | None]
    ) -> Generator[Classification | Failed, None, None]:
        """Score all cases, then yield the results in the order of the cases.

        Raises:
            UsageError: there are fewer texts than labels, or more than `MAX_TEXTS`.
        """
        held: list[tuple[int, ScoredText | Failed]] = []
        for item in self.score(engine, cases):
            if len(held) == MAX_TEXTS:
                raise UsageError(
                    f"a balanced batch can have at most {MAX_TEXTS:,} texts; "
                    "classify fewer at a time"
                )
            held.append(item)
        rows = [self.mean_totals(scored) for _, scored in held if not isinstance(scored, Failed)]
        if rows and len(rows) < len(self.labels):
            raise UsageError(
                "a balanced batch needs at least as many texts as labels; "
                f"it has {format_count(len(rows), 'text')} for {len(self.labels)} labels"
            )
        if rows:
            self.use_batch(rows)
        assumed = f"assumed that all labels are about equally frequent in {len(rows)} texts"
        for id, scored in held:
            if isinstance(scored, Failed):
                yield Failed(id, scored.error)
            else:
                found = self.classify(scored)
                yield msgspec.structs.replace(found, warnings=(*found.warnings, assumed))

    def use_batch(self, rows: Sequence[Sequence[float]]) -> None:
        """Estimate the bias from the log-probabilities of a batch; shape (n_texts, n_labels)."""
        self.bias.use(bias_of_balanced(rows))


class BalancedMultiLabelClassifier(BalancedClassifier, MultiLabelClassifier):
    """Chooses all labels that fit a text, compared with the other texts of the batch.

    The unit of log-ratios is the geometric mean of both spreads, that of the text and that of
    neutral sentences.
    """

    def identity(self) -> bytes:
        return self.prompts.identity(super().identity(), "balanced")

    def use_batch(self, rows: Sequence[Sequence[float]]) -> None:
        self.use_mean(self.bias.correction.bias, bias_of_balanced(rows))
        self.fit()

    def unit(self, spread: float, neutral_spread: float) -> float:
        return math.sqrt(spread * neutral_spread)
