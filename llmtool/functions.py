"""The function library: the tasks as functions on the configured model, which is loaded once.

Importing this module loads nothing heavy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, overload

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator

    from typing_extensions import Unpack

    from llmtool.engine.types import Token
    from llmtool.errors import LlmtoolError
    from llmtool.tasks.chat.chat import Chat
    from llmtool.tasks.classify.labels import Labels
    from llmtool.tasks.code.results import Code, CommitMessage, Fix, Review
    from llmtool.tasks.generate.template import CaseValues
    from llmtool.tasks.keywords import (
        ClassifyKeywords,
        CodeKeywords,
        GenerateKeywords,
        SummarizeKeywords,
        TranslateKeywords,
    )
    from llmtool.tasks.results import Classification, Generation, Summary, Translation
    from llmtool.tasks.summarize.map_reduce import SummaryProgress, SummaryText
    from llmtool.tasks.translate.document import TranslationText
    from llmtool.toolbox import Toolbox

_default: Toolbox | None = None


if TYPE_CHECKING:

    @overload
    def generate(prompt: str, **options: Unpack[GenerateKeywords]) -> Generation: ...
    @overload
    def generate(
        prompt: Iterator[str], **options: Unpack[GenerateKeywords]
    ) -> Iterator[Generation]: ...
    @overload
    def generate(
        prompt: list[str] | tuple[str, ...], **options: Unpack[GenerateKeywords]
    ) -> list[Generation]: ...


def generate(prompt: Any, **options: Any) -> Any:
    """Let the configured model reply to `prompt`, or to each of several.

    Takes the options of `Toolbox.generate` (`input`, `system`, `n`, `prefill`, `thinking`,
    `template`, `variables`; `schema`, `grammar` or `regex`, which the reply must follow;
    `logprobs`; and sampling: `max_tokens`, `temperature`, `top_k`, `top_p`, `min_p`,
    `repeat_penalty`, `seed`, `stop`) and raises what it raises. Returns a `Generation`, a list of
    them for a sequence of prompts, or an iterator for an iterator; `str()` of one is its text.

    Example:
        >>> reply = llmtool.generate("Name a colour.", max_tokens=8)    # doctest: +SKIP
        >>> reply.text, reply.finish_reason                             # doctest: +SKIP
        ('Blue.', 'stop')
        >>> llmtool.generate("A person", schema="name, age int").value  # doctest: +SKIP
        {'name': 'Ada', 'age': 36}
    """
    return _default_toolbox().generate(prompt, **options)


def stream_generate(
    prompt: str, **options: Unpack[GenerateKeywords]
) -> Iterator[Token | Generation]:
    """Like `generate` for one prompt, but yield each `Token`, then the `Generation`."""
    return _default_toolbox().stream_generate(prompt, **options)


async def agenerate(prompt: Any, **options: Any) -> Any:
    """`generate` for asyncio, of a prompt or a list; calls at once are made one after another."""
    return await _default_toolbox().agenerate(prompt, **options)


def astream_generate(
    prompt: str, **options: Unpack[GenerateKeywords]
) -> AsyncIterator[Token | Generation]:
    """`stream_generate` for asyncio."""
    return _default_toolbox().astream_generate(prompt, **options)


if TYPE_CHECKING:

    @overload
    def classify(
        text: str, labels: Labels | None = None, **options: Unpack[ClassifyKeywords]
    ) -> Classification: ...
    @overload
    def classify(
        text: Iterator[str], labels: Labels | None = None, **options: Unpack[ClassifyKeywords]
    ) -> Iterator[Classification]: ...
    @overload
    def classify(
        text: list[str] | tuple[str, ...],
        labels: Labels | None = None,
        **options: Unpack[ClassifyKeywords],
    ) -> list[Classification]: ...


def classify(text: Any, labels: Any = None, **options: Any) -> Any:
    """Say which label fits a text, or each of several, by the model's own probabilities.

    `labels` are names, a mapping of names to descriptions, an Enum class or `bool`. Takes the
    options of `Toolbox.classify` (`examples`, `template`, `system`, `variables`, `min_confidence`,
    `min_margin`, `min_coverage`, `prior`, `calibrate`) and raises what it raises. Returns a
    `Classification`, a list of them for a sequence of texts, or an iterator for an iterator;
    `str()` of one is the label.

    Example:
        >>> llmtool.classify("I was charged twice", ["billing", "bug"]).label   # doctest: +SKIP
        'billing'
    """
    return _default_toolbox().classify(text, labels, **options)


async def aclassify(
    text: Any, labels: Labels | None = None, **options: Unpack[ClassifyKeywords]
) -> Any:
    """`classify` for asyncio, of a text or a list."""
    return await _default_toolbox().aclassify(text, labels, **options)


if TYPE_CHECKING:

    @overload
    def run(
        template: str, *, options: GenerateKeywords | None = None, **inputs: Any
    ) -> Generation | Classification: ...
    @overload
    def run(
        template: str,
        cases: Iterator[CaseValues],
        *,
        options: GenerateKeywords | None = None,
        **inputs: Any,
    ) -> Iterator[Generation | Classification]: ...
    @overload
    def run(
        template: str,
        cases: list[Any] | tuple[Any, ...],
        *,
        options: GenerateKeywords | None = None,
        **inputs: Any,
    ) -> list[Generation | Classification]: ...


def run(
    template: str, cases: Any = None, *, options: GenerateKeywords | None = None, **inputs: Any
) -> Any:
    """Run a prompt template on values for its inputs, or on each of several cases.

    Cases are mappings of such values, or texts for the template's material. Returns a
    `Classification` where the template's output is labels, else a `Generation`; a list of them for
    a sequence of cases, or an iterator for an iterator. See `Toolbox.run`.

    Example:
        >>> llmtool.run("title", text="Rain is expected all week.").text    # doctest: +SKIP
        'A Week of Rain'
    """
    return _default_toolbox().run(template, cases, options=options, **inputs)


async def arun(
    template: str, cases: Any = None, *, options: GenerateKeywords | None = None, **inputs: Any
) -> Any:
    """`run` for asyncio, of one case or a list."""
    return await _default_toolbox().arun(template, cases, options=options, **inputs)


def run_each(
    template: str,
    cases: Iterable[CaseValues],
    *,
    options: GenerateKeywords | None = None,
    **inputs: Any,
) -> Iterator[Generation | Classification | LlmtoolError]:
    """Like `run` on many cases, but a case that fails yields its error and the rest goes on."""
    return _default_toolbox().run_each(template, cases, options=options, **inputs)


if TYPE_CHECKING:

    @overload
    def summarize(text: str, **options: Unpack[SummarizeKeywords]) -> Summary: ...
    @overload
    def summarize(
        text: Iterator[str], **options: Unpack[SummarizeKeywords]
    ) -> Iterator[Summary]: ...
    @overload
    def summarize(
        text: list[str] | tuple[str, ...], **options: Unpack[SummarizeKeywords]
    ) -> list[Summary]: ...


def summarize(text: Any, **options: Any) -> Any:
    """Summarize a text of any length, or each of several.

    Takes the options of `Toolbox.summarize` (`length`, `style`, `focus`, `sections`, `strategy`,
    `chunk_tokens`, `template`, `variables`, and those of sampling) and raises what it raises.
    Returns a `Summary`, a list of them for a sequence of texts, or an iterator for an iterator;
    `str()` of one is its text.

    Example:
        >>> print(llmtool.summarize(report, length="100 words"))        # doctest: +SKIP
        The library of Marbury closes for repairs from March to June. …
    """
    return _default_toolbox().summarize(text, **options)


def stream_summarize(
    text: str, **options: Unpack[SummarizeKeywords]
) -> Iterator[SummaryText | SummaryProgress | Summary]:
    """Like `summarize` for one text, but yield pieces and progress, then the `Summary`."""
    return _default_toolbox().stream_summarize(text, **options)


async def asummarize(text: Any, **options: Unpack[SummarizeKeywords]) -> Any:
    """`summarize` for asyncio, of a text or a list."""
    return await _default_toolbox().asummarize(text, **options)


if TYPE_CHECKING:

    @overload
    def translate(text: str, to: str, **options: Unpack[TranslateKeywords]) -> Translation: ...
    @overload
    def translate(
        text: Iterator[str], to: str, **options: Unpack[TranslateKeywords]
    ) -> Iterator[Translation]: ...
    @overload
    def translate(
        text: list[str] | tuple[str, ...], to: str, **options: Unpack[TranslateKeywords]
    ) -> list[Translation]: ...


def translate(text: Any, to: str, **options: Any) -> Any:
    """Translate a text or document, or each of several, into a language; its structure stays.

    Takes the options of `Toolbox.translate` (`source`, `format`, `glossary`, `bilingual`, `strict`,
    `template`, `variables`, and those of sampling) and raises what it raises. Returns a
    `Translation`, a list of them for a sequence of texts, or an iterator for an iterator; `str()`
    of one is its text.

    Example:
        >>> str(llmtool.translate("See `ls` and {name}.", "French"))    # doctest: +SKIP
        'Voir `ls` et {name}.'
    """
    return _default_toolbox().translate(text, to, **options)


def stream_translate(
    text: str, to: str, **options: Unpack[TranslateKeywords]
) -> Iterator[TranslationText | Translation]:
    """Like `translate` for one text, but yield each `TranslationText`, then the `Translation`."""
    return _default_toolbox().stream_translate(text, to, **options)


async def atranslate(text: Any, to: str, **options: Unpack[TranslateKeywords]) -> Any:
    """`translate` for asyncio, of a text or a list."""
    return await _default_toolbox().atranslate(text, to, **options)


if TYPE_CHECKING:

    @overload
    def write_code(request: str, **options: Unpack[CodeKeywords]) -> Code: ...
    @overload
    def write_code(request: Iterator[str], **options: Unpack[CodeKeywords]) -> Iterator[Code]: ...
    @overload
    def write_code(
        request: list[str] | tuple[str, ...], **options: Unpack[CodeKeywords]
    ) -> list[Code]: ...


def write_code(request: Any, **options: Any) -> Any:
    """Write code from words, or for each of several requests, and see to it that it parses.

    Takes the options of `Toolbox.write_code` (`language`, `check`, `repair`, `format`, `input`,
    `run_tests`, and sampling) and raises what it raises. Returns a `Code`, a list of them for a
    sequence, or an iterator for an iterator; `str()` of one is the code. Nothing is run.

    Example:
        >>> llmtool.write_code("a function is_even(n)", language="py").status    # doctest: +SKIP
        'ok'
    """
    return _default_toolbox().write_code(request, **options)


async def awrite_code(request: Any, **options: Any) -> Any:
    """`write_code` for asyncio, of one request or a list."""
    return await _default_toolbox().awrite_code(request, **options)


def complete_code(
    before: str, after: str = "", *, language: str | None = None, **sampling: Any
) -> Code:
    """Fill the gap between two texts, with the model's own tokens for that."""
    return _default_toolbox().complete_code(before, after, language=language, **sampling)


