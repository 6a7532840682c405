"""The `llmtool` program: load commands by name, turn errors into exit codes."""

from __future__ import annotations

import errno
import importlib
import os
import signal
import sys
from collections.abc import Sequence
from functools import cache, partial
from typing import Annotated, Any, NoReturn

import typer

from llmtool._version import __version__
from llmtool.cli.framework.app_factory import App, Group
from llmtool.cli.framework.help import use_help_page
from llmtool.cli.options.flags import format_flag
from llmtool.cli.terminal.console import BrokenPipe, Console, ensure_std_fds, to_json
from llmtool.cli.terminal.interrupts import Interrupts
from llmtool.errors import Cancelled, ExitCode, LlmtoolError, os_error_reason
from llmtool.option_names import use_format

# Summaries for --help, which imports no command; a test compares them with the docstrings.
COMMANDS = {
    "gen": "Generate text from a prompt, standard input and files.",
    "run": "Run a prompt template.",
    "prompts": "List, show, create, check, import, test and tune prompt templates.",
    "classify": "Choose the label that fits a text, with scores.",
    "sum": "Summarize files or standard input of any length.",
    "translate": "Translate text or a document, preserving code, links and markup.",
    "code": "Write, explain, review, fix, complete and test code.",
    "chat": "Chat with a model, in a terminal or through a pipe.",
    "batch": "Create, answer, submit and read batch files in OpenAI's format, and merge shards.",
    "logs": "Show the last prompts and replies of gen and run.",
    "sessions": "List, show, search, export and remove saved conversations.",
    "models": "List, inspect, download and remove models.",
    "cache": "List and clear cached prompts.",
    "config": "Show and change settings.",
    "serve": "Serve models and functions over HTTP, for OpenAI's and other clients.",
    "mcp": "Serve functions as tools of the Model Context Protocol, on stdin and stdout.",
    "ps": "List your running servers.",
    "stop": "Stop a running server after its requests have ended.",
    "bench": "Measure the speed of a model on this machine.",
    "doctor": "Check the installation and hardware, and suggest changes.",
    "completions": "Print or install a shell completion script.",
}

# Modules of commands that are not in `commands/<name>.py`.
MODULES = {
    "prompts": "commands.prompts.command",
    "classify": "commands.classify.command",
    "sum": "commands.summarize.command",
    "translate": "commands.translate.command",
    "code": "commands.code.command",
    "chat": "commands.chat.command",
    "sessions": "commands.sessions.command",
    "batch": "commands.batch.command",
    "models": "commands.models.command",
    "bench": "commands.bench.command",
}


_SIGPIPE = getattr(signal, "SIGPIPE", None)


