"""Commands that use the model of a running server: same results, fallbacks, ps, stop, doctor."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from command import INFINITE, error_line, read_exactly
from json_page import object_mismatches

from llmtool.engine.socket import private
from llmtool.engine.socket.servers import list_servers
from llmtool.folders import find_folders
from llmtool.local_model import LocalModel
from llmtool.server.activity import Activity
from llmtool.server.socket import Served, SocketServer
from llmtool.toolbox import Toolbox

if not private.IS_AVAILABLE:
    pytest.skip("no private sockets", allow_module_level=True)

Run = Callable[..., subprocess.CompletedProcess[bytes]]


class Counter(Activity):
    """Counts the streams of a server."""

    n_streams = 0

    def __enter__(self) -> None:
        super().__enter__()
        self.n_streams += 1

    def wait_until_idle(self, seconds: float = 30) -> bool:
        end = time.monotonic() + seconds
        while self.n_running and time.monotonic() < end:
            time.sleep(0.01)
        return not self.n_running


@pytest.fixture
def serve(env: dict[str, str]) -> Iterator[Callable[..., Counter]]:
    """Return `start(model, **options)`: a server in this process, for commands of this user."""
    with ExitStack() as stack:

        def start(model: Path, **options: Any) -> Counter:
            folders = find_folders(env)
            box = Toolbox(model, concurrent=True, environ=env, n_threads=1, **options)
            stack.callback(box.close)
            local, counter = box.context.model, Counter()
            assert isinstance(local, LocalModel)
            served = {"tiny": Served(box, local.engine_identity)}
            server = SocketServer(
                folders.sockets,
                served,
                activity=counter,
                address="http://127.0.0.1:1",
                stop=lambda: None,
            )
            stack.callback(server.close)
            return counter

        yield start


def test_a_warm_command_imports_neither_the_engine_nor_languages(
    tiny: Path, serve: Callable[..., Counter], run_llmtool_process: Callable[..., Any]
) -> None:
    counter = serve(tiny)
    words = (*ONE_TOKEN, "-m", tiny, "--threads", "1")
    done = run_llmtool_process(*words, env={"PYTHONPROFILEIMPORTTIME": "1"})
    assert counter.n_streams == 1, done.stderr
    names = {line.split("|")[-1].strip() for line in done.stderr.decode().splitlines()}
    assert "llmtool.engine.socket.client" in names
    assert not names & {"llmtool.engine.llama.engine", "llmtool.text.languages"}


COMMANDS: dict[str, tuple[str, ...]] = {
    "gen": ("gen", "once upon a time", "--max-tokens", "12", "--seed", "3"),
    "gen --json": ("gen", "once", "--max-tokens", "8", "--temperature", "0", "--json", "-n", "2"),
    "gen --logprobs": ("gen", "once", "--max-tokens", "5", "--seed", "1", "--logprobs", "2"),
    "gen --regex": ("gen", "once", "--regex", "[ab]{3,5}", "--seed", "1"),
    "gen --schema": ("gen", "once", "--schema", "a int, b", "--seed", "1", "--max-tokens", "90"),
    "gen --each": ("gen", "--each", "line", "--max-tokens", "5", "--seed", "1"),
    "gen --dry-run": ("gen", "hello", "--dry-run"),
    "classify": ("classify", "-l", "good", "-l", "bad", "--json"),
    "classify --each": ("classify", "-l", "good", "-l", "bad", "--each", "line"),
    "run": ("run", "gen", "hello", "--max-tokens", "5", "--seed", "1"),
    "too long": ("gen", "--max-tokens", "1000000", "hello"),
    "logit bias": ("gen", "hello", "--logit-bias", "never one token=1"),
    "no reply": ("gen", "hello", "--regex", "a{90}", "--max-tokens", "3", "--seed", "1"),
}


def without_times(output: bytes) -> str:
    """Return an output without the times in its JSON."""
    try:
        value = json.loads(output)
    except ValueError:
        return output.decode()
    for each in value if isinstance(value, list) else [value]:
        if isinstance(each, dict):
            for name in ("timing", "seconds", "tokens_per_second"):
                each.pop(name, None)
    return json.dumps(value)


@pytest.mark.parametrize("name", COMMANDS)
def test_results_and_errors_are_those_of_the_command_alone(
    name: str, run_llmtool: Run, serve: Callable[..., Counter], tiny: Path
) -> None:
    words = (*COMMANDS[name], "-m", tiny, "--threads", "1")
    counter = serve(tiny)
    text = b"a good day\na bad day\n" if "--each" in words or "classify" in words else b""
    alone = run_llmtool(*words, "--server", "never", "--no-cache", input=text)
    assert counter.n_streams == 0
    warm = run_llmtool(*words, input=text)
    assert without_times(warm.stdout) == without_times(alone.stdout)
    assert (warm.returncode, warm.stderr) == (alone.returncode, alone.stderr)
    assert counter.n_streams > 0 or "--dry-run" in words
    assert counter.wait_until_idle()


ONE_TOKEN = ("gen", "hello", "--max-tokens", "1", "--seed", "1", "--no-log", "-q")


@pytest.mark.parametrize(
    "options",
    [
        ("--ctx-size", "300"),
        ("--threads", "2"),
        ("--reproducible",),
        ("--parallel", "2"),
        ("--no-cache",),
        ("--draft", "off"),
        ("--template-arg", "x=1"),
        ("--server", "never"),
    ],
    ids=" ".join,
)
def test_another_engine_runs_in_the_command(
    options: tuple[str, ...], run_llmtool: Run, serve: Callable[..., Counter], tiny: Path
) -> None:
    counter = serve(tiny)
    assert run_llmtool(*ONE_TOKEN, "-m", tiny, "--threads", "1", *options).returncode == 0
    assert counter.n_streams == 0


def test_models_are_compared_by_content(
    run_llmtool: Run, serve: Callable[..., Counter], tiny: Path, tiny_base: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy.gguf"
    copy.write_bytes(tiny.read_bytes())
    counter = serve(copy)
    assert run_llmtool(*ONE_TOKEN, "-m", tiny, "--threads", "1").returncode == 0
    assert counter.n_streams == 1
    copy.write_bytes(tiny_base.read_bytes())
    assert run_llmtool(*ONE_TOKEN, "-m", copy, "--threads", "1").returncode == 0
    assert counter.n_streams == 1


@pytest.mark.parametrize(
    ("variables", "options", "is_used"),
    [
        ({}, (), True),
        ({"CI": "true"}, (), False),
        ({"CI": "true"}, ("--server", "auto"), True),
        ({"CI": "true", "LLMTOOL_SERVER": "auto"}, (), True),
        ({"LLMTOOL_SERVER": "never"}, (), False),
        ({"LLMTOOL_SERVER": "never"}, ("--server", "auto"), True),
    ],
)
def test_a_server_is_used_unless_in_ci_or_turned_off(
    variables: dict[str, str],
    options: tuple[str, ...],
    is_used: bool,
    run_llmtool: Run,
    serve: Callable[..., Counter],
    tiny: Path,
) -> None:
    counter = serve(tiny)
    done = run_llmtool(*ONE_TOKEN, "-m", tiny, "--threads", "1", *options, env=variables)
    assert done.returncode == 0
    assert counter.n_streams == is_used


def test_a_socket_can_be_chosen(
    run_llmtool: Run, serve: Callable[..., Counter], tiny: Path, env: dict[str, str]
) -> None:
    counter = serve(tiny)
    (path,) = private.list_sockets(find_folders(env).sockets)
    words = ("gen", "hello", "--max-tokens", "1", "--seed", "1", "-m", tiny, "--server", path)
    assert run_llmtool(*words, "--threads", "1").returncode == 0
    assert counter.n_streams == 1
    done = run_llmtool(*words, "--threads", "1", "--ctx-size", "300")
    assert done.returncode == 0
    assert b"has another context size; loading the model here" in done.stderr
    assert counter.n_streams == 1
    missing = run_llmtool(*words[:-1], path.with_name("0.sock"), "--threads", "1")
    assert "0.sock" in error_line(missing, 2)
    path.chmod(0o666)
    assert "only you can open" in error_line(run_llmtool(*words, "--threads", "1"), 2)


def test_an_error_of_a_socket_does_not_name_an_option_that_was_not_passed(
    run_llmtool: Run, tiny: Path, tmp_path: Path
) -> None:
    path = tmp_path / "0.sock"
    done = run_llmtool(*ONE_TOKEN, "-m", tiny, env={"LLMTOOL_SERVER": str(path)})
    assert error_line(done, 2).startswith(f"llmtool: no server listens at {path}; ")


def test_the_socket_of_a_killed_server_is_ignored(
    run_llmtool: Run, tiny: Path, env: dict[str, str]
) -> None:
    folder = find_folders(env).sockets
    private.listen(folder, "1.sock").close()  # its file remains
    done = run_llmtool(*ONE_TOKEN, "-m", tiny, "--threads", "1")
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"no server is running" in run_llmtool("ps").stderr


def test_a_chat_reuses_its_earlier_turns(
    run_llmtool: Run, serve: Callable[..., Counter], tiny_model: Callable[..., Path]
) -> None:
    model = tiny_model("plain", **INFINITE)
    counter = serve(model)
    words = ("chat", "-m", model, "--threads", "1", "--max-tokens", "20", "--seed", "1", "--json")
    text = b"hello there, how are you today?\nand tomorrow?\n"
    done = run_llmtool(*words, "--each", "line", input=text)
    assert done.returncode == 0, done.stderr
    assert counter.n_streams >= 2
    events = [json.loads(line) for line in done.stdout.splitlines()]
    first, second = (event for event in events if event["event"] == "turn")
    assert second["cached_tokens"] >= first["prompt_tokens"]


def test_ctrl_c_stops_the_request_on_the_server(
    start_llmtool: Callable[..., subprocess.Popen[bytes]],
    serve: Callable[..., Counter],
    tiny_model: Callable[..., Path],
) -> None:
    model = tiny_model("plain", **INFINITE)
    counter = serve(model)
    child = start_llmtool(
        "gen", "a", "-m", model, "--threads", "1", "--max-tokens", "60000", "--no-stdin"
    )
    assert child.stdout is not None
    read_exactly(child.stdout.fileno(), 20)
    assert counter.n_running == 1
    child.send_signal(signal.SIGINT)
    child.communicate(timeout=30)
    assert child.returncode == -signal.SIGINT
    assert counter.wait_until_idle()


def test_a_warm_command_loads_no_engine(
    serve: Callable[..., Counter], tiny: Path, env: dict[str, str]
) -> None:
    counter = serve(tiny)
    program = (
        "import sys, os\n"
        f"sys.argv = {['llmtool', *ONE_TOKEN, '--no-stdin', '-m', str(tiny), '--threads', '1']!r}\n"
        "def report(code): sys.__stderr__.write(' '.join(sys.modules)); sys.__stderr__.flush()\n"
        "os._exit = report\n"
        "from llmtool.cli.app import main\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=env)
    loaded = set(done.stderr.split())
    assert counter.n_streams == 1, done.stderr
    assert not {"llama_cpp", "llguidance", "llguidance._lib", "asyncio"} & loaded
    engine = {name for name in loaded if name.startswith("llmtool.engine.llama.")}
    assert engine <= {"llmtool.engine.llama.interrupts"}
    assert not {name for name in loaded if name.startswith("llmtool.server")}


def test_a_command_without_a_server_does_not_import_the_client(
    tiny: Path, env: dict[str, str]
) -> None:
    words = ["llmtool", *ONE_TOKEN, "--no-stdin", "-m", str(tiny), "--threads", "1"]
    program = (
        "import sys, os\n"
        f"sys.argv = {words!r}\n"
        "folder = os.path.join(os.environ['XDG_RUNTIME_DIR'], 'llmtool')\n"
        "seen = []\n"
        "sys.addaudithook(lambda name, args: folder in map(str, args) and seen.append(name))\n"
        "def report(code):\n"
        "    sys.__stderr__.write(repr(seen) + ' ' + ' '.join(sys.modules))\n"
        "    sys.__stderr__.flush()\n"
        "os._exit = report\n"
        "from llmtool.cli.app import main\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=env)
    assert done.stdout
    assert "[] " in done.stderr  # neither listed nor opened
    assert "llmtool.engine.llama.engine" in done.stderr
    assert "llmtool.engine.socket" not in done.stderr


def test_a_server_in_the_background(
    run_llmtool_process: Run, run_llmtool: Run, tiny: Path, env: dict[str, str]
) -> None:
    started = run_llmtool_process(
        "serve", "--detach", "-m", tiny, "--port", "0", "--threads", "1", timeout=120
    )
    assert started.returncode == 0, started.stderr
    address = started.stdout.decode().strip()
    ((path, status),) = list_servers(find_folders(env).sockets)
    try:
        (shown,) = json.loads(run_llmtool("ps", "--json").stdout)
        assert (shown["pid"], shown["address"]) == (status.pid, address)
        assert object_mismatches(shown, "ps") == []
        row = run_llmtool("ps").stdout.decode().split("\t")
        assert (row[0], row[2]) == (str(status.pid), address)
        assert json.loads(run_llmtool("doctor", "--json").stdout)["servers"][0]["pid"] == status.pid
        assert run_llmtool(*ONE_TOKEN, "-m", tiny, "--threads", "1").returncode == 0
        unknown = run_llmtool("stop", "other")
        assert "no server of 'other' is running" in error_line(unknown, 2)
        logs = list((Path(env["LLMTOOL_CACHE_DIR"]) / "servers").iterdir())
        assert [log.stat().st_mode & 0o777 for log in logs] == [0o600]
        assert run_llmtool("stop", str(status.pid)).returncode == 0
        assert not path.exists()
        assert b"no server is running" in run_llmtool("ps").stderr
    finally:
        if path.exists():
            os.kill(status.pid, signal.SIGKILL)


def test_a_server_without_a_port_has_the_options_of_commands(
    run_llmtool_process: Run, run_llmtool: Run, tiny: Path, tmp_path: Path, env: dict[str, str]
) -> None:
    (tmp_path / "chat.jinja").write_text("{{ word }} {{ messages[0].content }}")
    model = ("-m", tiny, "--threads", "1", "--draft", "off", "--no-cache")
    template = ("--chat-template", tmp_path / "chat.jinja", "--template-arg", "word=Hi")
    started = run_llmtool_process(
        "serve", "--detach", "--port", "none", "--reproducible", *model, *template, timeout=120
    )
    assert started.returncode == 0, started.stderr
    ((path, status),) = list_servers(find_folders(env).sockets)
    try:
        assert started.stdout.decode() == f"{path}\n"
        (shown,) = json.loads(run_llmtool("ps", "--json").stdout)
        assert shown["address"] is None and shown["socket"] == str(path)
        words = ("gen", "hello", "--max-tokens", "1", "--no-log", "--server", path, *model)
        same = run_llmtool(*words, *template, "--reproducible")
        assert same.returncode == 0 and b"loading the model here" not in same.stderr
        assert b"loading the model here" in run_llmtool(*words).stderr
        assert run_llmtool("stop").returncode == 0
    finally:
        if path.exists():
            os.kill(status.pid, signal.SIGKILL)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--lora", "no.gguf"), 10, "no.gguf: no such LoRA adapter"),
        (("--draft", "no.gguf"), 2, "--draft no.gguf: no such file"),
        (("--port", "none", "--cors", "http://a.b"), 2, "--port none listens for commands only"),
        (("--port", "65536"), 2, "must be 0 to 65535, or none"),
    ],
    ids=lambda each: " ".join(each) if isinstance(each, tuple) else "",
)
def test_an_option_of_a_background_server_that_cannot_be_used(
    run_llmtool_process: Run, tiny: Path, arguments: tuple[str, ...], code: int, message: str
) -> None:
    words = ("serve", "--detach", "-m", tiny, "--port", "0", *arguments)
    assert message in error_line(run_llmtool_process(*words, timeout=60), code)


def test_a_background_server_that_cannot_start_reports_its_error(
    run_llmtool_process: Run, tiny: Path
) -> None:
    words = ("serve", "--detach", "-m", tiny, "--host", "192.0.2.1", "--api-key-file", "keys")
    done = run_llmtool_process(*words, timeout=120)
    assert "keys" in error_line(done, 14)


def test_an_idle_server_ends(run_llmtool_process: Run, tiny: Path, env: dict[str, str]) -> None:
    done = run_llmtool_process(
        "serve", "-m", tiny, "--port", "0", "--threads", "1", "--idle", "0.01", timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert b"serving" in done.stderr
    assert not list_servers(find_folders(env).sockets)


def test_stop_needs_a_name_if_there_are_several(
    run_llmtool: Run, serve: Callable[..., Counter], tiny: Path, env: dict[str, str]
) -> None:
    assert b"no server is running" in run_llmtool("stop").stderr
    serve(tiny)
    (path,) = private.list_sockets(find_folders(env).sockets)
    os.link(path, path.with_name("1.sock"))
    assert "several servers are running" in error_line(run_llmtool("stop"), 2)
    assert "cannot be combined" in error_line(run_llmtool("stop", "tiny", "--all"), 2)
