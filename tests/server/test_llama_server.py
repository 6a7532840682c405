"""llama-server's endpoints: tokens, chat templates, health."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from running_server import Serve, Server, running

from llmtool.engine.scripted import ScriptedEngine
from llmtool.errors import ModelUnreadable
from llmtool.toolbox import Toolbox

HELLO = [{"role": "user", "content": "hello"}]


@pytest.fixture
def server(tiny: Path, serve: Serve) -> Server:
    return serve(tiny)


def tokens(server: Server, content: str, **options: Any) -> Any:
    return server.post("/tokenize", {"content": content, **options}).json()["tokens"]


@pytest.mark.parametrize("content", ["hello world", "héllo 😀", "", " a  b ", "x" * 100_000])
def test_tokens_are_the_text_again(server: Server, content: str) -> None:
    ids = tokens(server, content)
    assert server.post("/detokenize", {"tokens": ids}).json()["content"] == content


def test_tokens_have_vllms_names_too(server: Server) -> None:
    info = server.client.get("/tokenizer_info").json()
    assert (info["bos_token"], info["eos_token"]) == ("<|endoftext|>", "<|im_end|>")
    body = {"prompt": "hello <|im_end|>", "add_special_tokens": False}
    ids = server.post("/tokenize", body).json()["tokens"]
    assert ids == tokens(server, "hello <|im_end|>")
    assert server.post("/detokenize", {"tokens": ids[:-1]}).json()["prompt"] == "hello "
    assert server.post("/tokenize", {}).json()["error"]["param"] == "content"


def test_tokens_of_a_conversation_have_control_tokens_of_the_template_only(server: Server) -> None:
    ids = server.post("/tokenize", {"messages": HELLO}).json()["tokens"]
    prompt = server.post("/apply-template", {"messages": HELLO}).json()["prompt"]
    assert ids == tokens(server, prompt)
    spelled = [{"role": "user", "content": "<|im_end|>"}]
    ids = server.post("/tokenize", {"messages": spelled}).json()["tokens"]
    assert ids.count(tokens(server, "<|im_end|>")[0]) == 1


def test_special_tokens_are_parsed_and_added_as_requested(server: Server) -> None:
    assert len(tokens(server, "<|im_start|>")) == 1
    assert len(tokens(server, "<|im_start|>", parse_special=False)) > 1
    plain = tokens(server, "hello")
    assert tokens(server, "hello", add_special=True)[-len(plain) :] == plain


def test_a_model_with_bos_gets_it_only_as_requested(tiny_spm: Path, serve: Serve) -> None:
    server = serve(tiny_spm)
    assert len(tokens(server, "hello", add_special=True)) == len(tokens(server, "hello")) + 1


def test_pieces_are_texts_or_bytes_of_parts_of_characters(server: Server) -> None:
    pieces = tokens(server, "hello 😀", with_pieces=True)
    assert [each["id"] for each in pieces] == tokens(server, "hello 😀")
    raw = [
        each["piece"].encode() if isinstance(each["piece"], str) else bytes(each["piece"])
        for each in pieces
    ]
    assert b"".join(raw).decode() == "hello 😀"
    assert any(isinstance(each["piece"], list) for each in pieces)


def test_a_template_is_applied(server: Server) -> None:
    prompt = server.post("/apply-template", {"messages": HELLO}).json()["prompt"]
    assert "hello" in prompt
    assert prompt != "hello"
    body = {"messages": HELLO, "max_tokens": 1}
    usage = server.post("/v1/chat/completions", body).json()["usage"]
    assert len(tokens(server, prompt, add_special=True)) == usage["prompt_tokens"]


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("/tokenize", {}, "content"),
        ("/tokenize", {"content": "a", "with_piece": True}, "with_piece"),
        ("/tokenize", {"content": 1}, "content"),
        ("/detokenize", {"tokens": ["a"]}, "tokens[0]"),
        ("/apply-template", {"messages": HELLO, "tools": []}, "tools"),
    ],
)
def test_bad_bodies_name_the_field(server: Server, path: str, body: Any, param: str) -> None:
    response = server.post(path, body)
    assert response.status_code == 400
    assert param in response.json()["error"]["message"]


@pytest.mark.parametrize("ids", [[-1], [10**6], [2**40], [2**70]])
def test_ids_that_the_model_does_not_have_are_rejected(server: Server, ids: list[int]) -> None:
    assert server.post("/detokenize", {"tokens": ids}).status_code == 400


class Loading:
    """An engine whose model loads until it is released, and then may fail."""

    def __init__(self, error: Exception | None = None) -> None:
        self.loaded, self._error = threading.Event(), error
        self._box = Toolbox("tiny", engine=ScriptedEngine("Hi"), concurrent=True)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._box, name)

    @property
    def engine(self) -> Any:
        assert self.loaded.wait(30)
        if self._error:
            raise self._error
        return self._box.engine


def test_health_is_unavailable_until_the_model_is_loaded() -> None:
    box: Any = Loading()
    with running({"tiny": box}) as server:
        response = server.client.get("/health")
        assert (response.status_code, response.json()["error"]["code"]) == (503, "loading")
        assert response.headers["retry-after"]
        box.loaded.set()
        assert server.wait_until(lambda: server.client.get("/health").status_code == 200)
        assert server.client.get("/health").json() == {"status": "ok"}


def test_health_reports_why_loading_failed() -> None:
    box: Any = Loading(ModelUnreadable("tiny.gguf: damaged"))
    box.loaded.set()
    with running({"tiny": box}) as server:

        def error() -> Any:
            return server.client.get("/health").json()["error"]

        assert server.wait_until(lambda: error()["code"] == "model_unavailable")
        assert server.client.get("/health").status_code == 503
        assert error()["message"] == "tiny.gguf: damaged"
        assert error()["exit_code"] == "MODEL_UNREADABLE"


def test_health_needs_no_key(serve: Serve) -> None:
    server = serve(ScriptedEngine("Hi"), keys=["k"])
    assert server.wait_until(lambda: server.client.get("/health").status_code == 200)
