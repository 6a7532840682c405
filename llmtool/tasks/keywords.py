"""The keyword arguments of the task functions, for type checkers; None takes an option's default.

Written by `scripts/manual.py` from `llmtool/tasks/options.py`: change the options there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, TypedDict

from llmtool.prompts.template import Template
from llmtool.tasks.options import Strategy, Style
from llmtool.tasks.results import TestRun


class SamplingKeywords(TypedDict, total=False):
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


class TextKeywords(SamplingKeywords, total=False):
    system: str | None
    variables: Mapping[str, Any] | None
    thinking: bool | None
    input: str | None
    n: int | None
    prefill: str | None
    grammar: str | None
    regex: str | None
    logprobs: int | None


class TemplateKeywords(TextKeywords, total=False):
    template: str | Template | None


class GenerateKeywords(TemplateKeywords, total=False):
    schema: object | None


class ExplainKeywords(GenerateKeywords, total=False):
    pass


class ReviewKeywords(GenerateKeywords, total=False):
    pass


class CommitKeywords(GenerateKeywords, total=False):
    pass


class ChatKeywords(SamplingKeywords, total=False):
    template: str | Template | None
    system: str | None
    variables: Mapping[str, Any] | None
    thinking: bool | None


class ClassifyKeywords(TypedDict, total=False):
    template: str | Template | None
    system: str | None
    variables: Mapping[str, Any] | None
    examples: Iterable[Any] | None
    min_confidence: float | None
    min_margin: float | None
    min_coverage: float | None
    prior: Mapping[str, float] | None
    calibrate: Literal["auto", "anchors", "balanced", "none"] | None
    form: Literal["chat", "completion"] | None
    overflow: Literal["error", "chunk"] | None
    multi: bool | None


class TranslateKeywords(SamplingKeywords, total=False):
    template: str | Template | None
    system: str | None
    variables: Mapping[str, Any] | None
    thinking: bool | None
    source: str | None
    format: Literal["auto", "txt", "md", "html", "srt", "vtt", "po", "json"] | None
    glossary: Iterable[tuple[str, str]] | Mapping[str, str] | None
    bilingual: bool | None
    strict: bool | None


class SummarizeKeywords(SamplingKeywords, total=False):
    template: str | Template | None
    system: str | None
    variables: Mapping[str, Any] | None
    thinking: bool | None
    length: str | None
    style: Style | None
    focus: str | None
    sections: bool | None
    strategy: Literal["auto", Strategy] | None
    chunk_tokens: int | None


class CodeKeywords(SamplingKeywords, total=False):
    template: str | Template | None
    system: str | None
    variables: Mapping[str, Any] | None
    thinking: bool | None
    language: str | None
    check: bool | None
    repair: int | None
    format: bool | None
    run_tests: Callable[[str], TestRun] | None
    input: str | None


class FixKeywords(CodeKeywords, total=False):
    pass


class WriteTestsKeywords(CodeKeywords, total=False):
    pass


class CompleteKeywords(SamplingKeywords, total=False):
    pass
