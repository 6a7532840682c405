"""Check the documentation: generated parts, commands, Python code and links."""

from __future__ import annotations

import ast
import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
import textwrap
import zipfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from offenders import syntax_nodes

import llmtool
from llmtool import errors
from llmtool.cli.app import COMMANDS, load_command, load_groups, root_command
from llmtool.cli.framework.completion import walk
from llmtool.cli.framework.default_command import complete_arguments
from llmtool.cli.framework.default_group import DEFAULT, DefaultGroup
from llmtool.engine.scripted import ScriptedEngine
from llmtool.errors import ExitCode
from llmtool.folders import Folders, find_folders
from llmtool.toolbox import Toolbox

ROOT = Path(__file__).resolve().parent.parent
README, CHINESE = ROOT / "README.md", ROOT / "README.zh-CN.md"
PAGES = [README, CHINESE, *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^```([\w{}]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


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


@cache
def generated() -> dict[Path, str]:
    """Return what `scripts/manual.py` writes, by file."""
    return dict(load_script("manual").outputs())


def test_generated_files_are_current() -> None:
    outputs = generated()
    assert len(outputs) > 10
    stale = [
        str(path.relative_to(ROOT))
        for path, text in outputs.items()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    ]
    assert stale == [], "run: python scripts/manual.py"


def test_reference_has_no_pages_of_removed_commands() -> None:
    folder = ROOT / "docs" / "reference"
    assert set(folder.iterdir()) == {path for path in generated() if path.parent == folder}


@pytest.mark.skipif(not shutil.which("groff"), reason="groff is not installed")
def test_man_pages_are_valid_troff(tmp_path: Path) -> None:
    pages = load_script("man_pages").write_pages(tmp_path)
    assert len(pages) > 10
    for page in pages:
        done = subprocess.run(
            ["groff", "-man", "-ww", "-Tutf8", page], capture_output=True, check=True
        )
        assert done.stderr == b"", page.name
        assert b"SYNOPSIS" in re.sub(rb"\x1b\[[0-9;]*m|.\x08", b"", done.stdout)


def lines_of_commands(page: Path) -> Iterator[str]:
    """Yield every line of a page that calls llmtool, in shell, console and YAML blocks."""
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
    """Yield the arguments of each call of llmtool in a shell command."""
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
    redirections = redirected | {at + 1 for at in redirected}
    args = [token for at, token in enumerate(args) if at not in redirections]
    args = [re.sub(r"\$\w+|\{\}", "1", token) for token in args]  # of the shell and of xargs
    if args in ([], ["--help"], ["--version"]):
        return
    name, *rest = complete_arguments(args, COMMANDS, lambda: load_command("gen"), load_groups)
    command: Any = load_command(name)
    while getattr(command, "commands", None) and "--help" not in rest:
        named = bool(rest) and rest[0] in command.commands
        if not named and not isinstance(command, DefaultGroup):
            raise AssertionError(f"{name} needs a subcommand")
        name, rest = (rest[0], rest[1:]) if named else (DEFAULT, rest)
        command = command.commands[name]
    if "--help" not in rest:
        command.make_context(name, list(rest))


def test_shown_commands_parse() -> None:
    shown = [
        (page, call) for page in PAGES for line in lines_of_commands(page) for call in calls(line)
    ]
    assert len(shown) > 150
    wrong = []
    for page, call in shown:
        try:
            parse(call)
        except Exception as exc:
            wrong.append(f"{page.name}: {shlex.join(call)}: {exc}")
    assert wrong == []


def test_unknown_option_is_detected() -> None:
    [call] = calls("cat x | llmtool gen --wrong 'a | b' > out.txt")
    assert call == ["gen", "--wrong", "a | b", ">", "out.txt"]
    with pytest.raises(Exception, match="--wrong"):
        parse(call)


SHOWN_PYTHON = {
    f"{page.name} {number}": textwrap.dedent(text)
    for page in PAGES
    for number, text in enumerate(blocks(page, "python"), 1)
    if not text.startswith("import ray\n")  # run by tests/ray_batch/test_mapper.py
}
TEXT = "The library of Marbury closes for repairs. It opens again in June."


def reply(prompt: str) -> str:
    person = '{"name": "Ada", "age": 36}'
    if "Extract the person" in prompt:
        return f"[{person}]" if "persons" in prompt else person
    return "Seven rivers."


def test_pages_with_python_are_covered() -> None:
    pages = {name.split()[0] for name in SHOWN_PYTHON}
    assert pages >= {"README.md", "README.zh-CN.md", "python.md", "chat.md", "batches.md"}


@pytest.mark.parametrize("program", SHOWN_PYTHON.values(), ids=SHOWN_PYTHON)
def test_shown_python_runs(program: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = Folders(config=tmp_path, data=tmp_path, cache=tmp_path, hub_cache=tmp_path)

    def make_box(model: str = "scripted", **options: Any) -> Toolbox:
        options = {"engine": ScriptedEngine(reply), "folders": folders, "environ": {}, **options}
        return Toolbox(model, **options)

    box = make_box()
    for name in {name for name in llmtool.__all__ if hasattr(box, name)}:
        monkeypatch.setattr(llmtool, name, getattr(box, name), raising=False)
    monkeypatch.setattr(llmtool, "Toolbox", make_box, raising=False)
    monkeypatch.chdir(tmp_path)
    for name, text in {
        "prompts.txt": "Name a river.\n",
        "notice.txt": TEXT,
        "reviews.csv": "review;id\nGood;1\n",
        "reviews.jsonl": "".join(f'{{"text": "{n}", "label": "positive"}}\n' for n in range(20)),
    }.items():
        Path(name).write_text(text)
    with zipfile.ZipFile("report.docx", "w") as archive:
        archive.writestr("word/document.xml", "<w:p xmlns:w='w'><w:t>One</w:t></w:p>")
    names = {"__name__": "shown", "box": box, "text": TEXT, "texts": [TEXT], "markdown": TEXT}
    module = ModuleType("shown")
    monkeypatch.setitem(sys.modules, "shown", module)
    vars(module).update(names, Path=Path)
    exec(compile(program, "<documentation>", "exec"), vars(module))


def anchors(page: Path) -> set[str]:
    """Return the link targets of a page's headings, as GitHub makes them."""
    heads = re.findall(r"^#+ (.+)$", FENCE.sub("", page.read_text(encoding="utf-8")), re.M)
    return {re.sub(r"[^\w\- ]", "", head).lower().replace(" ", "-") for head in heads}


def test_links_have_targets() -> None:
    broken = []
    for page in [*PAGES, *ROOT.glob("*.md"), ROOT / "tests" / "README.md"]:
        text = FENCE.sub("", page.read_text(encoding="utf-8"))
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            name, _, anchor = target.partition("#")
            file = page.parent / name if name else page
            if "://" not in target and (
                not file.exists() or (anchor and anchor not in anchors(file))
            ):
                broken.append(f"{page.name}: {target}")
    assert broken == []


def test_each_error_documents_its_exit_code() -> None:
    kinds = [each for each in vars(errors).values() if isinstance(each, type)]
    for kind in kinds:
        if issubclass(kind, errors.LlmtoolError) and kind.exit_code != errors.ExitCode.ERROR:
            assert f"(exit code {int(kind.exit_code)})." in (kind.__dict__["__doc__"] or ""), kind


def test_each_module_has_a_docstring() -> None:
    modules = [*(ROOT / "llmtool").rglob("*.py"), *(ROOT / "scripts").glob("*.py")]
    undocumented = [str(m) for m in modules if not ast.get_docstring(syntax_nodes(m)[0])]
    assert len(modules) > 200 and undocumented == []


@pytest.mark.skipif(sys.platform != "linux", reason="the recipes run on Linux")
def test_ci_recipes_cache_models_and_replies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(("LLMTOOL_", "HF_", "XDG_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", "/home/user")
    github, gitlab = map(yaml.safe_load, list(blocks(ROOT / "docs" / "ci.md", "yaml"))[:2])
    (job,) = github["jobs"].values()
    cached = [each["with"]["path"] for each in job["steps"] if "cache" in each.get("uses", "")]
    folders = find_folders(os.environ)
    used = {str(folders.cache), str(folders.hub_cache.parent)}
    assert {path.replace("~", "/home/user") for path in cached} == used
    (job,) = gitlab.values()
    folders = find_folders(job["variables"])
    for folder in (folders.cache, folders.hub_cache):
        name = str(folder).removeprefix("$CI_PROJECT_DIR/")
        assert any(name.startswith(path) for path in job["cache"]["paths"])


def test_json_of_every_command_is_documented() -> None:
    page = (ROOT / "docs" / "json.md").read_text(encoding="utf-8")
    headings = re.findall(r"(?m)^## (.*)", page)
    words = {"models rm and prune": ["models rm", "models prune"], "gen and run": ["gen", "run"]}
    named = {each for heading in headings for each in words.get(heading, [heading])}
    named |= {heading.partition(" --")[0] for heading in headings} | set(
        re.findall(r"`([a-z ]+)`", page)
    )
    commands = {
        " ".join(command.words)
        for command in walk(root_command())
        if command.words and any("--json" in flag.names for flag in command.flags)
    }
    assert sorted(commands - named) == []


def test_every_exit_code_is_documented() -> None:
    codes = [
        int(code) for row, _ in load_script("man_pages").exit_codes() for code in row.split(", ")
    ]
    assert codes == [int(code) for code in ExitCode]


def outline(page: Path) -> list[str]:
    """Return a page's structure: code without comments, headings, table rows, links, list items."""
    parts = []
    text = page.read_text(encoding="utf-8")
    for kind, code in FENCE.findall(text):
        parts.append(kind + "\n" + re.sub(r"(?m)[ ]*(# |; ).*$", "", code))
    text = FENCE.sub("", text)
    parts += [line.split()[0] for line in text.splitlines() if line.startswith("#")]
    parts += [
        f"row of {line.count(' | ') + 1}" for line in text.splitlines() if line.startswith("| ")
    ]
    parts += re.findall(r"\]\(([^)#\s]+)\)", text.partition("\n\n")[2].partition("\n\n")[2])
    parts += ["point" for line in text.splitlines() if line.startswith("- ")]
    return parts


def without_section(text: str, title: str) -> str:
    head, _, rest = text.partition(f"## {title}\n")
    assert rest, f"no section {title!r}"
    return head + rest[rest.index("\n## ") + 1 :]


def test_chinese_readme_has_the_same_structure(tmp_path: Path) -> None:
    shared = tmp_path / "shared.md"  # without the examples in Chinese
    text = CHINESE.read_text(encoding="utf-8")
    shared.write_text(without_section(text, "中文示例"), encoding="utf-8")
    assert outline(shared) == outline(README)


def test_changelog_has_no_remains_of_a_merge() -> None:
    lines = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8").splitlines()
    subjects = [line.partition("** ")[0] for line in lines if line.startswith("- **")]
    texts = [line for line in lines if line and not line.startswith("##")]
    for found in (subjects, texts):
        assert not {each for each in found if found.count(each) > 1}
    assert not [line for line in lines if line.startswith(("<<<<<<<", "=======", ">>>>>>>"))]


def test_readme_has_at_most_180_lines() -> None:
    assert len(README.read_text(encoding="utf-8").splitlines()) <= 180


def test_shown_commands_have_output() -> None:
    tour = load_script("tour")
    assert {README, CHINESE} <= set(tour.PAGES)
    for page in tour.PAGES:
        for block in tour.TOUR.findall(page.read_text(encoding="utf-8")):
            assert not re.search(r"^\$ .*\n(\$ |\Z)", block, re.MULTILINE), page.name
