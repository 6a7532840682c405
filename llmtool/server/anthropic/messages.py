"""`POST /v1/messages`, and the events of its stream."""

from __future__ import annotations

import uuid
from collections.abc import AsyncGenerator, Iterator
from typing import Any

from llmtool.engine.types import Finished, Prompt, Request, Token
from llmtool.server import generation
from llmtool.server.anthropic.schemas import (
    IGNORED_IN_PARTS,
    UNSUPPORTED,
    UNSUPPORTED_IN_MESSAGES,
    CountBody,
    MessagesBody,
    PromptFields,
)
from llmtool.server.bodies import (
    check_message,
    check_parts,
    reject_tool_choice,
    reject_unsupported,
)
from llmtool.server.errors import RequestError, anthropic_error, naming
from llmtool.server.responses import JSON, Stream, sse
from llmtool.server.service import Service
from llmtool.tasks.pipeline.output_spec import OutputSpec

_PING_SECONDS = 10.0  # between events, while a prompt is computed
_REASONING = ("thinking", "redacted_thinking")


async def create_message(service: Service, body: MessagesBody) -> JSON | Stream:
    """Reply to a conversation, as one document or as a stream of events.

    Raises:
        LlmtoolError: the request is invalid, or it failed before the first token.
    """
    reject_unsupported(body, UNSUPPORTED_IN_MESSAGES)
    name, box = service.find(body.model)
    prompt, spec = _prompt(body), await _output_spec(body)
    budget = None if body.thinking is None else body.thinking.budget_tokens
    if budget is not None and budget >= body.max_tokens:
        message = f"thinking.budget_tokens {budget}: must be less than max_tokens {body.max_tokens}"
        raise RequestError(message, param="thinking.budget_tokens")
    options = {
        "max_tokens": body.max_tokens if budget is None else body.max_tokens - budget,
        "think_tokens": budget,
        "stop": tuple(body.stop_sequences or ()) or None,
        "temperature": body.temperature,
        "top_p": body.top_p,
        "top_k": body.top_k,
    }

    n_prompt = 0

    def prepare() -> list[Request]:
        """Return the request; before a stream begins, also count the tokens of its prompt."""
        nonlocal n_prompt
        sampling = generation.constrain(
            generation.sampling_for_chat(box, options), spec, param="output_config.format"
        )
        if body.stream:
            n_prompt = len(box.engine.tokenize(prompt).token_ids)
            box.engine.check_length(n_prompt, sampling.max_tokens)
        return [Request(prompt=prompt, sampling=sampling)]

    replies, id = generation.Replies(1), f"msg_{uuid.uuid4().hex}"
    lists = service.generate(box, prepare, is_slow=bool(body.stream), wake_seconds=_PING_SECONDS)
    if not body.stream:
        await generation.collect(lists, replies)
        return JSON(_document(id, name, replies))
    await lists.__anext__()  # the request is prepared
    return Stream(_events(lists, replies, id, name, n_prompt), "text/event-stream")


async def count_tokens(service: Service, body: CountBody) -> JSON:
    """Return the number of tokens of a prompt."""
    _, box = service.find(body.model)
    prompt = _prompt(body)
    n = await service.call(box, lambda: len(box.engine.tokenize(prompt).token_ids))
    return JSON({"input_tokens": n})


def _prompt(body: PromptFields) -> Prompt:
    """Return the prompt of a body.

    Raises:
        LlmtoolError: a message is invalid, or an option is not supported.
    """
    reject_unsupported(body, UNSUPPORTED)
    reject_tool_choice(body)
    messages = [_without_reasoning(message) for message in body.messages]
    for index, message in enumerate(messages):
        check_message(message, f"messages[{index}]", ignored_in_parts=IGNORED_IN_PARTS)
    check_parts(body.system, ("text",), ignored=IGNORED_IN_PARTS, place="system")
    if body.system:
        messages.insert(0, {"role": "system", "content": body.system})
    return generation.chat_prompt(messages, thinking=_thinking(body))


