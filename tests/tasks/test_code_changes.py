"""Diffs, completions, reviews, patches and commit messages."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
from collections.abc import Callable, Iterable
from inspect import signature
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmtool.cli.commands.code.review import check_severity
from llmtool.config import Folders, Settings
from llmtool.engine.scripted import CURSOR, ScriptedEngine
from llmtool.errors import (
    ContextOverflow,
    InputError,
    LowConfidence,
    OutputValidationError,
    RecordsFailed,
    UsageError,
)
from llmtool.prompts.library import Library
from llmtool.tasks.code.commit_message import MAX_PROMPT_TOKENS, drop_partial_words
from llmtool.tasks.code.cursor import (
    parse_position,
    parse_range,
    select_lines,
    split_at,
    truncate_around,
)
from llmtool.tasks.code.diffs import parse_diff, split_file_diff, unified_diff, with_line_numbers
from llmtool.tasks.code.fix import restore_line_endings
from llmtool.tasks.code.git import staged_diff
from llmtool.tasks.code.originals import back_up
from llmtool.tasks.code.review import parse_changes, review
from llmtool.tasks.code.sarif import sarif
from llmtool.tasks.options import GenerateOptions, SamplingOptions
from llmtool.tasks.pipeline.prepare import prepare
from llmtool.toolbox import Toolbox

DIFF = """\
diff --git a/mail.py b/mail.py
index 1..2 100644
--- a/mail.py
+++ b/mail.py
@@ -1,3 +1,4 @@ import
 import smtplib
-timeout = 1
+timeout = 30
+retries = 0
 print(timeout)
@@ -40,2 +41,2 @@
-old
+new
 last
