"""`llmtool classify`: output, errors and exit codes for CI."""

from __future__ import annotations

import csv
import io
import json
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
from command import error_line
from scripted_model import use_scripted_model

from llmtool.cli.commands.classify import plot as labels_plot
from llmtool.cli.commands.classify.conditions import find_unmet, parse
from llmtool.cli.terminal.console import Console
from llmtool.engine.scripted import ScriptedEngine
from llmtool.tasks.classify.evaluate import Bin, Evaluation

DATA = Path(__file__).resolve().parent.parent / "data"
TUNED = [json.loads(line) for line in (DATA / "topic.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A cache for all tests of this file, so that examples are read and biases measured once."""
    return str(tmp_path_factory.mktemp("cache"))


@pytest.fixture
def classify(run_llmtool: Callable[..., Any], starter: Path, cache: str) -> Callable[..., Any]:
    variables = {"LLMTOOL_CACHE_DIR": cache}

    def run(*args: str | Path, **options: Any) -> subprocess.CompletedProcess[bytes]:
        return run_llmtool("classify", *args, "-m", starter, env=variables, **options)  # type: ignore[no-any-return]

    return run


@pytest.fixture
def classify_scripted(
    run_llmtool: Callable[..., Any], cwd: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Any]:
    """Classify with scripted scores, in which two texts have a likely label."""
    likely = {SPORT: "sports", "Shares fell": "business"}

    def score(prompt: str, label: str) -> float:
        found = [name for text, name in likely.items() if text in prompt]
        return -0.2 if found == [label.strip()] else -4

    use_scripted_model(monkeypatch, ScriptedEngine(scores=score), cwd)
    return partial(run_llmtool, "classify")


@pytest.fixture
def classify_with_tiny(run_llmtool: Callable[..., Any], tiny: Path) -> Callable[..., Any]:
    """For tests that do not depend on which label is right."""

    def run(*args: str | Path, **options: Any) -> subprocess.CompletedProcess[bytes]:
        return run_llmtool("classify", *args, "-m", tiny, **options)  # type: ignore[no-any-return]

    return run


SPORT = "The striker scored a hat-trick in the cup final."


def test_pipe_gets_only_the_label(classify: Callable[..., Any]) -> None:
    done = classify(SPORT, "-t", "topic")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"sports\n", b"")


def test_text_can_come_from_a_pipe_or_a_file(
    classify_with_tiny: Callable[..., Any], tmp_path: Path
) -> None:
    def scores(*args: str | Path, **options: Any) -> object:
        result = json.loads(classify_with_tiny("-t", "topic", "--json", *args, **options).stdout)
        assert result["text"] in result["scores"]
        return result["scores"]

    (tmp_path / "a.txt").write_text(SPORT)
    expected = scores(SPORT)
    assert scores(input=SPORT.encode()) == scores("-f", tmp_path / "a.txt") == expected
    assert scores("another text") != expected


def test_json_has_all_fields(classify_scripted: Callable[..., Any]) -> None:
    result = json.loads(classify_scripted(SPORT, "-l", "sports,music", "--json").stdout)
    assert list(result) == [
        "text", "label", "labels", "score", "scores", "reason", "coverage", "scoring", "logprobs",
        "bias", "form", "calibrated", "near_tie", "recipe", "model", "usage", "seconds", "warnings",
    ]  # fmt: skip
    assert result["label"] == "sports" and result["calibrated"] is False
    assert sum(result["scores"].values()) == pytest.approx(1)
    assert all(value < 0 for value in result["logprobs"].values())


def test_scores_and_top_labels(classify_scripted: Callable[..., Any]) -> None:
    lines = classify_scripted(SPORT, "-t", "topic", "--scores").stdout.decode().splitlines()
    scores = [float(line.split("\t")[1]) for line in lines]
    assert len(lines) == 5 and scores == sorted(scores, reverse=True)
    best = classify_scripted(SPORT, "-t", "topic", "--top", "2").stdout.decode().splitlines()
    assert best == [line.split("\t")[0] for line in lines[:2]]


def test_labels_can_be_given_in_several_forms(
    classify_with_tiny: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "labels").write_text("sports=matches and players\n\nmusic\n")
    for spelled in (
        ["-l", "sports,music"],
        ["-l", "sports", "-l", "music"],
        ["-l", "sports，music"],
        ["-l", "sports；music"],
        ["-l", "sports、 music", "--prior", "sports=1，music=1"],
        ["-l", "sports=matches and players", "-l", "music"],
        ["-l", f"@{tmp_path / 'labels'}"],
    ):
        result = json.loads(classify_with_tiny(SPORT, *spelled, "--json").stdout)
        assert list(result["scores"]) == ["sports", "music"]


@pytest.mark.parametrize(
    ("args", "code"),
    [
        (["--expect", "sports"], 0),
        (["--expect", "travel", "--expect", "sports"], 0),
        (["--expect", "travel"], 15),
        (["--fail-on", "sports"], 15),
        (["--fail-on", "travel"], 0),
        (["--min-confidence", "1"], 15),
        (["--min-confidence", "0.2"], 0),
        (["--min-margin", "1"], 15),
        (["--min-margin", "0.01"], 0),
        (["--min-coverage", "1"], 15),
        (["--min-coverage", "0.0001"], 0),
    ],
)
def test_expect_sets_the_exit_code_with_json_on_stdout(
    classify_scripted: Callable[..., Any], args: list[str], code: int
) -> None:
    done = classify_scripted(SPORT, "-t", "topic", "--json", *args)
    assert done.returncode == code
    result = json.loads(done.stdout)
    assert result["label"] == (None if args[0].startswith("--min") and code else "sports")
    assert done.stderr.count(b"\n") == (1 if code else 0)


@pytest.mark.parametrize(
    ("labels", "note"),
    [
        ("a,b", "skipped 8 of 8 examples of 'sentiment' because -l does not list their labels"),
        ("positive,other", "skipped 4 of 8 examples of 'sentiment' because -l does not list"),
        ("Positive,negative", None),
    ],
    ids=["others", "one of them", "the same"],
)
def test_unused_examples_are_reported(
    classify_scripted: Callable[..., Any], labels: str, note: str | None
) -> None:
    error = classify_scripted(
        "It rains", "-t", "sentiment", "-l", labels, "--dry-run"
    ).stderr.decode()
    result = [line for line in error.splitlines() if "examples" in line]
    assert [line.startswith(f"llmtool: {note}") for line in result] == [True] * (note is not None)


@pytest.mark.parametrize(
    ("args", "reason"),
    [
        (["-l", "one"], "at least two labels"),
        (["-l", "a,a"], "duplicate label 'a'"),
        (["-l", "a,A"], "are the same"),
        (["-l", "a,,b"], "a label is empty"),
        ([], "no labels"),
        (["-t", "topic", "--expect", "sport"], "unknown label 'sport'; did you mean"),
        (["-l", "a,b", "--prior", "a"], "LABEL=NUMBER"),
        (["-l", "a,b", "--prior", "a=1"], "--prior has no label 'b'"),
        (["-l", "a,b", "--explain", "--multi"], "--explain cannot be combined with"),
        (["-l", "a,b", "--multi", "--prior", "a=1,b=1"], "--prior cannot be used with --multi"),
        (["-l", "a,b", "--limit", "3"], "--limit needs a batch"),
        (["-l", "a,b", "--prior", "a=nan,b=1"], "above 0"),
        (["-l", "a=x,b=y"], "use -l once per label"),
        (
            ["-l", "a,b", "--multi", "--calibrate", "x"],
            "--calibrate and --multi cannot be combined",
        ),
        (["-l", "a,b", "--raw", "--calibrate", "x"], "--calibrate and --raw cannot"),
        (["-l", "a,b", "--dry-run", "--calibrate", "x"], "--calibrate and --dry-run cannot"),
        (
            ["-l", "a,b", "--each", "line"],
            "and --each cannot be combined; a batch reads files of -f",
        ),
        (["-l", "a,b", "--balanced"], "--balanced needs a batch"),
        (
            ["-l", "a,b", "--balanced", "--each", "line", "--resume"],
            "--balanced and --resume cannot",
        ),
        (
            ["-l", "a,b", "--balanced", "--prior", "a=1,b=2", "--each", "line"],
            "--balanced and --prior cannot",
        ),
        (
            ["-l", "a,b", "--multi", "--min-coverage", "0.5"],
            "--min-coverage cannot be used with --multi",
        ),
    ],
)
def test_invalid_options_are_usage_errors(
    classify_scripted: Callable[..., Any], args: list[str], reason: str
) -> None:
    assert reason in error_line(classify_scripted("some text", *args), 2)


def test_empty_text_is_an_input_error(classify_scripted: Callable[..., Any]) -> None:
    assert "empty" in error_line(classify_scripted("-t", "topic", input=b" \n"), 14)


def test_batch_has_columns_and_a_summary(classify_scripted: Callable[..., Any]) -> None:
    text = io.StringIO()
    csv.writer(text).writerows([["id", "text"], [1, SPORT], [2, ""], [3, "Shares fell."]])
    done = classify_scripted("-t", "topic", "--each", "csv", input=text.getvalue().encode())
    rows = list(csv.DictReader(io.StringIO(done.stdout.decode())))
    assert done.returncode == 3
    assert list(rows[0]) == [
        "id",
        "text",
        "label",
        "score",
        "scores",
        "near_tie",
        "error",
        "exit_code",
    ]
    assert rows[0]["label"] == "sports" and set(json.loads(rows[0]["scores"])) >= {"sports"}
    assert rows[1]["label"] == "" and "empty" in rows[1]["error"]
    assert b"sports 1" in done.stderr and b"mean score 0." in done.stderr


def test_batch_counts_the_records_with_an_unexpected_label(
    run_llmtool: Callable[..., Any], tiny: Path
) -> None:
    done = run_llmtool(
        "classify", "-l", "a,b", "--each", "line", "--jsonl", "--expect", "b", "-q", "-m", tiny,
        input="\n".join(f"parcel {n}" for n in range(5)).encode(),
    )  # fmt: skip
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    n_unexpected = sum(row["label"] != "b" for row in rows)
    assert n_unexpected > 1
    assert done.returncode == 15
    assert f"llmtool: {n_unexpected} records with an unexpected label".encode() in done.stderr


def test_record_without_text_fails(classify_scripted: Callable[..., Any]) -> None:
    lines = [json.dumps({"id": 1, "text": SPORT}), json.dumps({"id": 2})]
    done = classify_scripted("-t", "topic", "--each", "jsonl", input="\n".join(lines).encode())
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 3 and rows[0]["label"] == "sports"
    assert "field 'text' is missing" in rows[1]["error"] and rows[1]["exit_code"] == 14


def test_batch_can_fail_on_a_label_and_abstain(classify_scripted: Callable[..., Any]) -> None:
    done = classify_scripted(
        "-t", "topic", "--each", "line", "--jsonl", "--fail-on", "sports", input=SPORT.encode()
    )
    assert done.returncode == 15 and json.loads(done.stdout)["label"] == "sports"
    unsure = classify_scripted(
        "-t", "topic", "--each", "line", "--jsonl", "--min-confidence", "1", input=SPORT.encode()
    )
    assert unsure.returncode == 0 and json.loads(unsure.stdout)["label"] is None
    assert b"no label 1" in unsure.stderr


def test_balanced_reports_its_assumption(classify_with_tiny: Callable[..., Any]) -> None:
    classify = classify_with_tiny
    tested = [json.loads(line) for line in (DATA / "sentiment.jsonl").read_text().splitlines()]
    texts = [row["text"] for row in tested if row["split"] == "test"]
    args = ["-l", "positive,negative", "--each", "line", "--jsonl"]
    done = classify(*args, "--balanced", input="\n".join(texts).encode())
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0 and [row["input"] for row in rows] == texts
    mean = sum(row["scores"]["positive"] for row in rows) / len(rows)
    assert mean == pytest.approx(0.5, abs=1e-3)
    assert b"all labels are about equally frequent in 40 texts" in done.stderr
    assert b"at least as many texts as labels" in classify(*args, "--balanced", input=b"one").stderr
    done = classify(*args, "--balanced", "--multi", input="\n".join(texts).encode())
    assert done.returncode == 0 and b"equally frequent in" in done.stderr


def test_multi_returns_any_number_of_labels(classify_with_tiny: Callable[..., Any]) -> None:
    classify = classify_with_tiny
    args = [SPORT, "-l", "football", "-l", "weather=rain, snow and wind", "--multi"]
    result = json.loads(classify(*args, "--json").stdout)
    assert result["label"] is None
    assert set(result["labels"]) == {name for name, p in result["scores"].items() if p >= 0.5}
    none = classify(*args, "--min-confidence", "1")
    assert none.returncode == 15 and none.stdout == b""
    rows = classify(*args[1:], "--each", "line", "--jsonl", input=SPORT.encode())
    assert json.loads(rows.stdout)["labels"] == result["labels"]


def test_explain_lists_the_supporting_sentences(
    classify: Callable[..., Any], classify_with_tiny: Callable[..., Any]
) -> None:
    text = f"{SPORT} It was a mild evening."
    result = json.loads(classify(text, "-t", "topic", "--explain", "--json").stdout)
    parts = result["explanation"]
    assert "".join(text[part["start"] : part["end"]] for part in parts) == text
    assert max(parts, key=lambda part: part["weight"])["text"] == SPORT
    lines = classify_with_tiny(text, "-t", "topic", "--explain").stdout.decode().splitlines()
    assert len(lines) == 3
    few = classify_with_tiny(SPORT, "-t", "topic", "--explain")
    assert "2 to 200" in error_line(few, 14)


def test_calibration_is_saved_and_reused(
    classify_with_tiny: Callable[..., Any], tmp_path: Path, env: dict[str, str]
) -> None:
    classify = classify_with_tiny
    file = tmp_path / "labelled.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in TUNED[:20]))
    before = json.loads(classify(SPORT, "-t", "topic", "--json").stdout)
    done = classify("-t", "topic", "--calibrate", file)
    assert done.returncode == 0 and done.stdout == b""
    assert b"saved calibration on 20 texts" in done.stderr
    after = json.loads(classify(SPORT, "-t", "topic", "--json").stdout)
    assert (before["calibrated"], after["calibrated"]) == (False, True)
    assert before["scores"] != after["scores"]
    folder = Path(env["LLMTOOL_DATA_DIR"]) / "calibrations"
    assert {file.stat().st_mode & 0o777 for file in folder.iterdir()} == {0o600}
    (folder / "values.db").write_bytes(b"\x00broken")
    again = json.loads(classify(SPORT, "-t", "topic", "--json").stdout)
    assert again["calibrated"] is False
    assert again["bias"] == before["bias"]
    file.write_text(json.dumps(TUNED[0]) + "\n")
    assert "at least 20 labelled texts" in error_line(
        classify("-t", "topic", "--calibrate", file), 2
    )


def test_examples_are_read_from_a_file(
    classify_scripted: Callable[..., Any], tmp_path: Path
) -> None:
    file = tmp_path / "examples.csv"
    file.write_text("text,label\nThe match ended in a draw.,a\nIt will rain.,b\n")
    shown = classify_scripted("hello", "-l", "a,b", "--examples", file, "--dry-run").stdout.decode()
    assert shown == (
        'Text: "The match ended in a draw."\nLabel: a\n\nText: "It will rain."\nLabel: b\n\n'
        'Text: "hello"\nLabel:\n'
    )
    file.write_text("text,label\nx,c\n")
    assert "unknown label 'c'" in error_line(
        classify_scripted("hello", "-l", "a,b", "--examples", file), 2
    )
    text_file = tmp_path / "examples.txt"
    text_file.write_text("hello\n")
    line = error_line(classify_scripted("hello", "-l", "a,b", "--examples", text_file), 14)
    assert "not valid JSON" in line and line.endswith("; use a .jsonl or .csv file")
    file.write_text("words,label\nx,a\n,b\n")
    assert "no text in column 'words'; columns: words, label" in error_line(
        classify_scripted("hello", "-l", "a,b", "--examples", file), 14
    )


def test_text_longer_than_the_context_is_split(classify: Callable[..., Any]) -> None:
    text = f"{SPORT} " * 60
    args = ["-t", "topic", "--ctx-size", "256"]
    assert "needs" in error_line(classify(text, *args), 13)
    done = classify(text, *args, "--overflow", "chunk", "--json")
    result = json.loads(done.stdout)
    assert result["label"] == "sports"
    assert "9 chunks" in result["warnings"][0] and result["warnings"][0].encode() in done.stderr


@pytest.fixture
def data(tmp_path: Path) -> Path:
    file = tmp_path / "data.jsonl"
    rows = [{"body": row["text"], "kind": row["label"], "split": row["split"]} for row in TUNED]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows[:17]))
    return file


