"""Split a text that is longer than the context into chunks that are scored separately."""

from __future__ import annotations

import msgspec

from llmtool.engine.types import Engine
from llmtool.tasks.classify.prompts import LabelPrompts
from llmtool.tasks.pipeline.prepare import Case, token_counter
from llmtool.text.chunks import split

_MARGIN = 8  # tokens; a split may divide a token, and joined words can take more tokens
_MIN_CHUNK = 32  # tokens


def split_case(engine: Engine, prompts: LabelPrompts, case: Case) -> list[Case]:
    """Return the case itself if it fits the context, else one case for each chunk of its text."""
    name = prompts.text_input
    text = case.variables.get(name) if name else None
    # A token has at least one byte, so most texts need not be tokenized.
    if not isinstance(text, str) or len(text.encode("utf-8", "replace")) < engine.info.n_ctx // 2:
        return [case]

    def with_text(chunk: str) -> Case:
        return msgspec.structs.replace(case, variables={**case.variables, str(name): chunk})

    count = token_counter(engine)
    overhead = len(engine.tokenize(prompts.request(with_text("x")).prompt).token_ids)
    longest_label = max(map(count, prompts.candidates))
    max_tokens = engine.info.n_ctx - overhead - longest_label - _MARGIN
    if max_tokens < _MIN_CHUNK:
        return [case]  # labels and examples fill the context; the engine raises the error
    chunks = split(text, max_tokens=max_tokens, count=count)
    return [with_text(chunk) for chunk in chunks if chunk.strip()]
