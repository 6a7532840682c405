"""Tests of templates: plans, datasets, metrics, outcomes, the cache, baselines, JUnit."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from llmtool.engine.scripted import ScriptedEngine
from llmtool.engine.types import Usage
from llmtool.errors import (
    Cancelled,
    ContextOverflow,
    EngineError,
    InputError,
    LlmtoolError,
    ModelUnreadable,
    OutputValidationError,
)
from llmtool.evals import EvalPlan, Outcome, make_plan, run_tests
from llmtool.evals import baseline as baselines
from llmtool.evals.baseline import Baseline
from llmtool.evals.junit import write_junit
from llmtool.evals.reply_cache import ReplyCache
from llmtool.evals.results import Failure
from llmtool.prompts.library import Library
from llmtool.prompts.template import Template
from llmtool.tasks.classify.metrics import accuracy, macro_f1, normalized
from llmtool.tasks.generate.template import run_each
from llmtool.tasks.options import GenerateOptions, keywords_of
from llmtool.tasks.pipeline.disk_cache import DiskCache
from llmtool.tasks.results import Classification, Result
from llmtool.toolbox import Toolbox

TRIAGE = """\
llmtool: 1
name: triage
task: classify
inputs: {text: {type: text, required: true}, n: {type: int}}
prompt: "{{ text }}"
output: {labels: [account, billing, bug]}
tests:
"""
SAY = """\
llmtool: 1
name: say
inputs: {text: {type: text}}
prompt: "{{ text }}"
model: {params: {temperature: 0.7, max_tokens: 40}}
tests:
"""


class TextResult(Result, frozen=True, kw_only=True):
    """A task result with the attributes that tests use."""

    model: str = "fake-1.gguf"
    usage: Usage = Usage(prompt_tokens=5, cached_tokens=0, completion_tokens=3)
    seconds: float = 0.25


def label_result(label: str | None, score: float = 0.8) -> Classification[str]:
    return Classification(
        text=label or "",
        label=label,
        score=score,
        scores={} if label is None else {label: score},
        coverage=1.0,
        logprobs={},
        bias={},
        form="word",
        model="fake-1.gguf",
        usage=TextResult(text="").usage,
        seconds=0.25,
    )


class Fake:
    """Runs cases with `reply`, which receives the text of each case."""

    def __init__(self, reply: Callable[[str], Any]) -> None:
        self._reply = reply
        self.texts: list[str] = []
        self.calls: list[tuple[str, dict[str, Any]]] = []

    def run_cases(
        self, cases: Iterable[Mapping[str, object]], options: GenerateOptions
    ) -> Iterator[object]:
        assert isinstance(options.template, Template)
        given = keywords_of(msgspec.structs.replace(options, template="gen"))
        self.calls.append((options.template.name, given))
        for case in cases:
            self.texts.append(str(case.get("text")))
            try:
                yield self._reply(self.texts[-1])
            except LlmtoolError as exc:
                yield exc


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Return `write(tests, head, **files)`, which creates a template and other files."""

    def write(tests: str, head: str = SAY, **others: str) -> Path:
        for name, text in others.items():
            (tmp_path / name.replace("__", ".")).write_text(text)
        path = tmp_path / ("triage.yaml" if head == TRIAGE else "say.yaml")
        path.write_text(head + tests)
        return path

    return write


def plan_of(path: Path, split: str | None = None) -> EvalPlan:
    return make_plan(Library(), str(path), split=split)


def run_with(fake: Fake, plan: EvalPlan, **options: Any) -> Iterator[Outcome]:
    return run_tests(plan, fake.run_cases, model_name="fake-1.gguf", **options)


def outcomes(path: Path, reply: Callable[[str], Any], **options: Any) -> list[Outcome]:
    return list(run_with(Fake(reply), plan_of(path), **options))