def test_eval_prints_metrics(
    classify_with_tiny: Callable[..., Any], data: Path, tmp_path: Path
) -> None:
    classify = classify_with_tiny
    fields = ["--text-field", "body", "--label-field", "kind"]
    plot = tmp_path / "plot.svg"
    done = classify(
        "eval", data, "-t", "topic", *fields, "--split", "test", "--baselines", "--compare",
        "--plot", plot, "--json",
    )  # fmt: skip
    result = json.loads(done.stdout)
    n = sum(map(sum, result["confusion"]))
    assert n == result["n_texts"] > 5
    right = sum(result["confusion"][i][i] for i in range(len(result["labels"])))
    assert result["accuracy"] == pytest.approx(right / n)
    assert len(result["mistakes"]) == n - right
    assert sum(each["n"] for each in result["bins"]) == n
    assert [each["name"] for each in result["baselines"]][-2:] == [
        "constrained generation",
        "free generation",
    ]
    assert plot.read_text().lstrip().startswith("<?xml")
    piped = classify("eval", data, "-t", "topic", *fields, "--split", "test")
    assert f"accuracy\t{result['accuracy']:.3f}\n".encode() in piped.stdout


def test_eval_fails_under_a_metric_after_its_report(
    classify_with_tiny: Callable[..., Any], data: Path
) -> None:
    args = ["eval", data, "-t", "topic", "--text-field", "body", "--label-field", "kind"]
    met = classify_with_tiny(*args, "--fail-under", "accuracy=0", "--fail-under", "macro_f1=0%")
    assert met.returncode == 0
    unmet = classify_with_tiny(*args, "--json", "--fail-under", "accuracy=100%")
    accuracy = json.loads(unmet.stdout)["accuracy"]
    assert unmet.returncode == 15
    assert unmet.stderr.decode().endswith(f"llmtool: accuracy {accuracy:.4f} is below 1\n")
    shown = classify_with_tiny(*args, "--github", "--fail-under", "accuracy=1")
    *report, annotation = shown.stdout.decode().splitlines()
    assert report[0] == "texts\t17"
    assert annotation.startswith("::error file=") and annotation.endswith(" is below 1")


