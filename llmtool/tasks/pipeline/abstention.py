"""Replace a reply that inputs do not support by a fixed one: "The document does not say."

Two continuations of the prompt are scored, the reply and the fixed one. For each input, the share
of a reply's information that it explains is 1 - log P(reply | input) / log P(reply | other input),
the pointwise form of Theil's uncertainty coefficient. The document explains little of an invented
reply, and the question little of one that repeats any sentence of the document; so the shares are
multiplied. A mean over tokens would be dominated by the words that repeat the question.

A reply that ends with a colon announces an answer and has none, and one that ends with a question
mark repeats the question, so both are replaced as well. So is one with a number that the prompt
lacks, if the template says so: small models invent numbers, but others calculate.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import msgspec

from llmtool.engine.types import Prompt, ScoreRequest, Scores
from llmtool.tasks.results import Abstention

if TYPE_CHECKING:
    from llmtool.prompts.schema import Abstain

_QUOTES = " \n\"'”’»」』)"
_LIST_MARKER = re.compile(r"\A\s*\d{1,2}[.)]\s+")


class AbstentionScores:
    """Scores the replies to a request; yield from `start` and `add`, until `is_complete`.

    Args:
        id: of the request, and of those that score its replies.
        prompts: the prompt, and the prompts with other values of the inputs.
    """

    def __init__(self, id: int, abstain: Abstain, prompts: tuple[Prompt, ...]) -> None:
        self._id, self._abstain, self._prompts = id, abstain, prompts
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
            yield self._next_request()

    def add(self, scores: Scores) -> Iterator[ScoreRequest]:
        """Add scores; yield the request that scores the same replies in the next prompt."""
        self._scores.append(scores)
        self.is_complete = len(self._scores) == len(self._prompts)
        if not self.is_complete:
            yield self._next_request()

    def judge(self, reply: str) -> Abstention:
        """Return whether a reply is replaced, with its score."""
        threshold = self._abstain.threshold
        if not reply.strip():
            return Abstention(abstained=True, score=None, threshold=threshold, text=reply)
        score = self._support(self._candidates.index(reply, 1)) - self._support(0)
        is_fixed = reply.strip() == self._abstain.reply.strip()
        abstained = score < threshold or is_fixed or self._is_unfounded(reply)
        return Abstention(abstained=abstained, score=score, threshold=threshold, text=reply)

    def _is_unfounded(self, reply: str) -> bool:
        """Return whether a reply ends before the answer, or has a number that the prompt lacks."""
        if reply.rstrip(_QUOTES).endswith((":", "：", "?", "？")):
            return True
        if not self._abstain.numbers:
            return False
        from llmtool.text.mentions import find_numbers

        prompt = self._prompts[0]
        texts = (prompt.text or "", *(message.content for message in prompt.messages))
        known = {reading for n in find_numbers("\n".join(texts)) for reading in n.readings}
        answer = _LIST_MARKER.sub("", reply)
        found = (n for n in find_numbers(answer) if answer[n.start].isdigit())
        return any(not number.readings & known for number in found)

    def _next_request(self) -> ScoreRequest:
        prompt = msgspec.structs.replace(self._prompts[len(self._scores)], thinking=None)
        return ScoreRequest(id=self._id, prompt=prompt, candidates=self._candidates)

    def _support(self, index: int) -> float:
        """Return the product of the shares of a candidate that the inputs explain, from 0 to 1."""
        own, *others = (scores.totals[index] for scores in self._scores)
        return math.prod(max(0.0, 1 - own / other) if other else 0.0 for other in others)
