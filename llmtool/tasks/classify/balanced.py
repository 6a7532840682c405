"""Correct the scores of a batch in which all labels are about equally frequent.

After Zhou et al. (arXiv 2309.17249), but iterated until every label is equally frequent. Opt-in,
because it makes the results of an unbalanced batch worse.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence

import msgspec

from llmtool.engine.types import Engine, Failed
from llmtool.errors import UsageError
from llmtool.tasks.classify.calibration import bias_of_balanced
from llmtool.tasks.classify.classifier import Classifier
from llmtool.tasks.classify.scores import ScoredRequest
from llmtool.tasks.pipeline.prepare import Case
from llmtool.tasks.results import Classification

MAX_TEXTS = 10_000  # whose scores are held in memory


class BalancedClassifier(Classifier):
    """Removes from the scores whatever makes one label more frequent than another in a batch.

    It yields no result before the last text is scored.
    """

    def outcomes(
        self, engine: Engine, cases: Iterable[Case | Failed | None]
    ) -> Generator[Classification | Failed, None, None]:
        """Classify cases together; yield results in the order of the cases, after the last one.

        Raises:
            UsageError: there are fewer texts than labels, or more than `MAX_TEXTS`.
        """
        held: list[tuple[int, Sequence[ScoredRequest] | Failed]] = []
        for answer in self.answers(engine, cases):
            if len(held) == MAX_TEXTS:
                raise UsageError(
                    f"a balanced batch is held in memory until its end, and {MAX_TEXTS:,} texts "
                    "are the most: give fewer at a time"
                )
            held.append(answer)
        rows = [self.mean_totals(answers) for _, answers in held if not isinstance(answers, Failed)]
        if rows and len(rows) < len(self.labels):
            raise UsageError(
                f"a balanced batch needs a text for each label at least; {len(rows)} of "
                f"{len(self.labels)} are there"
            )
        if rows:
            self.bias.use(bias_of_balanced(rows))
        assumed = f"scored as if each label were about as frequent as another in {len(rows)} texts"
        for id, answers in held:
            if isinstance(answers, Failed):
                yield Failed(id, answers.error)
            else:
                found = self.classify(answers)
                yield msgspec.structs.replace(found, warnings=(*found.warnings, assumed))
