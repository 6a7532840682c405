"""Models of a server in `Toolbox` and in the command."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from command import error_line
from fake_server import FakeServer, fail, fake_server, listed, say, wait_until
from running_server import running

from llmtool.config import Folders, Settings
from llmtool.engine.scripted import ScriptedEngine
from llmtool.errors import ClosedError, ExitCode, ModelNotFound, OutputValidationError, UsageError
from llmtool.toolbox import Toolbox

Run = Callable[..., Any]
ONLINE = {"LLMTOOL_OFFLINE": "0"}  # the isolated user has no network
KEY = "sk-secret-0123456789"


@pytest.fixture
def fake() -> Iterator[FakeServer]:
    with fake_server() as server:
        yield server


@pytest.fixture
def open_box(tmp_path: Path) -> Iterator[Callable[..., Toolbox]]:
    folders = Folders(config=tmp_path, data=tmp_path, cache=tmp_path, hub_cache=tmp_path)
    boxes = []

    def open_box(model: str | None = None, **options: Any) -> Toolbox:
        options = {"settings": Settings(), "environ": {}, **options}
        boxes.append(Toolbox(model, folders=folders, **options))
        return boxes[-1]

    yield open_box
    for box in boxes:
        box.close()


def test_server_of_llmtool_answers_as_its_engine(open_box: Any) -> None:
    engine = ScriptedEngine(lambda prompt: prompt.upper())
    with running({"tiny": Toolbox("tiny", engine=engine, concurrent=True)}) as server:
        box = open_box("tiny", base_url=server.url)
        reply = box.generate("Say hello", temperature=0)
        assert reply.text == "USER: SAY HELLO"
        assert (reply.model, reply.finish_reason) == ("tiny", "stop")
        assert reply.usage.completion_tokens == 3
        assert box.generate(["a", "b"], temperature=0)[1].text == "USER: B"
        assert len(box.engine.tokenize(_prompt("one two")).token_ids) == 2


def _prompt(text: str) -> Any:
    from llmtool.engine.types import Prompt

    return Prompt(text=text)


def test_only_model_of_a_server_needs_no_name(fake: FakeServer, open_box: Any) -> None:
    assert open_box(base_url=fake.url).generate("Hi").model == "tiny"


def test_one_of_several_models_must_be_named(fake: FakeServer, open_box: Any) -> None:
    fake.models = lambda exchange: exchange.send(body=listed("small", "large"))
    with pytest.raises(UsageError, match="name one of the models of the server: small, large"):
        open_box(base_url=fake.url).generate("Hi")
    with pytest.raises(ModelNotFound, match="no model 'smal'; did you mean 'small'"):
        open_box("smal", base_url=fake.url).generate("Hi")


def test_server_without_a_list_of_models_needs_a_name(fake: FakeServer, open_box: Any) -> None:
    fake.models = fail(404)
    assert str(open_box("tiny", base_url=fake.url).generate("Hi")) == "Hello!"
    with pytest.raises(UsageError, match="does not list its models; name one with"):
        open_box(base_url=fake.url).generate("Hi")


@pytest.mark.parametrize(
    "option",
    [
        {"n_threads": 2},
        {"n_gpu_layers": 3},
        {"kv_type": "q8_0"},
        {"draft": "ngram"},
        {"chat_template": "x.jinja"},
        {"template_args": {"a": 1}},
        {"lora": "x.gguf"},
    ],
    ids=lambda option: next(iter(option)),
)
def test_option_of_a_local_model_is_an_error(
    fake: FakeServer, open_box: Any, option: dict[str, Any]
) -> None:
    with pytest.raises(UsageError, match=f"{next(iter(option))}=.*only for a model on this mach"):
        open_box("tiny", base_url=fake.url, **option).generate("Hi")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"top_k": 5}, "top_k=5: not supported by the server"),
        ({"dry_base": 2.0}, "dry_base=2.0: not supported by the server"),
        ({"prefill": "Well,"}, "prefill='Well,': not supported by the server"),
        ({"regex": "a|b"}, "regex=: not supported by the server .*; use schema="),
        ({"grammar": 'root ::= "a"'}, "grammar=: not supported by the server"),
    ],
    ids=["top_k", "dry_base", "prefill", "regex", "grammar"],
)
def test_option_that_the_server_lacks_is_an_error_before_it_is_sent(
    fake: FakeServer, open_box: Any, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        open_box("tiny", base_url=fake.url).generate("Hi", **options)
    assert fake.received == []


def test_regex_of_a_template_is_checked_here_if_the_server_lacks_it(
    fake: FakeServer, open_box: Any
) -> None:
    fake.script(say("A Bridge Reopens"), say("#"))
    box = open_box("tiny", base_url=fake.url)
    assert box.run("title", "The bridge is open again.").text == "A Bridge Reopens"
    assert fake.bodies[0].keys() & {"regex", "grammar", "structured_outputs"} == set()
    with pytest.raises(OutputValidationError, match="does not match the regular expression"):
        box.run("title", "The bridge is open again.")


def test_value_that_turns_an_option_off_needs_no_support(fake: FakeServer, open_box: Any) -> None:
    open_box("tiny", base_url=fake.url).generate("Hi", top_k=0, min_p=0, repeat_penalty=1)
    assert fake.bodies[0].keys() & {"top_k", "min_p", "repeat_penalty"} == set()


def test_offline_excludes_servers(fake: FakeServer, open_box: Any) -> None:
    with pytest.raises(UsageError, match="the network is off .offline.; choose a local"):
        open_box("tiny", base_url=fake.url, settings=Settings(offline=True)).generate("Hi")


def test_first_use_of_a_server_is_reported_once(fake: FakeServer, open_box: Any) -> None:
    notes: list[str] = []
    for _ in range(2):
        open_box("tiny", base_url=fake.url, on_note=notes.append).generate("Hi")
    assert notes == [f"prompts and texts are sent to {fake.url} (on this machine)"]


def test_reply_that_ignores_the_schema_is_invalid(fake: FakeServer, open_box: Any) -> None:
    fake.script(say('{"age": "ten"}'))
    with pytest.raises(OutputValidationError, match="age"):
        open_box("tiny", base_url=fake.url).generate("Hi", schema="age int")


def test_invalid_reply_is_requested_again(fake: FakeServer, open_box: Any) -> None:
    fake.script(say("oops"), say('{"age": 10}'))
    reply = open_box("tiny", base_url=fake.url).generate("Hi", schema="age int", retries=1)
    assert (reply.value, reply.tries) == ({"age": 10}, 2)


def test_truncated_reply_is_reported(fake: FakeServer, open_box: Any) -> None:
    fake.script(say("one", finish="length"))
    reply = open_box("tiny", base_url=fake.url).generate("Hi")
    assert reply.finish_reason == "length"
    assert any("truncated" in each for each in reply.warnings)


def test_command_uses_an_endpoint_of_the_settings(
    fake: FakeServer, run_llmtool: Run, env: dict[str, str]
) -> None:
    for key, value in (("base_url", fake.url), ("api_key_env", "GPU_KEY")):
        result = run_llmtool("config", "set", f"endpoints.gpu.{key}", value)
        assert result.returncode == 0, result.stderr
    result = run_llmtool("gen", "Hi", "-m", "gpu:tiny", env={**ONLINE, "GPU_KEY": KEY})
    assert (result.returncode, result.stdout) == (0, b"Hello!\n"), result.stderr
    assert f"sent to {fake.url} (on this machine)".encode() in result.stderr
    assert fake.received[0].headers["authorization"] == f"Bearer {KEY}"
    again = run_llmtool("gen", "Hi", "-m", "gpu:tiny", env={**ONLINE, "GPU_KEY": KEY})
    assert b"sent to" not in again.stderr


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (("--threads", "2"), ExitCode.USAGE, "--threads 2: only for a model on this machine"),
        (("--offline",), ExitCode.USAGE, "the network is off (offline)"),
        (("--server", "auto"), ExitCode.USAGE, "--server auto and a model on the server"),
        (("--max-tokens", "0"), ExitCode.USAGE, "--max-tokens 0: must be at least 1"),
    ],
)
def test_wrong_option_is_an_error_before_a_request(
    fake: FakeServer, run_llmtool: Run, args: tuple[str, ...], code: ExitCode, message: str
) -> None:
    asked = []
    fake.models = lambda exchange: asked.append(1)
    result = run_llmtool("gen", "Hi", "-m", "tiny", "--base-url", fake.url, *args, env=ONLINE)
    assert message in error_line(result, code)
    assert asked == []


def test_options_that_are_off_need_no_local_model(fake: FakeServer, run_llmtool: Run) -> None:
    words = ("gen", "Hi", "-m", "tiny", "--base-url", fake.url, "--draft", "off")
    result = run_llmtool(*words, "--server", "never", env=ONLINE)
    assert (result.returncode, result.stdout) == (0, b"Hello!\n"), result.stderr


def test_bench_needs_a_local_model(fake: FakeServer, run_llmtool: Run, env: dict[str, str]) -> None:
    write_endpoint(env, fake.url)
    error = error_line(run_llmtool("bench", "-m", "gpu:tiny", env=ONLINE), ExitCode.USAGE)
    assert "bench needs a model on this machine, not on the server gpu; choose another" in error


def test_batch_saves_what_was_answered_before_the_server_failed(
    fake: FakeServer, run_llmtool: Run, cwd: Path
) -> None:
    def respond(exchange: Any) -> None:
        text = exchange.request.body["messages"][-1]["content"]
        (fail(401, "expired") if "7" in text else say(text[-1:]))(exchange)

    fake.script(respond)
    (cwd / "in.txt").write_text("".join(f"{i}\n" for i in range(10)))
    batch = ("gen", "Say", "--each", "line", "-f", "in.txt", "-o", "out.csv")
    batch += ("-m", "tiny", "--base-url", fake.url, "--parallel", "1", "--temperature", "0")
    result = run_llmtool(*batch, env=ONLINE)
    assert (result.returncode, b"needs a key" in result.stderr) == (ExitCode.USAGE, True)
    assert len((cwd / "out.csv").read_text().splitlines()) == 8
    n_before = len(fake.bodies)
    fake.script(
        lambda exchange: say(exchange.request.body["messages"][-1]["content"][-1:])(exchange)
    )
    result = run_llmtool(*batch, "--resume", env=ONLINE)
    assert result.returncode == 0, result.stderr
    assert len((cwd / "out.csv").read_text().splitlines()) == 11
    assert len(fake.bodies) - n_before == 3


def test_no_output_has_a_key(fake: FakeServer, run_llmtool: Run, env: dict[str, str]) -> None:
    config = Path(env["LLMTOOL_CONFIG_DIR"])
    config.mkdir(parents=True, exist_ok=True)
    (config / "config.toml").write_text(
        f'[endpoints.gpu]\nbase_url = "{fake.url}"\napi_key_env = "GPU_KEY"\n'
        f'headers = {{"X-Key" = "{KEY}"}}\n'
    )
    outputs = b""
    for respond in (
        say("Hello"),
        fail(401, f"wrong key Bearer {KEY}"),
        fail(500, f"trace: Authorization: Bearer {KEY}", **{"Retry-After": "0"}),
        fail(400, f"header X-Key: {KEY}"),
        lambda exchange: exchange.send(body=f"<html>{KEY}</html>", kind="text/html"),
        lambda exchange: exchange.send(body=f'{{"{KEY}', kind="application/json"),
    ):
        fake.script(respond)
        for extra in ((), ("--json", "--stats", "--debug")):
            result = run_llmtool(
                "gen", "Hi", "-m", "gpu:tiny", *extra, env={**ONLINE, "GPU_KEY": KEY}
            )
            outputs += result.stdout + result.stderr
    for command in (("config", "show"), ("config", "show", "--json"), ("doctor",)):
        result = run_llmtool(*command, env={**ONLINE, "GPU_KEY": KEY})
        outputs += result.stdout + result.stderr
    assert fake.received[0].headers["x-key"] == KEY
    assert KEY.encode() not in outputs
    user = Path(env["HOME"])
    written = [each for each in user.rglob("*") if each.is_file() and each.name != "config.toml"]
    assert written and not [each for each in written if KEY.encode() in each.read_bytes()]


def test_events_of_a_stream_are_shown(fake: FakeServer, open_box: Any) -> None:
    fake.script(say("a", "b"))
    box = open_box("tiny", base_url=fake.url)
    assert [str(token) for token in box.stream_generate("Hi")] == ["a", "b"]


@pytest.mark.parametrize("status", [401, 429, 500])
def test_replies_after_the_one_that_failed_are_not_lost(
    fake: FakeServer, run_llmtool: Run, cwd: Path, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A resumed batch repeats no request that was answered, although one before it was not."""
    monkeypatch.setattr("llmtool.engine.openai.connection._BACKOFF_SECONDS", 0.01)
    n_answered = 0

    def respond(exchange: Any) -> None:
        nonlocal n_answered
        number = re.search(r"record (\d)", exchange.request.body["messages"][-1]["content"])[1]
        if number == "0":
            assert wait_until(lambda: n_answered == 4)
            fail(status, "expired")(exchange)
        elif int(number) > 4:
            assert wait_until(lambda: n_answered == 4)
            fail(401, "expired")(exchange)
        else:
            n_answered += 1
            say("fine")(exchange)

    fake.script(respond)
    (cwd / "in.txt").write_text("".join(f"record {i}\n" for i in range(8)))
    batch = ("gen", "Say", "--each", "line", "-f", "in.txt", "-o", "out.jsonl")
    batch += ("-m", "tiny", "--base-url", fake.url, "--temperature", "0")
    result = run_llmtool(*batch, env=ONLINE)
    assert result.returncode == ExitCode.USAGE, result.stderr
    rows = [json.loads(line) for line in (cwd / "out.jsonl").read_text().splitlines()]
    assert [row.get("text") for row in rows[1:]] == ["fine"] * 4
    n_before = len(fake.bodies)
    fake.script(say("again"))
    result = run_llmtool(*batch, "--retry-failed", env=ONLINE)
    assert result.returncode == 0, result.stderr
    rows = [json.loads(line) for line in (cwd / "out.jsonl").read_text().splitlines()]
    assert [row["text"] for row in rows] == ["again", *["fine"] * 4, *["again"] * 3]
    assert len(fake.bodies) - n_before == 4


