"""Every template ends within limits, and ordinary ones never reach them."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys

import pytest
from templating import bombs

from llmtool.errors import TemplateError
from llmtool.templating import Template

MAX_MIB = 200
MAX_SECONDS = 10  # about 2.5 on an idle machine


@pytest.fixture(scope="module")
def reports() -> dict[str, dict[str, object]]:
    """Render all bombs in one child process to measure their peak memory."""
    child = subprocess.run(
        [sys.executable, bombs.__file__, *bombs.BOMBS], capture_output=True, text=True, timeout=110
    )
    assert child.returncode == 0, child.stderr[-2000:]
    lines = map(json.loads, child.stdout.splitlines())
    return {line["name"]: line for line in lines}


@pytest.mark.parametrize("name", bombs.BOMBS)
def test_bomb_fails_within_limits(name: str, reports: dict[str, dict[str, object]]) -> None:
    report = reports[name]
    assert str(report["error"]).startswith("bomb:")
    assert "\n" not in str(report["error"])
    assert float(str(report["seconds"])) < MAX_SECONDS


def test_all_bombs_together_use_little_memory(reports: dict[str, dict[str, object]]) -> None:
    assert max(float(str(report["peak_mib"])) for report in reports.values()) < MAX_MIB


CHATML = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"


def test_ten_thousand_messages_render() -> None:
    messages = [{"role": "user", "content": "word " * 40}] * 10_000
    text = Template(CHATML, name="chatml", chat=True).render(messages=messages)
    assert text.count("<|im_end|>") == 10_000


def test_thirty_megabyte_document_renders() -> None:
    document = "some words é " * 2_500_000
    messages = [{"role": "user", "content": document}]
    source = CHATML.replace("m.content", "m.content|trim")
    text = Template(source, name="chatml", chat=True).render(messages=messages)
    assert document.strip() in text


def test_thousand_concatenations_render() -> None:
    """Some chat templates build all output in a namespace: much is built, little stays in use."""
    source = (
        "{% set n = namespace(out='') %}"
        "{% for m in messages %}"
        "{% set n.out = n.out ~ '<' ~ m.role ~ '>' %}{% set n.out = n.out ~ m.content %}"
        "{% endfor %}{{ n.out }}"
    )
    messages = [{"role": "user", "content": "abcd" * 250}] * 1000
    text = Template(source, name="collector", chat=True).render(messages=messages)
    assert text == ("<user>" + "abcd" * 250) * 1000


LOOKS_BACK = """\
{%- macro text(message) -%}
    {%- for part in message.content.split('</think>') if part -%}{{- part|trim -}}{%- endfor -%}
{%- endmacro -%}
{%- for message in messages -%}
    {%- set seen = namespace(role=none) -%}
    {%- for before in messages[:loop.index0]|reverse -%}
        {%- if seen.role is none and before.role != 'tool' -%}
            {%- set seen.role = before.role -%}
        {%- endif -%}
    {%- endfor -%}
    {{- '<turn>' + message.role + ('+' if seen.role == message.role else '') }}{{ text(message) }}
{%- endfor -%}
"""


def test_hundreds_of_turns_render_with_a_quadratic_template() -> None:
    """Gemma 4's template compares each message with all messages before it."""
    messages = [{"role": ("user", "assistant")[i % 2], "content": f"Word {i}"} for i in range(700)]
    text = Template(LOOKS_BACK, name="looks-back", chat=True).render(messages=messages)
    assert text.count("<turn>") == 700


def test_values_in_closures_are_not_credited() -> None:
    """Bound methods and macros keep values alive, so these count as in use."""
    source = (
        "{% set n = namespace(kept=[]) %}"
        "{% for i in range(1000) %}{% set big = 'a' * 1000000 %}"
        "{% macro m() %}{{ big }}{% endmacro %}"
        "{% set n.kept = n.kept + [big.upper, m] %}{% endfor %}"
    )
    with pytest.raises(TemplateError, match="builds too much data"):
        Template(source, name="hoarder", chat=True).render()


def test_rendering_that_takes_too_long_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its steps may take longer than usual."""
    seconds = itertools.count()
    monkeypatch.setattr("llmtool.templating.budget.time.thread_time", lambda: next(seconds))
    source = "{% for x in range(90000) %}{{ x }}{% endfor %}"
    with pytest.raises(TemplateError, match="takes too long to render"):
        Template(source, name="slow", chat=False).render()


def test_short_rendering_does_not_read_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    def read() -> float:
        raise AssertionError("the clock was read")

    source = "{% for x in xs %}{{ x }}{% endfor %}"
    template = Template(source, name="numbers", chat=False)
    monkeypatch.setattr("llmtool.templating.budget.time.thread_time", read)
    assert template.render(xs=[1, 2, 3]) == "123"
    with pytest.raises(AssertionError, match="the clock was read"):
        template.render(xs=list(range(20_000)))