def test_metrics_match_hand_calculation() -> None:
    expected = ["bug", "bug", "bug", "bill", "bill", "acc"]
    answers = ["bug", "bug", "bill", "bill", None, "bug"]
    # bug: 2 hits, 3 expected, 3 answered: 4/6. bill: 1, 2, 2: 2/4. acc: 0, 1, 0: 0.
    assert accuracy(expected, answers) == 3 / 6
    assert macro_f1(expected, answers) == pytest.approx((4 / 6 + 2 / 4 + 0) / 3)


def test_unexpected_label_counts_as_class_and_other_text_does_not() -> None:
    # a: 1 hit, 2 expected, 1 answered: 2/3.
    assert macro_f1(["a", "a"], ["a", "b"], labels=["a", "b", "c"]) == pytest.approx(
        (2 / 3 + 0) / 2
    )
    assert macro_f1(["a", "a"], ["a", "b"]) == pytest.approx(2 / 3)


@pytest.mark.parametrize("text", ["Paris", " paris.\n", "PARIS"])
def test_texts_are_normalized_before_comparison(text: str) -> None:
    assert normalized(text) == "paris"
    assert normalized("e\u0301a  b") == "\xe9a b"


def test_failed_case_has_a_reason(write: Callable[..., Path]) -> None:
    path = write(
        "  - vars: {text: hello}\n    assert: [{type: contains, value: hi}]\n"
        "  - vars: {text: bye}\n    assert: [{type: contains, value: hi}, {type: is-json}]\n"
    )
    first, second = outcomes(
        path, lambda text: TextResult(text="hi" if text == "hello" else "\x1b[1mno")
    )
    assert (first.status, first.name, first.n, first.seconds) == ("passed", "hello", 1, 0.25)
    assert (first.template, first.model, first.line) == ("say", "fake-1.gguf", 7)
    assert second.status == "failed" and second.is_bad
    assert second.reason.startswith("does not contain 'hi'; is not JSON")
    assert [failure.text for failure in second.failures] == ["\x1b[1mno"]


def test_test_without_assertions_requires_valid_reply(
    write: Callable[..., Path],
) -> None:
    def reply(text: str) -> TextResult:
        if text == "invalid":
            raise OutputValidationError("the reply is not JSON", result=TextResult(text="{"))
        return TextResult(text="fine")

    path = write("  - vars: {text: valid}\n  - vars: {text: invalid}\n")
    valid, invalid = outcomes(path, reply)
    assert (valid.status, invalid.status) == ("passed", "failed")
    assert invalid.reason == "the reply is not JSON" and invalid.failures[0].text == "{"


def test_error_of_one_case_does_not_stop_the_others(write: Callable[..., Path]) -> None:
    def reply(text: str) -> TextResult:
        if text == "long":
            raise ContextOverflow("too long", needed=9, available=8)
        return TextResult(text="fine")

    path = write("  - vars: {text: long}\n  - vars: {text: short}\n")
    assert [(o.status, o.reason) for o in outcomes(path, reply)] == [
        ("error", "too long"),
        ("passed", ""),
    ]


@pytest.mark.parametrize("error", [Cancelled("stop"), ModelUnreadable("no model")], ids=str)
def test_model_error_or_cancellation_ends_the_run(
    write: Callable[..., Path], error: LlmtoolError
) -> None:
    def reply(text: str) -> TextResult:
        raise error

    with pytest.raises(type(error)):
        outcomes(write("  - vars: {text: a}\n"), reply)


def test_missing_replies_are_an_error(write: Callable[..., Path]) -> None:
    class Short(Fake):
        def run_cases(self, *args: Any) -> Iterator[object]:
            return iter(())

    with pytest.raises(EngineError, match="before all test cases had a reply"):
        list(run_with(Short(str), plan_of(write("  - vars: {text: a}\n"))))