def write_endpoint(env: dict[str, str], url: str, more: str = "") -> None:
    config = Path(env["LLMTOOL_CONFIG_DIR"])
    config.mkdir(parents=True, exist_ok=True)
    (config / "config.toml").write_text(f'[endpoints.gpu]\nbase_url = "{url}"\n{more}')


def test_cost_follows_from_the_prices_of_the_settings(
    fake: FakeServer, run_llmtool: Run, env: dict[str, str]
) -> None:
    prices = "[endpoints.gpu.prices.tiny]\ninput = 1000\noutput = 2000\n"
    write_endpoint(env, fake.url, prices)
    fake.script(say("a", "b"))  # 5 tokens of a prompt, 2 of the reply
    result = run_llmtool("gen", "Hi", "-m", "gpu:tiny", "--json", "--stats", env=ONLINE)
    assert json.loads(result.stdout)["usage"]["cost"] == pytest.approx(0.009)
    assert b"; cost 0.009\n" in result.stderr
    batch = ("gen", "Say", "--each", "line", "-m", "gpu:tiny", "--stats", "--temperature", "0")
    result = run_llmtool(*batch, input=b"1\n2\n", env=ONLINE)
    assert b"10 prompt tokens (0 cached), 4 completion tokens" in result.stderr
    assert b"; cost 0.018\n" in result.stderr


