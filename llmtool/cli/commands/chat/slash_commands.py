"""The commands of a conversation: `/name argument`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from llmtool.cli.commands.chat import actions as desk
from llmtool.cli.render import tables
from llmtool.cli.terminal import inputs
from llmtool.errors import LlmtoolError, UsageError
from llmtool.sizes import format_count
from llmtool.suggest import suggest
from llmtool.tasks.options import SamplingOptions

if TYPE_CHECKING:
    from llmtool.cli.commands.chat.loop import Loop

FORMATS = ("md", "json", "html")
_SETTABLE = (*SamplingOptions.__struct_fields__, "thinking")


class Leave(Exception):
    """The conversation is over."""


class Slash(NamedTuple):
    """A command: what follows its name, what it does, and who does it."""

    argument: str
    help: str
    act: Callable[[Loop, str], None]


def run(loop: Loop, line: str) -> None:
    """Carry out a line that begins with a slash.

    Raises:
        UsageError: there is no such command (the nearest is named), or its argument is wrong.
        Leave: it was the last one.
        LlmtoolError: as the command's work does.
    """
    name, _, argument = line[1:].strip().partition(" ")
    command = COMMANDS.get(_ALIASES.get(name, name))
    if command is None:
        near = suggest(name, [*COMMANDS, *_ALIASES])
        advice = near.replace("the nearest is ", "the nearest is /") or "/help lists them"
        raise UsageError(f"no command /{name}: {advice} (with a space before it, it is a message)")
    argument = argument.strip()
    if argument and not command.argument:
        raise UsageError(f"/{name} takes nothing behind it")
    if command.argument[:1] not in ("", "[") and not argument:
        raise UsageError(f"write it as /{name} {command.argument}")
    command.act(loop, argument)


def complete(loop: Loop, words: list[str]) -> Iterable[str] | None:
    """Return what the last word of a command may become; None for names of files."""
    if len(words) == 1:
        return [f"/{name}" for name in COMMANDS]
    name = _ALIASES.get(words[0][1:], words[0][1:])
    if name in ("read", "export") and (name == "read" or len(words) > 2):
        return None
    try:
        if len(words) == 2:
            return _candidates(loop, name)
    except LlmtoolError:
        return []
    return []


def _candidates(loop: Loop, name: str) -> Iterable[str]:
    if name == "model":
        return loop.model_names()
    if name == "template":
        return loop.template_names()
    if name in ("load", "fork", "save"):
        return loop.session_names() if name == "load" else []
    known = {"set": _SETTABLE, "export": FORMATS, "copy": ("code",), "help": tuple(COMMANDS)}
    return known.get(name, ())


def _help(loop: Loop, argument: str) -> None:
    names = [argument.lstrip("/")] if argument else list(COMMANDS)
    for name in names:
        if name not in COMMANDS:
            raise UsageError(f"there is no command /{name}: /help lists them")
    tables.fields(loop.console, ((f"/{name} {COMMANDS[name].argument}".strip(), COMMANDS[name].help)
                  for name in names))  # fmt: skip
    if not argument:
        loop.console.stdout.write("\n")
        tables.fields(loop.console, _KEYS)


def _leave(loop: Loop, argument: str) -> None:
    raise Leave


def _set(loop: Loop, argument: str) -> None:
    name, _, text = argument.partition(" ")
    if not name:
        options = loop.chat.session.options
        tables.fields(loop.console, ((key, _told(options.get(key))) for key in _SETTABLE))
        return
    if name not in _SETTABLE:
        near = suggest(name, _SETTABLE)
        raise UsageError(f"there is no option {name!r}: {near or ', '.join(_SETTABLE)}")
    if not text.strip():
        raise UsageError(f"write it as /set {name} VALUE; the value `default` takes it back")
    loop.chat.set(**{name: _value(name, text.strip())})
    value = loop.chat.session.options.get(name)
    loop.console.note(f"{name}: {'taken back' if value is None else json.dumps(value)}")


def _told(value: object) -> str:
    return "default" if value is None else json.dumps(value)


def _value(name: str, text: str) -> Any:
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


def _system(loop: Loop, argument: str) -> None:
    if not argument:
        loop.console.stdout.write((loop.chat.session.system or "(the template's own)") + "\n")
        return
    loop.chat.set(system=None if argument == "-" else argument)
    loop.console.note("the system prompt is set from here on")


def _template(loop: Loop, argument: str) -> None:
    if not argument:
        loop.console.stdout.write((loop.chat.session.template or "chat") + "\n")
        return
    loop.chat.set(template=None if argument == "-" else argument)
    loop.console.note(f"template {loop.chat.session.template or 'chat'!r} from here on")


def _clear(loop: Loop, argument: str) -> None:
    old = loop.chat.session
    name = loop.chat.begin()
    kept = f"; {old.name!r} is kept" if old.turns and loop.keeps else ""
    loop.console.note(f"a new conversation, {name!r}{kept}")


def _undo(loop: Loop, argument: str) -> None:
    turn = loop.chat.undo()
    loop.console.note(f"taken back: turn {len(loop.chat.turns) + 1}")
    loop.offer(turn.text)


def _edit(loop: Loop, argument: str) -> None:
    number, what = desk.parse_turn(argument, n_turns=len(loop.chat.turns))
    turn = loop.chat.find(number)
    old = turn.reply if what == "reply" else turn.text
    text = desk.edit(loop.console, old)
    if text is None or text == old:
        loop.console.note("nothing was changed")
    elif what == "reply":
        loop.chat.edit_reply(number, text)
    else:
        if number < len(loop.chat.turns):
            loop.keep_copy()
        loop.answer(loop.chat.edit(number, text))


def _fork(loop: Loop, argument: str) -> None:
    old = loop.chat.session.name
    name = loop.chat.fork(argument or None)
    stays = f"{old!r} stays as it is" if loop.keeps else "nothing is kept (/save NAME keeps it)"
    loop.console.note(f"{name!r} goes on; {stays}")


def _load(loop: Loop, argument: str) -> None:
    loop.chat.load(argument)
    loop.show_last()


def _sessions(loop: Loop, argument: str) -> None:
    names = loop.session_names()
    for name in names[:20]:
        mark = "*" if name == loop.chat.session.name else " "
        loop.console.stdout.write(f"{mark} {name}\n")
    if len(names) > 20:
        loop.console.note(f"{len(names) - 20} older ones: `llmtool sessions ls`")


def _read(loop: Loop, argument: str) -> None:
    if argument == "-":
        n_files, loop.chat.files = len(loop.chat.files), ()
        loop.console.note("no file goes with your next message" + (" any more" if n_files else ""))
        return
    path, text = desk.read_document(loop.console, argument)
    loop.chat.read(path, text)
    lines = format_count(len(text.splitlines()), "line")
    loop.console.note(f"{path} ({lines}) goes with your next message")


def _copy(loop: Loop, argument: str) -> None:
    if not loop.chat.turns:
        raise UsageError("there is no reply yet")
    text = loop.chat.turns[-1].reply
    if argument not in ("", "code"):
        raise UsageError("write it as /copy or /copy code")
    if argument == "code":
        text = desk.last_code(text)
    loop.console.note(desk.copy(loop.console, text))


def _export(loop: Loop, argument: str) -> None:
    kind, _, path = argument.partition(" ")
    if kind not in FORMATS:
        raise UsageError(f"write it as /export {'|'.join(FORMATS)} [FILE]")
    loop.console.note(desk.export(loop.chat.session, kind, path.strip()))


def _reasoning(loop: Loop, argument: str) -> None:
    reasoning = loop.chat.turns[-1].reasoning if loop.chat.turns else ""
    loop.console.stdout.write((reasoning.strip() or "(no reasoning)") + "\n")


def _retry(loop: Loop, argument: str) -> None:
    loop.answer(loop.chat.retry())


def _compose(loop: Loop, argument: str) -> None:
    text = desk.edit(loop.console, "")
    if text and text.strip():
        loop.send(text)


def _model(loop: Loop, argument: str) -> None:
    if not argument:
        loop.console.stdout.write(loop.chat.tools.model_name + "\n")
        return
    loop.switch_model(inputs.read_argument(argument, name="/model"))


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
    "help": Slash("[COMMAND]", "What there is, or what one command does.", _help),
    "retry": Slash("", "Answer the last message once more.", _retry),
    "undo": Slash("", "Take the last message and its reply back.", _undo),
    "edit": Slash("[N] [reply]", "Change message N (the last) and ask again, or its reply.", _edit),
    "read": Slash("FILE", "Send a file with the next message, as data; - takes it back.", _read),
    "compose": Slash("", "Write a message in $EDITOR.", _compose),
    "system": Slash("[TEXT]", "Show or set the system prompt; - takes it back.", _system),
    "template": Slash("[NAME]", "Show or choose the prompt template; - takes it back.", _template),
    "model": Slash("[REF]", "Show the model, or go on with another.", _model),
    "set": Slash("[NAME VALUE]", "Show or set temperature, max_tokens, seed, thinking, …", _set),
    "tokens": Slash("", "What takes how much of the context.", lambda loop, _: loop.show_budget()),
    "stats": Slash("", "How fast the last reply was.", lambda loop, _: loop.show_stats()),
    "reasoning": Slash("", "Show the reasoning before the last reply.", _reasoning),
    "copy": Slash("[code]", "Copy the last reply, or its last code block.", _copy),
    "export": Slash("md|json|html [FILE]", "Write the conversation to a file.", _export),
    "fork": Slash("[NAME]", "Go on under another name; this session stays as it is.", _fork),
    "save": Slash("NAME", "Keep this session under a name.", lambda loop, a: loop.save_as(a)),
    "load": Slash("NAME", "Go on with another session.", _load),
    "sessions": Slash("", "The sessions that are kept, the last one first.", _sessions),
    "clear": Slash("", "Begin a new conversation.", _clear),
    "exit": Slash("", "Leave (also /bye, Ctrl-D).", _leave),
}