def test_sampling_is_greedy_unless_test_sets_params(write: Callable[..., Path]) -> None:
    path = write(
        "  - vars: {text: a}\n"
        "  - vars: {text: b}\n    params: {temperature: 1.5, max_tokens: 9, stop: [end]}\n"
        "  - vars: {text: c}\n"
    )
    fake = Fake(lambda text: TextResult(text=text))
    names = [outcome.name for outcome in run_with(fake, plan_of(path))]
    assert names == ["a", "c", "b"]
    assert fake.calls == [
        ("say", {"temperature": 0.0, "seed": 0, "max_tokens": 40}),
        ("say", {"temperature": 1.5, "seed": 0, "max_tokens": 9, "stop": ("end",)}),
    ]
    labels = write("  - vars: {text: a}\n", TRIAGE)
    scored = Fake(lambda text: label_result("bug"))
    list(run_with(scored, plan_of(labels)))
    assert scored.calls == [("triage", {})]


def test_label_and_score_assertions(write: Callable[..., Path]) -> None:
    path = write(
        "  - vars: {text: a}\n"
        "    assert: [{type: label, value: bug}, {type: score, min: 0.9}]\n"
        "  - vars: {text: b}\n    assert: [{type: not-label, value: account}]\n",
        TRIAGE,
    )
    first, second = outcomes(path, lambda text: label_result("bug"))
    assert first.reason == "the score of bug 0.800 is below 0.9"
    assert second.status == "passed"


def test_equal_cases_run_once_and_have_unique_names(write: Callable[..., Path]) -> None:
    path = write(
        "  - vars: {text: a}\n    assert: [{type: contains, value: A}]\n"
        "  - vars: {text: a}\n    assert: [{type: contains, value: B}]\n"
    )
    fake = Fake(lambda text: TextResult(text="A"))
    first, second = run_with(fake, plan_of(path))
    assert fake.texts == ["a"]
    assert (first.name, second.name) == ("a", "a (2)") and first.id != second.id
    assert (first.status, second.status) == ("passed", "failed")


def test_invariant_requires_equal_answers(write: Callable[..., Path]) -> None:
    test = "  - invariant: {text: [Maria, Ahmed, Li]}\n"
    (same,) = outcomes(write(test, TRIAGE), lambda text: label_result("bug"))
    assert (same.status, same.n, same.name) == ("passed", 3, "invariant: Maria")
    (other,) = outcomes(
        write(test, TRIAGE), lambda text: label_result("bug" if text == "Ahmed" else "account")
    )
    assert other.reason == "1 of 3: differs from the answer to 'Maria'"
    (failure,) = other.failures
    assert (failure.case, failure.expected, failure.text) == ("Ahmed", "account", "bug")
    (texts,) = outcomes(
        write(test), lambda text: TextResult(text="Yes." if text == "Li" else " yes")
    )
    assert texts.status == "passed"


ROWS = (
    "text,label,split,id\n"
    "no login,account,train,1\ncharged twice,billing,test,2\ncrash,bug,test,3\n"
)
MEASURED = "  - dataset: d.csv\n    assert: [{type: accuracy, min: 0.9}]\n"


def test_dataset_metrics_are_computed(write: Callable[..., Path]) -> None:
    answers = {"no login": "account", "charged twice": "billing", "crash": "billing"}
    path = write(MEASURED, TRIAGE, d__csv=ROWS)
    (outcome,) = outcomes(path, lambda text: label_result(answers[text]))
    assert outcome.metrics["accuracy"] == pytest.approx(2 / 3)
    # account 1, billing 2/3, bug 0
    assert outcome.metrics["macro-f1"] == pytest.approx((1 + 2 / 3 + 0) / 3)
    assert (outcome.status, outcome.n) == ("failed", 3)
    assert outcome.reason == "accuracy 0.667 is below 0.9"
    assert [(m.case, m.expected, m.text) for m in outcome.failures] == [
        ("d.csv:4 crash", "bug", "billing")
    ]


def test_split_selects_rows(write: Callable[..., Path]) -> None:
    path = write(MEASURED, TRIAGE, d__csv=ROWS)
    (test,) = plan_of(path, "test").tests
    assert test.name == "d.csv (test)"
    assert [sample.variables["text"] for sample in test.samples] == ["charged twice", "crash"]
    with pytest.raises(InputError, match="no rows with split 'dev'; available: test, train"):
        plan_of(path, "dev")