def test_cached_tokens_have_a_price_of_their_own() -> None:
    from msgspec import UNSET

    from llmtool.config import Price
    from llmtool.engine.openai.endpoint import Endpoint
    from llmtool.engine.types import Usage

    price = Price(input=4.0, cached=1.0, output=8.0)
    endpoint = Endpoint(name="gpu", base_url="http://gpu/v1", prices={"a": price})
    usage = Usage(prompt_tokens=100, cached_tokens=60, completion_tokens=10)
    assert endpoint.add_cost(usage, "a").cost == pytest.approx((40 * 4 + 60 + 80) / 1e6)
    assert endpoint.add_cost(usage, "a", with_prompt=False).cost == pytest.approx(80 / 1e6)
    assert endpoint.add_cost(usage, "b").cost is UNSET


def test_models_of_a_server_are_listed_and_completed(
    fake: FakeServer, run_llmtool: Run, env: dict[str, str]
) -> None:
    write_endpoint(env, fake.url)
    fake.models = lambda exchange: exchange.send(
        body={"data": [{"id": "a/b", "max_model_len": 4096}, {"id": "c\x1b[31m"}]}
    )
    result = run_llmtool("models", "ls", "gpu:", env=ONLINE)
    assert b"sent to" not in result.stderr  # no text is
    assert b"sent to" in run_llmtool("gen", "Hi", "-m", "gpu:a/b", env=ONLINE).stderr
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[0] == b"gpu:a/b\t4096\t-"
    assert b"\x1b" not in result.stdout
    listed = json.loads(run_llmtool("models", "ls", "gpu", "--json", env=ONLINE).stdout)
    assert listed[0] == {"name": "gpu:a/b", "n_ctx": 4096, "n_params": None}
    result = run_llmtool("models", "ls", "gpo:", env=ONLINE)
    error = error_line(result, 2)
    assert "'gpo:': not an endpoint of config.toml; endpoints: gpu" in error
    assert "`llmtool config set endpoints.gpo.base_url URL`" in error
    from llmtool.cli import candidates

    with pytest.MonkeyPatch.context() as patch:
        for name, value in env.items():
            patch.setenv(name, value)
        found = candidates.find("models", "gpu:", ["llmtool", "gen", "-m", "gpu:"])
        assert [each.value for each in found] == ["gpu:", "gpu:a/b"]


