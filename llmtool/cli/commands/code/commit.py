"""`llmtool code commit`: the message of the staged changes, or a git hook that writes it."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Annotated

import typer

from llmtool.cli.commands.code.review import report_skipped
from llmtool.cli.options import groups as g
from llmtool.cli.terminal.console import Console
from llmtool.errors import UsageError
from llmtool.tasks.options import CommitOptions, ReplyOptions, generate_options, keywords_of

_HOOK = """\
#!/bin/sh
# Save as .git/hooks/prepare-commit-msg and make it executable (chmod +x).
# Fills an empty commit message with one from a local model. Git passes the message file and the
# source of the message; messages that already have text are unchanged.
case "$2" in "" | template) ;; *) exit 0 ;; esac
message=$(llmtool code commit --quiet{options}) || exit 0
{{ printf '%s\\n' "$message"; cat "$1"; }} > "$1.llmtool" && mv "$1.llmtool" "$1"
"""


def commit(
    console: Console,
    *,
    body: Annotated[
        bool, typer.Option("--body", help="Add a body with a list of changes.")
    ] = False,
    hook: Annotated[
        bool, typer.Option("--hook", help="Print a prepare-commit-msg hook, then exit.")
    ] = False,
    options: ReplyOptions = ReplyOptions(template=CommitOptions().template),
    output: g.ReportOptions,
    model: g.ModelOptions,
    general: g.GeneralOptions,
) -> None:
    """Write a commit message for the staged changes.

    Its first line is 'type(scope): subject', at most 72 characters long.
    """
    from llmtool.cli import bootstrap
    from llmtool.cli.terminal.output_file import check, open_sink
    from llmtool.tasks.code import git
    from llmtool.tasks.code.subtasks import commit_message

    folders, settings = bootstrap.start(console, general, offline=model.offline)
    own = model.reference if hook else None  # with a hook, `open_model` does not check it
    template = bootstrap.open_library(folders).load(options.template)
    check(output.path, reads=bootstrap.input_files(template, own))
    if hook:
        if output.json or output.stats:
            raise UsageError("--hook cannot be combined with --json or --stats; omit one of them")
        arguments = map(shlex.quote, hook_arguments(options, model, body=body))
        with open_sink(console, output.path) as sink:
            sink.write(_HOOK.format(options="".join(f" {argument}" for argument in arguments)))
        if output.path and os.path.isfile(output.path):
            path = Path(output.path)
            path.chmod(path.stat().st_mode | 0o111)  # git ignores other hooks
        return
    diff = git.staged_diff()
    context = bootstrap.open_context(console, folders, settings, model, output.path)
    result = commit_message(context, diff, generate_options(options, template=template), body=body)
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


def hook_arguments(options: ReplyOptions, model: g.ModelOptions, *, body: bool) -> list[str]:
    """Return the arguments that give a hook, which runs in another directory, the same options."""
    found = ["-m", _absolute_path(model.reference)] if model.reference else []
    found += ["--body"] * body + ["--offline"] * model.offline + ["--no-cache"] * model.no_cache
    if isinstance(options.template, str) and options.template != CommitOptions().template:
        found += ["-t", _absolute_path(options.template)]
    if options.thinking is not None:
        found.append("--think" if options.thinking else "--no-think")
    values = {
        **keywords_of(options.sampling),
        "system": options.system,
        "param": [f"{name}={value}" for name, value in options.variables.items()],
        "ctx_size": model.ctx_size,
        "threads": model.threads,
        "n_gpu_layers": model.n_gpu_layers,
        "parallel": model.parallel,
        "kv_type": None if model.kv_type == g.ModelOptions().kv_type else model.kv_type,
    }
    for name, value in values.items():
        given = value if isinstance(value, (list, tuple)) else [value]
        found += [f"--{name.replace('_', '-')}={each}" for each in given if each is not None]
    return found


def _absolute_path(name: str) -> str:
    return os.path.abspath(name) if os.path.isfile(name) else name
