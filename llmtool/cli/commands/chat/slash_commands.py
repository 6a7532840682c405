"""The slash commands of a chat: `/name argument`."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, NamedTuple

import msgspec

from llmtool.cli.commands.chat import actions, status
from llmtool.cli.commands.chat.context import (
    Action,
    ChatContext,
    Prefill,
    Quit,
    ShowReply,
    SwitchModel,
)
from llmtool.cli.options.tasks import read_logit_bias
from llmtool.cli.render import sessions, tables
from llmtool.cli.terminal import inputs
from llmtool.engine.types import EFFORTS
from llmtool.errors import LlmtoolError, UsageError
from llmtool.option_names import known_names, use_format
from llmtool.sessions.names import is_generated_name
from llmtool.sessions.store import INDEX_NAME
from llmtool.sizes import format_count
from llmtool.suggest import suggest
from llmtool.tasks.options import SamplingOptions, annotations_of

FORMATS = ("md", "json", "html")
_UNSET = {"max_tokens": "what fits", "seed": "random", "thinking": "off"}
_SETTABLE = (*SamplingOptions.__struct_fields__, "thinking")


class SlashCommand(NamedTuple):
    """A slash command.

    The handler receives the argument, writes to the console and returns an action for the loop.
    """

    argument: str
    help: str
    handler: Callable[[ChatContext, str], Action | None]


def run(context: ChatContext, line: str) -> Action | None:
    """Run a line that starts with a slash, which may be full-width."""
    name, argument = _split(line[1:], r"\s+")
    command = COMMANDS.get(_ALIASES.get(name, name))
    if command is None:
        hint = suggest(f"/{name}", [f"/{known}" for known in (*COMMANDS, *_ALIASES)])
        hint = hint or "; /help lists all commands"
        raise UsageError(
            f"unknown command /{name}{hint} (to send it as a message, start with a space)"
        )
    if argument and not command.argument:
        raise UsageError(f"/{name} takes no argument")
    if command.argument[:1] not in ("", "[") and not argument:
        raise UsageError(f"missing argument; use /{name} {command.argument}")
    return command.handler(context, argument)


def _split(text: str, separator: str) -> tuple[str, str]:
    """Return the first word and the rest."""
    first, *rest = re.split(separator, text.strip(), maxsplit=1)
    return first, "".join(rest).strip()


def complete(context: ChatContext, words: list[str]) -> Iterable[str] | None:
    """Return the completions of a command's last word; None completes file names."""
    if len(words) == 1:
        return [f"/{name}" for name in COMMANDS]
    name = _ALIASES.get(words[0][1:], words[0][1:])
    if name == "read" or (name == "export" and len(words) > 2):
        return None
    if len(words) > 2:
        return ()
    try:
        if name == "model":
            from llmtool.models.store import Store

            settings = context.tasks.settings
            store = Store(context.tasks.folders, settings.aliases, offline=settings.offline)
            return sorted({*(model.name for model in store.list()), *store.aliases()})
        if name == "template":
            return context.tasks.library.names()
        if name == "load":
            return context.sessions.names()
    except LlmtoolError:
        return ()
    known = {"set": _SETTABLE, "export": FORMATS, "copy": ("code",), "help": tuple(COMMANDS)}
    return known.get(name, ())


def _help(context: ChatContext, argument: str) -> None:
    names = [argument.lstrip("/")] if argument else list(COMMANDS)
    for name in names:
        if name not in COMMANDS:
            raise UsageError(f"unknown command /{name}; /help lists all commands")
    shown = [(f"/{name} {COMMANDS[name].argument}".strip(), COMMANDS[name].help) for name in names]
    tables.fields(context.console, shown)
    if not argument:
        context.console.stdout.write("\n")
        tables.fields(context.console, _KEYS)


def _set(context: ChatContext, argument: str) -> None:
    name, text = _split(argument, r"\s*[=＝]\s*|[:：]|\s+")
    if name and name not in _SETTABLE:
        ours = [*known_names(name), name][0]
        hint = suggest(ours, _SETTABLE) or f"; valid options: {', '.join(_SETTABLE)}"
        raise UsageError(f"unknown option {name!r}{hint}")
    if not text:
        values = context.chat.effective_options()
        tables.fields(
            context.console,
            ((key, _describe_option(key, *values[key])) for key in ([name] if name else _SETTABLE)),
        )
        if not name:
            context.console.note("/set NAME VALUE changes an option; VALUE default resets it")
        return
    with use_format(lambda name, value: " ".join([name, *map(str, value)])):
        context.chat.set(**{name: _parse_value(name, text)})
    value, source = context.chat.effective_options()[name]
    context.console.note(f"{name}: {_describe_option(name, value, source)}")


def _describe_option(name: str, value: object, source: str) -> str:
    """Return the value of an option and where it comes from."""
    if name == "thinking" and isinstance(value, bool):
        value = "on" if value else "off"
    shown = _UNSET.get(name, "none") if value in (None, (), {}) else json.dumps(value).strip('"')
    return f"{shown} ({source})"


