"""Extract the code from the fenced blocks of a reply."""

from __future__ import annotations

from collections.abc import Generator, Iterable

import msgspec

from llmtool.engine.types import Token
from llmtool.errors import OutputValidationError
from llmtool.tasks.results import Generation
from llmtool.text.code_blocks import choose_block, find_blocks
from llmtool.text.code_languages import CodeLanguage, known_language

NO_CODE = "the reply has no fenced code block"


def extract_code(
    reply: str, language: CodeLanguage | None
) -> tuple[str, CodeLanguage | None] | None:
    """Return the code of a reply and its language, None without a fenced block.

    The largest block in the language is chosen, where the fence can have any alias of the language.
    Without a language, the largest block of all is chosen.

    Example:
        >>> extract_code("Sure:\\n```js\\nlet x\\n```", CodeLanguage.javascript)[0]
        'let x\\n'
    """
    blocks = [
        msgspec.structs.replace(block, language=known.value if known else block.language)
        for block in find_blocks(reply)
        for known in [known_language(block.language)]
    ]
    block = choose_block(blocks, language.value if language else None)
    if block is None:
        return None
    code = block.code.strip("\n") + "\n"
    return code, language or known_language(block.language)


def only_code(
    events: Iterable[Token | Generation], *, opening: str = ""
) -> Generator[Token | Generation, None, None]:
    """Replace the text of each reply with its code, and pass through only reasoning tokens.

    `opening` precedes each reply, because a prefill can open a fence.

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
            extracted = extract_code(opening + choice.text, None)
            if extracted is None:
                raise OutputValidationError(NO_CODE, result=event)
            choices.append(msgspec.structs.replace(choice, text=extracted[0]))
        yield msgspec.structs.replace(event, text=choices[0].text, choices=tuple(choices))
