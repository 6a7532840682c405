"""Replace a reply that an input does not support by a fixed one: "The document does not say."

Two continuations of the prompt are scored, the reply and the fixed one, each by the share of its
information that the input explains: 1 - log P(reply | input) / log P(reply), the pointwise form of
Theil's uncertainty coefficient. A mean over tokens would be dominated by the words that repeat the
question, and probabilities without the division favour fluent guesses.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import msgspec

from llmtool.engine.types import Prompt, ScoreRequest, Scores
from llmtool.tasks.results import Abstention

if TYPE_CHECKING:
    from llmtool.prompts.schema import Abstain


class AbstentionScores:
    """Scores the replies to a request; yield from `start` and `add`, until `is_complete`.

    Args:
        id: of the request, and of those that score its replies.
        prompt: of the request.
        baseline: the prompt without the input.
    """

    def __init__(self, id: int, abstain: Abstain, *, prompt: Prompt, baseline: Prompt) -> None:
        self._id, self._abstain = id, abstain
        self._prompt, self._baseline = prompt, baseline
        self._candidates: tuple[str, ...] = ()
        self._scores: list[Scores] = []
        self.is_complete = False

    @property
    def fixed_reply(self) -> str:
        return self._abstain.reply

    @property
    def scores(self) -> Sequence[Scores]:
        return self._scores

    def start(self, replies: Sequence[str]) -> Iterator[ScoreRequest]:
        """Yield the first request that scores replies, unless all are empty."""
        written = [reply for reply in dict.fromkeys(replies) if reply.strip()]
        self.is_complete = not written
        if written:
            first = written[0]
            space = first[: len(first) - len(first.lstrip())]
            self._candidates = (space + self._abstain.reply, *written)
            yield self._score_request(self._prompt)

    def add(self, scores: Scores) -> Iterator[ScoreRequest]:
        """Add scores; yield the request that scores the same replies without the input."""
        self._scores.append(scores)
        if len(self._scores) == 1:
            yield self._score_request(self._baseline)
        self.is_complete = len(self._scores) == 2

    def judge(self, reply: str) -> Abstention:
        """Return whether a reply is replaced, with its score."""
        threshold = self._abstain.threshold
        if not reply.strip():
            return Abstention(abstained=True, score=None, threshold=threshold, answer=reply)
        score = self._share(self._candidates.index(reply, 1)) - self._share(0)
        abstained = score < threshold or reply.strip() == self._abstain.reply.strip()
        return Abstention(abstained=abstained, score=score, threshold=threshold, answer=reply)

    def _score_request(self, prompt: Prompt) -> ScoreRequest:
        prompt = msgspec.structs.replace(prompt, thinking=None)
        return ScoreRequest(id=self._id, prompt=prompt, candidates=self._candidates)

    def _share(self, index: int) -> float:
        """Return the share of a candidate's information that the input explains, from -1 to 1."""
        with_input, without = (each.totals[index] for each in self._scores)
        return max(-1.0, 1.0 - with_input / without) if without else 0.0
