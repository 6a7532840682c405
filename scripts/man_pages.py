"""Generate the man pages from the commands when the wheel is built.

    .venv/bin/python scripts/man_pages.py build/man     # then: man build/man/llmtool.1

Requires only the packages in `build-system.requires`.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, NamedTuple

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # llmtool is not installed in a build environment

import typer  # noqa: E402

from llmtool._version import __version__  # noqa: E402
from llmtool.cli.app import COMMANDS, app, load_command  # noqa: E402
from llmtool.cli.framework.default_group import DefaultGroup  # noqa: E402
from llmtool.cli.framework.help import SECTIONS, help_record, section_of  # noqa: E402
from llmtool.config import TABLES, Settings  # noqa: E402


class ManPagesHook(BuildHookInterface):
    """Adds the man pages to the wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        self._folder = Path(mkdtemp(prefix="llmtool-man-"))
        for path in write_pages(self._folder):
            build_data["shared_data"][str(path)] = f"share/man/man1/{path.name}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        shutil.rmtree(self._folder)


def write_pages(folder: Path) -> list[Path]:
    """Write every man page into a folder and return their paths."""
    commands = all_commands()
    paths = []
    for command in commands:
        path = folder / f"{command.name.replace(' ', '-')}.1"
        path.write_text(man_page(command, commands), encoding="utf-8")
        paths.append(path)
    return paths


class Command(NamedTuple):
    """A command with its full name; `of` is its Typer object."""

    name: str
    of: Any
    children: tuple[Command, ...] = ()

    @property
    def paragraphs(self) -> list[str]:
        return [" ".join(part.split()) for part in (self.of.help or "").split("\n\n")]

    @property
    def context(self) -> Any:
        return typer.Context(self.of, info_name=self.name, **self.of.context_settings)

    @property
    def examples(self) -> list[str]:
        lines = (self.of.epilog or "").replace("\b", "").splitlines()
        lines[0] = lines[0].removeprefix("Examples:").removeprefix("Example:")
        return [line.strip() for line in lines if line.strip()]


def all_commands() -> tuple[Command, ...]:
    """Return the root command and all commands, with their subcommands."""
    root = Command("llmtool", typer.main.get_command(app))
    return (root, *(_with_children(f"llmtool {name}", load_command(name)) for name in COMMANDS))


def _with_children(name: str, found: Any) -> Command:
    if isinstance(found, DefaultGroup):  # documented as its default command
        others = found.list_commands(typer.Context(found))
        children = {each: found.commands[each] for each in others}
        found = found.default
    else:
        children = getattr(found, "commands", {})
    return Command(name, found, tuple(Command(f"{name} {c}", of) for c, of in children.items()))


def man_page(command: Command, commands: tuple[Command, ...]) -> str:
    """Return a man page (troff, man macros)."""
    page = command.name.replace(" ", "-")
    lines = [
        f'.TH {page.upper()} 1 "" "llmtool {__version__}" "llmtool"',
        ".SH NAME",
        f"{_troff(page)} \\- {_troff(_lower(command.paragraphs[0].rstrip('.')))}",
        ".SH SYNOPSIS",
        *_synopsis(command),
        *(line for child in command.children for line in (".br", *_synopsis(child))),
        ".SH DESCRIPTION",
        *_paragraphs(command.paragraphs),
    ]
    if command.of.name is None or command is commands[0]:
        lines += [".SH COMMANDS", *_terms(COMMANDS.items())]
    lines += _parameters(command, ".SH")
    for child in command.children:
        lines += [f'.SH "{_troff(child.name.removeprefix("llmtool ").upper())}"']
        lines += [*_paragraphs(child.paragraphs), *_parameters(child, ".SS"), *_examples(child)]
    lines += _examples(command)
    if command is commands[0]:
        lines += _root_sections(commands)
    else:
        lines += [".SH SEE ALSO", r"\fBllmtool\fR(1), for exit codes and environment variables"]
    return "\n".join(lines) + "\n"


