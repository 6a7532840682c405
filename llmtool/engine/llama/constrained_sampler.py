"""When a constraint holds: in the answer, and not in a thought before it.

A thinking model may begin its reply with a thought's mark, which can be one token or several. Until
that is decided tokens are drawn freely; then the constraint takes over, from its beginning.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmtool.engine.llama.context import Context
from llmtool.engine.llama.model import LlamaModel
from llmtool.engine.llama.sampler import Sampler
from llmtool.engine.reply import Reply
from llmtool.engine.text_stream import ReasoningTags

if TYPE_CHECKING:
    from llmtool.structured.compiler import CompiledConstraint


class Binding:
    """Draws the tokens of one reply under a constraint.

    Args:
        marks: of a thought that the model may begin with; None where it must not.
    """

    def __init__(
        self,
        constraint: CompiledConstraint,
        reply: Reply,
        *,
        marks: ReasoningTags | None,
        weights: LlamaModel,
    ) -> None:
        self._constraint, self._reply, self._weights = constraint, reply, weights
        self._marks = [mark for mark in (marks.start, marks.answer) if mark] if marks else []
        self._matcher = constraint.start()
        self._held: list[int] = []  # tokens that may come to be a mark
        self._is_bound = False

    def draw(self, sampler: Sampler, context: Context, row: int) -> int:
        """Choose the next token from a row of logits."""
        self._is_bound = False
        if self._reply.in_thought:
            return sampler.sample(context, row)
        if self._marks and self._reply.undecided:
            token = sampler.sample(context, row)
            if self._begins_mark([*self._held, token]):
                self._held.append(token)
                return token
            if self._held and not self._bind_held():
                self._held.append(self._next_of_mark())
                return self._held[-1]
            self._marks = []
        self._is_bound = True
        return sampler.sample(context, row, self._matcher)

    def accept(self, token: int) -> None:
        """Take a drawn token that is no end."""
        if self._is_bound:
            self._matcher.accept(token)

    @property
    def finished(self) -> bool:
        """Whether nothing but the end may follow."""
        return self._is_bound and self._matcher.finished

    def close(self) -> None:
        self._matcher.close()

    def _text(self, tokens: list[int]) -> str:
        pieces = [self._weights.render_piece(token, special=True) for token in tokens]
        return b"".join(pieces).decode("utf-8", "replace").lstrip()

    def _begins_mark(self, tokens: list[int]) -> bool:
        text = self._text(tokens)
        return bool(text) and any(m.startswith(text) or text.startswith(m) for m in self._marks)

    def _bind_held(self) -> bool:
        """Take what looked like a mark for the answer's beginning, if the constraint allows it."""
        matcher = self._constraint.start()
        for token in self._held:
            if not matcher.allows(token):
                matcher.close()
                return False
            matcher.accept(token)
        self._matcher.close()
        self._matcher = matcher
        return True

    def _next_of_mark(self) -> int:
        """Return the token that goes on with the mark, which nothing else can follow any more."""
        text = self._text(self._held)
        rest = next(mark for mark in self._marks if mark.startswith(text))[len(text) :]
        return self._weights.tokenize(rest.encode(), add_special=False, parse_special=True)[0]