def test_conditions_of_a_label() -> None:
    found = msgspec.convert(
        {"n_texts": 6, "accuracy": 4 / 6, "macro_f1": 0.5, "ece": 0, "labels": ["a", "b", "c"],
         "confusion": [[3, 1, 0], [1, 1, 0], [0, 0, 0]], "bins": [], "mistakes": [],
         "texts_per_second": 1, "calibrated": False},
        Evaluation,
    )  # fmt: skip
    unmet = [
        find_unmet([parse(text)], found)
        for text in (
            "recall:a=75%", "recall:A=0.76", "precision:b=0.5", "f1:b=51%", "recall:c=0",
            "accuracy=66.66%", "Macro-F1=0.51",
        )
    ]  # fmt: skip
    assert unmet == [
        [],
        ["recall:A 0.7500 is below 0.76"],
        [],
        ["f1:b 0.5000 is below 0.51"],
        ["recall:c is not defined: no text has or gets this label"],
        [],
        ["macro-f1 0.5000 is below 0.51"],
    ]


@pytest.mark.parametrize(
    ("args", "code", "reason"),
    [
        (["--label-field", "nope"], 14, "unknown column 'nope'; columns: "),
        (["--split", "nope"], 14, "in split 'nope'"),
        (["--multi"], 2, "--multi"),
        (["--plot", "x.txt"], 2, ".svg, .png or .pdf"),
        (["-t", "sentiment"], 2, "text 1: unknown label 'business'"),
        (["--fail-under", "0.9"], 2, "--fail-under 0.9: must have the form METRIC=VALUE"),
        (["--fail-under", "acc=0.9"], 2, "unknown metric 'acc'; use one of accuracy, macro-f1, "),
        (["--fail-under", "accuracy:sports=0.9"], 2, "unknown metric 'accuracy:sports'"),
        (["--fail-under", "recall=0.9"], 2, "unknown metric 'recall'"),
        (["--fail-under", "accuracy=90"], 2, "must be between 0 and 1, or 0% and 100%"),
        (["--fail-under", "accuracy=nan"], 2, "must be between 0 and 1"),
        (["--fail-under", "accuracy=101%"], 2, "must be between 0 and 1"),
        (["-t", "topic", "--fail-under", "f1:sport=0.9"], 2, "did you mean 'sports'?"),
        (["--github"], 2, "--github needs --fail-under"),
    ],
)
def test_eval_rejects_invalid_input(
    classify_scripted: Callable[..., Any], data: Path, args: list[str], code: int, reason: str
) -> None:
    fields = ["--text-field", "body", "--label-field", "kind"]
    assert reason in error_line(classify_scripted("eval", data, *fields, *args), code)


