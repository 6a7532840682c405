"""Chat templates render every message, in the shape that the template expects."""

from __future__ import annotations

import re

import pytest

from llmtool.engine.llama.chat_renderer import ChatRenderer
from llmtool.engine.types import Message, Prompt, Role
from llmtool.errors import TemplateError

LOOP = "{% for m in messages %}[{{ m.role }}]{{ CONTENT }}{% endfor %}[assistant]"
TYPED = (
    "{%- for m in messages %}{{ m.role | capitalize }}: {% for part in m.content %}"
    "{% if part['type'] == 'text' %}{{ part['text'] }}{% endif %}{% endfor %}<end>\n{% endfor %}"
    "Assistant:"
)
NO_SYSTEM = (
    "{%- for m in messages %}{% if m.role == 'user' %}<|user|>{{ m.content }}<|end|>"
    "{% elif m.role == 'assistant' %}<|assistant|>{{ m.content }}<|end|>{% endif %}{% endfor %}"
    "<|assistant|>"
)
ALTERNATING = (
    "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must alternate') }}{% endif %}"
    "<{{ m.role }}>{{ m.content }}{% endfor %}"
)
USER_PARTS = (
    "{% for m in messages %}{% if m.role == 'user' %}U:{{ m.content[0].text }}{% else %}"
    "{{ m.role[0]|upper + ':' + m.content }}{% endif %} {% endfor %}"
)
PARTS_NO_SYSTEM = (
    "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}"
    "{% endif %}{% for m in messages %}<{{ m.role }}>{{ m.content[0]['text'] }}{% endfor %}"
)
LAST = "{{ messages[-1].content }}"
FIRST_LINE = "{% for m in messages %}{{ m.content.split('\n')[0] }}{% endfor %}"


def conversation(roles: str, **options: object) -> Prompt:
    names: dict[str, Role] = {"s": "system", "u": "user", "a": "assistant"}
    messages = tuple(Message(names[role], f"<Text {n}> ") for n, role in enumerate(roles))
    return Prompt(messages=messages, thinking=bool(options.get("thinking")))


def render(source: str, prompt: Prompt) -> str:
    renderer = ChatRenderer(source, {"bos_token": "<s>", "eos_token": "</s>"})
    _, shape = renderer.choose_shape(prompt)
    messages = [{"role": m.role, "content": m.content} for m in prompt.messages]
    return renderer.render(shape(messages), thinking=prompt.thinking)  # type: ignore[arg-type]


RENDERED = {
    "content as it is": (LOOP.replace("CONTENT", "m.content"), "su",
                         "[system]<Text 0> [user]<Text 1> [assistant]"),
    "trimmed": (LOOP.replace("CONTENT", "m.content|trim"), "u", "[user]<Text 0>[assistant]"),
    "upper case": (LOOP.replace("CONTENT", "m.content|upper"), "u", "[user]<TEXT 0> [assistant]"),
    "as JSON": (LOOP.replace("CONTENT", "m.content|tojson"), "u", '[user]"<Text 0> "[assistant]'),
    "escaped": (LOOP.replace("CONTENT", "m.content|e"), "u", "[user]&lt;Text 0&gt; [assistant]"),
    "parts": (TYPED, "sua", "System: <Text 0> <end>\nUser: <Text 1> <end>\n"
              "Assistant: <Text 2> <end>\nAssistant:"),
    "parts in user messages": (USER_PARTS, "sua", "S:<Text 0>  U:<Text 1>  A:<Text 2>  "),
    "no system role": (NO_SYSTEM, "suau", "<|user|><Text 0> \n\n<Text 1> <|end|><|assistant|>"
                       "<Text 2> <|end|><|user|><Text 3> <|end|><|assistant|>"),
    "no system role, a system message alone": (
        NO_SYSTEM, "s", "<|user|><Text 0> <|end|><|assistant|>"),
    "an error for the system role": (ALTERNATING, "sua", "<user><Text 0> \n\n<Text 1> <assistant><Text 2> "),  # noqa: E501
    "two user messages in a row": (ALTERNATING, "uuau", "<user><Text 0> \n\n<Text 1> <assistant>"
                                   "<Text 2> <user><Text 3> "),
    "parts without a system role": (PARTS_NO_SYSTEM, "su", "<user><Text 0> \n\n<Text 1> "),
    "the last message of one": (LAST, "u", "<Text 0> "),
    "the last message with a system message": (LAST, "su", "<Text 0> \n\n<Text 1> "),
}  # fmt: skip


@pytest.mark.parametrize(("source", "roles", "text"), RENDERED.values(), ids=RENDERED)
def test_all_messages_are_rendered(source: str, roles: str, text: str) -> None:
    assert render(source, conversation(roles)) == text


DROPPED = {
    "the last message only": (LAST, "uau", "message 1 of 3 (user)"),
    "no replies": ("{% for m in messages if m.role == 'user' %}{{ m.content }}{% endfor %}", "uau",
                   "message 2 of 3 (assistant)"),
    "the first user message only": (
        "{% for m in messages if m.role == 'assistant' or m == messages[0] %}{{ m.content }}"
        "{% endfor %}", "uau", "message 3 of 3 (user)"),
    "the first line": (FIRST_LINE, "u", "the user message"),
    "ten characters": ("{{ messages[0].content[:10] }}", "u", "the user message"),
    "no message": ("{{ bos_token }}Hello", "u", "the user message"),
    "the number of messages": ("{{ messages|length }}", "su", "the system message"),
}  # fmt: skip


@pytest.mark.parametrize(("source", "roles", "which"), DROPPED.values(), ids=DROPPED)
def test_template_that_drops_a_message_is_an_error(source: str, roles: str, which: str) -> None:
    message = (
        f"the model's chat template drops {which}; "
        "use another model, or another template with chat_template='FILE'"
    )
    with pytest.raises(TemplateError, match=f"^{re.escape(message)}$"):
        render(source, conversation(roles))


def test_error_of_a_template_that_rejects_all_shapes_is_its_first() -> None:
    source = "{{ raise_exception('not ' ~ (messages[0].content is string)) }}"
    with pytest.raises(TemplateError, match="not True$"):
        render(source, conversation("u"))


def test_shape_does_not_depend_on_earlier_prompts() -> None:
    renderer = ChatRenderer(USER_PARTS, {})
    for roles in ("u", "su", "u", "ua", "uaua", "suau", "uu"):
        prompt = conversation(roles)
        text, _ = renderer.choose_shape(prompt)
        assert text == ChatRenderer(USER_PARTS, {}).choose_shape(prompt)[0]


def test_empty_message_needs_no_marker() -> None:
    prompt = Prompt(messages=(Message("system", " "), Message("user", "Hi")))
    source = LOOP.replace("CONTENT", "m.content|trim")
    assert render(source, prompt) == "[system][user]Hi[assistant]"
