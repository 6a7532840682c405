"""The git hook of `llmtool code commit`: install, run and remove it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command import error_line, linux

pytestmark = linux
Done = subprocess.CompletedProcess[bytes]
NAME = "prepare-commit-msg"


class Repository:
    """A repository with a staged change, and a fake `llmtool` in a folder on `PATH`."""

    def __init__(self, folder: Path, programs: Path) -> None:
        self.folder, self.programs = folder, programs
        self.seen = programs / "seen"  # the message as the editor shows it
        self.write_program("llmtool", 'echo "fix: wait longer"')
        self.write_program("editor", f'cp "$1" {self.seen}')
        self.git("init", "-q", "-b", "main")
        self.commit_file("first", "-m", "begin")

    def write_program(self, name: str, script: str) -> None:
        path = self.programs / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def git(self, *args: str, check: bool = True, cwd: Path | None = None) -> Done:
        environ = {
            "PATH": f"{self.programs}:/usr/bin:/bin",
            "HOME": str(self.programs),
            "GIT_EDITOR": str(self.programs / "editor"),
            "GIT_CONFIG_NOSYSTEM": "1",
        }
        names = ["-c", "user.name=x", "-c", "user.email=x@y"]
        folder = cwd or self.folder
        return subprocess.run(
            ["git", *names, *args], cwd=folder, env=environ, check=check, capture_output=True
        )

    def commit_file(self, name: str, *args: str, check: bool = True) -> Done:
        self.seen.unlink(missing_ok=True)
        (self.folder / name).write_text(f"{name}\n")
        self.git("add", "-A")
        return self.git("commit", *args, check=check)

    @property
    def message(self) -> str:
        return self.git("log", "-1", "--format=%B").stdout.decode().strip()

    def write_hook(self, script: str, folder: str = ".git/hooks", *, mode: int = 0o755) -> Path:
        path = self.folder / folder / NAME
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(mode)
        return path


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    folder, programs = tmp_path / "repo with space", tmp_path / "bin"
    folder.mkdir()
    programs.mkdir()
    return Repository(folder, programs)


@pytest.fixture
def commit(
    run_llmtool: Callable[..., Any], repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Done]:
    monkeypatch.setattr(sys, "argv", [str(repository.programs / "llmtool")])

    def run(*args: str | Path, cwd: Path | None = None, **options: Any) -> Done:
        folder = cwd or repository.folder
        return run_llmtool("code", "commit", *args, cwd=folder, **options)  # type: ignore[no-any-return]

    return run


def test_installed_hook_fills_an_empty_message(
    commit: Callable[..., Done], repository: Repository
) -> None:
    done = commit("--install-hook")
    path = repository.folder / ".git" / "hooks" / NAME
    assert (done.returncode, done.stdout.decode()) == (0, f"{path}\n")
    repository.commit_file("a")
    assert repository.message == "fix: wait longer"
    assert repository.seen.read_text().startswith("fix: wait longer\n\n# Please enter")


@pytest.mark.parametrize(
    "template", ["Ticket: \n", "# Which ticket?\nTicket: \n", "\nTicket: \n", "Ticket: \r\n"]
)
def test_blank_line_precedes_a_commit_template(
    commit: Callable[..., Done], repository: Repository, template: str
) -> None:
    (repository.programs / "template").write_bytes(template.encode())
    repository.git("config", "commit.template", str(repository.programs / "template"))
    commit("--install-hook")
    repository.commit_file("a")
    assert repository.message.split() == ["fix:", "wait", "longer", "Ticket:"]
    assert repository.message.split("\n")[:2] == ["fix: wait longer", ""]


@pytest.mark.parametrize(
    "args", [("-m", "my own"), ("--amend",), ("--fixup", "HEAD"), ("-C", "HEAD")], ids=" ".join
)
def test_message_with_text_is_unchanged(
    commit: Callable[..., Done], repository: Repository, args: tuple[str, ...]
) -> None:
    commit("--install-hook")
    repository.commit_file("a", *args)
    assert repository.message in ("my own", "begin", "fixup! begin")


def test_message_of_a_merge_is_unchanged(
    commit: Callable[..., Done], repository: Repository
) -> None:
    repository.git("switch", "-qc", "side")
    repository.commit_file("a", "-m", "side")
    repository.git("switch", "-q", "main")
    repository.commit_file("b", "-m", "main")
    commit("--install-hook")
    repository.git("merge", "side")
    assert repository.message == "Merge branch 'side'"


@pytest.mark.parametrize(
    "script", ["echo 'llmtool: no model' >&2; exit 10", "kill -9 $$", "exit 0", "exec missing"]
)
def test_failed_hook_opens_the_editor_as_usual(
    commit: Callable[..., Done], repository: Repository, script: str
) -> None:
    commit("--install-hook")
    repository.write_program("llmtool", script)
    done = repository.commit_file("a", check=False)
    assert repository.seen.read_text().startswith("\n# Please enter")
    assert b"empty commit message" in done.stderr and repository.message == "begin"
    assert done.stderr.count(b"\n") <= 2
    repository.write_program("editor", 'echo "by hand" > "$1"')
    repository.commit_file("a")
    assert repository.message == "by hand"


def test_missing_program_opens_the_editor_as_usual(
    commit: Callable[..., Done], repository: Repository
) -> None:
    commit("--install-hook")
    (repository.programs / "llmtool").unlink()
    repository.write_program("editor", 'echo "by hand" > "$1"')
    done = repository.commit_file("a")
    assert repository.message == "by hand"
    assert done.stderr.decode() == (
        "llmtool: command not found; reinstall the hook with `llmtool code commit --install-hook`\n"
    )


def test_hook_runs_the_command_that_installed_it(
    commit: Callable[..., Done],
    repository: Repository,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "it's a venv").mkdir()
    program = tmp_path / "it's a venv" / "llmtool"
    program.write_text("#!/bin/sh\necho 'fix: use the venv'\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "argv", ["../it's a venv/llmtool"])
    commit("--install-hook")
    repository.commit_file("a")
    assert repository.message == "fix: use the venv"
    program.unlink()
    repository.commit_file("b")
    assert repository.message == "fix: wait longer"  # of the command on PATH


def test_hook_of_a_module_runs_the_command_beside_python(
    commit: Callable[..., Done], repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["/package/llmtool/__main__.py"])
    monkeypatch.setattr(sys, "executable", str(repository.programs / "python"))
    assert f"\nllmtool={repository.programs}/llmtool\n" in commit("--hook").stdout.decode()
    (repository.programs / "llmtool").unlink()
    assert "\nllmtool=''\n" in commit("--hook").stdout.decode()


# The folder of the hook


@pytest.mark.parametrize("hooks_path", ["hooks", ".githooks/all"])
def test_relative_hooks_path_is_found_from_a_subfolder(
    commit: Callable[..., Done], repository: Repository, hooks_path: str
) -> None:
    repository.git("config", "core.hooksPath", hooks_path)
    (repository.folder / "sub").mkdir()
    done = commit("--install-hook", cwd=repository.folder / "sub")
    assert done.stdout.decode() == f"{repository.folder / hooks_path / NAME}\n"
    repository.commit_file("a")
    assert repository.message == "fix: wait longer"


def test_hook_of_a_worktree_is_shared(
    commit: Callable[..., Done], repository: Repository, tmp_path: Path
) -> None:
    repository.git("worktree", "add", "-q", str(tmp_path / "tree"))
    done = commit("--install-hook", cwd=tmp_path / "tree")
    assert done.stdout.decode() == f"{repository.folder / '.git' / 'hooks' / NAME}\n"
    repository.commit_file("a")
    assert repository.message == "fix: wait longer"


def test_hook_of_a_submodule_is_in_its_git_folder(
    commit: Callable[..., Done], repository: Repository
) -> None:
    repository.git(
        "-c", "protocol.file.allow=always", "submodule", "add", "-q", str(repository.folder), "lib"
    )
    done = commit("--install-hook", cwd=repository.folder / "lib")
    assert done.stdout.decode() == f"{repository.folder / '.git/modules/lib/hooks' / NAME}\n"


def test_hook_needs_a_worktree(commit: Callable[..., Done], tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    for args in ("--install-hook", "--uninstall-hook"):
        assert "not a git repository" in error_line(commit(args, cwd=tmp_path / "plain"), 2)


# Earlier hooks


def test_earlier_hook_runs_first_and_is_restored(
    commit: Callable[..., Done], repository: Repository
) -> None:
    earlier = repository.write_hook('echo "source $2" >> "$1"')
    before = earlier.read_bytes()
    note = commit("--install-hook").stderr.decode()
    assert f"renamed the existing hook to {earlier}.before-llmtool; it runs first" in note
    commit("--install-hook", "--body")  # replaces only its own hook
    assert "--body" in earlier.read_text()
    repository.commit_file("a")
    assert repository.message.startswith("fix: wait longer") and "source" in repository.message
    done = commit("--uninstall-hook")
    assert (done.returncode, done.stderr.decode()) == (
        0,
        f"llmtool: restored the earlier hook {earlier}\n",
    )
    assert earlier.read_bytes() == before and os.access(earlier, os.X_OK)
    assert [path.name for path in earlier.parent.glob(f"{NAME}*")] == [NAME, f"{NAME}.sample"]


def test_commit_stops_if_the_earlier_hook_fails(
    commit: Callable[..., Done], repository: Repository
) -> None:
    repository.write_hook("exit 3")
    commit("--install-hook")
    assert repository.commit_file("a", check=False).returncode != 0
    assert repository.message == "begin"


def test_earlier_hook_that_is_not_executable_does_not_run(
    commit: Callable[..., Done], repository: Repository
) -> None:
    repository.write_hook("exit 3", mode=0o644)
    commit("--install-hook")
    repository.commit_file("a")
    assert repository.message == "fix: wait longer"


def test_husky_hook_is_installed_beside_the_others(
    commit: Callable[..., Done], repository: Repository
) -> None:
    # Husky's own files run those of the parent folder, which need not be executable.
    runner = f'sh -e "$(dirname "$(dirname "$0")")/{NAME}" "$@"'
    repository.write_hook(runner, ".husky/_")
    earlier = repository.write_hook('echo checked >> "$1"', ".husky", mode=0o644)
    repository.git("config", "core.hooksPath", ".husky/_")
    assert commit("--install-hook").stdout.decode() == f"{earlier}\n"
    repository.commit_file("a")
    assert repository.message.startswith("fix: wait longer") and "checked" in repository.message
    assert commit("--uninstall-hook").returncode == 0 and "checked" in earlier.read_text()


def test_two_earlier_hooks_are_rejected(
    commit: Callable[..., Done], repository: Repository
) -> None:
    path = repository.write_hook("exit 0")
    commit("--install-hook")
    repository.write_hook("exit 1")  # another tool replaced it
    assert "before-llmtool already exists" in error_line(commit("--install-hook"), 2)
    assert "was not written by llmtool" in error_line(commit("--uninstall-hook"), 2)
    assert path.read_text() == "#!/bin/sh\nexit 1\n"


def test_hook_that_is_not_installed_cannot_be_removed(commit: Callable[..., Done]) -> None:
    assert "the hook is not installed" in error_line(commit("--uninstall-hook"), 2)


def test_output_file_never_replaces_another_hook(
    commit: Callable[..., Done], repository: Repository
) -> None:
    path = repository.write_hook("exit 0")
    assert "already exists; --install-hook" in error_line(commit("--hook", "-o", path), 2)
    assert path.read_text() == "#!/bin/sh\nexit 0\n"
    path.unlink()
    assert commit("--hook", "-o", path).returncode == 0
    assert "use --overwrite" in error_line(commit("--hook", "-o", path, "--body"), 2)
    assert "--body" not in path.read_text()
    assert commit("--hook", "-o", path, "--body", "--overwrite").returncode == 0
    assert "--body" in path.read_text()


def test_hook_folder_that_cannot_be_written_is_an_error(
    commit: Callable[..., Done], repository: Repository
) -> None:
    repository.git("config", "core.hooksPath", "/dev/null")
    assert "cannot write /dev/null" in error_line(commit("--install-hook"), 1)


# Limits


@pytest.mark.parametrize(
    ("args", "reason", "code"),
    [
        (["--install-hook", "--hook"], "--hook and --install-hook cannot be combined", 2),
        (["--install-hook", "-o", "x"], "--install-hook and -o cannot be combined", 2),
        (["--uninstall-hook", "--json"], "--uninstall-hook cannot be combined with --json", 2),
        (["--max-lines", "3"], "4 lines are changed, more than --max-lines 3", 14),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_limits_and_options_are_checked_before_the_model_loads(
    commit: Callable[..., Done], repository: Repository, args: list[str], reason: str, code: int
) -> None:
    (repository.folder / "a").write_text("1\n2\n3\n4\n")
    (repository.folder / "uv.lock").write_text("1\n" * 100)
    repository.git("add", "-A")
    assert reason in error_line(commit(*args), code)


def test_time_limit_ends_in_one_line(
    commit: Callable[..., Done], repository: Repository, tiny: Path
) -> None:
    (repository.folder / "a").write_text("1\n")
    repository.git("add", "-A")
    template = repository.programs / "long.yaml"
    template.write_text(
        "llmtool: 1\nname: long\ntask: code\ninputs: {diff: {type: text, required: true}}\n"
        "prompt: '{{ diff }}'\nmodel: {params: {max_tokens: 4000}}\n"
    )
    args = ("-m", tiny, "-t", template, "--timeout", "0.1", "--ctx-size", "8000")
    assert "not finished after 0.1 s; raise --timeout" in error_line(commit(*args), 19)
