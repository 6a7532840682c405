"""The Python API: `Toolbox`, whose methods run tasks on one model.

The package's functions, such as `llmtool.generate`, are the methods of a toolbox with the user's
configuration.
"""

from __future__ import annotations

import inspect
import os
import threading
import warnings
from collections.abc import (
    AsyncIterator,
    Callable,
    Generator,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, TypeVar, overload

from llmtool import config
from llmtool.arguments import check_range, checked, unknown_option
from llmtool.cancellation import Cancellation
from llmtool.engine.shared import SharedEngine
from llmtool.engine.types import Engine, KVType, OnProgress, Request, Token, Tokenized
from llmtool.errors import ClosedError, LlmtoolError, UsageError
from llmtool.forks import call_after_fork
from llmtool.local_model import ReadyModel
from llmtool.methods import (
    each_for_asyncio,
    for_asyncio,
    list_options,
    stream_for_asyncio,
    with_timeout,
)
from llmtool.model_choice import choose_model
from llmtool.models.hub.callbacks import OnNote, no_note, no_progress
from llmtool.models.hub.callbacks import OnProgress as OnDownload
from llmtool.option_names import option
from llmtool.short_repr import shorten
from llmtool.tasks.options import (
    ChatOptions,
    ClassifyOptions,
    CodeOptions,
    CommitOptions,
    CompleteOptions,
    ExplainOptions,
    FixOptions,
    GenerateOptions,
    ReplyOptions,
    ReviewOptions,
    SamplingOptions,
    SummarizeOptions,
    TranslateOptions,
    WriteTestsOptions,
    make_options,
)
from llmtool.tasks.pipeline.context import CLOSED, TaskContext, TaskModel
from llmtool.tasks.results import Classification, Generation, Result, Summary, Translation
from llmtool.tasks.streams import make_limit

if TYPE_CHECKING:
    import enum

    from typing_extensions import Unpack

    from llmtool.batch.readers import Reader
    from llmtool.batch.runner import BatchOptions, BatchRunner
    from llmtool.prompts.library import Library
    from llmtool.prompts.template import Template
    from llmtool.structured.resolve import SchemaAdapter
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
        CompleteKeywords,
        GenerateKeywords,
        ReviewKeywords,
        SummarizeKeywords,
        TemplateKeywords,
        TextKeywords,
        TranslateKeywords,
    )
    from llmtool.tasks.pipeline.conversation import Messages
    from llmtool.tasks.streams import Stream
    from llmtool.tasks.summarize.workflow import SummaryText
    from llmtool.tasks.translate.document import TranslationText
    from llmtool.tuning.results import Tuning

    Names = Iterable[str] | Mapping[str, str]  # labels by name
    Texts = list[str] | tuple[str, ...]

T = TypeVar("T")
L = TypeVar("L", bound="enum.Enum | bool")
F = TypeVar("F", bound=Callable[..., Any])


def _checked_arguments(init: F) -> F:
    """Return `Toolbox.__init__` with checks of its arguments."""
    known = [*inspect.signature(init).parameters][1:]

    def reject(name: str) -> UsageError:
        options = (ReplyOptions, GenerateOptions, SamplingOptions)
        is_of_task = any(name in each.__struct_fields__ for each in options)
        instead = f"pass it to a method, such as generate(…, {name}=…)" if is_of_task else ""
        return unknown_option(name, known, instead=lambda ours: instead)

    return checked(init, reject)