diff --git a/uv.lock b/uv.lock
--- a/uv.lock
+++ b/uv.lock
@@ -1 +1 @@
-a
+b
diff --git a/logo.png b/logo.png
index 1..2
Binary files a/logo.png and b/logo.png differ
"""


def make_toolbox(
    tmp_path: Path, replies: str | list[str] | Callable[[str], str], **options: Any
) -> tuple[Toolbox, ScriptedEngine]:
    folders = Folders(config=tmp_path, data=tmp_path, cache=tmp_path / "c", hub_cache=tmp_path)
    engine = ScriptedEngine(replies, **options)
    return Toolbox(engine=engine, folders=folders, settings=Settings(), environ={}), engine


# Diffs


def test_parse_diff_returns_files_and_hunks() -> None:
    mail, lock, logo = parse_diff(DIFF)
    assert [(h.first, h.last) for h in mail.hunks] == [(1, 4), (41, 42)]
    assert (mail.path, mail.skip_reason, mail.n_added, mail.n_removed) == ("mail.py", "", 3, 2)
    assert (lock.path, lock.skip_reason) == ("uv.lock", "a lock file")
    assert (logo.path, logo.skip_reason, logo.hunks) == ("logo.png", "binary", ())


@pytest.mark.parametrize(
    ("diff", "path"),
    [
        ("--- a/x y.py\t2024-01-01\n+++ b/x y.py\t2024-01-01\n@@ -1 +1 @@\n-a\n+b\n", "x y.py"),
        ("--- /dev/null\n+++ b/new.py\n@@ -0,0 +1 @@\n+b\n", "new.py"),
        ("--- a/gone.py\n+++ /dev/null\n@@ -1 +0,0 @@\n-b\n", "gone.py"),
        ("--- x.py\n+++ x.py\n@@ -1 +1 @@\n-a\n+b\n\\ No newline at end of file\n", "x.py"),
        ("diff --git a/o.py b/n.py\nrename from o.py\nrename to n.py\n", "n.py"),
        ('--- "a/\\303\\251.py"\n+++ "b/é.py"\n@@ -1 +1 @@\n-a\n+b\n', "é.py"),
        ('--- a/x\n+++ "b/\\303\\251\\t\\"x"\n@@ -1 +1 @@\n-a\n+b\n', 'é\\t"x'),
        ('--- a/x\n+++ "b/x\\n\\033\\012y"\n@@ -1 +1 @@\n-a\n+b\n', "x\\n\\033\\012y"),
        ('diff --git "a/\\303\\251 o.py" "b/\\303\\251 n.py"\nrename from o\n', "é n.py"),
        ('diff --git "a/\\303\\251.png" "b/\\303\\251.png"\nBinary files differ\n', "é.png"),
        ('--- "a/bad\\377.py"\n+++ "b/bad\\377.py"\n@@ -1 +1 @@\n-a\n+b\n', "bad\ufffd.py"),
        ("diff --git i/x.py w/x.py\n--- i/x.py\n+++ w/x.py\n@@ -1 +1 @@\n-a\n+b\n", "x.py"),
        ("diff --git i/x.py w/x.py\n--- /dev/null\n+++ w/x.py\n@@ -0,0 +1 @@\n+b\n", "x.py"),
        ("diff --git c/x.py i/x.py\n--- c/x.py\n+++ /dev/null\n@@ -1 +0,0 @@\n-b\n", "x.py"),
        ("diff --git src/x.py src/x.py\nold mode 100644\nnew mode 100755\n", "src/x.py"),
        ("diff --git a/x.py b/x.py\nold mode 100644\nnew mode 100755\n", "x.py"),
    ],
    ids=[
        "timestamps", "new file", "deleted file", "no prefix", "rename", "quoted", "octal escapes",
        "control characters", "quoted rename", "quoted binary", "not UTF-8", "mnemonic prefixes",
        "mnemonic prefixes, new file", "mnemonic prefixes, deleted file", "mode without prefix",
        "mode",
    ],
)  # fmt: skip
def test_path_is_read_from_every_kind_of_header(diff: str, path: str) -> None:
    assert [file.path for file in parse_diff(diff)] == [path]


@pytest.mark.parametrize(
    ("diff", "path"),
    [
        ("diff --git c/src/old.py i/src/new.py\nsimilarity index 90%\nrename from src/old.py\n"
         "rename to src/new.py\n--- c/src/old.py\n+++ i/src/new.py\n@@ -1 +1 @@\n-a\n+b\n",
         "src/new.py"),
        ("diff --git a/x.py a/x.py\n--- a/x.py\n+++ a/x.py\n@@ -1 +1 @@\n-a\n+b\n", "a/x.py"),
        ("diff --git a/x.py a/x.py\n--- /dev/null\n+++ a/x.py\n@@ -0,0 +1 @@\n+b\n", "a/x.py"),
        ("diff --git old/x.py new/x.py\n--- old/x.py\n+++ new/x.py\n@@ -1 +1 @@\n-a\n+b\n", "x.py"),
        ("diff --git 1/lib/x 2/src/x\n--- 1/lib/x\n+++ 2/src/x\n@@ -1 +1 @@\n-a\n+b\n", "src/x"),
        ("diff --git b/x.py a/x.py\n--- b/x.py\n+++ a/x.py\n@@ -1 +1 @@\n-a\n+b\n", "x.py"),
        ("diff --git a/x y b/x y\nold mode 100644\nnew mode 100755\n", "x y"),
        ("diff --git x y x y\nold mode 100644\nnew mode 100755\n", "x y"),
        ('diff --git "a/\\303\\251" "b/\\303\\251"\nold mode 100644\nnew mode 100755\n', "é"),
        ("\x1b[1mdiff --git a/x b/x\x1b[m\n\x1b[1m--- a/x\x1b[m\n\x1b[1m+++ b/x\x1b[m\n"
         "\x1b[36m@@ -1 +1 @@\x1b[m f()\n\x1b[31m-a\x1b[m\n\x1b[32m+\x1b[m\x1b[32mb\x1b[m\n",
         "x"),
        ("\ufeffdiff --git a/x b/x\r\n--- a/x\r\n+++ b/x\r\n@@ -1 +1 @@\r\n-a\r\n+b\r\n", "x"),
        ("Binary files old/x y.png and new/x y.png differ\n", "x y.png"),
        ("Submodule lib 1a2b3c4..5d6e7f8:\n  > fix it\n", "lib"),
        ("diff --git a/lib b/lib\nindex 1..2 160000\n--- a/lib\n+++ b/lib\n@@ -1 +1 @@\n-a\n+b\n",
         "lib"),
        ("--- /tmp/old/src/x.py\n+++ /tmp/new/src/x.py\n@@ -1 +1 @@\n-a\n+b\n", "src/x.py"),
    ],
    ids=[
        "mnemonic rename", "no prefix, folder a", "no prefix, new file", "custom prefixes",
        "no index", "reverse", "spaces", "spaces without prefix", "quoted mode", "colours",
        "BOM and CRLF", "binary without header", "submodule log", "submodule", "diff -r",
    ],
)  # fmt: skip
def test_path_does_not_depend_on_the_settings_of_git(diff: str, path: str) -> None:
    assert [file.path for file in parse_diff(diff)] == [path]


def test_notes_have_names_without_quotes_and_no_mode_of_a_new_file() -> None:
    (moved, new) = parse_diff(
        'diff --git "a/\\303\\251" "b/\\303\\240"\n'
        'rename from "\\303\\251"\nrename to "\\303\\240"\n'
        "diff --git a/x b/x\nnew file mode 100644\n--- /dev/null\n+++ b/x\n@@ -0,0 +1 @@\n+a\n"
    )
    assert (moved.notes, new.notes) == (("rename from é", "rename to à"), ("new file",))


def test_diff_of_words_is_rejected(tmp_path: Path) -> None:
    diff = "diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1 +1 @@\nthe [-old-]{+new+} text\n"
    with pytest.raises(InputError, match="unified diff"):
        make_toolbox(tmp_path, "")[0].review_code(diff)


def run_git(folder: Path, *args: str, config: Iterable[str] = ()) -> str:
    options = [word for pair in ("user.name=x", "user.email=x@y", *config) for word in ("-c", pair)]
    command = ["git", *options, *args]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True).stdout.decode()


@pytest.fixture(scope="module")
def changed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with a staged change of every kind."""
    folder = tmp_path_factory.mktemp("changed")
    lines = "".join(f"line {i}\n" for i in range(40))
    before = {
        "a/x.py": lines, "old name.py": lines, "gone.txt": "gone\nfor good\n",
        "crlf.txt": "a\r\nb\r\n", "größe.txt": "a\n", "run.sh": "x\n",
        "tabs.txt": "\ta \n\n\nb\n", "text.conv": "a\n",
    }  # fmt: skip
    run_git(folder, "init", "-q")
    (folder / "a").mkdir()
    for name, text in before.items():
        (folder / name).write_bytes(text.encode())
    (folder / ".gitattributes").write_text("*.conv diff=conv\n")
    run_git(folder, "add", "-A")
    run_git(folder, "commit", "-qm", "begin")
    run_git(folder, "mv", "old name.py", "new name.py")
    run_git(folder, "rm", "-q", "gone.txt")
    after = {
        "a/x.py": lines.replace("line 3\n", "line three\n").replace("line 30\n", ""),
        "new name.py": lines.replace("line 7\n", "line seven\n"),
        "crlf.txt": "a\r\nc\r\n", "größe.txt": "b\n", "tabs.txt": "\ta \n\n\nc\n",
        "text.conv": "b\n", "new file.txt": "something else\n", "logo.png": "a\0b",
    }  # fmt: skip
    for name, text in after.items():
        (folder / name).write_bytes(text.encode())
    run_git(folder, "add", "-A")
    run_git(folder, "update-index", "--chmod=+x", "run.sh")
    run_git(folder, "update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},lib")
    return folder