def test_doctor_checks_endpoints_without_the_network(
    fake: FakeServer, run_llmtool: Run, env: dict[str, str]
) -> None:
    write_endpoint(env, "http://me:secret@gpu:8000", 'api_key_file = "missing"\n')
    result = run_llmtool("doctor", "--json")
    report = json.loads(result.stdout)
    assert report["endpoints"] == [
        {"name": "gpu", "base_url": "http://***@gpu:8000", "kind": "auto"}
    ]
    assert any("endpoints.gpu.api_key_file: cannot read" in each for each in report["advice"])
    assert b"secret" not in result.stdout


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('base_url = "http://a"\nurl = "x"', "endpoints.gpu: unknown key 'url'; valid keys: base"),
        ('base_ulr = "x"', "endpoints.gpu: unknown key 'base_ulr'; did you mean 'base_url'?"),
        ('kind = "vllm"', "endpoints.gpu: base_url is missing; run `llmtool config set endpoints"),
        (
            'base_url = "http://a"\nconcurrency = 0',
            "endpoints.gpu.concurrency: must be a whole number from 1 to 1024",
        ),
        ('base_url = "http://a"\nkind = "vlm"', "endpoints.gpu.kind: must be auto, "),
        ('base_url = "http://a"\nheaders = {a = 5}', "endpoints.gpu: expected 'str', got 'int'"),
    ],
)
def test_invalid_endpoint_of_the_settings_is_an_error(
    run_llmtool: Run, env: dict[str, str], text: str, message: str
) -> None:
    config = Path(env["LLMTOOL_CONFIG_DIR"])
    config.mkdir(parents=True, exist_ok=True)
    (config / "config.toml").write_text(f"[endpoints.gpu]\n{text}\n")
    assert message in error_line(run_llmtool("gen", "Hi"), 2)


