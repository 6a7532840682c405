"""A conversation stays in the KV cache: each turn computes only new tokens, with any memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from llmtool.cancellation import Cancellation
from llmtool.engine.llama.context import Context
from llmtool.engine.llama.engine import LocalEngine
from llmtool.engine.llama.model import load_model
from llmtool.engine.llama.tokenizer import reuse_cached_tokens
from llmtool.engine.types import (
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
FULL_SNAPSHOTS = ("recurrent", "hybrid")  # kinds whose memory cannot be truncated
N_REPLY = 12


class Conversation:
    """A conversation on an engine, which counts the tokens that each turn computes."""

    def __init__(self, engine: LocalEngine, counts: list[int]) -> None:
        self.engine, self.counts = engine, counts
        self.messages: list[Message] = [Message("system", "be brief and kind to all who ask")]

    def prompt(self, text: str, *, n_fixed: int | None = None) -> Prompt:
        messages = (*self.messages, Message("user", text))
        return Prompt(messages=messages, n_fixed=n_fixed)

    def send(self, text: str, **options: Any) -> tuple[str, int]:
        """Return (reply, number of computed tokens)."""
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
    def cached(self) -> tuple[int, ...]:
        sequences = self.engine.contexts.sequences
        return () if sequences is None else (sequences.histories() or [()])[-1]

    def ids(self, text: str) -> tuple[int, ...]:
        ids = self.engine.tokenize(self.prompt(text)).token_ids
        return reuse_cached_tokens(ids, self.cached, self.engine.model.weights)

    def n_tokens(self, text: str) -> int:
        return len(self.ids(text))


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list to which each decode appends its batch size."""
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
) -> Iterator[Callable[..., Conversation]]:
    engines: list[LocalEngine] = []

    def make(kind: str, **options: Any) -> Conversation:
        options.setdefault("prefix_folder", None)
        weights = load_model(tiny_model(kind))
        # Drafts that are wrong are computed, too.
        engines.append(LocalEngine(weights, n_threads=1, draft="off", **options))
        return Conversation(engines[-1], counts)

    yield make
    for engine in engines:
        engine.close()


@pytest.mark.parametrize("kind", KINDS)
def test_each_turn_computes_only_new_tokens(start: Callable[..., Conversation], kind: str) -> None:
    conversation = start(kind)
    for text in ("hello there", "how are you", "the quick brown fox", "and a lazy dog"):
        cached, ids = conversation.cached, conversation.ids(text)
        new = len(ids) - common_prefix_length([cached, ids])
        _, n_computed = conversation.send(text)
        # The last token of a reply is sampled but not computed; the next turn computes it.
        assert n_computed <= new + N_REPLY
        assert len(ids) - new == len(cached), conversation.messages


@pytest.mark.parametrize("kind", KINDS)
def test_cached_turn_has_the_reply_of_an_uncached_conversation(
    start: Callable[..., Conversation], kind: str
) -> None:
    continued, fresh = start(kind), start(kind)
    for text in ("hello there", "how are you", "the quick brown fox"):
        fresh.messages = list(continued.messages)
        if fresh.engine.contexts.sequences is not None:
            fresh.engine.contexts.sequences.evict_all()
            fresh.engine.contexts.cache.entries.clear()
        assert continued.send(text)[0] == fresh.send(text)[0]
        # Generated tokens may differ from the tokenization of their text; the tokens of this text
        # do not.
        continued.messages[-1] = Message("assistant", "hello, a lazy dog")


@pytest.mark.parametrize("kind", KINDS)
def test_repeated_turn_computes_no_prompt(start: Callable[..., Conversation], kind: str) -> None:
    conversation = start(kind)
    conversation.send("hello there")
    first = conversation.send("how are you")[0]
    del conversation.messages[-2:]
    again, n_computed = conversation.send("how are you")
    assert again == first
    assert n_computed <= N_REPLY


@pytest.mark.parametrize("kind", KINDS)
def test_earlier_turns_stay_cached_after_undo(
    start: Callable[..., Conversation], kind: str
) -> None:
    conversation = start(kind)
    conversation.send("hello there")
    conversation.send("how are you")
    del conversation.messages[-2:]
    before = len(
        conversation.engine.tokenize(Prompt(messages=tuple(conversation.messages))).token_ids
    )
    n_computed = conversation.send("a lazy dog")[1]
    assert n_computed <= conversation.n_tokens("a lazy dog") - before + 20


