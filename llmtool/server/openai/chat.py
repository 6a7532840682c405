"""`POST /v1/chat/completions`."""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncGenerator, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from llmtool.engine.types import Finished, Request, Token, TokenLogprob
from llmtool.server import generation
from llmtool.server.bodies import check_message, reject_tool_choice, reject_unsupported
from llmtool.server.errors import RequestError, error_document, naming
from llmtool.server.generation import Replies
from llmtool.server.openai.schemas import (
    IGNORED_IN_MESSAGES,
    IGNORED_IN_PARTS,
    UNSUPPORTED_IN_CHAT,
    ChatBody,
    CompletionBody,
    JsonSchemaFormat,
    ResponseBody,
    ResponseFormat,
    StructuredOutputs,
)
from llmtool.server.service import Service
from llmtool.tasks.pipeline.output_spec import OutputSpec

if TYPE_CHECKING:
    from llmtool.server.responses import Stream

DONE = b"data: [DONE]\n\n"


async def complete_chat(service: Service, body: ChatBody) -> dict[str, Any] | Stream:
    """Reply to a conversation, as one document or as a stream of chunks.

    Raises:
        LlmtoolError: the request is invalid, or it failed before the first token.
    """
    _check(body)
    name, box = service.find(body.model)
    prompt = generation.chat_prompt(body.messages, thinking=thinking_of(body.reasoning_effort))
    spec = await output_spec(body.response_format, body.structured_outputs)
    n = generation.check_n(body.n)
    request_logprobs = (body.top_logprobs or 1) if body.logprobs else 0

    def prepare() -> list[Request]:
        options = body.sampling()
        limits = (body.max_completion_tokens, body.max_tokens)
        options["max_tokens"] = next((each for each in limits if each is not None), None)
        sampling = generation.constrain(generation.sampling_for_chat(box, options), spec)
        sampling = msgspec.structs.replace(sampling, logprobs=request_logprobs)
        return [Request(prompt=prompt, sampling=sampling, n=n, keep=True)]

    shape = Shape(name, with_logprobs=bool(body.logprobs), top=body.top_logprobs)
    replies = Replies(n)
    lists = service.generate(box, prepare)
    if not body.stream:
        await generation.collect(lists, replies)
        return shape.document(replies)
    from llmtool.server.responses import Stream

    first = await generation.first_events(lists)
    include_usage = body.stream_options is not None and body.stream_options.include_usage
    return Stream(_chunks(first, lists, replies, shape, include_usage), "text/event-stream")


def _check(body: ChatBody) -> None:
    """Check that a body has only options that the server supports, and which fit together.

    Raises:
        RequestError: it has another one.
    """
    reject_unsupported(body, UNSUPPORTED_IN_CHAT)
    reject_tool_choice(body)
    reject_tool_choice(body, "function_call")
    check_stream_options(body)
    check_chat_messages(body.messages)
    if body.top_logprobs is not None and not body.logprobs:
        raise RequestError("top_logprobs needs logprobs true", param="top_logprobs")
    limits = {body.max_tokens, body.max_completion_tokens} - {None}
    if len(limits) > 1:
        message = "max_tokens differs from max_completion_tokens; remove it"
        raise RequestError(message, param="max_tokens")


def check_chat_messages(messages: Iterable[Mapping[str, Any]]) -> None:
    """Check that messages have only roles and texts.

    Raises:
        RequestError: one has another field.
    """
    for index, message in enumerate(messages):
        check_message(
            message,
            f"messages[{index}]",
            ignored=IGNORED_IN_MESSAGES,
            ignored_in_parts=IGNORED_IN_PARTS,
        )


def check_stream_options(body: ChatBody | CompletionBody | ResponseBody) -> None:
    """Check that options of streams belong to one.

    Raises:
        RequestError: the reply is not streamed.
    """
    if body.stream_options is not None and not body.stream:
        raise RequestError("stream_options needs stream true", param="stream_options")


async def _chunks(
    first: list[Token | Finished],
    rest: AsyncGenerator[list[Token | Finished], None],
    replies: Replies,
    shape: Shape,
    include_usage: bool,
) -> AsyncGenerator[bytes, None]:
    """Yield the events of lists that arrive; those of a list are sent together."""
    from llmtool.server.responses import sse

    def encode(event: Token | Finished) -> bytes:
        replies.add(event)
        if isinstance(event, Finished):
            return sse(shape.chunk(event.choice, {}, finish_reason=event.finish_reason))
        delta = _delta(event)
        return sse(shape.chunk(event.choice, delta, logprob=event.logprob)) if delta else b""

    try:
        roles = (
            sse(shape.chunk(choice, {"role": "assistant", "content": ""}))
            for choice in range(len(replies.choices))
        )
        yield b"".join([*roles, *map(encode, first)])
        async for events in rest:
            yield b"".join(map(encode, events))
        usage = sse(shape.usage_chunk(replies)) if include_usage else b""
        yield usage + DONE
    except Exception as exc:
        yield sse(error_document(exc))
    finally:
        await rest.aclose()


