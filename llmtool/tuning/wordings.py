"""Wording variants of a template: given by the user, or written by the model.

A variant replaces the instruction: the system message, or else the lines of the prompt that are
sentences. Expressions in it, such as `{{ n }}`, remain, and a model cannot add any, so the text
that it writes is never evaluated.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import msgspec

from llmtool.errors import UsageError
from llmtool.option_names import option
from llmtool.tasks.generate.task import stream_generate
from llmtool.tasks.options import GenerateOptions, SamplingOptions
from llmtool.tuning.candidates import Wording

if TYPE_CHECKING:
    from llmtool.prompts.template import Template
    from llmtool.tasks.pipeline.context import TaskContext

_EXPRESSION = re.compile(r"\{\{.*?\}\}")
_JINJA = re.compile(r"\{[{%#]|[#%}]\}")
_WORD = re.compile(r"[^\W\d_]{2,}")
_MIN_WORDS, _MAX_WORDS = 3, 120
_MAX_TOKENS = 200
_TEMPERATURE = 0.9
_REWRITE = (
    "The text is an instruction for a language model. Write the same instruction in other words, "
    "clearer and more precise. Keep everything in double braces unchanged. Reply with the "
    "instruction only."
)
_INVENT = (
    "The text describes what a language model should do. Write it as an instruction for the model, "
    "in one or two sentences. Reply with the instruction only."
)


class Instruction(msgspec.Struct, frozen=True, kw_only=True):
    """The instruction of a template: `before` and `after` it in `key`, a key of the template.

    `text` is empty if the template has none.
    """

    key: str
    text: str = ""
    before: str = ""
    after: str = ""

    def with_text(self, text: str) -> dict[str, str]:
        return {self.key: f"{self.before}{text}{self.after}"}


def find_instruction(template: Template) -> Instruction:
    """Return the instruction of a template.

    Example:
        >>> from llmtool.prompts.library import Library
        >>> find_instruction(Library().load("title")).text
        'Write a short title for this text.'
    """
    if template.system is not None and _is_sentence(template.system.text):
        text = template.system.text
        end = text[len(text.rstrip()) :]
        return Instruction(key="system", text=text.strip(), after=end)
    lines = template.prompt.text.splitlines(keepends=True)
    found = [i for i, line in enumerate(lines) if _is_sentence(line)]
    if not found:
        return Instruction(key="system")
    first = last = found[0]
    while last + 1 in found:
        last += 1
    text = "".join(lines[first : last + 1])
    end = text[len(text.rstrip()) :]
    return Instruction(
        key="prompt",
        text=text.strip(),
        before="".join(lines[:first]),
        after=end + "".join(lines[last + 1 :]),
    )


def _is_sentence(text: str) -> bool:
    plain = _EXPRESSION.sub("", text)
    return not _JINJA.search(plain) and len(_WORD.findall(plain)) >= _MIN_WORDS


def given_wordings(template: Template, texts: Sequence[str]) -> list[Wording]:
    """Return the variants that a user gives.

    A text with the main input, such as `{{ text }}`, is a whole prompt, any other an instruction.

    Raises:
        UsageError: a text is empty, or lacks an expression of the instruction that it replaces.
    """
    instruction, primary = find_instruction(template), template.primary_input()
    wordings = []
    for number, text in enumerate(texts, 1):
        if not text.strip():
            raise UsageError(f"{option('variants', text)}: must not be empty")
        name = f"given {number}"
        if primary is not None and any(primary in each for each in _EXPRESSION.findall(text)):
            wordings.append(Wording(name=name, text=text, changes={"prompt": text}))
            continue
        for expression in _EXPRESSION.findall(instruction.text):
            if expression not in text:
                raise UsageError(
                    f"{option('variants', text)}: must contain {expression}, as the instruction "
                    "that it replaces"
                )
        wordings.append(Wording(name=name, text=text, changes=instruction.with_text(text)))
    return wordings


def write_wordings(context: TaskContext, template: Template, n: int) -> tuple[list[Wording], int]:
    """Let the model write `n` variants; return the valid ones and the number of replies."""
    instruction = find_instruction(template)
    text = instruction.text or _describe(template)
    if not n or not text:
        return [], 0
    options = GenerateOptions(
        input=text,
        n=n,
        sampling=SamplingOptions(temperature=_TEMPERATURE, seed=0, max_tokens=_MAX_TOKENS),
    )
    request = _REWRITE if instruction.text else _INVENT
    reply = stream_generate(context, request, options).result
    wordings: list[Wording] = []
    for written in _valid([choice.text for choice in reply.choices], instruction.text):
        name = f"written {len(wordings) + 1}"
        wordings.append(Wording(name=name, text=written, changes=instruction.with_text(written)))
    return wordings, n


def _describe(template: Template) -> str:
    """Return what a template without an instruction does, empty if it says nothing about it."""
    labels = [f"{name} ({text})" if text else name for name, text in template.output.labels.items()]
    choices = f"The labels are: {', '.join(labels)}." if labels else ""
    return " ".join(filter(None, [template.description, choices]))


def _valid(texts: Sequence[str], instruction: str) -> Iterator[str]:
    """Yield the texts that can replace an instruction, each once."""
    expressions = Counter(_EXPRESSION.findall(instruction))
    seen = {_comparable(instruction)}
    for text in texts:
        text = " ".join(text.strip().strip("\"'`").split())
        if Counter(_EXPRESSION.findall(text)) != expressions:
            continue
        if _JINJA.search(_EXPRESSION.sub("", text)) or not text.isprintable():
            continue
        if not _MIN_WORDS <= len(_WORD.findall(text)) <= _MAX_WORDS or _comparable(text) in seen:
            continue
        seen.add(_comparable(text))
        yield text


def _comparable(text: str) -> str:
    return " ".join(_WORD.findall(text.casefold()))
