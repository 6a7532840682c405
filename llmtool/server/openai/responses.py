"""`POST /v1/responses`, without storage: each request has the whole conversation."""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncGenerator, Iterator
from typing import Any

import msgspec

from llmtool.engine.types import Finished, Message, Request, Token
from llmtool.server import generation
from llmtool.server.bodies import check_message, reject_tool_choice, reject_unsupported
from llmtool.server.errors import RequestError, describe
from llmtool.server.openai.chat import (
    check_stream_options,
    format_spec,
    thinking_of,
    token_document,
)
from llmtool.server.openai.schemas import (
    IGNORED_IN_ITEMS,
    IGNORED_IN_PARTS_OF_ITEMS,
    LOGPROBS,
    PARTS_OF_ITEMS,
    UNSUPPORTED_IN_RESPONSES,
    ResponseBody,
    TextFormat,
)
from llmtool.server.responses import JSON, Stream, sse
from llmtool.server.service import Service
from llmtool.tasks.pipeline.conversation import parse_message

_MESSAGE_TYPES = (None, "message")


async def create_response(service: Service, body: ResponseBody) -> JSON | Stream:
    """Reply to a conversation, as one document or as a stream of events.

    Raises:
        LlmtoolError: the request is invalid, or it failed before the first token.
    """
    reject_unsupported(body, UNSUPPORTED_IN_RESPONSES)
    reject_tool_choice(body)
    check_stream_options(body)
    name, box = service.find(body.model)
    effort = None if body.reasoning is None else body.reasoning.effort
    prompt = generation.chat_prompt(_messages(body), thinking=thinking_of(effort), param="input")
    spec = None
    if body.text is not None and (format := body.text.format) is not None:
        spec = await format_spec(
            format.type, format, param="text.format", schema_param="text.format.schema"
        )
    n_logprobs = _count_logprobs(body)

    def prepare() -> list[Request]:
        options = {
            "max_tokens": body.max_output_tokens,
            "temperature": body.temperature,
            "top_p": body.top_p,
        }
        sampling = generation.constrain(
            generation.sampling_for_chat(box, options), spec, param="text.format"
        )
        sampling = msgspec.structs.replace(sampling, logprobs=n_logprobs)
        return [Request(prompt=prompt, sampling=sampling)]

    document = Document(name, body)
    lists = service.generate(box, prepare)
    if not body.stream:
        await generation.collect(lists, document.replies)
        return JSON(document.complete())
    first = await generation.first_events(lists)
    return Stream(_chunks(first, lists, document), "text/event-stream")


def _messages(body: ResponseBody) -> list[Message]:
    """Return the messages of a body.

    Raises:
        RequestError: an item of the input is not a message.
        UsageError: a message is invalid.
    """
    head = [Message("system", body.instructions)] if body.instructions else []
    if isinstance(body.input, str):
        if not body.input.strip():
            raise RequestError("input is empty; add some text", param="input")
        return [*head, Message("user", body.input)]
    messages = []
    for index, item in enumerate(body.input):
        path = f"input[{index}]"
        if item.get("type") == "reasoning":  # of an earlier reply
            continue
        if item.get("type") not in _MESSAGE_TYPES:
            message = f"{path}: type {item['type']!r} is not supported; pass messages"
            raise RequestError(message, code="unsupported_option", param=f"{path}.type")
        check_message(
            item,
            path,
            ignored=IGNORED_IN_ITEMS,
            parts=PARTS_OF_ITEMS,
            ignored_in_parts=IGNORED_IN_PARTS_OF_ITEMS,
        )
        messages.append(parse_message(item, path))
    if not messages:
        message = "input has no message; pass at least one of the user"
        raise RequestError(message, param="input")
    return [*head, *messages]


def _count_logprobs(body: ResponseBody) -> int:
    include = body.include or []
    if body.top_logprobs and LOGPROBS not in include:
        message = f"top_logprobs needs {LOGPROBS!r} in include"
        raise RequestError(message, param="top_logprobs")
    return max(1, body.top_logprobs or 0) if LOGPROBS in include else 0


