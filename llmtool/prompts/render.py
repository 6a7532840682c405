"""A template and variables to messages. Variables are data: nothing in them is evaluated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import UNSET

from llmtool.engine.types import Message, Prompt
from llmtool.errors import InputError, UsageError
from llmtool.prompts import values
from llmtool.prompts.output import Output
from llmtool.prompts.template import Source, Template, compiled
from llmtool.suggest import suggest
from llmtool.templating import Budget


class Rendered(msgspec.Struct, frozen=True, kw_only=True):
    """What a template asks of a model: the conversation, how to sample, what the reply must be.

    `text` takes the conversation's place where the template's form is a completion; it ends with
    the prefill, which a conversation has apart. `probe` and `probe_text` are the same for another
    input, where the two have much in common: their beginning is worth keeping (see
    `engine.types.Prompt`).
    """

    messages: tuple[Message, ...]
    params: dict[str, Any]
    output: Output
    prefill: str = ""
    text: str | None = None
    probe: tuple[Message, ...] = ()
    probe_text: str = ""

    def prompt(self, *, prefill: str = "", thinking: bool = False) -> Prompt:
        """Return what the engine gets; `prefill` goes on with the template's own."""
        if self.text is not None:
            return Prompt(text=self.text, prefill=prefill, probe_text=self.probe_text)
        return Prompt(
            messages=self.messages,
            probe=self.probe,
            prefill=self.prefill + prefill,
            thinking=thinking,
        )


_MATERIAL = ("text", "file")  # types of inputs that differ from call to call
_OTHER_TEXT = "zq"
_MIN_FIXED = 160  # characters; what is shorter than 64 tokens is not kept


def render(
    template: Template,
    variables: Mapping[str, object],
    *,
    model_name: str | None = None,
    system: str | None = None,
) -> Rendered:
    """Return the messages of a template with these variables.

    Values are converted by the types of the inputs, so that texts from a command line do for
    numbers and lists. An optional input that is not given and has no default is an empty text or
    list, or none. Examples become turns of the conversation. `model_name` chooses the variant;
    `system` takes the place of the template's system message, as it is; "" leaves it out.

    Raises:
        UsageError: a variable is unknown, missing, or not of its type.
        InputError: a file cannot be read, or there is nothing to ask.
        TemplateError: the template fails on these values.

    Example:
        >>> from llmtool.prompts.template import parse_template
        >>> text = "llmtool: 1\\nname: hi\\ninputs: {who: {type: string}}\\nprompt: Hi {{ who }}"
        >>> template = parse_template(text, source="hi.yaml")
        >>> render(template, {"who": "{{ 7 * 7 }}"}).messages[0].content
        'Hi {{ 7 * 7 }}'
    """
    template = template.for_model(model_name)
    bound = _bind(template, variables)
    budget = Budget()  # one for all texts: examples can be many
    messages = _converse(template, bound, system, budget)
    if not messages[-1].content.strip():
        raise InputError(f"there is nothing to ask: the prompt of {template.name!r} is empty")
    probe = _probe(template, bound, system, messages, budget)
    is_text = template.form == "completion"
    return Rendered(
        messages=messages,
        params=dict(template.params),
        output=template.output,
        prefill=template.prefill,
        text=_as_text(messages, template.prefill) if is_text else None,
        probe=() if is_text else probe,
        probe_text=_as_text(probe, template.prefill) if is_text and probe else "",
    )


def _as_text(messages: tuple[Message, ...], prefill: str) -> str:
    """Return a conversation as text to go on with, a blank line behind each reply."""
    parts = []
    for message in messages:
        content = message.content.strip("\n")
        parts.append(f"{content}\n" if message.role == "user" else f"{content}\n\n")
    return "".join(parts) + prefill


def _probe(
    template: Template,
    bound: dict[str, object],
    system: str | None,
    messages: tuple[Message, ...],
    budget: Budget,
) -> tuple[Message, ...]:
    """Return the conversation for other material; nothing if it has too little in common."""
    fixed = sum(len(message.content) for message in messages[:-1]) + len(template.prompt.text)
    if fixed < _MIN_FIXED:
        return ()
    other = {
        name: _OTHER_TEXT if template.inputs[name].type in _MATERIAL and value else value
        for name, value in bound.items()
    }
    return _converse(template, other, system, budget) if other != bound else ()


def _converse(
    template: Template, bound: dict[str, object], system: str | None, budget: Budget
) -> tuple[Message, ...]:
    messages = []
    if system is None and template.system is not None:
        system = _text(template.system, bound, budget)
    if system:
        messages.append(Message("system", system))
    defaults = _defaults(template) if template.examples else {}
    for example in template.examples:
        shown = _text(template.prompt, {**defaults, **example.variables}, budget)
        messages += [
            Message("user", shown),
            Message("assistant", _answer(template, example.output)),
        ]
    messages.append(Message("user", _text(template.prompt, bound, budget)))
    return tuple(messages)


def _answer(template: Template, output: str) -> str:
    """Return the assistant's turn of an example: it begins as the reply will."""
    gap = " " if template.prefill and template.output.kind == "labels" else ""
    return f"{template.prefill}{gap}{output}"


def _bind(template: Template, variables: Mapping[str, object]) -> dict[str, object]:
    for name in variables:
        if name not in template.inputs:
            known = ", ".join(template.inputs) or "none"
            hint = suggest(name, template.inputs) or f" (there are: {known})"
            raise UsageError(f"template {template.name!r} has no input {name!r}{hint}")
    bound = _defaults(template)
    for name, spec in template.inputs.items():
        if name in variables:
            try:
                bound[name] = values.convert(spec, variables[name])
            except ValueError as exc:
                raise UsageError(f"input {name!r} of template {template.name!r}: {exc}") from exc
        elif spec.required:
            raise UsageError(
                f"template {template.name!r} needs a value for {name!r}: -p {name}=VALUE"
            )
        value = bound[name]
        if spec.required and spec.type == "text" and isinstance(value, str) and not value.strip():
            raise InputError(f"the {name} is empty")
    return bound


def _defaults(template: Template) -> dict[str, object]:
    return {
        name: values.absent(spec) if spec.default is UNSET else values.convert(spec, spec.default)
        for name, spec in template.inputs.items()
    }


def _text(source: Source, variables: Mapping[str, object], budget: Budget) -> str:
    return compiled(source).render_on(budget, variables)
