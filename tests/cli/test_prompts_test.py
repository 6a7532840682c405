"""`llmtool prompts test`: lines, tables, JSON, JUnit, baselines and the exit code."""

from __future__ import annotations

import json
import os
import shutil
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from command import error_line
from scripted_model import use_scripted_model

from llmtool.cli.app import load_command
from llmtool.cli.commands.prompts import render as show
from llmtool.cli.terminal.console import Console
from llmtool.cli.terminal.interrupts import Interrupts
from llmtool.engine.scripted import ScriptedEngine
from llmtool.errors import LlmtoolError, ModelUnreadable, TimeoutExpired
from llmtool.evals import Failure, Outcome
from llmtool.evals.results import FailedAssertion

HEAD = "llmtool: 1\nname: say\ninputs: {text: {type: text}}\nprompt: '{{ text }}'\n"
GREETS = HEAD + (
    "tests:\n"
    "  - vars: {text: hello}\n    assert: [{type: contains, value: HELLO}]\n"
    "  - vars: {text: bye}\n    assert: [{type: contains, value: hello}]\n"
)
DATA = HEAD + "tests:\n  - dataset: d.csv\n    assert: [{type: accuracy, min: 0.5}]\n"


class Done(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def engine() -> ScriptedEngine:
    return ScriptedEngine(lambda prompt: prompt.removeprefix("user: ").upper())


@pytest.fixture
def folder(env: dict[str, str], tmp_path: Path) -> Path:
    """A folder of user templates."""
    folder = Path(env["LLMTOOL_CONFIG_DIR"], "prompts")
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def run(
    env: dict[str, str],
    tmp_path: Path,
    engine: ScriptedEngine,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> Callable[..., Done]:
    """Return `run(*args)`: run the command in this process with the scripted engine."""
    for name, value in env.items():
        if name.startswith("LLMTOOL_"):
            monkeypatch.setenv(name, value)
    use_scripted_model(monkeypatch, engine, tmp_path, "scripted")

    def run(*args: str | Path) -> Done:
        capfd.readouterr()
        code, error = 0, ""
        try:
            load_command("prompts").main(
                ["test", *map(str, args)], standalone_mode=False, obj=Console(Interrupts())
            )
        except LlmtoolError as exc:
            code, error = int(exc.exit_code), f"llmtool: {exc}\n"
        out, err = capfd.readouterr()
        return Done(code, out, err + error)

    return run


Run = Callable[..., Done]


def test_pipe_gets_a_line_per_test_and_failure_is_17(run: Run, folder: Path) -> None:
    (folder / "say.yaml").write_text(GREETS)
    done = run("say")
    assert done.code == 17
    assert done.out.splitlines() == [
        "passed\tsay\tscripted\thello\t\t",
        "failed\tsay\tscripted\tbye\t\tdoes not contain 'hello'\tcontains hello\tBYE",
    ]
    assert done.err == "llmtool: 1 of 2 tests failed\n"


def test_user_templates_are_tested_by_default(run: Run, folder: Path) -> None:
    (folder / "say.yaml").write_text(HEAD + "tests: [{vars: {text: hi}}]\n")
    (folder / "other.yaml").write_text(HEAD.replace("say", "other"))
    done = run()
    assert (done.code, done.out) == (0, "passed\tsay\tscripted\thi\t\t\n")
    assert done.err.startswith("llmtool: 1 test passed (")


def test_template_without_tests_is_reported(run: Run, folder: Path, tmp_path: Path) -> None:
    (folder / "say.yaml").write_text(HEAD + "tests: [{vars: {text: hi}}]\n")
    path = tmp_path / "bare.yaml"
    path.write_text(HEAD.replace("say", "bare"))
    done = run("say", path)
    assert done.code == 0 and "llmtool: template 'bare' has no tests\n" in done.err


@pytest.mark.parametrize("args", [[], ["classify"]], ids=["none", "named"])
def test_no_tests_at_all_is_2(run: Run, folder: Path, args: list[str]) -> None:
    done = run(*args)
    assert done.code == 2 and "no tests; add `tests` to a template" in done.err


def test_second_run_uses_the_cache_unless_disabled(
    run: Run, folder: Path, engine: ScriptedEngine
) -> None:
    (folder / "say.yaml").write_text(HEAD + "tests: [{vars: {text: hi}}]\n")
    run("say")
    assert run("say").err == "llmtool: 1 test passed (all replies cached)\n"
    assert len(engine.prompts) == 1
    run("say", "--no-cache")
    assert len(engine.prompts) == 2


def test_json_has_counts_and_tests(run: Run, folder: Path) -> None:
    (folder / "say.yaml").write_text(GREETS)
    done = run("say", "--json")
    value = json.loads(done.out)
    assert done.code == 17 and value["passed"] is False
    assert value["counts"] == {"passed": 1, "failed": 1, "error": 0, "known": 0}
    assert list(value["tests"][1]) == [
        "template", "model", "id", "name", "kind", "status", "reason", "failures", "metrics", "n",
        "n_failed", "n_cached", "seconds", "file", "line",
    ]  # fmt: skip
    (failure,) = value["tests"][1]["failures"]
    assert failure == {
        "case": "bye", "expected": None, "text": "BYE", "reason": "does not contain 'hello'",
        "assertions": [
            {"type": "contains", "expected": "hello", "actual": "BYE",
             "reason": "does not contain 'hello'"},
        ],
    }  # fmt: skip


def test_dataset_line_has_metrics(run: Run, folder: Path) -> None:
    (folder / "say.yaml").write_text(DATA)
    (folder / "d.csv").write_text("text,expected,split\na,a,x\nb,B.,x\nc,d,y\n")
    assert run("say").out == "passed\tsay\tscripted\td.csv\taccuracy=0.667 macro-f1=0.667\t\n"
    assert "d.csv (y)\taccuracy=0.000" in run("say", "--split", "y").out


def test_tests_run_for_each_model(run: Run, folder: Path) -> None:
    (folder / "say.yaml").write_text(HEAD + "tests: [{vars: {text: hi}}]\n")
    done = run("say", "-m", "starter", "-m", "starter")
    assert done.out == "passed\tsay\tstarter\thi\t\t\n"


def test_junit_is_written_if_a_test_fails(run: Run, folder: Path, tmp_path: Path) -> None:
    (folder / "say.yaml").write_text(GREETS)
    report = tmp_path / "report.xml"
    assert run("say", "--junit", report).code == 17
    root = ET.parse(report).getroot()
    assert (root.get("tests"), root.get("failures")) == ("2", "1")


@pytest.mark.parametrize(
    ("args", "n"),
    [
        (("nofile.yaml",), 1),
        (("no.yaml", "none.yaml"), 2),
        ((), 1),
        (("say", "--baseline", "missing.json"), 1),
        (("say", "--json", "--github"), 1),
    ],
    ids=lambda args: " ".join(args) if isinstance(args, tuple) else "",
)
def test_run_that_cannot_start_replaces_an_earlier_report(
    run: Run, folder: Path, tmp_path: Path, args: tuple[str, ...], n: int
) -> None:
    (folder / "say.yaml").write_text(HEAD)
    report = tmp_path / "report.xml"
    report.write_text("<testsuites tests='1'/>")
    done = run(*args, "--junit", report)
    assert done.code != 0
    root = ET.parse(report).getroot()
    assert (root.get("tests"), root.get("errors")) == (str(n), str(n))
    errors = [each.get("message") for each in root.iter("error")]
    assert {f"llmtool: {each}\n" for each in errors} == {done.err}


def test_directory_names_the_pattern_for_its_files(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.parent)
    assert "for the files of the directory, use prompts/*.yaml" in run("prompts").err
    assert "prompts is a directory; use prompts/*.yaml" in run("prompts/").err


def test_assertion_without_a_value_ends_with_its_type() -> None:
    values = FailedAssertion(type="is-json", expected="", actual="no", reason="not JSON")
    failure = Failure(case="hi", reason="not JSON", assertions=(values,))
    assert failure.values == [("is-json", "no")]


def test_unwritable_report_fails_before_the_models_run(
    run: Run, folder: Path, tmp_path: Path, engine: ScriptedEngine
) -> None:
    (folder / "say.yaml").write_text(GREETS)
    done = run("say", "--junit", tmp_path / "missing" / "report.xml")
    assert done.code == 1 and "cannot write" in done.err and engine.prompts == []


def test_baseline_marks_known_failures_and_reports_regressions(
    run: Run, folder: Path, tmp_path: Path
) -> None:
    (folder / "say.yaml").write_text(GREETS)
    file = tmp_path / "baseline.json"
    assert run("say", "--baseline", file).code == 14
    written = run("say", "--baseline", file, "--update-baseline")
    assert written.code == 0 and f"saved {file} with 1 known failure\n" in written.err
    known = run("say", "--baseline", file)
    assert known.code == 0 and "known\tsay\tscripted\tbye" in known.out
    assert "1 test passed, 1 known failure" in known.err
    (folder / "say.yaml").write_text(GREETS.replace("HELLO", "Hello"))
    worse = run("say", "--baseline", file)
    assert worse.code == 17 and "failed\tsay\tscripted\thello\t\tpassed before; " in worse.out


def test_metric_can_drop_by_the_tolerance(run: Run, folder: Path, tmp_path: Path) -> None:
    (folder / "say.yaml").write_text(DATA)
    rows = "text,expected\na,a\nb,b\nc,c\n"
    (folder / "d.csv").write_text(rows)
    file = tmp_path / "baseline.json"
    run("say", "--baseline", file, "--update-baseline")
    (folder / "d.csv").write_text(rows.replace("c,c", "c,d"))
    worse = run("say", "--baseline", file)
    assert worse.code == 17 and "accuracy dropped from 1.000 to 0.667" in worse.out
    assert run("say", "--baseline", file, "--tolerance", "0.4").code == 0


def test_update_baseline_needs_a_file(run: Run, folder: Path) -> None:
    (folder / "say.yaml").write_text(GREETS)
    assert run("say", "--update-baseline").code == 2


def test_case_error_is_never_a_known_failure(run: Run, folder: Path, tmp_path: Path) -> None:
    long = "word " * 5000
    (folder / "say.yaml").write_text(HEAD + f"tests: [{{vars: {{text: '{long}'}}}}]\n")
    done = run("say", "--baseline", tmp_path / "b.json", "--update-baseline")
    assert done.code == 17 and done.out.startswith("error\tsay\tscripted\tword word")
    assert "1 of 1 test failed (1 with an error)" in done.err


def outcome(status: Any, name: str, **more: Any) -> Outcome:
    return Outcome(
        template="say", model="scripted", id=name, name=name, kind="vars", status=status,
        n=1, file="say.yaml", line=7, **more,
    )  # fmt: skip


def test_terminal_gets_a_table_with_escaped_replies(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    console = Console(Interrupts())
    console.stdout.is_terminal = True
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")
    failure = Failure(case="bye", text="\x1b[2Jtwo\nlines", reason="does not contain 'hello'")
    show.live(
        console,
        [
            outcome("passed", "hello", metrics={"accuracy": 0.875}),
            outcome("failed", "bye", reason=failure.reason, failures=(failure,), n_failed=1),
            outcome("known", "as before", reason="x"),
        ],
        as_json=False,
    )
    shown = [line.rstrip() for line in capfd.readouterr().out.splitlines()]
    assert shown == [
        "say on scripted",
        "✓  hello      accuracy 0.875",
        "✗  bye        does not contain 'hello'",
        "~  as before  x",
        "  bye  (say.yaml:7)",
        "      actual:   ␛[2Jtwo⏎lines",
    ]


def test_missing_model_is_10_before_another_is_loaded(
    run_llmtool: Callable[..., Any], folder: Path, tiny: Path
) -> None:
    (folder / "say.yaml").write_text(GREETS)
    result = run_llmtool("prompts", "test", "-m", tiny, "-m", "nowhere/at-all")
    assert "nowhere/at-all" in error_line(result, 10)


def test_single_invalid_template_is_a_failed_test(run: Run, folder: Path, tmp_path: Path) -> None:
    (folder / "say.yaml").write_text(GREETS.replace("contains", "contain"))
    done = run("say", "--junit", tmp_path / "report.xml")
    assert done.code == 17 and "1 of 1 test failed (1 with an error)" in done.err
    assert "did you mean 'contains'?" in done.out
    error = ET.parse(tmp_path / "report.xml").getroot().find("testsuite/testcase/error")
    assert error is not None and "did you mean 'contains'?" in error.get("message", "")


def test_tiny_model_is_tested_and_its_replies_are_cached(
    run_llmtool: Callable[..., Any], folder: Path, tiny: Path, tmp_path: Path
) -> None:
    (folder / "say.yaml").write_text(
        HEAD + "model: {params: {max_tokens: 4}}\ntests:\n"
        "  - invariant: {text: [hello, hello]}\n    assert: [{type: max-tokens, value: 4}]\n"
    )
    copy = tmp_path / tiny.name  # as on the next machine of a CI service
    shutil.copy(tiny, copy)
    os.utime(copy, (1, 1))
    cached = []
    for model in (tiny, copy):
        result = run_llmtool("prompts", "test", "-m", model, "--threads", "1")
        assert result.returncode == 0, result.stderr
        assert result.stdout.startswith(b"passed\tsay\t")
        cached.append(b"all replies cached" in result.stderr)
    assert cached == [False, True]
    template = tmp_path / "chat.jinja"
    template.write_text("{% for message in messages %}{{ message.content }}{% endfor %}")
    result = run_llmtool("prompts", "test", "-m", tiny, "--chat-template", template)
    assert result.returncode == 0, result.stderr
    assert b"cached" not in result.stderr


BROKEN = {
    "yaml": ("llmtool: 1\nname: broken\nprompt: [\n", "broken.yaml:"),
    "template": (
        "llmtool: 1\nname: broken\nprompt: '{% if'\ntests: [{vars: {}}]\n",
        "broken.yaml:3: ",
    ),
    "dataset": (DATA.replace("say", "broken").replace("d.csv", "gone.csv"), "gone.csv"),
}


@pytest.mark.parametrize(("text", "reason"), BROKEN.values(), ids=BROKEN)
def test_broken_template_is_an_error_and_the_others_are_tested(
    run: Run, folder: Path, tmp_path: Path, text: str, reason: str
) -> None:
    (folder / "broken.yaml").write_text(text)
    (folder / "say.yaml").write_text(HEAD + "tests: [{vars: {text: hi}}]\n")
    report = tmp_path / "report.xml"
    done = run("--junit", report, "--json")
    value = json.loads(done.out)
    assert done.code == 17 and "1 of 2 tests failed (1 with an error)" in done.err
    assert value["counts"] == {"passed": 1, "failed": 0, "error": 1, "known": 0}
    broken, said = value["tests"]
    assert (broken["kind"], broken["status"], said["status"]) == ("file", "error", "passed")
    assert reason in broken["reason"]
    root = ET.parse(report).getroot()
    assert (root.get("tests"), root.get("errors")) == ("2", "1")
    assert root.find("testsuite[@name='broken']/testcase/error") is not None
    assert run().out.splitlines()[0].startswith("error\tbroken\t\tbroken.yaml\t\t")


def test_case_that_cannot_be_rendered_is_an_error_of_its_test(run: Run, folder: Path) -> None:
    (folder / "say.yaml").write_text(
        HEAD.replace("{{ text }}", "{{ 1 // (text | length) }}")
        + "tests: [{vars: {text: ''}}, {vars: {text: hi}}]\n"
    )
    done = run("say")
    assert done.code == 17 and "1 of 2 tests failed (1 with an error)" in done.err
    assert [line.split("\t")[0] for line in done.out.splitlines()] == ["error", "passed"]


def test_each_failed_assertion_has_its_values(run: Run, folder: Path) -> None:
    (folder / "say.yaml").write_text(
        HEAD + "tests:\n  - vars: {text: bye}\n    assert:\n"
        "      - {type: equals, value: ciao}\n      - {type: not-contains, value: YE}\n"
        "      - {type: regex, value: B}\n      - {type: schema, value: 'a int'}\n"
        "      - {type: lines-kept}\n      - {type: is-json}\n"
    )
    done = run("say", "--json")
    (failure,) = json.loads(done.out)["tests"][0]["failures"]
    assert [(each["type"], each["expected"], each["actual"]) for each in failure["assertions"]] == [
        ("equals", "ciao", "BYE"),
        ("not-contains", "YE", "BYE"),
        ("schema", "a int", "BYE"),
        ("is-json", "", "BYE"),
    ]


def test_failed_tests_are_github_annotations(
    run: Run, folder: Path, engine: ScriptedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "say.yaml").write_text(GREETS.replace("{text: bye}", '{text: "a\\n::set-output %"}'))
    monkeypatch.chdir(folder)
    done = run("./say.yaml", "--github")
    assert done.code == 17
    assert done.out == (
        "::error file=say.yaml,line=8,title=say on scripted%3A a %3A%3Aset-output %25::"
        "does not contain 'hello'%0Aexpected: contains hello%0A"
        "actual: A%0A::SET-OUTPUT %25\n"
    )
    (folder / "broken.yaml").write_text(BROKEN["template"][0])
    assert run("--github").out.startswith("::error file=broken.yaml,line=3,title=broken%3A broken.")


def test_missing_templates_alone_are_reported_before_the_model_is_found(
    run_llmtool: Callable[..., Any],
) -> None:
    args = ("prompts", "test", "nothing", "gone.yaml", "-m", "none.gguf")
    line = error_line(run_llmtool(*args), 12)
    assert line == "llmtool: unknown templates: nothing, gone.yaml; see `llmtool prompts ls`"
    assert "unknown template 'nothing'" in error_line(run_llmtool(*args[:3], *args[4:]), 12)


def test_missing_template_is_an_error_and_the_others_are_tested(run: Run, folder: Path) -> None:
    (folder / "say.yaml").write_text(HEAD + "tests: [{vars: {text: hi}}]\n")
    done = run("say", "gone.yaml", "sayy")
    assert done.code == 17 and "2 of 3 tests failed (2 with an error)" in done.err
    assert done.out.splitlines() == [
        "error\tgone\t\tgone.yaml\t\tgone.yaml: no such file",
        "error\tsayy\t\tsayy\t\tunknown template 'sayy'; did you mean 'say'?",
        "passed\tsay\tscripted\thi\t\t",
    ]


@pytest.mark.parametrize("ending", ["time limit", "error"])
def test_run_that_ends_early_writes_a_report(
    run: Run,
    folder: Path,
    tmp_path: Path,
    engine: ScriptedEngine,
    tiny: Path,
    monkeypatch: pytest.MonkeyPatch,
    ending: str,
) -> None:
    texts = ["hello", "bye", "third"]
    (folder / "say.yaml").write_text(
        HEAD + "tests:\n" + "".join(f"  - vars: {{text: {text}}}\n" for text in texts)
    )
    (folder / "other.yaml").write_text((folder / "say.yaml").read_text().replace("say", "other"))
    error: LlmtoolError = ModelUnreadable("the model cannot be read")
    if ending == "time limit":
        error = TimeoutExpired("not finished after 9 s; raise --timeout", seconds=9)

    def reply(prompt: str) -> str:
        if prompt.endswith("bye"):
            raise error
        return prompt

    monkeypatch.setattr(engine, "_replies", reply)
    report = tmp_path / "report.xml"
    done = run("say", "other", "-m", "starter", "-m", tiny, "--junit", report)
    assert done.code == error.exit_code and str(error) in done.err
    assert done.out == "passed\tsay\tstarter\thello\t\t\n"
    root = ET.parse(report).getroot()
    assert (root.get("tests"), root.get("failures"), root.get("errors")) == ("12", "0", "11")
    reasons = {each.get("message") for each in root.iter("error")}
    assert reasons == {f"no result: {error}"}
    assert [suite.get("name") for suite in root] == [
        "say [starter]", "other [starter]", f"say [{tiny}]", f"other [{tiny}]",
    ]  # fmt: skip


def test_report_replaces_a_report_but_no_other_file(
    run: Run, folder: Path, tmp_path: Path, engine: ScriptedEngine
) -> None:
    (folder / "say.yaml").write_text(HEAD + "tests: [{vars: {text: hi}}]\n")
    report = tmp_path / "report.xml"
    for text in ("", "<old/>"):
        report.write_text(text)
        assert run("say", "--junit", report, "--no-cache").code == 0
        assert ET.parse(report).getroot().tag == "testsuites"
    report.write_text("notes")
    engine.prompts.clear()
    done = run("say", "--junit", report, "--no-cache")
    assert done.code == 2 and "the file exists and is not XML" in done.err
    assert report.read_text() == "notes" and engine.prompts == []
