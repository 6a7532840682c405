"""From prompts and continuations to token ids, within the limits of one model."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import cached_property

import msgspec

from llmtool.engine.llama.chat_template import ChatTemplate
from llmtool.engine.llama.interrupts import run_cancellable
from llmtool.engine.llama.model import LlamaModel
from llmtool.engine.types import Cancellation, Prompt, Tokenized, common_prefix_length
from llmtool.errors import ContextOverflow, InputError

_LARGE_TEXT = 1 << 16  # bytes; smaller texts are tokenized within milliseconds
_MIN_FIXED = 64  # tokens; computing a shorter prefix is as fast as loading it
_ANCHOR = ":"


class Tokenizer:
    """Tokenizes for a model whose requests may use `n_ctx` tokens."""

    def __init__(self, weights: LlamaModel, *, n_ctx: int, cancellation: Cancellation) -> None:
        self._weights, self._n_ctx, self._cancellation = weights, n_ctx, cancellation
        self._probe: tuple[Prompt, tuple[int, ...]] | None = None
        self._abandoned: list[threading.Thread] = []

    @property
    def is_busy(self) -> bool:
        """Whether the tokenization of a cancelled text is still running."""
        self._abandoned = [thread for thread in self._abandoned if thread.is_alive()]
        return bool(self._abandoned)

    @cached_property
    def chat_template(self) -> ChatTemplate:
        return ChatTemplate(self._weights, self._weights.chat_template)

    def tokenize(self, prompt: Prompt) -> Tokenized:
        """Return the rendered prompt and its ids.

        Raises:
            ContextOverflow: a text is longer than the model's context; its tokens are counted
                before it is searched for special tokens.
            InputError: the prompt is empty.
            UsageError: it has a suffix, and the model has no tokens to fill in the middle.
            Cancelled: the cancellation was set while a long text was tokenized.
        """
        texts = [prompt.text or "", prompt.suffix or "", *(m.content for m in prompt.messages)]
        if sum(len(text) for text in texts) < _LARGE_TEXT:
            tokenized = self.chat_template.tokenize(prompt)
        else:
            tokenized = run_cancellable(
                lambda: self._tokenize_large(prompt, texts),
                self._cancellation,
                on_abandon=self._abandoned.append,
            )
        if not tokenized.token_ids:
            raise InputError("the prompt is empty")
        n_fixed = self._count_fixed(prompt, tokenized.token_ids)
        return msgspec.structs.replace(tokenized, n_fixed=n_fixed) if n_fixed else tokenized

    def continuation(self, text: str) -> tuple[int, ...]:
        """Return the ids of text that continues a prompt; shape (n_tokens,).

        SentencePiece prepends a space to a text, so an anchor goes before it.
        """
        ids, anchor = self._encode(_ANCHOR + text), self._encode(_ANCHOR)
        return ids[len(anchor) :] if ids[: len(anchor)] == anchor else self._encode(text)

    def _encode(self, text: str) -> tuple[int, ...]:
        raw = text.encode()
        return tuple(self._weights.tokenize(raw, add_special=False, parse_special=False))

    def _count_fixed(self, prompt: Prompt, ids: tuple[int, ...]) -> int:
        """Return how many tokens are the same for any input, or 0 if they are too few to cache."""
        if prompt.n_fixed is not None:
            return min(prompt.n_fixed, len(ids)) if prompt.n_fixed >= _MIN_FIXED else 0
        if prompt.probe:
            other = Prompt(
                messages=prompt.probe, thinking=prompt.thinking, languages=prompt.languages
            )
        elif prompt.probe_text:
            other = Prompt(text=prompt.probe_text)
        else:
            return 0
        if self._probe is None or self._probe[0] != other:  # a batch has one probe
            self._probe = other, self.chat_template.tokenize(other).token_ids
        n = common_prefix_length([ids, self._probe[1]])
        return n if n >= _MIN_FIXED else 0

    def _tokenize_large(self, prompt: Prompt, texts: list[str]) -> Tokenized:
        n = 0
        for text in texts:
            # In pieces, so that a far too long text is rejected early.
            for at in range(0, len(text), _LARGE_TEXT):
                self._cancellation.check()
                piece = text[at : at + _LARGE_TEXT].encode("utf-8", "replace")
                n += len(self._weights.tokenize(piece, add_special=False, parse_special=False))
                if n > self._n_ctx + at // _LARGE_TEXT + 1:  # a cut may split a token
                    raise ContextOverflow(
                        f"the input needs more than {n} tokens, {self._n_ctx} are available: "
                        "shorten the input, or use a model with a longer context",
                        needed=n,
                        available=self._n_ctx,
                    )
        return self.chat_template.tokenize(prompt)


def reuse_cached_tokens(
    ids: Sequence[int], cached: Sequence[int], weights: LlamaModel
) -> tuple[int, ...]:
    """Return the ids of a prompt, with cached ids in place of others of the same text.

    The tokens that a model generates may differ from the tokenization of their text; with the
    cached ones, a conversation continues from its state. Special tokens are never inserted.
    """
    ids, cached = tuple(ids), tuple(cached)
    while True:
        at = common_prefix_length([ids, cached])
        stop = at
        while stop < len(cached) and weights.kind(cached[stop]) == "ordinary":
            stop += 1
        raw = b"".join(weights.render_piece(token, special=True) for token in cached[at:stop])
        wanted = raw.decode("utf-8", "replace").encode()  # as in the conversation's text
        text, end = b"", at
        while len(text) < len(wanted) and end < len(ids):
            text += weights.render_piece(ids[end], special=True)
            end += 1
        if not wanted or text != wanted or end == len(ids):
            return ids
        ids = cached[:stop] + ids[end:]
