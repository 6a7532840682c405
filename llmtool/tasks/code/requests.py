"""Several prompts of one template at once, each with a constraint of its own where it needs one."""

from __future__ import annotations

from collections.abc import Iterable

from llmtool.engine.types import Engine, Failed, Request, Usage
from llmtool.errors import ContextOverflow
from llmtool.tasks.pipeline.collect import stream_outcomes
from llmtool.tasks.pipeline.prepare import PreparedTask
from llmtool.tasks.results import Generation


def ask(
    engine: Engine, prepared: PreparedTask, requests: Iterable[Request]
) -> list[Generation | Failed]:
    """Return the outcome of each request, in their order; the engine serves them together."""
    outcomes = stream_outcomes(engine, requests, model=prepared.model, contract=prepared.contract)
    return [each for each in outcomes if isinstance(each, (Generation, Failed))]


def has_room(engine: Engine, request: Request, *, at_most: int | None = None) -> bool:
    """Whether a prompt and its reply fit into the window, the prompt in `at_most` tokens."""
    try:
        n_prompt = len(engine.tokenize(request.prompt).token_ids)
        engine.check_length(n_prompt, request.sampling.max_tokens)
    except ContextOverflow:
        return False
    return at_most is None or n_prompt <= at_most


def total(usages: Iterable[Usage]) -> Usage:
    """Return the sum of token counts."""
    usages = list(usages)
    return Usage(
        prompt_tokens=sum(usage.prompt_tokens for usage in usages),
        cached_tokens=sum(usage.cached_tokens for usage in usages),
        completion_tokens=sum(usage.completion_tokens for usage in usages),
    )
