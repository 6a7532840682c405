"""How help is laid out: whole words in any width, and examples that can be copied."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import typer

_Formatter: Any = typer.Context.formatter_class

_WIDEST = 100  # columns that are used of a terminal
# Patterns in typer's descriptions, and their replacements.
_PLAIN = (
    (r"\[default: \(([^)]*)\)", r"[default: \1"),  # words are in parentheses
    (r"; [\d.<=]*x[<>=\d.]+\]", "]"),  # ranges, which errors report
    (r"  \[[\d.<=]*x[<>=\d.]+\]", ""),
    (r"\.(  \[)", r"\1"),  # a full stop before the default
)
_MARGIN = 2  # of them stay free where there are enough
_NARROWEST = 20
_NAME_COLUMN = 31
_BESIDE = 30  # columns that a description needs to stand beside its name


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
    """Writes a help text for the terminal as wide as it is, which typer does from 52 columns on."""

    def __init__(self, **_: Any) -> None:
        self.columns = max(min(shutil.get_terminal_size().columns, _WIDEST), _NARROWEST)
        super().__init__(width=min(self.columns, _WIDEST - _MARGIN))

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
        col_max: int = _NAME_COLUMN,
        col_spacing: int = 2,
        *,
        name_width: int = 0,
    ) -> None:
        """Write names and their descriptions, those in a column at least that wide."""
        rows = list(rows)
        widest = max(name_width, *(len(name) for name, _ in rows))
        column = min(widest, col_max) + col_spacing
        left = " " * self.current_indent
        is_beside = self.width - self.current_indent - column >= _BESIDE
        for name, text in rows:
            if is_beside and text and len(name) <= column - col_spacing:
                self._fill(text, f"{left}{name:<{column}}", left + " " * column)
                continue
            self._fill(name, left, left + "  ")
            below = left + " " * (column if is_beside else 4)
            self._fill(text, below, below)

    def _fill(self, text: str, first: str, others: str) -> None:
        """Write a paragraph; a word that is longer than a line stays whole."""
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
    """Return the section of help that an argument or option is in; `--help` is in the last."""
    if param.param_type_name == "argument":
        return "Arguments"
    return param.rich_help_panel or ("General" if param.name == "help" else "Options")


def help_record(param: Any, ctx: Any) -> tuple[str, str] | None:
    """Return the names and the description of an argument or option; None if it is hidden."""
    record = param.get_help_record(ctx)
    if record is None:
        return None
    name, text = record
    if param.param_type_name == "argument":
        text = text.removesuffix("  [required]")  # the usage line shows it
    for pattern, replacement in _PLAIN:
        text = re.sub(pattern, replacement, text)
    return name, text


def format_options(command: Any, ctx: Any, formatter: Any) -> None:
    """Write the arguments and options of a command, the options in sections."""
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
    """A call whose help is laid out so."""

    formatter_class = HelpPage


def lay_out(command: Any) -> Any:
    """Return a command of typer, which lays out its help and that of its subcommands so."""
    for each in (command, *getattr(command, "commands", {}).values()):
        each.context_class = HelpContext
    return command


def wrap_command(line: str, columns: int) -> Iterator[str]:
    """Yield a line of shell as lines that are the same command, those after the first indented.

    A break within quotation marks is one of the text; any other has a backslash before it.

    Example:
        >>> list(wrap_command("gen 'Say a word' < in.txt", 14))
        ["gen 'Say a", "    word' \\\\", '    < in.txt']
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
    """Return the quotation mark that is open behind a word, or none."""
    for character in word:
        if quote:
            quote = "" if character == quote else quote
        elif character in "\"'":
            quote = character
    return quote
