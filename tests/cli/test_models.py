"""`llmtool models`, `config` and `doctor`: output and effects."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command import error_line

Run = Callable[..., Any]


def out(result: Any) -> str:
    assert result.returncode == 0, result.stderr.decode()
    text: str = result.stdout.decode()
    return text


def test_ls_is_tab_separated_in_a_pipe_or_json(run_llmtool: Run) -> None:
    (line,) = out(run_llmtool("models", "ls")).splitlines()
    name, quant, size, source, path = line.split("\t")
    assert (name, quant, size, source) == ("starter", "Q4_1", "98.4 MB", "starter")
    (model,) = json.loads(out(run_llmtool("models", "ls", "--json")))
    assert model["path"] == path and model["size_bytes"] > 98_000_000


def test_info_describes_a_model(run_llmtool: Run) -> None:
    value = json.loads(out(run_llmtool("models", "info", "starter", "--json")))
    assert (value["architecture"], value["quant"], value["n_layers"]) == ("llama", "Q4_1", 30)
    assert (value["context_length"], value["n_vocab"]) == (8192, 49152)
    assert value["n_params"] == 134_515_008
    assert value["memory_bytes"]["kv"] == 2 * 30 * 4096 * 3 * 64 * 2
    assert "im_start" in value["chat_template"]
    text = out(run_llmtool("models", "info", "starter", "--ctx-size", "8192"))
    assert "for 8,192 tokens" in text and "135 million" in text


def test_model_is_imported_used_verified_and_removed(
    run_llmtool: Run, tiny: Path, env: dict[str, str]
) -> None:
    assert out(run_llmtool("models", "import", tiny, "--name", "small")) == "small\n"
    assert "small\t" in out(run_llmtool("models", "ls"))
    assert out(run_llmtool("gen", "-q", "hello", "-m", "small", "--max-tokens", "3"))
    assert out(run_llmtool("models", "verify", "small")).startswith("ok\tsmall\t")
    copy = next(Path(env["LLMTOOL_DATA_DIR"]).rglob("small.gguf"))
    broken = bytearray(copy.read_bytes())
    broken[-1] ^= 1
    copy.unlink()
    copy.write_bytes(broken)
    damaged = run_llmtool("models", "verify", "small")
    assert damaged.returncode == 16 and damaged.stdout.startswith(b"damaged\tsmall\t")
    assert "small.gguf" in out(run_llmtool("models", "rm", "small", "--dry-run"))
    assert copy.exists()
    out(run_llmtool("models", "rm", "small"))
    assert not copy.exists()
    error_line(run_llmtool("models", "rm", "small"), 10)


def test_aliases_are_set_listed_and_removed(run_llmtool: Run) -> None:
    out(run_llmtool("models", "alias", "small", "starter"))
    assert out(run_llmtool("models", "alias")) == "small\tstarter\n"
    assert "Q4_1" in out(run_llmtool("models", "info", "small"))
    out(run_llmtool("models", "alias", "small", "--remove"))
    assert out(run_llmtool("models", "alias")) == ""
    error_line(run_llmtool("models", "alias", "small"), 2)
    error_line(run_llmtool("models", "alias", "--remove"), 2)


def test_recommend_lists_fitting_models_with_a_reason(run_llmtool: Run) -> None:
    choices = json.loads(out(run_llmtool("models", "recommend", "--json")))
    assert all(choice["repo"].count("/") == 1 and choice["reason"] for choice in choices)
    assert all(choice["tokens_per_second"] > 0 for choice in choices)
    lines = out(run_llmtool("models", "recommend")).splitlines()
    assert [line.split("\t")[0] for line in lines] == [choice["name"] for choice in choices]


def test_recommend_ranks_by_the_speed_of_this_machine(
    run_llmtool: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llmtool.machine.memory_bytes", lambda: (64 * 10**9, 64 * 10**9))
    monkeypatch.setattr("llmtool.engine.llama.devices.devices", lambda: ())
    first = {}
    for n_threads in (2, 16):
        monkeypatch.setattr("llmtool.machine.default_threads", lambda n=n_threads: n)
        choices = json.loads(out(run_llmtool("models", "recommend", "--json")))
        first[n_threads] = choices[0]
        assert choices[0]["tokens_per_second"] >= 8
    assert first[2]["size_bytes"] < 6 * 10**9 < 12 * 10**9 < first[16]["size_bytes"]


def test_offline_missing_model_is_10_and_names_the_command(run_llmtool: Run) -> None:
    line = error_line(run_llmtool("gen", "hi", "-m", "org/name:Q4_K_M", "--offline"), 10)
    assert "llmtool models pull org/name:Q4_K_M" in line


@pytest.mark.parametrize("more", [(), ("--dry-run",), ("--offline",)], ids=" ".join)
def test_pull_of_a_local_model_reports_its_path_offline(
    run_llmtool: Run, tiny: Path, more: tuple[str, ...]
) -> None:
    for model in ("starter", str(tiny)):
        result = run_llmtool("models", "pull", model, *more)
        assert Path(out(result).strip()).is_file()
        said = f"llmtool: {model} is a local model; nothing to download\n"
        assert result.stderr.decode() == said
    found = json.loads(out(run_llmtool("models", "pull", "starter", "--json", "-q", *more)))
    assert (found["name"], found["source"]) == ("starter", "starter")
    assert "gguf: no such file" in error_line(
        run_llmtool("models", "pull", "./none.gguf", *more), 10
    )


@pytest.mark.parametrize("command", ["models", "config", "sessions", "cache", "prompts"])
def test_group_without_a_command_prints_its_help(run_llmtool: Run, command: str) -> None:
    done = run_llmtool(command)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == run_llmtool(command, "--help").stdout
    assert b"Commands:" in done.stdout


def test_config_set_get_unset_preserve_comments(run_llmtool: Run, env: dict[str, str]) -> None:
    path = Path(env["LLMTOOL_CONFIG_DIR"]) / "config.toml"
    path.parent.mkdir(parents=True)
    path.write_text("# mine\nthreads = 1  # few\n")
    out(run_llmtool("config", "set", "model", "starter"))
    out(run_llmtool("config", "set", "temperature", "0.5"))
    out(run_llmtool("config", "set", "aliases.big", "/models/big.gguf"))
    assert "# mine\nthreads = 1  # few\n" in path.read_text()
    shown = json.loads(out(run_llmtool("config", "show", "--json")))
    assert (shown["model"], shown["temperature"], shown["threads"]) == ("starter", 0.5, 1)
    assert shown["aliases"] == {"big": "/models/big.gguf"}
    assert path.stat().st_mode & 0o777 == 0o600
    out(run_llmtool("config", "unset", "model"))
    assert "model\t-" in out(run_llmtool("config", "show"))


def test_config_unset_removes_an_unknown_key(run_llmtool: Run, env: dict[str, str]) -> None:
    path = Path(env["LLMTOOL_CONFIG_DIR"]) / "config.toml"
    path.parent.mkdir(parents=True)
    path.write_text('modle = "x"\n')
    assert "did you mean 'model'" in error_line(run_llmtool("models", "ls"), 2)
    out(run_llmtool("config", "unset", "modle"))
    out(run_llmtool("config", "set", "offline", "yes"))
    assert path.read_text() == "offline = true\n"


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("modle", "x", "did you mean 'model'"),
        ("threads", "two", "threads 'two': must be a whole number from 1 to 512"),
        ("temperature", "-1", "temperature '-1': must be a number from 0 to 100"),
        ("aliases", "x", "unknown key"),
        ("aliases.starter", "/x.gguf", "starter"),
        ("aliases.x y", "/x.gguf", "x y"),
        ("color", "blue", "auto, always or never"),
        ("model", "", "needs a value"),
        ("other.name", "x", "unknown key"),
    ],
)
def test_invalid_setting_is_rejected_and_not_written(
    run_llmtool: Run, env: dict[str, str], key: str, value: str, reason: str
) -> None:
    assert reason in error_line(run_llmtool("config", "set", key, "--", value), 2)
    assert not (Path(env["LLMTOOL_CONFIG_DIR"]) / "config.toml").exists()


def test_missing_model_file_is_saved_with_a_note(run_llmtool: Run, tmp_path: Path) -> None:
    path = tmp_path / "none.gguf"
    expected = f"llmtool: saved, but {path}: no such file\n".encode()
    assert run_llmtool("models", "alias", "small", path).stderr == expected
    assert run_llmtool("config", "set", "model", path).stderr == expected
    assert run_llmtool("models", "prune").stderr == b"llmtool: nothing to remove\n"


def test_unknown_model_is_set_with_a_note(run_llmtool: Run, env: dict[str, str]) -> None:
    result = run_llmtool("config", "set", "model", "nothere")
    assert result.returncode == 0
    assert result.stderr.startswith(
        b"llmtool: saved, but the model was not found: unknown model 'nothere'; "
    )
    assert result.stderr.count(b"\n") == 1
    assert run_llmtool("config", "set", "aliases.x", "nothere").stderr == result.stderr
    assert run_llmtool("config", "set", "model", "nothere", "-q").stderr == b""
    text = (Path(env["LLMTOOL_CONFIG_DIR"]) / "config.toml").read_text()
    assert 'model = "nothere"\n' in text


@pytest.mark.parametrize("reference", ["gpu:qwen", "openai:gpt-4o-mini"])
def test_model_of_a_server_is_set_without_a_note(run_llmtool: Run, reference: str) -> None:
    run_llmtool("config", "set", "endpoints.gpu.base_url", "http://127.0.0.1:9")
    for key in ("model", "aliases.big"):
        done = run_llmtool("config", "set", key, reference)
        assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("command", ["info", "pull", "verify", "rm"])
@pytest.mark.parametrize("reference", ["gpu:qwen", "big", "openai:gpt-4o-mini"])
def test_model_of_a_server_is_not_managed(run_llmtool: Run, command: str, reference: str) -> None:
    run_llmtool("config", "set", "endpoints.gpu.base_url", "http://127.0.0.1:9")
    run_llmtool("config", "set", "aliases.big", "gpu:qwen")
    server = "openai" if reference.startswith("openai") else "gpu"
    line = error_line(run_llmtool("models", command, reference), 2)
    assert line == f"llmtool: {reference!r} is a model of the server {server}; name a local model"


def test_alias_of_a_model_of_a_server_is_a_setting(run_llmtool: Run) -> None:
    run_llmtool("config", "set", "endpoints.gpu.base_url", "http://127.0.0.1:9")
    line = error_line(run_llmtool("models", "alias", "big", "gpu:qwen"), 2)
    command = "`llmtool config set aliases.big gpu:qwen`"
    assert line == f"llmtool: 'gpu:qwen' is a model of a server; set its alias with {command}"


def test_error_on_an_unknown_default_model_says_where_it_is_set(
    run_llmtool: Run, env: dict[str, str]
) -> None:
    run_llmtool("config", "set", "model", "nothere", "-q")
    file = Path(env["LLMTOOL_CONFIG_DIR"]) / "config.toml"
    line = error_line(run_llmtool("gen", "Hi"), 10)
    assert line.startswith("llmtool: unknown model 'nothere'; ")
    assert line.endswith(f" (set in {file}; `llmtool config unset model` removes it)")
    line = error_line(run_llmtool("gen", "Hi", env={"LLMTOOL_MODEL": "absent"}), 10)
    assert line.startswith("llmtool: unknown model 'absent'; ")
    assert line.endswith(" (set by LLMTOOL_MODEL)")
    assert "set " not in error_line(run_llmtool("gen", "Hi", "-m", "nothere"), 10)


@pytest.mark.parametrize("model", ["starter", "qwen3-4b-2507", "org/name", "x"])
def test_known_model_is_set_without_a_note(run_llmtool: Run, model: str) -> None:
    out(run_llmtool("config", "set", "aliases.x", "starter"))
    assert run_llmtool("config", "set", "model", model).stderr == b""


def test_unset_of_an_unknown_key_is_an_error(run_llmtool: Run, env: dict[str, str]) -> None:
    line = error_line(run_llmtool("config", "unset", "modle"), 2)
    assert line == "llmtool: unknown key 'modle'; did you mean 'model'?"
    assert not Path(env["LLMTOOL_CONFIG_DIR"]).exists()
    assert run_llmtool("config", "unset", "model").returncode == 0


@pytest.mark.parametrize(
    ("text", "reason"),
    [("model =\n", "not valid TOML"), ('modle = "x"\n', "unknown key 'modle'")],
    ids=["no TOML", "unknown key"],
)
def test_doctor_reports_a_broken_config(
    run_llmtool: Run, env: dict[str, str], text: str, reason: str
) -> None:
    path = Path(env["LLMTOOL_CONFIG_DIR"]) / "config.toml"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    done = run_llmtool("doctor", "--json", env={"LLMTOOL_MODEL": "nothere"})
    report = json.loads(out(done))
    assert report["versions"]["llama-cpp-python"] and report["default_model"] == "nothere"
    assert report["advice"][0].startswith(f"{path}: {reason}")
    path.unlink()
    wrong = json.loads(out(run_llmtool("doctor", "--json", env={"LLMTOOL_THREADS": "two"})))
    assert wrong["advice"][0].startswith("LLMTOOL_THREADS '")


def test_doctor_reports_the_machine(run_llmtool: Run) -> None:
    report = json.loads(out(run_llmtool("doctor", "--json")))
    assert report["versions"]["llama-cpp-python"] and report["backends"]["CPU"]
    assert 1 <= report["threads"] <= report["cpus"]
    assert report["memory_bytes"] > 10**8
    assert [model["name"] for model in report["models"]] == ["starter"]
    assert any("using the starter model" in line for line in report["advice"])
    text = out(run_llmtool("doctor"))
    assert "default model\tstarter" in text and "advice\t" in text


def test_doctor_follows_the_settings(run_llmtool: Run) -> None:
    env = {"LLMTOOL_THREADS": "1", "LLMTOOL_MODEL": "starter"}
    report = json.loads(out(run_llmtool("doctor", "--json", env=env)))
    assert (report["threads"], report["default_model"]) == (1, "starter")
    assert not any("no model chosen" in line for line in report["advice"])
