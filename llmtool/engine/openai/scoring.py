"""Score candidates by the log-probabilities that a server returns."""

from __future__ import annotations

from typing import Protocol

from llmtool.engine.openai.capabilities import ServedModel, ServerInfo
from llmtool.engine.openai.connection import Connection
from llmtool.engine.openai.tokens import TokenCounter
from llmtool.engine.types import ScoreRequest, Scores
from llmtool.errors import UsageError


class Scorer(Protocol):
    """A way to score candidates; `method` names it for the user."""

    @property
    def method(self) -> str: ...

    async def score(self, request: ScoreRequest) -> Scores:
        """Return the scores of a request.

        Raises:
            LlmtoolError, Retryable, Fatal: the request failed.
        """
        ...


def choose_scorer(
    connection: Connection, server: ServerInfo, model: ServedModel, tokens: TokenCounter
) -> Scorer:
    """Return the most exact way in which a server can score candidates.

    Raises:
        UsageError: it has none; the message has the reason.
    """
    raise UsageError(
        f"{connection.endpoint.name}: the server cannot score labels, as it does not return the "
        "log-probabilities of given texts; use a local model"
    )