CHANGED = [
    ("a/x.py", 1, 2, ""), ("crlf.txt", 1, 1, ""), ("gone.txt", 0, 2, ""),
    ("größe.txt", 1, 1, ""), ("lib", 1, 0, "a submodule"), ("logo.png", 0, 0, "binary"),
    ("new file.txt", 1, 0, ""), ("new name.py", 1, 1, ""), ("run.sh", 0, 0, ""),
    ("tabs.txt", 1, 1, ""), ("text.conv", 1, 1, ""),
]  # fmt: skip
SETTINGS = [
    ("color.ui=always",),
    ("color.diff=always", "color.diff.meta=red bold", "diff.colorMoved=zebra"),
    ("diff.mnemonicPrefix=true",), ("diff.noprefix=true",), ("core.quotePath=true",),
    ("diff.srcPrefix=old/", "diff.dstPrefix=new/"), ("diff.renames=copies",),
    ("diff.context=0", "diff.interHunkContext=50"), ("diff.suppressBlankEmpty=true",),
    ("core.pager=false", "pager.diff=true"), ("diff.algorithm=patience",),
    ("diff.wsErrorHighlight=all", "color.ui=always"), ("diff.submodule=log",),
    ("diff.relative=true",), ("core.quotePath=true", "color.ui=always", "diff.noprefix=true"),
]  # fmt: skip
PROGRAMS = ["diff.external=false", "diff.conv.textconv=false", "diff.orderFile=/missing"]


def summarize(diff: str) -> list[tuple[str, int, int, str]]:
    files = parse_diff(diff)
    return sorted((file.path, file.n_added, file.n_removed, file.skip_reason) for file in files)


@pytest.mark.parametrize("settings", SETTINGS, ids=" ".join)
def test_diff_of_any_git_settings_is_read(changed: Path, settings: tuple[str, ...]) -> None:
    found = summarize(run_git(changed, "diff", "--staged", config=settings))
    if settings == ("diff.submodule=log",):
        found = [(*each[:1], 1, *each[2:]) if each[0] == "lib" else each for each in found]
    assert found == CHANGED


@pytest.mark.parametrize("settings", [*SETTINGS, ("diff.renames=false",), PROGRAMS], ids=" ".join)
def test_settings_do_not_change_the_staged_diff(
    changed: Path, monkeypatch: pytest.MonkeyPatch, settings: Iterable[str]
) -> None:
    expected = staged_diff(str(changed))
    pairs = [each.split("=", 1) for each in settings]
    monkeypatch.setenv("GIT_CONFIG_COUNT", str(len(pairs)))
    for i, (key, value) in enumerate(pairs):
        monkeypatch.setenv(f"GIT_CONFIG_KEY_{i}", key)
        monkeypatch.setenv(f"GIT_CONFIG_VALUE_{i}", value)
    if "diff.algorithm=patience" not in settings:
        assert staged_diff(str(changed)) == expected
    assert summarize(staged_diff(str(changed))) == summarize(expected) == CHANGED


def test_changed_line_that_looks_like_a_header_is_content() -> None:
    diff = "--- a/x\n+++ b/x\n@@ -1,2 +1,2 @@\n--- a/y\n+++ b/y\n c\n"
    (file,) = parse_diff(diff)
    assert file.path == "x" and (file.n_added, file.n_removed) == (1, 1)


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("package-lock.json", "a lock file"), ("web/yarn.lock", "a lock file"),
        ("go.sum", "a lock file"), ("static/app.min.js", "generated"),
        ("api_pb2.py", "generated"), ("node_modules/x/a.js", "generated"),
        (".terraform.lock.hcl", "a lock file"), ("types_generated.go", "generated"),
        ("src/__generated__/a.ts", "generated"), ("Form1.Designer.cs", "generated"),
        ("regenerated.py", ""), ("locked.py", ""), ("vendors.py", ""), ("a.map.py", ""),
    ],
)  # fmt: skip
def test_lock_and_generated_files_are_skipped(path: str, reason: str) -> None:
    (file,) = parse_diff(f"--- a/{path}\n+++ b/{path}\n@@ -1 +1 @@\n-a\n+b\n")
    assert file.skip_reason == reason


