"""A conversation stays in the memory: a turn computes what is new, whatever the memory keeps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from llmtool.engine.llama.context import Context
from llmtool.engine.llama.engine import LocalEngine
from llmtool.engine.llama.model import load_model
from llmtool.engine.llama.tokenizer import reuse_cached_tokens
from llmtool.engine.types import (
    Cancellation,
    Failed,
    Finished,
    Message,
    Prompt,
    Request,
    Sampling,
    Token,
    common_prefix_length,
)
from llmtool.errors import Cancelled

KINDS = ["plain", "swa", "recurrent", "hybrid"]
WHOLE_STATES = ("recurrent", "hybrid")
N_REPLY = 12


class Talk:
    """A conversation on an engine, and how many tokens each turn has computed."""

    def __init__(self, engine: LocalEngine, counts: list[int]) -> None:
        self.engine, self.counts = engine, counts
        self.messages: list[Message] = [Message("system", "be brief and kind to all who ask")]

    def prompt(self, text: str, *, n_fixed: int | None = None) -> Prompt:
        messages = (*self.messages, Message("user", text))
        return Prompt(messages=messages, n_fixed=n_fixed)

    def say(self, text: str, **options: Any) -> tuple[str, int]:
        """Return (reply, tokens computed for it)."""
        n_fixed = options.pop("n_fixed", None)
        request = Request(
            prompt=self.prompt(text, n_fixed=n_fixed),
            sampling=Sampling(temperature=0, max_tokens=options.pop("max_tokens", N_REPLY)),
            keep=True,
        )
        before, reply = sum(self.counts), ""
        for event in self.engine.stream([request]):
            if isinstance(event, Failed):
                raise event.error
            if isinstance(event, Token):
                reply += event.text
        self.messages += [Message("user", text), Message("assistant", reply)]
        return reply, sum(self.counts) - before

    @property
    def held(self) -> tuple[int, ...]:
        sequences = self.engine.contexts.sequences
        return () if sequences is None else sequences.token_history

    def ids(self, text: str) -> tuple[int, ...]:
        ids = self.engine.tokenize(self.prompt(text)).token_ids
        return reuse_cached_tokens(ids, self.held, self.engine.model.weights)

    def n_tokens(self, text: str) -> int:
        return len(self.ids(text))


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the sizes of all batches that are decoded."""
    sizes: list[int] = []
    decode = Context.decode

    def counting(self: Context) -> None:
        sizes.append(self.batch.n_tokens)
        decode(self)

    monkeypatch.setattr(Context, "decode", counting)
    return sizes


@pytest.fixture
def start(
    tiny_model: Callable[..., Path], counts: list[int], tmp_path: Path
) -> Iterator[Callable[..., Talk]]:
    engines: list[LocalEngine] = []

    def make(kind: str, **options: Any) -> Talk:
        options.setdefault("prefix_folder", None)
        engines.append(LocalEngine(load_model(tiny_model(kind)), n_threads=1, **options))
        return Talk(engines[-1], counts)

    yield make
    for engine in engines:
        engine.close()


@pytest.mark.parametrize("kind", KINDS)
def test_each_turn_computes_only_new_tokens(start: Callable[..., Talk], kind: str) -> None:
    talk = start(kind)
    for text in ("hello there", "how are you", "the quick brown fox", "and a lazy dog"):
        held, ids = talk.held, talk.ids(text)
        new = len(ids) - common_prefix_length([held, ids])
        _, n_computed = talk.say(text)
        # A reply's last token is chosen and not computed: the next turn does that.
        assert n_computed <= new + N_REPLY
        assert len(ids) - new == len(held), talk.messages


@pytest.mark.parametrize("kind", KINDS)
def test_cached_turn_has_the_reply_of_an_uncached_conversation(
    start: Callable[..., Talk], kind: str
) -> None:
    going_on, anew = start(kind), start(kind)
    for text in ("hello there", "how are you", "the quick brown fox"):
        anew.messages = list(going_on.messages)
        if anew.engine.contexts.sequences is not None:
            anew.engine.contexts.sequences.reset()
        assert going_on.say(text)[0] == anew.say(text)[0]
        # Their own words are nobody's spelling; these are tokens whoever writes them.
        going_on.messages[-1] = Message("assistant", "hello, a lazy dog")


@pytest.mark.parametrize("kind", KINDS)
def test_repeated_turn_computes_no_prompt(start: Callable[..., Talk], kind: str) -> None:
    talk = start(kind)
    talk.say("hello there")
    first = talk.say("how are you")[0]
    del talk.messages[-2:]
    again, n_computed = talk.say("how are you")
    assert again == first
    assert n_computed <= N_REPLY


