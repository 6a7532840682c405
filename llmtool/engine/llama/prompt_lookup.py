"""Predict the next tokens of a reply that repeats tokens of its prompt or of itself.

The last tokens are looked up among all earlier ones, in hash chains of pairs as in deflate (RFC
1951, section 4); the tokens after the longest match are the prediction.

Source: prompt lookup decoding (Saxena, 2023). But: matches may be of any length from 2 on, and each
token that the reply adds, drafted or not, shows how often matches of this length were right.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable

_MAX_CANDIDATES = 8  # earlier places to compare
_LONGEST = 32  # tokens; longer matches count as this long
# How likely the next token of a match is right, by the bit length of the match: 2, 4, 8 and 16.
_ASSUMED = (0.0, 0.0, 0.4, 0.6, 0.85, 0.95, 0.95)
_WEIGHT = 4  # of the assumption, in tokens
_RECENT = 0.1  # weight of the last token in the share of tokens that were predicted


class PromptLookup:
    """The tokens of a prompt and its reply, with the earlier place that the end repeats.

    Example:
        >>> lookup = PromptLookup([5, 6, 7, 8, 9, 1, 5, 6])
        >>> lookup.predict(3)
        [7, 8, 9]
        >>> lookup.append(7)
        >>> lookup.predict(2), lookup.n_matched
        ([8, 9], 3)
    """

    def __init__(self, tokens: Iterable[int]) -> None:
        self._tokens = array("i")
        self._last: dict[int, int] = {}  # from a pair to the position after it
        self._before = array("i")  # from a position to that of the same pair before it, or -1
        self._at = -1  # the position of the predicted token
        self.n_matched = 0
        self._recent = 0.0
        self._right, self._tried = [0] * len(_ASSUMED), [0] * len(_ASSUMED)
        for token in tokens:
            self._add(token)
        self._find()

    def __len__(self) -> int:
        return len(self._tokens)

    def append(self, token: int) -> None:
        """Add the next token of the reply."""
        if self._at >= 0:
            kind = self.n_matched.bit_length()
            is_right = self._tokens[self._at] == token
            self._recent += _RECENT * (is_right - self._recent)
            self._tried[kind] += 1
            self._right[kind] += is_right
            if is_right:
                self._add(token)
                self._at += 1
                self.n_matched = min(self.n_matched + 1, _LONGEST)
                return
        else:
            self._recent -= _RECENT * self._recent
        self._add(token)
        self._find()

    def predict(self, n: int) -> list[int]:
        """Return up to `n` tokens that may follow; none without a match."""
        if self._at < 0:
            return []
        found = self._tokens[self._at : self._at + n].tolist()
        period = len(found)  # a match that reaches the end repeats
        while len(found) < n:
            found.append(found[-period])
        return found

    def chances(self, n: int) -> list[float]:
        """Return the probabilities that the first, the first two, … `n` predictions are right."""
        chance, found = 1.0, []
        for length in range(self.n_matched, self.n_matched + n):
            kind = min(length, _LONGEST).bit_length()
            right = self._right[kind] + _WEIGHT * max(_ASSUMED[kind], self._recent)
            chance *= right / (self._tried[kind] + _WEIGHT)
            found.append(chance)
        return found

    def _add(self, token: int) -> None:
        tokens = self._tokens
        pair = tokens[-1] << 32 | token if tokens else -1
        tokens.append(token)
        self._before.append(self._last.get(pair, -1))
        self._last[pair] = len(tokens)

    def _find(self) -> None:
        """Find the longest match of the last tokens, of equal ones the latest."""
        tokens, end = self._tokens, len(self._tokens)
        self._at, self.n_matched = -1, 0
        if end < 2:
            return
        at = self._before[-1]
        for _ in range(_MAX_CANDIDATES):
            if at < 2:
                return
            length, longest = 2, min(_LONGEST, at)
            while length < longest and tokens[at - length - 1] == tokens[end - length - 1]:
                length += 1
            if length > self.n_matched:
                self._at, self.n_matched = at, length
            at = self._before[at - 1]