def test_config_never_leaves_an_endpoint_without_url(run_llmtool: Run) -> None:
    def change(*words: str) -> str:
        done = run_llmtool("config", *words)
        return error_line(done, 2) if done.returncode else ""

    assert "endpoints.gpu has no base_url; run" in change("set", "endpoints.gpu.concurrency", "4")
    assert change("unset", "endpoints.gpu.kind") == ""
    assert change("set", "endpoints.gpu.base_url", "http://gpu:8000") == ""
    assert change("set", "endpoints.gpu.concurrency", "4") == ""
    assert "run `llmtool config unset endpoints.gpu`" in change("unset", "endpoints.gpu.base_url")
    assert run_llmtool("config", "show", "endpoints.gpu.concurrency").stdout == b"4\n"
    assert change("unset", "endpoints.gpu") == ""
    assert b"endpoints" not in run_llmtool("config", "show").stdout
    assert "unknown key" in change("unset", "endpoints.gpu")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("gpu.base_url", "notaurl", "endpoints.gpu.base_url 'notaurl': no scheme; use a URL such"),
        ("gpu.base_url", "ftp://gpu", "unsupported scheme 'ftp'; use http or https"),
        ("gpu.base_url", "http://user:secret@gpu", "user names and passwords in URLs are not"),
        ("gpu.base_url", "http://gpu/v1?x=1", "must end before ? and #"),
        ("a.base_url", "http://gpu", "endpoints.a: the name must have at least two letters"),
        ("g u.base_url", "http://gpu", "endpoints.g u: the name must have at least two letters"),
        ("gpu.api_key_env", KEY, "must be the name of an environment variable, such as GPU_KEY"),
    ],
)
def test_config_rejects_an_endpoint_that_cannot_be_used(
    run_llmtool: Run, env: dict[str, str], key: str, value: str, message: str
) -> None:
    result = run_llmtool("config", "set", f"endpoints.{key}", value)
    assert message in error_line(result, 2)
    assert b"secret" not in result.stderr
    assert not (Path(env["LLMTOOL_CONFIG_DIR"]) / "config.toml").exists()


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("gpu", "unknown model 'gpu'; did you mean 'gpu:'?"),
        ("gpo:tiny", "unknown model 'gpo:tiny'; did you mean 'gpu:'?"),
    ],
)
def test_name_of_an_endpoint_without_a_colon_is_suggested(
    fake: FakeServer, run_llmtool: Run, env: dict[str, str], reference: str, message: str
) -> None:
    write_endpoint(env, fake.url)
    result = run_llmtool("gen", "Hi", "-m", reference, env=ONLINE)
    assert message in error_line(result, ExitCode.MODEL_NOT_FOUND)


