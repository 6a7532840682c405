"""Run a single request on an engine."""

from __future__ import annotations

from llmtool.engine.llama.engine import LocalEngine
from llmtool.engine.types import Failed, Finished, Request, Token


def run(engine: LocalEngine, request: Request) -> tuple[str, int]:
    """Return (text, cached tokens)."""
    text, cached = "", -1
    for event in engine.stream([request]):
        if isinstance(event, Failed):
            raise event.error
        if isinstance(event, Token):
            text += event.text
        if isinstance(event, Finished):
            cached = event.usage.cached_tokens
    return text, cached
