"""What a server supports is saved for some minutes, and asked again when an answer contradicts."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_server import FakeServer, Respond, fail, listed, say

from llmtool.config import EndpointSettings, Folders, Settings
from llmtool.engine.openai import discovery
from llmtool.errors import ModelNotFound, ServerError
from llmtool.toolbox import Toolbox

CHAT, MODELS = "/v1/chat/completions", "/v1/models"
Command = Callable[..., Toolbox]


@pytest.fixture
def command(fake: FakeServer, tmp_path: Path) -> Iterator[Command]:
    """Return a function that opens a model as a new command does."""
    folders = Folders(config=tmp_path, data=tmp_path, cache=tmp_path, hub_cache=tmp_path)
    boxes = []

    def open_box(model: str | None = None, **fields: Any) -> Toolbox:
        endpoint = EndpointSettings(base_url=fake.url, **fields)
        settings = Settings(endpoints={"gpu": endpoint})
        box = Toolbox(f"gpu:{model or ''}", folders=folders, settings=settings, environ={})
        boxes.append(box)
        return box

    yield open_box
    for box in boxes:
        box.close()


@pytest.mark.parametrize("owner", ["someone", "llamacpp", "vllm"])
def test_second_command_sends_one_request(fake: FakeServer, command: Command, owner: str) -> None:
    fake.models = lambda exchange: exchange.send(body=listed("tiny", owner=owner))
    command().generate("Hi")
    assert fake.requested[0] == MODELS
    fake.requested.clear()
    assert command().generate("Hi").model == "tiny"
    assert command("tiny").generate("Hi").model == "tiny"
    assert fake.requested == [CHAT, CHAT]


def test_server_is_asked_again_after_five_minutes(
    fake: FakeServer, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    command().generate("Hi")
    monkeypatch.setattr(discovery, "LIFE_SECONDS", 0.0)
    command().generate("Hi")
    assert fake.requested == [MODELS, CHAT] * 2


def test_file_is_private(fake: FakeServer, command: Command, tmp_path: Path) -> None:
    command().generate("Hi")
    path = tmp_path / "servers" / "gpu.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert json.loads(path.read_bytes())["url"] == fake.url


@pytest.mark.parametrize("content", [b"", b"[]", b'{"version": 99}', b"\xff", b"[" * 100_000])
def test_invalid_file_is_ignored(
    fake: FakeServer, command: Command, tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "servers" / "gpu.json"
    path.parent.mkdir()
    path.write_bytes(content)
    assert command().generate("Hi").text == "Hello!"
    assert fake.requested == [MODELS, CHAT]


def test_another_kind_in_the_settings_is_not_the_saved_one(
    fake: FakeServer, command: Command
) -> None:
    command().generate("Hi")
    command(kind="vllm").generate("Hi")
    assert fake.requested == [MODELS, CHAT] * 2


@pytest.mark.parametrize(
    "reply", [say("New", model="other"), fail(404, "no such model")], ids=["answers", "404"]
)
def test_replaced_model_is_an_error_once(
    fake: FakeServer, command: Command, reply: Respond
) -> None:
    command().generate("Hi")
    fake.models = lambda exchange: exchange.send(body=listed("other"))
    fake.script(reply)
    fake.requested.clear()
    with pytest.raises(ServerError, match="gpu: the server now has 'other'; run the command again"):
        command().generate("Hi")
    assert fake.requested == [CHAT, MODELS]
    fake.script(say("New", model="other"))
    assert command().generate("Hi").model == "other"
    assert fake.requested == [CHAT, MODELS, CHAT]


def test_model_that_the_server_no_longer_has_is_not_found(
    fake: FakeServer, command: Command
) -> None:
    command("tiny").generate("Hi")
    fake.models = lambda exchange: exchange.send(body=listed("other"))
    fake.script(fail(404, "no such model"))
    with pytest.raises(ModelNotFound, match="no model 'tiny'; models: other"):
        command("tiny").generate("Hi")


def test_another_program_at_the_address_gets_its_own_options(
    fake: FakeServer, command: Command
) -> None:
    fake.models = lambda exchange: exchange.send(body=listed("tiny", owner="vllm"))
    command().generate("Hi", top_k=5)
    fake.models = lambda exchange: exchange.send(body=listed("tiny", owner="llamacpp"))
    fake.script(fail(400, "unknown field repetition_penalty"), say("ok"))
    assert command().generate("Hi", top_k=5, repeat_penalty=1.5).text == "ok"
    assert fake.bodies[-2]["repetition_penalty"] == fake.bodies[-1]["repeat_penalty"] == 1.5


def test_error_that_a_new_request_confirms_is_raised(fake: FakeServer, command: Command) -> None:
    command().generate("Hi")
    fake.script(say("x", model="other"))
    fake.requested.clear()
    with pytest.raises(ServerError, match="asked 'tiny', but 'other' answered"):
        command().generate("Hi")
    assert fake.requested == [CHAT, MODELS]


def test_no_text_of_another_model_is_streamed(fake: FakeServer, command: Command) -> None:
    fake.script(say("wrong", "text", model="other"))
    parts = []
    with pytest.raises(ServerError, match="asked 'tiny', but 'other' answered"):
        parts.extend(command().stream_generate("Hi"))
    assert parts == []


def test_batch_asks_who_answers(fake: FakeServer, command: Command) -> None:
    """The rows of a batch and cached results are stored under the identity of the model."""
    command().generate("Hi")
    fake.models = lambda exchange: exchange.send(
        body=listed("tiny", meta={"n_params": 5, "size": 7})
    )
    before = command().context.model.identity
    assert fake.requested == [MODELS, CHAT, MODELS]
    fake.models = lambda exchange: exchange.send(
        body=listed("tiny", meta={"n_params": 6, "size": 7})
    )
    assert command().context.model.identity != before


def test_field_that_a_model_rejects_is_not_sent_by_the_next_command(
    fake: FakeServer, command: Command
) -> None:
    error = {"message": "no", "code": "unsupported_value", "param": "temperature"}
    fake.script(lambda exchange: exchange.send(400, {"error": error}), say("ok"))
    command().generate("Hi")
    fake.requested.clear()
    command().generate("Hi")
    assert fake.requested == [CHAT]
    assert "temperature" not in fake.bodies[-1]


def test_saved_models_of_a_server_without_a_list(fake: FakeServer, command: Command) -> None:
    fake.models = fail(404)
    fake.script(say("ok", model="a"), say("ok", model="b"))
    command("a").generate("Hi")
    command("b").generate("Hi")
    assert [each["model"] for each in fake.bodies] == ["a", "b"]
    assert fake.requested == [MODELS, CHAT, CHAT]