def test_models_of_a_url_are_listed(fake: FakeServer, run_llmtool: Run) -> None:
    result = run_llmtool("models", "ls", fake.url.removesuffix("/v1"), env=ONLINE)
    assert (result.returncode, result.stdout) == (0, b"tiny\t-\t-\n")
    assert "no scheme" not in error_line(run_llmtool("models", "ls", "http://", env=ONLINE), 2)
    result = run_llmtool("models", "ls", "http://127.0.0.1:1/v1", env=ONLINE)
    assert result.returncode == 20
    assert b"127.0.0.1:1; check the URL, and whether the server runs" in result.stderr


def test_command_waits_for_a_server_that_loads_its_model(
    fake: FakeServer, run_llmtool: Run
) -> None:
    loading = [fail(503, "Loading model")] * 4
    replies = [*loading, fake.models]

    def list_models(exchange: Any) -> None:
        (replies.pop(0) if len(replies) > 1 else replies[0])(exchange)

    fake.models = list_models
    fake.script(fail(503, "Loading model"), say("Hello"))
    result = run_llmtool("gen", "Hi", "--base-url", fake.url, env=ONLINE)
    assert (result.returncode, result.stdout) == (0, b"Hello\n")
    assert (
        result.stderr.count(b"the server is not ready: Loading model; waiting at most 300 s") == 1
    )
    fake.script(fail(503, "Loading model"))
    late = run_llmtool("gen", "Hi", "--base-url", fake.url, "--timeout", "2", env=ONLINE)
    assert late.returncode == ExitCode.TIMEOUT