def test_other_assertions_apply_to_every_row(write: Callable[..., Path]) -> None:
    rows = '{"text": "a", "expected": "A"}\n\n{"text": "b", "expected": "B"}\n{"text": "c"}\n'
    path = write(
        "  - dataset: d.jsonl\n    assert: [{type: regex, value: '^[AB]$'}]\n", d__jsonl=rows
    )
    (outcome,) = outcomes(path, lambda text: TextResult(text=text.upper()))
    assert outcome.status == "failed" and outcome.metrics == {}
    assert outcome.reason == "1 of 3: does not match '^[AB]$'"
    assert [failure.case for failure in outcome.failures] == ["d.jsonl:4 c"]


def test_normalized_text_is_correct_and_invalid_reply_is_wrong(
    write: Callable[..., Path],
) -> None:
    def reply(text: str) -> TextResult:
        if text == "b":
            raise OutputValidationError("cut", result=TextResult(text="B"))
        return TextResult(text=f" {text}. ")

    rows = '{"text": "a", "expected": "A"}\n{"text": "b", "expected": "B"}\n'
    path = write("  - dataset: d.jsonl\n    assert: [{type: accuracy, max: 0.5}]\n", d__jsonl=rows)
    (outcome,) = outcomes(path, reply)
    assert (outcome.status, outcome.metrics["accuracy"]) == ("passed", 0.5)


INVALID = {
    "missing file": ({}, "d.csv not found; check `dataset` in the template"),
    "no rows": ({"d__csv": "text,label\n"}, "d.csv: no rows"),
    "unknown label": (
        {"d__csv": "text,label\na,bgu\n"},
        "d.csv, line 2: unknown label 'bgu'; did you mean 'bug'?",
    ),
    "missing answer": (
        {"d__csv": "text,label\na,bug\nb,\n"},
        "d.csv, line 3: missing answer; add a column `expected` or `label`",
    ),
    "missing input": (
        {"d__csv": "txt,label\na,bug\n"},
        "d.csv, line 2: missing required input 'text'",
    ),
    "not a number": (
        {"d__csv": "text,n,label\na,x,bug\n"},
        "d.csv, line 2: n: must be an integer, not 'x'",
    ),
    "too many cells": (
        {"d__csv": "text,label\na,bug,x\n"},
        "d.csv, line 2: 3 cells, but the header has 2",
    ),
    "duplicate column": (
        {"d__csv": "text,text\n"},
        "d.csv, line 1: repeated column name 'text'",
    ),
    "unclosed quote": (
        {"d__csv": 'text,label\n"a,bug\n'},
        "d.csv, line 2: unclosed quote",
    ),
}


@pytest.mark.parametrize(("files", "reason"), INVALID.values(), ids=INVALID)
def test_invalid_dataset_is_rejected_before_the_model_runs(
    write: Callable[..., Path], tmp_path: Path, files: dict[str, str], reason: str
) -> None:
    path = write(MEASURED, TRIAGE, **files)
    with pytest.raises(InputError) as caught:
        plan_of(path)
    assert str(caught.value) == f"{tmp_path}/{reason}"


def test_dataset_linked_from_outside_the_folder_is_rejected(
    write: Callable[..., Path], tmp_path: Path
) -> None:
    outside = tmp_path / "outside.csv"
    outside.write_text(ROWS)
    (tmp_path / "inner").mkdir()
    path = write(MEASURED, TRIAGE).rename(tmp_path / "inner" / "triage.yaml")
    (tmp_path / "inner" / "d.csv").symlink_to(outside)
    with pytest.raises(InputError, match="is outside the folder of the template"):
        plan_of(path)


