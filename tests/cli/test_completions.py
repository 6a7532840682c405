"""Completion scripts are current and valid, and complete commands, options and values."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pexpect
import pytest

from llmtool.cli import candidates
from llmtool.cli.app import root_command
from llmtool.cli.commands import completions
from llmtool.cli.framework.completion import KINDS, script, walk
from llmtool.models import catalogue
from llmtool.prompts.library import Library
from llmtool.sessions.store import Sessions
from llmtool.sessions.types import Session

Run = Callable[..., Any]
FOLDER = Path(__file__).resolve().parent.parent.parent / "completions"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_are_current(shell: str) -> None:
    written = (FOLDER / f"llmtool.{shell}").read_text()
    assert written == script(shell, root_command()), (
        f"run: llmtool completions {shell} > completions/llmtool.{shell}"
    )


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shell_accepts_its_script(shell: str) -> None:
    binary = shutil.which(shell)
    if binary is None:
        pytest.skip(f"no {shell} here")
    done = subprocess.run([binary, "-n", FOLDER / f"llmtool.{shell}"], capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")


def complete(*words: str) -> list[str]:
    """Return the completions of bash for these words; the last one is incomplete."""
    listed = " ".join(f"'{word}'" for word in words)
    done = subprocess.run(
        [
            "bash",
            "-c",
            f"source '{FOLDER}/llmtool.bash'; COMP_WORDS=({listed}); "
            'COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _llmtool; printf "%s\\n" "${COMPREPLY[@]}"',
        ],
        capture_output=True,
        text=True,
        cwd=FOLDER,
        check=True,
    )
    return done.stdout.split()


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["llmtool", "g"], ["gen"]),
        (["llmtool", "models", "in"], ["info"]),
        (["llmtool", "gen", "--tempe"], ["--temperature"]),
        (["llmtool", "gen", "--errors", ""], ["strict", "replace"]),
        (["llmtool", "gen", "-q", "--max-t"], ["--max-tokens"]),
        (["llmtool", "completions", "b"], ["bash"]),
        (["llmtool", "gen", "-f", "llmtool.b"], ["llmtool.bash"]),
        (["llmtool", "gen", "--seed", ""], []),
        (["llmtool", "models", "info", "--js"], ["--json"]),
        (["llmtool", "classify", "--mul"], ["--multi"]),
        (["llmtool", "classify", "e"], ["eval"]),
        (["llmtool", "code", "te"], ["tests"]),
        (["llmtool", "batch", "s"], ["submit", "status"]),
        (["llmtool", "gen", "--sh"], ["--shard"]),
        (["llmtool", "gen", "--server", ""], ["auto", "never"]),
        (["llmtool", "gen", "--server", "llmtool.b"], ["llmtool.bash"]),
        (["llmtool", "gen", "--draft", "n"], ["ngram"]),
        (["llmtool", "gen", "--draft", "llmtool.b"], ["llmtool.bash"]),
        (["llmtool", "translate", "--update", "llmtool.b"], ["llmtool.bash"]),
        (["llmtool", "gen", "-ngl", "a"], ["auto", "all"]),
        (["llmtool", "serve", "--functions", "llmtool.b"], ["llmtool.bash"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_bash_completions(words: list[str], offered: list[str]) -> None:
    assert complete(*words) == offered


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Set up a user with a model alias, an own template and a session; return the data folder."""
    for name in ("CONFIG", "DATA", "CACHE"):
        monkeypatch.setenv(f"LLMTOOL_{name}_DIR", str(tmp_path / name.lower()))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    config = tmp_path / "config"
    (config / "prompts").mkdir(parents=True)
    (config / "config.toml").write_text(
        "[aliases]\nsmall = \"org/name:Q4_K_M\"\n[endpoints.gpu]\nbase_url = 'http://gpu:8000'\n"
    )
    (config / "prompts" / "mood.yaml").write_text(
        "llmtool: 1\nname: mood\nprompt: x\noutput: {labels: {in a rage: very angry, calm: }}\n"
    )
    sessions = Sessions(tmp_path / "data" / "sessions")
    with sessions.lock("work"):
        sessions.save(Session(name="work", turns=()))
    return tmp_path / "data"


