"""Endpoints of llama.cpp's server: tokens of texts, chat templates, and whether it is ready.

Those for tokens also accept the names of vLLM, which evaluation harnesses use.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Literal

import msgspec
from starlette.requests import Request

from llmtool.engine.types import Effort, Prompt, RawText
from llmtool.errors import LlmtoolError
from llmtool.server.bodies import check_query
from llmtool.server.errors import RequestError, naming
from llmtool.server.generation import chat_prompt
from llmtool.server.openai.chat import check_chat_messages, thinking_of
from llmtool.server.responses import JSON
from llmtool.server.service import Service


class TokenizeBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /tokenize`."""

    content: str | None = None
    prompt: str | None = None  # vLLM's name of `content`
    messages: list[dict[str, Any]] | None = None  # a conversation instead, as in vLLM
    reasoning_effort: Effort | Literal["none", "minimal"] | None = None
    model: str | None = None
    add_special: bool = False
    add_special_tokens: bool | None = None  # vLLM's name; true if `prompt` is given
    parse_special: bool = True
    with_pieces: bool = False


class DetokenizeBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /detokenize`."""

    tokens: list[int]
    model: str | None = None


class ApplyTemplateBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /apply-template`."""

    messages: list[dict[str, Any]]
    model: str | None = None
    reasoning_effort: Effort | Literal["none", "minimal"] | None = None


async def tokenize(service: Service, body: TokenizeBody) -> JSON:
    """Return the token ids of a text or conversation, and their texts with `with_pieces`."""
    _, box = service.find(body.model)
    prompt = _prompt(body)

    def run() -> list[int] | list[dict[str, Any]]:
        ids = box.engine.tokenize(prompt).token_ids
        if not (body.with_pieces and ids):
            return list(ids)
        pieces = box.engine.tokenize(Prompt(token_ids=ids)).pieces
        return [{"id": id, "piece": _piece(piece)} for id, piece in zip(ids, pieces, strict=True)]

    return JSON({"tokens": await service.call(box, run)})


def _prompt(body: TokenizeBody) -> Prompt:
    if body.messages is not None:
        check_chat_messages(body.messages)
        return chat_prompt(body.messages, thinking=thinking_of(body.reasoning_effort))
    text = body.prompt if body.content is None else body.content
    if text is None:
        raise RequestError("content is missing", param="content")
    if None not in (body.content, body.prompt):
        raise RequestError("content and prompt are the same; remove one of them", param="prompt")
    add_special = body.add_special_tokens
    if add_special is None:
        add_special = body.add_special or body.content is None
    return Prompt(text=text, raw=RawText(add_special=add_special, parse_special=body.parse_special))


async def detokenize(service: Service, body: DetokenizeBody) -> JSON:
    """Return the text of token ids."""
    _, box = service.find(body.model)
    prompt = Prompt(token_ids=tuple(body.tokens))
    text = ""
    if body.tokens:
        with naming("tokens", code=None):
            text = await service.call(box, lambda: box.engine.tokenize(prompt).text)
    return JSON({"content": text, "prompt": text})


async def show_tokenizer(service: Service, request: Request, data: bytes) -> JSON:
    """Return the tokens that begin and end a text, as vLLM does."""
    check_query(request, ("model",))
    _, box = service.find(request.query_params.get("model"))
    info = await service.call(box, lambda: box.engine.info)
    return JSON({"bos_token": info.bos_token, "eos_token": info.eos_token, "pad_token": None})


async def apply_template(service: Service, body: ApplyTemplateBody) -> JSON:
    """Return the prompt that the model's chat template makes of a conversation."""
    _, box = service.find(body.model)
    check_chat_messages(body.messages)
    prompt = chat_prompt(body.messages, thinking=thinking_of(body.reasoning_effort))
    return JSON({"prompt": await service.call(box, lambda: box.engine.tokenize(prompt).text)})


def show_health(service: Service, request: Request) -> JSON:
    """Report that the first model is loaded.

    Raises:
        RequestError: it is being loaded, or could not be loaded.
    """
    check_query(request)
    status = HTTPStatus.SERVICE_UNAVAILABLE
    try:
        if service.check_loaded():
            return JSON({"status": "ok"})
    except LlmtoolError as exc:
        error = RequestError(str(exc), status=status, code="model_unavailable")
        error.exit_code = exc.exit_code
        raise error from None
    raise RequestError("the model is being loaded; try again", status=status, code="loading")


def _piece(piece: bytes) -> str | list[int]:
    """Return the text of a token, or its bytes if they are only a part of a character."""
    try:
        return piece.decode()
    except UnicodeDecodeError:
        return list(piece)
