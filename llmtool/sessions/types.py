"""The types of a saved conversation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Literal

import msgspec

from llmtool.engine.types import Usage
from llmtool.option_names import option
from llmtool.short_repr import short_repr
from llmtool.sizes import format_count

VERSION = 2
Natural = Annotated[int, msgspec.Meta(ge=0)]
EndReason = Literal["stop", "length", "interrupted"]


class Attachment(msgspec.Struct, frozen=True, kw_only=True):
    """The name and text of a file attached to a turn; the prompt quotes it as data."""

    name: str
    text: str

    __repr__ = short_repr("name", "text")


class Exchange(msgspec.Struct, frozen=True, kw_only=True):
    """What `gen --continue` needs to continue a logged turn.

    `previous` is the id of the exchange that this one continues, "" if it starts a conversation.
    `model` is a reference of the model, `system` the system message, and `prefill` the start of the
    reply, which `text` omits.
    """

    id: str
    previous: str = ""
    model: str = ""
    template: str = ""
    system: str = ""
    prefill: str = ""

    __repr__ = short_repr("id", "previous", "model", "template")


class Turn(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A message and its reply.

    `user` is the message as typed, `sent` the message as the template rendered it ("" if equal),
    and `text` the reply.
    `reasoning` is not part of later prompts. `created_at` is the time of the reply in UTC
    (`2026-11-26T10:40:18Z`). Token counts are those of `Usage`. `seconds` is the total time,
    `decode_seconds` the part after the first token. A logged reply of `gen` or `run` has an
    `exchange`; `sent` then includes the files.
    """

    user: str
    sent: str = ""
    files: tuple[Attachment, ...] = ()
    text: str = ""
    reasoning: str = ""
    finish_reason: EndReason = "stop"
    model: str = ""
    seed: int | None = None
    prompt_tokens: Natural = 0
    cached_tokens: Natural = 0
    completion_tokens: Natural = 0
    seconds: float = 0.0
    decode_seconds: float = 0.0
    created_at: str = ""
    exchange: Exchange | None = None

    __repr__ = short_repr("user", "text", "finish_reason")

    def __str__(self) -> str:
        return self.text

    @property
    def usage(self) -> Usage:
        """The token counts of the reply."""
        return Usage(
            prompt_tokens=self.prompt_tokens,
            cached_tokens=self.cached_tokens,
            completion_tokens=self.completion_tokens,
        )

    @property
    def warnings(self) -> tuple[str, ...]:
        """Whether the reply is incomplete or empty, in words."""
        found = []
        if self.finish_reason == "length":
            n_tokens = format_count(self.completion_tokens, "token")
            found.append(f"reply truncated at {n_tokens}; raise {option('max_tokens')}")
        elif self.finish_reason == "interrupted":
            found.append("reply interrupted; only its beginning is in the text")
        if self.reasoning and not self.text:
            found.append(f"the model reasoned but gave no answer; raise {option('max_tokens')}")
        return tuple(found)

    def to_dict(self) -> dict[str, Any]:
        """Return all fields, including those with default values, as built-in types."""
        fields: dict[str, Any] = msgspec.to_builtins(msgspec.structs.asdict(self))
        return fields

    def _repr_markdown_(self) -> str:
        from llmtool.text.notebook import safe_markdown

        return safe_markdown(self.text)


class StoredTurn(Turn, frozen=True, kw_only=True):
    """A turn as files contain it.

    `sent` omits the input, which is at its index `input_at`. Of several replies to one message,
    only the first turn has `user`, `sent` and `files`; `input_of` is the id of its exchange.
    """

    input_at: Natural | None = None
    input_of: str = ""

    @classmethod
    def make(cls, turn: Turn) -> StoredTurn:
        """Return a turn for a file.

        Example:
            >>> stored = StoredTurn.make(Turn(user="Hi", sent="Title of: Hi."))
            >>> stored.sent, stored.input_at, stored.restored().sent
            ('Title of: .', 10, 'Title of: Hi.')
        """
        text = _input(turn)
        at = turn.sent.find(text) if text else -1
        fields = msgspec.structs.asdict(turn)
        if at >= 0:
            fields |= {"sent": turn.sent[:at] + turn.sent[at + len(text) :], "input_at": at}
        return cls(**fields)

    @classmethod
    def make_all(cls, turns: Iterable[Turn]) -> Iterator[StoredTurn]:
        """Yield the turns of a session for a file."""
        first: Turn | None = None
        for turn in turns:
            if first is not None and _message(first) == _message(turn):
                fields = msgspec.structs.asdict(turn) | {"user": "", "sent": "", "files": ()}
                yield cls(**fields, input_of=_id(first))
            else:
                first = turn if _id(turn) else None
                yield cls.make(turn)

    def restored(self, first: Turn | None = None) -> Turn:
        """Return the turn; `first` is the last turn before it that has a message of its own."""
        fields = msgspec.structs.asdict(self)
        at, of = fields.pop("input_at"), fields.pop("input_of")
        if at is not None:
            fields["sent"] = self.sent[:at] + _input(self) + self.sent[at:]
        if of and first is not None and of == _id(first):
            fields |= {"user": first.user, "sent": first.sent, "files": first.files}
        return Turn(**fields)


def restore_all(turns: Iterable[StoredTurn | TurnV1]) -> Iterator[Turn]:
    """Yield the turns of a file.

    Example:
        >>> turns = [
        ...     Turn(user="Hi", text=text, exchange=Exchange(id=text)) for text in ("Hello", "Hey")
        ... ]
        >>> stored = list(StoredTurn.make_all(turns))
        >>> [turn.user for turn in stored], list(restore_all(stored)) == turns
        (['Hi', ''], True)
    """
    first: Turn | None = None
    for turn in turns:
        restored = turn.restored(first)
        if not (isinstance(turn, StoredTurn) and turn.input_of):
            first = restored
        yield restored


def _message(turn: Turn) -> tuple[object, ...]:
    return turn.user, turn.sent, turn.files


def _id(turn: Turn) -> str:
    return turn.exchange.id if turn.exchange is not None else ""


def _input(turn: Turn) -> str:
    """Return the part of a turn that its rendered message may repeat."""
    is_file = turn.exchange is not None and turn.files
    return (turn.files[0].text if is_file else turn.user).strip()


class TurnV1(Turn, frozen=True, kw_only=True):
    """A turn as files of version 1 contain it: `text` was the message, `reply` the reply."""

    user: str = msgspec.field(name="text")
    text: str = msgspec.field(name="reply", default="")

    def restored(self, first: Turn | None = None) -> Turn:
        return Turn(**msgspec.structs.asdict(self))


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """A conversation. Its prompt omits the first `n_omitted` turns.

    `summary` replaces those, "" if they were dropped. `folder` is the working directory that the
    session was started in; `options` are its sampling options, as `/set` changes them.
    """

    name: str
    folder: str = ""
    created_at: str = ""
    model: str | None = None
    template: str | None = None
    system: str | None = None
    options: dict[str, Any] = {}
    turns: tuple[Turn, ...] = ()
    n_omitted: Natural = 0
    summary: str = ""
    version: int = VERSION

    __repr__ = short_repr("name", "model", "template", "created_at")
