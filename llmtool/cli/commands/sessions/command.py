"""`llmtool sessions`: manage saved conversations."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from llmtool.cli.framework.app_factory import App
from llmtool.cli.options import groups as g
from llmtool.cli.terminal.console import Console

if TYPE_CHECKING:
    from llmtool.sessions.store import Sessions

app = App(
    "List, show, search, export and remove saved conversations.",
    epilog="Example: llmtool sessions ls --here",
)


Format = Literal["md", "json", "html"]
Name = Annotated[
    str, typer.Argument(metavar="NAME", help="Session name (see `llmtool sessions ls`).")
]


def _open(console: Console, general: g.GeneralOptions) -> tuple[Sessions, Path]:
    """Return the user's sessions and the path of their search index."""
    from llmtool.cli import bootstrap
    from llmtool.sessions.store import INDEX_NAME, Sessions

    folders, _ = bootstrap.start(console, general)
    return Sessions(folders.data / "sessions"), folders.cache / INDEX_NAME


@app.add("ls", epilog="Example: llmtool sessions ls --here")
def ls(
    console: Console,
    *,
    here: Annotated[
        bool, typer.Option("--here", help="List only sessions started in this directory.")
    ] = False,
    json: g.Json = False,
    general: g.GeneralOptions,
) -> None:
    """List sessions with their first messages, most recently used first."""
    from llmtool.cli.render import sessions as render

    sessions, _ = _open(console, general)
    entries = render.entries(console, sessions, sessions.names(), here=here)
    if json:
        console.stdout.write_json(entries)
        return
    render.sessions_table(console, entries)
    if not entries:
        console.note("no sessions in this directory" if here else "no sessions")


@app.add("show", epilog="Example: llmtool sessions show work")
def show(
    console: Console,
    *,
    name: Name,
    json: g.Json = False,
    no_pager: g.NoPager = False,
    general: g.GeneralOptions,
) -> None:
    """Show the messages and replies of a session.

    On a terminal, replies are rendered as Markdown, and a long conversation opens in $PAGER.
    """
    from llmtool.cli.render import sessions as render
    from llmtool.cli.terminal.pager import paged
    from llmtool.sessions.export import to_dict

    sessions, _ = _open(console, general)
    shown, report = sessions.recover(name)
    if report:
        console.note(report)
    if json:
        console.stdout.write_json(to_dict(shown))
    else:
        with paged(console, disabled=no_pager):
            render.conversation(console, shown)


@app.add("rm", epilog="Example: llmtool sessions rm work --dry-run")
def rm(
    console: Console,
    *,
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Sessions to remove.")],
    dry_run: g.DryRemoval = False,
    json: g.Json = False,
    general: g.GeneralOptions,
) -> None:
    """Remove sessions; exit 18 and remove none if one is in use."""

    sessions, index = _open(console, general)
    removed = sessions.remove_all(names, dry_run=dry_run)
    if not dry_run and index.exists():
        from llmtool.sessions.search import remove_index

        remove_index(index)  # it contains their text
    if json:
        console.stdout.write_json(removed)
        return
    verb = "would remove" if dry_run else "removed"
    console.note(f"{verb} {', '.join(removed)}")


@app.add(
    "export",
    epilog="""Examples:

\b
  llmtool sessions export work > work.md
  llmtool sessions export work -o work.html""",
)
def export(
    console: Console,
    *,
    name: Name,
    to_file: g.OutputFile = None,
    overwrite: g.Overwrite = False,
    format: Annotated[
        Format | None,
        typer.Option(
            "--format", help="Export format.", show_default="from the extension of FILE, else md"
        ),
    ] = None,
    general: g.GeneralOptions,
) -> None:
    """Export a session as Markdown, JSON or a self-contained HTML page."""
    from llmtool.cli.render import sessions as render
    from llmtool.cli.terminal.output_file import check, open_sink
    from llmtool.sessions import export as exporting

    chosen = render.choose_format(to_file, format)
    sessions, _ = _open(console, general)
    session, report = sessions.recover(name)
    if report:
        console.note(report)
    text = exporting.export(session, chosen)
    check(console, to_file, reads=[str(sessions.path(name))], overwrite=overwrite)
    with open_sink(console, to_file) as sink:
        sink.write(text)


@app.add(
    "search",
    epilog="""Examples:

\b
  llmtool sessions search regex groups
  llmtool sessions search '"exactly these words"' --json""",
)
def search(
    console: Console,
    *,
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="WORDS...", help="Words to search for; put a phrase in double quotes."
        ),
    ],
    limit: Annotated[
        int, typer.Option("--limit", min=1, metavar="N", help="Maximum number of hits.")
    ] = 20,
    json: g.Json = False,
    general: g.GeneralOptions,
) -> None:
    """Search the messages, replies and attached files of all sessions.

    A text matches if it contains all words, in any order. Case and accents are ignored.
    """
    from llmtool.cli.render import sessions as render
    from llmtool.cli.terminal import inputs
    from llmtool.sessions import search as searching

    query = " ".join(inputs.read_argument(word, name="WORDS") for word in words)
    sessions, index = _open(console, general)
    found = searching.search(sessions, query, index=index, limit=limit)
    for warning in found.warnings:
        console.note(warning)
    render.hits(console, found, as_json=json)
