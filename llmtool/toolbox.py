"""The Python API: the tasks as methods of a toolbox, which holds a model.

The package's functions (`llmtool.generate` and the others) are the methods of a toolbox with the
user's configuration.
"""

from __future__ import annotations

import os
import threading
from collections.abc import (
    AsyncIterator,
    Callable,
    Generator,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from typing import TYPE_CHECKING, Any, TypeVar, overload

from llmtool import config
from llmtool.engine.types import (
    Cancellation,
    Engine,
    KVType,
    OnProgress,
    Request,
    Token,
    Tokenized,
)
from llmtool.errors import LlmtoolError
from llmtool.local_model import LocalModel, ReadyModel
from llmtool.methods import for_asyncio, list_options, stream_for_asyncio
from llmtool.models.hub.callbacks import OnNote, no_note, no_progress
from llmtool.models.hub.callbacks import OnProgress as OnDownload
from llmtool.tasks.options import (
    ClassifyOptions,
    CodeOptions,
    CommitOptions,
    CompleteOptions,
    ExplainOptions,
    FixOptions,
    GenerateOptions,
    ReviewOptions,
    SummarizeOptions,
    TranslateOptions,
    WriteTestsOptions,
    make_options,
)
from llmtool.tasks.pipeline.context import TaskContext
from llmtool.tasks.results import Classification, Generation, Result, Summary, Translation

if TYPE_CHECKING:
    import enum

    from typing_extensions import Unpack

    from llmtool.batch.readers import Reader
    from llmtool.batch.runner import BatchOptions, BatchRunner
    from llmtool.prompts.library import Library
    from llmtool.prompts.template import Template
    from llmtool.tasks.chat.chat import Chat
    from llmtool.tasks.chat.truncation import OverflowPolicy
    from llmtool.tasks.classify.calibration import Calibration
    from llmtool.tasks.classify.labels import Labels
    from llmtool.tasks.code.results import Code, CommitMessage, Fix, Review
    from llmtool.tasks.generate.template import CaseValues, RunResult
    from llmtool.tasks.keywords import (
        ChatKeywords,
        ClassifyKeywords,
        CodeKeywords,
        CommitKeywords,
        CompleteKeywords,
        ExplainKeywords,
        FixKeywords,
        GenerateKeywords,
        ReviewKeywords,
        SummarizeKeywords,
        TemplateKeywords,
        TextKeywords,
        TranslateKeywords,
        WriteTestsKeywords,
    )
    from llmtool.tasks.summarize.map_reduce import SummaryEvent
    from llmtool.tasks.translate.document import TranslationText

    Names = Iterable[str] | Mapping[str, str]  # labels by name
    Texts = list[str] | tuple[str, ...]

T = TypeVar("T")
L = TypeVar("L", bound="enum.Enum | bool")


class Toolbox:
    """The tasks on one model, which is loaded on first use.

    Methods are safe to call from several threads; calls run one after another.

    Args:
        model: a reference (`starter`, a path, `org/name:QUANT`), downloaded from the Hub if it is
            not here. None takes the configured model, then the starter model.
        n_ctx: the context size in tokens; None chooses it for each request.
        n_threads: None takes the processor cores available to this process.
        n_gpu_layers: "auto", "all" or a number of layers.
        n_parallel: the number of replies decoded together; None chooses it.
        kv_type: the type of the context's cache in memory; "q8_0" takes half the space of "f16".
        prefix_cache: whether to cache on disk what the model computed for the beginnings of
            templates, up to `prefix_cache_mb` of the settings.
        settings, folders: the user's configuration; None reads it from `environ` on first use.
        environ: the environment to read; None is the process's own.
        engine: a ready engine, such as `ScriptedEngine`; `model` is then only its name.
        cancellation: stops the work in progress, from a signal handler or another thread.
        on_fault: called from another thread when the model's file was truncated while in use; it
            must end the process, which SIGBUS does otherwise.
        on_load_progress: called with `(done, total)` while the model loads.
        on_download_progress: called with `(done, total)` bytes while the model is downloaded.
        on_note: called with messages about a download.

    Example:
        >>> from llmtool.engine.scripted import ScriptedEngine
        >>> box = Toolbox(engine=ScriptedEngine("Hello!"), model="scripted")
        >>> str(box.generate("Say hello"))
        'Hello!'
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | None = None,
        *,
        n_ctx: int | None = None,
        n_threads: int | None = None,
        n_gpu_layers: int | str | None = None,
        n_parallel: int | None = None,
        kv_type: KVType = "f16",
        prefix_cache: bool = True,
        settings: config.Settings | None = None,
        folders: config.Folders | None = None,
        environ: Mapping[str, str] | None = None,
        engine: Engine | None = None,
        cancellation: Cancellation | None = None,
        on_fault: Callable[[], object] | None = None,
        on_load_progress: OnProgress | None = None,
        on_download_progress: OnDownload = no_progress,
        on_note: OnNote = no_note,
    ) -> None:
        self.cancellation = stop = cancellation or Cancellation()
        reference = None if model is None else os.fspath(model)

        def open_context() -> TaskContext:
            variables = os.environ if environ is None else environ
            places = folders or config.find_folders(variables)
            chosen = settings or config.load_settings(variables, places.config_file)
            if engine is not None:
                ready = ReadyModel(engine, reference or "scripted")
                return TaskContext(
                    ready, settings=chosen, folders=places, cancellation=stop, cached=False
                )
            local = LocalModel(
                reference,
                settings=chosen,
                folders=places,
                endpoint=variables.get("HF_ENDPOINT"),
                n_ctx=n_ctx,
                n_threads=n_threads,
                n_gpu_layers=n_gpu_layers,
                n_parallel=n_parallel,
                kv_type=kv_type,
                prefix_cache=prefix_cache,
                cancellation=stop,
                on_fault=on_fault,
                on_load_progress=on_load_progress,
                on_download_progress=on_download_progress,
                on_note=on_note,
            )
            return TaskContext(
                local, settings=chosen, folders=places, cancellation=stop, cached=prefix_cache
            )

        self._open_context = open_context
        self._context: TaskContext | None = None
        self._lock = threading.Lock()

    @property
    def context(self) -> TaskContext:
        """What the tasks share: model, templates, settings, caches; opened on first use.

        Raises:
            UsageError: the settings are broken.
        """
        with self._lock:
            if self._context is None:
                self._context = self._open_context()
            return self._context

    @property
    def engine(self) -> Engine:
        """The model's engine, loaded on first use.

        Raises:
            ModelNotFound, DownloadError: the model is not here and cannot be downloaded.
            ModelUnreadable: its file is broken, or the engine cannot run it.
        """
        return self.context.engine

    @property
    def library(self) -> Library:
        """The user's templates and the built-in ones."""
        return self.context.library

    @property
    def model_name(self) -> str:
        return self.context.model.name

    def warm_up(self) -> None:
        """Start to load the model in the background; the first task waits for it."""
        self.context.model.warm_up()

    def close(self) -> None:
        """Free the model. The toolbox loads it again when it is used again."""
        if self._context is not None:
            self._context.model.close()

    def __enter__(self) -> Toolbox:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Overloads, in this order: a schema that is a type, neither schema nor template, and others.

    @overload
    def generate(
        self, prompt: str, *, schema: type[T], **options: Unpack[TemplateKeywords]
    ) -> Generation[T]: ...
    @overload
    def generate(self, prompt: str, **options: Unpack[TextKeywords]) -> Generation[None]: ...
    @overload
    def generate(self, prompt: str, **options: Unpack[GenerateKeywords]) -> Generation[Any]: ...
    @overload
    def generate(
        self, prompt: Texts, *, schema: type[T], **options: Unpack[TemplateKeywords]
    ) -> list[Generation[T]]: ...
    @overload
    def generate(
        self, prompt: Texts, **options: Unpack[TextKeywords]
    ) -> list[Generation[None]]: ...
    @overload
    def generate(
        self, prompt: Texts, **options: Unpack[GenerateKeywords]
    ) -> list[Generation[Any]]: ...
    @overload
    def generate(
        self, prompt: Iterator[str], *, schema: type[T], **options: Unpack[TemplateKeywords]
    ) -> Iterator[Generation[T]]: ...
    @overload
    def generate(
        self, prompt: Iterator[str], **options: Unpack[TextKeywords]
    ) -> Iterator[Generation[None]]: ...
    @overload
    def generate(
        self, prompt: Iterator[str], **options: Unpack[GenerateKeywords]
    ) -> Iterator[Generation[Any]]: ...
    @list_options
    def generate(
        self, prompt: str | Iterable[str], **options: Unpack[GenerateKeywords]
    ) -> Generation[Any] | list[Generation[Any]] | Iterator[Generation[Any]]:
        """Let the model reply to a prompt, or to each of several.

        Several prompts are decoded together. A sequence gives a list; an iterator, which is read
        as needed and may be endless, gives an iterator; both in the order of the prompts. The
        first prompt in that order which fails raises its error and stops the others.

        Args:
            prompt: an instruction, or several.
            input: text that the instruction is about. It is data: the model gets no instruction
                from it.
            system: the system prompt; None takes the template's, or the model's own.
            n: how many replies to make; they share one prefill, and reply i uses seed + i.
            prefill: the beginning of the reply, which the model continues.
            thinking: whether a reasoning model reasons first; `choices[0].reasoning` has the text.
            template: a prompt template by name or path.
            variables: values for the template's other inputs.
            schema: the JSON that the reply must be: a dataclass, pydantic model or msgspec struct,
                whose instance is the `value`; or a JSON Schema, or the short form
                ("name, age int"). It is part of the prompt, too.
            grammar: a GBNF grammar that the reply must follow.
            regex: a regular expression that the whole reply must match.
            logprobs: how many alternatives to report with each token of the reply; 0 reports none.
            max_tokens, temperature, top_k, top_p, min_p, repeat_penalty, repeat_last_n,
                dry_multiplier, dry_base, dry_allowed_length: how to sample; None takes the user's
                setting, then the template's.
            seed: 0 to 2^32-2; makes the reply repeatable.
            stop: a string that ends the reply, or several.

        Returns:
            A `Generation`: `text`, `value`, `choices`, `usage` in tokens, `seconds`,
            `finish_reason` ("stop" or "length"), `seed`, `warnings`. `str()` of it is the text.

        Raises:
            ModelNotFound, ModelUnreadable: there is no model to load.
            ContextOverflow: prompt and reply do not fit; nothing is shortened.
            OutputValidationError: a reply was cut or violates the schema, grammar or expression.
                Its `result` is the `Generation`, whose choices have an `error` each.
            InputError: the prompt is empty.
            TemplateError: the template or the model's chat template is broken.
            UsageError: an option is unknown or out of its range, or a schema is broken.

        Example:
            >>> reply = box.generate("Name a colour.", max_tokens=8)    # doctest: +SKIP
            >>> reply.text, reply.usage.completion_tokens               # doctest: +SKIP
            ('Red.', 2)
        """
        from llmtool.tasks.generate.task import generate

        return generate(self.context, prompt, make_options(GenerateOptions, options))

    agenerate = for_asyncio(generate)
    """`generate` for asyncio."""

    @overload
    def stream_generate(
        self, prompt: str, *, schema: type[T], **options: Unpack[TemplateKeywords]
    ) -> Iterator[Token | Generation[T]]: ...
    @overload
    def stream_generate(
        self, prompt: str, **options: Unpack[TextKeywords]
    ) -> Iterator[Token | Generation[None]]: ...
    @overload
    def stream_generate(
        self, prompt: str, **options: Unpack[GenerateKeywords]
    ) -> Iterator[Token | Generation[Any]]: ...
    @list_options
    def stream_generate(
        self, prompt: str, **options: Unpack[GenerateKeywords]
    ) -> Iterator[Token | Generation[Any]]:
        """Like `generate` for one prompt, but yield each `Token`, then the `Generation`.

        Tokens of several choices are mixed, in the order of decoding.

        Example:
            for event in box.stream_generate("Tell me a story"):
                if isinstance(event, Token) and not event.reasoning:
                    print(event.text, end="", flush=True)
        """
        from llmtool.tasks.generate.task import stream_generate

        return stream_generate(self.context, prompt, make_options(GenerateOptions, options))

    astream_generate = stream_for_asyncio(stream_generate)
    """`stream_generate` for asyncio."""

    @overload
    def agenerate_each(
        self, prompts: Iterable[str], *, schema: type[T], **options: Unpack[TemplateKeywords]
    ) -> AsyncIterator[Generation[T]]: ...
    @overload
    def agenerate_each(
        self, prompts: Iterable[str], **options: Unpack[TextKeywords]
    ) -> AsyncIterator[Generation[None]]: ...
    @overload
    def agenerate_each(
        self, prompts: Iterable[str], **options: Unpack[GenerateKeywords]
    ) -> AsyncIterator[Generation[Any]]: ...
    @list_options
    def agenerate_each(
        self, prompts: Iterable[str], **options: Unpack[GenerateKeywords]
    ) -> AsyncIterator[Generation[Any]]:
        """`generate` of many prompts for asyncio: yield results in order, as they are ready."""
        from llmtool.tasks.generate.task import generate_each

        made = make_options(GenerateOptions, options)
        return self.context.bridge.stream(lambda: generate_each(self.context, prompts, made))

    @list_options
    def request(self, prompt: str | None, **options: Unpack[GenerateKeywords]) -> Request:
        """Render a template into the request that `generate` would send to the engine."""
        from llmtool.tasks.pipeline.prepare import Case, prepare

        made = make_options(GenerateOptions, options)
        return prepare(self.context, made).request(Case(prompt=prompt))

    def tokenize(self, request: Request) -> Tokenized:
        """Return the prompt of a request as the model sees it."""
        return self.engine.tokenize(request.prompt)

    @overload
    def run(
        self, /, template: str | Template, *, options: GenerateKeywords | None = None, **inputs: Any
    ) -> RunResult: ...
    @overload
    def run(
        self,
        /,
        template: str | Template,
        cases: Iterator[CaseValues],
        *,
        options: GenerateKeywords | None = None,
        **inputs: Any,
    ) -> Iterator[RunResult]: ...
    @overload
    def run(
        self,
        /,
        template: str | Template,
        cases: Sequence[CaseValues],
        *,
        options: GenerateKeywords | None = None,
        **inputs: Any,
    ) -> list[RunResult]: ...
    def run(
        self,
        /,
        template: str | Template,
        cases: Iterable[CaseValues] | None = None,
        *,
        options: GenerateKeywords | None = None,
        **inputs: Any,
    ) -> RunResult | Iterator[RunResult] | list[RunResult]:
        """Run a template on values for its inputs, or on each of several cases.

        Several cases are decoded together. A sequence gives a list; an iterator, which is read as
        needed, gives an iterator; both in the order of the cases. The first case in that order
        which fails raises its error.

        Args:
            template: by name or path, or a loaded `Template`.
            cases: mappings of input values, or texts for the template's main input.
            options: those of `generate` (`system`, `temperature`, `seed`, `max_tokens`, …).
            inputs: values for the template's inputs, the same for all cases.

        Returns:
            A `Classification` where the template's output is labels, else a `Generation`, whose
            `value` is the reply's JSON where the output is JSON.

        Raises:
            TemplateError: the template is missing or broken.
            UsageError: an input is unknown, missing or of the wrong type.
            As `generate` and `classify`.

        Example:
            >>> box.run("title", text="Rain is expected all week.").text    # doctest: +SKIP
            'A Week of Rain'
            >>> [r.label for r in box.run("sentiment", ["Great!", "Awful."])]  # doctest: +SKIP
            ['positive', 'negative']
        """
        from llmtool.tasks.generate.template import run, run_options

        return run(self.context, cases, run_options(template, options, inputs))

    arun = for_asyncio(run)
    """`run` for asyncio."""

    def run_each(
        self,
        /,
        template: str | Template,
        cases: Iterable[CaseValues],
        *,
        options: GenerateKeywords | None = None,
        **inputs: Any,
    ) -> Generator[RunResult | LlmtoolError, None, None]:
        """Like `run` on many cases, but yield the error of a case that fails, and continue.

        Example:
            >>> for outcome in box.run_each("title", [{"text": "Rain."}, {}]):   # doctest: +SKIP
            ...     print(type(outcome).__name__)
            Generation
            UsageError
        """
        from llmtool.tasks.generate.template import run_each, run_options

        return run_each(self.context, cases, run_options(template, options, inputs))

    def arun_each(
        self,
        /,
        template: str | Template,
        cases: Iterable[CaseValues],
        *,
        options: GenerateKeywords | None = None,
        **inputs: Any,
    ) -> AsyncIterator[RunResult]:
        """`run` of many cases for asyncio: yield results in order, as they are ready."""
        from llmtool.tasks.generate.template import run_cases, run_options

        made = run_options(template, options, inputs)
        return self.context.bridge.stream(lambda: run_cases(self.context, cases, made))

    def prepare_batch(
        self,
        /,
        template: str | Template,
        reader: Reader,
        output: BatchOptions,
        *,
        field: str | None = None,
        options: GenerateKeywords | None = None,
        **inputs: Any,
    ) -> BatchRunner[Result]:
        """Prepare a batch: a template run on records, with rows in a file that can be resumed.

        Nothing is written before the runner's `run`. A record that fails gets a row with its error.

        Args:
            field: the field of a record that is the text; None takes the only one, or `text`.
            options: those of `generate`; each record's seed is made from `seed` and its content.
            inputs: values for the template's other inputs.

        Raises:
            TemplateError, UsageError: as `run`, or the records lack the field.
            InputError: a CSV has no header.

        Example:
            >>> reader = Reader("jsonl", ["reviews.jsonl"])                     # doctest: +SKIP
            >>> output = BatchOptions(output=Path("out.jsonl"), resume=True)    # doctest: +SKIP
            >>> batch = box.prepare_batch("sentiment", reader, output)          # doctest: +SKIP
            >>> [str(row.outcome) for row in batch.run()]                       # doctest: +SKIP
            ['positive', 'negative']
        """
        from llmtool.tasks.generate.template import prepare_batch, run_options

        made = run_options(template, options, inputs)
        return prepare_batch(self.context, reader, output, made, field=field)

    @overload
    def classify(  # type: ignore[overload-overlap]
        self, text: str, labels: type[L], **options: Unpack[ClassifyKeywords]
    ) -> Classification[L]: ...
    @overload
    def classify(
        self, text: str, labels: Names | None = None, **options: Unpack[ClassifyKeywords]
    ) -> Classification[str]: ...
    @overload
    def classify(  # type: ignore[overload-overlap]
        self, text: Texts, labels: type[L], **options: Unpack[ClassifyKeywords]
    ) -> list[Classification[L]]: ...
    @overload
    def classify(
        self, text: Texts, labels: Names | None = None, **options: Unpack[ClassifyKeywords]
    ) -> list[Classification[str]]: ...
    @overload
    def classify(  # type: ignore[overload-overlap]
        self, text: Iterator[str], labels: type[L], **options: Unpack[ClassifyKeywords]
    ) -> Iterator[Classification[L]]: ...
    @overload
    def classify(
        self, text: Iterator[str], labels: Names | None = None, **options: Unpack[ClassifyKeywords]
    ) -> Iterator[Classification[str]]: ...
    @list_options
    def classify(
        self,
        text: str | Iterable[str],
        labels: Iterable[str] | Mapping[str, str] | type[L] | None = None,
        **options: Unpack[ClassifyKeywords],
    ) -> Classification[Any] | list[Classification[Any]] | Iterator[Classification[Any]]:
        """Find the label of a text by the probability that the model gives to each label.

        Several texts are scored together. A sequence gives a list; an iterator, which is read as
        needed, gives an iterator; both in the order of the texts. The first text in that order
        which fails raises its error.

        Args:
            text: the text to classify, or several.
            labels: names, a mapping of names to descriptions, an Enum class or `bool`; None takes
                those of the template.
            examples: pairs of a text and its label, or mappings with "text" and "label".
            template: a prompt template with labels, by name or path.
            system: the instruction; None takes the template's.
            variables: values for the template's other inputs.
            min_confidence: the score below which the label is None; `min_margin` is the least
                difference to the second score, `min_coverage` the least probability of all labels
                together.
            prior: how frequent each label is, by name; None takes them as equally frequent.
            multi: whether any number of labels may fit; the model is asked about each of them, and
                the result's `labels` has those that fit.
            form: "chat" or "completion", the form of the prompt; None takes the template's.
            overflow: "chunk" scores a text longer than the context in chunks; "error" fails.
            calibrate: how to correct the model's bias towards some labels: "auto" uses what
                `calibrate` saved, else "anchors", texts without content; "none" corrects nothing.
                "balanced" takes the labels as equally frequent in these texts, a sequence.

        Returns:
            A `Classification`: `label` (a name, a member of the Enum, True or False; None where
            the model is not sure enough), `score`, `scores` by name, which add up to 1, `coverage`,
            `usage`. `str()` of it is the label's name. A score is a probability only after
            `calibrate`.

        Raises:
            UsageError: labels are missing, too few or ambiguous; an option is wrong.
            ContextOverflow: a text is longer than the context.
            InputError: a text is empty.

        Example:
            >>> box.classify("I was charged twice", ["billing", "bug"]).label   # doctest: +SKIP
            'billing'
        """
        from llmtool.tasks.classify.task import classify

        return classify(self.context, text, labels, make_options(ClassifyOptions, options))

    aclassify = for_asyncio(classify)
    """`classify` for asyncio."""

    @overload
    def aclassify_each(  # type: ignore[overload-overlap]
        self, texts: Iterable[str], labels: type[L], **options: Unpack[ClassifyKeywords]
    ) -> AsyncIterator[Classification[L]]: ...
    @overload
    def aclassify_each(
        self, texts: Iterable[str], labels: Names | None = None, **options: Unpack[ClassifyKeywords]
    ) -> AsyncIterator[Classification[str]]: ...
    @list_options
    def aclassify_each(
        self,
        texts: Iterable[str],
        labels: Iterable[str] | Mapping[str, str] | type[L] | None = None,
        **options: Unpack[ClassifyKeywords],
    ) -> AsyncIterator[Classification[Any]]:
        """`classify` of many texts for asyncio: yield results in order, as they are ready."""
        from llmtool.tasks.classify.task import classify_each

        made = make_options(ClassifyOptions, options)
        return self.context.bridge.stream(lambda: classify_each(self.context, texts, labels, made))

    @list_options
    def calibrate(
        self,
        texts: Sequence[tuple[str, str]],
        labels: Labels | None = None,
        **options: Unpack[ClassifyKeywords],
    ) -> Calibration:
        """Fit the scores of labels to labelled texts, and save the fit.

        `classify` then uses it wherever labels, template and options are the same.

        Args:
            texts: pairs of a text and its label, at least 20, and one of each label.
            labels: as in `classify`, like the options.

        Returns:
            A `Calibration`: `accuracy` and `ece` (the expected calibration error) on these texts,
            before and after.

        Raises:
            UsageError: there are too few texts, or one has an unknown label.
            LlmtoolError: a text fails, as in `classify`.

        Example:
            >>> from llmtool.tasks.classify.labelled_texts import read_labelled_texts
            >>> fit = box.calibrate(read_labelled_texts("mails.csv"), ["bug", "billing"])
            ... # doctest: +SKIP
            >>> fit.accuracy  # doctest: +SKIP
            (0.81, 0.88)
        """
        from llmtool.tasks.classify.task import prepare_classifier

        made = make_options(ClassifyOptions, options)
        return prepare_classifier(self.context, labels, made).calibrate(self.engine, texts)

    @overload
    def summarize(self, text: str, **options: Unpack[SummarizeKeywords]) -> Summary: ...
    @overload
    def summarize(self, text: Texts, **options: Unpack[SummarizeKeywords]) -> list[Summary]: ...
    @overload
    def summarize(
        self, text: Iterator[str], **options: Unpack[SummarizeKeywords]
    ) -> Iterator[Summary]: ...
    @list_options
    def summarize(
        self, text: str | Iterable[str], **options: Unpack[SummarizeKeywords]
    ) -> Summary | list[Summary] | Iterator[Summary]:
        """Summarize a text of any length, or several.

        A text too long to be read well as a whole is split at its structure; the model writes
        notes on all chunks together, and summarizes these, in as many rounds as needed. A summary
        that loses what its notes say, or has numbers that they lack, is written once more, and
        then replaced by sentences of the notes (`Summary.fallback`). A sequence gives a list; an
        iterator, which is read as needed, gives an iterator; both in the order of the texts.

        Args:
            text: the text to summarize, or several.
            length: "short", "medium", "long", "100 words", "3 sentences" or "5 bullets". A number
                of words is met to within 30 %.
            style: "paragraph", "bullets", "headline" or "tldr".
            focus: the subject to concentrate on.
            sections: whether to summarize each section below a top-level heading on its own.
            strategy: "auto", "stuff" (as a whole), "map-reduce" or "refine" (chunk by chunk).
            chunk_tokens: the most tokens of a chunk.
            template: a prompt template for the summary, by name or path.
            variables: values for that template's other inputs.
            system, thinking, max_tokens, …: as in `generate`.

        Returns:
            A `Summary`: `text`, `chunks`, `coverage`, `usage`, `warnings`. `str()` of it is the
            text.

        Raises:
            UsageError: an option is wrong.
            ContextOverflow: the strategy is "stuff", and a text is longer than the context.
            InputError: a text is empty.

        Example:
            >>> box.summarize(report, length="100 words").text             # doctest: +SKIP
            'The library of Marbury closes for repairs from March to June. …'
        """
        from llmtool.tasks.summarize.task import summarize

        return summarize(self.context, text, make_options(SummarizeOptions, options))

    asummarize = for_asyncio(summarize)
    """`summarize` for asyncio."""

    @list_options
    def stream_summarize(
        self, text: str, **options: Unpack[SummarizeKeywords]
    ) -> Iterator[SummaryEvent | Summary]:
        """Like `summarize` for one text, but yield progress and text, then the `Summary`.

        The texts of the `SummaryText` events make up the summary. They come token by token where
        the text is read as a whole, else when a part of the summary has been checked.
        """
        from llmtool.tasks.summarize.task import stream_summarize

        return stream_summarize(self.context, text, make_options(SummarizeOptions, options))

    @list_options
    def asummarize_each(
        self, texts: Iterable[str], **options: Unpack[SummarizeKeywords]
    ) -> AsyncIterator[Summary]:
        """`summarize` of many texts for asyncio: yield results in order, as they are ready."""
        from llmtool.tasks.summarize.task import summarize_each

        made = make_options(SummarizeOptions, options)
        return self.context.bridge.stream(lambda: summarize_each(self.context, texts, made))

    @overload
    def translate(
        self, text: str, to: str, **options: Unpack[TranslateKeywords]
    ) -> Translation: ...
    @overload
    def translate(
        self, text: Texts, to: str, **options: Unpack[TranslateKeywords]
    ) -> list[Translation]: ...
    @overload
    def translate(
        self, text: Iterator[str], to: str, **options: Unpack[TranslateKeywords]
    ) -> Iterator[Translation]: ...
    @list_options
    def translate(
        self, text: str | Iterable[str], to: str, **options: Unpack[TranslateKeywords]
    ) -> Translation | list[Translation] | Iterator[Translation]:
        """Translate a text or document, or several; structure stays unchanged.

        Segments are translated together. Code, links, tags, placeholders, timings and keys stay as
        they are. A segment that comes back without them, in another language or with another
        structure is translated once more, then sentence by sentence, and otherwise stays in its
        language (`Translation.untranslated`). A sequence gives a list; an iterator, which is read
        as needed, gives an iterator; both in the order of the texts.

        Args:
            text: the text to translate, or several.
            to: a language by its English name or code ("German", "pt-BR").
            source: the language of the text; "auto" detects it.
            format: "auto", "txt", "md", "html", "srt", "vtt", "po" or "json".
            glossary: terms and their translations; the model gets those that a segment contains.
            bilingual: whether to keep each segment above its translation (text and subtitles).
            strict: whether a segment that stays in its language is an error.
            template: a prompt template, by name or path.
            variables: values for the template's other inputs.
            system, thinking, max_tokens, …: as in `generate`.

        Returns:
            A `Translation`: `text`, `source`, `untranslated`, `usage`, `warnings`. `str()` of it is
            the text.

        Raises:
            UsageError: a language or format is unknown; an option is wrong.
            InputError: a text is empty, or not valid in its format.
            OutputValidationError: the structure was lost, or `strict` is set and a segment stayed.

        Example:
            >>> box.translate("# Hello\\n\\nRun `ls`.", "French").text      # doctest: +SKIP
            '# Bonjour\\n\\nExécutez `ls`.'
        """
        from llmtool.tasks.translate.task import translate

        return translate(self.context, text, to, make_options(TranslateOptions, options))

    atranslate = for_asyncio(translate)
    """`translate` for asyncio."""

    @list_options
    def stream_translate(
        self, text: str, to: str, **options: Unpack[TranslateKeywords]
    ) -> Iterator[TranslationText | Translation]:
        """Like `translate` for one text, but yield each `TranslationText`, then the `Translation`.

        The texts of the segments come in order and make up the translation.
        """
        from llmtool.tasks.translate.task import stream_translate

        return stream_translate(self.context, text, to, make_options(TranslateOptions, options))

    @list_options
    def atranslate_each(
        self, texts: Iterable[str], to: str, **options: Unpack[TranslateKeywords]
    ) -> AsyncIterator[Translation]:
        """`translate` of many texts for asyncio: yield results in order, as they are ready."""
        from llmtool.tasks.translate.task import translate_each

        made = make_options(TranslateOptions, options)
        return self.context.bridge.stream(lambda: translate_each(self.context, texts, to, made))

    @overload
    def write_code(self, request: str, **options: Unpack[CodeKeywords]) -> Code: ...
    @overload
    def write_code(self, request: Texts, **options: Unpack[CodeKeywords]) -> list[Code]: ...
    @overload
    def write_code(
        self, request: Iterator[str], **options: Unpack[CodeKeywords]
    ) -> Iterator[Code]: ...
    @list_options
    def write_code(
        self, request: str | Iterable[str], **options: Unpack[CodeKeywords]
    ) -> Code | list[Code] | Iterator[Code]:
        """Write code for a request, or for each of several, and check that it parses.

        The code is taken out of the fence in the reply and parsed. Code with an error goes back to
        the model with the error, and the best version is the result; a reply that was cut is
        continued first. Several requests are decoded together. A sequence gives a list; an
        iterator, which is read as needed, gives an iterator; both in the order of the requests.
        The first request in that order which fails raises its error. The code is not run.

        Args:
            request: what the code has to do, or several such texts.
            language: by name, alias or suffix ("python", "js", "rs"); None takes the template's.
            check: whether to parse the code.
            repair: the most rounds of repair, 0 to 10.
            format: whether to run the language's formatter, where one is on PATH.
            run_tests: called with code that parses; its result decides whether the code is good.
            input: code or data that the request is about. It is data: the model gets no
                instruction from it.
            system, template, variables, thinking, max_tokens, …: as in `generate`.

        Returns:
            A `Code`: `text` (also `code`), `language`, `status` ("ok", "error", "unchecked"),
            `rounds`, `diagnostics`, `usage`, `warnings`. `str()` of it is the code. A status of
            "error" is not an exception: the best version is there.

        Raises:
            OutputValidationError: the reply has no code.
            UsageError: the language is unknown, or an option is.
            As `generate`.

        Example:
            >>> box.write_code("a function is_even(n)", language="py").text    # doctest: +SKIP
            'def is_even(n):\\n    return n % 2 == 0\\n'
        """
        from llmtool.tasks.code.task import write_code

        return write_code(self.context, request, make_options(CodeOptions, options))

    awrite_code = for_asyncio(write_code)
    """`write_code` for asyncio."""

    @list_options
    def awrite_code_each(
        self, requests: Iterable[str], **options: Unpack[CodeKeywords]
    ) -> AsyncIterator[Code]:
        """`write_code` of many requests for asyncio: yield results in order, as they are ready."""
        from llmtool.tasks.code.task import write_code_each

        made = make_options(CodeOptions, options)
        return self.context.bridge.stream(lambda: write_code_each(self.context, requests, made))

    @list_options
    def explain_code(self, code: str, **options: Unpack[ExplainKeywords]) -> Generation[Any]:
        """Describe what code does; the options are those of `generate`.

        Raises:
            ContextOverflow: the code is longer than the context.
            As `generate`.

        Example:
            >>> print(box.explain_code("x = y or 0"))    # doctest: +SKIP
            Sets x to y, or to 0 where y is empty.
        """
        from llmtool.tasks.code.subtasks import explain_code

        made = make_options(ExplainOptions, options)
        return explain_code(self.context, code, made)

    @list_options
    def review_code(self, diff: str, **options: Unpack[ReviewKeywords]) -> Review:
        """Review a unified diff; files, and the hunks of long ones, are read in parallel.

        Lock files, generated files and binaries are left out, which the result reports.

        Returns:
            A `Review`: `findings` with `path`, `line`, `severity` and `message`. Each line is one
            of the new file that the diff shows.

        Raises:
            InputError: the diff changes nothing.
            As `generate`.

        Example:
            >>> box.review_code(diff).findings[0].line    # doctest: +SKIP
            12
        """
        from llmtool.tasks.code.subtasks import review_code

        made = make_options(ReviewOptions, options)
        return review_code(self.context, diff, made)

    @list_options
    def fix_code(
        self,
        code: str,
        error: str | None = None,
        *,
        file: str = "code",
        **options: Unpack[FixKeywords],
    ) -> Fix:
        """Fix code that fails; the options are those of `write_code`.

        Args:
            code: the whole file.
            error: the error message; None takes the first syntax error.
            file: the file's name in the patch.

        Returns:
            A `Fix`: `code`, and `diff`, which `patch -p1` applies. Nothing is written.

        Raises:
            OutputValidationError: the reply has no code, changes nothing, or was cut.
            ContextOverflow: the file and its fixed version do not fit into the context.
            UsageError: `error` is None and the syntax is correct.

        Example:
            >>> print(box.fix_code("def f(x) return x", language="py"))    # doctest: +SKIP
            --- a/code
            +++ b/code
            @@ -1 +1,2 @@
            ...
        """
        from llmtool.tasks.code.subtasks import fix_code

        made = make_options(FixOptions, options)
        return fix_code(self.context, code, error, made, file=file)

    @list_options
    def write_tests(
        self, code: str, *, framework: str | None = None, **options: Unpack[WriteTestsKeywords]
    ) -> Code:
        """Write tests for code; the options are those of `write_code`. Nothing is run.

        Args:
            code: the code to test.
            framework: the test framework; None takes the usual one of the language.

        Example:
            >>> box.write_tests("def half(n): return n / 2", language="py")   # doctest: +SKIP
        """
        from llmtool.tasks.code.subtasks import write_tests

        made = make_options(WriteTestsOptions, options)
        return write_tests(self.context, code, made, framework=framework)

    @list_options
    def complete_code(
        self,
        before: str,
        after: str = "",
        *,
        language: str | None = None,
        **sampling: Unpack[CompleteKeywords],
    ) -> Code:
        """Fill the gap between two texts, with the model's fill-in-the-middle tokens.

        Where both do not fit into the context, the model gets the lines nearest to the gap.

        Returns:
            A `Code` whose text goes between the two; its `status` is that of all three together.

        Raises:
            UsageError: the model has no such tokens.

        Example:
            >>> box.complete_code("def add(a, b):\\n    return ", "\\n").text   # doctest: +SKIP
            'a + b'
        """
        from llmtool.tasks.code.subtasks import complete_code

        made = make_options(CompleteOptions, sampling)
        return complete_code(self.context, before, after, made, language=language)

    @list_options
    def commit_message(
        self, diff: str, *, body: bool = False, **options: Unpack[CommitKeywords]
    ) -> CommitMessage:
        """Write a commit message for a unified diff of any size.

        Args:
            diff: the change, as `git diff` prints it.
            body: whether to write a body of bullet points, too.

        Returns:
            A `CommitMessage`: `subject` is `type(scope): what`, of at most 72 characters; `body`
            has the points.

        Raises:
            InputError: the diff changes nothing.
            As `generate`.

        Example:
            >>> box.commit_message(diff).subject    # doctest: +SKIP
            'fix(mail): wait 30 seconds for the server'
        """
        from llmtool.tasks.code.subtasks import commit_message

        return commit_message(self.context, diff, make_options(CommitOptions, options), body=body)

    aexplain_code = for_asyncio(explain_code)
    areview_code = for_asyncio(review_code)
    afix_code = for_asyncio(fix_code)
    awrite_tests = for_asyncio(write_tests)
    acomplete_code = for_asyncio(complete_code)
    acommit_message = for_asyncio(commit_message)

    @list_options
    def chat(
        self,
        *,
        session: str | None = None,
        save: bool | None = None,
        overflow: OverflowPolicy = "summarize",
        **options: Unpack[ChatKeywords],
    ) -> Chat:
        """Start a conversation, or continue the saved session of a name.

        Args:
            session: the name of a session, which is saved on disk after every turn.
            save: whether to save the conversation on disk; None saves one that has a name.
            overflow: "summarize" or "drop": what becomes of the oldest turns when the context is
                full.
            system, template, thinking, variables, max_tokens, …: as in `generate`; None takes
                those of the session.

        Raises:
            UsageError: an option is unknown or out of its range.
            LockedError: another process has the session open.

        Example:
            >>> with box.chat(system="Be brief.") as chat:              # doctest: +SKIP
            ...     print(chat.say("Name a river.").reply)
            The Danube.
        """
        from llmtool.sessions.store import Sessions
        from llmtool.tasks.chat.chat import Chat
        from llmtool.tasks.options import ChatOptions, make_options

        is_saved = session is not None if save is None else save
        store = Sessions(self.context.folders.data / "sessions") if is_saved else None
        chosen = make_options(ChatOptions, options)
        return Chat(self.context, chosen, session=session, store=store, overflow=overflow)
