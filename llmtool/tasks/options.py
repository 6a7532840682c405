"""Task options: one frozen record per task, passed unchanged from the command line to the task.

The methods of `Toolbox` document them, those of `ChatOptions` are in `Toolbox.chat`.

They are msgspec structs because msgspec is imported anyway and a struct takes 14 µs to define. A
dataclass takes 1.2 ms, plus 5 ms to import `dataclasses`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import msgspec

from llmtool.arguments import check_argument, unknown_option
from llmtool.engine.types import Effort
from llmtool.errors import UsageError
from llmtool.file_kinds import Dialect, Format
from llmtool.option_names import option
from llmtool.tasks.results import Strategy as Strategy
from llmtool.tasks.results import TestRun

if TYPE_CHECKING:
    from llmtool.prompts.template import Template

MAX_REPLIES = 1000  # to one prompt
Style = Literal["paragraph", "bullets", "headline", "tldr"]


class _Options(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    def __post_init__(self) -> None:
        # msgspec omits a default only if it is the same object, but equal options must be equal in
        # the keys of rows and caches.
        for name, default in zip(self.__struct_fields__, self.__struct_defaults__, strict=True):
            value = getattr(self, name)
            if value is not default and type(value) is type(default) and value == default:
                msgspec.structs.force_setattr(self, name, default)


class SamplingOptions(_Options, frozen=True, kw_only=True):
    """How tokens are chosen; None means the user's setting, else the template's.

    `engine.types.Sampling` describes each option and its range.
    """

    max_tokens: int | None = None
    think_tokens: int | None = None
    temperature: float | None = None
    top_k: int | None = None
    typical_p: float | None = None
    top_p: float | None = None
    min_p: float | None = None
    xtc_probability: float | None = None
    xtc_threshold: float | None = None
    repeat_penalty: float | None = None
    repeat_last_n: int | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    logit_bias: Mapping[int | str, float] | None = None
    dry_multiplier: float | None = None
    dry_base: float | None = None
    dry_allowed_length: int | None = None
    seed: int | None = None
    stop: str | Sequence[str] | None = None


class PromptOptions(_Options, frozen=True, kw_only=True):
    """The template, its system prompt, and the values of its inputs."""

    template: str | Template = ""  # "" means the task's default
    system: str | None = None
    variables: Mapping[str, Any] = {}


class ReplyOptions(PromptOptions, frozen=True, kw_only=True):
    """A prompt, and how to generate the reply."""

    thinking: bool | Effort | None = None
    sampling: SamplingOptions = SamplingOptions()

    @property
    def requests_reasoning(self) -> bool:
        return bool(self.sampling.think_tokens if self.thinking is None else self.thinking)


class GenerateOptions(ReplyOptions, frozen=True, kw_only=True):
    template: str | Template = "gen"
    input: str | None = None
    n: int = 1
    prefill: str = ""
    schema: object = None
    grammar: str | None = None
    regex: str | None = None
    retries: int = 0
    logprobs: int = 0
    echo: bool = False
    raw: bool = False
    lora: str | Sequence[str] | None = None


class ExplainOptions(GenerateOptions, frozen=True, kw_only=True):
    template: str | Template = "code-explain"


class ReviewOptions(GenerateOptions, frozen=True, kw_only=True):
    template: str | Template = "review-hunk"
    max_parts: int = 100


class CommitOptions(GenerateOptions, frozen=True, kw_only=True):
    template: str | Template = "commit"


class ChatOptions(ReplyOptions, frozen=True, kw_only=True):
    pass


class ClassifyOptions(PromptOptions, frozen=True, kw_only=True):
    examples: Iterable[Any] | None = None
    min_confidence: float | None = None
    min_margin: float | None = None
    min_coverage: float | None = None
    prior: Mapping[Any, float] | None = None
    calibrate: Literal["auto", "anchors", "balanced", "none"] = "auto"
    form: Literal["chat", "completion"] | None = None
    overflow: Literal["error", "chunk"] = "error"
    multi: bool = False


class TranslateOptions(ReplyOptions, frozen=True, kw_only=True):
    template: str | Template = "translate"
    source: str = "auto"
    format: Literal["auto", Format] = "auto"
    dialect: Dialect = "auto"
    glossary: Iterable[tuple[str, str]] | Mapping[str, str] = ()
    bilingual: bool = False
    protect: Iterable[str] = ()
    mark: Literal["fuzzy", "comment"] | None = None
    update: str | None = None
    context: bool | None = None
    strict: bool = False


class SummarizeOptions(ReplyOptions, frozen=True, kw_only=True):
    length: str = "medium"
    style: Style = "paragraph"
    focus: str | None = None
    sections: bool = False
    strategy: Literal["auto", Strategy] = "auto"
    chunk_tokens: int = 1024  # of sentences in a request
    cite: bool = False


class CodeOptions(ReplyOptions, frozen=True, kw_only=True):
    template: str | Template = "code"
    language: str | None = None
    check: bool = True
    repair: int = 2
    format: bool = True
    run_tests: Callable[[str], TestRun] | None = None
    input: str | None = None


class FixOptions(CodeOptions, frozen=True, kw_only=True):
    template: str | Template = "code-fix"
    format: bool = False  # so that the patch contains only the fix


class WriteTestsOptions(CodeOptions, frozen=True, kw_only=True):
    template: str | Template = "code-tests"


class CompleteOptions(SamplingOptions, frozen=True, kw_only=True):
    max_tokens: int | None = 128
    temperature: float | None = 0.0


_STREAMS = {
    "GenerateOptions": "stream_generate",
    "SummarizeOptions": "stream_summarize",
    "TranslateOptions": "stream_translate",
    "ChatOptions": "Chat.stream",
}
_TOOLBOX_OPTIONS = ("model", "n_ctx", "n_threads", "n_gpu_layers", "n_parallel", "chat_template")
O = TypeVar("O", bound=_Options)  # noqa: E741


@lru_cache(maxsize=32)
def annotations_of(kind: type[msgspec.Struct]) -> dict[str, str]:
    """Return the annotation of each field, as text."""
    return {
        name: text
        for base in reversed(kind.__mro__)
        for name, text in base.__dict__.get("__annotations__", {}).items()
    }


def make_options(kind: type[O], keywords: Mapping[str, Any]) -> O:
    """Return options from the keyword arguments of a call; None means the default.

    Raises:
        UsageError: a keyword is not an option of the task, or its value is of the wrong type.

    Example:
        >>> make_options(ChatOptions, {"system": "Be brief.", "seed": 1}).sampling.seed
        1
    """
    own = [name for name in kind.__struct_fields__ if name != "sampling"]
    sampling = SamplingOptions.__struct_fields__ if "sampling" in kind.__struct_fields__ else ()
    for name in keywords:
        if name not in own and name not in sampling:
            more = ("timeout",) if kind is ChatOptions else ()  # of `Chat.say` and others
            raise unknown_task_option(name, kind, [*own, *sampling, *more])
    types = {**annotations_of(kind), **(annotations_of(SamplingOptions) if sampling else {})}
    given: dict[str, Any] = {
        name: check_argument(name, value, types[name])
        for name, value in keywords.items()
        if value is not None
    }
    values = {name: value for name, value in given.items() if name in own}
    if sampling:
        chosen = {name: value for name, value in given.items() if name not in own}
        values["sampling"] = SamplingOptions(**chosen)
    return kind(**values)


def unknown_task_option(
    name: str, kind: type[msgspec.Struct], known: Sequence[str], *, positional: Sequence[str] = ()
) -> UsageError:
    """Return the error for a keyword that is not an option of a task; see `unknown_option`."""

    def instead(ours: str) -> str:
        if ours == "stream":
            function = _STREAMS.get(kind.__name__)
            return f"use {function}" if function else "this function does not stream"
        if ours == "timeout":
            return "pass it to the function itself"
        return f"pass {option(ours)} to llmtool.Toolbox" if ours in _TOOLBOX_OPTIONS else ""

    return unknown_option(name, known, positional=positional, instead=instead)


def keywords_of(options: _Options) -> dict[str, Any]:
    """Return the options that differ from their defaults, as keyword arguments."""
    found = {}
    default = type(options)()
    for name, value in msgspec.structs.asdict(options).items():
        if name == "sampling":
            found.update(keywords_of(value))
        elif value != getattr(default, name):
            found[name] = value
    return found


def generate_options(options: ReplyOptions, *, template: str | Template) -> GenerateOptions:
    """Return options of `generate` for a template that is part of another task."""
    return GenerateOptions(
        template=template,
        system=options.system,
        variables=options.variables,
        thinking=options.thinking,
        sampling=options.sampling,
    )