def explain_code(code: str, **options: Unpack[GenerateKeywords]) -> Generation:
    """Say in words what some code does."""
    return _default_toolbox().explain_code(code, **options)


def fix_code(
    code: str, error: str | None = None, *, file: str = "code", **options: Unpack[CodeKeywords]
) -> Fix:
    """Mend code that fails: the result has it, and a patch that leads to it."""
    return _default_toolbox().fix_code(code, error, file=file, **options)


def review_code(diff: str, **options: Unpack[GenerateKeywords]) -> Review:
    """Say what is wrong in a unified diff, and in which lines."""
    return _default_toolbox().review_code(diff, **options)


def write_tests(
    code: str, *, framework: str | None = None, **options: Unpack[CodeKeywords]
) -> Code:
    """Write tests for code; they are not run."""
    return _default_toolbox().write_tests(code, framework=framework, **options)


def commit_message(
    diff: str, *, body: bool = False, **options: Unpack[GenerateKeywords]
) -> CommitMessage:
    """Write a commit message, `type(scope): what`, for a unified diff."""
    return _default_toolbox().commit_message(diff, body=body, **options)


def chat(**options: Any) -> Chat:
    """Start a conversation with the configured model; see `Toolbox.chat`."""
    return _default_toolbox().chat(**options)


def _default_toolbox() -> Toolbox:
    """Return the toolbox of the package's functions, made when it is first needed."""
    global _default
    if _default is None:
        from llmtool.toolbox import Toolbox

        _default = Toolbox()
    return _default
