"""Choose the correction of raw label scores: a calibration on labelled texts, else anchors.

Anchors are texts whose average label is known: held-out examples or neutral sentences.
"""

from __future__ import annotations

from collections.abc import Sequence

from llmtool.engine.types import Engine, ScoreRequest
from llmtool.tasks.classify.calibration import (
    Calibration,
    bias_of_balanced,
    bias_of_neutral,
    calibrate,
)
from llmtool.tasks.classify.prompts import LabelPrompts
from llmtool.tasks.classify.scores import stream_scores
from llmtool.tasks.pipeline.collect import raise_failures
from llmtool.tasks.pipeline.disk_cache import DiskCache


class LabelBias:
    """The corrections of a classifier's scores, one for each of its questions.

    Args:
        n_labels: the number of labels per question.
        n_questions: the number of questions about a text.
        model_identity: identifies the model file, so that another file of that name is calibrated
            anew.
        anchor_identity: identifies the model for cached scores of anchors.
        uses_anchors: whether to score anchors; otherwise raw scores are not corrected.
        anchor_cache: caches the scores of anchors; None disables the cache.
        calibrations: stores calibrations on labelled texts; None ignores them.
    """

    def __init__(
        self,
        prompts: LabelPrompts,
        *,
        n_labels: int,
        n_questions: int,
        model_identity: str,
        anchor_identity: str,
        uses_anchors: bool,
        anchor_cache: DiskCache | None,
        calibrations: DiskCache | None,
    ) -> None:
        self._prompts = prompts
        self._model_identity, self._anchor_identity = model_identity, anchor_identity
        self._n_labels, self._n_questions = n_labels, n_questions
        self._uses_anchors = uses_anchors
        self._anchor_cache, self._calibrations = anchor_cache, calibrations
        self._corrections: list[Calibration] | None = None

    def correction(self, question: int) -> Calibration:
        assert self._corrections is not None, "call prepare first"
        return self._corrections[question]

    @property
    def calibration(self) -> Calibration | None:
        """The calibration on labelled texts that applies, None if there is none."""
        if self._corrections is not None:
            return self._corrections[0] if self._corrections[0].n_texts else None
        return self._load()

    def prepare(self, engine: Engine, *, use_calibration: bool = True) -> None:
        """Load the corrections, or score the anchors that they need.

        Args:
            use_calibration: whether to use a saved calibration.
        """
        if self._corrections is not None and use_calibration:
            return
        if not self._uses_anchors:
            self.use([0.0] * self._n_labels)
            return
        loaded = self._load() if use_calibration else None
        if loaded is not None:
            self._corrections = [loaded] * self._n_questions
            return
        anchors = self._prompts.anchor_requests()
        if not anchors:
            self.use([0.0] * self._n_labels)
            return
        self._corrections = self._of_anchors(
            self._load_scores(anchors) or self._score(engine, anchors)
        )

    def use(self, bias: list[float]) -> None:
        """Use a bias for all questions, without saving it."""
        self._corrections = [_correction(bias)] * self._n_questions

    def calibrate(self, rows: Sequence[Sequence[float]], truth: Sequence[int]) -> Calibration:
        """Calibrate on the scores of labelled texts; save the result and use it from now on."""
        calibration = calibrate(rows, truth, start=self.correction(0).bias)
        self._corrections = [calibration] * self._n_questions
        if self._calibrations is not None:
            self._calibrations.save(self._calibration_key, calibration)
        return calibration

    def _load(self) -> Calibration | None:
        if self._calibrations is None:
            return None
        found = self._calibrations.load(self._calibration_key, Calibration)
        return found if found is not None and len(found.bias) == self._n_labels else None

    def _load_scores(self, anchors: Sequence[ScoreRequest]) -> list[list[float]] | None:
        if self._anchor_cache is None:
            return None
        rows = self._anchor_cache.load(self._anchor_key(anchors), list[list[float]])
        is_valid = rows and [len(row) for row in rows] == [self._n_labels] * len(anchors)
        return rows if is_valid else None

    def _score(self, engine: Engine, anchors: Sequence[ScoreRequest]) -> list[list[float]]:
        # Apart from the texts, so that these form the same batches when the scores are cached.
        answers = raise_failures(stream_scores(engine, anchors))
        rows = [list(answer.scores.totals) for answer in answers]
        if self._anchor_cache is not None:
            self._anchor_cache.try_to_save(self._anchor_key(anchors), rows)
        return rows

    def _of_anchors(self, rows: Sequence[Sequence[float]]) -> list[Calibration]:
        if self._prompts.held_out:
            return [_correction(bias_of_balanced(rows))] * self._n_questions
        n = len(rows) // self._n_questions
        return [
            _correction(bias_of_neutral(rows[i * n : (i + 1) * n]))
            for i in range(self._n_questions)
        ]

    def _anchor_key(self, anchors: Sequence[ScoreRequest]) -> str:
        prompts = [(a.prompt.text, a.prompt.messages, a.prompt.prefill) for a in anchors]
        return self._prompts.key(self._anchor_identity, "anchors", prompts)

    @property
    def _calibration_key(self) -> str:
        return self._prompts.key(self._model_identity, "calibration")


def _correction(bias: list[float]) -> Calibration:
    return Calibration(bias=bias, temperature=1.0, n_texts=0, accuracy=(0, 0), ece=(0, 0))
