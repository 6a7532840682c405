"""Chat: a conversation with a model, optionally saved as a session."""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

import msgspec

from llmtool.arguments import checked
from llmtool.engine.types import MAX_SEED, Token
from llmtool.errors import Cancelled, LlmtoolError, UsageError
from llmtool.models.hub.callbacks import OnNote
from llmtool.sessions.store import Sessions, timestamp
from llmtool.sessions.types import Attachment, Session, Turn
from llmtool.short_repr import shorten
from llmtool.sizes import format_count
from llmtool.tasks.chat import token_usage
from llmtool.tasks.chat.messages import to_turns
from llmtool.tasks.chat.persistence import SessionHandle
from llmtool.tasks.chat.responder import Responder, with_partial_reply
from llmtool.tasks.chat.truncation import OverflowPolicy, truncate
from llmtool.tasks.options import ChatOptions, keywords_of, make_options
from llmtool.tasks.pipeline.collect import model_warnings
from llmtool.tasks.pipeline.conversation import Messages, parse_messages
from llmtool.tasks.streams import Stream, make_limit

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from llmtool.tasks.keywords import ChatKeywords
    from llmtool.tasks.pipeline.context import TaskContext

_SESSION_FIELDS = ("template", "system")  # options that are fields of `Session`


def _log_note(text: str) -> None:
    import logging

    logging.getLogger("llmtool").warning(text)


