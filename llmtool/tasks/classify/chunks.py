"""A case whose text is longer than the context, as several whose texts fit."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from llmtool.engine.types import Engine, Prompt
from llmtool.tasks.pipeline.prepare import Case
from llmtool.text.chunks import split

_MARGIN, _MIN_PART = 8, 32  # tokens; a cut may split a token, and words join differently


def parts_of(
    engine: Engine,
    case: Case,
    name: str | None,
    *,
    prompt: Callable[[Case], Prompt],
    answers: Sequence[str],
) -> list[Case]:
    """Return the case itself where it fits, else one for each part of its text.

    Args:
        name: the input that holds the text.
        prompt: renders a case.
        answers: what may follow the prompt; the longest has to fit as well.
    """
    text = case.variables.get(name) if name else None
    # A token has a byte at least, so most texts need not be counted.
    if not isinstance(text, str) or len(text.encode("utf-8", "replace")) < engine.info.n_ctx // 2:
        return [case]

    def with_text(part: str) -> Case:
        return msgspec.structs.replace(case, variables={**case.variables, str(name): part})

    def count(part: str) -> int:
        return len(engine.tokenize(Prompt(text=part)).token_ids) if part else 0

    around = len(engine.tokenize(prompt(with_text("x"))).token_ids)
    room = engine.info.n_ctx - around - max(map(count, answers)) - _MARGIN
    if room < _MIN_PART:
        return [case]  # labels and examples fill the context: told as an overflow
    return [with_text(p) for p in split(text, max_tokens=room, count=count) if p.strip()]