def list_candidates(kind: str, prefix: str = "", *words: str) -> dict[str, str]:
    """Return the values of a kind with their descriptions."""
    return dict(candidates.find(kind, prefix, words))


def test_models_are_aliases_installed_models_and_servers(home: Path) -> None:
    found = list_candidates("models")
    local = {"small": "org/name:Q4_K_M", "starter": "98.4 MB"}
    assert found == {**local, "gpu:": "http://gpu:8000"}


def test_recommended_models_are_those_of_the_catalogue() -> None:
    found = list_candidates("recommended")
    assert set(found) == {entry.name for entry in catalogue.load()}


def test_templates_are_own_and_built_in(home: Path) -> None:
    found = list_candidates("templates")
    assert set(found) == {"mood", *Library().names()}


def test_sessions_are_the_saved_ones(home: Path) -> None:
    assert list_candidates("sessions") == {"work": ""}


def test_settings_match_their_beginning() -> None:
    assert list_candidates("settings", "te") == {"temperature": ""}


def test_languages_match_names_and_codes_in_any_case() -> None:
    assert list_candidates("languages", "ger") == {"German": "de"}
    assert list_candidates("languages", "DE") == {"de": "German"}
    assert list_candidates("programming-languages", "ru") == {"ruby": "", "rust": ""}


@pytest.mark.parametrize(
    ("words", "labels"),
    [
        (["classify", "-t", "mood"], {"in a rage": "very angry", "calm": ""}),
        (["classify", "--template=mood", "-m", "starter"], {"in a rage": "very angry", "calm": ""}),
        (["classify", "-l", "spam", "--label=eggs=an order"], {"spam": "", "eggs": ""}),
        (["classify", "-l", '"so so,good"'], {"so so": "", "good": ""}),
        (["classify", "-l", "正面，负面"], {"正面": "", "负面": ""}),
        (["classify", "-t", "mood", "-l", "a,b"], {"a": "", "b": ""}),
        (["classify"], {}),
    ],
    ids=str,
)  # fmt: skip
def test_labels_are_those_of_the_command_line(
    home: Path, words: list[str], labels: dict[str, str]
) -> None:
    assert list_candidates("labels", "", *words) == labels


def test_errors_give_no_candidates(home: Path, capfd: pytest.CaptureFixture[str]) -> None:
    candidates.main(["settings", "te"])
    (home.parent / "config" / "config.toml").write_text("not TOML")
    candidates.main(["models", ""])
    candidates.main(["labels", "", "-t", "missing"])
    candidates.main(["unknown", ""])
    assert tuple(capfd.readouterr()) == ("temperature\n", "")


def test_names_with_control_characters_are_omitted(home: Path) -> None:
    words = ("-l", "one,\x1b[31mred,two\nlines")
    assert list_candidates("labels", "", *words) == {"one": ""}