class Chat:
    """A conversation with a model, which sees all turns that fit the context.

    Earlier turns are not computed again. When the context is full, the oldest turns are summarized
    or dropped, which a note reports.

    Args:
        context: the model, templates and settings, such as `Toolbox.context`.
        options: changes to the options of the session.
        messages: the conversation so far; the session must have no turns.
        session: a session to continue, or the name of one in `store`; a new name starts a session.
        store: where to save the session before and after each reply; None does not save it.
        overflow: how to make room when the context is full: "summarize" or "drop" the oldest turns.
        timeout: the time limit of each reply in seconds; None means no limit.
        on_note: called with messages, such as that turns were dropped; None logs them as warnings
            of the logger `llmtool`.

    Raises:
        UsageError: an option is out of range, or a message is invalid.
        LockedError: another process has the session open.

    Example:
        >>> from llmtool import Toolbox
        >>> from llmtool.tasks.options import ChatOptions
        >>> chat = Chat(Toolbox().context, ChatOptions(system="Be brief."))
        >>> print(chat.say("Name a river.").text)
        The Danube.
        >>> print(chat.say("Where does it end?").text)
        In the Black Sea.
    """

    @checked
    def __init__(
        self,
        context: TaskContext,
        options: ChatOptions = ChatOptions(),
        *,
        messages: Messages | None = None,
        session: Session | str | None = None,
        store: Sessions | None = None,
        overflow: OverflowPolicy = "summarize",
        timeout: float | None = None,
        on_note: OnNote | None = None,
    ) -> None:
        self.context, self.overflow, self._on_note = context, overflow, on_note or _log_note
        make_limit(context.cancellation, timeout)  # checks it
        self._timeout = timeout
        self._noted: TaskContext | None = None  # whose model's warnings were passed to on_note
        self._streams: WeakSet[Stream[Token, Turn]] = WeakSet()
        self.files: tuple[Attachment, ...] = ()
        self._handle = SessionHandle(store, session)
        try:
            changed = _with_options(self.session, keywords_of(options))
            if messages is not None:
                changed = _with_messages(changed, messages)
            self._responder = Responder(context, changed)
            self._handle.update(changed)
        except BaseException:
            self._handle.close()
            raise

    def __repr__(self) -> str:
        return f"<Chat {shorten(self.session.name, 60)}, {format_count(len(self.turns), 'turn')}>"

    @property
    def session(self) -> Session:
        """The turns so far, and the options."""
        return self._handle.session

    @property
    def turns(self) -> tuple[Turn, ...]:
        return self.session.turns

    @property
    def is_saved(self) -> bool:
        """Whether the session is saved to a store, from its first turn on."""
        return self._handle.store is not None

    @property
    def save_error(self) -> str | None:
        """Why the last change was not saved, None if it was."""
        return self._handle.save_error

    @property
    def repair_report(self) -> str | None:
        """What was damaged in the session's file, if it was repaired; None if it was valid."""
        return self._handle.repair_report

    def close(self) -> None:
        """Unlock the session, so that other processes can open it; later turns are not saved.

        An open stream is closed first, which saves its text so far.
        """
        for stream in list(self._streams):
            with suppress(ValueError):  # another thread reads it
                stream.close()
        self._handle.close()

    def __enter__(self) -> Chat:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @checked
    def say(
        self,
        text: str,
        *,
        files: Sequence[Attachment] = (),
        timeout: float | None = None,
        **options: Unpack[ChatKeywords],
    ) -> Turn:
        """Send a message, and return the turn with its reply; arguments are those of `stream`.

        Example:
            >>> from llmtool import Toolbox
            >>> chat = Chat(Toolbox().context)
            >>> chat.say("Name a river.", max_tokens=20).text
            'The Danube.'
        """
        return self.stream(text, files=files, timeout=timeout, **options).result

    @checked
    def stream(
        self,
        text: str,
        *,
        files: Sequence[Attachment] = (),
        timeout: float | None = None,
        **options: Unpack[ChatKeywords],
    ) -> Stream[Token, Turn]:
        """Send a message, and return a stream of the tokens of the reply.

        After the tokens, `result` is the turn. It is saved before and after its reply; if the
        stream is closed early, with the text so far.

        Args:
            text: the message.
            files: files to quote in the message.
            timeout: the time limit in seconds; None uses that of the chat.
            options: changes to the options of the chat, such as `max_tokens`, for this reply.

        Raises:
            InputError: the message is empty.
            ContextOverflow: the message does not fit the context even without earlier turns; the
                session is unchanged.
            Cancelled: a stop was requested.
            TimeoutExpired: the reply is not complete within `timeout`; the turn has the text so
                far.
        """
        responder = self._responder_for(options)
        turn = responder.new_turn(text, (*self.files, *files))
        return self._stream(self._reply(turn, responder), timeout)

    def retry(
        self, *, timeout: float | None = None, **options: Unpack[ChatKeywords]
    ) -> Stream[Token, Turn]:
        """Reply to the last turn again, with another seed; returns what `stream` returns.

        `timeout` and `options` are those of `stream`.

        Raises:
            UsageError: the session has no turn.
        """
        last = self.get_turn(len(self.turns))
        responder, start = self._responder_for(options), len(self.turns) - 1
        seed = responder.seed
        if seed is not None and "seed" not in options and last.seed is not None:
            seed = (last.seed + 1) % (MAX_SEED + 1)
        turn = msgspec.structs.replace(last, text="", reasoning="")
        return self._stream(self._reply(turn, responder, start=start, seed=seed), timeout)

    @checked
    def edit(
        self,
        number: int,
        text: str,
        *,
        timeout: float | None = None,
        **options: Unpack[ChatKeywords],
    ) -> Stream[Token, Turn]:
        """Replace the message of turn `number` (from 1), remove the turns after it, and reply.

        Returns what `stream` returns; `timeout` and `options` are those of `stream`. To preserve
        the conversation, call `fork` first.

        Raises:
            UsageError: the turn does not exist.
            InputError: the message is empty.
        """
        responder = self._responder_for(options)
        turn = responder.new_turn(text, self.get_turn(number).files)
        return self._stream(self._reply(turn, responder, start=number - 1), timeout)

    @checked
    def edit_reply(self, number: int, text: str) -> None:
        """Replace the reply of turn `number` (from 1).

        Raises:
            UsageError: the turn does not exist.
        """
        turn = msgspec.structs.replace(self.get_turn(number), text=text)
        self._handle.update(self._replace_turns(number - 1, turn, *self.turns[number:]))

    def undo(self) -> Turn:
        """Remove the last turn, and return it.

        Raises:
            UsageError: the session has no turn.
        """
        last = self.get_turn(len(self.turns))
        self._handle.update(self._replace_turns(len(self.turns) - 1))
        return last

    @checked
    def attach(self, name: str, text: str) -> None:
        """Add a file to the next message, quoted as data."""
        self.files = (*self.files, Attachment(name=name, text=text))

    def set(self, **options: Unpack[ChatKeywords]) -> None:
        """Change options for later turns; None resets an option to its default.

        Raises:
            UsageError: an option is unknown or out of range; nothing is changed.
        """
        make_options(ChatOptions, options)
        session = _with_options(self.session, options)
        self._responder = Responder(self.context, session)
        self._handle.update(session)

    def effective_options(self) -> dict[str, tuple[Any, str]]:
        """Return the value of each option, and its source: session, config, template or default."""
        return self._responder.effective_options(self.session)

    def switch_model(self, context: TaskContext) -> None:
        """Continue with another model.

        Raises:
            UsageError: the session's template or options are not valid for this model.
        """
        self._responder = Responder(context, self.session)
        self.context = context

    def token_usage(self) -> token_usage.TokenUsage:
        """Return how many tokens of the context each turn uses."""
        return token_usage.measure(
            self.context.engine,
            self.session,
            self._responder.head,
            reserved=self._responder.reply_tokens,
        )

    @checked
    def fork(self, name: str | None = None) -> str:
        """Continue as a copy under another name; return the name. The original is unchanged.

        Raises:
            UsageError: a session of this name exists.
        """
        name = name or self._handle.free_name(f"{self.session.name}-fork")
        self._handle.start(msgspec.structs.replace(self.session, name=name))
        return name

    @checked
    def save_as(self, name: str, store: Sessions) -> None:
        """Continue under another name; save to `store` if the session has no store.

        Raises:
            UsageError: a session of this name exists.
        """
        self._handle.start(msgspec.structs.replace(self.session, name=name), store=store)

    @checked
    def start_new(self, name: str | None = None) -> str:
        """Start a new session with the same options, and return its name.

        Raises:
            UsageError: a session of this name exists.
        """
        name = name or self._handle.free_name()
        session = msgspec.structs.replace(
            self.session, name=name, turns=(), n_omitted=0, summary="", created_at=timestamp()
        )
        self._handle.start(session)
        self.files = ()
        return name

    @checked
    def load(self, name: str) -> str | None:
        """Continue with another saved session; return a report if its file was damaged.

        Raises:
            UsageError: the session is not found, or this chat has no store.
            LockedError: another process has the session open.
        """
        if name == self.session.name:
            return None
        if self._handle.store is None:
            raise UsageError("this chat does not save sessions; pass a store to load from")
        session, _ = self._handle.store.recover(name)
        responder = Responder(self.context, session)
        report = self._handle.open(session)
        self._responder, self.files = responder, ()
        return report

    def save_state(self) -> None:
        """Save the model's state to disk, so that resuming the session is fast.

        Raises:
            Cancelled: a stop was requested.
        """
        self._responder.save_state(self.session)

    @checked
    def get_turn(self, number: int) -> Turn:
        """Return a turn by its number, from 1.

        Raises:
            UsageError: the turn does not exist.
        """
        if not self.turns:
            raise UsageError("no turns yet; send a message first")
        if not 1 <= number <= len(self.turns):
            raise UsageError(f"turn {number} not found; choose from 1 to {len(self.turns)}")
        return self.turns[number - 1]

    def _replace_turns(self, start: int, *turns: Turn) -> Session:
        """Return the session with the turns after the first `start` replaced by `turns`."""
        session = msgspec.structs.replace(self.session, turns=(*self.turns[:start], *turns))
        if session.n_omitted > start:  # the summary covers a turn that changes
            return msgspec.structs.replace(session, n_omitted=0, summary="")
        return session

    def _responder_for(self, options: ChatKeywords) -> Responder:
        """Return the responder for one reply, with changed options."""
        if not options:
            return self._responder
        make_options(ChatOptions, options)
        return self._responder.with_session(_with_options(self.session, options))

    def _stream(
        self, events: Generator[Token | Turn, None, None], timeout: float | None
    ) -> Stream[Token, Turn]:
        seconds = self._timeout if timeout is None else timeout
        stream: Stream[Token, Turn] = Stream(events, Turn)
        stream = stream.within(make_limit(self.context.cancellation, seconds))
        self._streams.add(stream)
        return stream

    def _reply(
        self,
        turn: Turn,
        responder: Responder,
        *,
        start: int | None = None,
        seed: int | None = None,
    ) -> Generator[Token | Turn, None, None]:
        """Reply to a turn that replaces those after the first `start`; None appends it."""
        before = self.session
        session = self._replace_turns(len(before.turns) if start is None else start, turn)
        session = truncate(
            self.context,
            session,
            responder.head,
            reserved=responder.reply_tokens,
            policy=self.overflow,
            on_note=self._on_note,
        )
        if self._noted is not self.context:
            self._noted = self.context
            for warning in model_warnings(self.context.engine.info, instructs=True):
                self._on_note(warning)
        *earlier, turn = session.turns
        model = self.context.model.reference

        def save(last: Turn) -> None:
            turns = (*earlier, last)
            self._handle.update(msgspec.structs.replace(session, turns=turns, model=model))

        save(msgspec.structs.replace(turn, finish_reason="interrupted"))  # until the reply ends
        tokens: list[Token] = []
        started, is_complete = time.perf_counter(), False
        try:
            for event in responder.stream(session, seed=seed):
                if isinstance(event, Token):
                    tokens.append(event)
                    yield event
                else:
                    turn, is_complete = event, True
            self.files = ()
            save(turn)
        except BaseException as exc:  # also Ctrl-C, which Python may raise anywhere
            if not is_complete:
                name = self.context.model.name
                turn = with_partial_reply(turn, tokens, model=name, started=started)
            is_failure = isinstance(exc, LlmtoolError) and not isinstance(exc, Cancelled)
            if not is_failure and (turn.text or len(session.turns) > len(before.turns)):
                self.files = ()
                save(turn)
            else:  # restore the earlier reply instead of saving an empty one
                self._handle.update(before)
            raise
        if self.save_error:
            self._on_note(f"this turn is not saved: {self.save_error}")
        yield turn


def _with_messages(session: Session, messages: Messages) -> Session:
    """Return a new session with the turns of a conversation."""
    if session.turns:
        raise UsageError(
            f"session {session.name!r} has turns already; pass messages= for a new session"
        )
    system, turns = to_turns(parse_messages(messages))
    if system and session.system is not None:
        raise UsageError("system= cannot be combined with messages= that have a system message")
    return msgspec.structs.replace(session, system=system or session.system, turns=turns)


def _with_options(session: Session, options: Mapping[str, Any]) -> Session:
    """Return a session with changed options; None resets an option."""
    changed = dict(session.options)
    fields = {}
    for name, value in options.items():
        if name in _SESSION_FIELDS:
            fields[name] = value
        elif value is None:
            changed.pop(name, None)
        else:
            changed[name] = list(value) if isinstance(value, tuple) else value
    return msgspec.structs.replace(session, options=changed, **fields)
