"""A loaded model with its tokenizer, limits, constraint compiler and softmax."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from llmtool.cancellation import Cancellation
from llmtool.engine.llama.context import ActiveAdapters
from llmtool.engine.llama.context_planner import CTX_STEP, round_up
from llmtool.engine.llama.draft import Speculation
from llmtool.engine.llama.model import LlamaModel
from llmtool.engine.llama.tokenizer import Tokenizer
from llmtool.engine.text_stream import ControlTokens, ReasoningTags
from llmtool.engine.types import (
    DEFAULT_MAX_TOKENS,
    Adapter,
    ChatTemplateOptions,
    Prompt,
    TokenLogprob,
)
from llmtool.errors import ContextOverflow
from llmtool.option_names import option
from llmtool.structured.constraint import Constraint

if TYPE_CHECKING:
    from llmtool.engine.llama.adapters import Adapters
    from llmtool.engine.llama.logprobs import LogSoftmax
    from llmtool.structured.compiler import CompiledConstraint, ConstraintCompiler


class LoadedModel:
    """A loaded model and the objects that all its requests share.

    Args:
        weights: the model, from `load_model`.
        n_ctx: maximum number of tokens of one request; None is the model's training context.
        cancellation: stops the tokenization of long texts.
        chat_template: replaces the model's chat template, and sets its variables.
        speculation: drafts tokens of the replies; None decodes them one by one.
        adapters: the LoRA adapters of prompts that name none.
        check_adapter: checks the file of an adapter before it is loaded.
    """

    def __init__(
        self,
        weights: LlamaModel,
        *,
        n_ctx: int | None,
        cancellation: Cancellation,
        chat_template: ChatTemplateOptions = ChatTemplateOptions(),
        speculation: Speculation | None = None,
        adapters: Sequence[Adapter] = (),
        check_adapter: Callable[[Path], object] = lambda path: None,
    ) -> None:
        self.speculation = speculation
        self.weights, self.cancellation = weights, cancellation
        self._default_adapters, self._check_adapter = tuple(adapters), check_adapter
        self._n_ctx_option = n_ctx
        self.n_ctx = n_ctx or weights.n_ctx_train
        self.tokenizer = Tokenizer(
            weights, n_ctx=self.n_ctx, cancellation=cancellation, chat_template=chat_template
        )
        self._compiler: ConstraintCompiler | None = None

    def close(self) -> None:
        """Free the model, unless an abandoned thread is still tokenizing."""
        if self.tokenizer.is_busy:
            return
        if "softmax" in self.__dict__:
            self.softmax.close()
        if self.speculation is not None:
            self.speculation.close()
        self.weights.close()

    def find_turn_end(self, prompt: Prompt) -> int | None:
        """Return the token that ends the reply beside the end tokens of the vocabulary, or None."""
        return self.tokenizer.chat_template.turn_end if prompt.messages else None

    @property
    def reasoning_tags(self) -> ReasoningTags | None:
        """The reasoning tags of the chat template, or None."""
        return self.tokenizer.chat_template.reasoning_tags

    @cached_property
    def control_tokens(self) -> ControlTokens:
        return ControlTokens(self.tokenizer.find_control_tokens)

    def select_adapters(self, prompt: Prompt | None = None) -> ActiveAdapters:
        """Return the LoRA adapters of a prompt, or the default ones; raise as `Adapters`."""
        adapters = self._default_adapters
        if prompt is not None and prompt.adapters is not None:
            adapters = prompt.adapters
        return self._adapters.activate(adapters) if adapters else ActiveAdapters()

    @cached_property
    def _adapters(self) -> Adapters:
        from llmtool.engine.llama.adapters import Adapters

        return Adapters(self.weights, check=self._check_adapter)

    def check_length(self, n_prompt: int, max_tokens: int | None) -> tuple[int, int]:
        """Return (max_tokens, n_ctx) for a prompt of `n_prompt` tokens.

        Raises:
            ContextOverflow: prompt and reply do not fit.
        """
        needed = n_prompt + (1 if max_tokens is None else max_tokens)
        if needed > self.n_ctx:
            raise ContextOverflow(
                self._describe_overflow(n_prompt, max_tokens), needed=needed, available=self.n_ctx
            )
        reply = max_tokens
        if reply is None:
            reply = min(DEFAULT_MAX_TOKENS, self.n_ctx - n_prompt)
        n_ctx = min(round_up(n_prompt + reply), max(self.n_ctx, CTX_STEP))
        return reply, self._n_ctx_option or n_ctx

    def _describe_overflow(self, n_prompt: int, max_tokens: int | None) -> str:
        n_reply = int(n_prompt == self.n_ctx) if max_tokens is None else max_tokens
        reply = f" and {n_reply:,} for the reply" if n_reply else ""
        if self.n_ctx < self.weights.n_ctx_train:
            advice = f"raise {option('n_ctx')}, up to {self.weights.n_ctx_train} for this model"
        elif max_tokens and n_prompt < self.n_ctx:
            advice = (
                f"lower {option('max_tokens')} to {self.n_ctx - n_prompt} or less, or shorten "
                "the input"
            )
        else:
            advice = "shorten the input or use a model with a longer context"
        return (
            f"input needs {n_prompt:,} tokens{reply}, but the context holds {self.n_ctx:,}; "
            f"{advice}"
        )

    @cached_property
    def softmax(self) -> LogSoftmax:
        from llmtool.engine.llama.logprobs import LogSoftmax

        return LogSoftmax(self.weights)

    def token_logprob(self, token: int, top: Sequence[tuple[int, float]]) -> TokenLogprob:
        """Return a token with its log-probability in the row that `softmax` has read.

        `top` are the alternatives to report: (token, log-probability) pairs.
        """
        (logprob,) = self.softmax.of([token])
        alternatives = tuple(self.token_record(*each) for each in top)
        return msgspec.structs.replace(self.token_record(token, logprob), top=alternatives)

    def token_record(self, token: int, logprob: float | None) -> TokenLogprob:
        piece = self.weights.render_piece(token, special=True)
        text = piece.decode("utf-8", "replace")
        return TokenLogprob(token=text, bytes=tuple(piece), logprob=logprob)

    def compile(self, constraint: Constraint | None) -> CompiledConstraint | None:
        """Return a constraint for one request, compiled for this model's vocabulary.

        Raises:
            UsageError: the schema, regular expression or grammar is not valid.
        """
        if constraint is None:
            return None
        if self._compiler is None:
            from llmtool.structured.compiler import ConstraintCompiler

            self._compiler = ConstraintCompiler(self.weights)
        return self._compiler.compile(constraint).for_request()
