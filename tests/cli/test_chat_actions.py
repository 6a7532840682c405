"""`chat` never runs programs from the current folder, even if PATH contains it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from llmtool.cli.commands.chat.actions import copy_to_clipboard, edit_text
from llmtool.cli.terminal.console import Console
from llmtool.errors import UsageError

pytestmark = pytest.mark.skipif(os.name != "posix", reason="programs without an ending")
CLIPBOARD = "#!/bin/sh\n/bin/cat > ran.txt\n"
EDITOR = '#!/bin/sh\necho ran > ran.txt\necho new > "$1"\n'
PROGRAMS = {
    **dict.fromkeys(("pbcopy", "wl-copy", "xclip", "xsel", "clip.exe"), CLIPBOARD),
    **dict.fromkeys(("nano", "vi", "ed2"), EDITOR),
}
HERE = [".", "", f"{os.pathsep}.", f".{os.pathsep}/no/such/place"]


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Fill the current folder with programs of these names; each creates a file when run."""
    folder = tmp_path / "programs"
    folder.mkdir()
    for name, script in PROGRAMS.items():
        (folder / name).write_text(script)
        (folder / name).chmod(0o755)
    monkeypatch.chdir(folder)
    for name in ("VISUAL", "EDITOR"):
        monkeypatch.delenv(name, raising=False)
    return folder


@pytest.mark.parametrize("places", HERE, ids=["dot", "empty", "empty and dot", "dot first"])
def test_programs_in_the_current_folder_do_not_run(
    programs: Path, monkeypatch: pytest.MonkeyPatch, console: Console, places: str
) -> None:
    monkeypatch.setenv("PATH", places)
    with pytest.raises(UsageError, match="no clipboard"):
        copy_to_clipboard(console, "a secret")
    with pytest.raises(UsageError, match="set EDITOR"):
        edit_text(console, "a text")
    monkeypatch.setenv("EDITOR", "ed2 --wait")
    with pytest.raises(UsageError, match="editor 'ed2' not found on PATH; check EDITOR"):
        edit_text(console, "a text")
    assert not (programs / "ran.txt").exists()


@pytest.mark.parametrize("variable", ["VISUAL", "EDITOR"])
def test_editor_with_an_unclosed_quote_is_a_usage_error(
    programs: Path, monkeypatch: pytest.MonkeyPatch, console: Console, variable: str
) -> None:
    monkeypatch.setenv(variable, "ed2 'a")
    with pytest.raises(UsageError, match=f'{variable} "ed2 \'a": no closing quot'):
        edit_text(console, "a text")


def test_program_with_an_absolute_path_runs(
    programs: Path, monkeypatch: pytest.MonkeyPatch, console: Console
) -> None:
    monkeypatch.setenv("PATH", f".{os.pathsep}{programs}")
    (programs / "pbcopy").write_text("#!/bin/sh\nexit 1\n")  # fails, so the next program is used
    assert copy_to_clipboard(console, "a word") == "copied 6 characters"
    assert (programs / "ran.txt").read_text() == "a word"
    for editor in (None, "ed2", f"'{programs}/ed2'", "./ed2"):
        if editor is not None:
            monkeypatch.setenv("EDITOR", editor)
        assert edit_text(console, "a text") == "new"
