"""Summarize any number of texts with the options of one call."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from contextlib import closing

import msgspec

from llmtool.engine.types import Engine, Failed, Request
from llmtool.prompts.template import Template
from llmtool.tasks.options import Strategy
from llmtool.tasks.pipeline.duplicates import answer_once
from llmtool.tasks.pipeline.prepare import Case, case_key, each_or_failed, text_of, token_counter
from llmtool.tasks.pipeline.reply_cache import ReplyCache
from llmtool.tasks.pipeline.workflow import WorkflowRunner
from llmtool.tasks.results import Summary
from llmtool.tasks.summarize.map_reduce import SummaryEvent, SummaryWorkflow
from llmtool.tasks.summarize.planner import SummaryPlan, plan_summary
from llmtool.tasks.summarize.prompts import SummaryPrompts
from llmtool.tasks.summarize.sections import SectionAssembler
from llmtool.text.sections import Section, split_sections


class Summarizer(msgspec.Struct, frozen=True, kw_only=True):
    """The options of one call, ready for any number of texts.

    `by_section` summarizes each section of a text on its own.
    """

    prompts: SummaryPrompts
    strategy: Strategy | None
    by_section: bool
    chunk_tokens: int
    note_cache: ReplyCache

    @property
    def template(self) -> Template:
        return self.prompts.final.template

    @property
    def columns(self) -> list[str]:
        return ["text", "chunks"]

    def outcomes(
        self, engine: Engine, cases: Iterable[Case | Failed | None]
    ) -> Generator[Summary | Failed, None, None]:
        """Summarize the texts of cases together; yield results in the order of the cases."""
        samplings = self.prompts.final.sampling, self.prompts.notes.sampling
        for event in answer_once(
            cases,
            lambda each: self.stream(engine, each),
            key=lambda case: case_key(case, *samplings),
            kind=Summary,
        ):
            if isinstance(event, (Summary, Failed)):
                yield event

    def stream(
        self, engine: Engine, cases: Iterable[Case | Failed | None]
    ) -> Generator[SummaryEvent | Summary | Failed, None, None]:
        """Like `outcomes`, but also yield text and progress."""
        workflows = each_or_failed(lambda case: self._workflow(engine, case), cases)
        runner = WorkflowRunner[SectionAssembler, SummaryEvent](engine, workflows)
        with closing(runner.run()) as events:
            for event in events:
                if isinstance(event, SectionAssembler):
                    yield event.result(model=self.prompts.final.model)
                else:
                    yield event

    def request(self, case: Case) -> Request:
        """Return the request for the summary of a text as a whole."""
        return self.prompts.summary_request(text_of(case, self.prompts.text_input))

    def first_request(self, engine: Engine, case: Case) -> Request:
        """Return the first request of a text: for its summary, or for notes on its first chunk."""
        plan = self.plan(engine, text_of(case, self.prompts.text_input))
        if plan.strategy == "stuff":
            return self.request(case)
        first = plan.chunks[0]
        return self.prompts.note_request(first.text, path=first.path, max_tokens=plan.note_tokens)

    def identity(self) -> bytes:
        return self.prompts.identity(self.strategy, self.by_section, self.chunk_tokens)

    def plan(self, engine: Engine, text: str) -> SummaryPlan:
        strategy, chunk_tokens = self.strategy, self.chunk_tokens
        return plan_summary(
            self.prompts, engine, text, strategy=strategy, chunk_tokens=chunk_tokens
        )

    def _workflow(self, engine: Engine, case: Case) -> SectionAssembler:
        text = text_of(case, self.prompts.text_input)
        sections = split_sections(text) if self.by_section else []
        sections = [section for section in sections if section.text.strip()]
        if len(sections) < 2:
            sections = [Section(heading=None, text=text, start=0)]
        count = token_counter(engine)
        parts = [
            SummaryWorkflow(
                case.id,
                section.text,
                self.plan(engine, section.text),
                self.prompts,
                count=count,
                note_cache=self.note_cache,
            )
            for section in sections
        ]
        return SectionAssembler(case.id, list(zip(sections, parts, strict=True)))
