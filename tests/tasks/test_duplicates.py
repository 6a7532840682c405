"""Equal inputs of a stream are answered once, with equal results."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count, islice, repeat
from pathlib import Path
from typing import Any

import pytest

from llmtool.batch.readers import Reader
from llmtool.batch.runner import BatchOptions
from llmtool.config import Folders, Settings
from llmtool.engine.scripted import ScriptedEngine
from llmtool.errors import ContextOverflow
from llmtool.tasks.pipeline import duplicates
from llmtool.tasks.results import Generation
from llmtool.toolbox import Toolbox

TEXTS = ["a", "b", "a", "c", "b", "a"]
FIRST = [0, 1, 0, 3, 1, 0]  # the index of the first equal text


def folders(tmp_path: Path) -> Folders:
    return Folders(**{name: tmp_path / name for name in ("config", "data", "cache", "hub_cache")})


class Box(Toolbox):
    """A toolbox whose replies are numbered, so that each is different."""

    def __init__(self, tmp_path: Path, reply: Callable[[int, str], str] | None = None) -> None:
        self.n_replies = 0

        def answer(prompt: str) -> str:
            self.n_replies += 1
            return reply(self.n_replies, prompt) if reply else str(self.n_replies)

        def score(prompt: str, label: str) -> float:
            self.n_replies += 1
            return -1.0 / self.n_replies

        engine = ScriptedEngine(answer, scores=score)
        super().__init__(engine=engine, folders=folders(tmp_path), settings=Settings(), environ={})


@pytest.mark.parametrize(
    ("options", "is_once"),
    [
        ({"temperature": 0}, True),
        ({"top_k": 1}, True),
        ({"seed": 3}, True),
        ({"temperature": 0, "n": 2}, True),
        ({}, False),
        ({"temperature": 0.1}, False),
    ],
)
def test_equal_prompts_are_answered_once_unless_replies_are_random(
    tmp_path: Path, options: dict[str, Any], is_once: bool
) -> None:
    box = Box(tmp_path)
    results = box.generate(TEXTS, **options)
    equal = [next(i for i, other in enumerate(results) if str(other) == str(r)) for r in results]
    assert equal == (FIRST if is_once else list(range(6)))
    assert box.n_replies == (3 if is_once else 6) * options.get("n", 1)


def test_equal_texts_are_scored_once(tmp_path: Path) -> None:
    box = Box(tmp_path)
    results = box.classify(TEXTS, ["x", "y"], calibrate="none")
    assert [results.index(each) for each in results] == FIRST
    assert box.n_replies == 3 * 2
    multi = box.classify(TEXTS, ["x", "y"], calibrate="none", multi=True)
    assert [multi.index(each) for each in multi] == FIRST
    balanced = box.classify(TEXTS, ["x", "y"], calibrate="balanced")
    assert [balanced.index(each) for each in balanced] == FIRST
    assert "in 6 texts" in balanced[0].warnings[0]


@pytest.mark.parametrize(
    "run",
    [
        lambda box, texts: box.summarize(texts, temperature=0),
        lambda box, texts: box.translate(texts, "German", temperature=0),
        lambda box, texts: box.write_code(texts, language="python", temperature=0),
        lambda box, texts: box.run("gen", [{"prompt": t} for t in texts], options={"seed": 1}),
    ],
    ids=["summarize", "translate", "write_code", "run"],
)
def test_equal_inputs_of_other_tasks_are_answered_once(
    tmp_path: Path, run: Callable[[Box, list[str]], list[Any]]
) -> None:
    box = Box(tmp_path, lambda n, prompt: f"```python\nx = {n}\n```")
    distinct = [f"This is the text {letter}." for letter in "abc"]
    run(box, distinct)
    n_distinct, box.n_replies = box.n_replies, 0
    results = run(box, [f"This is the text {letter}." for letter in TEXTS])
    assert box.n_replies == n_distinct
    assert [results.index(each) for each in results] == FIRST


def test_equal_input_gets_the_same_error(tmp_path: Path) -> None:
    def answer(n: int, prompt: str) -> str:
        if "b" in prompt:
            raise ContextOverflow(f"error {n}", needed=9, available=8)
        return str(n)

    box = Box(tmp_path, answer)
    cases = [{"prompt": text} for text in TEXTS]
    outcomes = [str(each) for each in box.run_each("gen", cases, options={"temperature": 0})]
    assert outcomes == ["1", "error 2", "1", "3", "error 2", "1"]


def test_values_of_equal_replies_are_separate_objects(tmp_path: Path) -> None:
    @dataclass
    class Item:
        tags: list[str]

    box = Box(tmp_path, lambda n, prompt: f'{{"tags": ["{n}"]}}')
    first, _, third = box.generate(["a", "b", "a"], schema=Item, temperature=0)
    assert first.value == third.value == Item(["1"])
    first.value.tags.append("mine")
    assert third.value.tags == ["1"]


def test_rows_of_equal_records_have_their_own_seeds(tmp_path: Path) -> None:
    source = tmp_path / "in.csv"
    source.write_text("id,text\n" + "".join(f"{i},{text}\n" for i, text in enumerate(TEXTS)))
    box = Box(tmp_path)
    for temperature, n_replies in ((0, 3), (0.8, 6)):
        box.n_replies = 0
        batch = box.prepare_batch(
            "gen",
            Reader("csv", [str(source)]),
            BatchOptions(),
            field="text",
            options={"seed": 1, "temperature": temperature},
        )
        rows = [row.outcome for row in batch.run()]
        assert box.n_replies == n_replies
        seeds = [row.seed for row in rows if isinstance(row, Generation)]
        assert len(set(seeds)) == 6
        assert seeds == [row.choices[0].seed for row in rows if isinstance(row, Generation)]


def test_equal_texts_of_an_endless_stream_are_yielded_at_once(tmp_path: Path) -> None:
    box = Box(tmp_path)
    results = box.generate(repeat("again"), temperature=0)
    assert {str(each) for each in islice(results, 2000)} == {"1"}
    assert box.n_replies == 1


@pytest.mark.parametrize("max_answers", [10_000, 50])
def test_equal_texts_far_apart_are_answered_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, max_answers: int
) -> None:
    monkeypatch.setattr(duplicates, "_MAX_ANSWERS", max_answers)
    box = Box(tmp_path)
    texts = [f"text {i}" for i in range(500)]
    for results in (
        box.generate(texts * 2, temperature=0, logprobs=0),
        box.classify(texts * 2, ["x", "y"], calibrate="none"),
    ):
        same = [a == b for a, b in zip(results[:500], results[500:], strict=True)]
        assert all(same) if max_answers > 500 else not any(same[:300])


def test_table_returns_what_was_added(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duplicates, "_MAX_ANSWERS", 64)
    table = duplicates._Table()
    # All keys have the same place at first.
    keys = [bytes(8) + i.to_bytes(24, "big") for i in range(65)]
    for i, key in enumerate(keys[:64]):
        assert table.get(key) is None
        table.add(key, b"x" * i)
    assert [table.get(key) for key in keys] == [*(b"x" * i for i in range(64)), None]
    table.add(keys[64], b"full")
    assert [table.get(key) for key in keys[63:]] == [None, b"full"]


def test_equal_texts_in_different_batches_have_equal_scores_and_replies(
    tiny_model: Callable[..., Path], tmp_path: Path
) -> None:
    def texts() -> Iterator[str]:
        return (f"parcel {i}" if i % 5 else "the parcel is late" for i in islice(count(), 40))

    model = tiny_model("plain", printable=True)
    with Toolbox(model, n_threads=1, folders=folders(tmp_path), settings=Settings()) as box:
        scores = [result.scores for result in box.classify(texts(), ["late", "early"])]
        assert all(each == scores[0] for each in scores[::5])
        replies = list(box.generate(texts(), max_tokens=3, temperature=0, logprobs=2))
        assert all(
            each.choices[0].logprobs == replies[0].choices[0].logprobs for each in replies[::5]
        )
