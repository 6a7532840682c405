"""The slash commands of a chat: `/name argument`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
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
from llmtool.cli.render import tables
from llmtool.cli.terminal import inputs
from llmtool.errors import LlmtoolError, UsageError
from llmtool.sessions.store import is_generated_name
from llmtool.sizes import format_count
from llmtool.suggest import suggest
from llmtool.tasks.options import SamplingOptions

FORMATS = ("md", "json", "html")
_SETTABLE = (*SamplingOptions.__struct_fields__, "thinking")


class SlashCommand(NamedTuple):
    """A slash command.

    Its handler gets the argument, writes to the console, and returns what the loop has to do.
    """

    argument: str
    help: str
    handler: Callable[[ChatContext, str], Action | None]


def run(context: ChatContext, line: str) -> Action | None:
    """Run a line that starts with a slash.

    Raises:
        UsageError: the command is unknown, or its argument is wrong.
        LlmtoolError: the command failed.
    """
    name, _, argument = line[1:].strip().partition(" ")
    command = COMMANDS.get(_ALIASES.get(name, name))
    if command is None:
        hint = suggest(f"/{name}", [f"/{known}" for known in (*COMMANDS, *_ALIASES)])
        hint = hint or "; /help lists them"
        raise UsageError(f"unknown command /{name}{hint}; to send it as text, begin with a space")
    argument = argument.strip()
    if argument and not command.argument:
        raise UsageError(f"/{name} takes nothing behind it")
    if command.argument[:1] not in ("", "[") and not argument:
        raise UsageError(f"write it as /{name} {command.argument}")
    return command.handler(context, argument)


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
            raise UsageError(f"there is no command /{name}: /help lists them")
    shown = [(f"/{name} {COMMANDS[name].argument}".strip(), COMMANDS[name].help) for name in names]
    tables.fields(context.console, shown)
    if not argument:
        context.console.stdout.write("\n")
        tables.fields(context.console, _KEYS)


def _set(context: ChatContext, argument: str) -> None:
    name, _, text = argument.partition(" ")
    if not name:
        options = context.chat.session.options
        tables.fields(
            context.console, ((key, _format_value(options.get(key))) for key in _SETTABLE)
        )
        return
    if name not in _SETTABLE:
        hint = suggest(name, _SETTABLE) or f" (there are: {', '.join(_SETTABLE)})"
        raise UsageError(f"unknown option {name!r}{hint}")
    if not text.strip():
        raise UsageError(f"write it as /set {name} VALUE; the value `default` takes it back")
    context.chat.set(**{name: _parse_value(name, text.strip())})
    value = context.chat.session.options.get(name)
    context.console.note(f"{name}: {'taken back' if value is None else json.dumps(value)}")


def _format_value(value: object) -> str:
    return "default" if value is None else json.dumps(value)


def _parse_value(name: str, text: str) -> Any:
    if text in ("default", "none"):
        return None
    if name == "stop":
        return [text]
    if name == "thinking":
        if text not in ("on", "off", "true", "false"):
            raise UsageError("thinking must be on or off")
        return text in ("on", "true")
    try:
        return json.loads(text)
    except ValueError:
        raise UsageError(f"{name} is {text!r}; it must be a number") from None


def _system(context: ChatContext, argument: str) -> None:
    if not argument:
        context.console.stdout.write((context.chat.session.system or "(the template's own)") + "\n")
        return
    context.chat.set(system=None if argument == "-" else argument)
    context.console.note("the system prompt is set from here on")


def _template(context: ChatContext, argument: str) -> None:
    if not argument:
        context.console.stdout.write((context.chat.session.template or "chat") + "\n")
        return
    context.chat.set(template=None if argument == "-" else argument)
    context.console.note(f"template {context.chat.session.template or 'chat'!r} from here on")


def _clear(context: ChatContext, argument: str) -> None:
    chat, old = context.chat, context.chat.session
    name = chat.start_new()
    kept = f"; {old.name!r} is kept" if old.turns and chat.is_saved else ""
    context.console.note(f"a new conversation, {name!r}{kept}")


def _undo(context: ChatContext, argument: str) -> Prefill:
    turn = context.chat.undo()
    context.console.note(f"taken back: turn {len(context.chat.turns) + 1}")
    return Prefill(turn.text)


def _parse_edit(argument: str, *, n_turns: int) -> tuple[int, str]:
    """Return the turn number, by default the last, and "message" or "reply"."""
    number, what = n_turns, "message"
    for word in argument.split():
        if word.isdecimal():
            number = int(word)
        elif word in ("reply", "message"):
            what = word
        else:
            raise UsageError("write it as /edit [N] [reply]")
    return number, what


def _edit(context: ChatContext, argument: str) -> ShowReply | None:
    chat = context.chat
    number, what = _parse_edit(argument, n_turns=len(chat.turns))
    turn = chat.get_turn(number)
    old = turn.reply if what == "reply" else turn.text
    text = actions.edit_text(context.console, old)
    if text is None or text == old:
        context.console.note("nothing was changed")
        return None
    if what == "reply":
        chat.edit_reply(number, text)
        return None
    if number < len(chat.turns) and chat.is_saved:
        name = context.sessions.free_name(f"{chat.session.name}-before")
        context.sessions.save(msgspec.structs.replace(chat.session, name=name))
        context.console.note(f"the conversation as it was is kept as {name!r}")
    return ShowReply(chat.edit(number, text))


def _fork(context: ChatContext, argument: str) -> None:
    old = context.chat.session.name
    name = context.chat.fork(argument or None)
    is_kept = context.chat.is_saved
    stays = f"{old!r} stays as it is" if is_kept else "nothing is kept (/save NAME keeps it)"
    context.console.note(f"{name!r} goes on; {stays}")


def _save(context: ChatContext, argument: str) -> None:
    """Save the session under a name; remove one whose name was generated."""
    chat, sessions = context.chat, context.sessions
    old, was_kept = chat.session.name, chat.is_saved
    chat.save_as(argument, sessions)
    if was_kept and argument != old and is_generated_name(old) and sessions.exists(old):
        sessions.remove(old)
    context.console.note(f"kept as {argument!r}")


def _load(context: ChatContext, argument: str) -> None:
    context.chat.load(argument)
    status.show_last_turn(context)


def _sessions(context: ChatContext, argument: str) -> None:
    names = context.sessions.names()
    for name in names[:20]:
        mark = "*" if name == context.chat.session.name else " "
        context.console.stdout.write(f"{mark} {name}\n")
    if len(names) > 20:
        context.console.note(f"{len(names) - 20} older ones: `llmtool sessions ls`")


def _read(context: ChatContext, argument: str) -> None:
    chat, console = context.chat, context.console
    if argument == "-":
        any_more = " any more" if chat.files else ""
        chat.files = ()
        console.note(f"no file goes with your next message{any_more}")
        return
    path, text = actions.read_attachment(console, argument)
    chat.attach(path, text)
    lines = format_count(len(text.splitlines()), "line")
    console.note(f"{path} ({lines}) goes with your next message")


def _copy(context: ChatContext, argument: str) -> None:
    if not context.chat.turns:
        raise UsageError("there is no reply yet")
    text = context.chat.turns[-1].reply
    if argument not in ("", "code"):
        raise UsageError("write it as /copy or /copy code")
    if argument == "code":
        text = actions.last_code_block(text)
    context.console.note(actions.copy_to_clipboard(context.console, text))


def _export(context: ChatContext, argument: str) -> None:
    format, _, path = argument.partition(" ")
    if format not in FORMATS:
        raise UsageError(f"write it as /export {'|'.join(FORMATS)} [FILE]")
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
    ("Alt-Enter", "A new line; text in triple quotation marks has as many as it likes."),
    ("Ctrl-X Ctrl-E", "Write the message in $EDITOR."),
    ("Ctrl-R", "Look in the history."),
    ("Tab", "Complete a command, a name, a file."),
    ("Ctrl-C", "Stop the reply."),
    ("Ctrl-D", "Leave."),
)
_ALIASES = {"bye": "exit", "quit": "exit", "q": "exit", "?": "help"}
COMMANDS = {
    "help": SlashCommand("[COMMAND]", "What there is, or what one command does.", _help),
    "retry": SlashCommand("", "Answer the last message once more.", _retry),
    "undo": SlashCommand("", "Take the last message and its reply back.", _undo),
    "edit": SlashCommand(
        "[N] [reply]", "Change message N (the last) and ask again, or its reply.", _edit
    ),
    "read": SlashCommand(
        "FILE", "Send a file with the next message, as data; - takes it back.", _read
    ),
    "compose": SlashCommand("", "Write a message in $EDITOR.", _compose),
    "system": SlashCommand("[TEXT]", "Show or set the system prompt; - takes it back.", _system),
    "template": SlashCommand(
        "[NAME]", "Show or choose the prompt template; - takes it back.", _template
    ),
    "model": SlashCommand("[REF]", "Show the model, or go on with another.", _model),
    "set": SlashCommand(
        "[NAME VALUE]", "Show or set temperature, max_tokens, seed, thinking, …", _set
    ),
    "tokens": SlashCommand(
        "", "What takes how much of the context.", lambda context, _: status.show_tokens(context)
    ),
    "stats": SlashCommand(
        "", "How fast the last reply was.", lambda context, _: status.show_stats(context)
    ),
    "reasoning": SlashCommand("", "Show the reasoning before the last reply.", _reasoning),
    "copy": SlashCommand("[code]", "Copy the last reply, or its last code block.", _copy),
    "export": SlashCommand("md|json|html [FILE]", "Write the conversation to a file.", _export),
    "fork": SlashCommand("[NAME]", "Go on under another name; this session stays as it is.", _fork),
    "save": SlashCommand("NAME", "Keep this session under a name.", _save),
    "load": SlashCommand("NAME", "Go on with another session.", _load),
    "sessions": SlashCommand("", "The sessions that are kept, the last one first.", _sessions),
    "clear": SlashCommand("", "Begin a new conversation.", _clear),
    "exit": SlashCommand("", "Leave (also /bye, Ctrl-D).", lambda *_: Quit()),
}
