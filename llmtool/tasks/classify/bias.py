"""What is taken out of raw scores: a fit to labelled texts, else the bias that anchors show."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from llmtool.engine.types import ScoreRequest
from llmtool.tasks.classify import calibration
from llmtool.tasks.classify.calibration import Fit
from llmtool.tasks.pipeline.disk_cache import Kept


class Scales:
    """The scales of a labelling, one for each question that it asks.

    Args:
        n_labels: how many labels a question has.
        n_questions: how many questions there are.
        anchors: makes the requests of the anchors, as many for each question, in their order; none
            where nothing can be learnt from them. None takes nothing out at all.
        is_balanced: whether the anchors are texts with as many of each label, rather than sentences
            that speak for none.
        key: makes a name of what the scales depend on, and of what it is given.
        kept: where the scores of anchors are kept; None keeps none.
        fits: where fits to labelled texts are kept; None looks for none.
    """

    def __init__(
        self,
        *,
        n_labels: int,
        n_questions: int,
        anchors: Callable[[], list[ScoreRequest]] | None,
        is_balanced: bool,
        key: Callable[..., str],
        kept: Kept | None,
        fits: Kept | None,
    ) -> None:
        self._n_labels, self._n_questions = n_labels, n_questions
        self._anchors, self._is_balanced = anchors, is_balanced
        self._key, self._kept, self._fits = key, kept, fits
        self._scales: list[Fit] | None = None

    def of(self, question: int) -> Fit:
        assert self._scales is not None, "scales are known once the anchors were scored"
        return self._scales[question]

    @property
    def fitted(self) -> Fit | None:
        """The fit to labelled texts that is in force, or will be."""
        if self._scales is not None:
            return self._scales[0] if self._scales[0].n_texts else None
        return self._load_fit()

    def _load_fit(self) -> Fit | None:
        found = self._fits.load(self.fit_key, Fit) if self._fits is not None else None
        return found if found is not None and len(found.bias) == self._n_labels else None

    def needed(self, *, fitted: bool = True) -> list[ScoreRequest]:
        """Return what has to be scored before the first text; nothing if the scales are known.

        Without `fitted` an earlier fit is left aside.
        """
        if self._scales is not None and fitted:
            return []
        nothing = [_unscaled([0.0] * self._n_labels)] * self._n_questions
        if self._anchors is None:
            self._scales = nothing
            return []
        found = self._load_fit() if fitted else None
        if found is not None:
            self._scales = [found] * self._n_questions
            return []
        anchors = self._anchors()
        if not anchors:
            self._scales = nothing
            return []
        rows = self._kept and self._kept.load(self._anchor_key(anchors), list[list[float]])
        if rows and [len(row) for row in rows] == [self._n_labels] * len(anchors):
            self._scales = self._scales_of(rows)
            return []
        return anchors

    def learn(self, anchors: Sequence[ScoreRequest], rows: list[list[float]]) -> None:
        """Take the log-probabilities of the anchors; shape (n_anchors, n_labels)."""
        self._scales = self._scales_of(rows)
        if self._kept is not None:
            self._kept.try_to_save(self._anchor_key(anchors), rows)

    def take(self, bias: list[float]) -> None:
        """Use a bias that came from elsewhere, and keep it nowhere."""
        self._scales = [_unscaled(bias)] * self._n_questions

    def fit(self, rows: Sequence[Sequence[float]], truth: Sequence[int]) -> Fit:
        """Fit the scale to labelled texts, keep it, and use it from now on."""
        fitted = calibration.fit(rows, truth, start=self.of(0).bias)
        self._scales = [fitted] * self._n_questions
        if self._fits is not None:
            self._fits.save(self.fit_key, fitted)
        return fitted

    @property
    def fit_key(self) -> str:
        return self._key("fit")

    def _anchor_key(self, anchors: Sequence[ScoreRequest]) -> str:
        prompts = [(a.prompt.text, a.prompt.messages, a.prompt.prefill) for a in anchors]
        return self._key("anchors", prompts)

    def _scales_of(self, rows: Sequence[Sequence[float]]) -> list[Fit]:
        n = len(rows) // self._n_questions
        bias_of = calibration.bias_of_balanced if self._is_balanced else calibration.bias_of_neutral
        return [_unscaled(bias_of(rows[i * n : (i + 1) * n])) for i in range(self._n_questions)]


def _unscaled(bias: list[float]) -> Fit:
    return Fit(bias=bias, temperature=1.0, n_texts=0, accuracy=(0, 0), ece=(0, 0))
