"""`POST /v1/completions`: continues texts, and scores them with `echo`."""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any

import msgspec

from llmtool.engine.types import Finished, Prompt, Request, Token, TokenLogprob
from llmtool.server import generation
from llmtool.server.errors import RequestError, error_document
from llmtool.server.openai.chat import DONE, check_stream_options, output_spec, usage_document
from llmtool.server.openai.schemas import CompletionBody
from llmtool.server.service import Service

if TYPE_CHECKING:
    from llmtool.server.responses import Stream

MAX_PROMPTS = 2048


async def complete(service: Service, body: CompletionBody) -> dict[str, Any] | Stream:
    """Continue one text or several, as one document or as a stream of chunks.

    Raises:
        LlmtoolError: the request is invalid, or it failed before the first token.
    """
    check_stream_options(body)
    name, box = service.find(body.model)
    prompts = _prompts(body)
    n = generation.check_n(body.n)
    if body.best_of not in (None, n):
        message = f"best_of {body.best_of}: must be n, {n}; the server returns all replies"
        raise RequestError(message, code="unsupported_option", param="best_of")
    spec = await output_spec(body.response_format, body.structured_outputs)
    scores_prompt = bool(body.echo) and (body.logprobs is not None or body.max_tokens == 0)
    shape = Shape(name, body.logprobs)
    replies = generation.Replies(n, len(prompts))

    texts: list[str] = []  # to echo

    def prepare() -> list[Request]:
        options = {**body.sampling(), "max_tokens": body.max_tokens}
        sampling = generation.sampling_for_text(options, echo=scores_prompt)
        sampling = generation.constrain(sampling, spec)
        if body.logprobs is not None:
            sampling = msgspec.structs.replace(sampling, logprobs=max(1, body.logprobs))
        if body.echo:
            texts.extend(box.engine.tokenize(prompt).text for prompt in prompts)
        return [
            Request(id=id, prompt=prompt, sampling=sampling, n=n, echo=scores_prompt)
            for id, prompt in enumerate(prompts)
        ]

    lists = service.generate(box, prepare, is_slow=bool(body.echo))
    if not body.stream:
        await generation.collect(lists, replies)
        return shape.document(replies, [text for text in texts for _ in range(n)])
    from llmtool.server.responses import Stream

    first = await generation.first_events(lists)
    echoed = [text for text in texts for _ in range(n)]
    include_usage = body.stream_options is not None and body.stream_options.include_usage
    chunks = _chunks(first, lists, replies, shape, echoed, include_usage)
    return Stream(chunks, "text/event-stream")


def _prompts(body: CompletionBody) -> list[Prompt]:
    """Return the prompts of a body.

    Raises:
        RequestError: there are too many, or one is not a text or a list of ids.
    """
    given = body.prompt
    if isinstance(given, str) or (given and all(isinstance(each, int) for each in given)):
        given = [given]  # type: ignore[list-item]
    if not 1 <= len(given) <= MAX_PROMPTS:
        message = f"prompt: {len(given)} prompts; pass 1 to {MAX_PROMPTS}"
        raise RequestError(message, param="prompt")
    prompts = []
    for index, each in enumerate(given):
        if isinstance(each, int):
            message = f"prompt[{index}]: must be a text or a list of token ids"
            raise RequestError(message, param="prompt")
        if isinstance(each, str):
            prompts.append(Prompt(text=each, suffix=body.suffix))
        elif body.suffix is not None:
            raise RequestError("suffix requires a prompt that is a text", param="suffix")
        else:
            prompts.append(Prompt(token_ids=tuple(each)))
    return prompts


async def _chunks(
    first: list[Token | Finished],
    rest: AsyncGenerator[list[Token | Finished], None],
    replies: generation.Replies,
    shape: Shape,
    echoed: list[str],
    include_usage: bool,
) -> AsyncGenerator[bytes, None]:
    """Yield the texts to echo, then the events of lists; those of a list are sent together."""
    from llmtool.server.responses import sse

    def encode(event: Token | Finished) -> bytes:
        replies.add(event)
        index = replies.index(event)
        if isinstance(event, Finished):
            return sse(shape.chunk(index, "", finish_reason=event.finish_reason))
        tokens = [each for each in (event.prompt_logprob, event.logprob) if each]
        return sse(shape.chunk(index, event.text, tokens=tokens)) if event.text or tokens else b""

    try:
        texts = (sse(shape.chunk(index, text)) for index, text in enumerate(echoed))
        yield b"".join([*texts, *map(encode, first)])
        async for events in rest:
            yield b"".join(map(encode, events))
        usage = {**shape.base, "choices": [], "usage": usage_document(replies)}
        yield (sse(usage) if include_usage else b"") + DONE
    except Exception as exc:
        yield sse(error_document(exc))
    finally:
        await rest.aclose()


class Shape:
    """Builds the documents of a reply, which share an id, a time and a model."""

    def __init__(self, model: str, n_logprobs: int | None) -> None:
        self._n_logprobs = n_logprobs
        self.base = {
            "id": f"cmpl-{uuid.uuid4().hex}",
            "object": "text_completion",
            "created": int(time.time()),
            "model": model,
        }

    def document(self, replies: generation.Replies, echoed: list[str]) -> dict[str, Any]:
        """Return the complete document; `echoed` has the text before each choice, if any."""
        choices = []
        for index, reply in enumerate(replies.choices):
            before = echoed[index] if echoed else ""
            choices.append(
                {
                    "index": index,
                    "text": before + reply.text,
                    "logprobs": self._logprobs([*reply.prompt_logprobs, *reply.logprobs]),
                    "finish_reason": reply.finish_reason,
                }
            )
        return {**self.base, "choices": choices, "usage": usage_document(replies)}

    def chunk(
        self,
        index: int,
        text: str,
        *,
        finish_reason: str | None = None,
        tokens: list[TokenLogprob] | None = None,
    ) -> dict[str, Any]:
        choice = {
            "index": index,
            "text": text,
            "logprobs": self._logprobs(tokens) if tokens else None,
            "finish_reason": finish_reason,
        }
        return {**self.base, "choices": [choice]}

    def _logprobs(self, tokens: list[TokenLogprob]) -> dict[str, Any] | None:
        """Return tokens as parallel lists; `text_offset` counts characters from the first one."""
        if self._n_logprobs is None:
            return None
        offsets, at = [], 0
        for token in tokens:
            offsets.append(at)
            at += len(token.token)
        return {
            "tokens": [token.token for token in tokens],
            "token_logprobs": [token.logprob for token in tokens],
            "top_logprobs": [
                None
                if token.logprob is None
                else {each.token: each.logprob for each in reversed(self._alternatives(token))}
                for token in tokens
            ],
            "text_offset": offsets,
        }

    def _alternatives(self, token: TokenLogprob) -> list[TokenLogprob]:
        """Return the most likely tokens, and the token itself, as OpenAI does.

        Of tokens with the same text, such as parts of a character, the most likely one counts.
        """
        top = list(token.top[: self._n_logprobs])
        return top if any(each.bytes == token.bytes for each in top) else [*top, token]
