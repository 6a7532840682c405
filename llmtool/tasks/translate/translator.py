"""A template, languages and options, ready to translate any number of documents."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable, Iterator

import msgspec

from llmtool.documents.bilingual import Bilingual
from llmtool.documents.formats import check_format, detect, parse
from llmtool.documents.types import Document, Format
from llmtool.engine.types import Engine, Failed, FinishReason, Prompt, Request
from llmtool.errors import InputError, OutputValidationError, UsageError
from llmtool.prompts.template import Template
from llmtool.sizes import format_count
from llmtool.structured.constraint import Constraint
from llmtool.tasks.pipeline.prepare import Case, PreparedTask, each_or_failed, identify
from llmtool.tasks.pipeline.workflow import WorkflowRunner
from llmtool.tasks.results import KeptPassage, Translation
from llmtool.tasks.translate import checks
from llmtool.tasks.translate.document import DocumentWork, Passage
from llmtool.tasks.translate.glossary import Glossary
from llmtool.tasks.translate.segment import SegmentJob
from llmtool.text.chunks import CountTokens
from llmtool.text.languages import Language, find_language, is_in, likeliest

_SAMPLE = 4000  # characters that tell the language of a document
_MIN_SAMPLE = 20  # letters; fewer tell nothing
# Tokens that a translation may have for each byte of its source, and more: four to six times what
# English takes, since a script that the vocabulary hardly knows takes several for a letter.
_TOKENS_A_BYTE, _TOKENS_MORE = 1.25, 48
_AGAIN_TEMPERATURE = 0.3  # a greedy model would say the same again
_MAX_TOLD = 3
_BILINGUAL = ("txt", "srt", "vtt")
_USUAL = "en"  # for a model that has to be told some language


class Translator(msgspec.Struct, frozen=True, kw_only=True):
    """All that the translations of one call have in common."""

    prepared: PreparedTask
    to: Language
    source: Language | None
    format: Format | None
    glossary: Glossary
    bilingual: bool
    strict: bool

    @property
    def template(self) -> Template:
        return self.prepared.template

    @property
    def material(self) -> str:
        """The input that takes the text."""
        return self.template.find_material() or "text"

    @property
    def columns(self) -> list[str]:
        """The names of what `Translation.row` holds."""
        return ["translation", "source", "kept"]

    def outcomes(
        self, engine: Engine, cases: Iterable[Case | Failed | None]
    ) -> Generator[Translation | Failed, None, None]:
        """Translate the documents of cases together; outcomes in the order of the cases."""
        for event in self.stream(engine, cases):
            if not isinstance(event, Passage):
                yield event

    def stream(
        self, engine: Engine, cases: Iterable[Case | Failed | None]
    ) -> Generator[Passage | Translation | Failed, None, None]:
        """`outcomes`, and each document's output as it grows, in the order of its source."""

        def count(text: str) -> int:
            return len(engine.tokenize(Prompt(text=text)).token_ids) if text else 0

        works = each_or_failed(lambda case: self.open(case, count), cases)
        events = WorkflowRunner[DocumentWork, Passage](engine, works).events()
        try:
            for event in events:
                yield self._conclude(event) if isinstance(event, DocumentWork) else event
        finally:
            events.close()

    def open(self, case: Case, count: CountTokens = len) -> DocumentWork:
        """Return a case's document, parsed.

        Raises:
            InputError: it is empty, or broken in its format.
        """
        text = case.variables.get(self.material)
        if not isinstance(text, str) or not text.strip():
            raise InputError("the text is empty")
        if "\0" in text[:_SAMPLE]:
            raise InputError("is a binary file, and no text")
        format = self.format or detect(case.name, text)
        document: Document = parse(text, format)
        source = self.source or _guess_source(document)
        if self.bilingual:
            if format not in _BILINGUAL:
                raise UsageError(f"two languages on one page: in txt, srt and vtt, not in {format}")
            document = Bilingual(document)
        return DocumentWork(case.id, document, self, format=format, source=source, count=count)

    def request(self, case: Case) -> Request:
        """Return what the first passage of a document is asked with.

        Raises:
            InputError: there is nothing to translate.
        """
        document = self.open(case)
        first = next((work for work in document.works if work.is_language), None)
        if first is None:
            raise InputError("there is nothing to translate")
        return self.ask(document, first, is_again=False)

    def ask(self, document: DocumentWork, work: SegmentJob, *, is_again: bool) -> Request:
        """Return what a passage is asked with; a second time it is held to marks and lines.

        Raises:
            TemplateError: the template fails.
        """
        text, inputs = work.marked.text, self.template.inputs
        known = {
            "to": self.to.name,
            "to_code": self.to.code,
            "source": document.source.name if document.source else "",
            "source_code": document.source.code if document.source else "",
            "marks": work.marked.marks,
            "terms": [f"{term} = {word}" for term, word in self.glossary.terms_in(text)],
        }
        variables = {name: value for name, value in known.items() if name in inputs and value}
        request = self.prepared.request(Case(variables={self.material: text, **variables}))
        sampling = request.sampling
        if sampling.max_tokens is None:
            room = int(len(text.encode()) * _TOKENS_A_BYTE) + _TOKENS_MORE
            sampling = msgspec.structs.replace(sampling, max_tokens=room)
        if is_again:
            sampling = msgspec.structs.replace(
                sampling,
                constraint=Constraint("regex", work.marked.expression()),
                temperature=sampling.temperature or _AGAIN_TEMPERATURE,
                seed=sampling.seed or 0,
            )
        source = document.source.code if document.source else likeliest(text) or _USUAL
        prompt = msgspec.structs.replace(request.prompt, languages=(source, self.to.code))
        return msgspec.structs.replace(request, prompt=prompt, sampling=sampling)

    def find_fault(
        self, work: SegmentJob, reply: str, finish_reason: FinishReason
    ) -> tuple[str, str | None]:
        """Return a reply, tidied, and why it is no translation."""
        reply = checks.tidy(work.marked.text, reply)
        fault = checks.find_fault(
            work.marked,
            reply,
            finish_reason=finish_reason,
            instruction=_instruction(work),
            to=self.to,
        )
        return reply, fault

    def identity(self) -> bytes:
        """Return a hash of all that shapes the results, but for the documents."""
        p = self.prepared
        options = {name: p.options.get(name) for name in ("system", "thinking", "variables")}
        told = [self.to, self.source, self.format, self.glossary.pairs, self.bilingual]
        return identify(p.template, p.model, options, p.sampling, told)

    def _conclude(self, work: DocumentWork) -> Translation | Failed:
        text = "".join(work.written)
        kept = work.kept()
        result = Translation(
            text=text,
            source=work.source.code if work.source else None,
            to=self.to.code,
            format=work.format,
            kept=kept,
            n_segments=len(work.works),
            n_retried=work.n_retried,
            model=self.prepared.model,
            usage=work.usage,
            seconds=time.perf_counter() - work.started,
            warnings=tuple(self._warnings(work, text, kept)),
        )
        if kept and self.strict:
            return Failed(
                work.id, OutputValidationError(_told(kept, work.n_passages), result=result)
            )
        difference = work.document.compare(text)
        if difference is not None:
            message = f"the structure is not that of the source: {difference}"
            return Failed(work.id, OutputValidationError(message, result=result))
        return result

    def _warnings(
        self, work: DocumentWork, text: str, kept: tuple[KeptPassage, ...]
    ) -> Iterator[str]:
        if not work.n_passages:
            yield "there is nothing to translate"
        if kept:
            yield _told(kept, work.n_passages)
        if work.source and work.source.base == self.to.base and work.source.code == self.to.code:
            yield f"the text seems to be in {self.to.name} already"
        folded = text.casefold()
        unused = [
            word for _, word in self.glossary.terms_in(work.text) if word.casefold() not in folded
        ]
        if unused:
            named = ", ".join(unused[:_MAX_TOLD]) + (", …" if len(unused) > _MAX_TOLD else "")
            yield f"of the glossary, the model did not use: {named}"