def test_file_with_a_generated_header_is_skipped() -> None:
    diff = (
        "--- a/x.go\n+++ b/x.go\n@@ -1,2 +1,2 @@\n // Code generated by x. DO NOT EDIT.\n-a\n+b\n"
    )
    assert parse_diff(diff)[0].skip_reason == "generated"


def test_file_with_very_long_lines_is_skipped() -> None:
    diff = "--- a/{0}\n+++ b/{0}\n@@ -1,2 +1,2 @@\n-{1}\n+{1}y\n b\n"
    files = parse_diff(diff.format("app.js", "x" * 2000) + diff.format("data.py", "x" * 900))
    assert [file.skip_reason for file in files] == ["minified", ""]


LINES = st.lists(
    st.sampled_from(
        ["a", "b", "-", "+", "a\x0cb", "\x0c", "\u2028", "c\rd", "--- a/x", "@@ -1 +1 @@", "", " c"]
    )
)


@given(LINES, LINES)
def test_parse_diff_reads_unified_diff(old: list[str], new: list[str]) -> None:
    before, after = ("".join(f"{line}\n" for line in lines) for lines in (old, new))
    files = parse_diff(unified_diff("x", before, after))
    if before == after:
        assert files == ()
        return
    (file,) = files
    numbers = after.split("\n")
    for hunk in file.hunks:
        shown = [line[1:] for line in hunk.body.split("\n") if line[:1] in (" ", "+")]
        assert shown == numbers[hunk.first - 1 : hunk.last] or not shown


@given(LINES, LINES, st.integers(4, 60))
def test_parts_contain_the_whole_diff_with_line_numbers(
    old: list[str], new: list[str], max_length: int
) -> None:
    before, after = ("".join(f"{line}\n" for line in lines) for lines in (old, new))
    for file in parse_diff(unified_diff("x", before, after)):
        parts = list(split_file_diff(file, fits=lambda part: len(part.text) <= max_length + 40))
        bodies = "".join(hunk.body for part in parts for hunk in part.hunks)
        assert bodies == "".join(hunk.body for hunk in file.hunks)
        lines = after.split("\n")
        for part in parts:
            for number, text in re.findall(r"^ *(\d+) [+ ](.*)$", with_line_numbers(part), re.M):
                assert lines[int(number) - 1] == text
                assert any(h.first <= int(number) <= h.last for h in part.hunks)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("a\nb\n", "a\nc\n"),
        ("a", "b"),
        ("a\n", "a"),
        ("", "a\n"),
        ("a\r\nb\r\n", "a\r\nc\r\n"),
        ("a\x0cb\u2028c\n", "a\x0cb\u2028d\n"),
        ("\ufeffa\n", "\ufeffb\n"),
    ],
    ids=[
        "line",
        "no final newline",
        "removed final newline",
        "new file",
        "CRLF",
        "other separators",
        "BOM",
    ],
)
def test_git_applies_unified_diff(tmp_path: Path, old: str, new: str) -> None:
    file = tmp_path / "x.txt"
    file.write_bytes(old.encode())
    patch = unified_diff("x.txt", old, new).encode()
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    subprocess.run(["git", "apply", "-"], input=patch, cwd=tmp_path, check=True)
    assert file.read_bytes() == new.encode()


# Positions and completions


@given(st.text(alphabet="ab\n\ré\x0c", max_size=40), st.integers(1, 9), st.integers(1, 9))
def test_split_at_returns_the_whole_text(text: str, line: int, column: int) -> None:
    try:
        before, after = split_at(text, line, column, file="x")
    except UsageError:
        return
    assert before + after == text and "\n" not in before[len(before) - column + 1 :]


@pytest.mark.parametrize(("line", "column"), [(0, None), (4, None), (1, 0), (1, 4), (2, 9)])
def test_position_outside_the_text_is_rejected(line: int, column: int | None) -> None:
    with pytest.raises(UsageError, match=r"x\.py"):
        split_at("ab\ncd\n", line, column, file="x.py")


def test_parse_position_and_range() -> None:
    assert parse_position("C:\\a.py:12:5") == ("C:\\a.py", 12, 5)
    assert parse_range("a:b.py:3-9") == ("a:b.py", 3, 9)
    assert select_lines("a\nb\nc\n", 2, 3, file="x") == "b\nc\n"
    assert select_lines("a\n\x0c\nb\u2028\nc\n", 3, 3, file="x") == "b\u2028\n"
    with pytest.raises(UsageError, match="must not be after the last"):
        select_lines("a\nb\n", 2, 1, file="x")
    with pytest.raises(UsageError):
        parse_position("a.py")
    with pytest.raises(UsageError):
        select_lines("a\n", 1, 2, file="x")


@given(
    st.lists(st.text("ab", max_size=5), max_size=12),
    st.lists(st.text("ab", max_size=5), max_size=12),
    st.integers(0, 60),
)
def test_truncate_around_keeps_the_nearest_lines(
    above: list[str], below: list[str], max_length: int
) -> None:
    before, after = "".join(f"{line}\n" for line in above), "".join(f"{line}\n" for line in below)
    around = truncate_around(before, after, max_tokens=max_length, count=len)
    assert before.endswith(around.before) and after.startswith(around.after)
    n_lines = around.before.count("\n") + around.after.count("\n")
    assert n_lines + around.n_dropped == len(above) + len(below)
    if len(before) + len(after) <= max_length:
        assert around.n_dropped == 0
    longest = max(map(len, [*above, *below]), default=0) + 1
    assert len(around.before) + len(around.after) <= max(max_length, 2 * longest)


