"""The wheel in a fresh environment, away from this tree: all may be written there, or nothing."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from packages.conftest import Installed, Packages, install

import llmtool
from llmtool.prompts.library import Library

PROMPT = "The river rose during the night"
OPTIONS = ["--temperature", "0", "--threads", "1", "--max-tokens", "12"]
Run = Callable[..., subprocess.CompletedProcess[bytes]]


@pytest.fixture
def run(env: dict[str, str], tmp_path: Path) -> Run:
    """Return `run(installed, *command)`: for a new user, in an empty folder that stays empty."""
    folder, home = tmp_path / "empty", Path(env["HOME"])
    folder.mkdir()
    kept = {name: env[name] for name in ("PATH", "LANG", "HF_HUB_OFFLINE")}

    def run(
        installed: Installed, *command: str | Path, HOME: str | None = str(home)
    ) -> subprocess.CompletedProcess[bytes]:
        if installed.read_only:
            folder.chmod(0o555)
            home.chmod(0o555)
        result = subprocess.run(
            [*installed.prefix, *command],
            env=kept if HOME is None else {**kept, "HOME": HOME},
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=60,
        )
        assert list(folder.iterdir()) == []
        return result

    return run


def out(result: subprocess.CompletedProcess[bytes]) -> str:
    assert (result.returncode, result.stderr) == (0, b"")
    return result.stdout.decode()


def listed(result: subprocess.CompletedProcess[bytes]) -> dict[str, str]:
    """Return where each template comes from that `prompts ls` lists."""
    lines = [line.split("\t") for line in out(result).splitlines()]
    return {name: place for name, _, place, _ in lines}


def test_it_is_the_wheel_that_runs(installed: Installed, run: Run) -> None:
    file = out(run(installed, installed.python, "-c", "import llmtool; print(llmtool.__file__)"))
    assert file == f"{installed.site_packages / 'llmtool' / '__init__.py'}\n"
    assert out(run(installed, installed.llmtool, "--version")) == f"llmtool {llmtool.__version__}\n"


def test_it_has_its_templates(installed: Installed, run: Run) -> None:
    templates = listed(run(installed, installed.llmtool, "prompts", "ls"))
    assert templates == dict.fromkeys(Library().names(), "built-in")


@pytest.mark.parametrize("home", ["its own", "/no/such/home", None])
def test_it_writes_what_this_tree_writes(
    installed: Installed, run: Run, run_llmtool: Run, tiny: Path, home: str | None
) -> None:
    command = ["gen", PROMPT, "-m", tiny, *OPTIONS]
    here = run_llmtool(*command)
    there = run(
        installed, installed.llmtool, *command, **{} if home == "its own" else {"HOME": home}
    )
    assert here.stdout and (there.returncode, there.stdout) == (0, here.stdout)
    assert there.stderr == here.stderr


def test_nothing_is_written_where_nothing_may_be(installed: Installed, run: Run) -> None:
    assert out(run(installed, installed.llmtool, "prompts", "show", "gen"))
    compiled = [*installed.site_packages.glob("llmtool/**/*.pyc")]
    assert (compiled == []) is installed.read_only
    append = f"open({str(installed.site_packages / 'llmtool' / 'py.typed')!r}, 'a')"
    refused = b"PermissionError" in run(installed, installed.python, "-c", append).stderr
    assert refused is installed.read_only


def test_its_templates_are_its_own_whatever_lies_beside_it(
    packages: Packages, tmp_path: Path, run: Run
) -> None:
    installed = install(packages.wheel, tmp_path / "environment", read_only=False)
    (installed.site_packages / "pyproject.toml").write_text("[project]\n")
    (installed.site_packages / "prompts").mkdir()
    templates = listed(run(installed, installed.llmtool, "prompts", "ls"))
    assert templates == dict.fromkeys(Library().names(), "built-in")