class Document:
    """The document of one response, and the items of its output."""

    def __init__(self, model: str, body: ResponseBody) -> None:
        self.replies = generation.Replies(1)
        self._body = body
        self._model, self._created = model, int(time.time())
        self._id = f"resp_{uuid.uuid4().hex}"
        self.ids = {"reasoning": f"rs_{uuid.uuid4().hex}", "message": f"msg_{uuid.uuid4().hex}"}

    def complete(self) -> dict[str, Any]:
        """Return the finished document."""
        (reply,) = self.replies.choices
        is_cut = reply.finish_reason == "length"
        items = [self.item("reasoning")] if reply.reasoning else []
        return {
            **self.document("incomplete" if is_cut else "completed"),
            "incomplete_details": {"reason": "max_output_tokens"} if is_cut else None,
            "output": [*items, self.item("message")],
            "usage": _usage(self.replies),
        }

    def document(self, status: str, error: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the document of a response without its output."""
        body = self._body
        return {
            "id": self._id,
            "object": "response",
            "created_at": self._created,
            "status": status,
            "error": error,
            "incomplete_details": None,
            "instructions": body.instructions,
            "max_output_tokens": body.max_output_tokens,
            "metadata": body.metadata or {},
            "model": self._model,
            "output": [],
            "parallel_tool_calls": False,
            "previous_response_id": None,
            "store": False,
            "temperature": body.temperature,
            "text": {"format": (body.text and body.text.format) or TextFormat(type="text")},
            "tool_choice": "auto",
            "tools": [],
            "top_p": body.top_p,
            "truncation": "disabled",
            "usage": None,
        }

    def item(self, kind: str, *, is_done: bool = True) -> dict[str, Any]:
        """Return an item of the output: "reasoning" or "message"."""
        item: dict[str, Any] = {"id": self.ids[kind], "type": kind}
        if kind == "reasoning":
            item["summary"] = []
        else:
            (reply,) = self.replies.choices
            state = "incomplete" if reply.finish_reason == "length" else "completed"
            item |= {"role": "assistant", "status": state if is_done else "in_progress"}
        return {**item, "content": [self.part(kind)] if is_done else []}

    def part(self, kind: str, *, is_done: bool = True) -> dict[str, Any]:
        """Return the content of an item."""
        (reply,) = self.replies.choices
        if kind == "reasoning":
            return {"type": "reasoning_text", "text": reply.reasoning if is_done else ""}
        n_top = self._body.top_logprobs or 0
        logprobs = [token_document(token, n_top) for token in reply.logprobs]
        return {
            "type": "output_text",
            "text": reply.text if is_done else "",
            "annotations": [],
            "logprobs": logprobs if is_done else [],
        }

    def logprobs(self, event: Token) -> list[dict[str, Any]]:
        """Return the token of an event, if its log-probability was requested."""
        if event.logprob is None:
            return []
        return [token_document(event.logprob, self._body.top_logprobs or 0)]


class _Stream:
    """Builds the events of a stream, which are numbered, from the tokens of the reply."""

    def __init__(self, document: Document) -> None:
        self._document, self._n = document, 0
        self._kind, self._index = "", -1  # of the item

    def start(self) -> Iterator[bytes]:
        started = self._document.document("in_progress")
        yield self.event("response.created", response=started)
        yield self.event("response.in_progress", response=started)

    def add(self, event: Token | Finished) -> Iterator[bytes]:
        document = self._document
        document.replies.add(event)
        if not isinstance(event, Token):
            return
        for kind, delta in (("reasoning", event.reasoning), ("message", event.text)):
            if not delta:
                continue
            if kind != self._kind:
                yield from self._start_item(kind)
            logprobs = {"logprobs": document.logprobs(event)} if kind == "message" else {}
            type = f"response.{_TEXTS[kind]}.delta"
            yield self.event(type, **self._place(), delta=delta, **logprobs)

    def finish(self) -> Iterator[bytes]:
        if self._kind != "message":  # the reply has no text
            yield from self._start_item("message")
        yield from self._end_item()
        done = self._document.complete()
        yield self.event(f"response.{done['status']}", response=done)

    def event(self, type: str, **fields: Any) -> bytes:
        self._n += 1
        return sse({"type": type, "sequence_number": self._n - 1, **fields}, event=type)

    def _place(self) -> dict[str, Any]:
        id = self._document.ids[self._kind]
        return {"item_id": id, "output_index": self._index, "content_index": 0}

    def _start_item(self, kind: str) -> Iterator[bytes]:
        yield from self._end_item()
        self._kind, self._index = kind, self._index + 1
        item = self._document.item(kind, is_done=False)
        yield self.event("response.output_item.added", output_index=self._index, item=item)
        part = self._document.part(kind, is_done=False)
        yield self.event("response.content_part.added", **self._place(), part=part)

    def _end_item(self) -> Iterator[bytes]:
        kind = self._kind
        if not kind:
            return
        place, part = self._place(), self._document.part(kind)
        logprobs = {"logprobs": part["logprobs"]} if kind == "message" else {}
        yield self.event(f"response.{_TEXTS[kind]}.done", **place, text=part["text"], **logprobs)
        yield self.event("response.content_part.done", **place, part=part)
        item = self._document.item(kind)
        yield self.event("response.output_item.done", output_index=self._index, item=item)


async def _chunks(
    first: list[Token | Finished],
    rest: AsyncGenerator[list[Token | Finished], None],
    document: Document,
) -> AsyncGenerator[bytes, None]:
    """Yield the events of a response: its items, first the reasoning, then the message."""
    stream = _Stream(document)
    try:
        tokens = (part for event in first for part in stream.add(event))
        yield b"".join([*stream.start(), *tokens])
        async for events in rest:
            yield b"".join(part for event in events for part in stream.add(event))
        yield b"".join(stream.finish())
    except Exception as exc:
        info = describe(exc)
        error = {"code": info.code or "server_error", "message": info.message}
        yield stream.event("response.failed", response=document.document("failed", error))
    finally:
        await rest.aclose()


_TEXTS = {"reasoning": "reasoning_text", "message": "output_text"}


def _usage(replies: generation.Replies) -> dict[str, Any]:
    usage = replies.usage
    return {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {"cached_tokens": usage.cached_tokens},
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": replies.reasoning_tokens},
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
    }
