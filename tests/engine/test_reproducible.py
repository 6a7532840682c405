"""A reproducible engine gives a request the same bits in any batch."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llmtool.config import Folders, Settings
from llmtool.engine.types import Message, Prompt, Request, Sampling, Token
from llmtool.errors import UsageError
from llmtool.tasks.results import Classification, Generation
from llmtool.toolbox import Toolbox

LABELS = ["late", "early", "late evening"]


@pytest.fixture
def open_box(tiny_model: Callable[..., Path], tmp_path: Path) -> Callable[..., Toolbox]:
    folders = Folders(
        **{name: tmp_path / name for name in ("config", "data", "cache", "hub_cache")}
    )

    def open_(kind: str = "plain", **options: object) -> Toolbox:
        return Toolbox(
            tiny_model(kind, printable=True),
            n_threads=1,
            folders=folders,
            settings=Settings(),
            environ={},
            reproducible=True,
            **options,  # type: ignore[arg-type]
        )

    return open_


def make_texts() -> list[str]:
    """Return texts of different lengths, one longer than a batch of tokens."""
    choose = random.Random(1)
    words = ["river", "late", "parcel", "money", "rain", "dog"]
    lengths = [3, 40, 1, 150, 9, 2]
    return [" ".join(choose.choice(words) for _ in range(length)) for length in lengths]


def content(result: Generation | Classification) -> object:
    if isinstance(result, Classification):
        return result.scores, result.logprobs
    return [(each.text, each.logprobs) for each in result.choices]


@pytest.mark.parametrize("kind", ["plain", "swa", "hybrid"])
def test_results_do_not_depend_on_the_batch(open_box: Callable[..., Toolbox], kind: str) -> None:
    texts = make_texts()
    sampling = {"max_tokens": 4, "temperature": 0.0, "logprobs": 2, "seed": 1}

    def run(box: Toolbox, texts: list[str]) -> list[tuple[object, object, object]]:
        replies = box.generate(texts, **sampling)  # type: ignore[call-overload]
        several = box.generate(texts, n=2, **{**sampling, "temperature": 0.9})  # type: ignore[call-overload]
        labels = box.classify(texts, LABELS, calibrate="auto" if kind == "plain" else "none")
        return list(
            zip(map(content, replies), map(content, several), map(content, labels), strict=True)
        )

    with open_box(kind) as box:  # each call of `run` finds other states of the context
        whole = run(box, texts)
        assert run(box, texts[::-1]) == whole[::-1]
    with open_box(kind) as box:  # the prefixes and anchors are cached on disk
        alone = [run(box, [text])[0] for text in texts[:2]]
        assert alone == whole[:2]
    with open_box(kind, prefix_cache=False) as box:
        assert run(box, texts[3:4]) == whole[3:4]


@pytest.mark.parametrize("kind", ["plain", "hybrid"])
def test_replies_of_a_chat_do_not_depend_on_its_earlier_replies(
    open_box: Callable[..., Toolbox], kind: str
) -> None:
    options: dict[str, Any] = {"max_tokens": 40, "temperature": 0.0, "logprobs": 1}

    def say(box: Toolbox, messages: list[Message]) -> tuple[str, list[Any]]:
        request = Request(
            prompt=Prompt(messages=tuple(messages)), sampling=Sampling(**options), keep=True
        )
        tokens = [each for each in box.engine.stream([request]) if isinstance(each, Token)]
        return "".join(each.text for each in tokens), [each.logprob for each in tokens]

    messages = [Message(role="user", content="hello river")]
    with open_box(kind) as box:
        reply = say(box, messages)
        messages += [Message(role="assistant", content=reply[0])]
        messages += [Message(role="user", content="and then")]
        after = say(box, messages)
    with open_box(kind) as box:
        assert say(box, messages) == after
        assert say(box, messages[:1]) == reply


def test_reproducible_results_need_one_request_at_a_time(open_box: Callable[..., Toolbox]) -> None:
    with pytest.raises(UsageError, match="n_parallel=2: must be 1 for reproducible results"):
        open_box(n_parallel=2).generate("hi")
    with pytest.raises(UsageError, match="a balanced batch cannot be reproducible"):
        open_box().classify(["one", "two"], ["a", "b"], calibrate="balanced")
