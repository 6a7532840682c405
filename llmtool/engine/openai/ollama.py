"""Ollama's own API, which sets the length of the context: OpenAI's silently truncates prompts.

Bodies and replies are converted from and to those of OpenAI's API.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from llmtool.engine.openai.bodies import CHAT, Body
from llmtool.engine.openai.endpoint import Endpoint
from llmtool.engine.openai.errors import invalid_reply
from llmtool.engine.openai.tokens import estimate
from llmtool.engine.types import Request
from llmtool.errors import ContextOverflow, UsageError, format_json_error
from llmtool.option_names import option

MIN_CONTEXT = 4096  # tokens
_OPTIONS = (
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "typical_p",
    "repeat_penalty",
    "repeat_last_n",
    "frequency_penalty",
    "presence_penalty",
    "seed",
    "stop",
)

Read = Callable[[bytes], bytes]


class _Message(msgspec.Struct):
    content: str = ""
    thinking: str = ""


class _Line(msgspec.Struct):
    """A line of a reply; that of `/api/generate` has `response` and `thinking` as its message."""

    model: str | None = None
    message: _Message | None = None
    response: str = ""
    thinking: str = ""
    logprobs: Any = None
    done: bool = False
    done_reason: str | None = None
    prompt_eval_count: int | None = None
    eval_count: int | None = None
    error: Any = None


class OllamaApi:
    """Converts requests for a model and their replies.

    A context of another length loads the model again, so lengths are powers of two, and do not
    shrink.

    Args:
        n_ctx: the longest context of the model; None if it is unknown.
    """

    def __init__(self, endpoint: Endpoint, n_ctx: int | None) -> None:
        self._endpoint, self._n_max = endpoint, n_ctx
        self._n_ctx = MIN_CONTEXT

    def convert(self, body: Body, request: Request) -> tuple[Body, Read]:
        """Return the native body, and what converts the lines of its reply.

        Raises:
            UsageError: Ollama lacks an option.
        """
        given = body.document
        if "logit_bias" in given:
            bias = request.sampling.logit_bias
            raise UsageError(f"{option('logit_bias', bias)}: not supported by Ollama; omit it")
        n_reply = given["max_tokens"]
        n_ctx = self._grow(len(estimate(request.prompt).token_ids) + n_reply)
        options = {name: given[name] for name in _OPTIONS if name in given}
        document: dict[str, Any] = {
            "model": given["model"],
            "options": {**options, "num_predict": n_reply, "num_ctx": n_ctx},
            "stream": bool(given.get("stream")),
            "truncate": False,  # of versions since the end of 2025; checked below for others
            "shift": False,
        }
        if "response_format" in given:
            document["format"] = given["response_format"]["json_schema"]["schema"]
        if request.prompt.thinking is not None:
            document["think"] = request.prompt.thinking
        if request.sampling.logprobs:
            document |= {"logprobs": True, "top_logprobs": request.sampling.logprobs}
        if body.path == CHAT:
            return Body("/api/chat", {**document, "messages": given["messages"]}), self._read(n_ctx)
        text: dict[str, Any] = {name: given[name] for name in ("prompt", "suffix") if name in given}
        is_raw = "suffix" not in given
        return Body("/api/generate", {**document, **text, "raw": is_raw}), self._read(n_ctx)

    def _grow(self, needed: int) -> int:
        length = max(self._n_ctx, 1 << (needed - 1).bit_length())
        self._n_ctx = length if self._n_max is None else min(length, self._n_max)
        return self._n_ctx

    def _read(self, n_ctx: int) -> Read:
        def read(data: bytes) -> bytes:
            try:
                line = msgspec.json.decode(data, type=_Line)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
                raise invalid_reply(self._endpoint, format_json_error(exc)) from None
            n_prompt = line.prompt_eval_count
            if n_prompt is not None and n_prompt >= n_ctx - 1:
                raise ContextOverflow(
                    f"{self._endpoint.name}: the server truncated the prompt to its context of "
                    f"{n_ctx:,} tokens; shorten the input",
                    needed=n_prompt + 1,
                    available=n_ctx,
                )
            return msgspec.json.encode(_to_chunk(line))

        return read


def _to_chunk(line: _Line) -> dict[str, Any]:
    """Return a line as a chunk of OpenAI's API."""
    if line.error is not None:
        return {"error": {"message": str(line.error), "type": "server_error"}}
    message = line.message or _Message(line.response, line.thinking)
    choice: dict[str, Any] = {
        "index": 0,
        "delta": {"content": message.content, "reasoning": message.thinking},
        "finish_reason": (line.done_reason or "stop") if line.done else None,
    }
    if line.logprobs:
        choice["logprobs"] = {"content": line.logprobs}
    chunk: dict[str, Any] = {"model": line.model, "choices": [choice]}
    if line.done:
        chunk["usage"] = {
            "prompt_tokens": line.prompt_eval_count,
            "completion_tokens": line.eval_count,
        }
    return chunk