def test_config_removes_the_settings_of_a_model(run_llmtool: Run) -> None:
    for key in ("models.qwen3.5-4b.template_args.x", "models.qwen3.5-4b.template_args.y"):
        assert run_llmtool("config", "set", key, "1").returncode == 0
    assert run_llmtool("config", "unset", "models.qwen3.5-4b").returncode == 0
    assert b"qwen3.5-4b" not in run_llmtool("config", "show").stdout


def test_config_removes_the_last_key_of_an_endpoint(run_llmtool: Run) -> None:
    assert run_llmtool("config", "set", "endpoints.ab.base_url", "http://a").returncode == 0
    assert run_llmtool("config", "unset", "endpoints.ab.base_url").returncode == 0
    assert run_llmtool("config", "show").returncode == 0


def test_config_sets_a_key_of_an_endpoint(run_llmtool: Run) -> None:
    def config(*args: str) -> Any:
        return run_llmtool("config", *args)

    assert config("set", "endpoints.gpu.base_url", "http://gpu:8000").returncode == 0
    assert config("set", "endpoints.gpu.concurrency", "5").returncode == 0
    assert config("show", "endpoints.gpu.concurrency").stdout == b"5\n"
    error = error_line(config("set", "endpoints.gpu.n_ctx", "x"), 2)
    assert "endpoints.gpu.n_ctx 'x': must be a whole number of at least 1" in error
    for key in ("endpoints.gpu.key", "endpoints.gpu"):
        error = error_line(config("set", key, "sk-1"), 2)
        assert f"unknown key '{key}'; valid keys: endpoints.gpu.base_url, or with kind, " in error
    assert config("unset", "endpoints.gpu.concurrency").returncode == 0


@pytest.mark.parametrize("is_named", [True, False])
def test_conversation_continues_with_the_model_of_the_server(
    fake: FakeServer, run_llmtool: Run, env: dict[str, str], is_named: bool
) -> None:
    write_endpoint(env, fake.url)
    server = ("-m", "gpu:tiny") if is_named else ("--base-url", fake.url)
    again = () if is_named else server
    assert run_llmtool("gen", "Hi", *server, env=ONLINE).returncode == 0
    result = run_llmtool("gen", "More", "-c", *again, env=ONLINE)
    assert (result.returncode, result.stdout) == (0, b"Hello!\n"), result.stderr
    assert [each["content"] for each in fake.bodies[1]["messages"]] == ["Hi", "Hello!", "More"]
    for _ in range(2):
        result = run_llmtool("chat", "--session", "s", *server, input=b"Hi\n", env=ONLINE)
        assert result.returncode == 0, result.stderr
    assert len(fake.bodies[-1]["messages"]) > len(fake.bodies[-2]["messages"])
    if not is_named:  # the local model of that name does not answer
        result = run_llmtool("gen", "More", "-c", env=ONLINE)
        assert result.returncode == ExitCode.MODEL_NOT_FOUND, result.stderr


