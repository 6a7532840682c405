"""The contents and metadata of the wheel and the sdist."""

from __future__ import annotations

import email
import tarfile
import zipfile
from collections.abc import Iterable
from email.message import Message
from pathlib import Path

import man_pages
import pytest
from packages.conftest import ROOT, Packages

import llmtool

INFO = f"llmtool-{llmtool.__version__}.dist-info"
SHARE = f"llmtool-{llmtool.__version__}.data/data/share"
FOLDERS = ["llmtool", "prompts", "completions", "docs", "scripts", "tests", "benchmarks"]
FILES = ["README.md", "README.zh-CN.md", "CHANGELOG.md", "CONTRIBUTING.md", "ARCHITECTURE.md",
         "LICENSE", "Makefile", "pyproject.toml"]  # fmt: skip
SHELLS = {
    "bash-completion/completions/llmtool": "completions/llmtool.bash",
    "zsh/site-functions/_llmtool": "completions/llmtool.zsh",
    "fish/vendor_completions.d/llmtool.fish": "completions/llmtool.fish",
}
ADDED = {"PKG-INFO", ".gitignore"}


def tree(folders: Iterable[str]) -> dict[str, bytes]:
    """Return the files in folders of this tree by path, without caches."""
    return {
        str(path.relative_to(ROOT)): path.read_bytes()
        for folder in folders
        for path in ROOT.joinpath(folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


@pytest.fixture(scope="module")
def wheel(packages: Packages) -> dict[str, bytes]:
    with zipfile.ZipFile(packages.wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture(scope="module")
def sdist(packages: Packages) -> dict[str, bytes]:
    files = {}
    with tarfile.open(packages.sdist) as archive:
        for member in archive:
            file = archive.extractfile(member)
            assert file is not None, f"{member.name} is not a regular file"
            files[member.name.removeprefix(f"llmtool-{llmtool.__version__}/")] = file.read()
    return files


@pytest.fixture(scope="module")
def metadata(wheel: dict[str, bytes]) -> Message:
    return email.message_from_bytes(wheel[f"{INFO}/METADATA"])


def test_wheel_contains_package_and_templates(wheel: dict[str, bytes]) -> None:
    package = tree(["llmtool"])
    templates = {f"llmtool/_{path}": data for path, data in tree(["prompts"]).items()}
    assert "llmtool/py.typed" in package and "llmtool/_prompts/gen.yaml" in templates
    outside = (f"{INFO}/", f"{SHARE}/")
    inside = {name: data for name, data in wheel.items() if not name.startswith(outside)}
    assert sorted(inside) == sorted({**package, **templates})
    assert inside == {**package, **templates}


def test_wheel_contains_man_pages_and_completions(wheel: dict[str, bytes], tmp_path: Path) -> None:
    paths = man_pages.write_pages(tmp_path)
    pages = {f"man/man1/{path.name}": path.read_bytes() for path in paths}
    scripts = {name: (ROOT / path).read_bytes() for name, path in SHELLS.items()}
    prefix = f"{SHARE}/"
    shared = {n.removeprefix(prefix): d for n, d in wheel.items() if n.startswith(prefix)}
    assert len(pages) > 10
    assert shared == {**pages, **scripts}


def test_wheel_has_entry_point_and_license(wheel: dict[str, bytes]) -> None:
    files = {name.removeprefix(f"{INFO}/") for name in wheel if name.startswith(f"{INFO}/")}
    assert files == {"METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE"}
    assert wheel[f"{INFO}/licenses/LICENSE"] == (ROOT / "LICENSE").read_bytes()
    entry_points = wheel[f"{INFO}/entry_points.txt"].decode().split("\n")
    assert [line for line in entry_points if line] == [
        "[console_scripts]",
        "llmtool = llmtool.__main__:main",
    ]
    assert b"Root-Is-Purelib: true\nTag: py3-none-any\n" in wheel[f"{INFO}/WHEEL"]


def test_sdist_contains_the_tree_with_tests(sdist: dict[str, bytes]) -> None:
    expected = tree(FOLDERS) | {name: ROOT.joinpath(name).read_bytes() for name in FILES}
    files = {name: data for name, data in sdist.items() if name not in ADDED}
    assert sorted(files) == sorted(expected)
    assert files == expected


def test_sdist_builds_the_same_wheel(packages: Packages) -> None:
    assert packages.wheel_from_sdist.name == packages.wheel.name
    assert packages.wheel_from_sdist.read_bytes() == packages.wheel.read_bytes()


def test_metadata_is_complete(metadata: Message) -> None:
    assert (metadata["Name"], metadata["Version"]) == ("llmtool", llmtool.__version__)
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata.get_all("License-File") == ["LICENSE"]
    assert metadata["Requires-Python"] == ">=3.10"
    assert metadata["Description-Content-Type"] == "text/markdown"
    description = metadata.get_payload(decode=True)
    assert description == (ROOT / "README.md").read_bytes()


def test_sdist_has_the_same_metadata(sdist: dict[str, bytes], wheel: dict[str, bytes]) -> None:
    assert sdist["PKG-INFO"] == wheel[f"{INFO}/METADATA"]
