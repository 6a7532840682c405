"""The results of the tasks: frozen records, which `--json` prints as `to_dict()`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Generic, Literal

import msgspec
from msgspec import UNSET

from llmtool.engine.types import FinishReason, ScoringMethod, TokenLogprob, Usage
from llmtool.short_repr import short_repr

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    T = TypeVar("T", default=Any)  # a reply's value
    L = TypeVar("L", default=Any)  # a label
else:
    from typing import TypeVar

    T, L = TypeVar("T"), TypeVar("L")

Strategy = Literal["extract", "write", "stuff"]
NO_USAGE = Usage(prompt_tokens=0, cached_tokens=0, completion_tokens=0)


def total_usage(usages: Iterable[Usage]) -> Usage:
    """Return the sum of token counts and costs."""
    names, all_usages = Usage.__struct_fields__, list(usages)
    costs = [each.cost for each in all_usages if each.cost is not UNSET]
    counts = {
        name: sum(getattr(each, name) for each in all_usages) for name in names if name != "cost"
    }
    return Usage(**counts, cost=sum(costs) if costs else UNSET)


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """The base of all results. `str(result)` is its text; `usage` sums tokens over all requests."""

    text: str
    if TYPE_CHECKING:  # each subclass declares these itself, in the order that `--json` prints
        model: str
        usage: Usage
        seconds: float
        warnings: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.text

    __repr__ = short_repr("text")

    def _repr_markdown_(self) -> str:
        """Return the result as Markdown for a notebook; see `safe_markdown`."""
        from llmtool.text.notebook import safe_markdown

        return safe_markdown(self.text)

    def to_dict(self) -> dict[str, Any]:
        """Return plain dictionaries, lists, strings and numbers, ready for JSON."""
        value: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(self, enc_hook=_plain))
        return value

    def row(self) -> dict[str, Any]:
        """Return the values that a batch writes for this result, by column."""
        raise NotImplementedError


def _plain(value: object) -> object:
    """Return a pydantic model as a dictionary; msgspec encodes structs and dataclasses itself."""
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json", by_alias=True)
    raise NotImplementedError(f"a value of type {type(value).__name__} cannot be converted to JSON")


class Abstention(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a fixed reply replaced the model's, because inputs do not support it.

    `score` is the share of the information in `text`, the model's reply, that the inputs explain,
    less the same share of the fixed reply; it is None if the text is empty. Below `threshold`, or
    if it is the fixed reply, the text is replaced.
    """

    abstained: bool
    score: float | None
    threshold: float
    text: str