def test_asyncio_and_threads_share_a_server(fake: FakeServer, open_box: Any) -> None:
    import asyncio
    from concurrent.futures import ThreadPoolExecutor

    fake.script(lambda exchange: say(exchange.request.body["messages"][-1]["content"])(exchange))
    box = open_box("tiny", base_url=fake.url)

    async def ask_all() -> list[str]:
        replies = await asyncio.gather(*(box.agenerate(str(i)) for i in range(5)))
        return [reply.text for reply in replies]

    assert asyncio.run(ask_all()) == [str(i) for i in range(5)]
    with ThreadPoolExecutor(5) as pool:
        replies = pool.map(lambda i: box.generate(str(i)).text, range(5))
        assert list(replies) == [str(i) for i in range(5)]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the platform has no fork")
def test_forked_child_connects_again(fake: FakeServer, open_box: Any) -> None:
    box = open_box("tiny", base_url=fake.url)
    assert box.generate("Hi").text == "Hello!"
    child = os.fork()
    if child == 0:
        os._exit(0 if box.generate("Hi").text == "Hello!" else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert box.generate("Hi").text == "Hello!"


def test_closed_toolbox_refuses_calls(fake: FakeServer, open_box: Any) -> None:
    box = open_box("tiny", base_url=fake.url)
    box.generate("Hi")
    box.close()
    with pytest.raises(ClosedError):
        box.generate("Hi")


def test_batch_of_an_endpoint_resumes_at_another_address(
    fake: FakeServer, run_llmtool: Run, env: dict[str, str], cwd: Path
) -> None:
    (cwd / "in.txt").write_text("a\nb\n")
    batch = ("gen", "Say", "--each", "line", "-f", "in.txt", "-o", "out.csv", "-m", "gpu:tiny")
    write_endpoint(env, fake.url)
    assert run_llmtool(*batch, "--limit", "1", env=ONLINE).returncode == 0
    with fake_server() as other:
        write_endpoint(env, other.url)
        result = run_llmtool(*batch, "--resume", env=ONLINE)
        assert result.returncode == 0, result.stderr
        assert len(other.bodies) == len(fake.bodies) == 1
        other.models = lambda exchange: exchange.send(body=listed("tiny", root="other-weights"))
        result = run_llmtool(*batch, "--resume", env=ONLINE)
        assert "a different model" in error_line(result, ExitCode.USAGE)


def test_option_of_a_template_that_the_model_rejects_is_omitted(
    fake: FakeServer, open_box: Any
) -> None:
    """Reasoning models of OpenAI accept no other temperature than their own."""

    def respond(exchange: Any) -> None:
        for field in ("max_tokens", "temperature", "top_p"):
            if field in exchange.request.body:
                message = f"Unsupported parameter: '{field}'"
                error = {"message": message, "code": "unsupported_parameter", "param": field}
                exchange.send(400, {"error": error})
                return
        say("Hello")(exchange)

    fake.script(respond)
    notes: list[str] = []
    box = open_box("tiny", base_url=fake.url, on_note=notes.append)
    assert box.generate("Hi", max_tokens=9).text == "Hello"
    assert fake.bodies[-1]["max_completion_tokens"] == 9
    n_before = len(fake.bodies)
    assert box.generate("Hi").text == "Hello"
    assert len(fake.bodies) == n_before + 1  # what was rejected is not sent again
    assert [note.partition(": ")[2] for note in notes[1:]] == [
        "temperature= is not sent, as the model does not support it",
        "top_p= is not sent, as the model does not support it",
    ]
    with pytest.raises(UsageError, match="Unsupported parameter: 'temperature'"):
        open_box("tiny", base_url=fake.url).generate("Hi", temperature=0.5)
