"""Local language models as a command-line toolbox and a function library.

    >>> import llmtool                                      # doctest: +SKIP
    >>> print(llmtool.generate("Name three rivers."))       # doctest: +SKIP

The functions use the configured model, loaded once; `llmtool.Toolbox(model=...)` has the same
methods on a model of one's own. Importing this package loads nothing heavy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, overload

__version__ = "0.1.0"

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator

    from typing_extensions import Unpack

    from llmtool.engine.types import Token, TokenLogprob
    from llmtool.errors import ContractError, LlmtoolError
    from llmtool.tasks.coding.results import Code, CommitMessage, Finding, Fix, Review
    from llmtool.tasks.options import ClassifyOptions, CodeOptions, GenerateOptions
    from llmtool.tasks.results import Choice, Classification, Generation
    from llmtool.tasks.run import CaseValues
    from llmtool.tasks.scoring.labels import Labels
    from llmtool.toolbox import Toolbox

__all__ = [
    "Choice",
    "Classification",
    "Code",
    "CommitMessage",
    "ContractError",
    "Finding",
    "Fix",
    "Generation",
    "LlmtoolError",
    "Review",
    "Token",
    "TokenLogprob",
    "Toolbox",
    "aclassify",
    "agenerate",
    "arun",
    "astream_generate",
    "awrite_code",
    "classify",
    "commit_message",
    "complete_code",
    "explain_code",
    "fix_code",
    "generate",
    "review_code",
    "run",
    "run_each",
    "stream_generate",
    "write_code",
    "write_tests",
]

_HOMES = {
    "Choice": "llmtool.tasks.results",
    "Classification": "llmtool.tasks.results",
    "Code": "llmtool.tasks.coding.results",
    "CommitMessage": "llmtool.tasks.coding.results",
    "ContractError": "llmtool.errors",
    "Finding": "llmtool.tasks.coding.results",
    "Fix": "llmtool.tasks.coding.results",
    "Generation": "llmtool.tasks.results",
    "LlmtoolError": "llmtool.errors",
    "Review": "llmtool.tasks.coding.results",
    "Token": "llmtool.engine.types",
    "TokenLogprob": "llmtool.engine.types",
    "Toolbox": "llmtool.toolbox",
}
_default: Toolbox | None = None


if TYPE_CHECKING:

    @overload
    def generate(prompt: str, **options: Unpack[GenerateOptions]) -> Generation: ...
    @overload
    def generate(
        prompt: Iterator[str], **options: Unpack[GenerateOptions]
    ) -> Iterator[Generation]: ...
    @overload
    def generate(
        prompt: list[str] | tuple[str, ...], **options: Unpack[GenerateOptions]
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
    prompt: str, **options: Unpack[GenerateOptions]
) -> Iterator[Token | Generation]:
    """Like `generate` for one prompt, but yield each `Token`, then the `Generation`."""
    return _default_toolbox().stream_generate(prompt, **options)


async def agenerate(prompt: Any, **options: Any) -> Any:
    """`generate` for asyncio, of a prompt or a list; calls at once are made one after another."""
    return await _default_toolbox().agenerate(prompt, **options)


def astream_generate(
    prompt: str, **options: Unpack[GenerateOptions]
) -> AsyncIterator[Token | Generation]:
    """`stream_generate` for asyncio."""
    return _default_toolbox().astream_generate(prompt, **options)


if TYPE_CHECKING:

    @overload
    def classify(
        text: str, labels: Labels | None = None, **options: Unpack[ClassifyOptions]
    ) -> Classification: ...
    @overload
    def classify(
        text: Iterator[str], labels: Labels | None = None, **options: Unpack[ClassifyOptions]
    ) -> Iterator[Classification]: ...
    @overload
    def classify(
        text: list[str] | tuple[str, ...],
        labels: Labels | None = None,
        **options: Unpack[ClassifyOptions],
    ) -> list[Classification]: ...


def classify(text: Any, labels: Any = None, **options: Any) -> Any:
    """Say which label fits a text, or each of several, by the model's own probabilities.

    `labels` are names, a mapping of names to descriptions, an Enum class or `bool`. Takes the
    options of `Toolbox.classify` (`examples`, `template`, `system`, `variables`, `min_confidence`,
    `prior`, `calibrate`) and raises what it raises. Returns a `Classification`, a list of them for
    a sequence of texts, or an iterator for an iterator; `str()` of one is the label.

    Example:
        >>> llmtool.classify("I was charged twice", ["billing", "bug"]).label   # doctest: +SKIP
        'billing'
    """
    return _default_toolbox().classify(text, labels, **options)


async def aclassify(
    text: Any, labels: Labels | None = None, **options: Unpack[ClassifyOptions]
) -> Any:
    """`classify` for asyncio, of a text or a list."""
    return await _default_toolbox().aclassify(text, labels, **options)


if TYPE_CHECKING:

    @overload
    def run(
        template: str, *, options: GenerateOptions | None = None, **inputs: Any
    ) -> Generation | Classification: ...
    @overload
    def run(
        template: str,
        cases: Iterator[CaseValues],
        *,
        options: GenerateOptions | None = None,
        **inputs: Any,
    ) -> Iterator[Generation | Classification]: ...
    @overload
    def run(
        template: str,
        cases: list[Any] | tuple[Any, ...],
        *,
        options: GenerateOptions | None = None,
        **inputs: Any,
    ) -> list[Generation | Classification]: ...


def run(
    template: str, cases: Any = None, *, options: GenerateOptions | None = None, **inputs: Any
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
    template: str, cases: Any = None, *, options: GenerateOptions | None = None, **inputs: Any
) -> Any:
    """`run` for asyncio, of one case or a list."""
    return await _default_toolbox().arun(template, cases, options=options, **inputs)


def run_each(
    template: str,
    cases: Iterable[CaseValues],
    *,
    options: GenerateOptions | None = None,
    **inputs: Any,
) -> Iterator[Generation | Classification | LlmtoolError]:
    """Like `run` on many cases, but a case that fails yields its error and the rest goes on."""
    return _default_toolbox().run_each(template, cases, options=options, **inputs)


if TYPE_CHECKING:

    @overload
    def write_code(request: str, **options: Unpack[CodeOptions]) -> Code: ...
    @overload
    def write_code(request: Iterator[str], **options: Unpack[CodeOptions]) -> Iterator[Code]: ...
    @overload
    def write_code(
        request: list[str] | tuple[str, ...], **options: Unpack[CodeOptions]
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


def explain_code(code: str, **options: Unpack[GenerateOptions]) -> Generation:
    """Say in words what some code does."""
    return _default_toolbox().explain_code(code, **options)


def fix_code(
    code: str, error: str | None = None, *, file: str = "code", **options: Unpack[CodeOptions]
) -> Fix:
    """Mend code that fails: the result has it, and a patch that leads to it."""
    return _default_toolbox().fix_code(code, error, file=file, **options)


def review_code(diff: str, **options: Unpack[GenerateOptions]) -> Review:
    """Say what is wrong in a unified diff, and in which lines."""
    return _default_toolbox().review_code(diff, **options)


def write_tests(code: str, *, framework: str | None = None, **options: Unpack[CodeOptions]) -> Code:
    """Write tests for code; they are not run."""
    return _default_toolbox().write_tests(code, framework=framework, **options)


def commit_message(
    diff: str, *, body: bool = False, **options: Unpack[GenerateOptions]
) -> CommitMessage:
    """Write a commit message, `type(scope): what`, for a unified diff."""
    return _default_toolbox().commit_message(diff, body=body, **options)


def __getattr__(name: str) -> Any:
    import importlib

    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'llmtool' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]


def _default_toolbox() -> Toolbox:
    """Return the toolbox of the package's functions, made when it is first needed."""
    global _default
    if _default is None:
        from llmtool.toolbox import Toolbox

        _default = Toolbox()
    return _default