def _parse_value(name: str, text: str) -> Any:
    if text in ("default", "none"):
        return None
    if name == "stop":
        return [text]
    if name == "logit_bias":
        return read_logit_bias([text])
    if name == "thinking":
        if text in EFFORTS:
            return text
        if text not in ("on", "off", "true", "false"):
            raise UsageError(f"thinking {text!r}: must be on, off, low, medium or high")
        return text in ("on", "true")
    is_whole = "int" in annotations_of(SamplingOptions)[name]
    with suppress(ValueError):
        number = float(unicodedata.normalize("NFKC", text))
        if number.is_integer():
            return int(number)
        if not is_whole:
            return number
    raise UsageError(f"{name} {text!r}: must be a {'whole ' if is_whole else ''}number")


def _system(context: ChatContext, argument: str) -> None:
    if not argument:
        context.console.stdout.write(
            (context.chat.session.system or "(set by the template)") + "\n"
        )
        return
    context.chat.set(system=None if argument == "-" else argument)
    context.console.note(f"system prompt: {'reset to default' if argument == '-' else 'set'}")


def _template(context: ChatContext, argument: str) -> None:
    if not argument:
        context.console.stdout.write((context.chat.session.template or "chat") + "\n")
        return
    context.chat.set(template=None if argument == "-" else argument)
    context.console.note(f"template: {context.chat.session.template or 'chat'}")


def _clear(context: ChatContext, argument: str) -> None:
    chat, old = context.chat, context.chat.session
    name = chat.start_new()
    saved = f"; {old.name!r} is saved" if old.turns and chat.is_saved else ""
    context.console.note(f"new conversation {name!r}{saved}")


def _undo(context: ChatContext, argument: str) -> Prefill:
    turn = context.chat.undo()
    context.console.note(f"removed turn {len(context.chat.turns) + 1}")
    return Prefill(turn.user)


def _parse_edit(argument: str, *, n_turns: int) -> tuple[int, str]:
    """Return the turn number, by default the last, and "message" or "reply"."""
    number, target = n_turns, "message"
    for word in argument.split():
        if word.isdecimal():
            number = int(word)
        elif word in ("reply", "message"):
            target = word
        else:
            raise UsageError(f"invalid argument {word!r}; use /edit [N] [reply]")
    return number, target


def _edit(context: ChatContext, argument: str) -> ShowReply | None:
    chat = context.chat
    number, target = _parse_edit(argument, n_turns=len(chat.turns))
    turn = chat.get_turn(number)
    old = turn.text if target == "reply" else turn.user
    text = actions.edit_text(context.console, old)
    if text is None or text == old:
        context.console.note("unchanged")
        return None
    if target == "reply":
        chat.edit_reply(number, text)
        return None
    stream = chat.edit(number, text)
    if number < len(chat.turns) and chat.is_saved:
        name = context.sessions.free_name(f"{chat.session.name}-before")
        context.sessions.save(msgspec.structs.replace(chat.session, name=name))
        context.console.note(f"saved the previous conversation as {name!r}")
    return ShowReply(stream)


def _fork(context: ChatContext, argument: str) -> None:
    old = context.chat.session.name
    name = context.chat.fork(argument or None)
    is_saved = context.chat.is_saved
    state = f"{old!r} is unchanged" if is_saved else "not saved yet (use /save NAME)"
    context.console.note(f"continuing as {name!r}; {state}")


def _save(context: ChatContext, argument: str) -> None:
    """Save the session under a new name, and remove the old one if its name was generated."""
    chat, saved = context.chat, context.sessions
    old, was_saved = chat.session.name, chat.is_saved
    chat.save_as(argument, saved)
    if was_saved and argument != old and is_generated_name(old) and saved.exists(old):
        saved.remove(old)
    context.console.note(f"saved as {argument!r}")


def _load(context: ChatContext, argument: str) -> None:
    if context.chat.is_saved and not context.sessions.exists(argument):
        hint = suggest(argument, context.sessions.names()) or "; /sessions lists all"
        raise UsageError(f"unknown session {argument!r}{hint}")
    report = context.chat.load(argument)
    if report:
        context.console.note(report)
    status.show_last_turn(context)


def _sessions(context: ChatContext, argument: str) -> None:
    names = context.sessions.names()
    listed = sessions.entries(context.console, context.sessions, names[:20])
    sessions.sessions_table(context.console, listed)
    _explain_load(context)
    if len(names) > 20:
        context.console.note(f"{len(names) - 20} older sessions: see `llmtool sessions ls`")


def _search(context: ChatContext, argument: str) -> None:
    """Search all saved sessions, and this conversation if it is not saved."""
    from llmtool.sessions import search as searching

    index = context.tasks.folders.cache / INDEX_NAME
    found = searching.search(context.sessions, argument, index=index)
    for warning in found.warnings:
        context.console.note(warning)
    if not context.chat.is_saved:
        found = searching.with_session(found, context.chat.session, argument)
    sessions.hits(context.console, found, as_json=False)
    if found.hits:
        _explain_load(context)


