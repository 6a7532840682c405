"""`llmtool code commit`: the message of the staged changes, or a git hook that writes it."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from llmtool.cli.commands.code.review import report_skipped
from llmtool.cli.options import groups as g
from llmtool.cli.terminal.console import Console
from llmtool.errors import InputError, UsageError
from llmtool.tasks.options import CommitOptions, ReplyOptions, generate_options

_HOOK_SECONDS = 60.0
_NOT_IN_HOOK = frozenset("hook install_hook uninstall_hook path timeout offline".split())


def commit(
    console: Console,
    ctx: typer.Context,
    *,
    body: Annotated[
        bool, typer.Option("--body", help="Add a body with a list of changes.")
    ] = False,
    max_lines: Annotated[
        int | None,
        typer.Option("--max-lines", min=1, metavar="N", help="Fail if more lines are changed."),
    ] = None,
    hook: Annotated[
        bool, typer.Option("--hook", help="Print a prepare-commit-msg hook, then exit.")
    ] = False,
    install_hook: Annotated[
        bool, typer.Option("--install-hook", help="Install the hook in this repository.")
    ] = False,
    uninstall_hook: Annotated[
        bool, typer.Option("--uninstall-hook", help="Remove the hook; restore an earlier one.")
    ] = False,
    options: ReplyOptions = ReplyOptions(template=CommitOptions().template),
    output: g.ReportOptions,
    model: g.ModelOptions,
    general: g.GeneralOptions,
) -> None:
    """Write a commit message for the staged changes.

    Its first line is 'type(scope): subject', at most 72 characters long. --install-hook installs a
    git hook that fills empty commit messages with the other options given. An existing hook runs
    first. Its time limit is 60 s unless --timeout sets another.
    """
    from llmtool.cli import bootstrap
    from llmtool.cli.terminal.output_file import check, open_sink
    from llmtool.tasks.code import git
    from llmtool.tasks.code.commit_message import count_changed_lines, write_commit_message
    from llmtool.tasks.code.hook import is_own_hook
    from llmtool.tasks.code.subtasks import prepare_commit

    folders, settings = bootstrap.start(console, general, model)
    chosen = {
        "--hook": hook, "--install-hook": install_hook, "--uninstall-hook": uninstall_hook
    }  # fmt: skip
    modes = [name for name, is_chosen in chosen.items() if is_chosen]
    if len(modes) > 1:
        raise UsageError(f"{modes[0]} and {modes[1]} cannot be combined; use one of them")
    if modes and (output.json or output.stats):
        raise UsageError(f"{modes[0]} cannot be combined with --json or --stats; omit one of them")
    if modes and not hook and output.path:
        raise UsageError(f"{modes[0]} and -o cannot be combined; git determines the file")
    if uninstall_hook:
        remove_hook(console)
        return
    template = bootstrap.open_library(folders).load(options.template)
    own = model.reference if hook else None  # with a hook, `open_model` does not check it
    reads = bootstrap.input_files(template, own)
    if modes:
        # `write_hook` never replaces a hook of another program.
        is_other = output.path is not None and not is_own_hook(Path(output.path))
        check(console, output.path, reads=reads, overwrite=output.overwrite or is_other)
        write_hook(console, hook_arguments(ctx), output.path, install=install_hook)
        return
    output.check(console, reads=reads)
    diff = git.staged_diff()
    if not diff.strip():
        raise InputError("nothing is staged; stage changes with `git add FILE`")
    if max_lines is not None and (n := count_changed_lines(diff)) > max_lines:
        raise InputError(
            f"{n:,} lines are changed, more than --max-lines {max_lines}; raise the limit"
        )
    chosen_options = generate_options(options, template=template)
    context, tasks = bootstrap.open_task(
        console,
        folders,
        settings,
        model,
        lambda context: prepare_commit(context, chosen_options, body=body),
        output.path,
    )
    result = write_commit_message(context.engine, *tasks, diff)
    with open_sink(console, output.path) as sink:
        if output.json:
            sink.write_json(result.to_dict())
        else:
            sink.write(result.text)
            sink.end_line()
    report_skipped(console, result.skipped)
    for warning in result.warnings:
        console.note(warning)
    if output.stats:
        console.note(f"{result.seconds:.3f} s, {result.usage.prompt_tokens} prompt tokens")


def write_hook(
    console: Console, arguments: Sequence[str], path: str | None, *, install: bool
) -> None:
    """Install a hook, or write it to a file or stdout.

    Raises:
        UsageError: the file is another hook.
    """
    from llmtool.cli.terminal.output_file import open_sink
    from llmtool.tasks.code import hook

    script = hook.hook_script(find_program(), arguments)
    if install:
        installed, earlier = hook.install_hook(script)
        console.stdout.write(f"{installed}\n")
        if earlier is not None:
            console.note(f"renamed the existing hook to {earlier}; it runs first")
        return
    if path and os.path.isfile(path) and not hook.is_own_hook(Path(path)):
        raise UsageError(f"{path} already exists; --install-hook preserves the existing hook")
    with open_sink(console, path) as sink:
        sink.write(script)
    if path and os.path.isfile(path):
        Path(path).chmod(os.stat(path).st_mode | 0o111)  # git ignores other hooks


def find_program() -> str:
    """Return the absolute path of the running `llmtool` command, "" if there is none.

    With `python -m llmtool`, it is the command in Python's folder.
    """
    started = Path(sys.argv[0])
    folder = started.parent if started.stem == "llmtool" else Path(sys.executable).parent
    found = shutil.which("llmtool", path=str(folder))
    return os.path.abspath(found) if found else ""


def remove_hook(console: Console) -> None:
    """Remove the installed hook and print its path."""
    from llmtool.tasks.code import hook

    path, is_restored = hook.uninstall_hook()
    console.note(f"{'restored the earlier hook' if is_restored else 'removed'} {path}")


def hook_arguments(ctx: typer.Context) -> list[str]:
    """Return the options given to a command, for a hook, which runs in another folder."""
    timeout = ctx.params["timeout"]
    found = ["--offline", f"--timeout={_HOOK_SECONDS if timeout is None else timeout:g}"]
    for option in ctx.command.params:
        name = option.name or ""
        source = ctx.get_parameter_source(name)
        if name in _NOT_IN_HOOK or source is None or source.name != "COMMANDLINE":
            continue
        value = ctx.params[name]
        if isinstance(value, bool):
            found += (option.opts if value else option.secondary_opts)[:1]
            continue
        is_file = any(word in (option.metavar or "") for word in ("FILE", "PATH", "REF"))
        for each in value if isinstance(value, (list, tuple)) else [value]:
            text = os.path.abspath(each) if is_file and os.path.isfile(each) else each
            found.append(f"{max(option.opts, key=len)}={text}")
    return found
