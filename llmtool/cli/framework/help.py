"""Layout of help: wraps whole words at any width, and keeps examples valid shell."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import typer

_Formatter: Any = typer.Context.formatter_class

_MAX_COLUMNS = 100
_MIN_COLUMNS = 20
_MARGIN = 2  # columns left free in a terminal of _MAX_COLUMNS or more
_MAX_NAME_COLUMNS = 31
_MIN_TEXT_COLUMNS = 30  # with less, a description goes below its name
# Patterns in Typer's descriptions, and their replacements.
_SIMPLIFICATIONS = (
    (r"\[default: \(([^)]*)\)", r"[default: \1"),  # words are in parentheses
    (r"; [\d.<=]*x[<>=\d.]+\]", "]"),  # ranges, which errors report
    (r"  \[[\d.<=]*x[<>=\d.]+\]", ""),
    (r"\.(  \[)", r"\1"),  # a full stop before the default
)


SECTIONS = (
    "Arguments",
    "Options",
    "Input",
    "Output",
    "Batch",
    "Reply",
    "Sampling",
    "Model",
    "General",
)


class HelpPage(_Formatter):  # type: ignore[misc]
    """Formats help for the width of the terminal; Typer's formatter needs at least 52 columns."""

    def __init__(self, **_: Any) -> None:
        self.columns = max(min(shutil.get_terminal_size().columns, _MAX_COLUMNS), _MIN_COLUMNS)
        super().__init__(width=min(self.columns, _MAX_COLUMNS - _MARGIN))

    def write_usage(self, prog: str, args: str = "", prefix: str | None = None) -> None:
        head = f"{prefix or 'Usage: '}{prog} "
        indent = len(head) if self.width - len(head) >= 20 else 4
        self._fill(head + args, "", " " * indent)

    def write_text(self, text: str) -> None:
        paragraphs = text.split("\n\n")
        for at, paragraph in enumerate(paragraphs):
            if at:
                self.write("\n")
            indent = " " * self.current_indent
            lines = paragraph.strip("\n").splitlines()
            if lines[:1] == ["\b"]:
                self._examples(indent + line for line in lines[1:])
            elif paragraph.startswith("Example: "):
                self._examples([indent + paragraph])
            else:
                self._fill(paragraph, indent, indent)

    def write_dl(
        self,
        rows: Sequence[tuple[str, str]],
        col_max: int = _MAX_NAME_COLUMNS,
        col_spacing: int = 2,
        *,
        name_width: int = 0,
    ) -> None:
        """Write names and descriptions in two columns; `name_width` is the minimum of the first."""
        rows = list(rows)
        longest = max(name_width, *(len(name) for name, _ in rows))
        column = min(longest, col_max) + col_spacing
        left = " " * self.current_indent
        has_two_columns = self.width - self.current_indent - column >= _MIN_TEXT_COLUMNS
        for name, text in rows:
            if has_two_columns and text and len(name) <= column - col_spacing:
                self._fill(text, f"{left}{name:<{column}}", left + " " * column)
                continue
            self._fill(name, left, left + "  ")
            below = left + " " * (column if has_two_columns else 4)
            self._fill(text, below, below)

    def _fill(self, text: str, first: str, others: str) -> None:
        """Write a paragraph; a word longer than a line is not broken."""
        import textwrap

        for line in textwrap.wrap(
            " ".join(text.split()),
            self.width,
            initial_indent=first,
            subsequent_indent=others,
            break_long_words=False,
            break_on_hyphens=False,
        ):
            self.write(f"{line}\n")

    def _examples(self, lines: Iterable[str]) -> None:
        for line in lines:
            for part in wrap_command(line, self.columns):
                self.write(f"{part}\n")


def section_of(param: Any) -> str:
    """Return the help section of an argument or option."""
    if param.param_type_name == "argument":
        return "Arguments"
    return param.rich_help_panel or ("General" if param.name == "help" else "Options")


def help_record(param: Any, ctx: Any) -> tuple[str, str] | None:
    """Return the names and description of an argument or option, or None if it is hidden."""
    record = param.get_help_record(ctx)
    if record is None:
        return None
    name, text = record
    if getattr(param, "is_flag", False) and param.metavar:  # with an optional value
        name = name.replace(param.opts[0], param.opts[0] + param.metavar, 1)
    if param.param_type_name == "argument":
        text = text.removesuffix("  [required]")  # the usage line shows it
    for pattern, replacement in _SIMPLIFICATIONS:
        text = re.sub(pattern, replacement, text)
    return name, text


def format_options(command: Any, ctx: Any, formatter: Any) -> None:
    """Write the arguments and options of a command in sections."""
    sections: dict[str, list[tuple[str, str]]] = {name: [] for name in SECTIONS}
    for param in command.get_params(ctx):
        record = help_record(param, ctx)
        if record is not None:
            sections[section_of(param)].append(record)
    options = [each for name, rows in sections.items() if name != "Arguments" for each in rows]
    width = max(len(name) for name, _ in options)
    for name, rows in sections.items():
        if rows:
            with formatter.section(name):
                formatter.write_dl(rows, name_width=0 if name == "Arguments" else width)


class HelpContext(typer.Context):
    """A Typer context that formats help with `HelpPage`."""

    formatter_class = HelpPage


def use_help_page(command: Any) -> Any:
    """Let a command and its subcommands format their help with `HelpPage`; return the command."""
    for each in (command, *getattr(command, "commands", {}).values()):
        each.context_class = HelpContext
    return command


def wrap_command(line: str, columns: int) -> Iterator[str]:
    """Wrap a line of shell into lines that form the same command; continuations are indented.

    A break inside quotation marks becomes part of the text; any other follows a backslash.

    Example:
        >>> list(wrap_command("gen 'Say a word' < in.txt", 14))
        ["gen 'Say a", "    word' < \\\\", '    in.txt']
    """
    if len(line) <= columns:
        yield line
        return
    indent = " " * (len(line) - len(line.lstrip()))
    first, *rest = line.split()
    part, quote = indent + first, _quote_after(first, "")
    for word in rest:
        if len(part) + 1 + len(word) + len(" \\") > columns:
            yield part if quote else f"{part} \\"
            part = f"{indent}    {word}"
        else:
            part += f" {word}"
        quote = _quote_after(word, quote)
    yield part


def _quote_after(word: str, quote: str) -> str:
    """Return the quotation mark that is open after a word, or an empty string."""
    for character in word:
        if quote:
            quote = "" if character == quote else quote
        elif character in "\"'":
            quote = character
    return quote
