"""Admission of requests while others run: as many as the cells allow."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from llmtool.engine.llama.attention_cost import AttentionCost
from llmtool.engine.llama.engine import LocalEngine
from llmtool.engine.llama.model import load_model
from llmtool.engine.types import (
    Failed,
    Finished,
    Prompt,
    Request,
    Sampling,
    ScoreRequest,
    Scores,
)

N_CELLS = 512


@pytest.fixture
def engine(
    tiny_model: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> Iterator[LocalEngine]:
    """An engine whose pool has 512 cells and cannot grow, due to the model's RoPE limit."""
    monkeypatch.setattr(AttentionCost, "streams", lambda *_, **__: math.inf)
    metadata = {"llama.rope.scaling.original_context_length": N_CELLS}
    made = LocalEngine(
        load_model(tiny_model("plain", metadata=metadata)), n_threads=1, n_parallel=4
    )
    yield made
    made.close()


def make_request(id: int, text: str, max_tokens: int, n: int = 1) -> Request:
    sampling = Sampling(temperature=0, max_tokens=max_tokens)
    return Request(id=id, prompt=Prompt(text=text), sampling=sampling, n=n)


def serve(engine: LocalEngine, requests: Iterable[Any]) -> list[int]:
    """Return the ids of requests in the order in which their choices end."""
    ended = []
    for event in engine.stream(requests):
        if isinstance(event, Failed):
            raise event.error
        if isinstance(event, (Finished, Scores)):
            ended.append(event.id)
    assert engine.info.n_cells == N_CELLS
    return ended


def test_letters_are_single_tokens(engine: LocalEngine) -> None:
    ids = engine.tokenize(Prompt(text="q" * 50 + "z" * 50 + "w" * 50 + "k")).token_ids
    assert len(ids) == 151


@pytest.mark.parametrize("n_shared", [0, 100], ids=["nothing shared yet", "100 tokens shared"])
@pytest.mark.parametrize(
    ("n_missing", "order"),
    [(0, [2, 3, 1]), (1, [1, 2, 3]), (20, [1, 2, 3])],
    ids=["fits", "one cell too long", "20 cells too long"],
)
def test_longer_prefix_is_shared_if_it_fits_beside_running_requests(
    n_missing: int, order: list[int], n_shared: int, engine: LocalEngine
) -> None:
    first = make_request(1, "q" * n_shared + "z" * 10, 200)
    n_prompt = N_CELLS - (10 + 200) + n_missing - 5
    others = [make_request(id, "q" * (n_prompt - 1) + end, 5) for id, end in ((2, "k"), (3, "w"))]
    assert serve(engine, [first, *others]) == order


def test_prefix_is_replaced_after_its_requests_end(
    engine: LocalEngine,
) -> None:
    def source() -> Iterator[Request | None]:
        yield make_request(1, "q" * 100 + "z" * 10, 200)
        yield make_request(2, "q" * 100 + "k", 1)
        yield from [None] * 3
        yield make_request(3, "w" * 250 + "z", 20)
        yield make_request(4, "w" * 250 + "k", 20)

    ended = serve(engine, source())
    assert ended[:2] == [2, 1] and sorted(ended[2:]) == [3, 4]


def test_prompt_equal_to_the_shared_prefix_runs_with_other_requests(engine: LocalEngine) -> None:
    def source() -> Iterator[Request | None]:
        yield make_request(1, "q" * 100 + "z", 200)
        yield make_request(2, "q" * 100 + "k", 1)
        yield from [None] * 3
        yield make_request(3, "q" * 100, 20)

    assert serve(engine, source()) == [2, 3, 1]


def test_later_requests_do_not_overtake_waiting_choices(engine: LocalEngine) -> None:
    def source() -> Iterator[Request | None]:
        yield make_request(1, "z" * 10, 200, n=3)
        yield from [None] * 3
        yield make_request(2, "k" * 10, 5)

    assert serve(engine, source()) == [1, 1, 2, 1]


LONG = "q" * 300
SHORT = tuple(f"{a}{b}" for a in "ab" for b in "cdefghijk")


@pytest.mark.parametrize(
    "candidates", [(LONG,), (*SHORT, LONG)], ids=["one group", "several groups"]
)
def test_candidates_reserve_cells(candidates: tuple[str, ...], engine: LocalEngine) -> None:
    prompt = Prompt(text="z" * 50)
    scored = ScoreRequest(id=1, prompt=prompt, candidates=candidates, end=True)
    assert serve(
        engine, [scored, make_request(2, "w" * 180, 10), make_request(3, "k" * 150, 10)]
    ) == [1, 2, 3]


def test_prompt_waits_while_candidates_use_all_output_rows(engine: LocalEngine) -> None:
    def source() -> Iterator[ScoreRequest | None]:
        yield ScoreRequest(id=1, prompt=Prompt(text="z" * 10), candidates=(LONG,))
        yield from [None] * 2
        yield ScoreRequest(id=2, prompt=Prompt(text="w" * 10), candidates=("a",))

    assert serve(engine, source()) == [1, 2]
