"""Render a template with variables to messages. Variables are data and never evaluated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import UNSET

from llmtool.engine.types import Adapter, Effort, Message, Prompt
from llmtool.errors import InputError, UsageError
from llmtool.option_names import option
from llmtool.prompts import values
from llmtool.prompts.output import Output
from llmtool.prompts.template import Source, Template, compiled
from llmtool.suggest import suggest
from llmtool.templating import Budget


class Rendered(msgspec.Struct, frozen=True, kw_only=True):
    """A rendered template: messages, sampling options and output format.

    A template of form `completion` renders to `text`, which ends with the prefill. `probe` and
    `probe_text` are the same template rendered with another input. They are set if the two share a
    prefix that is worth caching (see `engine.types.Prompt`). `is_input` is whether the template
    adds nothing to a text of the user.
    """

    messages: tuple[Message, ...]
    params: dict[str, Any]
    output: Output
    prefill: str = ""
    text: str | None = None
    probe: tuple[Message, ...] = ()
    probe_text: str = ""
    is_input: bool = False
    lora: tuple[Adapter, ...] = ()

    def prompt(self, *, prefill: str = "", thinking: bool | Effort | None = None) -> Prompt:
        """Return the engine's prompt; `prefill` is appended to the template's own."""
        adapters = self.lora or None
        if self.text is not None:
            return Prompt(
                text=self.text, prefill=prefill, probe_text=self.probe_text, adapters=adapters
            )
        return Prompt(
            messages=self.messages,
            probe=self.probe,
            prefill=self.prefill + prefill,
            thinking=thinking,
            continues=self.is_input,
            adapters=adapters,
        )


_VARYING_TYPES = ("text", "file")  # inputs of these types differ from call to call
_OTHER_TEXT = "zq"
_MIN_FIXED = 160  # characters; prefixes shorter than 64 tokens are not cached


def render(
    template: Template,
    variables: Mapping[str, object],
    *,
    model_name: str | None = None,
    system: str | None = None,
) -> Rendered:
    """Render a template with variables.

    Values are converted to the types of the inputs, so strings from a command line work for numbers
    and lists. An optional input without a value or default becomes an empty string, an empty list
    or None. Examples become turns of the conversation. `model_name` selects the variant. `system`
    replaces the template's system message, unrendered; "" removes it.

    Raises:
        UsageError: a variable is unknown, missing, or of the wrong type.
        InputError: a file cannot be read, or the prompt is empty.
        TemplateError: rendering failed with these values.

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
        raise InputError(f"the prompt of template {template.name!r} is empty; give it some text")
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
        lora=template.lora,
        is_input=len(messages) == 1 and _is_value(messages[0].content, bound),
    )


def _is_value(text: str, bound: Mapping[str, object]) -> bool:
    values = (value for value in bound.values() if isinstance(value, str))
    return any(text.strip() == value.strip() for value in values)


def _as_text(messages: tuple[Message, ...], prefill: str) -> str:
    """Return a conversation as plain text, with a blank line after each reply."""
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
    """Render the template with another input; return nothing if the shared prefix is short."""
    varying = {
        name: value
        for name, value in bound.items()
        if template.inputs[name].type in _VARYING_TYPES and value
    }
    fixed = sum(len(message.content) for message in messages)
    if fixed - sum(len(str(value)) for value in varying.values()) < _MIN_FIXED:
        return ()
    other = {**bound, **dict.fromkeys(varying, _OTHER_TEXT)}
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
        question = _text(template.prompt, {**defaults, **example.variables}, budget)
        messages += [
            Message("user", question),
            Message("assistant", _answer(template, example.output)),
        ]
    messages.append(Message("user", _text(template.prompt, bound, budget)))
    return tuple(messages)


def _answer(template: Template, output: str) -> str:
    """Return the assistant's turn of an example, which begins with the prefill."""
    gap = " " if template.prefill and template.output.kind == "labels" else ""
    return f"{template.prefill}{gap}{output}"


def _bind(template: Template, variables: Mapping[str, object]) -> dict[str, object]:
    for name in variables:
        if name not in template.inputs:
            known = ", ".join(template.inputs) or "none"
            hint = suggest(name, template.inputs) or f"; its inputs are: {known}"
            raise UsageError(f"template {template.name!r} has no input {name!r}{hint}")
    bound = _defaults(template)
    for name, spec in template.inputs.items():
        if name in variables:
            try:
                bound[name] = values.convert(spec, variables[name])
            except ValueError as exc:
                message = f"input {name!r} of template {template.name!r}: {exc}"
                raise UsageError(message, option=name) from exc
        elif spec.required:
            raise UsageError(
                f"template {template.name!r} needs a value for {name!r}: pass "
                f"{option('variables', {name: 'VALUE'})}"
            )
        value = bound[name]
        if spec.required and spec.type == "text" and isinstance(value, str) and not value.strip():
            raise InputError(f"input {name!r} is empty")
    return bound


def _defaults(template: Template) -> dict[str, object]:
    return {
        name: values.absent(spec) if spec.default is UNSET else values.convert(spec, spec.default)
        for name, spec in template.inputs.items()
    }


def _text(source: Source, variables: Mapping[str, object], budget: Budget) -> str:
    return compiled(source).render_on(budget, variables)
