"""Replace a reply that an input does not support by a fixed one: "The document does not say."

Two continuations of the prompt are scored, the reply and the fixed one, each as the mean
log-probability that the input adds to its tokens (pointwise mutual information, as in Holtzman et
al., "Surface Form Competition", 2021). Without the subtraction, a fluent guess has a high
probability whatever the input says.
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
        score = self._gain(self._candidates.index(reply, 1)) - self._gain(0)
        abstained = score < threshold or reply.strip() == self._abstain.reply.strip()
        return Abstention(abstained=abstained, score=score, threshold=threshold, answer=reply)

    def _score_request(self, prompt: Prompt) -> ScoreRequest:
        prompt = msgspec.structs.replace(prompt, thinking=None)
        return ScoreRequest(id=self._id, prompt=prompt, candidates=self._candidates)

    def _gain(self, index: int) -> float:
        """Return the mean log-probability that the input adds to the tokens of a candidate."""
        with_input, without = (each.logprobs[index] for each in self._scores)
        return (sum(with_input) - sum(without)) / len(with_input)
