"""Split a text that is longer than the context into parts that are scored on their own."""

from __future__ import annotations

import msgspec

from llmtool.engine.types import Engine
from llmtool.tasks.classify.prompts import LabelPrompts
from llmtool.tasks.pipeline.prepare import Case, token_counter
from llmtool.text.chunks import split

_MARGIN = 8  # tokens; a cut may split a token, and joined words can take more tokens
_MIN_PART = 32  # tokens


def split_case(engine: Engine, prompts: LabelPrompts, case: Case) -> list[Case]:
    """Return the case itself if it fits, else one case for each part of its text."""
    name = prompts.text_input
    text = case.variables.get(name) if name else None
    # A token has at least one byte, so most texts need not be counted.
    if not isinstance(text, str) or len(text.encode("utf-8", "replace")) < engine.info.n_ctx // 2:
        return [case]

    def with_text(part: str) -> Case:
        return msgspec.structs.replace(case, variables={**case.variables, str(name): part})

    count = token_counter(engine)
    overhead = len(engine.tokenize(prompts.request(with_text("x")).prompt).token_ids)
    longest_label = max(map(count, prompts.candidates))
    max_tokens = engine.info.n_ctx - overhead - longest_label - _MARGIN
    if max_tokens < _MIN_PART:
        return [case]  # labels and examples fill the context, which the engine reports
    return [with_text(p) for p in split(text, max_tokens=max_tokens, count=count) if p.strip()]
