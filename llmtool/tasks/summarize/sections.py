"""The summaries of a text's sections, gathered into the summary of the text."""

from __future__ import annotations

import time
from collections.abc import Iterator

from llmtool.engine.types import Failed, Usage
from llmtool.tasks.results import ChunkSpan, Summary
from llmtool.tasks.summarize.map_reduce import SummaryProgress, SummaryText, SummaryWork
from llmtool.text.sections import Section


class SectionAssembler:
    """One text: what is told of it, and its result when all its sections are done."""

    def __init__(self, id: int) -> None:
        self.id = id
        self._sections: dict[int, Section] = {}  # by the id of their works, in order
        self._waiting: list[int] = []
        self._held: dict[int, list[str]] = {}
        self._read: dict[int, int] = {}
        self._n_tokens = 0
        self._done: list[SummaryWork] = []
        self._error: Failed | None = None
        self._began: set[int] = set()
        self._started = time.perf_counter()

    def expect(self, work_id: int, section: Section, *, n_tokens: int) -> None:
        self._sections[work_id] = section
        self._waiting.append(work_id)
        self._n_tokens += n_tokens

    def tell(self, event: SummaryText | SummaryProgress) -> Iterator[SummaryText | SummaryProgress]:
        """Yield what an event of a work says of the text; pieces wait for the sections before."""
        if isinstance(event, SummaryProgress):
            self._read[event.id] = event.n_done
            n_done = sum(self._read.values())
            yield SummaryProgress(id=self.id, n_done=n_done, n_tokens=self._n_tokens)
        elif self._waiting and event.id == self._waiting[0]:
            yield from self._piece(event.id, event.text)
        else:
            self._held.setdefault(event.id, []).append(event.text)

    def take(
        self, outcome: SummaryWork | Failed, *, model: str
    ) -> Iterator[SummaryText | SummaryProgress | Summary | Failed]:
        """Take a section that is done, or failed; the last one of a text gives its outcome."""
        if not self._sections:
            assert isinstance(outcome, Failed)
            yield Failed(self.id, outcome.error)
            return
        self._waiting.remove(outcome.id)
        if isinstance(outcome, Failed):
            self._error = self._error or Failed(self.id, outcome.error)
        else:
            self._done.append(outcome)
            if self._waiting:
                yield from self._piece(
                    self._waiting[0], "".join(self._held.pop(self._waiting[0], ()))
                )
        if not self._waiting:
            yield self._error or self._result(model)

    def _piece(self, work_id: int, text: str) -> Iterator[SummaryText]:
        if not text:
            return
        if work_id not in self._began:
            self._began.add(work_id)
            text = self._before(work_id) + text
        yield SummaryText(id=self.id, text=text)

    def _before(self, work_id: int) -> str:
        """Return what stands before the summary of a section: its heading, if there are several."""
        if len(self._sections) == 1:
            return ""
        heading = self._sections[work_id].heading
        gap = "\n\n" if len(self._began) > 1 else ""
        return f"{gap}## {heading}\n\n" if heading else gap

    def _result(self, model: str) -> Summary:
        text = ""
        self._began.clear()
        for work in self._done:
            self._began.add(work.id)
            text += self._before(work.id) + (work.text or "")
        first = self._done[0]
        spans = tuple(
            ChunkSpan(
                start=self._sections[work.id].start + chunk.start,
                end=self._sections[work.id].start + chunk.end,
                n_tokens=chunk.n_tokens,
            )
            for work in self._done
            for chunk in work.plan.chunks
        )
        n_all = sum(len(self._sections[work.id].text) for work in self._done)
        n_read = sum(span.end - span.start for span in spans)
        strategies = {work.plan.strategy for work in self._done}
        reasons = [work.finish_reason for work in self._done]
        fallbacks = [work.fallback for work in self._done if work.fallback]
        return Summary(
            text=text,
            strategy=strategies.pop() if len(strategies) == 1 else "mixed",
            chunks=spans,
            coverage=n_read / n_all if n_all else 1.0,
            n_rounds=max(len(work.levels) for work in self._done),
            n_cached_notes=sum(work.n_cached_notes for work in self._done),
            n_quoted_notes=sum(work.n_quoted_notes for work in self._done),
            fallback=fallbacks[0] if fallbacks else None,
            finish_reason=next((r for r in reasons if r == "length"), first.finish_reason),
            seed=first.seed,
            model=model,
            usage=_sum_usage([work.usage for work in self._done]),
            seconds=time.perf_counter() - self._started,
            warnings=tuple(dict.fromkeys(w for work in self._done for w in work.warnings)),
        )


def _sum_usage(all: list[Usage]) -> Usage:
    return Usage(
        prompt_tokens=sum(each.prompt_tokens for each in all),
        cached_tokens=sum(each.cached_tokens for each in all),
        completion_tokens=sum(each.completion_tokens for each in all),
    )
