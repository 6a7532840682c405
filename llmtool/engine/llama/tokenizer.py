"""Prompts and continuations to token ids, within the limits of one model."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import msgspec

from llmtool.engine.llama.chat_template import ChatPrompt
from llmtool.engine.llama.interrupts import run_cancellable
from llmtool.engine.llama.model import LlamaModel
from llmtool.engine.types import Cancellation, Prompt, Tokenized, common_prefix_length
from llmtool.errors import ContextOverflow, InputError

_LARGE_TEXT = 1 << 16  # bytes; smaller texts are tokenised within milliseconds
_MIN_FIXED = 64  # tokens; a shorter prefix is computed as quickly as it is read
_MARK = ":"


class PromptTokens:
    """Tokenises for a model whose requests may use `n_ctx` tokens."""

    def __init__(self, weights: LlamaModel, *, n_ctx: int, cancellation: Cancellation) -> None:
        self._weights, self._n_ctx, self._cancellation = weights, n_ctx, cancellation
        self._probe: tuple[Prompt, tuple[int, ...]] | None = None

    @cached_property
    def chat_prompt(self) -> ChatPrompt:
        return ChatPrompt(self._weights, self._weights.chat_template)

    def tokenize(self, prompt: Prompt) -> Tokenized:
        """Return the prompt as the model sees it.

        Raises:
            ContextOverflow: a text is so long that no context of this model holds it; this is
                seen by counting, before the passes that look for control tokens in it.
            InputError: there is nothing in it.
            UsageError: it has a suffix, and the model has no tokens to fill in the middle.
            Cancelled: the cancellation was set while a long text was tokenised.
        """
        texts = [prompt.text or "", prompt.suffix or "", *(m.content for m in prompt.messages)]
        if sum(len(text) for text in texts) < _LARGE_TEXT:
            tokenized = self.chat_prompt.tokenize(prompt)
        else:
            tokenized = run_cancellable(
                lambda: self._tokenize_large(prompt, texts), self._cancellation
            )
        if not tokenized.token_ids:
            raise InputError("the prompt is empty")
        n_fixed = self._count_fixed(prompt, tokenized.token_ids)
        return msgspec.structs.replace(tokenized, n_fixed=n_fixed) if n_fixed else tokenized

    def continuation(self, text: str) -> tuple[int, ...]:
        """Return the ids of text that goes on after a prompt; shape (n_tokens,).

        SentencePiece puts a space before the first word of a text, so a mark goes before it.
        """
        ids, mark = self._ordinary(_MARK + text), self._ordinary(_MARK)
        return ids[len(mark) :] if ids[: len(mark)] == mark else self._ordinary(text)

    def _ordinary(self, text: str) -> tuple[int, ...]:
        raw = text.encode()
        return tuple(self._weights.tokenize(raw, add_special=False, parse_special=False))

    def _count_fixed(self, prompt: Prompt, ids: tuple[int, ...]) -> int:
        """Return how many tokens another input begins with as well, 0 if they are too few."""
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
            self._probe = other, self.chat_prompt.tokenize(other).token_ids
        n = common_prefix_length([ids, self._probe[1]])
        return n if n >= _MIN_FIXED else 0

    def _tokenize_large(self, prompt: Prompt, texts: list[str]) -> Tokenized:
        n = 0
        for text in texts:
            # In pieces, so that a hopeless length is seen without reading it all.
            for at in range(0, len(text), _LARGE_TEXT):
                self._cancellation.check()
                piece = text[at : at + _LARGE_TEXT].encode("utf-8", "replace")
                n += len(self._weights.tokenize(piece, add_special=False, parse_special=False))
                if n > self._n_ctx + at // _LARGE_TEXT + 1:  # a cut may split a token in two
                    raise ContextOverflow(
                        f"the input needs more than {n} tokens, {self._n_ctx} are available: "
                        "shorten the input, or use a model with a longer context",
                        needed=n,
                        available=self._n_ctx,
                    )
        return self.chat_prompt.tokenize(prompt)


def reuse_cached_tokens(
    ids: Sequence[int], held: Sequence[int], weights: LlamaModel
) -> tuple[int, ...]:
    """Return the ids of a prompt, spelled as `held` where the text is the same.

    What a model wrote need not be what its tokeniser makes of the text; with the tokens that it
    wrote, a conversation goes on from the memory as it is. Control tokens are never put in.
    """
    ids, held = tuple(ids), tuple(held)
    while True:
        at = common_prefix_length([ids, held])
        stop = at
        while stop < len(held) and weights.kind(held[stop]) == "ordinary":
            stop += 1
        spoken = b"".join(weights.render_piece(token, special=True) for token in held[at:stop])
        wanted = spoken.decode("utf-8", "replace").encode()  # as it stands in the conversation
        text, end = b"", at
        while len(text) < len(wanted) and end < len(ids):
            text += weights.render_piece(ids[end], special=True)
            end += 1
        if not wanted or text != wanted or end == len(ids):
            return ids
        ids = held[:stop] + ids[end:]
