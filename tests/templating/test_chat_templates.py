"""Chat templates of common styles with their expected text."""

from __future__ import annotations

import pytest

from llmtool.errors import TemplateError
from llmtool.templating import Template

SYSTEM = {"role": "system", "content": "Be brief."}
HI = {"role": "user", "content": "Hi"}
HELLO = {"role": "assistant", "content": "Hello!"}
MORE = {"role": "user", "content": " More? "}
THOUGHT = {"role": "assistant", "content": "<think>\nhm\n</think>\n\nHello!"}

CHATML = """\
{%- for message in messages -%}
    {%- if loop.first and message['role'] != 'system' -%}
        {{- '<|im_start|>system\\nYou are helpful.<|im_end|>\\n' -}}
    {%- endif -%}
    {{- '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}
    {{- '<|im_start|>assistant\\n' -}}
{%- endif -%}
"""

HEADERS = """\
{{- bos_token }}
{%- if not date_string is defined %}
    {%- if strftime_now is defined %}
        {%- set date_string = strftime_now("%d %b %Y") %}
    {%- else %}
        {%- set date_string = "26 Jul 2024" %}
    {%- endif %}
{%- endif %}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content']|trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}
{{- "<|start_header_id|>system<|end_header_id|>\\n\\n" }}
{{- "Today Date: " + date_string + "\\n\\n" }}
{{- system_message }}
{{- "<|eot_id|>" }}
{%- for message in messages %}
    {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' }}
    {{- message['content'] | trim + '<|eot_id|>' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif %}
"""

BRACKETS = """\
{%- if messages[0].role == "system" %}
    {%- set system_message = messages[0].content %}
    {%- set turns = messages[1:] %}
{%- else %}
    {%- set turns = messages %}
{%- endif %}
{{- bos_token }}
{%- for message in turns %}
    {%- if (message.role == "user") != (loop.index0 % 2 == 0) %}
        {{- raise_exception("Roles must alternate user and assistant") }}
    {%- endif %}
    {%- if message.role == "user" %}
        {%- if loop.last and system_message is defined %}
            {{- "[INST]" + system_message + "\\n\\n" + message.content + "[/INST]" }}
        {%- else %}
            {{- "[INST]" + message.content + "[/INST]" }}
        {%- endif %}
    {%- else %}
        {{- message.content + eos_token }}
    {%- endif %}
{%- endfor %}
"""

TURNS = """\
{{ bos_token }}{% if messages[0]['role'] == 'system' %}\
{{ raise_exception('System role not supported') }}{% endif %}
{% for message in messages %}
{% if (message['role'] == 'assistant') %}{% set role = 'model' %}\
{% else %}{% set role = message['role'] %}{% endif %}
{{ '<start_of_turn>' + role + '\\n' + message['content'] | trim + '<end_of_turn>' }}
{% endfor %}
{% if add_generation_prompt %}{{'<start_of_turn>model\\n'}}{% endif %}
"""

REASONING = """\
{%- if messages[0].role == 'system' %}
    {{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}
{%- endif %}
{%- set ns = namespace(last_query=messages|length - 1, found=false) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if not ns.found and message.role == "user" and message.content is string %}
        {%- set ns.found = true %}
        {%- set ns.last_query = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- set content = message.content if message.content is string else '' %}
    {%- if message.role == "user" or (message.role == "system" and not loop.first) %}
        {{- '<|im_start|>' + message.role + '\\n' + content + '<|im_end|>' + '\\n' }}
    {%- elif message.role == "assistant" %}
        {%- set reasoning_content = '' %}
        {%- if message.reasoning_content is string %}
            {%- set reasoning_content = message.reasoning_content %}
        {%- elif '</think>' in content %}
            {%- set reasoning_content = content.split('</think>')[0].rstrip('\\n')\
.split('<think>')[-1].lstrip('\\n') %}
            {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
        {%- endif %}
        {{- '<|im_start|>assistant\\n' }}
        {%- if loop.index0 > ns.last_query %}
            {{- '<think>\\n' + reasoning_content.strip('\\n') + '\\n</think>\\n\\n' }}
        {%- endif %}
        {{- content + '<|im_end|>\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\\n\\n</think>\\n\\n' }}
    {%- endif %}
{%- endif %}
"""

BARS = """\
{% if not add_generation_prompt is defined %}{% set add_generation_prompt = false %}{% endif %}\
{% set ns = namespace(is_first=false, system_prompt='') %}\
{%- for message in messages %}{%- if message['role'] == 'system' %}\
{% set ns.system_prompt = message['content'] %}{%- endif %}{%- endfor %}\
{{ bos_token }}{{ ns.system_prompt }}\
{%- for message in messages %}\
{%- if message['role'] == 'user' %}{{ '<|User|>' + message['content'] }}{%- endif %}\
{%- if message['role'] == 'assistant' and message['content'] is not none %}\
{% set content = message['content'] %}\
{% if '</think>' in content %}{% set content = content.split('</think>')[-1] %}{% endif %}\
{{ '<|Assistant|>' + content + '<|end|>' }}{%- endif %}\
{%- endfor -%}\
{% if add_generation_prompt %}{{ '<|Assistant|><think>\\n' }}{% endif %}
"""

