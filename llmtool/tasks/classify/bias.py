"""Choose the correction of raw label scores: a calibration on labelled texts, else anchors.

Anchors are texts whose average label is known: held-out examples or neutral sentences.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from llmtool.engine.types import Engine, Failed, ScoreRequest
from llmtool.tasks.classify.calibration import (
    Calibration,
    bias_of_balanced,
    bias_of_neutral,
    calibrate,
)
from llmtool.tasks.classify.prompts import LabelPrompts
from llmtool.tasks.classify.scores import ScoredRequest, stream_scores
from llmtool.tasks.pipeline.collect import raise_failures
from llmtool.tasks.pipeline.disk_cache import DiskCache

_MAX_ALONE = 32  # anchors


class Anchors:
    """Scores anchors, and caches the scores on disk.

    Args:
        n_labels: the number of labels.
        model_identity: identifies the model for cached scores.
        cache: None disables the cache.
    """

    def __init__(self, *, n_labels: int, model_identity: str, cache: DiskCache | None) -> None:
        self._n_labels, self._model_identity, self._cache = n_labels, model_identity, cache
        self._scored: dict[str, list[list[float]]] = {}

    def score(
        self, engine: Engine, prompts: LabelPrompts, anchors: Sequence[ScoreRequest]
    ) -> list[list[float]]:
        """Return log-probabilities of the labels; shape (n_anchors, n_labels)."""
        texts = [(a.prompt.text, a.prompt.messages, a.prompt.prefill) for a in anchors]
        key = prompts.key(self._model_identity, "anchors", texts)
        if key in self._scored:
            return self._scored[key]
        rows = None if self._cache is None else self._cache.load(key, list[list[float]])
        if rows and [len(row) for row in rows] == [self._n_labels] * len(anchors):
            self._scored[key] = rows
            return rows
        # Apart from the texts, so that these form the same batches when the scores are cached.
        answers = raise_failures(_score_alone(engine, anchors))
        rows = self._scored[key] = [list(each.scores.totals) for each in answers]
        if self._cache is not None:
            self._cache.try_to_save(key, rows)
        return rows


def _score_alone(
    engine: Engine, requests: Sequence[ScoreRequest]
) -> Iterator[ScoredRequest | Failed]:
    """Yield the scores of requests, one by one if they are few.

    What is computed together changes rounding, and a server batches otherwise: with quantized
    weights, the correction moved scores by up to 0.07. The mean of many depends less on it.
    """
    is_alone = len(requests) <= _MAX_ALONE
    while requests:
        found = list(stream_scores(engine, requests[:1] if is_alone else requests))
        yield from found
        requests = requests[len(found) :]
        if isinstance(found[0], ScoredRequest) and found[0].scores.method != "exact":
            is_alone = False  # hosted servers are slow, and batch as they like


class LabelBias:
    """The correction of a classifier's scores.

    Args:
        n_labels: the number of labels.
        model_identity: identifies the model file, so that another file of that name is calibrated
            anew.
        uses_anchors: whether to score anchors; otherwise raw scores are not corrected.
        choice_key: identifies what a recipe was chosen from, since saved calibrations depend on it.
        calibrations: stores calibrations on labelled texts; None ignores them.
    """

    def __init__(
        self,
        prompts: LabelPrompts,
        anchors: Anchors,
        *,
        n_labels: int,
        model_identity: str,
        uses_anchors: bool,
        choice_key: str | None,
        calibrations: DiskCache | None,
    ) -> None:
        self._prompts, self._anchors, self._model_identity = prompts, anchors, model_identity
        self._n_labels, self._uses_anchors, self._choice_key = n_labels, uses_anchors, choice_key
        self._calibrations = calibrations
        self._correction: Calibration | None = None

    @property
    def correction(self) -> Calibration:
        assert self._correction is not None, "call prepare first"
        return self._correction

    @property
    def calibration(self) -> Calibration | None:
        """The calibration on labelled texts that applies, None if there is none."""
        if self._correction is not None:
            return self._correction if self._correction.n_texts else None
        return self._load()

    def prepare(
        self, engine: Engine, *, use_calibration: bool = True, measured: list[float] | None = None
    ) -> None:
        """Load the correction, or score the anchors that it needs.

        Args:
            use_calibration: whether to use a saved calibration.
            measured: the bias to use without a calibration, instead of one from anchors.
        """
        if self._correction is not None and use_calibration:
            return
        if not self._uses_anchors:
            self.use([0.0] * self._n_labels)
            return
        loaded = self._load() if use_calibration else None
        if loaded is not None:
            self._correction = loaded
            return
        if measured is not None:
            self.use(measured)
            return
        anchors = self._prompts.anchor_requests()
        if not anchors:
            self.use([0.0] * self._n_labels)
            return
        bias_of = bias_of_balanced if self._prompts.held_out else bias_of_neutral
        self.use(bias_of(self._anchors.score(engine, self._prompts, anchors)))

    def use(self, bias: list[float]) -> None:
        """Use a bias, without saving it."""
        self._correction = Calibration(
            bias=bias, temperature=1.0, n_texts=0, accuracy=(0, 0), ece=(0, 0)
        )

    def calibrate(self, rows: Sequence[Sequence[float]], truth: Sequence[int]) -> Calibration:
        """Calibrate on the scores of labelled texts; save the result and use it from now on."""
        calibration = calibrate(rows, truth, start=self.correction.bias)
        self._correction = calibration
        if self._calibrations is not None:
            self._calibrations.save(self._calibration_key, calibration)
        return calibration

    def _load(self) -> Calibration | None:
        if self._calibrations is None:
            return None
        found = self._calibrations.load(self._calibration_key, Calibration)
        return found if found is not None and len(found.bias) == self._n_labels else None

    @property
    def _calibration_key(self) -> str:
        choice = [] if self._choice_key is None else [self._choice_key]
        return self._prompts.key(self._model_identity, "calibration", *choice)
