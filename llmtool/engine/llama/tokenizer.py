"""Tokenize prompts and continuations within the limits of a model."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from functools import cached_property

import msgspec

from llmtool.background import run_cancellable
from llmtool.cancellation import Cancellation
from llmtool.engine.llama.chat_template import ChatTemplate
from llmtool.engine.llama.model import LlamaModel
from llmtool.engine.types import (
    ChatTemplateOptions,
    Prompt,
    RawText,
    Tokenized,
    common_prefix_length,
)
from llmtool.errors import ContextOverflow, InputError, UsageError
from llmtool.option_names import option

_LARGE_TEXT = 1 << 16  # characters; smaller texts are tokenized within milliseconds
_MIN_FIXED = 64  # tokens; computing a shorter prefix is as fast as loading its state
_ANCHOR = ":"


class Tokenizer:
    """Tokenizes for a model whose requests may have `n_ctx` tokens."""

    def __init__(
        self,
        weights: LlamaModel,
        *,
        n_ctx: int,
        cancellation: Cancellation,
        chat_template: ChatTemplateOptions = ChatTemplateOptions(),
    ) -> None:
        self._weights, self._n_ctx, self._cancellation = weights, n_ctx, cancellation
        self._options = chat_template
        self._probe: tuple[Prompt, tuple[int, ...]] | None = None
        self._abandoned: list[threading.Thread] = []

    @property
    def is_busy(self) -> bool:
        """Whether an abandoned thread is still tokenizing."""
        self._abandoned = [thread for thread in self._abandoned if thread.is_alive()]
        return bool(self._abandoned)

    @cached_property
    def chat_template(self) -> ChatTemplate:
        return ChatTemplate(self._weights, self._weights.chat_template, self._options)

    def tokenize(self, prompt: Prompt) -> Tokenized:
        """Return the rendered prompt and its ids.

        Raises:
            ContextOverflow: a long text alone exceeds the context. Long texts are checked before
                the slower search for special tokens.
            InputError: the prompt is empty.
            UsageError: the prompt has a suffix, and the model cannot fill in the middle; or it has
                ids that the model does not have.
            Cancelled: the cancellation was set while a long text was tokenized.
        """
        if prompt.token_ids is not None:
            return self._check_ids(prompt.token_ids)
        if prompt.raw is not None:
            return self._tokenize_raw(prompt.text or "", prompt.raw)
        texts = [prompt.text or "", prompt.suffix or "", *(m.content for m in prompt.messages)]
        if sum(len(text) for text in texts) < _LARGE_TEXT:
            tokenized = self.chat_template.tokenize(prompt)
        else:
            tokenized = run_cancellable(
                lambda: self._tokenize_large(prompt, texts),
                self._cancellation.check,
                on_abandon=self._abandoned.append,
            )
        if not tokenized.token_ids:
            raise InputError("the prompt is empty")
        n_fixed = self._count_fixed(prompt, tokenized.token_ids)
        return msgspec.structs.replace(tokenized, n_fixed=n_fixed) if n_fixed else tokenized

    def _check_ids(self, ids: tuple[int, ...]) -> Tokenized:
        if not ids:
            raise InputError("the prompt is empty")
        for token in ids:
            if not 0 <= token < self._weights.n_vocab:
                end = self._weights.n_vocab - 1
                message = f"token {token} of the prompt: ids of this model end at {end}"
                raise UsageError(message, option="prompt")
        pieces = tuple(self._weights.render_piece(token, special=True) for token in ids)
        text = b"".join(pieces).decode("utf-8", "replace")
        return Tokenized(text=text, token_ids=ids, pieces=pieces)

    def _tokenize_raw(self, text: str, raw: RawText) -> Tokenized:
        def encode() -> list[int]:
            return self._weights.tokenize(
                text.encode(), add_special=raw.add_special, parse_special=raw.parse_special
            )

        if len(text) < _LARGE_TEXT:
            ids = encode()
        else:
            ids = run_cancellable(
                encode, self._cancellation.check, on_abandon=self._abandoned.append
            )
        return Tokenized(text=text, token_ids=tuple(ids))

    def continuation(self, text: str) -> tuple[int, ...]:
        """Return the ids of text that continues a prompt; shape (n_tokens,).

        SentencePiece prepends a space, so the text is tokenized after an anchor.
        """
        ids, anchor = self._encode(_ANCHOR + text), self._encode(_ANCHOR)
        return ids[len(anchor) :] if ids[: len(anchor)] == anchor else self._encode(text)

    def biases(self, logit_bias: Mapping[str, float]) -> dict[int, float]:
        """Return `Sampling.logit_bias` by token.

        Raises:
            UsageError: a key is not the id or text of one token.
        """
        found: dict[int, float] = {}
        for key, bias in logit_bias.items():
            try:
                token = self._find_token(key)
            except UsageError as exc:
                given = {key: bias if bias % 1 else int(bias)}  # 3, not 3.0
                message = f"{option('logit_bias', given)}: {exc}"
                raise UsageError(message, option="logit_bias") from None
            found[token] = found.get(token, 0) + bias
        return found

    def _find_token(self, key: str) -> int:
        weights = self._weights
        if key.isascii() and key.isdecimal():
            if len(key) < 10 and int(key) < weights.n_vocab:
                return int(key)
            raise UsageError(f"token ids of this model end at {weights.n_vocab - 1}")
        controls = [t for text, t in self.find_control_tokens(key).items() if text == key]
        tokens = controls or self.continuation(key)
        if len(tokens) == 1:
            return tokens[0]
        pieces = [weights.render_piece(t, special=True).decode("utf-8", "replace") for t in tokens]
        found = f"{len(tokens)} tokens ({', '.join(map(repr, pieces[:8]))})" if key else "empty"
        raise UsageError(f"{key!r} is {found}; pass the text or id of one token")

    def find_control_tokens(self, text: str) -> dict[str, int]:
        """Return the control tokens that a text spells, by their text."""
        weights = self._weights
        ids = weights.tokenize(text.encode(), add_special=False, parse_special=True)
        return {weights.token_text(t): t for t in ids if weights.is_special(t)}

    def _encode(self, text: str) -> tuple[int, ...]:
        raw = text.encode()
        return tuple(self._weights.tokenize(raw, add_special=False, parse_special=False))

    def _count_fixed(self, prompt: Prompt, ids: tuple[int, ...]) -> int:
        """Return the number of tokens that are the same for every input, 0 if too few to cache."""
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
        if self._probe is None or self._probe[0] != other:  # a batch has one probe for all prompts
            self._probe = other, self.chat_template.tokenize(other).token_ids
        n = common_prefix_length([ids, self._probe[1]])
        return n if n >= _MIN_FIXED else 0

    def _tokenize_large(self, prompt: Prompt, texts: list[str]) -> Tokenized:
        n = 0
        for text in texts:
            # In chunks, to reject a text that is much too long early.
            for at in range(0, len(text), _LARGE_TEXT):
                self._cancellation.check()
                chunk = text[at : at + _LARGE_TEXT].encode("utf-8", "replace")
                n += len(self._weights.tokenize(chunk, add_special=False, parse_special=False))
                needed = n - at // _LARGE_TEXT - 1  # each chunk border may split a token
                if needed > self._n_ctx:
                    raise ContextOverflow(
                        f"input needs more than {needed:,} tokens, but the context holds "
                        f"{self._n_ctx:,}; shorten the input or use a model with a longer context",
                        needed=needed,
                        available=self._n_ctx,
                    )
        return self.chat_template.tokenize(prompt)


def reuse_cached_tokens(
    ids: Sequence[int], cached: Sequence[int], weights: LlamaModel
) -> tuple[int, ...]:
    """Return the ids of a prompt, replaced by cached ids of the same text where possible.

    The tokens that a model generates may differ from the tokenization of their text. Reusing them
    lets a conversation continue from its KV cache. Special tokens are never inserted.
    """
    ids, cached = tuple(ids), tuple(cached)
    while True:
        at = common_prefix_length([ids, cached])
        if not _may_be_same_text(ids[at : at + 1], cached[at : at + 1], weights):
            return ids
        stop = at
        while stop < len(cached) and weights.kind(cached[stop]) == "ordinary":
            stop += 1
        raw = b"".join(weights.render_piece(token, special=True) for token in cached[at:stop])
        cached_text = raw.decode("utf-8", "replace").encode()  # as in the conversation's text
        text, end = b"", at
        while len(text) < len(cached_text) and end < len(ids):
            text += weights.render_piece(ids[end], special=True)
            end += 1
        if not cached_text or text != cached_text or end == len(ids):
            return ids
        ids = cached[:stop] + ids[end:]


def _may_be_same_text(one: tuple[int, ...], other: tuple[int, ...], weights: LlamaModel) -> bool:
    """Return whether two texts that begin with one of these tokens each can be the same."""
    if not one or not other:
        return False
    a, b = (weights.render_piece(token, special=True) for token in (*one, *other))
    try:
        a.decode(), b.decode()
    except UnicodeDecodeError:  # compare the whole texts
        return True
    return a.startswith(b) or b.startswith(a)
