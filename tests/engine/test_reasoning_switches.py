"""Reasoning is switched by the variables and values that the chat template uses."""

from __future__ import annotations

import pytest

from llmtool.engine.llama.chat_renderer import ChatRenderer, Thinking

LOOP = "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}"


def ending(source: str, thinking: Thinking) -> str:
    """Return what the template writes after a question."""
    text = ChatRenderer(LOOP + source, {}).render(
        [{"role": "user", "content": "?"}], thinking=thinking
    )
    return text.removeprefix("[user]?")


NONE_HIGH = (
    "{%- if reasoning_effort is not defined %}{% set reasoning_effort = 'none' %}{% endif -%}"
    "{%- if reasoning_effort not in ['none', 'high'] %}"
    "{{ raise_exception('reasoning_effort must be none or high') }}{% endif -%}"
    "{{ reasoning_effort }}"
)
SKIPPED = "{% if skip_thinking %}</think>{% else %}<think>{% endif %}"
# A template, and the ends of its prompts: off, on, low, high.
FAMILIES = {
    "enable_thinking": (
        "{% if enable_thinking is defined and enable_thinking is false %}<think></think>"
        "{% endif %}",
        ("<think></think>", "", "", ""),
    ),
    "thinking": (
        "{% if thinking is defined and thinking %}<think>{% else %}</think>{% endif %}",
        ("</think>", "<think>", "<think>", "<think>"),
    ),
    "reasoning": ("{{ 'yes' if reasoning else 'no' }}", ("no", "yes", "yes", "yes")),
    "a variable of no known family": (
        "{% if use_deep_thinking %}+{% else %}-{% endif %}",
        ("-", "+", "+", "+"),
    ),
    "thinking_budget": (
        "{% if thinking_budget is defined and thinking_budget == 0 %}</think>{% endif %}",
        ("</think>", "", "", ""),
    ),
    "thinking_mode": (
        "{% if thinking_mode == 'off' %}</think>{% elif thinking_mode == 'on' %}<think>{% endif %}",
        ("</think>", "<think>", "<think>", "<think>"),
    ),
    "thinking_mode of other words": (
        "{% if thinking_mode|lower in ('disabled', 'adaptive', 'enabled') %}{{ thinking_mode }}"
        "{% else %}{{ raise_exception('bad mode') }}{% endif %}",
        ("disabled", "enabled", "enabled", "enabled"),
    ),
    "reasoning_effort is printed": (
        "Reasoning: {{ reasoning_effort or 'medium' }}",
        ("Reasoning: low", "Reasoning: medium", "Reasoning: low", "Reasoning: high"),
    ),
    "reasoning_effort of few values": (NONE_HIGH, ("none", "high", "high", "high")),
    "a rejected value": (
        "{% set effort = reasoning_effort | default('max') %}"
        "{% if effort != 'max' and effort != 'off' %}{{ raise_exception('bad') }}{% endif %}"
        "{{ effort }}",
        ("off", "max", "max", "max"),
    ),
    "an ignored value": (
        "{% if reasoning_effort == 'high' %}+{% else %}-{% endif %}",
        ("-", "+", "+", "+"),
    ),
    "a table of values": (
        "{{ {'no_think': '0', 'low': '1', 'high': '9'}[reasoning_effort] }}",
        ("0", "9", "1", "9"),
    ),
    "two variables": (
        "{% if enable_thinking %}{{ reasoning_effort }}{% endif %}",
        ("", "medium", "low", "high"),
    ),
    "a negative variable": (SKIPPED, ("</think>", "<think>", "<think>", "<think>")),
    "a variable that is only tested": (
        "{% if thinking is defined %}<think>{% endif %}",
        ("", "<think>", "<think>", "<think>"),
    ),
    "an effort that also turns off": (
        "{%- if not reasoning_effort is defined or reasoning_effort not in "
        "['high', 'low', 'no_think'] %}{%- set reasoning_effort = 'no_think' %}{%- endif %}"
        "{{ reasoning_effort }}",
        ("no_think", "high", "low", "high"),
    ),
    "efforts beyond the usual": (
        "{% if reasoning_effort == 'xhigh' %}++{% elif reasoning_effort == 'low' %}-{% endif %}",
        ("-", "", "-", ""),
    ),
    "an effort for extreme cases": (
        "{%- if enable_thinking and reasoning_effort == 'max' -%}++{%- endif -%}"
        "{{ '<think>' if enable_thinking else '</think>' }}",
        ("</think>", "<think>", "<think>", "<think>"),
    ),
    "low effort is none": (
        "{%- if reasoning_effort in ['low', 'minimal'] -%}<think></think>{%- endif -%}",
        ("<think></think>", "", "<think></think>", ""),
    ),
    "an effort of none": (
        "{%- set thinking = false if reasoning_effort is defined and "
        "reasoning_effort | lower == 'none' else true -%}{{ thinking }}",
        ("False", "True", "True", "True"),
    ),
    "a budget with a default": (
        "{%- if not thinking_budget is defined %}{%- set thinking_budget = -1 -%}{%- endif %}"
        "{%- if thinking_budget == 0 %}off{%- elif not thinking_budget == -1 %}"
        "{{ thinking_budget }}{%- endif %}",
        ("off", "", "", ""),
    ),
    "variables that set one another": (
        "{%- set state = namespace(off=false, effort=none) -%}"
        "{%- if reasoning_effort is defined and reasoning_effort is not none -%}"
        "{%- if reasoning_effort == 'none' -%}{%- set state.off = true -%}"
        "{%- elif reasoning_effort in ['low', 'high', 'max'] -%}"
        "{%- set state.effort = reasoning_effort -%}{%- endif -%}{%- endif -%}"
        "{%- if thinking is not defined -%}{%- if enable_thinking is defined -%}"
        "{%- set thinking = enable_thinking -%}{%- elif state.off -%}"
        "{%- set thinking = false -%}{%- else -%}{%- set thinking = true -%}"
        "{%- endif -%}{%- endif -%}{{ thinking }} {{ state.effort }}",
        ("False None", "True high", "True low", "True high"),
    ),
    "reasoning that cannot be turned off": (
        "{%- if not enable_thinking -%}{{ raise_exception('cannot disable') }}{%- endif -%}"
        "<think>",
        ("<think>", "<think>", "<think>", "<think>"),
    ),
    "all values rejected": (
        "{% if reasoning_effort is defined %}{{ raise_exception('no') }}{% endif %}.",
        (".", ".", ".", "."),
    ),
    "the reasoning of a message": (
        "{% set reasoning_content = messages[0].reasoning_content %}{{ reasoning_content }}"
        "{% for m in messages if m.role == 'assistant' %}{{ thinking_text }}{% endfor %}",
        ("", "", "", ""),
    ),
    "none": ("", ("", "", "", "")),
}  # fmt: skip


@pytest.mark.parametrize(("source", "endings"), FAMILIES.values(), ids=FAMILIES)
def test_reasoning_is_switched(source: str, endings: tuple[str, ...]) -> None:
    assert tuple(ending(source, each) for each in (False, True, "low", "high")) == endings
    assert ending(source, None) == endings[0]


@pytest.mark.parametrize(("source", "endings"), FAMILIES.values(), ids=FAMILIES)
def test_switch_without_effect_is_recognized(source: str, endings: tuple[str, ...]) -> None:
    assert ChatRenderer(LOOP + source, {}).switches_reasoning == (endings[0] != endings[1])


def test_switch_in_the_system_message_has_effect() -> None:
    source = (
        "{% for m in messages %}{% if m.role == 'system' %}{{ m.content }}"
        "{{ ' /think' if enable_thinking else ' /no_think' }}{% else %}{{ m.content }}{% endif %}"
        "{% endfor %}"
    )
    renderer = ChatRenderer(source, {})
    messages = [{"role": "system", "content": "S"}, {"role": "user", "content": "U"}]
    assert renderer.render(messages, thinking=True) == "S /thinkU"
    assert renderer.render(messages, thinking=False) == "S /no_thinkU"