@pytest.mark.parametrize("kind", KINDS)
def test_earlier_turns_stay_cached_after_undo(start: Callable[..., Talk], kind: str) -> None:
    talk = start(kind)
    talk.say("hello there")
    talk.say("how are you")
    del talk.messages[-2:]
    before = len(talk.engine.tokenize(Prompt(messages=tuple(talk.messages))).token_ids)
    n_computed = talk.say("a lazy dog")[1]
    assert n_computed <= talk.n_tokens("a lazy dog") - before + 20


@pytest.mark.parametrize("kind", KINDS)
def test_conversation_continues_in_a_larger_context(start: Callable[..., Talk], kind: str) -> None:
    talk = start(kind)
    sizes, n_went_on = set(), 0
    for i in range(14):
        text = f"hello {i} " + "the quick brown fox " * 6
        held, ids = talk.held, talk.ids(text)
        n_computed = talk.say(text)[1]
        sizes.add(talk.engine.info.n_cells)
        n_alike = common_prefix_length([held, ids])
        if kind not in WHOLE_STATES or n_alike == len(held):  # no control token was in the reply
            assert n_computed <= len(ids) - n_alike + N_REPLY
            n_went_on += 1
    assert n_went_on >= 8
    assert len(sizes) == 3  # each twice as large as the one before


@pytest.mark.parametrize("kind", KINDS)
def test_cancelled_reply_leaves_the_cache_valid(start: Callable[..., Talk], kind: str) -> None:
    cancellation = Cancellation()
    talk, other = start(kind, cancellation=cancellation), start(kind)
    for each in (talk, other):
        each.say("hello there")
    request = Request(
        prompt=talk.prompt("how are you"), sampling=Sampling(temperature=0), keep=True
    )
    with pytest.raises(Cancelled):
        for n, _ in enumerate(talk.engine.stream([request])):
            if n == 5:
                cancellation.cancel()
    cancellation.reset()
    text, n_computed = talk.say("how are you")
    assert text == other.say("how are you")[0]
    if kind not in WHOLE_STATES:
        assert n_computed <= N_REPLY


def test_earlier_turns_stay_cached_after_an_aborted_prefill(
    start: Callable[..., Talk], monkeypatch: pytest.MonkeyPatch
) -> None:
    cancellation = Cancellation()
    talk, other = start("plain", cancellation=cancellation), start("plain")
    for each in (talk, other):
        each.say("hello there")
    decode = Context.decode

    def stopping(self: Context) -> None:
        cancellation.cancel()
        decode(self)

    with monkeypatch.context() as patch, pytest.raises(Cancelled):
        patch.setattr(Context, "decode", stopping)
        talk.say("how are you " * 20)
    cancellation.reset()
    assert len(talk.held) > 20
    assert talk.say("how are you")[0] == other.say("how are you")[0]


@pytest.mark.parametrize("kind", KINDS)
def test_conversation_is_restored_from_disk(
    start: Callable[..., Talk], kind: str, tmp_path: Path
) -> None:
    talk = start(kind, prefix_folder=tmp_path)
    for text in ("hello there", "how are you", "the quick brown fox"):
        talk.say(text)
    x, y = (talk.engine.tokenize(talk.prompt(each)).token_ids for each in "xy")
    n_fixed = common_prefix_length([x, y])
    assert n_fixed >= 64
    is_canonical = x[:n_fixed] == talk.ids("x")[:n_fixed]
    assert not is_canonical  # its model spells what it writes as no tokeniser does
    talk.engine.save_state(talk.prompt("x", n_fixed=n_fixed))
    later = start(kind, prefix_folder=tmp_path)
    later.messages = list(talk.messages)
    reply, n_computed = later.say("a lazy dog", n_fixed=n_fixed)
    assert n_computed <= len(talk.ids("a lazy dog")) - len(talk.ids("x")) + 12 + N_REPLY
    assert reply == talk.say("a lazy dog")[0]


@pytest.mark.parametrize("kind", KINDS)
def test_other_requests_are_served_between_two_turns(start: Callable[..., Talk], kind: str) -> None:
    talk, alone = start(kind), start(kind)
    other = Request(prompt=Prompt(text="a lazy dog"), sampling=Sampling(temperature=0), n=4)
    for text in ("hello there", "how are you"):
        assert talk.say(text)[0] == alone.say(text)[0]
        ends = [e for e in talk.engine.stream([other]) if isinstance(e, Finished)]
        assert len(ends) == 4