def test_complete_code_returns_the_text_at_the_cursor(tmp_path: Path) -> None:
    toolbox, engine = make_toolbox(tmp_path, "a + b")
    result = toolbox.complete_code("def add(a, b):\n    return ", "\n", language="py")
    assert (result.text, result.status) == ("a + b", "ok")
    assert engine.prompts == [f"def add(a, b):\n    return {CURSOR}\n"]
    broken = make_toolbox(tmp_path, "a +")[0].complete_code("x = (", "\n", language="py")
    assert broken.status == "error" and broken.diagnostics[0].line == 1


def test_long_file_is_truncated_around_the_cursor_with_a_warning(tmp_path: Path) -> None:
    toolbox, engine = make_toolbox(tmp_path, "x", n_ctx=60)
    result = toolbox.complete_code(
        "a b c\n" * 50 + "here ", " there\n" + "d e\n" * 50, max_tokens=10
    )
    assert f"here {CURSOR} there\n" in engine.prompts[0]
    assert len(engine.prompts[0].split()) <= 50
    assert any("did not fit into the context" in warning for warning in result.warnings)


# Reviews


def findings(*each: tuple[int, str, str]) -> str:
    rows = [{"line": line, "severity": how, "message": what} for line, how, what in each]
    return json.dumps({"findings": rows})


def test_review_sorts_findings_by_file_and_line(tmp_path: Path) -> None:
    reply = findings((42, "note", "a name is gone"), (2, "error", "never\nsent again"))
    toolbox, engine = make_toolbox(tmp_path, reply)
    result = toolbox.review_code(DIFF)
    assert result.text == "mail.py:2: error: never sent again\nmail.py:42: note: a name is gone\n"
    assert [(each.path, each.reason) for each in result.skipped] == [
        ("uv.lock", "a lock file"),
        ("logo.png", "binary"),
    ]
    assert result.n_parts == 1
    assert "   2 +timeout = 30" in engine.prompts[0] and "uv.lock" not in engine.prompts[0]


def test_finding_outside_the_diff_is_dropped(tmp_path: Path) -> None:
    reply = findings(*((line, "error", f"wrong in line {line}") for line in (0, 4, 5, 40, 43)))
    assert [f.line for f in make_toolbox(tmp_path, reply)[0].review_code(DIFF).findings] == [4]


def test_finding_that_repeats_the_instructions_is_dropped(tmp_path: Path) -> None:
    echo = "The numbers are those of the lines. Name real mistakes alone: wrong results, crashes"
    toolbox, _ = make_toolbox(
        tmp_path, findings((2, "error", echo), (4, "error", "the timeout is too long"))
    )
    result = toolbox.review_code(DIFF)
    assert [f.line for f in result.findings] == [4]
    assert any("repeat the instructions" in warning for warning in result.warnings)


def test_file_with_only_removed_lines_is_skipped(tmp_path: Path) -> None:
    gone = "--- a/gone.py\n+++ /dev/null\n@@ -1,2 +0,0 @@\n-a\n-b\n"
    bare = "--- a/x.py\n+++ b/x.py\n@@ -3 +2,0 @@\n-a\n@@ -9 +8 @@\n-b\n+c\n"
    toolbox, engine = make_toolbox(
        tmp_path, findings((1, "note", "is gone now"), (2, "note", "is not shown"))
    )
    result = toolbox.review_code(gone + bare)
    assert result.findings == () and len(engine.prompts) == 1 and "gone.py" not in engine.prompts[0]
    assert [(f.path, f.reason) for f in result.skipped] == [("gone.py", "only removed lines")]
    toolbox, engine = make_toolbox(tmp_path, "fix: remove a file")
    toolbox.commit_message(gone)  # a commit message covers removals too
    assert "-a\n-b\n" in engine.prompts[0]


def test_long_removal_is_reported_as_not_reviewed(tmp_path: Path) -> None:
    removed = "".join(f"-a line that goes {i}\n" for i in range(40))
    diff = f"--- a/x.py\n+++ b/x.py\n@@ -3,40 +2,0 @@\n{removed}@@ -90 +49 @@\n-b\n+c\n"
    toolbox, engine = make_toolbox(tmp_path, findings((49, "note", "is another name")), n_ctx=220)
    result = toolbox.review_code(diff, max_tokens=30)
    assert [f.line for f in result.findings] == [49] and len(engine.prompts) == 1
    assert "not reviewed: x.py, from line 2: only removed lines" in result.warnings


def test_large_file_is_reviewed_by_hunk_without_duplicates(tmp_path: Path) -> None:
    reply = findings((1, "error", "the same remark"), (41, "error", "the same remark"))
    toolbox, engine = make_toolbox(tmp_path, reply, n_ctx=105)
    result = toolbox.review_code(DIFF, max_tokens=30)
    assert result.n_parts == len(engine.prompts) == 2
    assert [f.line for f in result.findings] == [1]


