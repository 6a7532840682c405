"""Completion scripts for bash, zsh and fish, generated from the commands.

The scripts are static, because a shell that starts Python at every TAB is slow. They complete
names and choices; the shell completes files.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from llmtool.cli.framework.default_group import DEFAULT, DefaultGroup

HEADER = "# llmtool completion for {shell}, made by `llmtool completions {shell}`."


class Flag(NamedTuple):
    """An option: its spellings, its help, and what its value is (None: it has none)."""

    names: tuple[str, ...]
    help: str
    value: str | None
    choices: tuple[str, ...]


class Command(NamedTuple):
    """A command by its words after `llmtool`, its options and what its arguments can be."""

    words: tuple[str, ...]
    help: str
    flags: tuple[Flag, ...]
    choices: tuple[str, ...]
    subcommands: tuple[str, ...]


def script(shell: str, root: Any) -> str:
    """Return the completion script of a shell for the command group `root`."""
    commands = list(walk(root))
    lines = {"bash": _bash, "zsh": _zsh, "fish": _fish}[shell](commands)
    at = 1 if shell == "zsh" else 0  # zsh reads its first line
    lines.insert(at, HEADER.format(shell=shell))
    return "\n".join(lines) + "\n"


def walk(root: Any) -> Iterator[Command]:
    """Yield the command group `root`, its commands and their subcommands."""
    summaries = root.summaries(None)
    yield _describe((), root, tuple(name for name, _ in summaries), "")
    for name, summary in summaries:
        command = root.get_command(None, name)
        children = dict(getattr(command, "commands", {}))
        if isinstance(command, DefaultGroup):
            command = children.pop(DEFAULT)
        yield _describe((name,), command, tuple(children), summary)
        for child, each in children.items():
            yield _describe((name, child), each, (), each.get_short_help_str(200))


def _describe(
    words: tuple[str, ...], command: Any, subcommands: tuple[str, ...], summary: str
) -> Command:
    flags: list[Flag] = []
    choices: tuple[str, ...] = ()
    for param in command.params:
        kind = tuple(str(c) for c in getattr(param.type, "choices", ()) or ())
        if not param.opts[0].startswith("-"):
            choices = kind
            continue
        value = None if param.is_flag else param.metavar or param.type.name.upper()
        help_text = (param.help or "").split(". ")[0].rstrip(".")
        flags.append(Flag((*param.opts, *param.secondary_opts), help_text, value, kind))
    flags.append(Flag(("--help", "-h"), "Show the help and exit", None, ()))
    return Command(words, summary.rstrip("."), tuple(flags), choices, subcommands)


def _bash(commands: list[Command]) -> list[str]:
    lines = [
        "_llmtool() {",
        '    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} command="" word',
        "    COMPREPLY=()",
        '    for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do',
        '        case "$command $word" in',
    ]
    known = [" ".join(c.words) for c in commands if c.words]
    lines += [
        f'            {_quoted(" " + k if " " not in k else k)}) command="{k}" ;;' for k in known
    ]
    lines += ["        esac", "    done", '    case "$command" in']
    for command in commands:
        lines.append(f'        "{" ".join(command.words)}")')
        lines.append('            case "$prev" in')
        for flag in command.flags:
            if flag.choices:
                words = " ".join(flag.choices)
                reply = f"COMPREPLY=($(compgen -W '{words}' -- \"$cur\")); return ;;"
                lines.append(f"                {'|'.join(flag.names)}) {reply}")
            elif flag.value is not None:
                files = "-f" if _is_file(flag.value) else "-W ''"
                lines.append(
                    f"                {'|'.join(flag.names)}) "
                    f'COMPREPLY=($(compgen {files} -- "$cur")); return ;;'
                )
        lines.append("            esac")
        words = " ".join([*command.subcommands, *command.choices])
        names = " ".join(n for flag in command.flags for n in flag.names)
        lines.append(f"            words='{words}'")
        lines.append(f"            options='{names}' ;;")
    lines += [
        "    esac",
        '    if [[ $cur == -* ]]; then COMPREPLY=($(compgen -W "$options" -- "$cur"))',
        '    elif [[ -n $words ]]; then COMPREPLY=($(compgen -W "$words" -- "$cur"))',
        '    else COMPREPLY=($(compgen -f -- "$cur")); fi',
        "}",
        "complete -o filenames -F _llmtool llmtool",
    ]
    lines[1] = lines[1].replace("word", "word words options")
    return lines


def _zsh(commands: list[Command]) -> list[str]:
    lines = ["#compdef llmtool", ""]
    by_words = {command.words: command for command in commands}
    for command in commands:
        lines.append(f"_llmtool{''.join('_' + w for w in command.words)}() {{")
        specs = []
        for flag in command.flags:
            specs += _zsh_flag(flag)
        if command.subcommands:
            lines.append("    local line state")
            specs += ["'1: :->command'", "'*:: :->rest'"]
        elif command.choices:
            specs.append(f"'1: :({' '.join(command.choices)})'")
        else:
            specs.append("'*: :_files'")
        lines.append("    _arguments -s -S \\")
        lines += [f"        {spec} \\" for spec in specs[:-1]] + [f"        {specs[-1]}"]
        if command.subcommands:
            lines += ["    case $state in", "    command)", "        local -a commands=("]
            for name in command.subcommands:
                summary = by_words[(*command.words, name)].help
                lines.append(f"            '{name}:{_zsh_text(summary)}'")
            lines += ["        )", "        _describe command commands ;;", "    rest)"]
            lines.append("        case $line[1] in")
            for name in command.subcommands:
                function = f"_llmtool{''.join('_' + w for w in (*command.words, name))}"
                lines.append(f"        {name}) {function} ;;")
            lines += ["        esac ;;", "    esac"]
        lines += ["}", ""]
    lines.append('_llmtool "$@"')
    return lines


def _zsh_flag(flag: Flag) -> list[str]:
    text = _zsh_text(flag.help)
    action = ""
    if flag.choices:
        action = f": :({' '.join(flag.choices)})"
    elif flag.value is not None:
        action = f":{_zsh_text(flag.value)}:" + ("_files" if _is_file(flag.value) else "")
    return [f"'*{name}[{text}]{action}'" for name in flag.names]


def _fish(commands: list[Command]) -> list[str]:
    lines = [
        "function __llmtool_at",
        "    set -l plain (string match -v -- '-*' (commandline -opc)[2..])",
        "    set -l n (count $argv)",
        "    if test $n -eq 0",
        "        test (count $plain) -eq 0",
        "    else",
        "        test (count $plain) -ge $n",
        '        and test "$plain[1..$n]" = "$argv"',
        "    end",
        "end",
        "",
    ]
    for command in commands:
        at = " ".join(command.words)
        condition = f"__llmtool_at {at}".rstrip()
        for name in command.subcommands:
            child = next(c for c in commands if c.words == (*command.words, name))
            lines.append(
                f"complete -c llmtool -f -n '{condition}' -a {name} -d {_quoted(child.help)}"
            )
        for choice in command.choices:
            lines.append(f"complete -c llmtool -f -n '{condition}' -a {choice}")
        for flag in command.flags:
            names = " ".join(
                f"-l {n[2:]}" if n.startswith("--") else f"-{'s' if len(n) == 2 else 'o'} {n[1:]}"
                for n in flag.names
            )
            value = ""
            if flag.choices:
                value = f" -x -a '{' '.join(flag.choices)}'"
            elif flag.value is not None:
                value = " -r" if _is_file(flag.value) else " -x"
            lines.append(
                f"complete -c llmtool -n '{condition}' {names}{value} -d {_quoted(flag.help)}"
            )
    return lines


def _is_file(metavar: str) -> bool:
    return any(word in metavar for word in ("FILE", "PATH", "REF"))


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _zsh_text(text: str) -> str:
    for mark in "\\[]:":
        text = text.replace(mark, "\\" + mark)
    return text.replace("'", "'\\''")