def test_dataset_path_is_relative_to_the_file_that_defines_it(tmp_path: Path) -> None:
    base, mine = tmp_path / "base", tmp_path / "mine"
    for folder in (base, mine):
        folder.mkdir()
    (base / "triage.yaml").write_text(TRIAGE + MEASURED)
    (base / "d.csv").write_text(ROWS)
    (mine / "own.yaml").write_text("llmtool: 1\nname: own\nextends: triage\n")
    library = Library(user_folders=[mine, base])
    (test,) = make_plan(library, "own").tests
    assert len(test.samples) == 3


IDENTITY = "m:1234"


def test_cached_replies_are_reused(write: Callable[..., Path], tmp_path: Path) -> None:
    path = write("  - vars: {text: a}\n    assert: [{type: contains, value: A}]\n")
    cache = ReplyCache(tmp_path / "replies", model=IDENTITY)
    progress: list[tuple[int, int]] = []
    first = Fake(lambda text: TextResult(text="A"))
    (generated,) = run_with(first, plan_of(path), cache=cache)
    again = Fake(lambda text: TextResult(text="other"))
    (cached,) = run_with(
        again, plan_of(path), cache=cache, on_progress=lambda *at: progress.append(at)
    )
    assert again.calls == [] and progress == [(0, 1), (1, 1)]
    assert (cached.status, cached.n_cached, generated.n_cached) == ("passed", 1, 0)
    assert {file.stat().st_mode & 0o777 for file in (tmp_path / "replies").iterdir()} == {0o600}
    # A changed assertion uses the cache, a changed model, option or template does not.
    write("  - vars: {text: a}\n    assert: [{type: contains, value: B}]\n")
    (judged,) = run_with(again, plan_of(path), cache=cache)
    assert (judged.status, again.calls) == ("failed", [])
    other = ReplyCache(tmp_path / "replies", model="m:5678")
    list(run_with(again, plan_of(path), cache=other))
    write("  - vars: {text: a}\n    params: {seed: 5}\n")
    list(run_with(again, plan_of(path), cache=cache))
    write("  - vars: {text: a}\n", SAY.replace('"{{ text }}"', '"{{ text }}!"'))
    list(run_with(again, plan_of(path), cache=cache))
    assert len(again.calls) == 3


def test_replies_before_cancellation_are_cached_and_errors_are_not(
    write: Callable[..., Path], tmp_path: Path
) -> None:
    def reply(text: str) -> TextResult:
        if text == "b":
            raise ContextOverflow("too long", needed=2, available=1)
        if text == "c":
            raise Cancelled("stop")
        return TextResult(text=text)

    path = write("".join(f"  - vars: {{text: {text}}}\n" for text in "abc"))
    cache = ReplyCache(tmp_path / "replies", model=IDENTITY)
    with pytest.raises(Cancelled):
        list(run_with(Fake(reply), plan_of(path), cache=cache))
    fake = Fake(lambda text: TextResult(text=text))
    list(run_with(fake, plan_of(path), cache=cache))
    assert fake.texts == ["b", "c"]


def test_damaged_cache_is_ignored_and_cache_size_is_limited(
    write: Callable[..., Path], tmp_path: Path
) -> None:
    path = write("  - vars: {text: a}\n")
    cache = ReplyCache(tmp_path / "replies", model=IDENTITY, limit_bytes=100_000)
    for number in range(12):
        text = f"  - vars: {{text: a}}\n    params: {{seed: {number}}}\n"
        write(text)
        list(run_with(Fake(lambda text: TextResult(text="x" * 20_000)), plan_of(path), cache=cache))
    replies = DiskCache(tmp_path / "replies")
    n_cached, n_bytes = replies.clear(dry_run=True)
    assert 1 < n_cached < 12 and n_bytes <= 100_000
    (tmp_path / "replies" / "values.db").write_text("{")
    fake = Fake(lambda text: TextResult(text="x"))
    list(run_with(fake, plan_of(path), cache=cache))
    assert fake.texts == ["a"]
    assert replies.clear()[0] == 1


