"""Build the packages of this working tree, and install the wheel into a fresh environment."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tarfile
import venv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# Without capabilities, root is subject to file permissions.
UNPRIVILEGED = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--ambient-caps=-all", "--"]


@dataclass(frozen=True, kw_only=True)
class Packages:
    sdist: Path
    wheel: Path
    wheel_from_sdist: Path


@dataclass(frozen=True, kw_only=True)
class Installed:
    """An environment with the wheel; `prefix` precedes each command that runs in it."""

    python: Path
    site_packages: Path
    prefix: list[str]
    read_only: bool

    @property
    def llmtool(self) -> str:
        return str(self.python.with_name("llmtool"))


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Packages:
    """Build the sdist and wheel of the working tree, and the wheel of the unpacked sdist."""
    if importlib.util.find_spec("hatchling") is None:
        pytest.fail("hatchling is not installed: pip install -e '.[starter,dev]'")
    folder = tmp_path_factory.mktemp("packages")
    build(ROOT, folder)
    (sdist,), (wheel,) = folder.glob("*.tar.gz"), folder.glob("*.whl")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder / "unpacked")
    (tree,) = (folder / "unpacked").iterdir()
    build(tree, folder / "again", "--target", "wheel")
    (wheel_from_sdist,) = (folder / "again").glob("*.whl")
    return Packages(sdist=sdist, wheel=wheel, wheel_from_sdist=wheel_from_sdist)


def build(tree: Path, into: Path, *options: str) -> None:
    run_quietly([sys.executable, "-m", "hatchling", "build", "-d", str(into), *options], cwd=tree)


def run_quietly(command: list[str], cwd: Path) -> None:
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr.decode()


@pytest.fixture(scope="session", params=["writable", "read-only"])
def installed(
    request: pytest.FixtureRequest, packages: Packages, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installed]:
    """Install the wheel into a fresh environment, writable or read-only."""
    read_only = request.param == "read-only"
    folder = tmp_path_factory.mktemp(request.param)
    fresh = install(packages.wheel, folder, read_only=read_only)
    if not read_only:
        yield fresh
        return
    paths = [folder, *(path for path in folder.rglob("*") if not path.is_symlink())]
    for path in paths:
        path.chmod(path.stat().st_mode & ~0o222)
    yield fresh
    for path in paths:
        path.chmod(path.stat().st_mode | 0o200)


def install(wheel: Path, folder: Path, *, read_only: bool) -> Installed:
    """Install a wheel; its dependencies come from the current environment."""
    prefix: list[str] = []
    if read_only and os.geteuid() == 0:
        if shutil.which("setpriv") is None:
            pytest.skip("root can write to read-only files, and setpriv is not installed")
        prefix = UNPRIVILEGED
    venv.create(folder, symlinks=True)
    python = folder / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--isolated", "--python", str(python), "install"]
    offline = ["--no-index", "--no-deps", "--no-cache-dir", "--disable-pip-version-check"]
    run_quietly([*pip, *offline, "--no-compile", str(wheel)], cwd=folder)
    (site_packages,) = (folder / "lib").glob("python*/site-packages")
    # Folders added by a .pth file do not process their own .pth files, so this tree is not added.
    folders = [path for path in sys.path if Path(path).name in {"site-packages", "dist-packages"}]
    (site_packages / "dependencies.pth").write_text("\n".join(folders) + "\n")
    return Installed(python=python, site_packages=site_packages, prefix=prefix, read_only=read_only)