@pytest.mark.parametrize(
    ("names", "columns", "rows"),
    [
        (["a", "bb"], ["a", "bb"], ["a", "bb"]),
        (["a", "b" * 40], ["1", "2"], ["a  1", "b" * 27 + "…  2"]),
        ([f"l{i}" for i in range(30)], ["1", "2"], ["l0  1", "l1  2"]),
    ],
    ids=["names", "long names", "many names"],
)
def test_plot_columns_are_named_if_they_fit(
    console: Console, tmp_path: Path, names: list[str], columns: list[str], rows: list[str]
) -> None:
    matplotlib = pytest.importorskip("matplotlib.figure")
    found = Evaluation(
        n_texts=len(names),
        accuracy=1.0,
        macro_f1=1.0,
        ece=0.0,
        labels=tuple(names),
        confusion=tuple(tuple(int(i == j) for j in range(len(names))) for i in range(len(names))),
        bins=(Bin(low=0.9, high=1.0, n=len(names), confidence=1.0, accuracy=1.0),),
        mistakes=(),
        texts_per_second=1.0,
        calibrated=False,
    )
    axes = matplotlib.Figure().subplots()
    labels_plot._confusion(axes, found)
    assert [each.get_text() for each in axes.get_xticklabels()][:2] == columns
    assert [each.get_text() for each in axes.get_yticklabels()][:2] == rows
    if len(names) == 2:
        labels_plot.draw(console, found, str(tmp_path / "plot.png"), title="a title")
        assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")


