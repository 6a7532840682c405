"""The local engine on tiny models: limits, stop strings, choices, seeds, kinds of memory."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny_model import CHATML
from tiny_vocabulary import TokenType, bpe_vocabulary

from llmtool.cancellation import Cancellation
from llmtool.engine.llama.engine import LocalEngine
from llmtool.engine.llama.model import load_model
from llmtool.engine.llama.sampler import Sampler
from llmtool.engine.types import (
    MAX_SEED,
    Failed,
    Finished,
    Message,
    Prompt,
    Request,
    Sampling,
    Token,
)
from llmtool.errors import Cancelled, ClosedError, ContextOverflow, EngineError, ModelUnreadable

HELLO = Prompt(messages=(Message("user", "hello"),))


@pytest.fixture(scope="module")
def engine(tiny: Path) -> Iterator[LocalEngine]:
    made = LocalEngine(load_model(tiny), n_threads=1)
    yield made
    made.close()


def run(
    engine: LocalEngine, prompt: Prompt = HELLO, *, n: int = 1, **sampling: object
) -> tuple[list[str], list[Finished]]:
    texts, ends = [""] * n, []
    request = Request(prompt=prompt, sampling=Sampling(**sampling), n=n)  # type: ignore[arg-type]
    for event in engine.stream([request]):
        if isinstance(event, Failed):
            raise event.error
        if isinstance(event, Token):
            texts[event.choice] += event.text
        else:
            ends.append(event)
    return texts, ends


def test_max_tokens_is_exact(engine: LocalEngine) -> None:
    for limit in (1, 2, 5, 17):
        _, (end,) = run(engine, max_tokens=limit, seed=1, temperature=2, top_k=0, min_p=0)
        assert end.usage.completion_tokens <= limit
        assert (end.finish_reason == "length") == (end.usage.completion_tokens == limit)


# Each byte begins a character that is never completed.
LEADS = [bytes([byte]) for byte in range(0xC2, 0xF5)]


def test_max_tokens_limits_endless_utf8_lead_bytes(
    tiny_model: Callable[..., Path],
) -> None:
    model = tiny_model("plain", printable=True, logit_scale=dict.fromkeys(LEADS, 50.0))
    engine = LocalEngine(load_model(model), n_threads=1)
    for temperature in (0.0, 1.0):
        sampling = {"max_tokens": 5, "temperature": temperature, "seed": 1}
        (text,), (end,) = run(engine, **sampling)
        assert text == "\ufffd" * 5
        assert (end.usage.completion_tokens, end.finish_reason) == (5, "length")
    engine.close()


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(start=st.integers(0, 30), length=st.integers(1, 6), seed=st.integers(0, 3))
def test_reply_ends_before_a_stop_string(
    engine: LocalEngine, start: int, length: int, seed: int
) -> None:
    sampling = {"max_tokens": 40, "temperature": 1.2, "seed": seed}
    ((whole,), _) = run(engine, **sampling)
    stop = whole[start : start + length]
    if not stop:
        return
    ((cut,), (end,)) = run(engine, stop=(stop,), **sampling)
    assert cut == whole[: whole.index(stop)]
    assert end.finish_reason == "stop"


def test_reply_of_a_base_model_ends_before_the_next_turn(
    tiny_base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = LocalEngine(load_model(tiny_base), n_threads=1)
    sampling = Sampling(max_tokens=40, temperature=0)

    def reply(*, continues: bool) -> str:
        prompt = Prompt(messages=(Message("user", "hello"),), continues=continues)
        events = engine.stream([Request(prompt=prompt, sampling=sampling)])
        return "".join(event.text for event in events if isinstance(event, Token))

    texts = {continues: reply(continues=continues) for continues in (True, False)}
    turns = tuple(text[5:8] for text in texts.values())
    monkeypatch.setattr("llmtool.engine.llama.chat_template._TURNS", turns)
    assert reply(continues=True) == texts[True]
    cut = min(texts[False].index(turn) for turn in turns if turn in texts[False])
    assert reply(continues=False) == texts[False][:cut]
    engine.close()


def test_choices_equal_single_replies_with_their_seeds(engine: LocalEngine) -> None:
    texts, ends = run(engine, n=3, seed=7, temperature=1.5, max_tokens=15)
    alone = [run(engine, seed=seed, temperature=1.5, max_tokens=15)[0][0] for seed in (7, 8, 9)]
    assert texts == alone
    assert [end.seed for end in ends] == [7, 8, 9]
    assert len(set(texts)) == 3
    assert [end.usage.cached_tokens > 0 for end in ends] == [False, True, True]


@pytest.mark.parametrize("kind", ["swa", "recurrent", "hybrid"])
def test_choices_equal_single_replies_on_other_kinds_of_memory(
    kind: str, tiny_model: Callable[..., Path]
) -> None:
    engine = LocalEngine(load_model(tiny_model(kind)), n_threads=1)
    prompt = Prompt(text="hello there " * 20)
    texts, _ = run(engine, prompt, n=2, seed=7, temperature=1.5, max_tokens=12)
    alone = [run(engine, prompt, seed=s, temperature=1.5, max_tokens=12)[0][0] for s in (7, 8)]
    assert texts == alone
    engine.close()


def test_seed_0_is_used_and_a_random_seed_is_reported(engine: LocalEngine) -> None:
    assert (
        run(engine, seed=0, max_tokens=9, temperature=1.5)[0]
        == (run(engine, seed=0, max_tokens=9, temperature=1.5)[0])
    )
    ((text,), (end,)) = run(engine, max_tokens=9, temperature=1.5)
    assert run(engine, seed=end.seed, max_tokens=9, temperature=1.5)[0] == [text]


def test_greedy_reply_reports_seed_0(engine: LocalEngine) -> None:
    assert run(engine, max_tokens=2, temperature=0)[1][0].seed == 0


def test_seeds_wrap_around_after_the_maximum(engine: LocalEngine) -> None:
    texts, ends = run(engine, n=2, seed=MAX_SEED, temperature=1.5, max_tokens=9)
    assert [end.seed for end in ends] == [MAX_SEED, 0]
    assert texts[1] == run(engine, seed=0, temperature=1.5, max_tokens=9)[0][0]


def test_context_is_only_as_large_as_the_request_needs(tiny: Path) -> None:
    engine = LocalEngine(load_model(tiny), n_threads=1)
    run(engine, max_tokens=4)
    assert engine.info.n_cells == 256
    run(engine, max_tokens=600)
    assert engine.info.n_cells == 768
    engine.close()


@pytest.mark.parametrize(("extra", "fits"), [(-1, True), (0, True), (1, False)])
def test_prompt_and_reply_must_fit_in_the_context(tiny: Path, extra: int, fits: bool) -> None:
    engine = LocalEngine(load_model(tiny), n_ctx=64, n_threads=1)
    prompt = Prompt(text="a b c d e f g h i j k l m n o p q r s t")
    n = len(engine.tokenize(prompt).token_ids)
    reply = 64 - n + extra
    if fits:
        _, (end,) = run(engine, prompt, max_tokens=reply, temperature=2, top_k=0, min_p=0)
        assert end.usage.prompt_tokens == n
        return
    with pytest.raises(ContextOverflow, match=f"{n} tokens and {reply} .* holds 64;") as caught:
        run(engine, prompt, max_tokens=reply)
    assert (caught.value.needed, caught.value.available) == (65, 64)


def test_too_long_request_does_not_affect_others(engine: LocalEngine) -> None:
    long = Prompt(text="hello " * 5000)
    sampling = Sampling(max_tokens=3, temperature=0)
    requests = [
        Request(id=1, prompt=HELLO, sampling=sampling),
        Request(id=2, prompt=long, sampling=sampling),
        Request(id=3, prompt=HELLO, sampling=sampling),
    ]
    events = list(engine.stream(requests))
    texts = {
        i: "".join(e.text for e in events if isinstance(e, Token) and e.id == i) for i in (1, 3)
    }
    assert texts[1] == texts[3] != ""
    (failed,) = (e for e in events if isinstance(e, Failed))
    assert failed.id == 2 and isinstance(failed.error, ContextOverflow)


def test_new_stream_can_start_after_cancellation(tiny: Path) -> None:
    cancellation = Cancellation()
    engine = LocalEngine(load_model(tiny), n_threads=1, cancellation=cancellation)
    events = engine.stream([Request(prompt=HELLO, sampling=Sampling(max_tokens=50, seed=3))])
    next(events)
    cancellation.cancel(2)
    with pytest.raises(Cancelled) as caught:
        list(events)
    assert caught.value.reason == 2
    cancellation.clear_signal()
    before = run(engine, seed=3, max_tokens=10)
    assert (
        before == run(engine, seed=3, max_tokens=10)
        or before[0] == (run(engine, seed=3, max_tokens=10)[0])
    )
    engine.close()


def test_encoder_model_is_rejected(tiny_model: Callable[..., Path]) -> None:
    with pytest.raises(ModelUnreadable, match="encoder"):
        load_model(tiny_model("encoder"))


def test_context_larger_than_memory_is_rejected_before_allocation(
    tiny_model: Callable[..., Path],
) -> None:
    engine = LocalEngine(load_model(tiny_model("plain", n_ctx=2**31 - 1)))
    with pytest.raises(EngineError, match="needs .* GB .* GB are free"):
        run(engine, max_tokens=2**31 - 600)
    texts, _ = run(engine, max_tokens=4)
    assert texts[0], "a smaller request is served"


HOSTILE = "<|im_start|> fox <|im_end|> jumps. " * 20_000


def test_much_too_long_text_is_rejected_early(tiny: Path) -> None:
    engine = LocalEngine(load_model(tiny), n_threads=1)
    begin = time.monotonic()
    with pytest.raises(ContextOverflow, match="more than .* holds 2,048"):
        run(engine, Prompt(messages=(Message("user", HOSTILE),)))
    assert time.monotonic() - begin < 10  # tokenizing the whole text takes a minute
    engine.close()


def test_cancellation_stops_the_tokenization_of_a_long_text(
    tiny_model: Callable[..., Path],
) -> None:
    cancellation = Cancellation()
    engine = LocalEngine(
        load_model(tiny_model("plain", n_ctx=2**24)), n_threads=1, cancellation=cancellation
    )
    threading.Timer(0.3, cancellation.cancel).start()
    begin = time.monotonic()
    with pytest.raises(Cancelled):
        engine.tokenize(Prompt(messages=(Message("user", HOSTILE),)))
    assert time.monotonic() - begin < 2


LONG = Request(prompt=HELLO, sampling=Sampling(max_tokens=200, temperature=0))


def test_close_ends_an_open_stream(tiny: Path) -> None:
    engine = LocalEngine(load_model(tiny), n_threads=1)
    events = engine.stream([LONG])
    next(events)
    engine.close()
    for use in (
        lambda: list(events),
        lambda: list(engine.stream([LONG])),
        lambda: engine.tokenize(HELLO),
    ):
        with pytest.raises(ClosedError):
            use()
    engine.close()


def test_close_cancels_a_stream_of_another_thread(tiny: Path) -> None:
    engine = LocalEngine(load_model(tiny), n_threads=1)
    ends: list[BaseException | None] = []

    def serve() -> None:
        try:
            for _ in range(200):
                list(engine.stream([LONG]))
        except ClosedError as exc:
            ends.append(exc)

    thread = threading.Thread(target=serve)
    thread.start()
    time.sleep(0.2)
    engine.close()
    thread.join(10)
    assert not thread.is_alive() and len(ends) == 1


def test_unstarted_stream_does_not_block_the_engine(tiny: Path) -> None:
    engine = LocalEngine(load_model(tiny), n_threads=1)
    engine.stream([LONG])
    assert run(engine, max_tokens=3)[0][0]
    engine.close()


@pytest.mark.parametrize(
    ("prompt", "is_removed"),
    [
        (Prompt(messages=(Message("user", "go"),)), True),
        (Prompt(messages=(Message("user", "go"),), prefill="Hear"), False),
        (Prompt(text="Hear"), False),
    ],
    ids=["message", "prefill", "text"],
)
def test_sentencepiece_reply_does_not_start_with_the_added_space(
    tiny_spm: Path, prompt: Prompt, is_removed: bool
) -> None:
    weights = load_model(tiny_spm)
    engine = LocalEngine(weights, n_threads=1)
    options = {"max_tokens": 3, "seed": 1, "temperature": 100, "top_k": 0, "top_p": 1, "min_p": 0}
    texts, _ = run(engine, prompt, n=64, **options)
    weights.adds_space = False
    decoded, _ = run(engine, prompt, n=64, **options)
    engine.close()
    assert any(text.startswith(" ") for text in decoded)
    assert texts == [text.removeprefix(" ") if is_removed else text for text in decoded]


# Special tokens, chat template and reply of models that reason.
HARMONY = ("<|start|>", "<|channel|>", "<|message|>", "<|constrain|>", "<|end|>", "<|return|>")
KIMI_K3 = ("<|open|>", "<|close|>", "<|sep|>", "<|end_of_msg|>")
REASONING = {
    "gpt-oss": (
        HARMONY,
        "{% for m in messages %}<|start|>user<|message|>{{ m.content }}<|end|>{% endfor %}"
        "<|start|>assistant{# <|channel|>analysis #}",
        "<|channel|>analysis<|message|>Plan.<|end|><|start|>assistant<|channel|>final "
        "<|constrain|>json<|message|>Four. <|channel|><|return|>",
    ),
    "Solar": (
        ("<|begin|>", "<|think|>", "<|content|>", "<|end|>"),
        "{{ messages[0].content }}<|begin|>assistant",
        "<|think|>Plan.<|end|><|begin|>assistant<|content|>Four.<|end|>",
    ),
    "Kimi K3": (
        KIMI_K3,
        "{% for m in messages %}{% if m.role == 'assistant' %}<|open|>response<|sep|>"
        "{{ m.content }}<|close|>response<|sep|>{% else %}{{ m.content }}{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}<|open|>think<|sep|>{% endif %}",
        "Plan.<|close|>think<|sep|><|open|>response<|sep|>Four.<|close|>response<|sep|>"
        "<|close|>message<|sep|>",
    ),
    "Apertus": (
        ("<|inner_prefix|>", "<|inner_suffix|>"),
        CHATML,
        "<|inner_prefix|>Plan.<|inner_suffix|>Four.<|inner_prefix|>",
    ),
    "think": ((), CHATML, "<think>\nPlan.\n</think>\n\nFour."),
}


def test_user_defined_tokens_that_look_special_are_not_text(
    tiny_model: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    vocabulary = bpe_vocabulary()
    for name in ("<|tool_call|>", "<table>"):
        vocabulary.add(name, name.encode(), TokenType.USER_DEFINED)
    weights = load_model(tiny_model("plain", vocabulary=vocabulary))
    reply = b"Four<|tool_call|> <table>"
    script = iter([*weights.tokenize(reply, add_special=False, parse_special=True), weights.eos])
    monkeypatch.setattr(Sampler, "_sample", lambda *_: next(script))
    engine = LocalEngine(weights, n_threads=1)
    (text, *_), _ = run(engine)
    engine.close()
    assert text == "Four <table>"


@pytest.mark.parametrize("family", REASONING)
def test_reasoning_tokens_are_not_part_of_the_answer(
    tiny_model: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, family: str
) -> None:
    names, template, reply = REASONING[family]
    vocabulary = bpe_vocabulary()
    for name in names:
        vocabulary.add(name, name.encode(), TokenType.CONTROL)
    weights = load_model(tiny_model("plain", vocabulary=vocabulary, chat_template=template))
    tokens = weights.tokenize(reply.encode(), add_special=False, parse_special=True)
    script = iter([*tokens, weights.eos])
    monkeypatch.setattr(Sampler, "_sample", lambda *_: next(script))
    engine = LocalEngine(weights, n_threads=1)
    request = Request(prompt=Prompt(messages=(Message("user", "go"),)))
    events = [event for event in engine.stream([request]) if isinstance(event, Token)]
    engine.close()
    assert "".join(event.reasoning for event in events) == "Plan."
    assert "".join(event.text for event in events).rstrip() == "Four."


@pytest.mark.parametrize("is_chat", [True, False], ids=["chat", "text"])
def test_turn_end_of_the_chat_template_ends_a_reply(
    tiny_model: Callable[..., Path], is_chat: bool
) -> None:
    template = "{% for m in messages %}{{ m.role }}: {{ m.content }}<|filler|>{% endfor %}"
    scale = {"<|filler|>": 8.0}
    model = tiny_model("plain", chat_template=template, logit_scale=scale, printable=True)
    engine = LocalEngine(load_model(model), n_threads=1)
    prompt = Prompt(messages=(Message("user", "Hi"),)) if is_chat else Prompt(text="Hi")
    request = Request(prompt=prompt, sampling=Sampling(max_tokens=60, seed=1, temperature=2.0))
    *_, finished = engine.stream([request])
    engine.close()
    assert isinstance(finished, Finished)
    assert finished.finish_reason == ("stop" if is_chat else "length")
