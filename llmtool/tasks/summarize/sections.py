"""Summarize a text section by section, and assemble the summary of the text."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import msgspec

from llmtool.engine.types import Token
from llmtool.tasks.pipeline.workflow import Step, StepReply, Workflow
from llmtool.tasks.results import ChunkSpan, Summary
from llmtool.tasks.summarize.map_reduce import (
    SummaryEvent,
    SummaryProgress,
    SummaryText,
    SummaryWorkflow,
)
from llmtool.text.sections import Section


class SectionAssembler(Workflow[SummaryEvent]):
    """Runs a workflow for each section of a text, and emits their summaries in order.

    A text without sections has one workflow and no headings.
    """

    def __init__(self, id: int, parts: Sequence[tuple[Section, SummaryWorkflow]]) -> None:
        super().__init__(id)
        self._sections = [section for section, _ in parts]
        self._workflows = [workflow for _, workflow in parts]
        self._current = 0  # the section that is emitted; text of later ones is buffered
        self._buffered = [""] * len(parts)
        self._n_read = [0] * len(parts)
        self._pending_heading = self._heading(0)
        self._started = time.perf_counter()

    @property
    def is_complete(self) -> bool:
        return self._current == len(self._workflows)

    def start(self) -> Iterator[Step]:
        for index, workflow in enumerate(self._workflows):
            yield from _targeted(index, workflow.start())

    def on_reply(self, step: Step, reply: StepReply) -> Iterator[Step]:
        index, target = step.target
        inner = msgspec.structs.replace(step, target=target)
        yield from _targeted(index, self._workflows[index].on_reply(inner, reply))

    def on_token(self, step: Step, token: Token) -> Iterator[SummaryEvent]:
        index, target = step.target
        inner = msgspec.structs.replace(step, target=target)
        for event in self._workflows[index].on_token(inner, token):
            yield from self._merge(index, event)

    def drain_events(self) -> Iterator[SummaryEvent]:
        for index, workflow in enumerate(self._workflows):
            for event in workflow.drain_events():
                yield from self._merge(index, event)
        while not self.is_complete and self._workflows[self._current].is_complete:
            yield from self._emit("")  # the heading of a section without a summary
            self._current += 1
            if not self.is_complete:
                self._pending_heading = self._heading(self._current)
                if self._buffered[self._current]:
                    yield from self._emit(self._buffered[self._current])

    def result(self, *, model: str) -> Summary:
        workflows = self._workflows
        spans = tuple(
            ChunkSpan(
                start=section.start + chunk.start,
                end=section.start + chunk.end,
                n_tokens=chunk.n_tokens,
            )
            for section, workflow in zip(self._sections, workflows, strict=True)
            for chunk in workflow.plan.chunks
        )
        n_characters = sum(len(section.text) for section in self._sections)
        n_read = sum(span.end - span.start for span in spans)
        strategies = {workflow.plan.strategy for workflow in workflows}
        is_truncated = any(workflow.finish_reason == "length" for workflow in workflows)
        return Summary(
            text="".join(
                self._heading(index) + (workflow.text or "")
                for index, workflow in enumerate(workflows)
            ),
            strategy=strategies.pop() if len(strategies) == 1 else "mixed",
            chunks=spans,
            coverage=n_read / n_characters if n_characters else 1.0,
            n_rounds=max(len(workflow.rounds) for workflow in workflows),
            n_cached_notes=sum(workflow.n_cached_notes for workflow in workflows),
            n_quoted_notes=sum(workflow.n_quoted_notes for workflow in workflows),
            fallback=next((each.fallback for each in workflows if each.fallback), None),
            finish_reason="length" if is_truncated else "stop",
            seed=workflows[0].seed,
            model=model,
            usage=self.usage,
            seconds=time.perf_counter() - self._started,
            warnings=tuple(dict.fromkeys(w for workflow in workflows for w in workflow.warnings)),
        )

    def _merge(self, index: int, event: SummaryEvent) -> Iterator[SummaryEvent]:
        """Convert an event of a section into events of the text."""
        if isinstance(event, SummaryProgress):
            self._n_read[index] = event.n_done
            n_tokens = sum(workflow.plan.n_tokens for workflow in self._workflows)
            yield SummaryProgress(id=self.id, n_done=sum(self._n_read), n_tokens=n_tokens)
        elif index == self._current:
            yield from self._emit(event.text)
        else:
            self._buffered[index] += event.text

    def _emit(self, text: str) -> Iterator[SummaryText]:
        text = self._pending_heading + text
        self._pending_heading = ""
        if text:
            yield SummaryText(id=self.id, text=text)

    def _heading(self, index: int) -> str:
        """Return the text before the summary of a section."""
        if len(self._sections) == 1:
            return ""
        heading = self._sections[index].heading
        return ("\n\n" if index else "") + (f"## {heading}\n\n" if heading else "")


def _targeted(index: int, steps: Iterator[Step]) -> Iterator[Step]:
    """Add the index of a section to the targets of its steps."""
    for step in steps:
        yield msgspec.structs.replace(step, target=(index, step.target))