def test_review_stops_at_the_maximum_of_parts(tmp_path: Path) -> None:
    reply = findings((1, "error", "the same remark"), (41, "error", "another remark"))
    toolbox, engine = make_toolbox(tmp_path, reply, n_ctx=105)
    result = toolbox.review_code(DIFF, max_tokens=30, max_parts=1)
    assert result.n_parts == len(engine.prompts) == 1
    assert [f.line for f in result.findings] == [1]
    assert result.n_omitted == 1
    assert result.warnings == (
        "reviewed only 1 part of the diff; not reviewed: 1 added line, from mail.py:41 on",
    )
    with pytest.raises(UsageError, match="max_parts=0: must be at least 1"):
        toolbox.review_code(DIFF, max_parts=0)


NO_LINES = {
    "empty": ("", []),
    "blank": ("\n \n", []),
    "binary": ("diff --git a/x.png b/x.png\nBinary files a/x.png and b/x.png differ\n", ["binary"]),
    "removal": ("--- a/x.py\n+++ /dev/null\n@@ -1 +0,0 @@\n-a\n", ["only removed lines"]),
    "mode": ("diff --git a/x b/x\nold mode 100644\nnew mode 100755\n", []),
}


@pytest.mark.parametrize(("diff", "reasons"), NO_LINES.values(), ids=NO_LINES)
def test_diff_without_lines_has_no_findings(tmp_path: Path, diff: str, reasons: list[str]) -> None:
    toolbox, engine = make_toolbox(tmp_path, "")
    result = toolbox.review_code(diff)
    assert (result.findings, result.n_parts, engine.prompts) == ((), 0, [])
    assert [file.reason for file in result.skipped] == reasons


def test_review_reports_progress(tmp_path: Path) -> None:
    toolbox, engine = make_toolbox(tmp_path, findings((1, "error", "the same remark")), n_ctx=105)
    options = GenerateOptions(template="review-hunk", sampling=SamplingOptions(max_tokens=30))
    calls: list[tuple[int, int]] = []
    files = parse_changes(DIFF)
    prepared = prepare(toolbox.context, options)
    review(engine, prepared, files, lambda *done: calls.append(done), max_parts=9)
    assert calls == [(1, 2), (2, 2)]


class Looping(ScriptedEngine):
    """Loops unless repetition is penalized."""

    def __init__(self, reply: str, *, can_stop: bool) -> None:
        super().__init__(lambda prompt: reply if self.penalized[-1] and can_stop else '{"a ' * 99)
        self.penalized: list[bool] = []

    def stream(self, requests: Any) -> Any:
        def recorded() -> Any:
            for request in requests:
                self.penalized.append(request.sampling.dry_multiplier > 0)
                yield request

        return super().stream(recorded())


@pytest.mark.parametrize(
    ("can_stop", "options", "penalized"),
    [
        (True, {}, [False, True]),
        (False, {}, [False, True]),
        (False, {"dry_multiplier": 0.5}, [True]),
    ],
    ids=["retry ends", "retry loops", "already penalized"],
)
def test_loop_is_retried_once_with_a_penalty(
    tmp_path: Path, can_stop: bool, options: dict[str, Any], penalized: list[bool]
) -> None:
    toolbox, _ = make_toolbox(tmp_path, "")
    engine = Looping(findings((2, "note", "all is well")), can_stop=can_stop)
    toolbox = Toolbox(
        engine=engine, folders=toolbox.context.folders, settings=Settings(), environ={}
    )
    one = DIFF.split("diff --git a/uv")[0]
    if can_stop:
        result = toolbox.review_code(one, max_tokens=40, **options)
        assert ([f.line for f in result.findings], result.n_failed) == ([2], 0)
    else:
        with pytest.raises(OutputValidationError, match="truncated"):
            toolbox.review_code(one, max_tokens=40, **options)
    assert engine.penalized == penalized


def test_failed_part_is_reported_and_others_are_reviewed(tmp_path: Path) -> None:
    two = DIFF.split("diff --git a/uv")[0] + "--- a/b.py\n+++ b/b.py\n@@ -1 +1 @@\n-a\n+b\n"

    def reply(prompt: str) -> str:
        return "not JSON" if "b.py" in prompt else findings((2, "note", "all is well"))

    result = make_toolbox(tmp_path, reply)[0].review_code(two)
    assert len(result.findings) == 1 and (result.n_parts, result.n_failed) == (2, 1)
    with pytest.raises(LowConfidence, match=r"mail\.py:2"):
        check_severity(result, "note")
    with pytest.raises(RecordsFailed, match="1 of 2 parts"):
        check_severity(result, "warning")
    check_severity(result, None)
    assert [w for w in result.warnings if w.startswith("not reviewed: b.py, from line 1")]
    with pytest.raises(OutputValidationError):
        make_toolbox(tmp_path, "not JSON")[0].review_code(two)


@pytest.mark.parametrize("text", ["hello\n", "+++ \n--- \n"])
def test_text_without_changes_is_rejected(tmp_path: Path, text: str) -> None:
    with pytest.raises(InputError):
        make_toolbox(tmp_path, "")[0].review_code(text)


def test_sarif_has_the_location_of_each_finding(tmp_path: Path) -> None:
    reply = findings((2, "error", "never sent"), (4, "warning", "slow to print"))
    log = sarif(make_toolbox(tmp_path, reply)[0].review_code(DIFF), version="1")
    assert log["version"] == "2.1.0"
    (run,) = log["runs"]
    assert [r["level"] for r in run["results"]] == ["error", "warning"]
    location = run["results"][0]["locations"][0]["physicalLocation"]
    assert location == {"artifactLocation": {"uri": "mail.py"}, "region": {"startLine": 2}}


