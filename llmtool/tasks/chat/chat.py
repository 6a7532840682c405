"""A conversation: turns that a model answers one after the other, kept on disk if asked to."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from llmtool.engine.types import MAX_SEED, Token
from llmtool.errors import Cancelled, InputError, LlmtoolError, UsageError
from llmtool.sessions.store import Sessions, timestamp
from llmtool.sessions.types import Attachment, Session, Turn
from llmtool.tasks.chat.persistence import Keeper
from llmtool.tasks.chat.responder import Answering, ChatNote, Pieces, answered
from llmtool.tasks.chat.token_usage import Budget
from llmtool.tasks.chat.truncation import Overflow
from llmtool.tasks.options import ChatOptions, keywords_of, make_options

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from llmtool.tasks.keywords import ChatKeywords
    from llmtool.tasks.summarize.task import SummarizeTask

Told = Token | ChatNote | Turn
_FIELDS = ("template", "system")  # options that a session has fields of its own for


class Chat:
    """A conversation with a model, which sees all turns that fit.

    Turns are answered from the memory of the turns before: only what is new is computed. Where the
    context is full, the oldest turns are summarized or dropped, with a `ChatNote`.

    Args:
        tools: the model, such as a `Toolbox`.
        session: an earlier conversation to go on with, or the name of a kept one, which is begun
            where there is none.
        store: where it is kept after every turn; None keeps it nowhere.
        overflow: "summarize" or "drop": what becomes of the oldest turns when the context is full.
        options: `system`, `template`, `thinking`, `variables` and sampling options; those of the
            session hold where none are given.

    Raises:
        UsageError: an option is unknown or out of its range.
        LockedError: another process has the session open.

    Example:
        >>> chat = Chat(box, system="Be brief.")                      # doctest: +SKIP
        >>> print(chat.say("Name a river.").reply)                    # doctest: +SKIP
        The Danube.
        >>> print(chat.say("Where does it end?").reply)               # doctest: +SKIP
        In the Black Sea.
    """

    def __init__(
        self,
        tools: SummarizeTask,
        *,
        session: Session | str | None = None,
        store: Sessions | None = None,
        overflow: Overflow = "summarize",
        **options: Unpack[ChatKeywords],
    ) -> None:
        if overflow not in ("summarize", "drop"):
            raise UsageError(f"overflow is {overflow!r}; it must be summarize or drop")
        self.tools, self.overflow = tools, overflow
        self.files: tuple[Attachment, ...] = ()
        self._keeper = Keeper(store, session)
        try:
            given = keywords_of(make_options(ChatOptions, options))
            changed = _with_options(self.session, given)
            self._model = Answering(tools, changed)
            self._keeper.keep(changed)
        except BaseException:
            self._keeper.close()
            raise

    @property
    def session(self) -> Session:
        """The conversation so far, as it is kept."""
        return self._keeper.session

    @property
    def turns(self) -> tuple[Turn, ...]:
        return self.session.turns

    @property
    def is_kept(self) -> bool:
        """Whether the conversation is on disk, or will be after its first turn."""
        return self._keeper.store is not None

    @property
    def unsaved(self) -> str | None:
        """Why the last change is not on disk; None where it is, or is to be nowhere."""
        return self._keeper.unsaved

    def close(self) -> None:
        """Let the session go, for other processes to open."""
        self._keeper.close()

    def __enter__(self) -> Chat:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def say(self, text: str, *, files: Sequence[Attachment] = ()) -> Turn:
        """Ask something, and return the turn with its reply.

        Raises:
            As `stream`.
        """
        return _last(self.stream(text, files=files))

    def stream(self, text: str, *, files: Sequence[Attachment] = ()) -> Generator[Told, None, None]:
        """Ask something; yield notes, each `Token`, then the `Turn`.

        The turn is kept before it is answered and again afterwards. What a stop leaves of a reply
        is kept as well.

        Raises:
            InputError: there is nothing to ask.
            ContextOverflow: the message alone is too long; the conversation is as it was.
            Cancelled: a stop was asked for.
        """
        files = (*self.files, *files)
        if not text.strip() and not files:
            raise InputError("the message is empty")
        turns = (*self.turns, self._model.turn(text, files))
        yield from self._ask(msgspec.structs.replace(self.session, turns=turns))

    def retry(self) -> Generator[Told, None, None]:
        """Answer the last turn once more, with another seed; yields what `stream` yields.

        Raises:
            UsageError: there is no turn yet.
        """
        last = self.find(len(self.turns))
        seed = self.session.options.get("seed")
        if seed is not None and last.seed is not None:
            seed = (last.seed + 1) % (MAX_SEED + 1)
        turn = msgspec.structs.replace(last, reply="", reasoning="")
        yield from self._ask(self._shortened(len(self.turns) - 1, turn), seed=seed)

    def edit(self, number: int, text: str) -> Generator[Told, None, None]:
        """Ask turn `number` (from 1) in other words; the turns behind it are taken back.

        Yields what `stream` yields. `fork` first keeps the conversation as it was.

        Raises:
            UsageError: there is no such turn.
        """
        turn = self._model.turn(text, self.find(number).files)
        yield from self._ask(self._shortened(number - 1, turn))

    def edit_reply(self, number: int, text: str) -> None:
        """Put other words into the reply of turn `number` (from 1); all else stays.

        Raises:
            UsageError: there is no such turn.
        """
        turn = msgspec.structs.replace(self.find(number), reply=text)
        self._keeper.keep(self._shortened(number - 1, turn, *self.turns[number:]))

    def undo(self) -> Turn:
        """Take the last turn back and return it.

        Raises:
            UsageError: there is no turn yet.
        """
        last = self.find(len(self.turns))
        self._keeper.keep(self._shortened(len(self.turns) - 1))
        return last

    def read(self, name: str, text: str) -> None:
        """Add a file to what is asked next; it is data, whatever it says."""
        self.files = (*self.files, Attachment(name=name, text=text))

    def set(self, **options: Unpack[ChatKeywords]) -> None:
        """Change options from here on; None takes an option back.

        Raises:
            UsageError: an option is unknown or out of its range; nothing is changed.
        """
        make_options(ChatOptions, options)
        session = _with_options(self.session, options)
        self._model = Answering(self.tools, session)
        self._keeper.keep(session)

    def use(self, tools: SummarizeTask) -> None:
        """Go on with another model.

        Raises:
            UsageError: the session's template is not for it.
        """
        self._model = Answering(tools, self.session)
        self.tools = tools

    def budget(self) -> Budget:
        """Return what the conversation takes of the context, turn by turn."""
        return self._model.share_out(self.session)

    def fork(self, name: str | None = None) -> str:
        """Go on under another name, which is returned; the session so far stays as it is.

        Raises:
            UsageError: there is a session of this name.
        """
        name = name or self._keeper.free_name(f"{self.session.name}-fork")
        self._keeper.move(msgspec.structs.replace(self.session, name=name), is_new=True)
        return name

    def keep(self, name: str, store: Sessions) -> None:
        """Keep the conversation under a name from here on.

        Raises:
            UsageError: there is a session of this name.
        """
        self._keeper.store = self._keeper.store or store
        self.fork(name)

    def begin(self, name: str | None = None) -> str:
        """Begin anew under another name, with the same options; return the name.

        Raises:
            UsageError: there is a session of this name.
        """
        name = name or self._keeper.free_name()
        session = msgspec.structs.replace(
            self.session, name=name, turns=(), n_left_out=0, summary="", created_at=timestamp()
        )
        self._keeper.move(session, is_new=True)
        self.files = ()
        return name

    def load(self, name: str) -> None:
        """Go on with another session that is kept, and with its options.

        Raises:
            UsageError: there is none of this name.
            LockedError: another process has it open.
        """
        if name == self.session.name:
            return
        session = self._keeper.find(name)
        model = Answering(self.tools, session)
        self._keeper.move(session, is_new=False)
        self._model, self.files = model, ()

    def remember(self) -> None:
        """Put what the model has computed on disk, so that going on later is quick.

        Raises:
            Cancelled: a stop was asked for.
        """
        self._model.remember(self.session)

    def find(self, number: int) -> Turn:
        """Return a turn by its number, from 1.

        Raises:
            UsageError: there is no such turn.
        """
        if not self.turns:
            raise UsageError("there is no turn yet")
        if not 1 <= number <= len(self.turns):
            raise UsageError(f"there is no turn {number} (there are 1 to {len(self.turns)})")
        return self.turns[number - 1]

    def _shortened(self, length: int, *more: Turn) -> Session:
        """Return the session with its first `length` turns and more behind them."""
        turns = (*self.turns[:length], *more)
        if self.session.n_left_out > length:  # the summary tells of turns that are no more
            return msgspec.structs.replace(self.session, turns=turns, n_left_out=0, summary="")
        return msgspec.structs.replace(self.session, turns=turns)

    def _ask(self, session: Session, *, seed: int | None = None) -> Generator[Told, None, None]:
        """Answer the last turn of a session, which becomes the present one."""
        before = self.session
        session = yield from self._model.make_room(session, policy=self.overflow)
        *turns, turn = session.turns

        reference = self.tools.model_reference

        def keep(last: Turn) -> None:
            kept = msgspec.structs.replace(session, turns=(*turns, last), model=reference)
            self._keeper.keep(kept)

        keep(turn)
        pieces = Pieces(turn, model=self.tools.model_name)
        try:
            for event in self._model.stream(session, seed=seed):
                if isinstance(event, Token):
                    pieces.take(event)
                    yield event
                else:
                    turn = answered(turn, event)
        except (Cancelled, GeneratorExit):
            stopped = pieces.interrupted()
            if stopped.reply or len(session.turns) > len(before.turns):
                self.files = ()
                keep(stopped)
            else:  # nothing came that could take an earlier reply's place
                self._keeper.keep(before)
            raise
        except LlmtoolError:
            self._keeper.keep(before)
            raise
        self.files = ()
        keep(turn)
        if self.unsaved:
            yield ChatNote(f"this turn is not saved: {self.unsaved}")
        yield turn


def _with_options(session: Session, options: Mapping[str, Any]) -> Session:
    """Return a session with other options; None takes one back."""
    kept = dict(session.options)
    fields = {}
    for name, value in options.items():
        if name in _FIELDS:
            fields[name] = value
        elif value is None:
            kept.pop(name, None)
        else:
            kept[name] = list(value) if isinstance(value, tuple) else value
    return msgspec.structs.replace(session, options=kept, **fields)


def _last(events: Iterator[Told]) -> Turn:
    *_, turn = events
    assert isinstance(turn, Turn)
    return turn