def _root_sections(commands: tuple[Command, ...]) -> list[str]:
    fields = [name for name in Settings.__struct_fields__ if name not in TABLES]
    variables = [
        (f"LLMTOOL_{name.upper()}", f"Overrides {name} in config.toml.") for name in fields
    ] + [
        ("LLMTOOL_PROMPTS", "Template folders, searched before the configuration folder."),
        ("LLMTOOL_CONFIG_DIR, LLMTOOL_DATA_DIR, LLMTOOL_CACHE_DIR", "The folders below."),
        ("LLMTOOL_RUNTIME_DIR", "The folder for the sockets of servers."),
        ("LLMTOOL_API_KEY", "The key of the server of --base-url."),
        ("OPENAI_API_KEY, OPENAI_BASE_URL", "The key and URL of models of openai:."),
        ("HF_TOKEN, HF_ENDPOINT, HF_HOME, HF_HUB_CACHE, HF_HUB_OFFLINE", "As in huggingface_hub."),
        ("HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY", "Proxies for downloads, also SOCKS."),
        ("SSL_CERT_FILE, SSL_CERT_DIR", "Certificates to trust."),
        ("NO_COLOR, FORCE_COLOR, CLICOLOR, TERM", "Use of colours, unless --color is set."),
        ("VISUAL, EDITOR", "The editor of chat."),
    ]
    pages = [f"\\fB{each.name.replace(' ', '-')}\\fR(1)" for each in commands[1:]]
    return [
        ".SH EXIT STATUS",
        *_terms(exit_codes()),
        ".SH ENVIRONMENT",
        *_terms(variables),
        ".SH FILES",
        "\\fBllmtool doctor\\fR prints the folders: configuration (config.toml, prompts/), data",
        "(sessions, imported models) and cache (cached prompts and replies).",
        ".SH SEE ALSO",
        ",\n".join(pages),
    ]


def exit_codes() -> list[tuple[str, str]]:
    """Return the rows of the table in docs/exit-codes.md."""
    page = (ROOT / "docs" / "exit-codes.md").read_text(encoding="utf-8")
    table = page.partition("| code | meaning |\n|---|---|\n")[2].partition("\n\n")[0]
    rows = [line.strip("| ").split(" | ") for line in table.splitlines()]
    return [(code, meaning.replace("`", "")) for code, meaning in rows]


def _synopsis(command: Command) -> list[str]:
    words = command.of.collect_usage_pieces(command.context)
    return [f"\\fB{_troff(command.name)}\\fR {_troff(' '.join(words))}"]


def _parameters(command: Command, macro: str) -> list[str]:
    context = command.context
    params = command.of.get_params(context)
    lines: list[str] = []
    for section in SECTIONS:
        records = [help_record(p, context) for p in params if section_of(p) == section]
        title = section if section in ("Arguments", "Options") else f"{section} options"
        if any(records):
            lines += [f"{macro} {title.upper()}", *_terms(filter(None, records))]
    return lines


def _examples(command: Command) -> list[str]:
    return [".SH EXAMPLES" if not command.name.count(" ") > 1 else ".SS EXAMPLES", ".EX",
            *(_troff(line) for line in command.examples), ".EE"]  # fmt: skip


def _terms(pairs: Any) -> list[str]:
    return [line for term, text in pairs
            for line in (".TP", f"\\fB{_troff(term)}\\fR", _troff(text) or "\\&")]  # fmt: skip


def _paragraphs(paragraphs: list[str]) -> list[str]:
    return [line for text in paragraphs for line in (".PP", _troff(text))]


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]


def _troff(text: str) -> str:
    """Return text escaped for troff."""
    text = " ".join(text.split()) if "\n" in text else text
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq").replace("^", "\\(ha")
    text = text.replace("~", "\\(ti").replace("`", "\\(ga").replace("…", "\\[u2026]")
    return "\\&" + text if text.startswith((".", "'")) else text


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    write_pages(folder)


if __name__ == "__main__":
    main()
