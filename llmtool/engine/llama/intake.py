"""Read requests lazily, and make jobs of them that wait for the scheduler."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator

import msgspec

from llmtool.engine.llama.generation_job import GenerationJob
from llmtool.engine.llama.job import Job
from llmtool.engine.llama.loaded_model import LoadedModel
from llmtool.engine.types import Failed, Request, ScoreRequest, StreamProgress
from llmtool.errors import Cancelled, LlmtoolError, invalid_unicode


class Intake:
    """The jobs of a stream that wait, in the order of the requests.

    `is_exhausted` is true after the last request was read. `has_waited` is true once no request was
    available, as they arrive over time. With `reproducible`, no request continues another one.
    """

    def __init__(
        self,
        model: LoadedModel,
        requests: Iterable[Request | ScoreRequest | Failed | None],
        progress: StreamProgress,
        *,
        reproducible: bool = False,
    ) -> None:
        self._model, self._source, self._progress = model, iter(requests), progress
        self._reproducible = reproducible
        self.is_exhausted = self.has_waited = False
        self.waiting: deque[Job] = deque()

    @property
    def n_choices(self) -> int:
        """The number of replies that wait."""
        return sum(job.n_choices for job in self.waiting)

    def read(self, n_choices: int) -> Iterator[Failed]:
        """Read requests for `n_choices` replies, as far as they are available."""
        while not self.is_exhausted and self.n_choices < n_choices:
            try:
                request = next(self._source)
            except StopIteration:
                self.is_exhausted = True
                return
            if request is None:
                self.has_waited = True
                return
            if isinstance(request, Failed):
                yield request
                continue
            try:
                self.waiting.append(self._make_job(request))
                self._progress.n_requests += 1
            except UnicodeEncodeError as exc:
                yield Failed(request.id, invalid_unicode(exc))
            except LlmtoolError as exc:
                if isinstance(exc, Cancelled) and self._model.cancellation.cancelled:
                    raise  # it cancels the whole stream
                yield Failed(request.id, exc)

    def _make_job(self, request: Request | ScoreRequest) -> Job:
        if isinstance(request, ScoreRequest):
            from llmtool.engine.llama.scoring_job import ScoringJob

            return ScoringJob(self._model, request)
        if self._reproducible and request.keep:
            request = msgspec.structs.replace(request, keep=False)
        job = GenerationJob(self._model, request)
        self._progress.n_replies += request.n
        return job
