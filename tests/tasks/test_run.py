"""`run`: templates with text, values or labels as output, on one case or several."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from llmtool.config import Folders, Settings
from llmtool.engine.scripted import ScriptedEngine
from llmtool.errors import EngineError, InputError, LlmtoolError, TemplateError, UsageError
from llmtool.prompts.template import parse_template
from llmtool.tasks.pipeline.prepare import Case, bind_inputs
from llmtool.tasks.results import Classification, Generation
from llmtool.toolbox import Toolbox

QA = """
llmtool: 1
name: qa
inputs:
  document: {type: text, required: true}
  question: {type: string, required: true}
  tone: {type: enum, enum: [short, long], default: short}
prompt: "{{ document }}|{{ question }}|{{ tone }}"
"""
MOOD = """
llmtool: 1
name: mood
task: classify
inputs: {text: {type: text, required: true}}
prompt: "Text: {{ text }}"
prefill: "Mood:"
form: completion
output: {labels: [good, bad]}
examples: [{text: yes, output: good}]
"""


@pytest.fixture
def box(tmp_path: Path) -> Toolbox:
    folders = Folders(config=tmp_path, data=tmp_path, cache=tmp_path / "cache", hub_cache=tmp_path)
    folders.prompts.mkdir()
    for name, text in (("qa", QA), ("mood", MOOD)):
        (folders.prompts / f"{name}.yaml").write_text(text)

    def scores(prompt: str, label: str) -> float:
        if "fine" not in prompt and "poor" not in prompt:
            return -1.0
        return -1.0 if ("fine" in prompt) == (label == " good") else -3.0

    engine = ScriptedEngine(lambda prompt: prompt.removeprefix("user: "), scores=scores)
    return Toolbox(engine=engine, folders=folders, settings=Settings(), environ={})


def test_values_are_assigned_to_inputs(box: Toolbox) -> None:
    result = box.run("qa", document="d", question="q")
    assert isinstance(result, Generation)
    assert result.text == "d|q|short"


def test_template_with_labels_classifies(box: Toolbox) -> None:
    result = box.run("mood", text="all is fine")
    assert isinstance(result, Classification)
    assert (result.label, str(result)) == ("good", "good")


def test_sequence_returns_a_list_in_order(box: Toolbox) -> None:
    cases = [{"document": str(i), "question": "?"} for i in range(40)]
    assert [r.text for r in box.run("qa", cases)] == [f"{i}|?|short" for i in range(40)]


def test_iterator_is_read_lazily(box: Toolbox) -> None:
    read = []

    def cases() -> Iterator[str]:
        for i in range(10**9):
            read.append(i)
            yield str(i)

    results = box.run("qa", cases(), question="?")
    assert [next(results).text for _ in range(3)] == ["0|?|short", "1|?|short", "2|?|short"]
    assert len(read) < 1000
    labels = box.run("mood", (text for text in ("fine", "poor")))
    assert [r.text for r in labels] == ["good", "bad"]


def test_positional_text_is_the_main_input(box: Toolbox) -> None:
    assert box.run("mood", "fine").text == "good"
    assert box.run("qa", "d", question="q").text == "d|q|short"
    assert box.run("qa", {"document": "d", "question": "q"}).text == "d|q|short"
    assert asyncio.run(box.arun("mood", "poor")).text == "bad"
    with pytest.raises(UsageError, match="cases='fine': must be a list or iterator"):
        next(box.run_each("mood", "fine"))


def test_run_each_yields_the_error_of_a_failed_case(box: Toolbox) -> None:
    cases = [{"document": "a"}, {"document": "b", "tone": "loud"}, {"document": "c"}]
    first, second, third = box.run_each("qa", cases, question="?")
    assert isinstance(first, Generation) and isinstance(third, Generation)
    assert isinstance(second, UsageError) and "tone" in str(second)
    with pytest.raises(LlmtoolError, match="tone"):
        box.run("qa", cases, question="?")


def test_async_methods_return_the_same_results(box: Toolbox) -> None:
    async def both() -> list[str]:
        one = await box.arun("qa", document="a", question="b")
        rest = [r async for r in box.arun_each("mood", ["fine", "poor"])]
        label = await box.aclassify("fine", ["good", "bad"], template="mood")
        return [one.text, *(r.text for r in rest), label.text]

    assert asyncio.run(both()) == ["a|b|short", "good", "bad", "good"]


def test_async_methods_accept_lists(box: Toolbox) -> None:
    async def all_of_them() -> list[list[str]]:
        return [
            [r.text for r in await box.agenerate(["a", "b"])],
            [r.text for r in await box.arun("mood", ["fine", "poor"])],
            [r.text for r in await box.aclassify(["poor"], ["good", "bad"], template="mood")],
            [r.text async for r in box.agenerate_each(iter(["c"]))],
        ]

    assert asyncio.run(all_of_them()) == [["a", "b"], ["good", "bad"], ["bad"], ["c"]]


def test_unfinished_async_stream_is_an_error(box: Toolbox) -> None:
    async def two() -> str:
        events = box.arun_each("mood", ["fine", "poor"])
        await events.__anext__()
        try:
            await box.arun("mood", text="fine")
        except EngineError as exc:
            await events.aclose()  # type: ignore[attr-defined]
            return f"{exc}, then {(await box.arun('mood', text='fine')).text}"
        return "no error"

    message = asyncio.run(asyncio.wait_for(two(), 20))
    assert message.startswith("a reply is still being streamed") and message.endswith("then good")


@pytest.mark.parametrize(
    ("call", "error"),
    [
        ({"template": "nope"}, TemplateError),
        ({"template": "qa", "document": "a"}, UsageError),
        ({"template": "qa", "document": "a", "question": "b", "more": "c"}, UsageError),
        ({"template": "qa", "cases": {"document": "a"}}, UsageError),
        ({"template": "mood", "text": "a", "options": {"schema": "x"}}, UsageError),
        ({"template": "classify", "text": "a"}, UsageError),
        ({"template": "mood", "text": "a", "options": {"max_tokens": 3}}, UsageError),
        ({"template": "mood", "text": "a", "options": {"bogus": 3}}, UsageError),
    ],
)
def test_invalid_calls_are_rejected(
    box: Toolbox, call: dict[str, object], error: type[Exception]
) -> None:
    with pytest.raises(error):
        box.run(**call)  # type: ignore[call-overload]


@pytest.mark.parametrize(
    ("prompt", "input", "given", "variables"),
    [
        (None, "d", ["question"], {"document": "d"}),
        ("d", None, ["question"], {"document": "d"}),
        ("q", "d", [], {"document": "d", "question": "q"}),
        ("long", "d", ["question"], {"document": "d", "tone": "long"}),
    ],
)
def test_bind_inputs_assigns_texts(
    box: Toolbox, prompt: str, input: str, given: list[str], variables: dict[str, str]
) -> None:
    template = box.library.load("qa")
    case = bind_inputs(template, prompt=prompt, input=input, given=given)
    assert case == Case(variables=variables)


def test_second_text_without_input_is_rejected(box: Toolbox) -> None:
    template = box.library.load("mood")
    with pytest.raises(UsageError, match="one input for a text, 'text'"):
        bind_inputs(template, prompt="a", input="b")


def test_no_text_needs_no_input() -> None:
    template = parse_template("llmtool: 1\nname: x\nprompt: Hello", source="x.yaml")
    assert bind_inputs(template, prompt=None, input=None) == Case()


def test_single_input_of_any_name_gets_the_argument(box: Toolbox) -> None:
    for name in ("input", "prompt", "words"):
        template = parse_template(
            f"llmtool: 1\nname: x\ninputs: {{{name}: {{type: text}}}}\nprompt: '{{{{ {name} }}}}'",
            source="x.yaml",
        )
        assert bind_inputs(template, prompt="a", input=None) == Case(variables={name: "a"})


def test_empty_text_is_an_input_error(box: Toolbox) -> None:
    with pytest.raises(InputError, match="the prompt is empty"):
        box.run("gen")
    with pytest.raises(InputError, match="input 'document' is empty"):
        box.run("qa", document=" \n", question="?")


def test_template_of_another_task_is_rejected(box: Toolbox) -> None:
    message = "template 'mood' is for classify, not for "
    with pytest.raises(UsageError, match=message + "sum"):
        box.summarize("A text.", template="mood")
    with pytest.raises(UsageError, match=message + "translate"):
        box.translate("A text.", "French", template="mood")
    with pytest.raises(UsageError, match=message + "chat"):
        box.chat(template="mood")
    with pytest.raises(UsageError, match="template 'sum' is for sum, not for classify"):
        box.classify("A text.", ["good", "bad"], template="sum")
    assert box.summarize("A text.", template="qa", variables={"question": "Why?"}).text


@pytest.mark.parametrize("stop", ["", ["end", ""]])
def test_empty_stop_text_is_rejected(box: Toolbox, stop: str | list[str]) -> None:
    with pytest.raises(UsageError, match="stop='': must not be empty"):
        box.generate("Hi", stop=stop)