def test_sarif_has_the_new_name_of_a_renamed_file(tmp_path: Path) -> None:
    diff = (
        "diff --git c/src/old name.py i/src/new name.py\nsimilarity index 90%\n"
        "rename from src/old name.py\nrename to src/new name.py\n"
        "--- c/src/old name.py\t\n+++ i/src/new name.py\t\n@@ -1 +1 @@\n-a\n+b\n"
    )
    toolbox, engine = make_toolbox(tmp_path, findings((1, "error", "never sent")))
    log = sarif(toolbox.review_code(diff), version="1")
    location = log["runs"][0]["results"][0]["locations"][0]["physicalLocation"]
    assert location["artifactLocation"] == {"uri": "src/new%20name.py"}
    assert "src/new name.py\n" in engine.prompts[0]


# Patches


def test_fix_code_returns_a_patch(tmp_path: Path) -> None:
    toolbox, engine = make_toolbox(tmp_path, "def f(x):\n    return x")
    result = toolbox.fix_code("def f(x)\n    return x\n", language="py", file="f.py")
    assert (
        str(result)
        == result.diff
        == ("--- a/f.py\n+++ b/f.py\n@@ -1,2 +1,2 @@\n-def f(x)\n+def f(x):\n     return x\n")
    )
    assert result.status == "ok" and "line 1, column 9: expected ':'" in engine.prompts[0]


def test_fix_code_requires_an_error_and_a_change(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="error="):
        make_toolbox(tmp_path, "x = 1")[0].fix_code("x = 1\n", language="py")
    with pytest.raises(OutputValidationError, match="did not change"):
        make_toolbox(tmp_path, "x = 1")[0].fix_code("x = 1\n", "it is slow", language="py")


LONG = "".join(f"def f{i}(n):\n    return n + {i}\n" for i in range(200))


def test_token_limit_of_a_fix_allows_the_whole_file(tmp_path: Path) -> None:
    toolbox, _ = make_toolbox(tmp_path, LONG)
    result = toolbox.fix_code(LONG.replace("f7(n):", "f7(n)"), language="py")
    assert result.text == LONG and result.diff.count("\n+") == 2


@pytest.mark.parametrize("repair", [0, 2])
def test_truncated_fix_is_an_error(tmp_path: Path, repair: int) -> None:
    # Even if it parses without its unfinished end, the rest of the file is missing.
    words = re.findall(r"\s*\S+", LONG)  # a token each
    replies = ["".join(words[i:]) for i in range(0, 270, 90)]
    toolbox, _ = make_toolbox(tmp_path, replies)
    with pytest.raises(OutputValidationError, match="delete the rest"):
        toolbox.fix_code("x = (\n" + LONG, language="py", max_tokens=90, repair=repair)
    with pytest.raises(ContextOverflow):
        make_toolbox(tmp_path, LONG, n_ctx=700)[0].fix_code("x = (\n" + LONG, language="py")


@pytest.mark.parametrize(
    ("code", "original", "written"),
    [
        ("a\nb\n", "x\r\ny\r\n", "a\r\nb\r\n"),
        ("a\n", "x", "a"),
        ("a\n", "", "a\n"),
        ("a\nb\n", "x\r\ny\nz\n", "a\nb\n"),
        ("a\n", "\ufeffx\n", "\ufeffa\n"),
    ],
)
def test_line_endings_of_the_original_are_restored(code: str, original: str, written: str) -> None:
    assert restore_line_endings(code, original) == written


def test_back_up_never_overwrites_a_file(tmp_path: Path) -> None:
    file = tmp_path / "a.py"
    file.write_text("1")
    file.chmod(0o750)
    copies = [back_up(file) for _ in range(3)]
    assert [copy.name for copy in copies] == ["a.py.orig", "a.py.orig2", "a.py.orig3"]
    assert copies[0].stat().st_mode & 0o777 == 0o750


# Commit messages


def test_grammar_limits_commit_subjects_to_72_characters() -> None:
    pattern = Library().load("commit").output.regex
    assert pattern is not None
    longest = "refactor(" + "s" * 14 + "): " + "a" * 46
    assert re.fullmatch(pattern, longest) and len(longest) == 72
    assert not re.fullmatch(pattern, longest + "a")
    assert not re.fullmatch(pattern, "fix: two\nlines of it")
    body = Library().load("commit-body").output.regex
    assert body is not None and re.fullmatch(body, "- " + "a" * 70)
    assert not re.fullmatch(body, "- " + "a" * 71)


def test_small_diff_is_sent_whole_without_lock_files(tmp_path: Path) -> None:
    toolbox, engine = make_toolbox(tmp_path, "fix(mail): wait 30 seconds")
    result = toolbox.commit_message(DIFF)
    assert result.text == "fix(mail): wait 30 seconds"
    (prompt,) = engine.prompts
    request = prompt.rpartition("Write a commit message")[2]
    assert "+timeout = 30" in request and "(a lock file: 1 lines added, 1 removed)" in request
    assert "+b\n" not in request


