"""`POST /v1/scores`: the log-probabilities of continuations, as the engine scores labels."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from llmtool.engine.types import Effort, Prompt, ScoreRequest
from llmtool.server.errors import RequestError
from llmtool.server.generation import chat_prompt
from llmtool.server.openai.chat import check_chat_messages, thinking_of
from llmtool.server.responses import JSON
from llmtool.server.service import Service
from llmtool.tasks.pipeline.collect import raise_failures

MAX_CANDIDATES = 1000


class ScoresBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /v1/scores`; the prompt is a text or a conversation."""

    candidates: Annotated[tuple[str, ...], Meta(min_length=1, max_length=MAX_CANDIDATES)]
    prompt: str | None = None
    messages: list[dict[str, Any]] | None = None
    end: bool = False
    model: str | None = None
    reasoning_effort: Effort | Literal["none", "minimal"] | None = None


async def score(service: Service, body: ScoresBody) -> JSON:
    """Return the log-probability of each token of each candidate, and of the end of the reply.

    Raises:
        RequestError: the body has no prompt, or two.
        LlmtoolError: the prompt does not fit the context, or a candidate is empty.
    """
    name, box = service.find(body.model)
    if (body.prompt is None) == (body.messages is None):
        raise RequestError("pass either prompt or messages", param="prompt")
    if body.messages is not None:
        check_chat_messages(body.messages)
        prompt = chat_prompt(body.messages, thinking=thinking_of(body.reasoning_effort))
    else:
        prompt = Prompt(text=body.prompt)
    request = ScoreRequest(prompt=prompt, candidates=body.candidates, end=body.end)
    (found,) = await service.call(box, lambda: list(raise_failures(box.engine.score([request]))))
    usage = {
        "prompt_tokens": found.usage.prompt_tokens,
        "completion_tokens": found.usage.completion_tokens,
        "total_tokens": found.usage.prompt_tokens + found.usage.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": found.usage.cached_tokens},
    }
    return JSON({"model": name, "logprobs": found.logprobs, "usage": usage})
