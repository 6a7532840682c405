"""Templates, a length and a strategy, ready to summarize any number of documents."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence

import msgspec

from llmtool.engine.types import Engine, Failed, Request
from llmtool.errors import InputError, LlmtoolError
from llmtool.prompts.template import Template
from llmtool.structured.constraint import Constraint
from llmtool.tasks.pipeline.disk_cache import Kept
from llmtool.tasks.pipeline.prepare import Case, PreparedTask, identify
from llmtool.tasks.pipeline.workflow import WorkflowRunner
from llmtool.tasks.results import Summary
from llmtool.tasks.summarize.length import Length, Style
from llmtool.tasks.summarize.map_reduce import (
    Strategy,
    SummaryProgress,
    SummaryText,
    SummaryWork,
)
from llmtool.tasks.summarize.planner import Calls
from llmtool.tasks.summarize.sections import SectionAssembler
from llmtool.text.sections import Chunk, Section, split_sections

CHUNK_TOKENS = 1024  # of a part; small models overlook much of longer ones
_TOKENS_A_WORD = 1.8  # that a reply may take for each word that was asked for
_AGAIN_TEMPERATURE = 0.4
_SAMPLE = 4096  # characters that tell text from other files

Told = SummaryText | SummaryProgress


class Summarizer(msgspec.Struct, frozen=True, kw_only=True):
    """All that the summaries of one call have in common."""

    prepared: PreparedTask
    notes: PreparedTask
    refined: PreparedTask
    length: Length
    style: Style
    focus: str | None
    strategy: Strategy | None
    by_section: bool
    chunk_tokens: int
    model_identity: str
    kept: Kept | None

    @property
    def template(self) -> Template:
        return self.prepared.template

    @property
    def material(self) -> str:
        """The input that takes the text."""
        return self.template.find_material() or "text"

    @property
    def columns(self) -> list[str]:
        """The names of what `Summary.row` holds."""
        return ["summary", "chunks"]

    def outcomes(
        self, engine: Engine, cases: Iterable[Case | Failed | None]
    ) -> Generator[Summary | Failed, None, None]:
        """Summarize the texts of cases together; outcomes in the order of the cases."""
        for event in self.stream(engine, cases):
            if isinstance(event, (Summary, Failed)):
                yield event

    def stream(
        self, engine: Engine, cases: Iterable[Case | Failed | None]
    ) -> Generator[Told | Summary | Failed, None, None]:
        """`outcomes`, and pieces of summaries and how far each text has been read."""
        line = _Line(self, engine)
        events = WorkflowRunner[SummaryWork, Told](engine, line.works(cases)).events()
        try:
            for event in events:
                yield from line.tell(event)
        finally:
            events.close()

    def request(self, case: Case) -> Request:
        """Return what a text as a whole is asked with.

        Raises:
            InputError: it is empty.
        """
        return self.ask_summary(self.text_of(case), n_try=0)

    def first_request(self, engine: Engine, case: Case) -> Request:
        """Return what is asked first of a text: the whole of it, or its first part.

        Raises:
            InputError, ContextOverflow: it is empty, or does not fit.
        """
        text = self.text_of(case)
        plan = Calls(self, engine).plan(text)
        first = plan.chunks[0]
        if plan.strategy == "stuff":
            return self.request(case)
        return self.ask_note(first.text, path=first.path, max_tokens=plan.note_tokens)

    def ask_note(self, text: str, *, path: Sequence[str], max_tokens: int) -> Request:
        """Return what a part of a text, or a group of notes, is asked with."""
        words = max(12, int(max_tokens / _TOKENS_A_WORD))
        values = {
            "text": text,
            "length": f"at most {words} words",
            "focus": self.focus,
            "place": " > ".join(path),
        }
        return self._ask(self.notes, values, max_tokens=max_tokens)

    def ask_refined(self, summary: str, chunk: Chunk, max_tokens: int) -> Request:
        words = max(12, int(max_tokens / _TOKENS_A_WORD))
        values = {
            "text": chunk.text,
            "summary": summary,
            "length": f"at most {words} words",
            "focus": self.focus,
            "place": " > ".join(chunk.path),
        }
        return self._ask(self.refined, values, max_tokens=max_tokens)

    def ask_summary(self, text: str, *, n_try: int) -> Request:
        """Return what gives the summary itself; another try is drawn, and not greedy."""
        values = {self.material: text, "length": self.length.told, "focus": self.focus}
        request = self._ask(self.prepared, values)
        sampling = request.sampling
        if self.prepared.options.get("max_tokens") is None:
            room = int(self.length.n_words * 1.3 * _TOKENS_A_WORD) + 40
            sampling = msgspec.structs.replace(sampling, max_tokens=room)
        expression = self.length.expression(self.style)
        if expression is not None:
            sampling = msgspec.structs.replace(
                sampling, constraint=Constraint("regex", expression), stop=()
            )
        if n_try:
            sampling = msgspec.structs.replace(
                sampling,
                temperature=sampling.temperature or _AGAIN_TEMPERATURE,
                seed=(sampling.seed or 0) + n_try,
            )
        return msgspec.structs.replace(request, sampling=sampling)

    def identity(self) -> bytes:
        """Return a hash of all that shapes the results, but for the texts."""
        p = self.prepared
        options = {name: p.options.get(name) for name in ("system", "thinking", "variables")}
        told = [self.length, self.style, self.focus, self.strategy, self.by_section]
        others = [
            identify(each.template, each.sampling).hex() for each in (self.notes, self.refined)
        ]
        return identify(p.template, p.model, options, p.sampling, told, others, self.chunk_tokens)

    def _ask(
        self,
        prepared: PreparedTask,
        values: Mapping[str, object],
        *,
        max_tokens: int | None = None,
    ) -> Request:
        inputs = prepared.template.inputs
        variables = {name: value for name, value in values.items() if name in inputs and value}
        request = prepared.request(Case(variables=variables))
        if max_tokens is not None:
            sampling = msgspec.structs.replace(request.sampling, max_tokens=max_tokens)
            request = msgspec.structs.replace(request, sampling=sampling)
        return request

    def text_of(self, case: Case) -> str:
        """Return the text of a case.

        Raises:
            InputError: it is empty.
        """
        text = case.variables.get(self.material)
        if not isinstance(text, str) or not text.strip():
            raise InputError("the text is empty")
        if "\0" in text[:_SAMPLE]:
            raise InputError("is a binary file, and no text")
        return text


class _Line:
    """The texts under way, each as a work or as one for each of its sections."""

    def __init__(self, summarizer: Summarizer, engine: Engine) -> None:
        self._summarizer = summarizer
        self._calls = Calls(summarizer, engine)
        self._of_work: dict[int, SectionAssembler] = {}
        self._next_id = 0

    def works(self, cases: Iterable[Case | Failed | None]) -> Iterator[SummaryWork | Failed | None]:
        for case in cases:
            if case is None:
                yield None
            elif isinstance(case, Failed):
                yield Failed(self._expect(SectionAssembler(case.id)), case.error)
            else:
                yield from self._works_of(case)

    def tell(self, event: Told | SummaryWork | Failed) -> Iterator[Told | Summary | Failed]:
        """Yield what an event of a work says of its text."""
        gathering = self._of_work[event.id]
        if isinstance(event, (SummaryText, SummaryProgress)):
            yield from gathering.tell(event)
            return
        del self._of_work[event.id]
        yield from gathering.take(event, model=self._summarizer.prepared.model)

    def _works_of(self, case: Case) -> Iterator[SummaryWork | Failed]:
        gathering = SectionAssembler(case.id)
        try:
            text = self._summarizer.text_of(case)
            sections = split_sections(text) if self._summarizer.by_section else []
            sections = [section for section in sections if section.text.strip()]
            if len(sections) < 2:
                sections = [Section(heading=None, text=text, start=0)]
            plans = [self._calls.plan(section.text) for section in sections]
        except LlmtoolError as exc:
            yield Failed(self._expect(gathering), exc)
            return
        works = []
        for section, plan in zip(sections, plans, strict=True):
            id = self._expect(gathering)
            gathering.expect(id, section, n_tokens=plan.n_tokens)
            works.append(SummaryWork(id, section.text, plan, self._calls))
        yield from works

    def _expect(self, gathering: SectionAssembler) -> int:
        self._next_id += 1
        self._of_work[self._next_id] = gathering
        return self._next_id