def test_prompt_of_a_large_diff_is_limited(tmp_path: Path) -> None:
    added = "".join(f"+line {i} of a long file\n" for i in range(20_000))
    large = f"--- /dev/null\n+++ b/data.py\n@@ -0,0 +1,20000 @@\n{added}"
    small = "".join(f"--- a/f{i}.py\n+++ b/f{i}.py\n@@ -1 +1 @@\n-x{i}\n+y{i}\n" for i in range(3))
    toolbox, engine = make_toolbox(tmp_path, "feat: add data", n_ctx=100_000)
    result = toolbox.commit_message(large + small + DIFF)
    (prompt,) = engine.prompts
    assert result.usage.prompt_tokens <= MAX_PROMPT_TOKENS
    for shown in ("data.py: 20000 lines added", "+line 5 of", "+y0", "+y1", "+y2", "+retries = 0"):
        assert shown in prompt
    assert "uv.lock: 1 lines added, 1 removed; a lock file" in prompt and "\n-a\n+b" not in prompt
    assert any(re.match(r"the diff is long; the model read \d+ of", w) for w in result.warnings)


def test_thousands_of_files_are_counted(tmp_path: Path) -> None:
    many = "".join(
        f"--- a/dir{i}/lib.lock\n+++ b/dir{i}/lib.lock\n@@ -1 +1 @@\n-x\n+y\n" for i in range(3000)
    )
    toolbox, engine = make_toolbox(tmp_path, "build: update all", n_ctx=100_000)
    assert toolbox.commit_message(many).usage.prompt_tokens <= MAX_PROMPT_TOKENS
    assert "and 2,970 more files" in engine.prompts[0]


def test_body_follows_a_blank_line(tmp_path: Path) -> None:
    toolbox, engine = make_toolbox(tmp_path, ["fix: wait longer", "- waits for 30 seconds"])
    result = toolbox.commit_message(DIFF, body=True)
    assert result.text == "fix: wait longer\n\n- waits for 30 seconds"
    assert '"fix: wait longer"' in engine.prompts[1]


def test_changed_mode_is_in_the_prompt(tmp_path: Path) -> None:
    toolbox, engine = make_toolbox(tmp_path, "chore: make it run")
    toolbox.commit_message("diff --git a/o.sh b/o.sh\nold mode 100644\nnew mode 100755\n")
    assert "old mode 100644\nnew mode 100755\n" in engine.prompts[0]


def test_rename_is_in_the_prompt(tmp_path: Path) -> None:
    toolbox, engine = make_toolbox(tmp_path, "refactor: rename a file")
    toolbox.commit_message("diff --git a/o.py b/n.py\nrename from o.py\nrename to n.py\n")
    assert "rename from o.py\nrename to n.py" in engine.prompts[0]


@pytest.mark.parametrize(
    ("text", "limit", "whole"),
    [
        ("fix: a bc de", 12, "fix: a bc"),
        ("fix: a bc de", 13, "fix: a bc de"),
        ("abcdef", 3, "abcdef"),
    ],
)
def test_partial_last_word_is_dropped(text: str, limit: int, whole: str) -> None:
    assert drop_partial_words(text, limit) == whole


# asyncio

TASKS: dict[str, tuple[str | list[str], tuple[str, ...], dict[str, Any]]] = {
    "explain_code": ("Sets x to y.", ("x = y or 0",), {"max_tokens": 30, "seed": 7}),
    "review_code": (findings((2, "error", "never sent again")), (DIFF,), {"seed": 7}),
    "fix_code": (
        "def f(x):\n    return x",
        ("def f(x)\n    return x\n", "it does not parse"),
        {"file": "f.py", "language": "py", "seed": 7},
    ),
    "write_tests": (
        "def test_half():\n    assert half(4) == 2",
        ("def half(n): return n / 2",),
        {"framework": "unittest", "language": "py", "seed": 7},
    ),
    "complete_code": (
        "a + b",
        ("def add(a, b):\n    return ", "\n"),
        {"language": "py", "max_tokens": 20, "seed": 7},
    ),
    "commit_message": (
        ["fix(mail): wait 30 seconds", "- wait longer\n- do not try again"],
        (DIFF,),
        {"body": True, "seed": 7},
    ),
}


def without_times(value: Any) -> Any:
    if isinstance(value, dict):
        time_fields = ("timing", "timings", "seconds")
        return {
            name: without_times(each) for name, each in value.items() if name not in time_fields
        }
    return [*map(without_times, value)] if isinstance(value, (list, tuple)) else value


@pytest.mark.parametrize("task", TASKS)
def test_async_task_returns_the_same_result(tmp_path: Path, task: str) -> None:
    reply, args, options = TASKS[task]
    toolbox, engine = make_toolbox(tmp_path, reply)
    expected = getattr(toolbox, task)(*args, **options)
    async_toolbox, async_engine = make_toolbox(tmp_path, reply)
    result = asyncio.run(getattr(async_toolbox, f"a{task}")(*args, **options))
    assert type(result) is type(expected) and str(result) == str(expected)
    fields = without_times(msgspec.to_builtins(result))
    assert fields and fields == without_times(msgspec.to_builtins(expected))
    assert async_engine.prompts == engine.prompts != []


def test_async_task_has_the_same_parameters() -> None:
    for task in TASKS:
        sync = signature(getattr(Toolbox, task)).parameters
        assert signature(getattr(Toolbox, f"a{task}")).parameters == sync
