"""A bias from the texts themselves, where each label is known to be about as frequent as another.

After Zhou et al. (arXiv 2309.17249), but repeated until every label comes as often. But: opt-in,
because a batch that is not balanced is made so, and loses by it.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence

import msgspec

from llmtool.engine.types import Engine, Failed
from llmtool.errors import UsageError
from llmtool.tasks.classify.calibration import bias_of_balanced
from llmtool.tasks.classify.classifier import Classifier
from llmtool.tasks.classify.scores import Timed
from llmtool.tasks.pipeline.prepare import Case
from llmtool.tasks.results import Classification

MAX_TEXTS = 10_000  # whose scores are held until the last of them is there


class BalancedLabelling(Classifier):
    """Takes out of scores what makes one label more frequent than another in this very batch.

    No outcome comes before the last text is scored.
    """

    def outcomes(
        self, engine: Engine, cases: Iterable[Case | Failed | None]
    ) -> Generator[Classification | Failed, None, None]:
        """Classify cases together; outcomes come in the order of the cases, after the last of them.

        Raises:
            UsageError: there are fewer texts than labels, or more than `MAX_TEXTS`.
        """
        held: list[tuple[int, Sequence[Timed] | Failed]] = []
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
            self.scales.take(bias_of_balanced(rows))
        assumed = f"scored as if each label were about as frequent as another in {len(rows)} texts"
        for id, answers in held:
            if isinstance(answers, Failed):
                yield Failed(id, answers.error)
            else:
                found = self.classify(answers)
                yield msgspec.structs.replace(found, warnings=(*found.warnings, assumed))