class LazyGroup(Group):
    """Imports a command's module only when the command is called."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        return load_command(cmd_name) if cmd_name in COMMANDS else None

    def parse_args(self, ctx: Any, args: list[str]) -> Any:
        from llmtool.cli.framework.default_command import DEFAULT, complete_arguments

        if args and args[0] not in COMMANDS:
            args = complete_arguments(args, COMMANDS, lambda: load_command(DEFAULT), load_groups)
        return super().parse_args(ctx, args)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        self.commands: Any = COMMANDS  # for suggestions
        return super().resolve_command(ctx, args)

    def summaries(self, ctx: Any) -> list[tuple[str, str]]:
        return list(COMMANDS.items())


@cache
def load_command(name: str) -> Any:
    """Return a command with its subcommands, ready to run."""
    app = importlib.import_module(f"llmtool.cli.{MODULES.get(name, f'commands.{name}')}").app
    return use_help_page(typer.main.get_command(app))


def load_groups() -> dict[str, Any]:
    """Return the commands that have subcommands, by name."""
    loaded = {name: load_command(name) for name in COMMANDS}
    return {name: each for name, each in loaded.items() if hasattr(each, "commands")}


def _print_version(ctx: typer.Context, wanted: bool) -> None:
    if wanted:
        console: Console = ctx.obj
        console.stdout.write(f"llmtool {__version__}\n")
        raise typer.Exit


app = App(
    "Run language models in the shell: one-liners, pipes, batches.\n\n"
    'Text without a command is a prompt for gen: llmtool "Tell me a joke".',
    epilog="Example: git diff | llmtool gen 'Describe this change in one sentence'",
    cls=LazyGroup,
)


@app.callback()
def root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None: ...


def root_command() -> Any:
    """Return the group of all commands."""
    return typer.main.get_command(app)


def main() -> NoReturn:
    """Run the command line, and end the process with its exit code or signal."""
    from llmtool.cli.terminal.signals import end_by_signal

    console = Console(Interrupts(), closed=ensure_std_fds())
    code = run(console, sys.argv[1:])
    if code < 0:
        end_by_signal(console, -code)
    console.flush_quietly()
    # Skip unloading the weights and the interpreter, which only takes time.
    os._exit(code)


def run(console: Console, args: Sequence[str]) -> int:
    """Run a command, and return its exit code or the negative number of the signal that ended it.

    Models that it loaded stay in memory until `console.close()`.
    """
    with use_format(format_flag):
        return _run(console, args)


def _run(console: Console, args: Sequence[str]) -> int:
    debug = "--debug" in args
    if debug:
        _log_to_stderr()
    end = args.index("--") if "--" in args else len(args)
    fail = partial(_fail, console, as_json="--json" in args[:end])
    try:
        command = use_help_page(root_command())
        code = command.main(list(args), prog_name="llmtool", standalone_mode=False, obj=console)
        console.flush()
        return code or 0
    except typer.Exit as exc:
        return exc.exit_code
    except typer.TyperException as exc:  # invalid arguments
        return fail(describe_usage_error(exc, args), exc.exit_code)
    except KeyboardInterrupt:
        return fail(None, _ended_by(signal.SIGINT))
    except (BrokenPipe, SystemExit):  # typer exits if its help text meets a closed pipe
        return _ended_by(_SIGPIPE)
    except LlmtoolError as exc:
        number = exc.reason if isinstance(exc, Cancelled) else None
        number = number or console.interrupts.received
        if number is not None:  # the signal came first
            return fail(None, _ended_by(number))
        error = console.interrupts.expired or exc
        if debug:
            import traceback

            console.say(traceback.format_exc())
        return fail(str(error), error.exit_code)
    except OSError as exc:
        # Only typer, printing help, raises this: other file errors are LlmtoolErrors.
        if exc.errno == errno.EPIPE:
            return _ended_by(_SIGPIPE)
        target = exc.filename or "to standard output"
        return fail(f"cannot write {target}: {os_error_reason(exc)}", ExitCode.ERROR)
    except MemoryError:
        return fail("out of memory; use a smaller --ctx-size or a smaller model", ExitCode.ERROR)
    except Exception as exc:
        if debug:
            raise
        message = f"unexpected {type(exc).__name__}; rerun with --debug for details"
        return fail(message, ExitCode.ERROR)
    finally:
        console.interrupts.stop_timer()


def _fail(console: Console, message: str | None, code: int, *, as_json: bool) -> int:
    """Report an error on stderr, and with `--json` as an object on stdout; return the code.

    No object follows other output. Without a message, a signal ended the command.
    """
    if message is not None:
        console.stdout.break_line()
        console.error(message)
    if as_json:
        text = "stopped by a signal" if message is None else " ".join(message.split())
        number = 128 - code if code < 0 else code
        console.stdout.write_if_unused(to_json({"error": text, "exit_code": int(number)}) + "\n")
    return code


def _ended_by(number: int | None) -> int:
    """Return the result of `run` for a signal; None is a signal that this platform lacks."""
    return ExitCode.ERROR if number is None else -number


def _log_to_stderr() -> None:
    import logging  # takes 7 ms

    logging.basicConfig(format="%(name)s: %(message)s", level=logging.INFO)
    logging.getLogger("llmtool").setLevel(logging.DEBUG)


def describe_usage_error(exc: typer.TyperException, args: Sequence[str]) -> str:
    """Return the error as one line, with the command that shows help."""
    from llmtool.cli.framework.usage_errors import rewrite_usage_error

    context = getattr(exc, "ctx", None)
    if context is not None:
        command = context.command_path
    else:  # an option without its value
        command = " ".join(["llmtool", *[word for word in args[:1] if word in COMMANDS]])
    message = rewrite_usage_error(exc.format_message(), getattr(context, "command", None), args)
    return f"{message} (see '{command} --help')"