@pytest.mark.parametrize("kind", candidates.KINDS)
def test_completing_imports_few_libraries(home: Path, kind: str) -> None:
    """Every completion starts a process, so its imports are most of its time."""
    words = ["classify", "-t", "mood"] if kind == "labels" else []
    program = (
        f"import sys; from llmtool.cli import candidates; candidates.main({[kind, '', *words]!r})\n"
        "sys.stderr.write(' '.join(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout
    loaded = set(done.stderr.split())
    heavy = {"typer", "jinja2", "rich", "huggingface_hub", "asyncio", "logging", "tomlkit"}
    if kind not in ("models", "endpoints", "endpoint-names", "settings", "settings-and-values"):
        heavy |= {"msgspec", "inspect", "dataclasses"}
    if kind not in ("recommended", "labels", "label-templates"):
        heavy |= {"yaml"}
    assert heavy & loaded == set()


def test_every_kind_of_value_is_completed() -> None:
    """Options and arguments with these placeholders need a kind in `KINDS`."""
    without = [
        f"{' '.join(command.words)} {flag.names[0]}"
        for command in walk(root_command())
        for flag in command.flags
        if flag.metavar in ("REF", "LABEL", "LANG", "NAME|PATH", "KEY")
        and not (flag.value.kind or flag.value.choices)
    ]
    assert without == []
    names = {
        flag for command in walk(root_command()) for each in command.flags for flag in each.names
    }
    assert [key for key in KINDS if key.startswith("--") and key not in names] == []
    assert set(KINDS.values()) <= set(candidates.KINDS)


def bash_lines(home: Path, line: str) -> list[str]:
    """Return what bash completes at the end of a line that Readline split as usual."""
    words = " ".join(
        f"'{word}'" for word in line.replace(":", " : ").replace("=", " = ").split(" ")
    )
    program = Path(sys.executable).parent / "llmtool"
    script = (
        f"source '{FOLDER}/llmtool.bash'; COMP_WORDS=({words}); COMP_WORDS[0]='{program}'; "
        'COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _llmtool; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("llmtool gen -m ", ["small", "starter", "gpu:"]),
        ("llmtool -m st", ["starter"]),
        ("llmtool gen --model=st", ["starter"]),
        ("llmtool gen --errors=", ["strict", "replace"]),
        ("llmtool run mo", ["mood"]),
        ("llmtool classify -t mood --expect in", ["in a rage"]),
        ("llmtool sessions show ", ["work"]),
        ("llmtool translate --to ger", ["German"]),
        ("llmtool models pull gpt", ["gpt-oss-20b"]),
        ("llmtool pull gpt", ["gpt-oss-20b"]),
        ("llmtool show st", ["starter"]),
        ("llmtool models show st", ["starter"]),
        ("llmtool config set colo", ["color"]),
        ("llmtool config set model sta", ["starter"]),
        ("llmtool config set color ", ["auto", "always", "never"]),
        ("llmtool config set log ", ["true", "false"]),
        ("llmtool gen --think=", ["low", "medium", "high"]),
        ("llmtool classify -t mo", ["mood"]),
        ("llmtool classify -t tit", [""]),
        ("llmtool batch submit job.jsonl --endpoint ", ["openai", "gpu"]),
        ("llmtool models ls g", ["gpu:"]),
    ],
)
def test_bash_completes_values(home: Path, line: str, offered: list[str]) -> None:
    assert bash_lines(home, line) == offered


# Of each kind of value that depends on the machine or the line, what completes it.
VALUES = {
    "model": ("llmtool gen -m sta", "starter"),
    "template": ("llmtool run mo", "mood"),
    "session": ("llmtool sessions show wo", "work"),
    "setting": ("llmtool config set tempe", "temperature"),
    "value of a setting": ("llmtool config set color ne", "never"),
    "alias": ("llmtool pull gpt", "gpt-oss-20b"),
    "language": ("llmtool translate --to ger", "German"),
    "words or a file": ("llmtool gen --draft ngr", "ngram"),
    "server": ("llmtool batch status --endpoint gp", "gpu"),
    "label": ("llmtool classify -l spam,eggs --expect eg", "eggs"),
}
each_value = pytest.mark.parametrize(("line", "value"), VALUES.values(), ids=VALUES)


@each_value
def test_bash_completes_each_kind_of_value(home: Path, line: str, value: str) -> None:
    assert bash_lines(home, line) == [value]


@pytest.mark.skipif(shutil.which("fish") is None, reason="no fish here")
@each_value
def test_fish_completes_each_kind_of_value(home: Path, line: str, value: str) -> None:
    words = ["fish", "-c", f"source '{FOLDER}/llmtool.fish'; complete -C '{line}'"]
    done = subprocess.run(words, capture_output=True, text=True, env=with_program())
    assert [each.partition("\t")[0] for each in done.stdout.splitlines()] == [value]


@pytest.mark.skipif(shutil.which("zsh") is None, reason="no zsh here")
@each_value
def test_zsh_completes_each_kind_of_value(home: Path, line: str, value: str) -> None:
    """Zsh completes only in a terminal; Tab replaces the last word."""
    child = pexpect.spawn(
        "zsh", ["-f", "-i"], env=with_program(), encoding="utf-8", timeout=60, dimensions=(24, 200)
    )
    load = f"autoload -Uz compinit; compinit -D; . '{FOLDER}/llmtool.zsh'; echo load''ed"
    child.sendline(f"{load}; unsetopt menu_complete")
    child.expect("loaded")
    child.send(f"{line}\t")
    child.expect(f"{line.rpartition(' ')[0]} .*{value} ")  # a space follows the only match
    child.close(force=True)


