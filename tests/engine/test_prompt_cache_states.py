"""The prompt cache of a loaded model: hits do not change replies, nor do damaged files."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from engine.single_request import run

from llmtool.engine.llama.engine import LocalEngine
from llmtool.engine.llama.model import load_model
from llmtool.engine.types import Finished, Message, Prompt, Request, Sampling, Token

PREFACE = "the quick brown fox jumps over a lazy dog " * 6


def make_request(
    word: str = "hello", preface: str = PREFACE, id: int = 0, **sampling: Any
) -> Request:
    def messages(text: str) -> tuple[Message, ...]:
        return Message("system", preface), Message("user", text)

    options = {"max_tokens": 12, "temperature": 1.5, "seed": 3, **sampling}
    prompt = Prompt(messages=messages(word), probe=messages("zq"))
    return Request(id=id, prompt=prompt, sampling=Sampling(**options))


@pytest.fixture
def start(tiny_model: Callable[..., Path], tmp_path: Path) -> Iterator[Callable[..., LocalEngine]]:
    """Return `start(kind)`, which makes new engines with the same cache folder."""
    made: list[LocalEngine] = []

    def make(kind: str = "plain", **options: Any) -> LocalEngine:
        options = {"n_threads": 1, "prefix_folder": tmp_path / "prefix", **options}
        made.append(LocalEngine(load_model(tiny_model(kind)), **options))
        return made[-1]

    yield make
    for engine in made:
        engine.close()


def states(folder: Path) -> list[Path]:
    return sorted((folder / "prefix").glob("*.prefix"))


@pytest.mark.parametrize("kind", ["plain", "swa", "recurrent", "hybrid"])
def test_hit_and_miss_give_the_same_text(kind: str, start: Callable[..., LocalEngine]) -> None:
    miss, n_missed = run(start(kind), make_request())
    hit, n_hit = run(start(kind), make_request())
    uncached, _ = run(start(kind, prefix_folder=None), make_request())
    assert (n_missed, n_hit > 64) == (0, True)
    assert miss == hit == uncached != ""


def test_state_is_used_for_other_inputs_and_batches(start: Callable[..., LocalEngine]) -> None:
    run(start(), make_request("hello"))
    _, cached = run(start(), make_request("fox"))
    assert cached > 64
    engine = start()
    usages = [
        event.usage
        for event in engine.stream(
            [make_request(word, id=i) for i, word in enumerate(["how", "are"])]
        )
        if isinstance(event, Finished)
    ]
    assert min(usage.cached_tokens for usage in usages) >= cached


def test_states_of_separate_streams_are_stored_separately(
    start: Callable[..., LocalEngine],
) -> None:
    def serve_long() -> list[int]:
        engine = start(n_parallel=8)
        requests = [make_request("qzwk"[id % 4] * 900, id=id, max_tokens=2) for id in range(8)]
        found = [e.usage for e in engine.stream(requests) if isinstance(e, Finished)]
        assert (
            engine.contexts.sequences is not None
            and engine.contexts.sequences.context.separate_streams
        )
        return [usage.cached_tokens for usage in found]

    first, again = serve_long(), serve_long()
    assert first[0] == 0 and min(again) > 64
    assert [run(start(), make_request())[1] > 64 for _ in range(2)] == [False, True]
    assert min(serve_long()) > 64


def test_template_stays_in_the_context_between_streams(
    start: Callable[..., LocalEngine],
) -> None:
    engine = start(prefix_folder=None)
    assert [run(engine, make_request(word))[1] > 64 for word in ("hello", "fox", "dog")] == [
        0,
        1,
        1,
    ]
    again = run(engine, make_request("hello"))
    assert again[0] == run(start(prefix_folder=None), make_request("hello"))[0]


@pytest.mark.parametrize(
    "change", [{"n_threads": 2}, {"kv_type": "q8_0"}], ids=["threads", "kv type"]
)
def test_states_with_other_parameters_are_separate(
    change: dict[str, Any], tiny_model: Callable[..., Path], tmp_path: Path
) -> None:
    # Heads of 32 values, the size of a q8_0 block.
    path = tiny_model("plain", n_head=2, n_head_kv=2)

    def start(**options: Any) -> LocalEngine:
        return LocalEngine(
            load_model(path), prefix_folder=tmp_path / "prefix", **{"n_threads": 1, **options}
        )

    assert [run(start(), make_request())[1] > 0 for _ in range(2)] == [False, True]
    assert run(start(**change), make_request())[1] == 0
    assert all(run(start(**each), make_request())[1] > 0 for each in ({}, change))


def test_hit_and_miss_give_the_same_text_if_requests_share_more(
    start: Callable[..., LocalEngine],
) -> None:
    def together(engine: LocalEngine) -> dict[int, str]:
        more = "and hello there how are you " * 5
        texts: dict[int, str] = {}
        for event in engine.stream(
            [make_request(more + word, id=i) for i, word in enumerate(["a", "b"])]
        ):
            if isinstance(event, Token):
                texts[event.id] = texts.get(event.id, "") + event.text
        return texts

    miss = together(start())
    assert together(start()) == miss
    run(start(), make_request())


def test_state_with_long_rope_factors_is_not_used_in_a_short_context(
    tiny_model: Callable[..., Path], tmp_path: Path
) -> None:
    metadata = {"llama.rope.scaling.original_context_length": 512}
    model = tiny_model("plain", metadata=metadata)

    def cached(max_tokens: int) -> bool:
        engine = LocalEngine(load_model(model), n_threads=1, prefix_folder=tmp_path / "prefix")
        found = run(engine, make_request(max_tokens=max_tokens, stop=("e",)))[1] > 0
        engine.close()
        return found

    assert [cached(900), cached(20), cached(20), cached(900)] == [False, False, True, True]


def test_short_request_after_a_long_one_uses_the_short_rope_factors(
    tiny_model: Callable[..., Path],
) -> None:
    metadata = {"llama.rope.scaling.original_context_length": 512}
    engine = LocalEngine(load_model(tiny_model("plain", metadata=metadata)), n_threads=1)
    run(engine, make_request(max_tokens=900, stop=("e",)))
    run(engine, make_request(max_tokens=20))
    assert engine.info.n_cells <= 512
    engine.close()


def test_short_prefix_is_not_stored(start: Callable[..., LocalEngine], tmp_path: Path) -> None:
    run(start(), make_request(preface="be brief"))
    assert states(tmp_path) == []


def test_input_that_begins_like_the_probe_gets_the_same_reply(
    start: Callable[..., LocalEngine],
) -> None:
    one, _ = run(start(), make_request("zq zq zq"))
    two, _ = run(start(), make_request("zq zq zq"))
    assert one == two == run(start(prefix_folder=None), make_request("zq zq zq"))[0]


def flip_byte(at: float) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        data = bytearray(path.read_bytes())
        data[int(len(data) * at)] ^= 0xFF
        path.write_bytes(data)

    return change


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def make_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def make_link(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


def swap_payload(path: Path) -> None:
    path.write_bytes(b"GGUF" + os.urandom(5000))


DAMAGES: dict[str, Callable[[Path], object]] = {
    "truncated": truncate,
    "empty": lambda path: path.write_bytes(b""),
    "flipped at the start": flip_byte(0),
    "flipped in the middle": flip_byte(0.5),
    "flipped at the end": flip_byte(0.999),
    "another file": swap_payload,
    "a folder": make_folder,
    "a link": make_link,
    "unreadable": lambda path: path.chmod(0),
    "grown": lambda path: path.write_bytes(path.read_bytes() + b"more"),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_damaged_state_is_recomputed(
    damage: Callable[[Path], object], start: Callable[..., LocalEngine], tmp_path: Path
) -> None:
    good, _ = run(start(), make_request())
    (state,) = states(tmp_path)
    damage(state)
    assert run(start(), make_request())[0] == good
    assert run(start(), make_request())[0] == good


def test_state_of_another_prompt_is_rejected(
    start: Callable[..., LocalEngine], tmp_path: Path
) -> None:
    good, _ = run(start(), make_request())
    (first,) = states(tmp_path)
    run(start(), make_request(preface=PREFACE.replace("fox", "dog")))
    (second,) = (each for each in states(tmp_path) if each != first)
    second.replace(first)
    assert run(start(), make_request()) == (good, 0)


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root can write everywhere"
)
def test_read_only_folder_does_not_affect_replies(
    start: Callable[..., LocalEngine], tmp_path: Path
) -> None:
    (tmp_path / "prefix").mkdir(mode=0o500)
    assert run(start(), make_request())[1] == run(start(), make_request())[1] == 0


def test_file_at_the_cache_path_does_not_affect_replies(
    start: Callable[..., LocalEngine], tmp_path: Path
) -> None:
    (tmp_path / "prefix").write_text("not a folder")
    assert run(start(), make_request())[0] == run(start(prefix_folder=None), make_request())[0]