def make_translator(
    prepared: PreparedTask,
    to: str,
    *,
    source: str | None,
    format: str,
    glossary: Iterable[tuple[str, str]],
    bilingual: bool,
    strict: bool,
) -> Translator:
    """Check what a call asks for.

    Raises:
        UsageError: a language or format is unknown.
    """
    chosen = None if format == "auto" else check_format(format)
    return Translator(
        prepared=prepared,
        to=find_language(to),
        source=None if source in (None, "auto") else find_language(source),
        format=chosen,
        glossary=Glossary(glossary),
        bilingual=bilingual,
        strict=strict,
    )


def _guess_source(document: Document) -> Language | None:
    """Return the language of a document; None where it says too little to tell."""
    sample = ""
    for segment in document.segments:
        sample += segment.text + "\n"
        if len(sample) >= _SAMPLE:
            break
    if sum(map(str.isalpha, sample)) < _MIN_SAMPLE:
        return None
    code = likeliest(sample)
    return find_language(code) if code and is_in(sample, code) else None


def _instruction(work: SegmentJob) -> str:
    """Return what a model was told around the text."""
    prompt = work.asked
    if prompt is None:
        return ""
    told = prompt.text or (prompt.messages[-1].content if prompt.messages else "")
    return told.replace(work.marked.text, "\n")


def _told(kept: tuple[KeptPassage, ...], n_passages: int) -> str:
    told = "; ".join(f"line {each.line}: {each.reason}" for each in kept[:_MAX_TOLD])
    more = "; …" if len(kept) > _MAX_TOLD else ""
    n = len(kept)
    were = "were" if n > 1 else "was"
    return f"{n} of {format_count(n_passages, 'passage')} {were} not translated ({told}{more})"