def _thinking(body: PromptFields) -> bool | str | None:
    """Return whether a model reasons, or how much.

    Raises:
        RequestError: a limit is given, but the model must not reason.
    """
    if body.thinking is None:
        return None
    if body.thinking.type == "disabled":
        if body.thinking.budget_tokens is not None:
            message = "thinking.budget_tokens needs thinking.type enabled"
            raise RequestError(message, param="thinking.budget_tokens")
        return False
    effort = None if body.output_config is None else body.output_config.effort
    return effort or True


def _without_reasoning(message: dict[str, Any]) -> dict[str, Any]:
    """Return a message without the reasoning of an earlier reply, which is not repeated."""
    content = message.get("content")
    if not isinstance(content, list):
        return message
    kept = [
        part for part in content if not isinstance(part, dict) or part.get("type") not in _REASONING
    ]
    return {**message, "content": kept}


async def _output_spec(body: MessagesBody) -> OutputSpec | None:
    format, name = body.output_format, "output_format"
    if body.output_config is not None and body.output_config.format is not None:
        format, name = body.output_config.format, "output_config.format"
    if format is None:
        return None
    with naming(name):
        return await generation.compile_spec(schema=format.schema)


async def _events(
    lists: AsyncGenerator[list[Token | Finished], None],
    replies: generation.Replies,
    id: str,
    model: str,
    n_prompt: int,
) -> AsyncGenerator[bytes, None]:
    """Yield the events of a message: its blocks, first the reasoning, then the text."""
    kind, index = "", -1

    def encode(event: Token | Finished) -> Iterator[bytes]:
        nonlocal kind, index
        replies.add(event)
        if not isinstance(event, Token):
            return
        for block, text in (("thinking", event.reasoning), ("text", event.text)):
            if not text:
                continue
            if block != kind:
                if kind:
                    yield _event("content_block_stop", index=index)
                kind, index = block, index + 1
                yield _event("content_block_start", index=index, content_block=_block(kind))
            delta = {"type": f"{block}_delta", block: text}
            yield _event("content_block_delta", index=index, delta=delta)

    try:
        usage = {"input_tokens": n_prompt, "output_tokens": 0}
        message = {**_base(id, model), "content": [], "usage": usage}
        yield _event("message_start", message={**message, "stop_reason": None})
        async for events in lists:
            if not events:
                yield _event("ping")
            yield b"".join(part for event in events for part in encode(event))
        if kind:
            yield _event("content_block_stop", index=index)
        yield _event("message_delta", delta=_end(replies), usage=_usage(replies))
        yield _event("message_stop")
    except Exception as exc:
        yield sse(anthropic_error(exc), event="error")
    finally:
        await lists.aclose()


def _event(type: str, **fields: Any) -> bytes:
    return sse({"type": type, **fields}, event=type)


def _block(kind: str, text: str = "") -> dict[str, str]:
    signature = {"signature": ""} if kind == "thinking" else {}
    return {"type": kind, kind: text, **signature}


def _base(id: str, model: str) -> dict[str, Any]:
    return {
        "id": id,
        "type": "message",
        "role": "assistant",
        "model": model,
        "stop_reason": None,
        "stop_sequence": None,
    }


def _end(replies: generation.Replies) -> dict[str, str | None]:
    (reply,) = replies.choices
    reason = "max_tokens" if reply.finish_reason == "length" else "end_turn"
    if reply.stop_string is not None:
        reason = "stop_sequence"
    return {"stop_reason": reason, "stop_sequence": reply.stop_string}


def _usage(replies: generation.Replies) -> dict[str, int]:
    """Return the token counts, in which `input_tokens` excludes the cached ones."""
    usage = replies.usage
    return {
        "input_tokens": usage.prompt_tokens - usage.cached_tokens,
        "cache_read_input_tokens": usage.cached_tokens,
        "cache_creation_input_tokens": 0,
        "output_tokens": usage.completion_tokens,
    }


def _document(id: str, model: str, replies: generation.Replies) -> dict[str, Any]:
    (reply,) = replies.choices
    blocks = [_block("thinking", reply.reasoning)] if reply.reasoning else []
    blocks.append(_block("text", reply.text))
    return {**_base(id, model), "content": blocks, "usage": _usage(replies), **_end(replies)}
