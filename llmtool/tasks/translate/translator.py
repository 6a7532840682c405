"""Translate any number of documents with the options of one call."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from pathlib import PurePath

import msgspec

from llmtool.cancellation import Cancellation
from llmtool.documents.accounting import count_protected
from llmtool.documents.bilingual import BilingualDocument
from llmtool.documents.formats import check_limits, detect, parse
from llmtool.documents.types import Dialect, Document, Format, Mark, Part
from llmtool.documents.user_patterns import protect
from llmtool.engine.types import Engine, Failed, Request
from llmtool.errors import InputError, OutputValidationError, UsageError
from llmtool.option_names import option
from llmtool.prompts.template import Template
from llmtool.sizes import format_count
from llmtool.tasks.pipeline.disk_cache import DiskCache
from llmtool.tasks.pipeline.duplicates import answer_once
from llmtool.tasks.pipeline.prepare import (
    Case,
    case_key,
    each_or_failed,
    identify,
    text_of,
    token_counter,
)
from llmtool.tasks.pipeline.reply_cache import ReplyCache
from llmtool.tasks.pipeline.workflow import WorkflowRunner
from llmtool.tasks.results import Translation, UntranslatedSegment
from llmtool.tasks.translate.document import DocumentWorkflow, TranslationText
from llmtool.tasks.translate.prompts import TranslationPrompts
from llmtool.tasks.translate.update import (
    DocumentRecord,
    find_unchanged,
    make_record,
    save_record,
)
from llmtool.text.languages import Language, detect_language, find_language

_SAMPLE_CHARACTERS = 4000  # of a document, to detect its language
_MIN_SAMPLE_LETTERS = 20
_MAX_REPORTED = 3
_BILINGUAL = ("txt", "srt", "vtt")
# A guess: the starter model (135M) quotes the context in its reply; no larger one was measured.
_MIN_PARAMS_FOR_CONTEXT = 1_000_000_000


class Translator(msgspec.Struct, frozen=True, kw_only=True):
    """The options of one call, ready for any number of documents."""

    prompts: TranslationPrompts
    source: Language | None
    format: Format | None
    dialect: Dialect
    bilingual: bool
    protect: tuple[str, ...]
    mark: Mark | None
    update: str | None
    strict: bool
    context: bool | None
    cache: ReplyCache
    records: DiskCache | None
    cancellation: Cancellation
    load: Callable[[], Engine]  # for the first request of a document

    @property
    def template(self) -> Template:
        return self.prompts.prepared.template

    @property
    def columns(self) -> list[str]:
        return ["text", "source", "untranslated"]

    def outcomes(
        self, engine: Engine, cases: Iterable[Case | Failed | None]
    ) -> Generator[Translation | Failed, None, None]:
        """Translate the documents of cases together; yield results in the order of the cases."""
        sampling = self.prompts.prepared.sampling
        for event in answer_once(
            cases,
            lambda each: self.stream(engine, each),
            key=lambda case: case_key(case, sampling, name=PurePath(case.name or "").suffix),
            kind=Translation,
        ):
            if isinstance(event, (Translation, Failed)):
                yield event

    def stream(
        self, engine: Engine, cases: Iterable[Case | Failed | None]
    ) -> Generator[TranslationText | Translation | Failed, None, None]:
        """Like `outcomes`, but also yield the output of each document as it is produced."""
        workflows = each_or_failed(lambda case: self._workflow(case, engine), cases)
        runner = WorkflowRunner[DocumentWorkflow, TranslationText](engine, workflows)
        with closing(runner.run()) as events:
            for event in events:
                yield self._result(event) if isinstance(event, DocumentWorkflow) else event

    def check(self, case: Case) -> None:
        """Check that a document can be translated: its format, syntax, and the options for it.

        Raises:
            LlmtoolError: it cannot.
        """
        self._workflow(case)

    def request(self, case: Case) -> Request:
        """Return the request for the first segment of a document.

        Raises:
            InputError: the document has no text to translate.
        """
        request = self._workflow(case, self.load()).first_request()
        if request is None:
            raise InputError("the document has no text to translate")
        return request

    def check_batch_file(self) -> None:
        """Check that a batch file can have the requests; see `BatchTask`."""
        # A text whose reply is not valid stays as it is, as further requests have no result.

    def identity(self) -> bytes:
        p = self.prompts.prepared
        options = [p.options.system, p.options.thinking, p.options.variables]
        pairs = self.prompts.glossary.pairs
        parsing = [self.format, self.dialect]
        translation = [self.prompts.to, self.source, *parsing, pairs, self.bilingual]
        marking = [self.protect, self.mark, self.context]
        return identify(p.template, p.model, options, p.sampling, translation, marking)

    def _workflow(self, case: Case, engine: Engine | None = None) -> DocumentWorkflow:
        """Parse the document of a case."""
        has_context = self.context
        if has_context is None:
            has_context = engine is not None and engine.info.n_params >= _MIN_PARAMS_FOR_CONTEXT
        text = text_of(case, self.prompts.text_input)
        format = self.format or detect(case.name, text)
        bom = text[: text.startswith("\ufeff")]
        started = time.perf_counter()
        document = self._parse(
            text.removeprefix(bom), format, self._dialect(case.name, format), self.mark
        )
        parse_seconds = time.perf_counter() - started
        protect(document, self.protect, check=self.cancellation.check)
        source = self.source or _detect_source(document)
        kept = self._unchanged(document, format)
        if self.bilingual:
            if format not in _BILINGUAL:
                raise UsageError(
                    f"bilingual output is only supported for txt, srt and vtt, not {format}"
                )
            document = BilingualDocument(document)
        return DocumentWorkflow(
            case.id,
            document,
            self.prompts,
            format=format,
            source=source,
            count=token_counter(engine) if engine else len,
            cache=self.cache,
            kept=kept,
            bom=bom,
            has_context=has_context,
            parse_seconds=parse_seconds,
        )

    def _parse(
        self, text: str, format: Format, dialect: Dialect, mark: Mark | None = None
    ) -> Document:
        to = self.prompts.to.code
        check_limits(text, format, dialect=dialect, to=to, check=self.cancellation.check)
        return parse(text, format, dialect=dialect, to=to, mark=mark)

    def _unchanged(self, document: Document, format: Format) -> dict[int, tuple[Part, ...]] | None:
        """Return the parts of the earlier translation that remain, by segment."""
        if self.update is None:
            return None
        flag = option("update")
        if self.bilingual:
            raise UsageError(f"{flag} and {option('bilingual')} cannot be combined")
        if self.mark:  # it would also mark the segments that remain
            raise UsageError(f"{flag} and {option('mark')} cannot be combined")
        if not self.update.strip():
            raise InputError(f"{flag}: the earlier translation is empty")
        try:
            old = self._parse(self.update.removeprefix("\ufeff"), format, self.dialect)
        except InputError as exc:
            raise InputError(f"{flag}: {exc}") from exc
        protect(old, self.protect, check=self.cancellation.check)
        records = self.records.values(DocumentRecord) if self.records else ()
        fitting = (
            each for each in records if (each.format, each.to) == (format, self.prompts.to.code)
        )
        kept = find_unchanged(document, old, fitting)
        if kept is None and document.segments:
            unknown = "not known as an earlier translation of this document"
            if self.records is None:
                unknown += ", since the cache is off"
            raise InputError(f"{flag}: {unknown}; omit it to translate all of it")
        return kept

    def _dialect(self, name: str | None, format: Format) -> Dialect:
        if self.dialect != "auto":
            if format != "md":
                flag = option("dialect", self.dialect)
                raise UsageError(f"{flag} is only supported for Markdown, not {format}")
            return self.dialect
        return "mdx" if PurePath(name or "").suffix.lower() == ".mdx" else "auto"

    def _save_record(self, workflow: DocumentWorkflow) -> None:
        """Save what an update of this translation needs, unless the document has the sources."""
        document = workflow.document
        if self.records and not self.bilingual and document.translations() is None:
            to = self.prompts.to.code
            record = make_record(document, workflow.results, format=workflow.format, to=to)
            save_record(self.records, record)

    def _result(self, workflow: DocumentWorkflow) -> Translation | Failed:
        self._save_record(workflow)
        text = workflow.bom + "".join(workflow.pieces)
        untranslated = workflow.untranslated()
        result = Translation(
            text=text,
            source=workflow.source.code if workflow.source else None,
            to=self.prompts.to.code,
            format=workflow.format,
            untranslated=untranslated,
            protected=count_protected(workflow.document),
            n_segments=workflow.n_segments,
            n_retried=workflow.n_retried,
            n_cached=workflow.n_cached,
            n_kept=workflow.n_kept,
            model=self.prompts.prepared.model,
            usage=workflow.usage,
            seconds=time.perf_counter() - workflow.started,
            warnings=tuple(self._warnings(workflow, text, untranslated)),
        )
        if untranslated and self.strict:
            return Failed(
                workflow.id,
                OutputValidationError(_describe(untranslated, workflow), result=result),
            )
        if workflow.difference is not None:
            message = (
                f"the structure of the translation differs from the source: {workflow.difference}"
            )
            return Failed(workflow.id, OutputValidationError(message, result=result))
        return result

    def _warnings(
        self, workflow: DocumentWorkflow, text: str, untranslated: tuple[UntranslatedSegment, ...]
    ) -> Iterator[str]:
        if not workflow.n_segments:
            yield "the document has no text to translate"
        if untranslated:
            yield _describe(untranslated, workflow)
        yield from _kept_translations(workflow.document, self.prompts.to)
        if (
            workflow.source
            and workflow.source.base == self.prompts.to.base
            and workflow.source.code == self.prompts.to.code
        ):
            yield f"the text seems to be in {self.prompts.to.name} already"
        folded = text.casefold()
        unused = [
            word
            for _, word in self.prompts.glossary.terms_in(workflow.text)
            if word.casefold() not in folded
        ]
        if unused:
            more = ", …" if len(unused) > _MAX_REPORTED else ""
            yield f"glossary terms not used: {', '.join(unused[:_MAX_REPORTED])}{more}"


def _kept_translations(document: Document, to: Language) -> Iterator[str]:
    """Yield a warning if the document has translations into another language."""
    if not document.language:
        return
    try:
        language = find_language(document.language)
    except UsageError:
        return
    if language.base != to.base and (n := len(document.translations() or ())):
        what = format_count(n, "translation")
        yield f"kept {what} in {language.name}; to replace them, translate a file without them"


def _detect_source(document: Document) -> Language | None:
    """Return the language of a document, None if there is too little text to detect it."""
    sample = ""
    for segment in document.segments:
        sample += segment.text + "\n"
        if len(sample) >= _SAMPLE_CHARACTERS:
            break
    if sum(map(str.isalpha, sample)) < _MIN_SAMPLE_LETTERS:
        return None
    code = detect_language(sample)
    return find_language(code) if code else None


def _describe(untranslated: tuple[UntranslatedSegment, ...], workflow: DocumentWorkflow) -> str:
    reasons = "; ".join(f"line {each.line}: {each.reason}" for each in untranslated[:_MAX_REPORTED])
    more = "; …" if len(untranslated) > _MAX_REPORTED else ""
    n = workflow.n_untranslated
    were = "were" if n > 1 else "was"
    total = format_count(workflow.n_segments, "segment")
    return f"{n} of {total} {were} not translated ({reasons}{more})"