@pytest.mark.parametrize("kind", KINDS)
def test_conversation_continues_in_a_larger_context(
    start: Callable[..., Conversation], kind: str
) -> None:
    conversation = start(kind)
    sizes, n_continued = set(), 0
    for i in range(14):
        text = f"hello {i} " + "the quick brown fox " * 6
        cached, ids = conversation.cached, conversation.ids(text)
        n_computed = conversation.send(text)[1]
        sizes.add(conversation.engine.info.n_cells)
        n_common = common_prefix_length([cached, ids])
        # A control token in a reply shortens the common prefix.
        if kind not in FULL_SNAPSHOTS or n_common == len(cached):
            assert n_computed <= len(ids) - n_common + N_REPLY
            n_continued += 1
    assert n_continued >= 8
    assert len(sizes) == 3  # each twice as large as the previous one


@pytest.mark.parametrize("kind", KINDS)
def test_cancelled_reply_leaves_the_cache_valid(
    start: Callable[..., Conversation], kind: str
) -> None:
    cancellation = Cancellation()
    conversation, other = start(kind, cancellation=cancellation), start(kind)
    for each in (conversation, other):
        each.send("hello there")
    request = Request(
        prompt=conversation.prompt("how are you"), sampling=Sampling(temperature=0), keep=True
    )
    with pytest.raises(Cancelled):
        for n, _ in enumerate(conversation.engine.stream([request])):
            if n == 5:
                cancellation.cancel()
    cancellation.reset()
    text, n_computed = conversation.send("how are you")
    assert text == other.send("how are you")[0]
    if kind not in FULL_SNAPSHOTS:
        assert n_computed <= N_REPLY


def test_earlier_turns_stay_cached_after_an_aborted_prefill(
    start: Callable[..., Conversation], monkeypatch: pytest.MonkeyPatch
) -> None:
    cancellation = Cancellation()
    conversation, other = start("plain", cancellation=cancellation), start("plain")
    for each in (conversation, other):
        each.send("hello there")
    decode = Context.decode

    def stopping(self: Context) -> None:
        cancellation.cancel()
        decode(self)

    with monkeypatch.context() as patch, pytest.raises(Cancelled):
        patch.setattr(Context, "decode", stopping)
        conversation.send("how are you " * 20)
    cancellation.reset()
    assert len(conversation.cached) > 20
    assert conversation.send("how are you")[0] == other.send("how are you")[0]


@pytest.mark.parametrize("kind", KINDS)
def test_conversation_is_restored_from_disk(
    start: Callable[..., Conversation], kind: str, tmp_path: Path
) -> None:
    conversation = start(kind, prefix_folder=tmp_path)
    for text in ("hello there", "how are you", "the quick brown fox"):
        conversation.send(text)
    x, y = (conversation.engine.tokenize(conversation.prompt(each)).token_ids for each in "xy")
    n_fixed = common_prefix_length([x, y])
    assert n_fixed >= 64
    is_canonical = x[:n_fixed] == conversation.ids("x")[:n_fixed]
    assert not is_canonical  # generated tokens differ from the tokenization of their text
    conversation.engine.save_state(conversation.prompt("x", n_fixed=n_fixed))
    later = start(kind, prefix_folder=tmp_path)
    later.messages = list(conversation.messages)
    reply, n_computed = later.send("a lazy dog", n_fixed=n_fixed)
    assert (
        n_computed
        <= len(conversation.ids("a lazy dog")) - len(conversation.ids("x")) + 12 + N_REPLY
    )
    assert reply == conversation.send("a lazy dog")[0]


@pytest.mark.parametrize("kind", KINDS)
def test_other_requests_are_served_between_two_turns(
    start: Callable[..., Conversation], kind: str
) -> None:
    conversation, alone = start(kind), start(kind)
    sampling = Sampling(temperature=0, max_tokens=60)
    other = Request(prompt=Prompt(text="a lazy dog"), sampling=sampling, n=4)
    for text in ("hello there", "how are you"):
        assert conversation.send(text)[0] == alone.send(text)[0]
        ends = [e for e in conversation.engine.stream([other]) if isinstance(e, Finished)]
        assert len(ends) == 4
