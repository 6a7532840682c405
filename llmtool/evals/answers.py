"""What a task returned, as a test looks at it; any result with these attributes will do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

import msgspec

from llmtool.errors import (
    Cancelled,
    DownloadError,
    LlmtoolError,
    ModelNotFound,
    ModelUnreadable,
    OutputValidationError,
)
from llmtool.prompts.asserts import EvaluatedReply

# What ends a run, rather than one case of it.
_FATAL = (Cancelled, DownloadError, ModelNotFound, ModelUnreadable)


class Answer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A reply and its time. `broken` says why it does not match the output spec of the template.

    `error` is what there was instead of a reply.
    """

    reply: EvaluatedReply = EvaluatedReply(text="")
    seconds: float = 0.0
    broken: str | None = None
    error: str | None = None


class _Usage(Protocol):
    @property
    def completion_tokens(self) -> int: ...


@runtime_checkable
class _Answered(Protocol):
    @property
    def text(self) -> str: ...
    @property
    def usage(self) -> _Usage: ...
    @property
    def seconds(self) -> float: ...


@runtime_checkable
class _Classified(_Answered, Protocol):
    @property
    def label(self) -> object: ...
    @property
    def scores(self) -> Mapping[str, float]: ...


def read_answer(result: object) -> Answer:
    """Return a result, or the error that it is, as an answer.

    Raises:
        LlmtoolError: an error that says nothing of this case: the model cannot be had, or somebody
            asked for a stop.
        TypeError: it is neither.
    """
    if isinstance(result, _FATAL):
        raise result
    if isinstance(result, OutputValidationError):
        known = result.result
        answer = read_answer(known) if isinstance(known, _Answered) else Answer()
        return msgspec.structs.replace(answer, broken=str(result))
    if isinstance(result, LlmtoolError):
        return Answer(error=str(result))
    if not isinstance(result, _Answered):
        raise TypeError(f"no result of a task: {type(result).__name__}")
    reply = EvaluatedReply(text=result.text, completion_tokens=result.usage.completion_tokens)
    if isinstance(result, _Classified):
        label = None if result.label is None else result.text
        reply = msgspec.structs.replace(reply, label=label, scores=dict(result.scores))
    return Answer(reply=reply, seconds=result.seconds)