def _explain_load(context: ChatContext) -> None:
    name = context.chat.session.name
    context.console.note(f"this conversation is {name!r}; /load NAME opens another")


def _read(context: ChatContext, argument: str) -> None:
    chat, console = context.chat, context.console
    if argument == "-":
        removed = format_count(len(chat.files), "attached file")
        console.note(f"removed {removed}" if chat.files else "no attached files")
        chat.files = ()
        return
    path, text = actions.read_attachment(console, argument, offline=context.tasks.settings.offline)
    chat.attach(path, text)
    lines = format_count(len(text.splitlines()), "line")
    console.note(f"attached {path} ({lines}) to your next message")


def _copy(context: ChatContext, argument: str) -> None:
    if not context.chat.turns:
        raise UsageError("no reply yet; send a message first")
    text = context.chat.turns[-1].text
    if argument not in ("", "code"):
        raise UsageError(f"invalid argument {argument!r}; use /copy or /copy code")
    if argument == "code":
        text = actions.last_code_block(text)
    context.console.note(actions.copy_to_clipboard(context.console, text))


def _export(context: ChatContext, argument: str) -> None:
    format, _, path = argument.partition(" ")
    if format not in FORMATS:
        raise UsageError(f"unknown format {format!r}; use /export {'|'.join(FORMATS)} [FILE]")
    context.console.note(actions.export_session(context.chat.session, format, path.strip()))


def _reasoning(context: ChatContext, argument: str) -> None:
    reasoning = context.chat.turns[-1].reasoning if context.chat.turns else ""
    context.console.stdout.write((reasoning.strip() or "(no reasoning)") + "\n")


def _retry(context: ChatContext, argument: str) -> ShowReply:
    return ShowReply(context.chat.retry())


def _compose(context: ChatContext, argument: str) -> ShowReply | None:
    text = actions.edit_text(context.console, "")
    return ShowReply(context.chat.stream(text)) if text and text.strip() else None


def _model(context: ChatContext, argument: str) -> SwitchModel | None:
    if argument:
        return SwitchModel(inputs.read_argument(argument, name="/model"))
    context.console.stdout.write(context.tasks.model.name + "\n")
    return None


_KEYS = (
    ("Alt-Enter", "Insert a new line; text in triple quotes may also span lines."),
    ("Ctrl-X Ctrl-E", "Write the message in $EDITOR."),
    ("Ctrl-R", "Search the history."),
    ("Tab", "Complete a command, name or file."),
    ("Ctrl-C", "Stop the reply, or discard the line."),
    ("Ctrl-Z", "Suspend the chat; fg continues it."),
    ("Ctrl-D", "Exit."),
)
_ALIASES = {"bye": "exit", "quit": "exit", "q": "exit", "?": "help"}
COMMANDS = {
    "help": SlashCommand("[COMMAND]", "List commands, or describe one.", _help),
    "retry": SlashCommand("", "Generate the last reply again.", _retry),
    "undo": SlashCommand(
        "", "Take back the last message to edit it; / starts a command instead.", _undo
    ),
    "edit": SlashCommand(
        "[N] [reply]", "Edit message N (default: last) and resend it, or edit its reply.", _edit
    ),
    "read": SlashCommand(
        "FILE|URL", "Attach a file or web page to the next message; - removes all.", _read
    ),
    "compose": SlashCommand("", "Write a message in $EDITOR.", _compose),
    "system": SlashCommand("[TEXT]", "Show or set the system prompt; - resets it.", _system),
    "template": SlashCommand("[NAME]", "Show or set the prompt template; - resets it.", _template),
    "model": SlashCommand("[REF]", "Show the model, or switch to another.", _model),
    "set": SlashCommand(
        "[NAME [VALUE]]", "Show or set temperature, max_tokens, seed, thinking, …", _set
    ),
    "tokens": SlashCommand(
        "", "Show how the context is used.", lambda context, _: status.show_tokens(context)
    ),
    "stats": SlashCommand(
        "", "Show the speed of the last reply.", lambda context, _: status.show_stats(context)
    ),
    "reasoning": SlashCommand("", "Show the reasoning of the last reply.", _reasoning),
    "copy": SlashCommand("[code]", "Copy the last reply, or its last code block.", _copy),
    "export": SlashCommand("md|json|html [FILE]", "Export the conversation to a file.", _export),
    "fork": SlashCommand(
        "[NAME]", "Continue under another name, leaving this session unchanged.", _fork
    ),
    "save": SlashCommand("NAME", "Save this session under a name.", _save),
    "load": SlashCommand("NAME", "Switch to another session.", _load),
    "sessions": SlashCommand("", "List saved sessions, most recent first.", _sessions),
    "search": SlashCommand("WORDS", "Search this and all saved conversations.", _search),
    "clear": SlashCommand("", "Start a new conversation.", _clear),
    "exit": SlashCommand("", "Exit (also /bye, Ctrl-D).", lambda *_: Quit()),
}