class Toolbox:
    """Run tasks on one model, which is loaded on first use.

    All methods are thread-safe; calls run one after another, or together with `concurrent`. Use the
    toolbox as a context manager (`with` or `async with`), or call `close`, to free the model.

    Methods that accept several texts process them in parallel. Results are in the order of the
    texts: a list for a list or tuple, an iterator for an iterator, which is read as needed and may
    be infinite. The first text that fails raises its error and stops the rest. All methods that run
    the model raise the errors of `generate`, and more where documented.

    Args:
        model: a name (`starter`), a path to a GGUF file, or a Hub reference (`org/name:QUANT`),
            which is downloaded if it is not installed; or `ENDPOINT:NAME` for a model of a
            server in the settings. None uses the model of the settings, or else the starter model.
        base_url: the URL of a server with OpenAI's API, such as `http://gpu:8000/v1`, that has the
            model; its key is in the variable `LLMTOOL_API_KEY`. Options of local models, such as
            `n_threads`, `n_gpu_layers`, `kv_type`, `draft`, `chat_template` and `lora`, are then
            errors; `n_parallel` is the number of requests at once, and `n_ctx` the context length
            to assume if the server does not report it.
        n_ctx: the context size in tokens; None chooses it for each request.
        n_threads: the number of threads; None uses one per CPU core available to this process.
        n_gpu_layers: the number of layers to offload to the GPU, "auto" or "all".
        n_parallel: the number of replies to decode in parallel, 1 to 64; None chooses it.
        reproducible: whether to process one request at a time, so that labels and greedy replies do
            not depend on the other inputs of a call; slower.
        concurrent: whether to decode the requests of several threads in parallel.
        kv_type: the data type of the KV cache, "f16" or "q8_0", which needs half the memory.
        draft: how tokens of a reply are drafted, to be verified several at a time: "auto" drafts
            those that repeat the prompt or the reply where this is faster, "off" none, "ngram" as
            many as is fastest on this machine, and the path of a small GGUF model with the same
            vocabulary drafts others too. Replies stay the same, except near ties with some
            quantizations. None uses the setting.
        chat_template: a file with a Jinja template to use instead of the model's chat template.
        template_args: values of variables that the chat template reads; they take precedence. A
            Python warning names those that it does not read.
        lora: one or several LoRA adapters, GGUF files for this model: "FILE" or "FILE:SCALE".
        prefix_cache: whether to cache the evaluated prefixes of templates on disk, up to the
            `prefix_cache_mb` of the settings.
        settings, folders: the user's configuration; None reads it from `environ` on first use.
        environ: the environment variables to use; None uses those of the process.
        engine: an engine to use, such as `ScriptedEngine`; `model` is then only its name.
        cancellation: cancels the calls of all threads, from a signal handler or another thread.
        on_fault: called from another thread if the model's file was truncated while in use. It must
            end the process; without it, the signal SIGBUS does.
        on_load_progress: called with `(done, total)` while the model loads.
        on_download_progress: called with `(done, total)` bytes during a download.
        on_note: called with messages about a download, and about where text is sent.

    Example:
        >>> from llmtool.engine.scripted import ScriptedEngine
        >>> box = Toolbox(engine=ScriptedEngine("Hello!"), model="scripted")
        >>> str(box.generate("Say hello"))
        'Hello!'
    """

    @_checked_arguments
    def __init__(
        self,
        model: str | os.PathLike[str] | None = None,
        *,
        base_url: str | None = None,
        n_ctx: int | None = None,
        n_threads: int | None = None,
        n_gpu_layers: int | str | None = None,
        n_parallel: int | None = None,
        reproducible: bool = False,
        concurrent: bool = False,
        kv_type: KVType = "f16",
        draft: str | os.PathLike[str] | None = None,
        prefix_cache: bool = True,
        chat_template: str | os.PathLike[str] | None = None,
        template_args: Mapping[str, Any] | None = None,
        lora: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | None = None,
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
        for name, number, most in (
            ("n_ctx", n_ctx, None),
            ("n_threads", n_threads, config.MAX_THREADS),
            ("n_parallel", n_parallel, config.MAX_PARALLEL),
        ):
            if number is not None:
                check_range(name, number, 1, most)
        reference = None if model is None else os.fspath(model)
        if reference == "":
            raise UsageError(f"{option('model', reference)}: must be the name of a model")
        if engine is not None and not hasattr(engine, "stream"):
            given = option("engine", engine)
            raise UsageError(f"{given}: must be an engine, such as ScriptedEngine, or None")
        self.cancellation = stop = cancellation or Cancellation()

        def open_context() -> TaskContext:
            variables = os.environ if environ is None else environ
            places = folders or config.find_folders(variables)
            chosen = settings or config.load_settings(variables, places.config_file)
            if engine is not None:
                shared = SharedEngine(engine, cancellation=stop) if concurrent else engine
                model: TaskModel = ReadyModel(engine=shared, name=reference or "scripted")
            else:
                model = choose_model(
                    reference,
                    base_url=base_url,
                    settings=chosen,
                    folders=places,
                    environ=variables,
                    n_ctx=n_ctx,
                    n_threads=n_threads,
                    n_gpu_layers=n_gpu_layers,
                    n_parallel=n_parallel,
                    reproducible=reproducible,
                    concurrent=concurrent,
                    kv_type=kv_type,
                    draft=draft,
                    prefix_cache=prefix_cache,
                    chat_template=chat_template,
                    template_args=template_args,
                    lora=lora,
                    cancellation=stop,
                    on_fault=on_fault,
                    on_load_progress=on_load_progress,
                    on_download_progress=on_download_progress,
                    on_note=on_note,
                    on_warning=warnings.warn,
                    on_remote_note=on_note,
                )
            cached = prefix_cache and engine is None
            return TaskContext(
                model, settings=chosen, folders=places, cancellation=stop, cached=cached
            )

        self._reference = reference or (None if engine is None else "scripted")
        self._open_context = open_context
        self._context: TaskContext | None = None
        self._closed = False
        self._lock = threading.Lock()
        call_after_fork(self)

    def __repr__(self) -> str:
        model = "the default model" if self._reference is None else shorten(self._reference, 60)
        return f"<Toolbox of {model}{', closed' if self._closed else ''}>"

    def after_fork(self) -> None:
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[object, ...]:
        raise UsageError("a Toolbox cannot be sent to another process; create one there")

    @property
    def context(self) -> TaskContext:
        """The context that the tasks share: model, templates, settings and caches.

        Raises:
            UsageError: the settings are invalid.
            ClosedError: the toolbox was closed.
        """
        with self._lock:
            if self._closed:
                raise ClosedError(CLOSED)
            if self._context is None:
                self._context = self._open_context()
            return self._context

    @property
    def engine(self) -> Engine:
        """The model's engine, loaded on first use.

        Raises:
            ModelNotFound, DownloadError: the model is not installed and cannot be downloaded.
            ModelUnreadable: its file is damaged, or the engine does not support it.
        """
        return self.context.engine

    @property
    def library(self) -> Library:
        """The library of the user's templates and the built-in ones."""
        return self.context.library

    @property
    def model_name(self) -> str:
        """The name of the model, such as `org/name:Q4_K_M`; a missing model is downloaded."""
        return self.context.model.name

    @property
    def loaded_engine(self) -> Engine | None:
        """The model's engine if it is loaded; does not wait."""
        return self.context.model.loaded_engine

    def warm_up(self) -> None:
        """Start loading the model in the background; the first task waits for it."""
        self.context.model.warm_up()

    def time_limit(self, seconds: float) -> AbstractContextManager[object]:
        """Stop the calls of a block, with the asyncio tasks it starts, after `seconds`.

        Calls of other threads continue.

        Raises:
            TimeoutExpired: a call was stopped; the toolbox can be used again.
            UsageError: `seconds` is not above 0.

        Example:
            >>> box = Toolbox()
            >>> with box.time_limit(30):
            ...     reply = box.generate("Tell me a story.")
        """
        return make_limit(self.cancellation, seconds, name="seconds")

    def close(self) -> None:
        """Free the model, and stop what runs in other threads; later calls raise `ClosedError`."""
        with self._lock:
            self._closed = True
        if self._context is not None:
            self._context.close()

    def __enter__(self) -> Toolbox:
        if self._closed:
            raise ClosedError(CLOSED)
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Toolbox:
        return self.__enter__()

    async def __aexit__(self, *_: object) -> None:
        import asyncio

        await asyncio.to_thread(self.close)

    # Order of the overloads: a schema that is a type, neither schema nor template, any other.

    @overload
    def generate(
        self,
        prompt: str | None = None,
        *,
        messages: Messages | None = None,
        schema: type[T] | SchemaAdapter[T],
        **options: Unpack[TemplateKeywords],
    ) -> Generation[T]: ...
    @overload
    def generate(
        self,
        prompt: str | None = None,
        *,
        messages: Messages | None = None,
        **options: Unpack[TextKeywords],
    ) -> Generation[None]: ...
    @overload
    def generate(
        self,
        prompt: str | None = None,
        *,
        messages: Messages | None = None,
        **options: Unpack[GenerateKeywords],
    ) -> Generation[Any]: ...
    @overload
    def generate(
        self,
        prompt: Texts,
        *,
        schema: type[T] | SchemaAdapter[T],
        **options: Unpack[TemplateKeywords],
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
        self,
        prompt: Iterator[str],
        *,
        schema: type[T] | SchemaAdapter[T],
        **options: Unpack[TemplateKeywords],
    ) -> Iterator[Generation[T]]: ...
    @overload
    def generate(
        self, prompt: Iterator[str], **options: Unpack[TextKeywords]
    ) -> Iterator[Generation[None]]: ...
    @overload
    def generate(
        self, prompt: Iterator[str], **options: Unpack[GenerateKeywords]
    ) -> Iterator[Generation[Any]]: ...
    @list_options(GenerateOptions)
    def generate(
        self,
        prompt: str | Iterable[str] | None = None,
        *,
        messages: Messages | None = None,
        **options: Unpack[GenerateKeywords],
    ) -> Generation[Any] | list[Generation[Any]] | Iterator[Generation[Any]]:
        """Generate a reply to a prompt, to each of several (see `Toolbox`), or to a conversation.

        Args:
            prompt: an instruction, or several.
            messages: a conversation, instead of a prompt: mappings or objects with `role`
                ("system", "user" or "assistant") and `content` (a text, or a list of text parts).
                The reply answers the last message, or continues it if it is the assistant's.
            input: text that the instruction is about; the prompt marks it as data.
            system: the system prompt; None uses that of the template, if any.
            n: the number of replies, 1 to 1000; they share a prefill, and reply i uses `seed + i`.
            prefill: the start of the reply, which the model continues.
            thinking: whether a reasoning model reasons first, or "low", "medium" or "high" for
                models with levels; `choices[0].reasoning` is the text.
            template: the name or path of a prompt template.
            variables: values for the other inputs of the template.
            schema: the schema of a JSON reply: a type, such as a dataclass, a pydantic model or a
                list of them, which is the type of `value`; a pydantic `TypeAdapter`; a JSON Schema;
                or its short form, "name, age int". The prompt includes it, and `text` is compact.
            grammar: a GBNF grammar that the reply must match.
            regex: a regular expression that the whole reply must match.
            retries: how often to request another reply if one does not match the schema, regular
                expression or grammar, 0 to 10. The conversation then has the reply and the error.
                Tokens are streamed when the last try is complete.
            logprobs: the number of alternatives to report for each token of the reply, with their
                log-probabilities; 0 reports none.
            echo: whether `prompt_logprobs` of the result has the same for each token of the prompt,
                which is then computed as a whole. `max_tokens` may be 0, to score the prompt only.
            lora: one or several LoRA adapters, "FILE" or "FILE:SCALE", instead of those of the
                template and the toolbox; an empty list uses none.
            raw: whether the model continues the prompt as it is, without template and chat
                template.
            max_tokens: the maximum length of the reply in tokens.
            think_tokens: the maximum length of the reasoning, in addition to `max_tokens`. By
                default it is half of `max_tokens`, or `max_tokens` - 512 if that is more.
            temperature, top_k, typical_p, top_p, min_p, xtc_probability, xtc_threshold,
                repeat_penalty, repeat_last_n, frequency_penalty, presence_penalty, dry_multiplier,
                dry_base, dry_allowed_length: sampling parameters; None uses the user's setting, or
                else that of the template.
            logit_bias: numbers to add to the logits of tokens, -100 to 100, by the token's id or
                text, such as `{" hello": -100, 262: 5}`.
            seed: 0 to 2^32-2; the same seed gives the same reply.
            stop: one or several strings that end the reply.
            timeout: the time limit in seconds, of the whole list, iterator or stream. It includes
                the time that the call waits for other calls or for the model.

        Returns:
            A `Generation` with `text`, `value`, `choices`, `usage` (tokens), `seconds`,
            `finish_reason` ("stop" or "length"), `seed` and `warnings`. `str()` returns the text.

        Raises:
            ModelNotFound, ModelUnreadable: the model is not available.
            ContextOverflow: prompt and reply do not fit in the context.
            OutputValidationError: a reply was truncated, or does not match the schema, grammar or
                regular expression. `result` is the `Generation`; each choice has its `error`.
            InputError: the prompt is empty.
            TimeoutExpired: the result is not complete within `timeout`.
            TemplateError: the prompt template or the model's chat template is invalid.
            UsageError: an option is unknown or out of range, or a schema is invalid.

        Example:
            >>> box = Toolbox()
            >>> reply = box.generate("Name a colour.", max_tokens=8)
            >>> reply.text, reply.usage.completion_tokens
            ('Dark red', 2)
            >>> box.generate(messages=[{"role": "user", "content": "Hi!"}]).text
            'Hello! How can I help?'
        """
        from llmtool.tasks.generate.task import generate

        made = make_options(GenerateOptions, options)
        return generate(self.context, prompt, made, messages=messages)

    agenerate = for_asyncio(generate)

    @overload
    def stream_generate(
        self,
        prompt: str | None = None,
        *,
        messages: Messages | None = None,
        schema: type[T] | SchemaAdapter[T],
        **options: Unpack[TemplateKeywords],
    ) -> Stream[Token, Generation[T]]: ...
    @overload
    def stream_generate(
        self,
        prompt: str | None = None,
        *,
        messages: Messages | None = None,
        **options: Unpack[TextKeywords],
    ) -> Stream[Token, Generation[None]]: ...
    @overload
    def stream_generate(
        self,
        prompt: str | None = None,
        *,
        messages: Messages | None = None,
        **options: Unpack[GenerateKeywords],
    ) -> Stream[Token, Generation[Any]]: ...
    @list_options(GenerateOptions)
    def stream_generate(
        self,
        prompt: str | None = None,
        *,
        messages: Messages | None = None,
        **options: Unpack[GenerateKeywords],
    ) -> Stream[Token, Generation[Any]]:
        """Generate a reply to a prompt or a conversation as a stream of tokens.

        Arguments and errors are those of `generate`.

        Returns:
            A `Stream`, an iterator over `Token`s: `text` is the next part of the reply, and
            `reasoning` of the reasoning before it. Tokens of several replies (`n`) are interleaved;
            `choice` is the index of the reply. After the tokens, `result` is the `Generation`.

        Example:
            >>> box = Toolbox()
            >>> stream = box.stream_generate("Tell me a story.")
            >>> for token in stream:
            ...     print(token.text, end="", flush=True)
            Once upon a time, a fox lived by a river.
            >>> stream.result.finish_reason
            'stop'
        """
        from llmtool.tasks.generate.task import stream_generate

        made = make_options(GenerateOptions, options)
        return stream_generate(self.context, prompt, made, messages=messages)

    astream_generate = stream_for_asyncio(stream_generate)
    agenerate_each = each_for_asyncio(generate)

    @list_options(GenerateOptions)
    def request(
        self,
        prompt: str | None = None,
        *,
        messages: Messages | None = None,
        **options: Unpack[GenerateKeywords],
    ) -> Request:
        """Return the request that `generate` would send to the engine, without running it.

        Example:
            >>> box = Toolbox()
            >>> box.request("Say hello", max_tokens=8).sampling.max_tokens
            8
        """
        from llmtool.tasks.generate.task import make_case
        from llmtool.tasks.pipeline.prepare import prepare

        made = make_options(GenerateOptions, options)
        case, made = make_case(prompt, made, messages=messages)
        return prepare(self.context, made).request(case)

    @checked
    def tokenize(self, request: Request) -> Tokenized:
        """Return the prompt of a request as text and token ids, after the chat template.

        Example:
            >>> box = Toolbox()
            >>> prompt = box.tokenize(box.request("Say hello"))
            >>> "Say hello" in prompt.text, len(prompt.token_ids) > 2
            (True, True)
        """
        return self.engine.tokenize(request.prompt)

    @overload
    def run(
        self,
        /,
        template: str | Template,
        cases: CaseValues | None = None,
        *,
        options: GenerateKeywords | None = None,
        timeout: float | None = None,
        **inputs: Any,
    ) -> RunResult: ...
    @overload
    def run(
        self,
        /,
        template: str | Template,
        cases: Iterator[CaseValues],
        *,
        options: GenerateKeywords | None = None,
        timeout: float | None = None,
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
        timeout: float | None = None,
        **inputs: Any,
    ) -> list[RunResult]: ...
    @with_timeout
    @checked
    def run(
        self,
        /,
        template: str | Template,
        cases: CaseValues | Iterable[CaseValues] | None = None,
        *,
        options: GenerateKeywords | None = None,
        timeout: float | None = None,
        **inputs: Any,
    ) -> RunResult | Iterator[RunResult] | list[RunResult]:
        """Run a template on a text or other inputs, or on each of several cases; see `Toolbox`.

        Args:
            template: the name or path of a template, or a loaded `Template`.
            cases: a text for the main input of the template, a mapping of input values, or several
                of them.
            options: options of `generate`: `system`, `temperature`, `seed`, `max_tokens`, ….
            timeout: see `generate`.
            inputs: values for the inputs of the template, the same for all cases.

        Returns:
            A `Classification` if the output of the template is a label, else a `Generation`, whose
            `value` is the parsed JSON if the output is JSON.

        Raises:
            TemplateError: the template is unknown or invalid.
            UsageError: an input is unknown, missing or of the wrong type.

        Example:
            >>> box = Toolbox()
            >>> box.run("title", "Rain is expected all week.").text
            'A Week of Rain'
            >>> box.run("qa", document="The library opens in May.", question="When?").text
            'In May.'
            >>> [r.label for r in box.run("sentiment", ["Great!", "Awful."])]
            ['positive', 'negative']
        """
        from llmtool.tasks.generate.template import run, run_options

        return run(self.context, cases, run_options(template, options, inputs))

    arun = for_asyncio(run)

    @with_timeout
    @checked
    def run_each(
        self,
        /,
        template: str | Template,
        cases: Iterable[CaseValues],
        *,
        options: GenerateKeywords | None = None,
        timeout: float | None = None,
        **inputs: Any,
    ) -> Generator[RunResult | LlmtoolError, None, None]:
        """Run a template on many cases; yield the result of each case, or its error.

        Unlike in `run`, an error does not stop the other cases.

        Example:
            >>> box = Toolbox()
            >>> for outcome in box.run_each("title", [{"text": "Rain is expected."}, {}]):
            ...     print(type(outcome).__name__)
            Generation
            UsageError
        """
        from llmtool.tasks.generate.template import run_each, run_options

        return run_each(self.context, cases, run_options(template, options, inputs))

    @checked
    def arun_each(
        self,
        /,
        template: str | Template,
        cases: Iterable[CaseValues],
        *,
        options: GenerateKeywords | None = None,
        timeout: float | None = None,
        **inputs: Any,
    ) -> AsyncIterator[RunResult]:
        """Run a template on many cases; yield each result in order, as soon as it is ready.

        Example:
            >>> import asyncio
            >>> async def print_titles(texts):
            ...     async for reply in Toolbox().arun_each("title", texts):
            ...         print(reply.text)
            >>> asyncio.run(print_titles(["Rain is expected all week.", "A bridge reopened."]))
            A Week of Rain
            Bridge Reopens
        """
        return self.context.bridge.stream(
            lambda: self.run(template, iter(cases), options=options, **inputs),
            make_limit(self.cancellation, timeout),
        )

    @checked
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
        """Prepare a batch, which runs a template on records and writes rows to a resumable file.

        Nothing is written before you call `run` of the result. A record that fails gets a row with
        the error.

        Args:
            template: the name or path of a template, or a loaded `Template`.
            reader: reads the records.
            output: the output file, its format, and whether to resume it.
            field: the field of a record with the text, such as `data.text`, or the number of a
                column; None uses `text`, `input`, `messages` or the only field.
            options: options of `generate`; the seed of each record is derived from `seed` and its
                content.
            inputs: values for the other inputs of the template.

        Returns:
            A `BatchRunner`, whose `run` yields each row after writing it.

        Raises:
            TemplateError, UsageError: see `run`; or the records lack the field.
            InputError: a CSV file has no header.

        Example:
            >>> from pathlib import Path
            >>> from llmtool.batch.readers import Reader
            >>> from llmtool.batch.runner import BatchOptions
            >>> _ = Path("reviews.jsonl").write_text('{"text": "Great!"}\\n{"text": "Awful."}\\n')
            >>> box = Toolbox()
            >>> output = BatchOptions(output=Path("out.jsonl"), resume=True)
            >>> batch = box.prepare_batch("sentiment", Reader("jsonl", ["reviews.jsonl"]), output)
            >>> [str(row.outcome) for row in batch.run()]
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
    @list_options(ClassifyOptions)
    def classify(
        self,
        text: str | Iterable[str],
        labels: Iterable[str] | Mapping[str, str] | type[L] | None = None,
        **options: Unpack[ClassifyKeywords],
    ) -> Classification[Any] | list[Classification[Any]] | Iterator[Classification[Any]]:
        """Classify a text by the probability that the model assigns to each label.

        Args:
            text: the text to classify, or several; see `Toolbox`.
            labels: names, a mapping of names to descriptions, an Enum class or `bool`; None uses
                the labels of the template.
            examples: pairs of a text and its label, or mappings with "text" and "label". Two or
                more of each label choose the recipe: the form of the prompt, and whether examples
                are shown, or measure the bias. With `multi`, they have "labels", and set the
                thresholds.
            template: the name or path of a prompt template with labels.
            system: the instruction; None uses that of the template.
            variables: values for the other inputs of the template.
            min_confidence: the minimum score, 0 to 1; below it, the label is None.
            min_margin: the minimum difference to the second score, 0 to 1.
            min_coverage: the minimum total probability of all labels, 0 to 1.
            prior: the relative frequency of each label, by name; None assumes equal frequencies.
            multi: whether several labels, or none, may apply; `labels` of the result has those that
                stand out from the others.
            form: the form of the prompt, "chat" or "completion"; None uses that of the template.
            overflow: "chunk" scores a text longer than the context in chunks; "error" raises.
            calibrate: how to correct the model's bias towards some labels. "auto" uses the fit that
                `calibrate` saved, or else "anchors", which scores texts without content; "balanced"
                assumes that all labels are equally frequent in a sequence of texts (with `multi`,
                the mean of both); "none" does not correct the bias.
            timeout: see `generate`.

        Returns:
            A `Classification` with `label` (a name, an Enum member, or a bool; None if the score is
            below a minimum), `score`, `scores` (by name, their sum is 1), `near_tie`, `coverage`,
            `recipe` and `usage`. `str()` returns the name of the label. Scores are calibrated
            probabilities only after `calibrate`.

        Raises:
            UsageError: labels are missing, too few or ambiguous, or an option is invalid.
            ContextOverflow: a text is longer than the context.
            InputError: a text is empty.

        Example:
            >>> box = Toolbox()
            >>> box.classify("I was charged twice", ["billing", "bug"]).label
            'billing'
        """
        from llmtool.tasks.classify.task import classify

        return classify(self.context, text, labels, make_options(ClassifyOptions, options))

    aclassify = for_asyncio(classify)
    aclassify_each = each_for_asyncio(classify)

    @list_options(ClassifyOptions)
    def calibrate(
        self,
        texts: Sequence[tuple[str, str]],
        labels: Labels | None = None,
        **options: Unpack[ClassifyKeywords],
    ) -> Calibration:
        """Calibrate the scores of labels on labelled texts, and save the fit.

        `classify` uses the fit for the same labels, template and options.

        Args:
            texts: pairs of a text and its label: at least 20, and at least one for each label.
            labels: see `classify`, also for the options.

        Returns:
            A `Calibration` with `accuracy` and `ece` (expected calibration error, 0 to 1) on these
            texts, each before and after the fit.

        Raises:
            UsageError: there are too few texts, or a label is unknown.

        Example:
            >>> box = Toolbox()
            >>> texts = [("The app crashes", "bug"), ("I was charged twice", "billing")] * 10
            >>> fit = box.calibrate(texts, ["bug", "billing"])
            >>> fit.accuracy
            (1.0, 1.0)
        """
        from llmtool.tasks.classify.task import prepare_classifier

        made = make_options(ClassifyOptions, options)
        return prepare_classifier(self.context, labels, made).calibrate(self.engine, texts)

    @with_timeout
    @checked
    def tune(
        self,
        /,
        template: str,
        data: str | os.PathLike[str] | Iterable[Mapping[str, Any]],
        *,
        metric: str | None = None,
        budget: int = 500,
        variants: Sequence[str] = (),
        written: int = 2,
        name: str | None = None,
        on_progress: Callable[[int, int], object] | None = None,
        timeout: float | None = None,
    ) -> Tuning:
        """Tune a template for the model: choose examples, form, wording and calibration.

        Candidates are compared by successive halving. A part of the data that is not used for this
        gives the final figure.

        Args:
            template: the name or path of the template.
            data: a JSONL, CSV or TSV file, or mappings: at least 20 records with values of the
                template's inputs, and `expected` (a text, a label or JSON) or `assert` (a list of
                assertions). `split: test` marks records of the final part [default: 30 %].
            metric: "accuracy" (labels), "fields" (share of correct fields of JSON), "assertions"
                (share of passed assertions) or "exact" (equal texts); None chooses it.
            budget: the number of records to run, at most.
            variants: other wordings of the instruction, or of the whole prompt.
            written: the number of wordings that the model writes, 0 to 16.
            name: the name of the new template; None adds `-tuned` to that of the original.
            on_progress: called with the number of records run so far, and at most.
            timeout: see `generate`.

        Returns:
            A `Tuning`. `text` is the content of the new template file, which extends the original
            and has its origin in `tuned`; `is_better` says whether it is better on the final part,
            and `final` by how much. A calibration of the labels is saved for this model.

        Raises:
            InputError: a record is invalid, or there are too few.
            UsageError: the budget is too small, or the metric does not suit the template.

        Example:
            >>> box = Toolbox()
            >>> records = [{"text": f"Great! {n}", "label": "positive"} for n in range(10)]
            >>> records += [{"text": f"Awful. {n}", "label": "negative"} for n in range(10)]
            >>> tuning = box.tune("sentiment", records, budget=100, written=0)
            >>> tuning.best.score, tuning.is_better  # the original is right already
            (1.0, False)
        """
        from llmtool.tuning.child import load_original
        from llmtool.tuning.tune import TuneOptions, prepare, tune

        options = TuneOptions(
            metric=metric, budget=budget, variants=variants, written=written, name=name
        )
        original = load_original(self.library, template)
        task = prepare(original, data, options, model_name=self.context.model.name)
        return tune(self.context, task, on_progress=on_progress)

    @overload
    def summarize(self, text: str, **options: Unpack[SummarizeKeywords]) -> Summary: ...
    @overload
    def summarize(self, text: Texts, **options: Unpack[SummarizeKeywords]) -> list[Summary]: ...
    @overload
    def summarize(
        self, text: Iterator[str], **options: Unpack[SummarizeKeywords]
    ) -> Iterator[Summary]: ...
    @list_options(SummarizeOptions)
    def summarize(
        self, text: str | Iterable[str], **options: Unpack[SummarizeKeywords]
    ) -> Summary | list[Summary] | Iterator[Summary]:
        """Summarize a text of any length, or several.

        The sentences that cover the text best are chosen without a model. The model writes from
        them, and each of its sentences is compared with its source before it is returned: numbers,
        names, dates and negations must agree. A sentence that fails is generated again, and if that
        fails too, replaced by one of the text.

        Args:
            text: the text to summarize, or several; see `Toolbox`.
            length: "short", "medium", "long", "100 words", "3 sentences" or "5 bullets". The number
                of words differs by at most 15%, if the text is long enough.
            style: "paragraph", "bullets", "headline" or "tldr".
            focus: the topic to concentrate on.
            sections: whether to summarize each section under a top-level heading separately.
            strategy: "extract" (quote sentences; needs no model), "write" (the model writes from
                sentences that cover the text), "stuff" (from the whole text at once), or "auto".
            chunk_tokens: the maximum length of the sentences in one request, in tokens.
            cite: whether to add the position of its source in the text, in characters, to each
                sentence, such as " [120–187]".
            template: the name or path of a prompt template for the summary.
            variables: values for the other inputs of the template.
            system, thinking, max_tokens, …: see `generate`.

        Returns:
            A `Summary` with `text`, `sentences` (with their sources), `strategy`, `usage` and
            `warnings`. `str()` returns the text.

        Raises:
            UsageError: an option is invalid.
            ContextOverflow: the strategy is "stuff", and a text is longer than the context.
            InputError: a text is empty.

        Example:
            >>> box = Toolbox()
            >>> report = "The bus to Rem leaves at 9:40. We waited. It costs 40 euros since May."
            >>> summary = box.summarize(report, length="1 sentence", strategy="extract")
            >>> summary.text, summary.sentences[0].start
            ('The bus to Rem leaves at 9:40.', 0)
        """
        from llmtool.tasks.summarize.task import summarize

        return summarize(self.context, text, make_options(SummarizeOptions, options))

    asummarize = for_asyncio(summarize)
    asummarize_each = each_for_asyncio(summarize)

    @list_options(SummarizeOptions)
    def stream_summarize(
        self,
        text: str,
        *,
        on_progress: Callable[[int, int], None] | None = None,
        **options: Unpack[SummarizeKeywords],
    ) -> Stream[SummaryText, Summary]:
        """Summarize a text as a stream of the parts of the summary.

        Other arguments and the errors are those of `summarize`.

        Args:
            on_progress: called with the number of words of the text that have been processed, and
                of all.

        Returns:
            A `Stream`, an iterator over `SummaryText`s, whose texts form the summary. They are
            sentences that have been checked. After them, `result` is the `Summary`.

        Example:
            >>> box = Toolbox()
            >>> report = "We are sorry. The library of Marbury closes from March to June."
            >>> stream = box.stream_summarize(report, length="1 sentence", strategy="extract")
            >>> for part in stream:
            ...     print(part.text, end="", flush=True)
            The library of Marbury closes from March to June.
            >>> stream.result.strategy
            'extract'
        """
        from llmtool.tasks.summarize.task import stream_summarize

        made = make_options(SummarizeOptions, options)
        return stream_summarize(self.context, text, made, on_progress=on_progress or no_progress)

    astream_summarize = stream_for_asyncio(stream_summarize)

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
    @list_options(TranslateOptions)
    def translate(
        self, text: str | Iterable[str], to: str, **options: Unpack[TranslateKeywords]
    ) -> Translation | list[Translation] | Iterator[Translation]:
        """Translate a text or document, or several, and preserve its structure.

        Segments are translated in parallel. Code, links, tags, placeholders, timings and keys are
        unchanged. If a translated segment lacks one of them, is in the wrong language or has
        another structure, it is translated again, then sentence by sentence, and if that fails
        remains untranslated (`Translation.untranslated`).

        Args:
            text: the text to translate, or several; see `Toolbox`.
            to: the target language, by English name or code ("German", "pt-BR").
            source: the language of the text; "auto" detects it.
            format: the document format, such as "md" or "po"; "auto" detects it.
            dialect: that of Markdown, such as "mkdocs" or "myst"; "auto" detects it.
            glossary: terms and their translations; the prompt for a segment has those in it.
            bilingual: whether to put each segment above its translation (text and subtitles).
            protect: regular expressions; the text that they match remains unchanged.
            mark: how to mark translated messages: "fuzzy" (po, xliff, qt) or "comment" (po).
            update: the text of an earlier translation; its segments, with edits, remain where the
                source did not change.
            context: whether to show the model the text before and after each segment of text or
                subtitles; None is True for models with 1B parameters or more. A reply that is
                rejected is requested again without it.
            strict: whether an untranslated segment is an error.
            template: the name or path of a prompt template.
            variables: values for the other inputs of the template.
            system, thinking, max_tokens, …: see `generate`.

        Returns:
            A `Translation` with `text`, `source`, `untranslated`, `usage` and `warnings`. `str()`
            returns the text.

        Raises:
            UsageError: a language or format is unknown, or an option is invalid.
            InputError: a text is empty, or invalid in its format.
            OutputValidationError: the structure was lost, or `strict` is set and a segment remains
                untranslated.

        Example:
            >>> box = Toolbox()
            >>> box.translate("# Hello\\n\\nRun `ls`.", "French").text
            '# Bonjour\\n\\nExécutez `ls`.'
        """
        from llmtool.tasks.translate.task import translate

        return translate(self.context, text, to, make_options(TranslateOptions, options))

    atranslate = for_asyncio(translate)
    atranslate_each = each_for_asyncio(translate)

    @list_options(TranslateOptions)
    def stream_translate(
        self, text: str, to: str, **options: Unpack[TranslateKeywords]
    ) -> Stream[TranslationText, Translation]:
        """Translate a text as a stream of translated segments.

        Arguments and errors are those of `translate`.

        Returns:
            A `Stream`, an iterator over `TranslationText`s, whose texts form the translation.
            `n_done` and `n_segments` count the segments. After them, `result` is the `Translation`.

        Example:
            >>> box = Toolbox()
            >>> for part in box.stream_translate("Dear Anna,\\n\\nit rains.\\n", "French"):
            ...     print(part.text, end="", flush=True)
            Chère Anna,
            <BLANKLINE>
            il pleut.
        """
        from llmtool.tasks.translate.task import stream_translate

        return stream_translate(self.context, text, to, make_options(TranslateOptions, options))

    astream_translate = stream_for_asyncio(stream_translate)

    @overload
    def write_code(self, request: str, **options: Unpack[CodeKeywords]) -> Code: ...
    @overload
    def write_code(self, request: Texts, **options: Unpack[CodeKeywords]) -> list[Code]: ...
    @overload
    def write_code(
        self, request: Iterator[str], **options: Unpack[CodeKeywords]
    ) -> Iterator[Code]: ...
    @list_options(CodeOptions)
    def write_code(
        self, request: str | Iterable[str], **options: Unpack[CodeKeywords]
    ) -> Code | list[Code] | Iterator[Code]:
        """Write code for a request, or for each of several, and check its syntax.

        The code in the reply's code block is parsed. If it has an error, the model repairs it, and
        the best version is the result; a truncated reply is continued first. The code is not run.

        Args:
            request: a description of the code to write, or several; see `Toolbox`.
            language: the name, alias or file extension of the language ("python", "js", "rs"); None
                uses that of the template.
            check: whether to check the syntax.
            repair: the maximum number of repairs, 0 to 10.
            format: whether to run the formatter of the language, if it is on PATH.
            run_tests: a function that is called with code whose syntax is correct; its result
                decides whether the code needs a repair.
            input: code or data that the request is about; the prompt marks it as data.
            system, template, variables, thinking, max_tokens, …: see `generate`.

        Returns:
            A `Code` with `text` (the code), `language`, `status` ("ok", "error" or "unchecked"),
            `rounds`, `diagnostics`, `usage` and `warnings`. `str()` returns the code. Code with an
            error raises no exception; its `status` is "error".

        Raises:
            OutputValidationError: the reply contains no code.
            UsageError: an option is unknown or invalid.

        Example:
            >>> box = Toolbox()
            >>> box.write_code("a function is_even(n)", language="py").text
            'def is_even(n):\\n    return n % 2 == 0\\n'
        """
        from llmtool.tasks.code.task import write_code

        return write_code(self.context, request, make_options(CodeOptions, options))

    awrite_code = for_asyncio(write_code)
    awrite_code_each = each_for_asyncio(write_code)

    @list_options(ExplainOptions)
    def explain_code(self, code: str, **options: Unpack[GenerateKeywords]) -> Generation[Any]:
        """Explain what code does.

        Args:
            code: the code to explain.
            system, thinking, max_tokens, …: see `generate`.

        Returns:
            A `Generation`; `text` is the explanation.

        Raises:
            ContextOverflow: the code is longer than the context.

        Example:
            >>> box = Toolbox()
            >>> print(box.explain_code("x = y or 0"))
            Sets x to y, or to 0 if y is empty.
        """
        from llmtool.tasks.code.subtasks import explain_code

        return explain_code(self.context, code, make_options(ExplainOptions, options))

    @list_options(ReviewOptions)
    def review_code(self, diff: str, **options: Unpack[ReviewKeywords]) -> Review:
        """Review a unified diff of any size.

        Files are reviewed in parallel, long ones by their hunks. Lock files, generated files and
        binary files are skipped, which the result reports. An empty diff has no findings.

        Args:
            diff: the diff, as `git diff` prints it.
            max_parts: the maximum number of files, and of parts of long files, to review.
            system, thinking, max_tokens, …: see `generate`.

        Returns:
            A `Review` with `findings`, each with `path`, `line`, `severity` and `message`. `line`
            is a line number of the new file, within a hunk of the diff.

        Raises:
            InputError: the text is not a diff.

        Example:
            >>> box = Toolbox()
            >>> diff = '''--- a/mail.py
            ... +++ b/mail.py
            ... @@ -12 +12 @@
            ... -connect(timeout=30)
            ... +connect(timeout=0)
            ... '''
            >>> box.review_code(diff).findings[0].line
            12
        """
        from llmtool.tasks.code.subtasks import review_code

        return review_code(self.context, diff, make_options(ReviewOptions, options))

    @list_options(FixOptions)
    def fix_code(
        self,
        code: str,
        error: str | None = None,
        *,
        file: str = "code",
        **options: Unpack[CodeKeywords],
    ) -> Fix:
        """Fix an error in code; no file is written.

        Args:
            code: the text of the whole file.
            error: the error message; None uses the first syntax error.
            file: the name of the file in the patch.
            language, repair, max_tokens, …: see `write_code`.

        Returns:
            A `Fix` with `text`, the fixed file, and `diff`, a patch for `patch -p1`.

        Raises:
            OutputValidationError: the reply contains no code, changes nothing, or was truncated.
            ContextOverflow: the file and its fixed version do not fit in the context.
            UsageError: `error` is None and the syntax is correct.

        Example:
            >>> box = Toolbox()
            >>> print(box.fix_code("def f(x) return x\\n", language="py").diff, end="")
            --- a/code
            +++ b/code
            @@ -1 +1 @@
            -def f(x) return x
            +def f(x): return x
        """
        from llmtool.tasks.code.subtasks import fix_code

        made = make_options(FixOptions, options)
        return fix_code(self.context, code, error, made, file=file)

    @list_options(WriteTestsOptions)
    def write_tests(
        self, code: str, *, framework: str | None = None, **options: Unpack[CodeKeywords]
    ) -> Code:
        """Write tests for code; nothing is run.

        Args:
            code: the code to test.
            framework: the test framework; None uses the most common one of the language.
            language, repair, max_tokens, …: see `write_code`.

        Returns:
            A `Code`; `text` is the test file.

        Example:
            >>> box = Toolbox()
            >>> print(box.write_tests("def half(n): return n / 2", language="py"), end="")
            def test_half():
                assert half(4) == 2
        """
        from llmtool.tasks.code.subtasks import write_tests

        made = make_options(WriteTestsOptions, options)
        return write_tests(self.context, code, made, framework=framework)

    @list_options(CompleteOptions)
    def complete_code(
        self,
        before: str,
        after: str = "",
        *,
        language: str | None = None,
        **sampling: Unpack[CompleteKeywords],
    ) -> Code:
        """Complete code at the cursor, with the model's fill-in-the-middle tokens.

        If the code does not fit in the context, the prompt contains the lines nearest to the
        cursor.

        Args:
            before, after: the code before and after the cursor.
            language: the name, alias or file extension of the language, for the syntax check.
            max_tokens, temperature, …: see `generate`.

        Returns:
            A `Code`; `text` is the code to insert, `status` that of the completed file.

        Raises:
            UsageError: the model has no fill-in-the-middle tokens.

        Example:
            >>> box = Toolbox()
            >>> box.complete_code("def add(a, b):\\n    return ", "\\n").text
            'a + b'
        """
        from llmtool.tasks.code.subtasks import complete_code

        made = make_options(CompleteOptions, sampling)
        return complete_code(self.context, before, after, made, language=language)

    @list_options(CommitOptions)
    def commit_message(
        self, diff: str, *, body: bool = False, **options: Unpack[GenerateKeywords]
    ) -> CommitMessage:
        """Write a commit message for a unified diff of any size.

        Args:
            diff: the diff, as `git diff` prints it.
            body: whether to add a body of bullet points.
            system, max_tokens, …: see `generate`.

        Returns:
            A `CommitMessage` with `subject`, `type(scope): description` of at most 72 characters,
            and `body`.

        Raises:
            InputError: the diff contains no changes.

        Example:
            >>> box = Toolbox()
            >>> diff = '''--- a/mail.py
            ... +++ b/mail.py
            ... @@ -12 +12 @@
            ... -connect(timeout=0)
            ... +connect(timeout=30)
            ... '''
            >>> box.commit_message(diff).subject
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

    @list_options(ChatOptions)
    def chat(
        self,
        *,
        messages: Messages | None = None,
        session: str | None = None,
        save: bool | None = None,
        overflow: OverflowPolicy = "summarize",
        timeout: float | None = None,
        on_note: OnNote | None = None,
        **options: Unpack[ChatKeywords],
    ) -> Chat:
        """Start a conversation, or continue a saved session.

        Args:
            messages: the conversation so far, as for `generate`, for a new session.
            session: the name of the session.
            save: whether to save the conversation after each turn; None saves it if it has a name.
            overflow: what to do with the oldest turns when the context is full, "summarize" or
                "drop".
            timeout: the time limit of each reply in seconds; None means no limit.
            on_note: called with messages, such as that turns were dropped; None logs them as
                warnings of the logger `llmtool`.
            system, template, thinking, variables, max_tokens, …: see `generate`; None uses those of
                the session.

        Returns:
            A `Chat`, which is a context manager; closing it unlocks the session.

        Raises:
            UsageError: an option is unknown or out of range.
            LockedError: another process has the session open.

        Example:
            >>> box = Toolbox()
            >>> with box.chat(system="Be brief.") as chat:
            ...     print(chat.say("Name a river.").text)
            The Danube.
        """
        from llmtool.sessions.store import Sessions
        from llmtool.tasks.chat.chat import Chat

        is_saved = session is not None if save is None else save
        store = Sessions(self.context.folders.data / "sessions") if is_saved else None
        chosen = make_options(ChatOptions, options)
        return Chat(
            self.context,
            chosen,
            messages=messages,
            session=session,
            store=store,
            overflow=overflow,
            timeout=timeout,
            on_note=on_note,
        )
