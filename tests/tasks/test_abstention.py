"""Templates with `abstain`: a reply that its inputs do not support is replaced by a fixed one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from llmtool.engine.scripted import ScriptedEngine
from llmtool.errors import TemplateError
from llmtool.prompts.template import Template, parse_template
from llmtool.tasks.results import Generation
from llmtool.toolbox import Toolbox

ASK = """
llmtool: 1
name: ask
inputs:
  document: {type: text, required: true}
  question: {type: string, required: true}
prompt: "{{ document }} {{ question }}"
abstain: {reply: Not in the text., without: {document: "..."}, threshold: 0.5}
"""
BUS, CAR = "the bus leaves at nine", "the car is red"


def template(text: str = ASK) -> Template:
    return parse_template(text, source="ask.yaml")


def score(prompt: str, text: str) -> float:
    """Only the text about the bus makes a reply about nine more likely; `-2` is the fixed reply."""
    if text.strip() == "Not in the text.":
        return -2.0
    return -1.0 if "nine" in prompt and "nine" in text else -3.0


def make_box(reply: Callable[[str], str] | str = "At nine.", **options: Any) -> Toolbox:
    return Toolbox(engine=ScriptedEngine(reply, scores=score, **options), environ={})


def test_supported_reply_remains_with_its_score() -> None:
    result = make_box().run(template(), document=BUS, question="When?")
    assert isinstance(result, Generation)
    assert result.text == "At nine."
    assert result.to_dict()["choices"][0]["abstention"] == {
        "abstained": False, "score": pytest.approx(2 / 3), "threshold": 0.5, "text": "At nine.",
    }  # fmt: skip


def test_unsupported_reply_is_replaced() -> None:
    result = make_box().run(template(), document=CAR, question="When?")
    assert isinstance(result, Generation)
    assert (result.text, result.finish_reason) == ("Not in the text.", "stop")
    assert result.choices[0].abstention is not None
    assert result.choices[0].abstention.text == "At nine."
    assert result.row() == {
        "text": "Not in the text.", "abstained": True, "score": 0.0, "finish_reason": "stop",
        "seed": 0,
    }  # fmt: skip


def test_both_replies_are_scored_with_and_without_the_input() -> None:
    box = make_box(" At nine.")
    result = box.run(template(), document=BUS, question="When?")
    assert box.engine.prompts == [  # type: ignore[attr-defined]
        f"user: {BUS} When?", f"user: {BUS} When?", "user: ... When?",
    ]  # fmt: skip
    one = make_box(" At nine.").generate("the bus leaves at nine When?").usage
    assert result.usage.prompt_tokens > 2 * one.prompt_tokens, "all three requests count"


def test_share_of_each_input_counts() -> None:
    both = ASK.replace('"..."}', '"...", question: What?}')

    def score(prompt: str, text: str) -> float:
        return {"the bus leaves at nine When?": -1.0, "... When?": -4.0}.get(prompt[6:], -2.0)

    box = Toolbox(engine=ScriptedEngine("At nine.", scores=score), environ={})
    result = box.run(template(both), document=BUS, question="When?")
    assert isinstance(result, Generation) and result.choices[0].abstention is not None
    assert result.choices[0].abstention.score == 0.0, "equal to that of the fixed reply"
    assert box.engine.prompts[2:] == [  # type: ignore[attr-defined]
        "user: ... When?", f"user: {BUS} What?",
    ]  # fmt: skip


def test_empty_reply_is_replaced_without_a_score() -> None:
    result = make_box("").run(template(), document=BUS, question="When?")
    assert isinstance(result, Generation) and result.text == "Not in the text."
    assert result.choices[0].abstention is not None
    assert result.choices[0].abstention.score is None


def test_tokens_are_held_until_the_scores_are_known() -> None:
    box = make_box()
    for document, texts in ((CAR, ["Not in the text."]), (BUS, ["At", " nine."])):
        options = {"template": template(), "variables": {"document": document, "question": "?"}}
        with box.stream_generate(**options) as stream:
            assert [token.text for token in stream if token.text] == texts


def test_cases_of_a_batch_are_judged_separately() -> None:
    cases = [{"document": text, "question": "When?"} for text in (BUS, CAR, "", BUS, CAR)]
    results = list(make_box().run_each(template(), cases))
    assert [str(each)[:6] for each in results] == [
        "At nin", "Not in", "input ", "At nin", "Not in",
    ]  # fmt: skip


def test_several_replies_are_judged_separately() -> None:
    replies = iter(["At nine.", "Red."])
    box = make_box(lambda prompt: next(replies))
    result = box.run(template(), document=BUS, question="When?", options={"n": 2})
    assert isinstance(result, Generation)
    assert [choice.text for choice in result.choices] == ["At nine.", "Not in the text."]


def test_schema_excludes_the_fixed_reply() -> None:
    box = make_box('{"a":1}')
    result = box.run(template(), document=CAR, question="When?", options={"schema": "a int"})
    assert isinstance(result, Generation)
    assert result.text == '{"a":1}' and result.choices[0].abstention is None


def test_variant_changes_the_threshold() -> None:
    other = template(ASK + "variants: {scripted: {abstain: {threshold: -1}}}\n")
    result = make_box().run(other, document=CAR, question="When?")
    assert str(result) == "At nine."


@pytest.mark.parametrize(
    ("reply", "question", "abstained"),
    [
        ("At nine: gate 4, on the 2nd.", "When?", True),
        ("At nine: gate 4.", "When at gate 4?", False),
        ("At nine: gate four.", "When?", False),
        ("At nine or 9.", "When?", False),
        ("1. At nine.", "When?", False),
    ],
    ids=["invented", "of the question", "in words", "another spelling", "list marker"],
)
def test_reply_with_a_number_that_the_prompt_lacks_is_replaced(
    reply: str, question: str, abstained: bool
) -> None:
    checked = template(ASK.replace("threshold: 0.5", "threshold: 0.5, numbers: true"))
    for each, expected in ((checked, abstained), (template(), False)):
        result = make_box(reply).run(each, document=BUS, question=question)
        assert (str(result) == "Not in the text.") is expected


@pytest.mark.parametrize("end", [":", "：", "?", '?"', "？」"])
def test_reply_that_ends_before_the_answer_is_replaced(end: str) -> None:
    result = make_box(f"The bus leaves at nine{end}").run(
        template(), document=BUS, question="When?"
    )
    assert str(result) == "Not in the text."


@pytest.mark.parametrize(
    ("abstain", "message"),
    [
        ("{without: {document: x}}", "abstain.reply is missing"),
        ("{reply: No.}", "abstain.without is missing"),
        ("{reply: No., without: {doc: x}}", "abstain.without: unknown input 'doc'"),
        ("{reply: No., without: {document: x}, limit: 1}", "limit"),
    ],
)
def test_invalid_rules_are_errors(abstain: str, message: str) -> None:
    text = ASK.rpartition("abstain")[0] + f"abstain: {abstain}"
    with pytest.raises(TemplateError, match=message):
        template(text)


def test_output_must_be_text() -> None:
    with pytest.raises(TemplateError, match="abstain: needs the output text, not code"):
        template(ASK + "output: code\n")