def _delta(token: Token) -> dict[str, str]:
    delta = {}
    if token.reasoning:
        delta["reasoning_content"] = token.reasoning
    if token.text or (token.logprob is not None and not token.reasoning):
        delta["content"] = token.text
    return delta


def thinking_of(effort: str | None) -> bool | str | None:
    """Return whether a model reasons, for OpenAI's name of an effort."""
    if effort in (None, "none"):
        return None if effort is None else False
    return "low" if effort == "minimal" else effort


async def output_spec(
    format: ResponseFormat | None,
    structured: StructuredOutputs | None = None,
) -> OutputSpec | None:
    """Return the constraint of a `response_format`, or of `structured_outputs`.

    Raises:
        RequestError: the schema is missing or invalid, or both are given.
    """
    if structured is not None:
        if format is not None:
            message = "structured_outputs and response_format cannot be combined; omit one of them"
            raise RequestError(message, param="structured_outputs")
        schema = None if structured.json is msgspec.UNSET else structured.json
        with naming("structured_outputs"):
            return await generation.compile_spec(
                schema=schema, regex=structured.regex, grammar=structured.grammar
            )
    if format is None:
        return None
    name = "response_format"
    return await format_spec(
        format.type, format.json_schema, param=name, schema_param=f"{name}.json_schema.schema"
    )


async def format_spec(
    kind: str, format: JsonSchemaFormat | None, *, param: str, schema_param: str
) -> OutputSpec | None:
    """Return the constraint of a format of text; errors name its fields.

    Raises:
        RequestError: the schema is missing or invalid.
    """
    if kind == "text":
        return None
    if kind == "json_object":
        return await generation.compile_spec(schema={"type": "object"})
    schema = format.schema if format is not None else msgspec.UNSET
    if not isinstance(schema, (dict, bool)):
        message = f"{schema_param} is missing; it must be a JSON Schema"
        raise RequestError(message, param=schema_param)
    with naming(param):
        return await generation.compile_spec(schema=schema)


class Shape:
    """Builds the documents of one reply, which share an id, a time and a model."""

    def __init__(self, model: str, *, with_logprobs: bool, top: int | None) -> None:
        self._with_logprobs, self._top = with_logprobs, top or 0
        self._base = {
            "id": f"chatcmpl-{uuid.uuid4().hex}",
            "created": int(time.time()),
            "model": model,
        }

    def document(self, replies: Replies) -> dict[str, Any]:
        choices = []
        for index, reply in enumerate(replies.choices):
            message: dict[str, Any] = {"role": "assistant", "content": reply.text, "refusal": None}
            if reply.reasoning:
                message["reasoning_content"] = reply.reasoning
            choices.append(
                {
                    "index": index,
                    "message": message,
                    "logprobs": self._logprobs(reply.logprobs),
                    "finish_reason": reply.finish_reason,
                }
            )
        base = {**self._base, "object": "chat.completion"}
        return {**base, "choices": choices, "usage": usage_document(replies)}

    def chunk(
        self,
        choice: int,
        delta: dict[str, str],
        *,
        finish_reason: str | None = None,
        logprob: TokenLogprob | None = None,
    ) -> dict[str, Any]:
        item = {
            "index": choice,
            "delta": delta,
            "logprobs": None if logprob is None else self._logprobs([logprob]),
            "finish_reason": finish_reason,
        }
        return {**self._base, "object": "chat.completion.chunk", "choices": [item]}

    def usage_chunk(self, replies: Replies) -> dict[str, Any]:
        base = {**self._base, "object": "chat.completion.chunk"}
        return {**base, "choices": [], "usage": usage_document(replies)}

    def _logprobs(self, tokens: list[TokenLogprob]) -> dict[str, Any] | None:
        if not self._with_logprobs:
            return None
        content = [token_document(token, self._top) for token in tokens]
        return {"content": content, "refusal": None}


def token_document(token: TokenLogprob, n_top: int) -> dict[str, Any]:
    """Return a token with its log-probability and `n_top` alternatives in OpenAI's form."""

    def describe(token: TokenLogprob) -> dict[str, Any]:
        return {"token": token.token, "logprob": token.logprob, "bytes": list(token.bytes)}

    return {**describe(token), "top_logprobs": [describe(each) for each in token.top[:n_top]]}


def usage_document(replies: Replies) -> dict[str, Any]:
    """Return token counts in OpenAI's form."""
    usage = replies.usage
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": replies.reasoning_tokens},
    }