class Choice(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """One of the replies to a prompt; `reasoning` is None if the model did not reason.

    With a schema, `value` is the parsed text, and `error` the reason why the text is invalid.
    `tries` counts the replies up to this one, at most 1 + `retries`. `logprobs` are the tokens of
    the text, None unless requested; with a schema, also the white space that `text` omits.
    `abstention` is set if the template has `abstain`.
    """

    text: str
    value: T | None = None
    error: str | None = None
    reasoning: str | None
    finish_reason: FinishReason
    seed: int
    tries: int = 1
    logprobs: tuple[TokenLogprob, ...] | None = None
    abstention: Abstention | None = None

    __repr__ = short_repr("text", "finish_reason", "seed")

    def __str__(self) -> str:
        return self.text


class Timing(msgspec.Struct, frozen=True, kw_only=True):
    """Wall-clock times of a call, in seconds; `first_token` counts from the start of the call.

    `setup` is the time for input, files and templates, before the model is loaded or between
    loading and prefill. Choices are decoded in parallel, so their times overlap in `decode`.
    """

    setup: float
    load: float
    context: float
    prefill: float
    decode: float
    first_token: float | None


class Generation(Result, Generic[T], frozen=True, kw_only=True):
    """The result of `generate`.

    `text`, `value` and `tries` are those of the first of the `choices`. `usage` sums the tokens of
    all choices and tries; `seconds` is the duration of the call. `warnings` are messages for the
    user. `prompt_logprobs` are the tokens of the prompt, None without `echo`.
    """

    value: T
    choices: tuple[Choice[T], ...]
    model: str
    usage: Usage
    seconds: float
    timing: Timing
    finish_reason: FinishReason
    seed: int
    tries: int = 1
    warnings: tuple[str, ...] = ()
    prompt_logprobs: tuple[TokenLogprob, ...] | None = None

    __repr__ = short_repr("text", "finish_reason", "seed")

    def _repr_markdown_(self) -> str:
        from llmtool.text.notebook import code_block, safe_markdown

        texts = [
            safe_markdown(choice.text) if choice.value is None else code_block(choice.text, "json")
            for choice in self.choices
        ]
        return "\n\n---\n\n".join(texts)

    def row(self) -> dict[str, Any]:
        """Return `text`, `texts`, `value` and `tries` (if any), `finish_reason` and `seed`.

        With a template that has `abstain`, also `abstained` and its `score`. With `logprobs` and
        `echo`, also `logprobs` (of the first reply) and `prompt_logprobs`.
        """
        row: dict[str, Any] = {"text": self.text}
        if len(self.choices) > 1:
            row["texts"] = [choice.text for choice in self.choices]
        if self.value is not None:
            row["value"] = self.to_dict()["value"]
        if self.tries > 1:
            row["tries"] = self.tries
        if (abstention := self.choices[0].abstention) is not None:
            row |= {"abstained": abstention.abstained, "score": abstention.score}
        if self.choices[0].logprobs is not None:
            row["logprobs"] = msgspec.to_builtins(self.choices[0].logprobs)
        if self.prompt_logprobs is not None:
            row["prompt_logprobs"] = msgspec.to_builtins(self.prompt_logprobs)
        return {**row, "finish_reason": self.finish_reason, "seed": self.seed}


class LabelRecipe(msgspec.Struct, frozen=True, kw_only=True):
    """How examples were used: the recipe that labels them best, by cross-validation.

    `accuracy` is the share of right labels among `n_examples`, each labelled without its own help.
    """

    name: str
    accuracy: float
    n_examples: int


class Classification(Result, Generic[L], frozen=True, kw_only=True):
    """The result of `classify`.

    `text` is the name of the label. If the text gets no label, `label` is None, `text` is "", and
    `reason` explains why. With `multi`, `label` is None, `labels` has all labels that fit, and
    `text` their names, one per line.

    `scores` are by name and add up to 1, except with `multi`. `logprobs` are the log-probabilities
    from the model, to which `bias` was added. `coverage` is the total probability of the labels; a
    low value means that the model expected another reply. `scoring` is "top-k" if a server reports
    only its most likely tokens, and otherwise "exact". With `near_tie`, another label is almost as
    likely (with `multi`, a score is close to its threshold). `recipe` is None without examples.
    """

    label: L | None
    labels: tuple[L, ...] | None = None
    score: float
    scores: dict[str, float]
    reason: str | None = None
    coverage: float
    scoring: ScoringMethod = "exact"
    logprobs: dict[str, float]
    bias: dict[str, float]
    form: str
    calibrated: bool = False
    near_tie: bool = False
    recipe: LabelRecipe | None = None
    model: str
    usage: Usage
    seconds: float
    warnings: tuple[str, ...] = ()

    __repr__ = short_repr("label", "score", "labels", "reason")

    def _repr_markdown_(self) -> str:
        from llmtool.text.notebook import table

        rows = sorted(self.scores.items(), key=lambda item: -item[1])
        cells = [(name, f"{score:.3f}") for name, score in rows]
        return table(("label", "score"), cells)

    def row(self) -> dict[str, Any]:
        """Return `label` and `score` (or `labels`), `scores` and `near_tie`."""
        scores = {name: round(score, 4) for name, score in self.scores.items()}
        common = {"scores": scores, "near_tie": self.near_tie}
        if self.labels is not None:
            return {"labels": self.text.splitlines(), **common}
        return {"label": self.text or None, "score": round(self.score, 4), **common}


class SummarySentence(msgspec.Struct, frozen=True, kw_only=True):
    """A sentence of a summary, with its source from `start` to `end` in characters of the text.

    A "quoted" sentence is one of the text, apart from white space and markup; a "written" one is
    the model's.
    """

    text: str
    start: int
    end: int
    kind: Literal["written", "quoted"]


class Summary(Result, frozen=True, kw_only=True):
    """The result of `summarize`.

    `strategy` is what was done: "write" (the model wrote from chosen sentences), "stuff" (from the
    whole text) or "extract" (the sentences were quoted, and `model` is "" if none was needed).
    `sentences` are those of the summary, with their sources. `n_rejected` counts sentences of the
    model that failed a check, `n_cached` the replies that came from the cache.
    """

    sentences: tuple[SummarySentence, ...]
    strategy: Strategy
    n_rejected: int
    n_cached: int
    seed: int
    model: str
    usage: Usage
    seconds: float
    warnings: tuple[str, ...] = ()

    __repr__ = short_repr("text", "strategy")

    def row(self) -> dict[str, Any]:
        """Return `text` and `strategy`."""
        return {"text": self.text, "strategy": self.strategy}


class UntranslatedSegment(msgspec.Struct, frozen=True, kw_only=True):
    """Text that was not translated: a segment, a sentence, or text outside of segments.

    `line` is where it, or its segment, begins.
    """

    line: int
    reason: str
    text: str


class Translation(Result, frozen=True, kw_only=True):
    """The result of `translate`.

    `text` has the format and structure of the source. `source` is the code of the source language,
    None if it is unknown. `untranslated` is the natural language that stayed unchanged: segments
    for which no reply was accepted, and text that the format does not support. `protected` counts
    the letters that are not translated on purpose, by reason, such as "code". `n_segments` counts
    the segments of the document, `n_retried` the retries, `n_cached` the segments whose
    translations are from the cache of an earlier run, and `n_kept` those whose translations are
    from the earlier translation that is updated.
    """

    source: str | None
    to: str
    format: str
    untranslated: tuple[UntranslatedSegment, ...]
    protected: dict[str, int] = {}
    n_segments: int
    n_retried: int
    n_cached: int = 0
    n_kept: int = 0
    model: str
    usage: Usage
    seconds: float
    warnings: tuple[str, ...] = ()

    __repr__ = short_repr("text", "to")

    def _repr_markdown_(self) -> str:
        from llmtool.text.notebook import code_block, safe_markdown

        if self.format in ("txt", "md"):
            return safe_markdown(self.text)
        return code_block(self.text, self.format)

    def row(self) -> dict[str, Any]:
        """Return `text`, `source` and `untranslated` (the number of segments)."""
        return {
            "text": self.text,
            "source": self.source,
            "untranslated": len(self.untranslated),
        }


class TestRun(msgspec.Struct, frozen=True, kw_only=True):
    """A run of the user's tests on generated code.

    The tests passed if `exit_code` is 0; it is None after a timeout. `output` is the end of their
    output, from which the model repairs the code.

    Example:
        >>> TestRun(exit_code=0).passed, TestRun(exit_code=1, output="1 failed").reason
        (True, 'the tests failed with exit code 1')
    """

    __test__ = False  # not a test case for pytest

    command: str = ""
    exit_code: int | None
    output: str = ""
    seconds: float = 0.0

    @property
    def passed(self) -> bool:
        return self.exit_code == 0

    @property
    def reason(self) -> str:
        """The reason of a failure."""
        if self.exit_code is None:
            return f"the tests timed out after {self.seconds:.0f} s"
        return f"the tests failed with exit code {self.exit_code}"