TOOLS = """\
{% macro signature(tool) %}
{{ tool.name }}({% for name, schema in tool.parameters.properties|items %}\
{{ name }}: {{ schema.type }}{{ ', ' if not loop.last }}{% endfor %})
{%- endmacro %}
{% if tools %}
{% for tool in tools %}
{{ signature(tool.function) }} {{ tool.function|tojson }}
{% endfor %}
{% endif %}
{{ messages[-1].content }}
"""
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Tell <the> weather, été",
        "parameters": {"properties": {"city": {"type": "string"}, "days": {"type": "integer"}}},
    },
}

CASES = {
    "ChatML": (
        CHATML,
        [HI],
        {},
        "<|im_start|>system\nYou are helpful.<|im_end|>\n"
        "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n",
    ),
    "ChatML with a system message and a history": (
        CHATML,
        [SYSTEM, HI, HELLO, MORE],
        {},
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"
        "<|im_start|>assistant\nHello!<|im_end|>\n<|im_start|>user\n More? <|im_end|>\n"
        "<|im_start|>assistant\n",
    ),
    "headers": (
        HEADERS,
        [SYSTEM, MORE],
        {"date_string": "1 Jan 2030"},
        "<s><|start_header_id|>system<|end_header_id|>\n\nToday Date: 1 Jan 2030\n\n"
        "Be brief.<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nMore?<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n",
    ),
    "brackets": (
        BRACKETS,
        [SYSTEM, HI, HELLO, MORE],
        {},
        "<s>[INST]Hi[/INST]Hello!</s>[INST]Be brief.\n\n More? [/INST]",
    ),
    "turns": (
        TURNS,
        [HI, HELLO, MORE],
        {},
        "<s><start_of_turn>user\nHi<end_of_turn>\n<start_of_turn>model\nHello!<end_of_turn>\n"
        "<start_of_turn>user\nMore?<end_of_turn>\n<start_of_turn>model\n",
    ),
    "reasoning": (
        REASONING,
        [SYSTEM, HI, THOUGHT, MORE],
        {},
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"
        "<|im_start|>assistant\nHello!<|im_end|>\n<|im_start|>user\n More? <|im_end|>\n"
        "<|im_start|>assistant\n",
    ),
    "reasoning after the last question stays": (
        REASONING,
        [HI, THOUGHT],
        {},
        "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n<think>\nhm\n</think>\n\n"
        "Hello!<|im_end|>\n<|im_start|>assistant\n",
    ),
    "reasoning switched off": (
        REASONING,
        [HI],
        {"enable_thinking": False},
        "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n",
    ),
    "bars": (
        BARS,
        [SYSTEM, HI, THOUGHT, MORE],
        {},
        "<s>Be brief.<|User|>Hi<|Assistant|>\n\nHello!<|end|><|User|> More? <|Assistant|><think>\n",
    ),
    "tools": (
        TOOLS,
        [HI],
        {"tools": [WEATHER]},
        'weather(city: string, days: integer) {"name": "weather", '
        '"description": "Tell <the> weather, été", "parameters": {"properties": '
        '{"city": {"type": "string"}, "days": {"type": "integer"}}}}\nHi',
    ),
}


@pytest.mark.parametrize(("source", "messages", "more", "text"), CASES.values(), ids=CASES)
def test_chat_templates_render_expected_text(
    source: str, messages: list[object], more: dict[str, object], text: str
) -> None:
    template = Template(source, name="model", chat=True)
    variables = {"messages": messages, "add_generation_prompt": True, **more}
    assert template.render(bos_token="<s>", eos_token="</s>", **variables) == text


def test_raise_exception_message_is_reported() -> None:
    template = Template(BRACKETS, name="model.gguf", chat=True)
    with pytest.raises(TemplateError) as caught:
        template.render(messages=[HI, MORE], bos_token="", eos_token="")
    assert str(caught.value) == "model.gguf:10: Roles must alternate user and assistant"


def test_enable_thinking_is_among_the_names() -> None:
    assert "enable_thinking" in Template(REASONING, name="m", chat=True).names
    assert "enable_thinking" not in Template(CHATML, name="m", chat=True).names


def test_unknown_filter_fails_only_when_reached() -> None:
    source = "{% if tools %}{{ tools|from_json }}{% endif %}{{ messages[0].content }}"
    template = Template(source, name="model", chat=True)
    assert template.render(messages=[HI]) == "Hi"
    with pytest.raises(TemplateError, match="No filter named 'from_json'"):
        template.render(messages=[HI], tools="x")
