"""Tuning: parts of the data, metrics, candidates, the schedule, the search, the new template."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from llmtool.config import Folders, Settings
from llmtool.engine.scripted import ScriptedEngine
from llmtool.errors import InputError, UsageError
from llmtool.evals.lint import lint
from llmtool.prompts.library import Library
from llmtool.prompts.output import Output
from llmtool.toolbox import Toolbox
from llmtool.tuning.metrics import choose_metric, field_accuracy
from llmtool.tuning.records import divide, read_data
from llmtool.tuning.schedule import make_schedule

MOOD = """\
llmtool: 1
name: mood
task: classify
form: completion
inputs: {text: {type: text, required: true}}
prompt: "Text: {{ text }}"
prefill: "Mood:"
output: {labels: [good, bad]}
"""
CITY = """\
llmtool: 1
name: city
inputs: {text: {type: text, required: true}}
prompt: |
  Extract the city and the year from the text.

  {{ text }}
output: {json: {type: object, properties: {city: {type: string}, year: {type: integer}},
  required: [city, year], additionalProperties: false}}
"""
SHOUT = """\
llmtool: 1
name: shout
inputs: {text: {type: text, required: true}}
prompt: |
  Write the text in capital letters.

  {{ text }}
"""
Make = Callable[..., Toolbox]


@pytest.fixture
def make_box(tmp_path: Path) -> Iterator[Make]:
    """Return `make(engine, *templates)`: a toolbox with templates of the user."""
    folders = Folders(config=tmp_path, data=tmp_path, cache=tmp_path, hub_cache=tmp_path)

    def make(engine: ScriptedEngine, *templates: str) -> Toolbox:
        (tmp_path / "prompts").mkdir(exist_ok=True)
        for text in templates:
            name = text.split("\n")[1].removeprefix("name: ")
            (tmp_path / "prompts" / f"{name}.yaml").write_text(text)
        return Toolbox(engine=engine, folders=folders, settings=Settings(), environ={})

    yield make


def moods(n: int = 60) -> list[dict[str, Any]]:
    """Return texts whose label follows from a word that the model knows only from examples."""
    words = {"good": ("sunny", "warm", "kind"), "bad": ("muddy", "cold", "rude")}
    labels = list(words)
    return [
        {
            "text": f"It was {words[labels[i % 2]][i // 2 % 3]} on day {i}",
            "label": labels[i % 2],
        }
        for i in range(n)
    ]


def mood_score(prompt: str, label: str) -> float:
    """Score labels: right if the prompt shows an example, else always the first label."""
    *shown, last = prompt.split("Text: ")
    is_good = any(word in last for word in ("sunny", "warm", "kind"))
    if "Mood: " not in "".join(shown):
        is_good = True
    return -0.1 if (label.strip() == "good") == is_good else -3.0


def test_labels_get_examples_that_improve_them(make_box: Make, tmp_path: Path) -> None:
    box = make_box(ScriptedEngine(scores=mood_score), MOOD)
    found = box.tune("mood", moods(), written=0)
    assert found.metric == "accuracy" and found.is_better
    assert found.final is not None
    assert (found.final.original, found.final.tuned) == (0.5, 1.0)
    assert found.final.is_certain and found.final.n_records == 18
    path = tmp_path / "prompts" / "mood-tuned.yaml"
    path.write_text(found.text)
    tuned = box.library.load("mood-tuned")
    assert tuned.examples and tuned.prompt.text == "Text: {{ text }}"
    assert tuned.tuned is not None and tuned.tuned.score == 1.0
    assert box.run("mood-tuned", "It was rude").label == "bad"


def test_file_that_extends_a_tuned_template_does_not_inherit_its_figures(
    make_box: Make, tmp_path: Path
) -> None:
    box = make_box(ScriptedEngine(scores=mood_score), MOOD)
    (tmp_path / "prompts" / "mood-tuned.yaml").write_text(box.tune("mood", moods(), written=0).text)
    (tmp_path / "prompts" / "mine.yaml").write_text("llmtool: 1\nname: mine\nextends: mood-tuned\n")
    assert box.library.load("mine").tuned is None


def test_lint_reports_that_the_original_has_changed_since_tuning(
    make_box: Make, tmp_path: Path
) -> None:
    box = make_box(ScriptedEngine(scores=mood_score), MOOD)
    folder = tmp_path / "prompts"
    (folder / "mood-tuned.yaml").write_text(box.tune("mood", moods(), written=0).text)
    before = [each.reason for each in lint(box.library, "mood-tuned")]
    (folder / "mood.yaml").write_text(MOOD.replace("Text: ", "Message: "))
    after = [each.reason for each in lint(box.library, "mood-tuned")]
    new = "the original template has changed since this one was tuned; tune it again"
    assert new not in before and after == [*before, new]


def test_budget_is_never_exceeded_and_the_result_is_deterministic(make_box: Make) -> None:
    for budget in (60, 150, 400):
        found = [
            make_box(ScriptedEngine(scores=mood_score), MOOD).tune(
                "mood", moods(), budget=budget, written=0
            )
            for _ in range(2)
        ]
        assert found[0].n_calls <= found[0].plan.n_calls <= budget
        assert found[0].trials == found[1].trials and found[0].text == found[1].text


def final_texts(engine: ScriptedEngine, n_final: int) -> tuple[set[str], set[str]]:
    """Return the texts of the final figure, and those that were scored before."""
    known = {each["text"] for each in moods()}
    texts = [prompt.rpartition("Text: ")[2].split("\n")[0] for prompt in engine.prompts]
    scored = [text for text in texts if text in known]
    return set(scored[-n_final:]), set(scored[: -2 * n_final])


def test_final_figure_is_of_records_that_no_trial_has_used(make_box: Make) -> None:
    engine = ScriptedEngine(scores=mood_score)
    found = make_box(engine, MOOD).tune("mood", moods(), written=0)
    assert found.final is not None
    final, before = final_texts(engine, found.final.n_records)
    assert len(final) == found.final.n_records and not final & before

    def fooled(prompt: str, label: str) -> float:
        """Label the final records wrongly if examples are shown."""
        last = prompt.rpartition("Text: ")[2].split("\n")[0]
        is_wrong = last in final and "Mood: " in prompt
        score = mood_score(prompt, label)
        return -3.1 - score if is_wrong else score

    worse = make_box(ScriptedEngine(scores=fooled), MOOD).tune("mood", moods(), written=0)
    assert worse.final is not None and worse.final.difference < 0
    assert not worse.is_better


def test_shown_examples_are_never_scored(make_box: Make) -> None:
    engine = ScriptedEngine(scores=mood_score)
    box = make_box(engine, MOOD)
    box.tune("mood", moods(), written=0)
    for prompt in engine.prompts:
        *shown, last = prompt.split("Text: ")
        text = last.split("\n")[0]
        assert all(not each.startswith(text + "\n") for each in shown[1:])


def test_changes_that_improve_the_original_are_combined(make_box: Make) -> None:
    def score(prompt: str, label: str) -> float:
        """Score labels: more of them are right with an example, and in the form of a chat."""
        *shown, last = prompt.split("Text: ")
        text = last.removesuffix("Mood:").strip()
        is_good = any(word in text for word in ("sunny", "warm", "kind"))
        n_right = 3 + 3 * ("Mood: " in "".join(shown)) + 3 * prompt.startswith("user: ")
        day = text.split()[-1].strip(".")
        is_right = not day.isdigit() or int(day) % 10 < n_right
        return -0.1 if (label.strip() == "good") == (is_good == is_right) else -3.0

    found = make_box(ScriptedEngine(scores=score), MOOD).tune(
        "mood", moods(99), written=0, budget=300
    )
    assert found.best.form == "chat" and found.best.examples != "original"
    assert found.n_calls <= found.plan.n_calls <= 300


def test_nothing_is_better_than_an_original_that_is_always_right(make_box: Make) -> None:
    def right(prompt: str, label: str) -> float:
        last = prompt.split("Text: ")[-1]
        is_good = any(word in last for word in ("sunny", "warm", "kind"))
        return -0.1 if (label.strip() == "good") == is_good else -3.0

    found = make_box(ScriptedEngine(scores=right), MOOD).tune("mood", moods(), written=0)
    assert found.best.is_original and not found.is_better and found.final is None


def test_biased_labels_are_calibrated_and_the_calibration_applies_to_the_new_template(
    make_box: Make, tmp_path: Path
) -> None:
    def biased(prompt: str, label: str) -> float:
        """Prefer one label, except for the sentences that measure the bias; ignore examples."""
        *shown, last = prompt.split("Text: ")
        if "on day" not in last or len(shown) > 1:
            return -0.7
        is_good = any(word in last for word in ("sunny", "warm", "kind"))
        return -0.1 if label.strip() == "good" else (-2.0 if is_good else -1.0)

    box = make_box(ScriptedEngine(scores=biased), MOOD)
    found = box.tune("mood", moods(100), written=0)
    assert found.is_calibrated and found.is_better
    assert found.final is not None and found.final.tuned == 1.0
    (tmp_path / "prompts" / "mood-tuned.yaml").write_text(found.text)
    assert box.run("mood-tuned", "It was rude on day 7").label == "bad"
    assert box.run("mood", "It was rude on day 7").label == "good"


def city_reply(prompt: str) -> str:
    """Find the year only if an example shows how."""
    last = prompt.split("Extract the city")[-1]
    words = last.split()
    city, year = words[words.index("in") + 1], words[-1]
    return json.dumps({"city": city, "year": int(year) if '"year":' in prompt else 0})


def cities(n: int = 40) -> list[dict[str, Any]]:
    names = ("Oslo", "Rome", "Bern", "Graz", "Lima")
    return [
        {
            "text": f"The bridge in {names[i % 5]} was built by firm {i} in {1800 + i}",
            "expected": {"city": names[i % 5], "year": 1800 + i},
        }
        for i in range(n)
    ]


def test_fields_of_json_improve_with_examples(make_box: Make, tmp_path: Path) -> None:
    box = make_box(ScriptedEngine(city_reply), CITY)
    found = box.tune("city", cities(), written=0)
    assert found.metric == "fields" and found.is_better
    assert found.final is not None
    assert (found.final.original, found.final.tuned) == (0.5, 1.0)
    path = tmp_path / "prompts" / "city-tuned.yaml"
    path.write_text(found.text)
    assert [each.reason for each in lint(box.library, "city-tuned")] == [
        "no tests; add some to detect regressions"
    ]


def test_examples_have_the_description_of_the_json_that_the_prompt_has(make_box: Make) -> None:
    template = CITY.replace("required: true}}", "required: true}, schema: {type: string}}")
    template = template.replace("from the text.", "from the text, as {{ schema }}.")
    engine = ScriptedEngine(city_reply)
    make_box(engine, template).tune("city", cities(), written=0)
    longest = max(engine.prompts, key=len)
    assert longest.count('as {"city": string, "year": integer}.') == longest.count("Extract") > 1


def test_text_with_assertions_gets_its_own_replies_as_examples(make_box: Make) -> None:
    def reply(prompt: str) -> str:
        text = prompt.rsplit("\n", 2)[-2] if prompt.endswith("\n") else prompt.split("\n")[-1]
        is_shown = "assistant: " in prompt
        return text.upper() if is_shown or text.endswith("0") else text

    data = [
        {"text": f"words {i}", "assert": [{"type": "equals", "value": f"WORDS {i}"}]}
        for i in range(60)
    ]
    found = make_box(ScriptedEngine(reply), SHOUT).tune("shout", data, written=0)
    assert found.metric == "assertions" and found.is_better
    assert found.best.examples.endswith("solved") and "WORDS" in found.text


def test_written_wording_replaces_the_instruction_and_cannot_add_jinja(make_box: Make) -> None:
    replies = iter(["{{ 7 * 7 }} in capital letters", "Use only capital letters, please."])

    def reply(prompt: str) -> str:
        if "Write the same instruction in other words" in prompt:
            return next(replies)
        text = prompt.rstrip("\n").split("\n")[-1]
        return text.upper() if "Use only capital letters" in prompt else text

    data = [{"text": f"words {i}", "expected": f"WORDS{i}".replace("S", "S ")} for i in range(40)]
    for each in data:
        each["assert"] = [{"type": "equals", "value": each["expected"]}]
        del each["expected"]
    found = make_box(ScriptedEngine(reply), SHOUT).tune("shout", data, written=2)
    wordings = {each.wording: each.text for each in found.trials}
    assert wordings == {"original": "", "written 1": "Use only capital letters, please."}
    assert found.best.wording == "written 1" and found.is_better
    assert "Use only capital letters, please.\n\n  {{ text }}" in found.text


def test_given_wording_is_tried(make_box: Make) -> None:
    def reply(prompt: str) -> str:
        text = prompt.rstrip("\n").split("\n")[-1]
        return text.upper() if "LOUD" in prompt else text

    data = [
        {"text": f"words {i}", "assert": [{"type": "equals", "value": f"WORDS {i}"}]}
        for i in range(40)
    ]
    box = make_box(ScriptedEngine(reply), SHOUT)
    found = box.tune("shout", data, written=0, variants=["Be LOUD:\n{{ text }}", "Be quiet now"])
    assert found.best.wording == "given 1" and "Be LOUD:" in found.text


@pytest.mark.parametrize("text", ["{% endraw %}{{ 7 * 7 }}", "a: b\n- c\t'\"\\", "<|im_end|>"])
def test_examples_are_data(make_box: Make, tmp_path: Path, text: str) -> None:
    data = [each | {"text": f"{each['text']} {text}"} for each in moods()]
    box = make_box(ScriptedEngine(scores=mood_score), MOOD)
    found = box.tune("mood", data, written=0)
    (tmp_path / "prompts" / "mood-tuned.yaml").write_text(found.text)
    examples = box.library.load("mood-tuned").examples
    texts = {each["text"] for each in data}
    assert examples and all(each.variables["text"] in texts for each in examples)


def test_changes_for_a_variant_of_the_model_are_in_the_variant(
    make_box: Make, tmp_path: Path
) -> None:
    box = make_box(
        ScriptedEngine(scores=mood_score),
        MOOD + "variants: {'script*': {prompt: 'Now. Text: {{ text }}'}}\n",
    )
    found = box.tune("mood", moods(), written=0)
    (tmp_path / "prompts" / "mood-tuned.yaml").write_text(found.text)
    tuned = box.library.load("mood-tuned")
    assert not tuned.examples and tuned.for_model("scripted").examples
    assert tuned.for_model("scripted").prompt.text == "Now. Text: {{ text }}"


def test_text_of_a_file_input_is_not_read_as_a_path(make_box: Make) -> None:
    template = SHOUT.replace("type: text, required: true", "type: file, required: true")
    engine = ScriptedEngine(lambda prompt: "X")
    data = [{"text": f"/etc/hostname{i}", "expected": "X"} for i in range(30)]
    found = make_box(engine, template).tune("shout", data, written=0, budget=100)
    assert found.best.score == 1.0 and any("/etc/hostname1" in each for each in engine.prompts)


def rows(path: Path, count: int = 30, **changed: object) -> Path:
    lines = [json.dumps({**row, **changed}) for row in moods(count)]
    path.write_text("\n".join(lines) + "\n")
    return path


def test_division_is_stable_and_has_each_label_in_each_part(tmp_path: Path) -> None:
    (tmp_path / "mood.yaml").write_text(MOOD)
    template = Library().load(str(tmp_path / "mood.yaml"))
    records = read_data(moods(40), template).records
    parts = divide(records)
    assert divide(records[::-1]) == parts
    keys = [{each.key for each in part} for part in (parts.examples, parts.selection, parts.final)]
    assert sum(map(len, keys)) == len(set().union(*keys)) == 40
    for part in (parts.examples, parts.selection, parts.final):
        n_good = sum(each.expected == "good" for each in part)
        assert abs(2 * n_good - len(part)) <= 1, [each.expected for each in part]


def test_final_part_is_that_of_split_test(tmp_path: Path) -> None:
    (tmp_path / "mood.yaml").write_text(MOOD)
    template = Library().load(str(tmp_path / "mood.yaml"))
    data = [each | {"split": "test" if i < 7 else "tune"} for i, each in enumerate(moods(30))]
    parts = divide(read_data(data, template).records)
    assert {each.variables["text"] for each in parts.final} == {x["text"] for x in data[:7]}


def test_equal_inputs_are_used_once(tmp_path: Path) -> None:
    (tmp_path / "mood.yaml").write_text(MOOD)
    template = Library().load(str(tmp_path / "mood.yaml"))
    parts = divide(read_data(moods(30) + moods(10), template).records)
    assert parts.n_duplicates == 10


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"label": "fine"}, "data.jsonl, line 1: unknown label 'fine'; did you mean 'bad'?"),
        ({"label": None}, "data.jsonl, line 1: missing answer; add a column `expected`"),
        ({"text": None}, "data.jsonl, line 1: missing required input 'text'"),
        (
            {"assert": [{"type": "hears"}]},
            "data.jsonl, line 1: assert: 0.type: unknown value 'hears'; choose one of ",
        ),
        ({"assert": [{"type": "label"}]}, "an assertion of type label needs a string as its value"),
    ],
    ids=["label", "no answer", "no input", "no such assertion", "incomplete assertion"],
)
def test_invalid_record_is_an_error_with_its_line(
    make_box: Make, tmp_path: Path, row: dict[str, object], message: str
) -> None:
    path = rows(tmp_path / "data.jsonl", **row)
    box = make_box(ScriptedEngine(), MOOD)
    with pytest.raises(InputError) as caught:
        box.tune("mood", path)
    assert message.partition("; did")[0] in str(caught.value)


def test_expected_json_must_be_valid_for_the_template(make_box: Make) -> None:
    data = [{"text": f"in Rome in {i}", "expected": {"city": "Rome"}} for i in range(30)]
    with pytest.raises(InputError, match="data, line 1: expected: .*year"):
        make_box(ScriptedEngine(), CITY).tune("city", data)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"budget": 20}, "budget=20: too small; use at least"),
        ({"written": 99}, "written=99: must be between 0 and 16"),
        ({"metric": "bleu"}, "metric='bleu': must be one of accuracy, fields, assertions, exact"),
        ({"metric": "fields"}, "metric='fields': the output of the template is labels"),
        ({"variants": [" "]}, "variants=' ': must not be empty"),
    ],
    ids=["budget", "written", "unknown metric", "unsuitable metric", "variant"],
)
def test_invalid_option_is_an_error(
    make_box: Make, options: Mapping[str, Any], message: str
) -> None:
    with pytest.raises(UsageError) as caught:
        make_box(ScriptedEngine(), MOOD).tune("mood", moods(), **options)
    assert message in str(caught.value)


def test_too_few_records_are_an_error(make_box: Make) -> None:
    with pytest.raises(InputError, match="12 different records"):
        make_box(ScriptedEngine(), MOOD).tune("mood", moods(12))


def test_template_without_labels_cannot_be_tuned(make_box: Make) -> None:
    with pytest.raises(UsageError, match="'classify' declares no labels"):
        make_box(ScriptedEngine()).tune("classify", moods())


@pytest.mark.parametrize(
    ("expected", "actual", "score"),
    [
        ({"a": 1, "b": "x"}, {"a": 1.0, "b": "X."}, 1.0),
        ({"a": 1}, {"a": True}, 0.0),
        ({"a": 1}, {"a": 1, "b": 2}, 0.5),
        ({"a": {"b": 1, "c": 2}, "d": 3}, {"a": {"b": 1, "c": 0}, "d": 3}, 0.75),
        ({"a": []}, {"a": []}, 1.0),
        ({"a": ["x", "x"]}, {"a": ["x"]}, 0.5),
        ([{"n": 1}, {"n": 2}], [{"n": 2}, {"n": 1}], 1.0),
        ({}, {}, 1.0),
        ({"a": None}, [], 0.0),
    ],
    ids=["equal", "boolean", "more", "nested", "empty list", "repeated", "order", "empty", "other"],
)
def test_field_accuracy(expected: object, actual: object, score: float) -> None:
    assert field_accuracy(expected, actual) == score


def test_metric_follows_the_template_and_the_data() -> None:
    assert choose_metric(None, [], Output(kind="json", json={})) == "fields"
    assert choose_metric(None, [], Output()) == "exact"


def test_schedule_fits_any_budget() -> None:
    for budget in range(60, 1500, 37):
        for n in (9, 30, 100, 700):
            schedule = make_schedule(
                budget, n_examples=n // 2, n_written=2, n_selection=n, n_final=n // 2, n_labels=3
            )
            counts = [each.n_candidates for each in schedule.rounds]
            assert schedule.n_calls <= budget and counts == sorted(counts, reverse=True)
            assert schedule.rounds[-1].n_records <= n


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs FIFOs")
def test_pipe_as_data_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    with pytest.raises(InputError, match="is a pipe, which cannot be read twice; use a file"):
        read_data(path, Library().load("sentiment"))