def test_help_lists_the_subcommands(run_llmtool: Callable[..., Any]) -> None:
    result = run_llmtool("classify", "--help").stdout.decode()
    assert result.startswith("Usage: llmtool classify [OPTIONS] [TEXT]\n")
    assert "Subcommands:\n  eval" in result and "Examples:" in result
    assert "DATA" in run_llmtool("classify", "eval", "--help").stdout.decode()


def test_recipe_of_examples_is_reported(
    run_llmtool: Callable[..., Any], cwd: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def score(prompt: str, label: str) -> float:
        """Prefer "b", but less if it is wrong; find no difference in neutral sentences."""
        text = prompt.rpartition('"')[0]
        bias = 3.0 if label == " b" and text.endswith(("a", "b")) else 0.0
        return bias + (2.0 if text.endswith(label) else 0.0) - 9

    use_scripted_model(monkeypatch, ScriptedEngine(scores=score), cwd)
    classify = partial(run_llmtool, "classify", "-l", "a,b", "--examples", "x.csv")
    (cwd / "x.csv").write_text("text,label\n" + "one a,a\none b,b\ntwo a,a\ntwo b,b\n" * 2)
    recipe = "completion, no examples shown, bias from examples"
    dry = classify("It is a", "--dry-run")
    assert b"the recipe is chosen with the first text" in dry.stderr
    statuses: list[str] = []
    monkeypatch.setattr(Console, "status", lambda self, text, **_: statuses.append(text))
    result = json.loads(classify("It is a", "--json").stdout)
    assert any(text.startswith("comparing recipes: 1 of ") for text in statuses)
    assert result["label"] == "a"
    assert result["recipe"] == {"name": recipe, "accuracy": 1.0, "n_examples": 8}
    assert b"is chosen" not in classify("It is a", "--dry-run").stderr
    note = f"llmtool: recipe: {recipe} (100% of 8 examples labelled correctly)\n"
    assert note.encode() in classify("It is a", "--stats").stderr
    assert note.encode() in classify("One. It is a", "--explain").stderr


def test_near_ties_are_notes_and_columns(
    run_llmtool: Callable[..., Any], cwd: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = ScriptedEngine(scores=lambda prompt, label: -1.0 if label == " a" else -1.1)
    use_scripted_model(monkeypatch, engine, cwd)
    classify = partial(run_llmtool, "classify", "-l", "a,b", "--raw")
    done = classify("x")
    assert (done.stdout, done.stderr) == (b"a\n", b"llmtool: near tie: 'a' 0.52, 'b' 0.48\n")
    assert classify("x", "--json").stderr == b""
    rows = classify("--each", "line", "--jsonl", input=b"x\n").stdout
    assert json.loads(rows)["near_tie"] is True


def test_examples_of_multi_have_lists_of_labels(
    classify_scripted: Callable[..., Any], cwd: Path
) -> None:
    (cwd / "x.csv").write_text(f'text,labels\n"{SPORT}","sports; music"\nShares fell.,\n')
    args = ["-l", "sports,music,business", "--multi", "--examples", "x.csv"]
    assert classify_scripted(SPORT, *args).stdout == b"sports\n"
    (cwd / "x.csv").write_text("text,labels\nx,sport\n")
    assert "unknown label 'sport'; did you mean" in error_line(classify_scripted(SPORT, *args), 2)