def outcome(
    status: Any = "passed", *, id: str = "1", reason: str = "", **metrics: float
) -> Outcome:
    return Outcome(
        template="t", model="m.gguf", id=id, name=f"case {id}", kind="vars", status=status,
        reason=reason, metrics=metrics, n=1, file="t.yaml", line=7,
    )  # fmt: skip


BEFORE = Baseline().updated([outcome("passed"), outcome("failed", id="2", accuracy=0.8)])


@pytest.mark.parametrize(
    ("now", "status", "reason"),
    [
        (outcome("passed"), "passed", ""),
        (outcome("failed", reason="x"), "failed", "passed before; x"),
        (outcome("error", reason="x"), "error", "x"),
        (outcome("failed", id="2", reason="x", accuracy=0.8), "known", "x"),
        (outcome("failed", id="2", reason="x", accuracy=0.78), "known", "x"),
        (
            outcome("failed", id="2", reason="x", accuracy=0.77),
            "failed",
            "accuracy dropped from 0.800 to 0.770; x",
        ),
        (outcome("passed", id="2", accuracy=0.5), "failed", "accuracy dropped from 0.800 to 0.500"),
        (outcome("error", id="2", reason="x"), "error", "x"),
        (outcome("failed", id="3", reason="x"), "failed", "x"),
    ],
    ids=[
        "still passes", "regression", "error", "known", "within tolerance", "worse metric",
        "passes with worse metric", "error instead of known failure", "new",
    ],
)  # fmt: skip
def test_baseline_distinguishes_known_failures_from_regressions(
    now: Outcome, status: str, reason: str
) -> None:
    compared = BEFORE.compare(now)
    assert (compared.status, compared.reason) == (status, reason)


def test_tolerance_is_configurable() -> None:
    now = outcome("passed", id="2", accuracy=0.75)
    assert BEFORE.compare(now, tolerance=0.05).status == "passed"


def test_baseline_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "baseline.json"
    path.write_text(baselines.encode(BEFORE))
    assert baselines.read(path) == BEFORE
    assert '"accuracy": 0.8' in path.read_text() and path.read_text().endswith("}\n")


def test_update_keeps_other_models_and_removes_old_tests() -> None:
    other = msgspec.structs.replace(outcome("failed"), model="other")
    updated = BEFORE.updated([other]).updated([outcome("failed", id="3"), outcome("error", id="2")])
    assert [(entry.model, entry.id, entry.passed) for entry in updated.tests] == [
        ("m.gguf", "2", False),
        ("m.gguf", "3", False),
        ("other", "1", False),
    ]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (None, " not found; create it with update_baseline="),
        ("[]", " is not a valid baseline: Expected `object`, got `array`"),
        ('{"llmtool_baseline": 2}', " is not a valid baseline: Expected `int` <= 1"),
    ],
)
def test_invalid_baseline_file_is_rejected(tmp_path: Path, text: str | None, reason: str) -> None:
    path = tmp_path / "b.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputError) as caught:
        baselines.read(path)
    assert str(caught.value).startswith(f"{path}{reason}")


def test_junit_report_has_suites_counts_and_reasons() -> None:
    document = write_junit(
        [
            outcome("passed", accuracy=0.875),
            outcome("failed", id="2", reason="is <not> \x1b[31m\ud800 'x'"),
            outcome("error", id="3", reason="too long"),
            outcome("known", id="4", reason="still fails"),
        ],
        seconds=1.5,
    )
    root = ET.fromstring(document.encode())
    assert root.attrib == {
        "name": "llmtool", "tests": "4", "failures": "1", "errors": "1", "time": "1.500",
    }  # fmt: skip
    (suite,) = root
    assert suite.get("name") == "t [m.gguf]" and suite.get("skipped") == "1"
    assert suite.get("file") == "t.yaml"
    cases = list(suite)
    assert cases[0].attrib == {
        "name": "case 1", "classname": "t.m_gguf", "time": "0.000",
    }  # fmt: skip
    assert cases[0].findtext("system-out") == "accuracy = 0.8750"
    failure = cases[1].find("failure")
    assert failure is not None
    assert failure.get("message") == "is <not> \ufffd[31m\ufffd 'x'"
    assert [case[0].tag for case in cases[1:]] == ["failure", "error", "skipped"]


