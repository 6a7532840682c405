"""Summarize any number of texts with the options of one call."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from functools import partial

import msgspec

from llmtool.engine.types import Engine, Failed, Request
from llmtool.errors import InputError, UsageError
from llmtool.option_names import option
from llmtool.prompts.template import Template
from llmtool.tasks.pipeline.disk_cache import DiskCache
from llmtool.tasks.pipeline.duplicates import answer_once
from llmtool.tasks.pipeline.prepare import Case, case_key, each_or_failed, text_of
from llmtool.tasks.pipeline.reply_cache import ReplyCache
from llmtool.tasks.pipeline.workflow import WorkflowRunner
from llmtool.tasks.results import Strategy, Summary
from llmtool.tasks.summarize.sections import SectionAssembler
from llmtool.tasks.summarize.self_test import load_self_test, run_self_test, test_key
from llmtool.tasks.summarize.source import Sentence, read_sentences
from llmtool.tasks.summarize.workflow import SummaryEvent, SummaryPlan, SummaryWorkflow
from llmtool.text.sections import split_sections

_IDLE_SECONDS = 0.001


class Summarizer(msgspec.Struct, frozen=True, kw_only=True):
    """The options of one call, ready for any number of texts.

    `by_section` summarizes each section of a text on its own. With `adapts`, a self-test of the
    model decides whether it may write, and from how many sentences at once.
    """

    template: Template
    plan: SummaryPlan
    adapts: bool
    self_tests: DiskCache | None
    by_section: bool
    reply_cache: ReplyCache
    model: str

    @property
    def text_input(self) -> str:
        """The name of the template's input for the text."""
        return self.template.primary_input() or "text"

    @property
    def uses_model(self) -> bool:
        """Whether a call needs the model; False if it failed an earlier self-test."""
        if self.plan.strategy == "extract" or not self.adapts:
            return self.plan.strategy != "extract"
        found = load_self_test(self.self_tests, self._test_key)
        return found is None or found.may_write

    @property
    def columns(self) -> list[str]:
        return ["text", "strategy"]

    def check_batch_file(self) -> None:
        """Check that a batch file can have the requests; see `BatchTask`."""
        if self.adapts or self.plan.strategy == "extract":
            reason = "needs no model" if not self.adapts else "tests the model first"
            raise UsageError(
                f"{option('strategy', 'auto' if self.adapts else 'extract')} {reason}, which a "
                f"batch file cannot; use {option('strategy', 'write')} or "
                f"{option('strategy', 'stuff')}"
            )

    def outcomes(
        self, engine: Engine | None, cases: Iterable[Case | Failed | None]
    ) -> Generator[Summary | Failed, None, None]:
        """Summarize the texts of cases together; yield results in the order of the cases.

        `engine` can be None if no model is used.
        """
        prompts = self.plan.prompts
        samplings = () if prompts is None else (prompts.task.sampling,)
        for event in answer_once(
            cases,
            lambda each: self.stream(engine, each),
            key=lambda case: case_key(case, *samplings),
            kind=Summary,
        ):
            if isinstance(event, (Summary, Failed)):
                yield event

    def stream(
        self, engine: Engine | None, cases: Iterable[Case | Failed | None]
    ) -> Generator[SummaryEvent | Summary | Failed, None, None]:
        """Like `outcomes`, but also yield text and progress."""
        plan = self._adapted(engine)
        if engine is not None:
            plan = msgspec.structs.replace(plan, check=partial(_check_fits, engine))
        workflows = each_or_failed(lambda case: self._workflow(case, plan), cases)
        if engine is None or plan.strategy == "extract":
            yield from self._extract(workflows)
            return
        runner = WorkflowRunner[SectionAssembler, SummaryEvent](engine, workflows)
        with closing(runner.run()) as events:
            for event in events:
                if isinstance(event, SectionAssembler):
                    yield event.result(model=self.model)
                else:
                    yield event

    def request(self, case: Case) -> Request:
        """Return the first request for a text.

        Raises:
            UsageError: the strategy sends no request.
        """
        if self.plan.prompts is None:
            strategy = option("strategy", "extract")
            raise UsageError(f"{strategy} sends no prompt; use another strategy to see one")
        uncached = msgspec.structs.replace(self.reply_cache, cache=None)
        first = msgspec.structs.replace(self, reply_cache=uncached)
        return next(first._workflow(case, self.plan).start()).request

    def identity(self) -> bytes:
        plan, prompts = self.plan, self.plan.prompts
        parts = [
            plan.strategy,
            self.adapts,
            plan.cite,
            plan.n_sentences,
            plan.chunk_tokens,
            self.by_section,
        ]
        if prompts is None:
            return repr([plan.length, plan.style, plan.focus, *parts]).encode()
        return prompts.identity(*parts)

    @property
    def _test_key(self) -> str:
        assert self.plan.prompts is not None
        return test_key(self.plan.prompts, self.reply_cache.model_identity)

    def _adapted(self, engine: Engine | None) -> SummaryPlan:
        """Return the plan that the self-test of the model allows."""
        plan, prompts = self.plan, self.plan.prompts
        if not self.adapts or prompts is None:
            return plan
        found = load_self_test(self.self_tests, self._test_key)
        if found is None:
            assert engine is not None
            tested = prompts.for_self_test()
            found = run_self_test(engine, tested, self.self_tests, self._test_key)
        strategy: Strategy = "write" if found.may_write else "extract"
        return msgspec.structs.replace(plan, strategy=strategy, n_sentences=found.n_sentences)

    def _extract(
        self, workflows: Iterator[SectionAssembler | Failed | None]
    ) -> Generator[SummaryEvent | Summary | Failed, None, None]:
        """Run workflows that send no requests."""
        for workflow in workflows:
            if workflow is None:
                time.sleep(_IDLE_SECONDS)
            elif isinstance(workflow, Failed):
                yield workflow
            else:
                for _ in workflow.start():
                    raise AssertionError("an extract needs no request")
                yield from workflow.drain_events()
                yield workflow.result(model=self.model)

    def _workflow(self, case: Case, plan: SummaryPlan) -> SectionAssembler:
        text = text_of(case, self.text_input)
        sentences = read_sentences(text)
        if not sentences:
            raise InputError("the text has no sentences to summarize")
        parts: list[tuple[str | None, list[Sentence]]] = [(None, sentences)]
        if self.by_section:
            sections = [each for each in split_sections(text) if each.text.strip()]
            if len(sections) > 1:
                parts = [
                    (each.heading, _within(sentences, each.start, each.start + len(each.text)))
                    for each in sections
                ]
        return SectionAssembler(
            case.id,
            [
                (
                    heading,
                    SummaryWorkflow(case.id, part, plan, reply_cache=self.reply_cache),
                )
                for heading, part in parts
            ],
        )


def _check_fits(engine: Engine, request: Request) -> None:
    """Check the length of a request.

    Raises:
        ContextOverflow: it does not fit the context.
    """
    n_prompt = len(engine.tokenize(request.prompt).token_ids)
    engine.check_length(n_prompt, request.sampling.max_tokens)


def _within(sentences: list[Sentence], start: int, end: int) -> list[Sentence]:
    return [each for each in sentences if start <= each.start < end]