def with_program() -> dict[str, str]:
    """Return an environment in which `llmtool` is a command."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "TERM": "dumb"}


# Prints a word if the shell, started as usual, completes `llmtool`.
ASKS = {
    "bash": ["-i", "-c", "complete -p llmtool"],
    "zsh": ["-i", "-c", "print $_comps[llmtool]"],
    "fish": ["-c", "complete -C 'llmtool mode'"],
}


@pytest.mark.parametrize("shell", ASKS)
def test_new_shell_of_a_fresh_account_completes(
    run_llmtool: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shell: str
) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell} here")
    monkeypatch.setattr(sys, "platform", "linux")
    env = {key: text for key, text in with_program().items() if key not in ("ZDOTDIR", "BASH_ENV")}
    env = {key: text for key, text in env.items() if not key.startswith("XDG_")}
    env["HOME"] = str(tmp_path)

    def ask() -> str:
        words = [shell, *ASKS[shell]]
        done = subprocess.run(words, capture_output=True, text=True, env=env, cwd=tmp_path)
        return done.stdout

    assert "llmtool" not in ask() and "models" not in ask()
    home = {"HOME": str(tmp_path), **dict.fromkeys(["XDG_DATA_HOME", "XDG_CONFIG_HOME", "ZDOTDIR"])}
    assert run_llmtool("completions", shell, "--install", env=home).returncode == 0
    assert ("models" if shell == "fish" else "_llmtool") in ask()


def test_bash_completes_after_the_colon_of_a_label(home: Path) -> None:
    line = "llmtool classify -l a:b,a:c --expect a:"
    assert bash_lines(home, line) == ["b", "c"]


@pytest.mark.skipif(shutil.which("fish") is None, reason="no fish here")
@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("llmtool gen -m st", "starter\t98.4 MB"),
        ("llmtool run mo", "mood"),
        ("llmtool translate --to ger", "German\tde"),
        ("llmtool mode", "models\tList, inspect, download and remove models"),
        ("llmtool config set color ", "always auto never"),
        ("llmtool gen --think=", "--think=high --think=low --think=medium"),
    ],
)
def test_fish_completes_values(home: Path, line: str, offered: str) -> None:
    words = ["fish", "-c", f"source '{FOLDER}/llmtool.fish'; complete -C '{line}'"]
    done = subprocess.run(words, capture_output=True, text=True, env=with_program())
    found = done.stdout.splitlines()
    assert found == [offered] or [each.split("\t")[0] for each in found] == offered.split()


@pytest.mark.parametrize(
    ("shell", "script_file", "start_file"),
    [
        ("bash", ".local/share/bash-completion/completions/llmtool", ".bashrc"),
        ("zsh", ".local/share/zsh/site-functions/_llmtool", ".zshrc"),
        ("fish", ".config/fish/completions/llmtool.fish", None),
    ],
)
def test_install_on_a_fresh_account(
    run_llmtool: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    shell: str,
    script_file: str,
    start_file: str | None,
) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    home = {"HOME": str(tmp_path), **dict.fromkeys(["XDG_DATA_HOME", "XDG_CONFIG_HOME", "ZDOTDIR"])}
    for _ in range(2):
        done = run_llmtool("completions", shell, "--install", env=home)
        assert (done.returncode, done.stdout.decode()) == (0, f"{tmp_path / script_file}\n")
    assert (tmp_path / script_file).read_text() == script(shell, root_command())
    if start_file is not None:
        assert (tmp_path / start_file).read_text().count(f". {tmp_path / script_file}\n") == 1


@pytest.mark.parametrize(
    ("platform", "existing", "start"),
    [
        ("linux", [".profile"], ".bashrc"),
        ("darwin", [], ".bash_profile"),
        ("darwin", [".profile"], ".profile"),
        ("darwin", [".bash_login", ".profile"], ".bash_login"),
    ],
)
def test_bash_reads_the_file_that_gets_the_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    platform: str,
    existing: list[str],
    start: str,
) -> None:
    """A new .bash_profile would hide the .profile of the user."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(sys, "platform", platform)
    for name in existing:
        (tmp_path / name).touch()
    assert completions._places("bash")[1] == tmp_path / start
