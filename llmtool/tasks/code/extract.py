"""Replies with nothing in them but their code."""

from __future__ import annotations

from collections.abc import Generator, Iterable

import msgspec

from llmtool.engine.types import Token
from llmtool.errors import OutputValidationError
from llmtool.tasks.code.candidates import take_code
from llmtool.tasks.results import Generation

NO_CODE = "the reply has no code in it (no fenced block)"


def only_code(
    events: Iterable[Token | Generation], *, opened: str = ""
) -> Generator[Token | Generation, None, None]:
    """Yield a generation whose replies are the code in their first fence, and its reasoning.

    `opened` is how the replies begin without saying so: a fence may have been opened there.

    Raises:
        OutputValidationError: a reply has no fenced block.
    """
    for event in events:
        if isinstance(event, Token):
            if event.reasoning:
                yield event
            continue
        choices = []
        for choice in event.choices:
            taken = take_code(opened + choice.text, None)
            if taken is None:
                raise OutputValidationError(NO_CODE, result=event)
            choices.append(msgspec.structs.replace(choice, text=taken[0]))
        yield msgspec.structs.replace(event, text=choices[0].text, choices=tuple(choices))
