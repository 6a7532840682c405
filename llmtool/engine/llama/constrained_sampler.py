"""Sampling with a constraint on the answer, but not on the reasoning before it.

A reasoning model may begin its reply with a reasoning tag of one or more tokens. Tokens are sampled
without the constraint as long as they may form a tag.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from llmtool.engine.llama.context import Context
from llmtool.engine.llama.model import LlamaModel
from llmtool.engine.llama.sampler import Sampler
from llmtool.engine.reply import Reply
from llmtool.engine.text_stream import ReasoningTags

if TYPE_CHECKING:
    from llmtool.structured.compiler import CompiledConstraint


class ConstrainedSampler:
    """Samples the tokens of one reply with a constraint.

    Args:
        reply: the reply so far.
        tags: the tags that the reply may begin with; None if it must not reason.
    """

    def __init__(
        self,
        sampler: Sampler,
        constraint: CompiledConstraint,
        reply: Reply,
        *,
        tags: ReasoningTags | None,
        weights: LlamaModel,
    ) -> None:
        self._sampler, self._constraint = sampler, constraint
        self._reply, self._weights = reply, weights
        self._tags = [tag for tag in (tags.start, tags.answer) if tag] if tags else []
        self._matcher = constraint.start()
        self._pending: list[int] = []  # tokens that may begin a tag
        self._is_constrained = False

    def sample(self, context: Context, row: int) -> int:
        """Sample the next token from a row of logits."""
        self._is_constrained = False
        if self._reply.in_reasoning:
            return self._sampler.sample(context, row)
        if self._tags and self._reply.undecided:
            token = self._sampler.sample(context, row)
            if self._begins_tag([*self._pending, token]):
                self._pending.append(token)
                return token
            if self._pending and not self._constrain_pending():
                self._pending.append(self._continue_tag())
                return self._pending[-1]
            self._tags = []
        self._is_constrained = True
        return self._sampler.sample(context, row, self._matcher)

    def accept(self, token: int) -> None:
        """Advance by a sampled token that does not end the reply."""
        if self._is_constrained:
            self._matcher.accept(token)

    def forced_tokens(self) -> list[int]:
        """Return the tokens of the text that the constraint forces next."""
        return self._matcher.forced_tokens() if self._is_constrained else []

    def count_allowed(self, tokens: Sequence[int]) -> int:
        """Return how many of these tokens, from the first, the constraint allows next."""
        return self._matcher.count_allowed(tokens) if self._is_constrained else len(tokens)

    @property
    def finished(self) -> bool:
        """Whether the reply must end here."""
        return self._is_constrained and self._matcher.finished

    @property
    def ended_repetition(self) -> bool:
        """Whether a string or array was ended because it repeated itself."""
        return self._matcher.ended_repetition

    def close(self) -> None:
        self._matcher.close()

    def _text(self, tokens: list[int]) -> str:
        pieces = [self._weights.render_piece(token, special=True) for token in tokens]
        return b"".join(pieces).decode("utf-8", "replace").lstrip()

    def _begins_tag(self, tokens: list[int]) -> bool:
        text = self._text(tokens)
        return bool(text) and any(t.startswith(text) or text.startswith(t) for t in self._tags)

    def _constrain_pending(self) -> bool:
        """Make the pending tokens the beginning of the answer, if the constraint allows them."""
        matcher = self._constraint.start()
        for token in self._pending:
            if not matcher.allows(token):
                matcher.close()
                return False
            matcher.accept(token)
        self._matcher.close()
        self._matcher = matcher
        return True

    def _continue_tag(self) -> int:
        """Return the next token of the tag that the pending tokens begin."""
        text = self._text(self._pending)
        rest = next(tag for tag in self._tags if tag.startswith(text))[len(text) :]
        return self._weights.tokenize(rest.encode(), add_special=False, parse_special=True)[0]
