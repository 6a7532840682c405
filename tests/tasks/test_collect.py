"""From events to results: order, read-ahead of requests, tokens with log-probabilities."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmtool.engine.scripted import ScriptedEngine
from llmtool.engine.types import (
    Event,
    Failed,
    Finished,
    Prompt,
    Request,
    Timings,
    Token,
    TokenLogprob,
    Usage,
)
from llmtool.errors import ContextOverflow, InputError
from llmtool.tasks.pipeline.collect import raise_failures, stream_outcomes
from llmtool.tasks.pipeline.ordering import MAX_AHEAD
from llmtool.tasks.pipeline.token_logprobs import tokens_of
from llmtool.tasks.results import Generation
from llmtool.toolbox import Toolbox

USAGE = Usage(prompt_tokens=3, cached_tokens=0, completion_tokens=2)
TIMINGS = Timings(prefill_seconds=0.1, decode_seconds=0.2)


class ReorderingEngine(ScriptedEngine):
    """Replies to the first `n_delayed` requests after the others, or when `requests` blocks."""

    def __init__(self, answer: Callable[[Request], list[Event]], *, n_delayed: int = 0) -> None:
        super().__init__()
        self._answer, self._n_delayed = answer, n_delayed
        self.n_read = 0
        self.closed = False

    def stream(self, requests: Iterable[Request | None]) -> Iterator[Event]:
        delayed: list[Request] = []
        try:
            for request in requests:
                if request is None:  # the reader waits for a delayed reply
                    yield from self._answer(delayed.pop(0))
                    continue
                self.n_read += 1
                if len(delayed) < self._n_delayed:
                    delayed.append(request)
                else:
                    yield from self._answer(request)
            for request in reversed(delayed):
                yield from self._answer(request)
        finally:
            self.closed = True


def reply(request: Request) -> list[Event]:
    tokens = [Token(request.id, i, f"{request.id}.{i}") for i in range(request.n)]
    ends = [
        Finished(
            id=request.id, choice=i, finish_reason="stop", usage=USAGE, timings=TIMINGS, seed=i
        )
        for i in reversed(range(request.n))
    ]
    return [*tokens, *ends]


def requests(count: int | None = None, **fields: Any) -> Iterator[Request]:
    numbers = itertools.count() if count is None else range(count)
    return (Request(id=i, prompt=Prompt(text="x"), **fields) for i in numbers)


def results(engine: ReorderingEngine, pending: Iterable[Request]) -> Iterator[Generation]:
    for event in raise_failures(stream_outcomes(engine, pending, model="m")):
        if isinstance(event, Generation):
            yield event


@pytest.mark.parametrize("n_delayed", [0, 1, 5])
def test_results_are_in_request_order(n_delayed: int) -> None:
    found = list(results(ReorderingEngine(reply, n_delayed=n_delayed), requests(5, n=2)))
    assert [r.text for r in found] == ["0.0", "1.0", "2.0", "3.0", "4.0"]
    assert [[c.text for c in r.choices] for r in found][3] == ["3.0", "3.1"]


def test_slow_reply_bounds_the_read_ahead() -> None:
    engine = ReorderingEngine(reply, n_delayed=1)
    first = next(results(engine, requests()))
    assert first.text == "0.0"
    assert engine.n_read == MAX_AHEAD


def test_reply_whose_repetition_was_ended_has_a_warning() -> None:
    def answer(request: Request) -> list[Event]:
        return [
            msgspec.structs.replace(event, ended_repetition=True)
            if isinstance(event, Finished)
            else event
            for event in reply(request)
        ]

    (found,) = results(ReorderingEngine(answer), requests(1))
    (warning,) = found.warnings
    assert warning.startswith("the model repeated itself")
    (found,) = results(ReorderingEngine(reply), requests(1))
    assert found.warnings == ()


def test_endless_iterator_is_read_lazily() -> None:
    box = Toolbox("scripted", engine=ScriptedEngine(lambda text: text.upper()), environ={})
    read: list[int] = []

    def prompts() -> Iterator[str]:
        for i in itertools.count():
            read.append(i)
            yield f"number {i}"

    replies = box.generate(prompts())
    assert [next(replies).text for _ in range(3)] == [f"USER: NUMBER {i}" for i in range(3)]
    assert len(read) <= 4


def test_first_failed_request_raises_and_closes_the_stream() -> None:
    def answer(request: Request) -> list[Event]:
        if request.id in (1, 3):
            return [Failed(request.id, InputError(f"bad {request.id}"))]
        return reply(request)

    engine = ReorderingEngine(answer, n_delayed=2)
    found = results(engine, requests(6))
    assert next(found).text == "0.0"
    with pytest.raises(InputError, match="bad 1") as caught:
        next(found)
    # The stream is closed although the exception, and with it its traceback, is still referenced.
    assert engine.closed, repr(caught.value)


def test_too_long_prompt_fails_the_list_and_the_toolbox_stays_usable(
    tiny: Path,
) -> None:
    with Toolbox(tiny, n_threads=1, prefix_cache=False) as box:
        with pytest.raises(ContextOverflow) as caught:
            box.generate(["hello", "hello " * 5000, "hello"], max_tokens=4)
        assert caught.value.needed > caught.value.available
        assert len(box.generate(["hello", "there"], max_tokens=4)) == 2


def test_prompts_decoded_in_parallel_keep_their_order(tiny: Path) -> None:
    prompts = [f"{'word ' * (i % 5)}number {i}" for i in range(12)]
    options: dict[str, Any] = {"temperature": 0, "max_tokens": 10}
    with Toolbox(tiny, n_threads=1, n_parallel=1, prefix_cache=False) as box:
        sizes = [box.generate(prompt, **options).usage.prompt_tokens for prompt in prompts]
        assert box.generate("x", n=3, **options).choices[2].text, "three choices on one sequence"
    with Toolbox(tiny, n_threads=1, n_parallel=4, prefix_cache=False) as box:
        assert [r.usage.prompt_tokens for r in box.generate(prompts, **options)] == sizes
        assert [r.usage.prompt_tokens for r in box.generate(iter(prompts), **options)] == sizes
    assert len(set(sizes)) > 3, "the prompts do not differ in length"


def token(raw: bytes, logprob: float = -1.0) -> TokenLogprob:
    return TokenLogprob(token=raw.decode(errors="replace"), bytes=tuple(raw), logprob=logprob)


@pytest.mark.parametrize(
    ("text", "tokens", "selected"),
    [
        ("a b", [b"a", b" b"], [b"a", b" b"]),
        ("a b", [b"a", b" b", b" STOP"], [b"a", b" b"]),
        ("a b", [b"a", b" b.ST", b"OP"], [b"a", b" b"]),
        ("yes", [b"\n\n", b"yes"], [b"yes"]),
        ("yes", [b"<th", b"ink>", b"\n yes"], [b"yes"]),
        ("né!", [b"n", b"\xc3", b"\xa9", b"!"], [b"n", b"\xc3", b"\xa9", b"!"]),
        ("é", [b"\n", b"\xc3", b"\xa9", b"\xc3"], [b"\xc3", b"\xa9"]),
        ("a\ufffdb", [b"a", b"\xff", b"b"], [b"a", b"\xff", b"b"]),
        ("a\ufffd", [b"a", b"\xc3"], [b"a", b"\xc3"]),
        ("", [b"STOP"], []),
    ],
    ids=[
        *("all", "after stop", "stop within token", "white space", "tags", "split character"),
        *("incomplete next character", "invalid byte", "incomplete character", "empty"),
    ],
)
def test_tokens_of_selects_the_tokens_of_the_text(
    text: str, tokens: list[bytes], selected: list[bytes]
) -> None:
    found = tokens_of(text, [token(raw) for raw in tokens])
    assert [bytes(token.bytes) for token in found] == selected


@given(
    st.text(max_size=12),
    st.lists(st.integers(0, 40), max_size=6),
    st.integers(0, 12),
    st.integers(0, 12),
)
def test_joined_bytes_equal_the_text(whole: str, cuts: list[int], start: int, stop: int) -> None:
    raw = whole.encode("utf-8", "replace")
    whole = raw.decode()
    edges = [0, *sorted(min(cut, len(raw)) for cut in cuts), len(raw)]
    tokens = [token(raw[a:b]) for a, b in itertools.pairwise(edges)]
    text = whole[start:stop]
    joined = b"".join(bytes(token.bytes) for token in tokens_of(text, tokens))
    assert joined.decode() == text


@pytest.mark.parametrize("stop", [(), 1, 3], ids=["no stop", "stop early", "stop later"])
def test_logprobs_match_the_bytes_of_the_reply(tiny: Path, stop: Any) -> None:
    options: dict[str, Any] = {"temperature": 0, "max_tokens": 16}
    with Toolbox(tiny, n_threads=1, prefix_cache=False) as box:
        whole = box.generate("hello there", **options).text
        if stop:
            options["stop"] = whole[stop + 4 : stop + 6]
        result = box.generate("hello there", logprobs=3, **options)
        (choice,) = result.choices
        assert choice.text == (whole[: whole.index(options["stop"])] if stop else whole)
        assert choice.logprobs is not None
        joined = b"".join(bytes(token.bytes) for token in choice.logprobs)
        assert joined.decode("utf-8", "replace") == choice.text
        for token in choice.logprobs:
            assert len(token.top) == 3 and token.logprob <= token.top[0].logprob <= 0
        assert box.generate("hello there", **options).choices[0].logprobs is None


@pytest.mark.parametrize("answer_tag", ["", "{# <response> </response> #}"])
def test_constraint_starts_after_reasoning_that_is_too_long(
    tiny_model: Callable[..., Path], answer_tag: str
) -> None:
    template = answer_tag + "{{ messages[0].content }}{% if enable_thinking %}<think>\n{% endif %}"
    thinker = tiny_model("plain", chat_template=template, printable=True)
    with Toolbox(thinker, n_threads=1, prefix_cache=False) as box:
        result = box.generate("go", regex="(yes|no) [0-9]{3}", seed=1, think_tokens=8)
        assert result.text[:2] in ("ye", "no") and result.text[-3:].isdigit()
        assert result.choices[0].reasoning and "<" not in result.choices[0].reasoning


def test_constraint_and_logprobs_start_after_the_reasoning(
    tiny_model: Callable[..., Path],
) -> None:
    template = "{{ messages[0].content }}{% if enable_thinking %}<think>\n{% endif %}"
    thinker = tiny_model(
        "plain", chat_template=template, printable=True, logit_scale={"</think>": 2.2}
    )
    with Toolbox(thinker, n_threads=1, prefix_cache=False) as box:
        reasoning = set()
        for seed in range(4):
            options: dict[str, Any] = {"thinking": True, "seed": seed, "max_tokens": 300}
            result = box.generate("go", regex="(yes|no) [0-9]{3}", logprobs=1, **options)
            (choice,) = result.choices
            assert choice.text[:2] in ("ye", "no") and choice.text[-3:].isdigit()
            assert choice.logprobs is not None
            joined = b"".join(bytes(token.bytes) for token in choice.logprobs)
            assert joined.decode() == choice.text
            reasoning.add(choice.reasoning)
        assert any(reasoning), "the model did not reason"
