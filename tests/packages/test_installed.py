"""Run the wheel in a fresh environment outside this tree, writable or read-only."""

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
    """Return `run(installed, *command)`, which runs as a new user in a folder that stays empty."""
    folder, home = tmp_path / "empty", Path(env["HOME"])
    folder.mkdir()
    environment = {name: env[name] for name in ("PATH", "LANG", "HF_HUB_OFFLINE")}

    def run(
        installed: Installed, *command: str | Path, HOME: str | None = str(home)
    ) -> subprocess.CompletedProcess[bytes]:
        if installed.read_only:
            folder.chmod(0o555)
            home.chmod(0o555)
        result = subprocess.run(
            [*installed.prefix, *command],
            env=environment if HOME is None else {**environment, "HOME": HOME},
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
    """Return the source of each template in the output of `prompts ls`."""
    lines = [line.split("\t") for line in out(result).splitlines()]
    return {name: source for name, _, source, _ in lines}


def test_installed_package_is_imported(installed: Installed, run: Run) -> None:
    file = out(run(installed, installed.python, "-c", "import llmtool; print(llmtool.__file__)"))
    assert file == f"{installed.site_packages / 'llmtool' / '__init__.py'}\n"
    assert out(run(installed, installed.llmtool, "--version")) == f"llmtool {llmtool.__version__}\n"


def test_installed_templates_are_listed(installed: Installed, run: Run) -> None:
    templates = listed(run(installed, installed.llmtool, "prompts", "ls"))
    assert templates == dict.fromkeys(Library().names(), "built-in")


@pytest.mark.parametrize("home", ["existing", "/missing/home", None])
def test_installed_command_has_the_same_output(
    installed: Installed, run: Run, run_llmtool: Run, tiny: Path, home: str | None
) -> None:
    command = ["gen", PROMPT, "-m", tiny, *OPTIONS]
    expected = run_llmtool(*command)
    result = run(
        installed, installed.llmtool, *command, **{} if home == "existing" else {"HOME": home}
    )
    assert expected.stdout and (result.returncode, result.stdout) == (0, expected.stdout)
    assert result.stderr == expected.stderr


def test_command_works_in_read_only_environment(installed: Installed, run: Run) -> None:
    assert out(run(installed, installed.llmtool, "prompts", "show", "gen"))
    compiled = [*installed.site_packages.glob("llmtool/**/*.pyc")]
    assert (compiled == []) is installed.read_only
    append = f"open({str(installed.site_packages / 'llmtool' / 'py.typed')!r}, 'a')"
    failed = b"PermissionError" in run(installed, installed.python, "-c", append).stderr
    assert failed is installed.read_only


def test_templates_are_not_taken_from_site_packages(
    packages: Packages, tmp_path: Path, run: Run
) -> None:
    installed = install(packages.wheel, tmp_path / "environment", read_only=False)
    (installed.site_packages / "pyproject.toml").write_text("[project]\n")
    (installed.site_packages / "prompts").mkdir()
    templates = listed(run(installed, installed.llmtool, "prompts", "ls"))
    assert templates == dict.fromkeys(Library().names(), "built-in")
