"""`llmtool sessions`: the saved conversations."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from llmtool.cli.framework.app_factory import HELP, new_app
from llmtool.cli.options import groups as g
from llmtool.cli.options import types as o
from llmtool.cli.terminal.console import Console

if TYPE_CHECKING:
    from llmtool.sessions.store import Sessions

app = new_app(
    "List, show, search, export and remove kept conversations.",
    epilog="Example: llmtool sessions ls --here",
)


class Format(Enum):
    md = "md"
    json = "json"
    html = "html"


Name = Annotated[str, typer.Argument(metavar="NAME", help="A session, as `sessions ls` lists it.")]


def _open(console: Console, common: g.CommonGroup) -> tuple[Sessions, Path]:
    """Return the user's sessions, and the file of their search index."""
    from llmtool.cli import bootstrap
    from llmtool.sessions.store import INDEX_NAME, Sessions

    folders, _ = bootstrap.start(console, color=common.color.value, quiet=common.quiet)
    return Sessions(folders.data / "sessions"), folders.cache / INDEX_NAME


@app.command("ls", context_settings=HELP, epilog="Example: llmtool sessions ls --here")
@g.grouped
def ls(
    ctx: typer.Context,
    *,
    here: Annotated[
        bool, typer.Option("--here", help="Only those that were begun in this directory.")
    ] = False,
    json: o.JsonOption = False,
    common: g.CommonGroup,
) -> None:
    """List the sessions, the last used first."""
    from llmtool.cli.commands.sessions import render
    from llmtool.cli.render import tables

    console: Console = ctx.obj
    sessions, _ = _open(console, common)
    entries = render.entries(console, sessions, here=here)
    if json:
        console.stdout.write_json(entries)
        return
    tables.table(
        console,
        ["name", "turns", "model", "last used", "folder"],
        render.rows(entries),
        right=["turns"],
    )
    if not entries:
        console.note("no sessions of this directory" if here else "no sessions")


@app.command("show", context_settings=HELP, epilog="Example: llmtool sessions show work")
@g.grouped
def show(
    ctx: typer.Context,
    *,
    name: Name,
    json: o.JsonOption = False,
    common: g.CommonGroup,
) -> None:
    """Show a session: what was asked, and what was answered."""
    from llmtool.cli.commands.sessions import render
    from llmtool.sessions.export import to_dict

    console: Console = ctx.obj
    sessions, _ = _open(console, common)
    shown = sessions.load(name)
    if json:
        console.stdout.write_json(to_dict(shown))
    else:
        render.conversation(console, shown)


@app.command("rm", context_settings=HELP, epilog="Example: llmtool sessions rm work --dry-run")
@g.grouped
def rm(
    ctx: typer.Context,
    *,
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="The sessions to remove.")],
    dry_run: o.DryRemovalOption = False,
    json: o.JsonOption = False,
    common: g.CommonGroup,
) -> None:
    """Remove sessions, all of them or none; 18 when one is open in another process."""
    console: Console = ctx.obj

    sessions, index = _open(console, common)
    removed = sessions.remove_all(names, dry_run=dry_run)
    if not dry_run and index.exists():
        from llmtool.sessions.search import remove_index

        remove_index(index)  # it contains their text
    if json:
        console.stdout.write_json(removed)
        return
    verb = "would remove" if dry_run else "removed"
    console.note(f"{verb} {', '.join(removed)}")


@app.command(
    "export",
    context_settings=HELP,
    epilog="""Examples:

\b
  llmtool sessions export work > work.md
  llmtool sessions export work -o work.html""",
)
@g.grouped
def export(
    ctx: typer.Context,
    *,
    name: Name,
    to_file: o.OutputOption = None,
    format: Annotated[
        Format | None,
        typer.Option("--format", help="As which; else by the name of FILE, or md."),
    ] = None,
    common: g.CommonGroup,
) -> None:
    """Write a session as Markdown, as JSON, or as a page of HTML that needs nothing else."""
    from llmtool.cli.commands.sessions import render
    from llmtool.cli.terminal.output_file import check, open_sink
    from llmtool.sessions import export as exporting

    console: Console = ctx.obj
    chosen = render.choose_format(to_file, format.value if format else None)
    sessions, _ = _open(console, common)
    text = exporting.export(sessions.load(name), chosen)
    check(to_file, reads=[str(sessions.path(name))])
    with open_sink(console, to_file) as sink:
        sink.write(text)


@app.command(
    "search",
    context_settings=HELP,
    epilog="""Examples:

\b
  llmtool sessions search regex groups
  llmtool sessions search '"exactly these words"' --json""",
)
@g.grouped
def search(
    ctx: typer.Context,
    *,
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="WORDS...", help='What a text must hold; "these words" in quotes are a phrase.'
        ),
    ],
    limit: Annotated[
        int, typer.Option("--limit", min=1, metavar="N", help="Hits that are shown, at most.")
    ] = 20,
    json: o.JsonOption = False,
    common: g.CommonGroup,
) -> None:
    """Find words in all sessions: in what was asked, in replies and in attached files.

    A text is found that holds all of the words, whole, in any order. Case and accents make no
    difference.
    """
    from llmtool.cli.commands.sessions import render
    from llmtool.cli.terminal import inputs
    from llmtool.sessions import search as searching

    console: Console = ctx.obj
    query = " ".join(inputs.read_argument(word, name="WORDS") for word in words)
    sessions, index = _open(console, common)
    found = searching.search(sessions, query, index=index, limit=limit)
    for warning in found.warnings:
        console.note(warning)
    render.hits(console, found, as_json=json)
