"""What is written about the product: current, and true as far as a program can tell."""

from __future__ import annotations

import ast
import importlib.util
import re
import shlex
import shutil
import subprocess
import textwrap
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import llmtool
from llmtool.cli.app import load_command
from llmtool.cli.framework.default_group import DEFAULT, DefaultGroup
from llmtool.errors import ExitCode

ROOT = Path(__file__).resolve().parent.parent
README, CHINESE = ROOT / "README.md", ROOT / "README.zh-CN.md"
PAGES = [README, CHINESE, ROOT / "docs" / "guide.md", ROOT / "docs" / "commands.md"]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def load_script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def blocks(page: Path, *kinds: str) -> Iterator[str]:
    for kind, text in FENCE.findall(page.read_text(encoding="utf-8")):
        if kind in kinds:
            yield text


def test_what_is_generated_is_current() -> None:
    outputs = dict(load_script("manual").outputs())
    assert len(outputs) > 10
    stale = [
        str(path.relative_to(ROOT))
        for path, text in outputs.items()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    ]
    assert stale == [], "run: python scripts/manual.py"


def test_there_are_no_pages_of_commands_that_are_gone() -> None:
    written = {path.name for path in (ROOT / "docs" / "man").iterdir()}
    assert written == {
        path.name for path, _ in load_script("manual").outputs() if path.suffix == ".1"
    }


@pytest.mark.skipif(not shutil.which("groff"), reason="no groff here")
def test_man_pages_are_understood() -> None:
    pages = sorted((ROOT / "docs" / "man").iterdir())
    assert len(pages) > 10
    for page in pages:
        done = subprocess.run(
            ["groff", "-man", "-ww", "-Tutf8", page], capture_output=True, check=True
        )
        assert done.stderr == b"", page.name
        assert b"SYNOPSIS" in re.sub(rb"\x1b\[[0-9;]*m|.\x08", b"", done.stdout)


def lines_of_commands(page: Path) -> Iterator[str]:
    """Yield every line of a page that calls llmtool: of the shell, of a tour, of a workflow."""
    for text in blocks(page, "sh"):
        yield from (line for line in text.splitlines() if "llmtool" in line)
    for text in blocks(page, "console"):
        yield from (line[2:] for line in text.splitlines() if line.startswith("$ "))
        _, _, examples = text.rpartition("\n  Example")
        yield from re.findall(r"^(?:s:\n\n|: )? *(.*llmtool .*)$", examples, re.MULTILINE)
    for text in blocks(page, "yaml"):
        yield from re.findall(r"run: (.*llmtool.*)", text)
        yield from (f"{entry} FILE" for entry in re.findall(r"entry: (.*llmtool.*)", text))


def calls(line: str) -> Iterator[list[str]]:
    """Yield the arguments of each call of llmtool in a line of shell."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|;<>&()")
    lexer.whitespace_split = True
    call: list[str] | None = None
    for token in [*lexer, ";"]:
        if set(token) <= set("|;&()"):
            if call is not None:
                yield call
            call = None
        elif token == "llmtool":
            call = []
        elif call is not None:
            call.append(token)


def parse(args: list[str]) -> None:
    """Parse a call as the command would, without running it.

    Raises:
        Exception: an option or argument is wrong.
    """
    redirected = {at for at, token in enumerate(args) if set(token) <= set("<>")}
    left_out = redirected | {at + 1 for at in redirected}
    args = [token for at, token in enumerate(args) if at not in left_out]
    if args in ([], ["--help"], ["--version"]):
        return
    name, *rest = args
    command: Any = load_command(name)
    while getattr(command, "commands", None) and "--help" not in rest:
        named = bool(rest) and rest[0] in command.commands
        if not named and not isinstance(command, DefaultGroup):
            raise AssertionError(f"{name} needs a subcommand")
        name, rest = (rest[0], rest[1:]) if named else (DEFAULT, rest)
        command = command.commands[name]
    if "--help" not in rest:
        command.make_context(name, list(rest))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_that_is_shown_parses(page: Path) -> None:
    shown = [call for line in lines_of_commands(page) for call in calls(line)]
    assert len(shown) > 30
    wrong = []
    for call in shown:
        try:
            parse(call)
        except Exception as exc:
            wrong.append(f"{shlex.join(call)}: {exc}")
    assert wrong == []


def test_a_wrong_option_is_noticed() -> None:
    [call] = calls("cat x | llmtool gen --wrong 'a | b' > out.txt")
    assert call == ["gen", "--wrong", "a | b", ">", "out.txt"]
    with pytest.raises(Exception, match="--wrong"):
        parse(call)


@pytest.mark.parametrize(
    "page", [README, CHINESE, ROOT / "docs" / "guide.md"], ids=lambda p: p.name
)
def test_python_that_is_shown_names_what_there_is(page: Path) -> None:
    shown = list(blocks(page, "python"))
    assert shown
    for text in shown:
        tree = ast.parse(textwrap.dedent(text))
        names = [
            node.attr
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id == "llmtool"
        ]
        assert [name for name in names if not hasattr(llmtool, name)] == []


@pytest.mark.parametrize(
    "page", [*PAGES, ROOT / "tests" / "README.md"], ids=lambda p: str(p.parent.name + "/" + p.name)
)
def test_links_lead_somewhere(page: Path) -> None:
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    links = re.findall(r"\]\(([^)\s]+)\)", text)
    heads = {
        re.sub(r"[^\w\- ]", "", head).lower().replace(" ", "-")
        for head in re.findall(r"^#+ (.+)$", text, re.M)
    }
    assert heads and (links or page not in (README, CHINESE))
    for target in links:
        if target.startswith("#"):
            assert target[1:] in heads, target
        elif "://" not in target:
            assert (page.parent / target.partition("#")[0]).exists(), target


def test_each_module_says_in_its_first_line_what_it_holds() -> None:
    modules = [*(ROOT / "llmtool").rglob("*.py"), *(ROOT / "scripts").glob("*.py")]
    silent = [str(m) for m in modules if not ast.get_docstring(ast.parse(m.read_text("utf-8")))]
    assert len(modules) > 200 and silent == []


def test_the_exit_codes_are_all_told() -> None:
    codes = [int(code) for row, _ in load_script("manual").exit_codes() for code in row.split(", ")]
    assert codes == [int(code) for code in ExitCode]


def outline(page: Path) -> list[str]:
    """Return a page's structure: levels of headings, kinds and code of blocks, shapes of tables."""
    parts = []
    text = page.read_text(encoding="utf-8")
    for kind, code in FENCE.findall(text):
        parts.append(kind + "\n" + re.sub(r"(?m)[ ]*(#|；|; ).*$", "", code))
    text = FENCE.sub("", text)
    parts += [line.split()[0] for line in text.splitlines() if line.startswith("#")]
    parts += [
        f"row of {line.count(' | ') + 1}" for line in text.splitlines() if line.startswith("| ")
    ]
    parts += re.findall(r"\]\(([^)#\s]+)\)", text.partition("\n\n")[2].partition("\n\n")[2])
    parts += ["point" for line in text.splitlines() if line.startswith("- ")]
    return parts


def test_the_chinese_readme_has_what_the_english_one_has() -> None:
    assert outline(CHINESE) == outline(README)


def test_both_tours_were_run() -> None:
    tour = load_script("tour")
    for page in (README, CHINESE):
        text = page.read_text(encoding="utf-8")
        assert len(tour.tour_commands(text)) >= 8
        for block in tour.TOUR.findall(text):
            assert not re.search(r"^\$ .*\n(\$ |\Z)", block, re.MULTILINE)
