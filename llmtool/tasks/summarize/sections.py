"""Summarize a text section by section, and assemble the summary of the text."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import msgspec

from llmtool.engine.types import Token
from llmtool.errors import LlmtoolError
from llmtool.tasks.pipeline.workflow import Step, StepReply, Workflow
from llmtool.tasks.results import NO_USAGE, Summary
from llmtool.tasks.summarize.workflow import (
    SummaryEvent,
    SummaryProgress,
    SummaryText,
    SummaryWorkflow,
)


class SectionAssembler(Workflow[SummaryEvent]):
    """Runs a workflow for each section of a text, and emits their summaries in order.

    `parts` are pairs of a heading and a workflow; a text without sections has one, and no heading.
    """

    def __init__(self, id: int, parts: Sequence[tuple[str | None, SummaryWorkflow]]) -> None:
        super().__init__(id)
        self._headings = [heading for heading, _ in parts]
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

    def on_error(self, step: Step, error: LlmtoolError) -> Iterator[Step]:
        index, target = step.target
        inner = msgspec.structs.replace(step, target=target)
        yield from _targeted(index, self._workflows[index].on_error(inner, error))

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
        """Return the summary; `model` counts only if it was used."""
        workflows = self._workflows
        needs_model = any(workflow.plan.strategy != "extract" for workflow in workflows)
        return Summary(
            text="".join(
                self._heading(index) + workflow.text for index, workflow in enumerate(workflows)
            ),
            sentences=tuple(each for workflow in workflows for each in workflow.sentences),
            strategy=workflows[0].plan.strategy,
            n_rejected=sum(workflow.n_rejected for workflow in workflows),
            n_cached=sum(workflow.n_cached for workflow in workflows),
            seed=workflows[0].seed,
            model=model if needs_model else "",
            usage=self.usage if needs_model else NO_USAGE,
            seconds=time.perf_counter() - self._started,
            warnings=tuple(dict.fromkeys(self._warnings())),
        )

    def _warnings(self) -> Iterator[str]:
        for heading, workflow in zip(self._headings, self._workflows, strict=True):
            for warning in workflow.warnings:
                yield f"section {heading!r}: {warning}" if heading else warning

    def _merge(self, index: int, event: SummaryEvent) -> Iterator[SummaryEvent]:
        """Convert an event of a section into events of the text."""
        if isinstance(event, SummaryProgress):
            self._n_read[index] = event.n_done
            n_words = sum(workflow.n_words for workflow in self._workflows)
            yield SummaryProgress(id=self.id, n_done=sum(self._n_read), n_words=n_words)
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
        if len(self._headings) == 1:
            return ""
        heading = self._headings[index]
        return ("\n\n" if index else "") + (f"## {heading}\n\n" if heading else "")


def _targeted(index: int, steps: Iterator[Step]) -> Iterator[Step]:
    """Add the index of a section to the targets of its steps."""
    for step in steps:
        yield msgspec.structs.replace(step, target=(index, step.target))
