"""`llmtool logs`: show the logged replies of `gen` and `run`."""

from __future__ import annotations

from typing import Annotated

import typer

from llmtool.cli.framework.app_factory import App
from llmtool.cli.options import groups as g
from llmtool.cli.terminal.console import Console
from llmtool.errors import UsageError

app = App()
# Subcommands of `llm logs`.
_INSTEAD = {
    "list": "use `llmtool logs`",
    "off": "use `llmtool config set log false`",
    "on": "use `llmtool config set log true`",
    "path": "use `llmtool sessions ls --json`",
    "status": "use `llmtool config show`",
}


@app.add(
    "logs",
    epilog="""Examples:

\b
  llmtool logs
  llmtool logs -n 20 regex groups
  llmtool logs -n 1 --json | jq -r .[0].text""",
)
def logs(
    console: Console,
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[WORDS]...",
            help="Show only exchanges with these words; put a phrase in double quotes.",
        ),
    ] = None,
    *,
    count: Annotated[
        int, typer.Option("--count", "-n", min=0, metavar="N", help="Maximum number; 0 is all.")
    ] = 3,
    json: g.Json = False,
    no_pager: g.NoPager = False,
    general: g.GeneralOptions,
) -> None:
    """Show the last prompts and replies of gen and run.

    The last one comes last; `llmtool gen -c` continues it. `llmtool config set log false` turns the
    log off, and `llmtool sessions rm log-YYYY-MM` removes that of a month.
    """
    from llmtool.cli import bootstrap, reply_log
    from llmtool.cli.render import sessions as render
    from llmtool.cli.terminal import inputs
    from llmtool.cli.terminal.pager import paged
    from llmtool.sessions.log import find_turns

    given = words or []
    if len(given) == 1 and given[0] in _INSTEAD:
        quoted = f"'\"{given[0]}\"'"
        raise UsageError(f"logs {given[0]}: {_INSTEAD[given[0]]}; to search, quote it: {quoted}")
    query = " ".join(inputs.read_argument(word, name="WORDS") for word in given)
    folders, settings = bootstrap.start(console, general)
    sessions = reply_log.open_sessions(folders)
    turns = find_turns(sessions, query, limit=count, on_report=console.note)
    if json:
        console.stdout.write_json([turn.to_dict() for turn in turns])
    else:
        with paged(console, disabled=no_pager):
            render.exchanges(console, turns)
    if not turns:
        off = "" if settings.log else "; `llmtool config set log true` turns the log on"
        console.note(f"{'no matches in the log' if query else 'the log is empty'}{off}")
