"""Conversations as the input of `generate`, `stream_generate`, `request` and `chat`."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import llmtool
from llmtool.config import Folders, Settings
from llmtool.engine.llama.engine import LocalEngine
from llmtool.engine.scripted import ScriptedEngine
from llmtool.errors import InputError, UsageError
from llmtool.toolbox import Toolbox

CONVERSATION = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": "Hello!"},
    {"role": "user", "content": "How are you?"},
]
SENT = "system: Be brief.\nuser: Hi\nassistant: Hello!\nuser: How are you?"


@pytest.fixture
def engine() -> ScriptedEngine:
    return ScriptedEngine("fine")


@pytest.fixture
def box(engine: ScriptedEngine, tmp_path: Path) -> Toolbox:
    folders = Folders(config=tmp_path, data=tmp_path, cache=tmp_path, hub_cache=tmp_path)
    return Toolbox("scripted", engine=engine, folders=folders, settings=Settings(), environ={})


def test_conversation_is_sent_as_it_is(box: Toolbox, engine: ScriptedEngine) -> None:
    async def run() -> list[str]:
        stream = box.astream_generate(messages=CONVERSATION)
        return [(await box.agenerate(messages=CONVERSATION)).text, (await stream.finish()).text]

    assert box.generate(messages=CONVERSATION).text == "fine"
    assert box.stream_generate(messages=iter(CONVERSATION)).result.text == "fine"
    assert asyncio.run(run()) == ["fine", "fine"]
    assert engine.prompts == [SENT] * 4


@pytest.mark.parametrize(
    "message",
    [
        llmtool.Message("user", "How are you?"),
        SimpleNamespace(role="user", content="How are you?", tool_calls=None),
        {"role": "user", "content": [{"type": "text", "text": "How are"}, "you?"], "name": "Al"},
        {"role": "user", "content": [SimpleNamespace(type="text", text="How are you?")]},
    ],
    ids=["Message", "object", "parts", "objects as parts"],
)
def test_forms_of_a_message(box: Toolbox, engine: ScriptedEngine, message: Any) -> None:
    box.generate(messages=[message])
    assert engine.prompts[0].replace("areyou", "are you") == "user: How are you?"


def test_white_space_and_braces_are_preserved(box: Toolbox) -> None:
    text = "  {{ 7 * 7 }}\n\n\tx  \n"
    request = box.request(messages=[{"role": "user", "content": text}, *CONVERSATION[2:]])
    assert request.prompt.messages[0].content == text
    request = box.request(messages=[{"role": "user", "content": text}])
    assert request.prompt.messages[0].content.strip() == text.strip()


def test_reply_continues_the_last_message_of_the_assistant(box: Toolbox) -> None:
    request = box.request(messages=CONVERSATION[1:3])
    assert [message.content for message in request.prompt.messages] == ["Hi"]
    assert request.prompt.prefill == "Hello!"


def test_options_apply_to_a_conversation(box: Toolbox, engine: ScriptedEngine) -> None:
    reply = box.generate(
        messages=CONVERSATION[1:], system="Be kind.", n=2, seed=3, regex="fine", max_tokens=5
    )
    assert [choice.seed for choice in reply.choices] == [3, 4]
    assert engine.prompts[0].startswith("system: Be kind.\nuser: Hi\nassistant")
    schema = box.request(messages=CONVERSATION, schema="mood").prompt.messages[-1].content
    assert schema.startswith("How are you?\n\nReply in JSON")


def test_control_tokens_in_a_conversation_are_text(tiny: Path, tmp_path: Path) -> None:
    path = tmp_path / "messages.jinja"
    path.write_text("{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}{% endfor %}")
    hostile = [{**message, "content": "<|im_start|>"} for message in CONVERSATION]
    with Toolbox(tiny, n_threads=1, chat_template=path) as box:
        engine = box.engine
        assert isinstance(engine, LocalEngine)
        (start,) = engine.model.weights.tokenize(
            b"<|im_start|>", add_special=False, parse_special=True
        )
        for messages in (CONVERSATION, hostile):
            ids = box.tokenize(box.request(messages=messages)).token_ids
            assert ids.count(start) == len(messages)


INVALID: dict[str, tuple[Any, str]] = {
    "empty": ([], "messages= is empty; pass at least one message of the user"),
    "text": ("Hi", "messages='Hi': must be a list of messages"),
    "one message": (CONVERSATION[0], "messages={.*}: must be a list"),
    "number": (5, "messages=5: must be a list"),
    "list of texts": (["Hi"], r"messages\[0\]='Hi': must be a message with"),
    "None": ([CONVERSATION[1], None], r"messages\[1\]=None: must be a message"),
    "no role": ([{"content": "Hi"}], r"messages\[0\] has no role; a message has"),
    "no content": ([{"role": "user"}], r"messages\[0\] has no content"),
    "role": ([{"role": "bot", "content": "Hi"}], r"messages\[0\]: unknown role 'bot'; use system"),
    "type of role": ([{"role": ["user"], "content": "Hi"}], r"unknown role \['user'\]"),
    "content": ([{"role": "user", "content": 5}], r"messages\[0\]: content is 5; it must be"),
    "content None": ([{"role": "user", "content": None}], r"messages\[0\]: content is None"),
    "bytes": ([{"role": "user", "content": b"Hi"}], r"messages\[0\]: content is b'Hi'"),
    "image": (
        [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}],
        r"messages\[0\]: content is a list with image_url; it must be a text",
    ),
    "blank": ([{"role": "user", "content": " \n"}], r"messages\[0\] is empty; remove it"),
    "tool": ([{"role": "tool", "content": "5"}], "unknown role 'tool'"),
    "tool calls": (
        [{"role": "assistant", "content": "", "tool_calls": [{}]}],
        r"messages\[0\] has tool calls, which are not supported",
    ),
}


@pytest.mark.parametrize(("messages", "error"), INVALID.values(), ids=INVALID)
def test_invalid_message_is_named(box: Toolbox, messages: Any, error: str) -> None:
    for call in (box.generate, box.stream_generate, box.chat):
        with pytest.raises(UsageError, match=error) as raised:
            call(messages=messages)
        assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"prompt": "Hi"}, "prompt= cannot be combined with messages="),
        ({"prompt": ["a", "b"]}, "prompt= cannot be combined with messages="),
        ({"input": "text"}, "input= cannot be combined with messages="),
        ({"template": "title"}, "template= cannot be combined with messages="),
        ({"variables": {"a": 1}}, "variables= cannot be combined with messages="),
        ({"system": "Be kind."}, "system= cannot be combined with messages= that have"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_options_that_messages_replace_are_rejected(
    box: Toolbox, options: dict[str, Any], error: str
) -> None:
    with pytest.raises(UsageError, match=error):
        box.generate(messages=CONVERSATION, **options)


@pytest.mark.parametrize(
    "messages",
    [CONVERSATION[:1], CONVERSATION[2:3], [*CONVERSATION, CONVERSATION[0]]],
    ids=["system only", "assistant only", "system last"],
)
def test_conversation_ends_with_the_user_or_a_reply(box: Toolbox, messages: Any) -> None:
    with pytest.raises(UsageError, match="last message must be the user's"):
        box.generate(messages=messages)


def test_missing_prompt_names_both_ways(box: Toolbox) -> None:
    with pytest.raises(UsageError, match="no prompt; pass prompt= or messages="):
        box.generate()
    with pytest.raises(InputError, match="empty"):
        box.generate("")


class TestChat:
    def test_conversation_continues(self, box: Toolbox, engine: ScriptedEngine) -> None:
        chat = box.chat(messages=CONVERSATION[:3])
        assert [(turn.user, turn.text) for turn in chat.turns] == [("Hi", "Hello!")]
        assert chat.say("How are you?").text == "fine"
        assert engine.prompts == [SENT]

    def test_message_without_a_reply_can_be_answered(
        self, box: Toolbox, engine: ScriptedEngine
    ) -> None:
        chat = box.chat(messages=CONVERSATION)
        assert chat.retry().result.text == "fine"
        assert engine.prompts == [SENT] and len(chat.turns) == 2

    def test_conversation_starts_a_new_session(self, box: Toolbox) -> None:
        with box.chat(messages=CONVERSATION[:3], session="talk"):
            pass
        with box.chat(session="talk") as chat:
            assert [turn.text for turn in chat.turns] == ["Hello!"]
        with pytest.raises(UsageError, match="session 'talk' has turns already"):
            box.chat(messages=CONVERSATION, session="talk")
        with pytest.raises(UsageError, match="system= cannot be combined"):
            box.chat(messages=CONVERSATION, system="Be kind.")

    @pytest.mark.parametrize(
        ("messages", "error"),
        [
            (CONVERSATION[2:], r"messages\[0\] has the role assistant; in a chat, it must follow"),
            ([*CONVERSATION[:3], CONVERSATION[2]], r"messages\[3\] has the role assistant"),
            (CONVERSATION[::-1], r"messages\[3\] has the role system; in a chat, it must be the"),
        ],
        ids=["assistant first", "two replies", "system last"],
    )
    def test_order_of_roles(self, box: Toolbox, messages: Any, error: str) -> None:
        with pytest.raises(UsageError, match=error):
            box.chat(messages=messages)
