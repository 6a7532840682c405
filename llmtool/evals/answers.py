"""Convert the result of a task to an answer that tests can judge."""

from __future__ import annotations

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
from llmtool.tasks.results import Classification, Result

# Errors that end the whole run instead of one case.
_FATAL = (Cancelled, DownloadError, ModelNotFound, ModelUnreadable)


class Answer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A reply and the seconds that it took, or the error of a case without a reply.

    `invalid` is the reason why the reply does not match the output spec of the template.
    """

    reply: EvaluatedReply = EvaluatedReply(text="")
    seconds: float = 0.0
    invalid: str | None = None
    error: str | None = None


def to_answer(result: object) -> Answer:
    """Convert a task result or error to an answer.

    Raises:
        LlmtoolError: an error of the whole run: the model is unavailable, or the run was cancelled.
        TypeError: neither a result nor an error.
    """
    if isinstance(result, _FATAL):
        raise result
    if isinstance(result, OutputValidationError):
        partial = result.result
        answer = to_answer(partial) if isinstance(partial, Result) else Answer()
        return msgspec.structs.replace(answer, invalid=str(result))
    if isinstance(result, LlmtoolError):
        return Answer(error=str(result))
    if not isinstance(result, Result):
        raise TypeError(f"not a task result: {type(result).__name__}")
    reply = EvaluatedReply(text=result.text, completion_tokens=result.usage.completion_tokens)
    if isinstance(result, Classification):
        label = None if result.label is None else result.text
        reply = msgspec.structs.replace(reply, label=label, scores=result.scores)
    return Answer(reply=reply, seconds=result.seconds)