# From junit-10.xsd of Jenkins' xUnit plugin: the children, the required attributes and the others.
RESULT: tuple[set[str], set[str], set[str]] = (set(), set(), {"type", "message"})
JUNIT: dict[str, tuple[set[str], set[str], set[str]]] = {
    "testsuites": ({"testsuite"}, set(), {"name", "time", "tests", "failures", "errors"}),
    "testsuite": (
        {"testsuite", "properties", "testcase", "system-out", "system-err"},
        {"name", "tests", "failures", "errors"},
        {"group", "time", "skipped", "timestamp", "hostname", "id", "package", "file", "log"},
    ),
    "testcase": (
        {"skipped", "error", "failure", "system-out", "system-err"},
        {"name"},
        {"time", "classname", "group"},
    ),
    "failure": RESULT, "error": RESULT, "skipped": RESULT,
    "system-out": (set(), set(), set()),
}  # fmt: skip


@given(st.text(max_size=20), st.sampled_from(["passed", "failed", "error", "known"]))
@example("\0\x0b\ufffe\uffff\ud800\x1b[0m]]>&<\r\n\t\x85\U0010ffff", "failed")
def test_junit_report_conforms_to_the_schema_of_jenkins(text: str, status: Any) -> None:
    failures = (Failure(case=text, expected=text, text=text, reason=text),)
    one = msgspec.structs.replace(
        outcome(status, reason=text), metrics={text: 0.5}, name=text, model=text, file=text,
        template=text, failures=failures, seconds=12345.6789,
    )  # fmt: skip
    document = write_junit([one, outcome("passed")], seconds=1234567.5)
    for element in ET.fromstring(document.encode()).iter():
        children, required, optional = JUNIT[element.tag]
        assert {child.tag for child in element} <= children
        assert required <= element.attrib.keys() <= required | optional
        if element.tag not in ("failure", "error", "skipped", "system-out"):
            assert not (element.text or "").strip()
        if element.tag in ("testsuite", "testsuites"):
            assert re.fullmatch(r"\d*(\.\d*)?", element.attrib["time"])


def test_toolbox_runs_tests_with_labels(write: Callable[..., Path]) -> None:
    words = {"login": "account", "charged": "billing", "crash": "bug"}

    def score(prompt: str, candidate: str) -> float:
        matches = [label for word, label in words.items() if word in prompt]
        return -0.1 if matches == [candidate.strip()] else -3.0

    path = write(
        "  - vars: {text: login fails}\n"
        "    assert: [{type: label, value: account}, {type: score, min: 0.5}]\n"
        "  - dataset: d.csv\n    assert: [{type: accuracy, min: 1}]\n",
        TRIAGE,
        d__csv="text,label\ncharged twice,billing\ncrash,bug\n",
    )
    box = Toolbox("scripted", engine=ScriptedEngine(scores=score), environ={})
    first, second = run_tests(plan_of(path), partial(run_each, box.context), model_name="scripted")
    assert (first.status, first.reason) == ("passed", "")
    assert (second.status, second.metrics) == ("passed", {"accuracy": 1.0, "macro-f1": 1.0})


def test_toolbox_runs_tests_with_text(write: Callable[..., Path]) -> None:
    path = write(
        "  - vars: {text: one two}\n    assert: [{type: max-tokens, value: 2}]\n"
        "  - vars: {text: one two three}\n    assert: [{type: max-tokens, value: 2}]\n"
    )
    engine = ScriptedEngine(lambda prompt: prompt.removeprefix("user: "))
    box = Toolbox("scripted", engine=engine, environ={})
    first, second = run_tests(plan_of(path), partial(run_each, box.context), model_name="scripted")
    assert (first.status, second.reason) == ("passed", "has 3 tokens, more than 2")
