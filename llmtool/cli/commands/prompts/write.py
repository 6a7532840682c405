"""`llmtool prompts new` and `import`: create templates."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from llmtool.cli.framework.app_factory import App
from llmtool.cli.options import groups as g
from llmtool.cli.terminal.console import Console

if TYPE_CHECKING:
    from llmtool.config import Folders
    from llmtool.prompts.library import Library

Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the file if it exists.")]


TaskName = Literal["gen", "sum", "classify", "translate", "code", "chat"]
ForeignFormat = Literal["llm", "fabric", "prompty"]


def register(app: App) -> None:
    """Add `new` and `import` to a command group."""
    app.add(
        "new",
        epilog="""Examples:

\b
  llmtool prompts new letter
  llmtool prompts new mood --from sentiment
  "$EDITOR" "$(llmtool prompts new triage --task classify)\"""",
    )(new)
    app.add(
        "import",
        epilog="""Examples:

\b
  llmtool prompts import summarize.yaml
  llmtool prompts import ~/.config/fabric/patterns/extract_wisdom
  llmtool prompts import chat.prompty -o -""",
    )(import_)


def new(
    console: Console,
    *,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the new template.")],
    parent: Annotated[
        str | None,
        typer.Option(
            "--from", metavar="NAME", help="Extend this template (may have the same name)."
        ),
    ] = None,
    task: Annotated[TaskName, typer.Option("--task", help="Task of the template.")] = "gen",
    overwrite: Overwrite = False,
    general: g.GeneralOptions,
) -> None:
    """Create a template in your folder and print its path."""
    from llmtool.cli import bootstrap
    from llmtool.prompts.starting import starting_text

    folders, _ = bootstrap.start(console, general)
    path = new_path(folders, name, overwrite=overwrite)
    library = bootstrap.open_library(folders)
    parent_template = None if parent is None else library.load(parent)
    write_template(
        path, starting_text(name, task=task, parent=parent_template), overwrite=overwrite
    )
    console.stdout.write(f"{path}\n")
    if parent != name:
        _note_overridden(console, library, path)
    console.note(
        f"run it with `llmtool run {name}`; check changes with `llmtool prompts lint {name}`"
    )


def import_(
    console: Console,
    *,
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="File, or fabric pattern folder; - is stdin.")
    ],
    name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="Name of the new template.")
    ] = None,
    format: Annotated[
        ForeignFormat | None,
        typer.Option("--format", help="Format of FILE.", show_default="detected"),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", metavar="FILE", help="Write to FILE; - is stdout."),
    ] = None,
    overwrite: Overwrite = False,
    general: g.GeneralOptions,
) -> None:
    """Import a template from llm, fabric or prompty, and print the path of the new file.

    Features that cannot be converted are reported on standard error.
    """
    from llmtool.cli import bootstrap
    from llmtool.prompts.foreign import convert

    folders, _ = bootstrap.start(console, general)
    text, user, source = _read(console, file)
    made = convert(text, source=source, user=user, name=name, format=format)
    if format is None:
        read = source if file == "-" else file
        console.note(f"reading {read} in the {made.format} format")
    for each in made.notes:
        console.note(" ".join(each.split()))
    if output == "-":
        console.stdout.write(made.text())
        return
    path = (
        new_path(folders, str(made.values["name"]), overwrite=overwrite)
        if output is None
        else Path(output)
    )
    write_template(path, made.text(), overwrite=overwrite)
    console.stdout.write(f"{path}\n")
    if output is None:
        _note_overridden(console, bootstrap.open_library(folders), path)


def _note_overridden(console: Console, library: Library, path: Path) -> None:
    overridden = library.overridden_by(path)
    if overridden is not None:
        other = (
            "the built-in template of that name" if library.is_built_in(overridden) else overridden
        )
        console.note(f"{path.stem!r} now overrides {other}")


def _read(console: Console, file: str) -> tuple[str, str, str]:
    """Return the text of a file or pattern, the text of a pattern's `user.md`, and its path."""
    from llmtool.cli.terminal import inputs
    from llmtool.errors import InputError
    from llmtool.prompts.library import read_text

    if file == "-":
        return inputs.read_stdin(console), "", "standard input"
    path, user = Path(file), ""
    if os.path.isdir(path):
        path = path / "system.md"
        if not os.path.isfile(path):
            raise InputError(f"{file} has no system.md; pass a fabric pattern folder")
    if not os.path.exists(path):
        raise InputError(f"{file}: no such file")
    if not os.path.isfile(path):
        raise InputError(f"{file} is not a regular file; pipe it in, with - as the name")
    if path.name == "system.md" and path.with_name("user.md").is_file():
        user = read_text(path.with_name("user.md"))
    return read_text(path), user, str(path.resolve() if path.name == "system.md" else path)


def new_path(folders: Folders, name: str, *, overwrite: bool) -> Path:
    """Return the path of a new user template, in the first writable folder."""
    check_name(name)
    folder = next(filter(_is_writable, folders.prompt_folders), folders.prompts)
    path = folder / f"{name}.yaml"
    check_not_existing(path, overwrite=overwrite)
    check_not_existing(path.with_suffix(".yml"), overwrite=False)
    return path


def check_name(name: str) -> None:
    """Check the name of a new template."""
    from llmtool.errors import UsageError
    from llmtool.prompts.raw_template import NAME, NAME_RULE

    if not re.fullmatch(NAME, name):
        raise UsageError(f"{name!r} is not a valid template name: {NAME_RULE}")


def _is_writable(folder: Path) -> bool:
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder.is_dir() and os.access(folder, os.W_OK)


def check_not_existing(path: Path, *, overwrite: bool) -> None:
    """Check that a new template does not replace a file, without `overwrite`."""
    from llmtool.errors import UsageError

    if path.exists() and not overwrite:
        raise UsageError(f"{path} already exists; use --overwrite to replace it")


def write_template(path: Path, text: str, *, overwrite: bool) -> None:
    """Write the file of a template.

    Raises:
        UsageError: it exists, without `overwrite`.
        OutputError: it cannot be written.
    """
    from llmtool.files import write_atomically

    check_not_existing(path, overwrite=overwrite)
    write_atomically(path, text.encode(), replace=overwrite)
