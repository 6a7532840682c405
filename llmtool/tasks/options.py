"""What `generate` can be told, declared once for every form of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypedDict

if TYPE_CHECKING:
    from llmtool.prompts.template import Template
    from llmtool.tasks.code.results import TestRun


class SamplingOptions(TypedDict, total=False):
    """How tokens are chosen; None takes the user's setting, then the template's.

    `engine.types.Sampling` says what each does and which values it takes.
    """

    max_tokens: int | None
    temperature: float | None
    top_k: int | None
    top_p: float | None
    min_p: float | None
    repeat_penalty: float | None
    repeat_last_n: int | None
    dry_multiplier: float | None
    dry_base: float | None
    dry_allowed_length: int | None
    seed: int | None
    stop: str | Sequence[str] | None


class GenerateOptions(SamplingOptions, total=False):
    """The options of `Toolbox.generate`, which describes them."""

    input: str | None
    system: str | None
    n: int
    prefill: str
    thinking: bool | None
    template: str | Template
    variables: Mapping[str, Any] | None
    schema: object
    grammar: str | None
    regex: str | None
    logprobs: int


class ChatOptions(SamplingOptions, total=False):
    """The options of `Chat`, which describes them."""

    system: str | None
    template: str | Template | None
    thinking: bool | None
    variables: Mapping[str, Any] | None


class ClassifyOptions(TypedDict, total=False):
    """The options of `Toolbox.classify`, which describes them."""

    examples: Iterable[Any] | None
    template: str | Template
    system: str | None
    variables: Mapping[str, Any] | None
    min_confidence: float | None
    min_margin: float | None
    min_coverage: float | None
    prior: Mapping[str, float] | None
    calibrate: str
    form: str | None
    overflow: str
    multi: bool


class TranslateOptions(SamplingOptions, total=False):
    """The options of `Toolbox.translate`, which describes them."""

    source: str | None
    format: str
    glossary: Iterable[tuple[str, str]] | Mapping[str, str] | None
    bilingual: bool
    strict: bool
    template: str | Template
    system: str | None
    variables: Mapping[str, Any] | None
    thinking: bool | None


class SummarizeOptions(SamplingOptions, total=False):
    """The options of `Toolbox.summarize`, which describes them."""

    length: str
    style: str
    focus: str | None
    sections: bool
    strategy: str
    chunk_tokens: int | None
    template: str | Template | None
    system: str | None
    variables: Mapping[str, Any] | None
    thinking: bool | None


class CodeOptions(SamplingOptions, total=False):
    """The options of `Toolbox.write_code`, which describes them."""

    language: str | None
    check: bool
    repair: int
    format: bool
    run_tests: Callable[[str], TestRun] | None
    input: str | None
    system: str | None
    thinking: bool | None
    template: str | Template
    variables: Mapping[str, Any] | None
