"""Extract the code from the fenced blocks of a reply."""

from __future__ import annotations

from collections.abc import Generator

import msgspec

from llmtool.engine.types import Token
from llmtool.errors import OutputValidationError
from llmtool.tasks.results import Generation
from llmtool.tasks.streams import Stream
from llmtool.text.code_blocks import choose_block, find_blocks
from llmtool.text.code_languages import known_language

NO_CODE = "the reply has no fenced code block"


def extract_code(reply: str, language: str | None) -> tuple[str, str | None] | None:
    """Return the code of the block that `choose_block` finds in a reply, and its language.

    The result is None without a fenced block.

    Example:
        >>> extract_code("Sure:\\n```js\\nlet x\\n```", "javascript")[0]
        'let x\\n'
    """
    block = choose_block(find_blocks(reply), language)
    if block is None:
        return None
    return block.code.strip("\n") + "\n", language or known_language(block.language)


def only_code(stream: Stream[Token, Generation], *, opening: str = "") -> Stream[Token, Generation]:
    """Replace the text of each reply with its code, and pass through only reasoning tokens.

    `opening` precedes each reply, because a prefill can open a fence.

    Raises:
        OutputValidationError: a reply has no fenced block.
    """

    def run() -> Generator[Token | Generation, None, None]:
        with stream:
            yield from (token for token in stream if token.reasoning)
            result = stream.result
        choices = []
        for choice in result.choices:
            extracted = extract_code(opening + choice.text, None)
            if extracted is None:
                raise OutputValidationError(NO_CODE, result=result)
            choices.append(msgspec.structs.replace(choice, text=extracted[0]))
        yield msgspec.structs.replace(result, text=choices[0].text, choices=tuple(choices))

    return Stream(run(), Generation)
