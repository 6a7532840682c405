"""What a kept conversation consists of: frozen records, written as JSON lines."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

VERSION = 1
Natural = Annotated[int, msgspec.Meta(ge=0)]
EndReason = Literal["stop", "length", "interrupted"]


class Attachment(msgspec.Struct, frozen=True, kw_only=True):
    """A file that was added to a turn, as text; it is data, whatever it says."""

    name: str
    text: str


class Turn(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was asked, and what was answered.

    `text` is as it was typed, `sent` what a template made of it ("" where it made nothing).
    `reasoning` is not sent to the model again. `created_at` is the time of
    the answer, in UTC (`2026-11-26T10:40:18Z`). The counts are those of `Usage`; `decode_seconds`
    of the `seconds` began with the first token.
    """

    text: str
    sent: str = ""
    files: tuple[Attachment, ...] = ()
    reply: str = ""
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


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """A conversation. The model does not see the first `n_left_out` turns any more.

    `summary` stands for those, "" where they were dropped. `folder` is the working directory that
    it was begun in, `options` what `/set` has set.
    """

    name: str
    folder: str = ""
    created_at: str = ""
    model: str | None = None
    template: str | None = None
    system: str | None = None
    options: dict[str, Any] = {}
    turns: tuple[Turn, ...] = ()
    n_left_out: Natural = 0
    summary: str = ""
    version: int = VERSION
