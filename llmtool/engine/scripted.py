"""An engine with scripted replies and no model, for tests.

A token is a word with the white space before it.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from llmtool.cancellation import Cancellation
from llmtool.engine.reply import Reply
from llmtool.engine.text_stream import ReasoningTags
from llmtool.engine.types import (
    DEFAULT_MAX_TOKENS,
    EngineInfo,
    Event,
    Failed,
    Finished,
    FinishReason,
    Prompt,
    ReasoningSupport,
    Request,
    ScoreRequest,
    Scores,
    StreamProgress,
    Timings,
    Tokenized,
    Usage,
    plan_reply,
)
from llmtool.errors import Cancelled, ContextOverflow, LlmtoolError

R = TypeVar("R", bound=Request | ScoreRequest)
E = TypeVar("E")
CURSOR = "<cursor>"  # between a prompt's text and suffix in `prompts`
_IDLE_SECONDS = 0.001
_WORD = re.compile(r"\s*\S+|\s+")
_TIMINGS = Timings(prefill_seconds=0.0, decode_seconds=0.0)


class ScriptedEngine:
    """An `Engine` that returns given replies. `prompts` records the rendered prompts.

    Args:
        replies: one text for all requests, a list of texts to cycle through, or a function from
            the rendered prompt to a text. An `LlmtoolError` that it raises becomes a `Failed`.
        scores: a function from (rendered prompt, candidate) to a log-probability. By default all
            candidates are equally likely.

    Example:
        >>> from llmtool.engine.types import Message, Prompt, Request, Token
        >>> engine = ScriptedEngine(lambda text: text.upper())
        >>> request = Request(prompt=Prompt(messages=(Message("user", "hello"),)))
        >>> [event.text for event in engine.stream([request]) if isinstance(event, Token)]
        ['USER:', ' HELLO']
    """

    def __init__(
        self,
        replies: str | Sequence[str] | Callable[[str], str] = "",
        *,
        n_ctx: int = 4096,
        n_params: int = 0,
        reasoning_tags: ReasoningTags | None = None,
        scores: Callable[[str, str], float] | None = None,
        cancellation: Cancellation | None = None,
    ) -> None:
        self._replies = replies
        self._n_ctx = n_ctx
        self._n_params = n_params
        self._reasoning_tags = reasoning_tags
        self._scores = scores
        self._served = 0
        self.cancellation = cancellation or Cancellation()
        self.prompts: list[str] = []

    @property
    def info(self) -> EngineInfo:
        return EngineInfo(
            n_ctx=self._n_ctx,
            n_ctx_train=self._n_ctx,
            n_params=self._n_params,
            n_threads=1,
        )

    @property
    def progress(self) -> StreamProgress:
        return StreamProgress()

    @property
    def reasoning_support(self) -> ReasoningSupport:
        return ReasoningSupport()

    def close(self) -> None:
        pass

    def tokenize(self, prompt: Prompt) -> Tokenized:
        if prompt.token_ids is not None:
            return Tokenized(text="", token_ids=prompt.token_ids)
        text = prompt.text
        if text is None:
            text = "\n".join(f"{m.role}: {m.content}" for m in prompt.messages)
        if prompt.suffix is not None:
            text += CURSOR + prompt.suffix
        text += prompt.prefill
        return Tokenized(text=text, token_ids=tuple(range(len(_WORD.findall(text)))))

    def check_length(self, n_prompt: int, max_tokens: int | None) -> tuple[int, int]:
        needed = n_prompt + (1 if max_tokens is None else max_tokens)
        if needed > self._n_ctx:
            raise ContextOverflow(
                f"input needs {needed:,} tokens, but the context holds {self._n_ctx:,}",
                needed=needed,
                available=self._n_ctx,
            )
        if max_tokens is None:
            max_tokens = min(DEFAULT_MAX_TOKENS, self._n_ctx - n_prompt)
        return max_tokens, self._n_ctx

    def save_state(self, prompt: Prompt) -> None:
        """Do nothing."""

    def stream(self, requests: Iterable[Request | ScoreRequest | Failed | None]) -> Iterator[Event]:
        def serve(request: Request | ScoreRequest) -> Iterator[Event]:
            if isinstance(request, ScoreRequest):
                return self._score(request)
            return self._generate(request)

        return _serve_all(requests, serve)

    def score(self, requests: Iterable[ScoreRequest | Failed | None]) -> Iterator[Scores | Failed]:
        return _serve_all(requests, self._score)

    def _score(self, request: ScoreRequest) -> Iterator[Scores]:
        self.cancellation.check()
        prompt = self.tokenize(request.prompt)
        self.prompts.append(prompt.text)
        self.check_length(len(prompt.token_ids), 1)
        uniform = -math.log(len(request.candidates))
        yield Scores(
            id=request.id,
            logprobs=tuple(
                (self._scores(prompt.text, text) if self._scores else uniform,)
                for text in request.candidates
            ),
            usage=_usage(prompt, len(request.candidates)),
            timings=_TIMINGS,
        )

    def _generate(self, request: Request) -> Iterator[Event]:
        prompt = self.tokenize(request.prompt)
        self.prompts.append(prompt.text)
        n_prompt, sampling = len(prompt.token_ids), request.sampling
        max_tokens, max_reasoning = plan_reply(sampling, self._n_ctx - n_prompt)
        self.check_length(n_prompt, sampling.max_tokens)
        for choice in range(request.n):
            words = _WORD.findall(self._next_reply(prompt.text))
            reply = Reply(
                request.id,
                choice,
                stop=request.sampling.stop,
                tags=self._reasoning_tags,
                prompt=prompt.text,
                is_plain=request.prompt.suffix is not None,
            )
            n_tokens = n_reasoning = n_cut = 0
            while words and n_tokens < max_tokens and not reply.stopped:
                self.cancellation.check()
                if reply.in_reasoning and n_tokens >= max_reasoning and not n_cut:
                    n_cut = n_tokens
                    _, _, rest = "".join(words).partition(reply.closing.strip())
                    words = [reply.closing, *_WORD.findall(rest)]
                n_tokens += 1
                n_reasoning += reply.in_reasoning
                yield from reply.push(words.pop(0).encode())
            yield from reply.finish()
            is_complete = reply.stopped or not words
            finish: FinishReason = "stop" if is_complete else "length"
            yield Finished(
                id=request.id,
                choice=choice,
                finish_reason=finish,
                usage=_usage(prompt, n_tokens),
                timings=_TIMINGS,
                reasoning_tokens=n_reasoning,
                cut_reasoning_tokens=0 if sampling.think_tokens is not None else n_cut,
                seed=(request.sampling.seed or 0) + choice,
                stop_string=reply.stop_string,
            )

    def _next_reply(self, prompt: str) -> str:
        self._served += 1
        if isinstance(self._replies, str):
            return self._replies
        if callable(self._replies):
            return self._replies(prompt)
        return self._replies[(self._served - 1) % len(self._replies)]


def _usage(prompt: Tokenized, n_reply: int) -> Usage:
    n_prompt = len(prompt.token_ids)
    return Usage(prompt_tokens=n_prompt, cached_tokens=0, completion_tokens=n_reply)


def _serve_all(
    requests: Iterable[R | Failed | None], serve: Callable[[R], Iterator[E]]
) -> Iterator[E | Failed]:
    """Serve requests one after another; yield a `Failed` for each that fails, unless all stop."""
    for request in requests:
        if request is None:
            time.sleep(_IDLE_SECONDS)
            continue
        if isinstance(request, Failed):
            yield request
            continue
        try:
            yield from serve(request)
        except Cancelled:
            raise
        except LlmtoolError as exc:
            yield Failed(request.id, exc)
