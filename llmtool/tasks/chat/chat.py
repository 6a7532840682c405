"""Chat: a conversation with a model, saved on request."""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from llmtool.engine.types import MAX_SEED, Token
from llmtool.errors import Cancelled, InputError, LlmtoolError, UsageError
from llmtool.sessions.store import Sessions, timestamp
from llmtool.sessions.types import Attachment, Session, Turn
from llmtool.tasks.chat import token_usage
from llmtool.tasks.chat.persistence import SessionHandle
from llmtool.tasks.chat.responder import Responder, with_partial_reply
from llmtool.tasks.chat.truncation import ChatNote, OverflowPolicy, truncate
from llmtool.tasks.options import ChatOptions, keywords_of, make_options

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from llmtool.tasks.keywords import ChatKeywords
    from llmtool.tasks.pipeline.context import TaskContext

ChatEvent = Token | ChatNote | Turn
_FIELDS = ("template", "system")  # options that are fields of `Session`


class Chat:
    """A conversation with a model, which sees all turns that fit the context.

    Earlier turns are not evaluated again. When the context is full, the oldest turns are summarized
    or dropped, and a `ChatNote` says so.

    Args:
        context: the model, such as `Toolbox.context`.
        options: what differs from the options of the session.
        session: a session to continue, or the name of one in `store`; a new name starts a session.
        store: where to save the session after every turn; None does not save it.
        overflow: "summarize" or "drop": what happens to the oldest turns when the context is full.

    Raises:
        UsageError: an option is out of range.
        LockedError: another process has the session open.

    Example:
        >>> chat = Chat(box.context, ChatOptions(system="Be brief."))         # doctest: +SKIP
        >>> print(chat.say("Name a river.").reply)                    # doctest: +SKIP
        The Danube.
        >>> print(chat.say("Where does it end?").reply)               # doctest: +SKIP
        In the Black Sea.
    """

    def __init__(
        self,
        context: TaskContext,
        options: ChatOptions = ChatOptions(),
        *,
        session: Session | str | None = None,
        store: Sessions | None = None,
        overflow: OverflowPolicy = "summarize",
    ) -> None:
        if overflow not in ("summarize", "drop"):
            raise UsageError(f"overflow is {overflow!r}; it must be summarize or drop")
        self.context, self.overflow = context, overflow
        self.files: tuple[Attachment, ...] = ()
        self._handle = SessionHandle(store, session)
        try:
            changed = _with_options(self.session, keywords_of(options))
            self._responder = Responder(context, changed)
            self._handle.update(changed)
        except BaseException:
            self._handle.close()
            raise

    @property
    def session(self) -> Session:
        """The conversation so far, with its options."""
        return self._handle.session

    @property
    def turns(self) -> tuple[Turn, ...]:
        return self.session.turns

    @property
    def is_saved(self) -> bool:
        """Whether the session has a store, which saves it from its first turn on."""
        return self._handle.store is not None

    @property
    def save_error(self) -> str | None:
        """Why the last change could not be saved, if it could not."""
        return self._handle.save_error

    def close(self) -> None:
        """Unlock the session, so that other processes can open it."""
        self._handle.close()

    def __enter__(self) -> Chat:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def say(self, text: str, *, files: Sequence[Attachment] = ()) -> Turn:
        """Send a message, and return the turn with its reply.

        Raises:
            As `stream`.
        """
        *_, turn = self.stream(text, files=files)
        assert isinstance(turn, Turn)
        return turn

    def stream(
        self, text: str, *, files: Sequence[Attachment] = ()
    ) -> Generator[ChatEvent, None, None]:
        """Send a message; yield notes, each `Token` of the reply, then the `Turn`.

        The turn is saved before and after its reply. If the reply is stopped, the text so far is
        saved.

        Raises:
            InputError: the message is empty.
            ContextOverflow: the message alone is too long; the session is unchanged.
            Cancelled: a stop was requested.
        """
        files = (*self.files, *files)
        if not text.strip() and not files:
            raise InputError("the message is empty")
        turn = self._responder.new_turn(text, files)
        yield from self._reply(msgspec.structs.replace(self.session, turns=(*self.turns, turn)))

    def retry(self) -> Generator[ChatEvent, None, None]:
        """Reply to the last turn again, with another seed; yields what `stream` yields.

        Raises:
            UsageError: the session has no turn.
        """
        last = self.get_turn(len(self.turns))
        seed = self.session.options.get("seed")
        if seed is not None and last.seed is not None:
            seed = (last.seed + 1) % (MAX_SEED + 1)
        turn = msgspec.structs.replace(last, reply="", reasoning="")
        yield from self._reply(self._replace_turns(len(self.turns) - 1, turn), seed=seed)

    def edit(self, number: int, text: str) -> Generator[ChatEvent, None, None]:
        """Replace the message of turn `number` (from 1) and remove the turns after it.

        Yields what `stream` yields. `fork` first to keep the conversation as it was.

        Raises:
            UsageError: the turn does not exist.
        """
        turn = self._responder.new_turn(text, self.get_turn(number).files)
        yield from self._reply(self._replace_turns(number - 1, turn))

    def edit_reply(self, number: int, text: str) -> None:
        """Replace the reply of turn `number` (from 1).

        Raises:
            UsageError: the turn does not exist.
        """
        turn = msgspec.structs.replace(self.get_turn(number), reply=text)
        self._handle.update(self._replace_turns(number - 1, turn, *self.turns[number:]))

    def undo(self) -> Turn:
        """Remove the last turn, and return it.

        Raises:
            UsageError: the session has no turn.
        """
        last = self.get_turn(len(self.turns))
        self._handle.update(self._replace_turns(len(self.turns) - 1))
        return last

    def attach(self, name: str, text: str) -> None:
        """Add a file to the next message, quoted as data."""
        self.files = (*self.files, Attachment(name=name, text=text))

    def set(self, **options: Unpack[ChatKeywords]) -> None:
        """Change options for the turns to come; None resets an option.

        Raises:
            UsageError: an option is unknown or out of range; nothing is changed.
        """
        make_options(ChatOptions, options)
        session = _with_options(self.session, options)
        self._responder = Responder(self.context, session)
        self._handle.update(session)

    def switch_model(self, context: TaskContext) -> None:
        """Continue with another model.

        Raises:
            UsageError: the session's template or options are not valid for it.
        """
        self._responder = Responder(context, self.session)
        self.context = context

    def token_usage(self) -> token_usage.TokenUsage:
        """Return how the tokens of the context are used, turn by turn."""
        return token_usage.measure(
            self.context.engine,
            self.session,
            self._responder.head,
            reserved=self._responder.reply_tokens,
        )

    def fork(self, name: str | None = None) -> str:
        """Continue under another name, which is returned; the session so far is unchanged.

        Raises:
            UsageError: a session has this name.
        """
        name = name or self._handle.free_name(f"{self.session.name}-fork")
        self._handle.start(msgspec.structs.replace(self.session, name=name))
        return name

    def save_as(self, name: str, store: Sessions) -> None:
        """Continue under another name, saved to `store` if the session has none.

        Raises:
            UsageError: a session has this name.
        """
        self._handle.start(msgspec.structs.replace(self.session, name=name), store=store)

    def start_new(self, name: str | None = None) -> str:
        """Start a new session with the same options, and return its name.

        Raises:
            UsageError: a session has this name.
        """
        name = name or self._handle.free_name()
        session = msgspec.structs.replace(
            self.session, name=name, turns=(), n_omitted=0, summary="", created_at=timestamp()
        )
        self._handle.start(session)
        self.files = ()
        return name

    def load(self, name: str) -> None:
        """Continue with another saved session and its options.

        Raises:
            UsageError: there is no session of this name.
            LockedError: another process has it open.
        """
        if name == self.session.name:
            return
        if self._handle.store is None:
            raise UsageError("sessions are not kept here")
        session = self._handle.store.load(name)
        responder = Responder(self.context, session)
        self._handle.open(session)
        self._responder, self.files = responder, ()

    def save_state(self) -> None:
        """Save the model's state to disk, so that the session resumes quickly.

        Raises:
            Cancelled: a stop was requested.
        """
        self._responder.save_state(self.session)

    def get_turn(self, number: int) -> Turn:
        """Return a turn by its number, from 1.

        Raises:
            UsageError: the turn does not exist.
        """
        if not self.turns:
            raise UsageError("there is no turn yet")
        if not 1 <= number <= len(self.turns):
            raise UsageError(f"there is no turn {number} (there are 1 to {len(self.turns)})")
        return self.turns[number - 1]

    def _replace_turns(self, start: int, *turns: Turn) -> Session:
        """Return the session with `turns` after its first `start` turns."""
        session = msgspec.structs.replace(self.session, turns=(*self.turns[:start], *turns))
        if session.n_omitted > start:  # the summary is about a turn that changes
            return msgspec.structs.replace(session, n_omitted=0, summary="")
        return session

    def _reply(
        self, session: Session, *, seed: int | None = None
    ) -> Generator[ChatEvent, None, None]:
        """Reply to the last turn of a session, which becomes the current one."""
        before = self.session
        session = yield from truncate(
            self.context,
            session,
            self._responder.head,
            reserved=self._responder.reply_tokens,
            policy=self.overflow,
        )
        *earlier, turn = session.turns
        model = self.context.model.reference

        def save(last: Turn) -> None:
            turns = (*earlier, last)
            self._handle.update(msgspec.structs.replace(session, turns=turns, model=model))

        save(turn)
        tokens: list[Token] = []
        started = time.perf_counter()
        try:
            for event in self._responder.stream(session, seed=seed):
                if isinstance(event, Token):
                    tokens.append(event)
                    yield event
                else:
                    turn = event
        except (Cancelled, GeneratorExit):
            name = self.context.model.name
            stopped = with_partial_reply(turn, tokens, model=name, started=started)
            if stopped.reply or len(session.turns) > len(before.turns):
                self.files = ()
                save(stopped)
            else:  # keep the earlier reply instead of an empty one
                self._handle.update(before)
            raise
        except LlmtoolError:
            self._handle.update(before)
            raise
        self.files = ()
        save(turn)
        if self.save_error:
            yield ChatNote(f"this turn is not saved: {self.save_error}")
        yield turn


def _with_options(session: Session, options: Mapping[str, Any]) -> Session:
    """Return a session with changed options; None resets an option."""
    changed = dict(session.options)
    fields = {}
    for name, value in options.items():
        if name in _FIELDS:
            fields[name] = value
        elif value is None:
            changed.pop(name, None)
        else:
            changed[name] = list(value) if isinstance(value, tuple) else value
    return msgspec.structs.replace(session, options=changed, **fields)
