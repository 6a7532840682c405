"""`llmtool gen` with schemas, regexes, grammars and logprobs, in a pipe."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command import error_line

Run = Callable[..., Any]
QUESTION = "The river rose during the night"
ENOUGH = ("--max-tokens", "300")
SCHEMA = ("--schema", "size small|medium, n int, ok bool")


def reply(result: Any) -> str:
    assert result.returncode == 0, result.stderr.decode()
    text: str = result.stdout.decode()
    return text


def compact(text: str) -> str:
    """Return JSON as `jq -c` prints it."""
    return json.dumps(json.loads(text), ensure_ascii=False, separators=(",", ":"))


def test_schema_prints_only_its_json(gen: Run) -> None:
    value = json.loads(reply(gen(QUESTION, *SCHEMA, *ENOUGH)))
    assert list(value) == ["size", "n", "ok"]
    assert value["size"] in ("small", "medium") and isinstance(value["ok"], bool)
    record = json.loads(reply(gen(QUESTION, *SCHEMA, *ENOUGH, "--json")))
    assert record["value"] == record["choices"][0]["value"] == value
    assert record["choices"][0]["error"] is None


def test_schema_can_come_from_a_file(gen: Run, tmp_path: Path) -> None:
    path = tmp_path / "schema.json"
    path.write_text('{"type": "array", "items": {"enum": [1, 2]}, "minItems": 2, "maxItems": 3}')
    value = json.loads(reply(gen(QUESTION, "--schema", path, *ENOUGH)))
    assert 2 <= len(value) <= 3 and set(value) <= {1, 2}


def test_each_sample_is_valid_under_the_schema(gen: Run) -> None:
    options = (*SCHEMA, *ENOUGH, "-n", "3", "--temperature", "1.5", "--seed", "7")
    lines = reply(gen(QUESTION, *options)).splitlines()
    assert [list(json.loads(line)) for line in lines] == [["size", "n", "ok"]] * 3
    assert len(reply(gen(QUESTION, *options, "--parallel", "1")).splitlines()) == 3


def test_schema_writes_one_json_value_per_line(gen: Run, tmp_path: Path) -> None:
    """Random replies of the tiny model use white space and escapes wherever the grammar allows."""
    path = tmp_path / "notes.json"
    path.write_text(
        '{"type": "object", "properties": {"note": {"type": "string", "maxLength": 12}, '
        '"tags": {"type": "array", "items": {"type": "string", "maxLength": 4}, "maxItems": 3}}, '
        '"required": ["note", "tags"]}'
    )
    options = ("--schema", path, *ENOUGH, "--temperature", "2", "--top-k", "0", "--top-p", "1")
    options += ("--min-p", "0", "--seed", "3")
    printed = reply(gen(QUESTION, *options, "-n", "8"))
    assert len(printed.splitlines()) == 8
    for line in printed.split("\n")[:-1]:
        assert line == compact(line) and list(json.loads(line)) == ["note", "tags"]
    written = tmp_path / "out.json"
    assert reply(gen(QUESTION, *options, "-o", written)) == ""
    assert written.read_text() == printed.splitlines(keepends=True)[0]
    record = json.loads(reply(gen(QUESTION, *options, "--json")))
    assert record["text"] + "\n" == written.read_text()
    assert json.loads(record["text"]) == record["value"]
    lines = reply(gen("Go", "--each", "line", *options, input=b"a\nb\nc\n")).split("\n")[:-1]
    assert [list(json.loads(line)) for line in lines] == [["note", "tags"]] * 3
    assert lines == [compact(line) for line in lines]


def test_regex_and_grammar_constrain_the_reply(gen: Run, tmp_path: Path) -> None:
    assert re.fullmatch("(yes|no) [0-9]{4}\n", reply(gen(QUESTION, "--regex", "(yes|no) [0-9]{4}")))
    path = tmp_path / "colour.gbnf"
    path.write_text('root ::= ("red" | "blue") " " [0-9]\n')
    assert re.fullmatch("(red|blue) [0-9]\n", reply(gen(QUESTION, "--grammar", path)))


def test_truncated_reply_is_17_in_one_line(gen: Run, tmp_path: Path) -> None:
    line = error_line(gen(QUESTION, *SCHEMA, "--max-tokens", "3"), 17)
    assert "truncated at 3 tokens" in line and "--max-tokens; it ends with '{" in line
    path = tmp_path / "out.json"
    error_line(gen(QUESTION, *SCHEMA, "--max-tokens", "3", "-o", path), 17)
    assert not path.exists()


@pytest.mark.parametrize(
    ("option", "source", "reason"),
    [
        ("--schema", '{"type": "integer", "minimum": 5, "maximum": 3}', "no value satisfies it"),
        ("--schema", '{"type": "string", "pattern": "^a$", "minLength": 3}', "no value satisfies"),
        ("--regex", "[^\\x00-\\U0010FFFF]", "--regex '[^\\x00-\\U0010FFFF]': nothing matches it"),
    ],
)
def test_constraint_that_nothing_satisfies_is_17(
    gen: Run, option: str, source: str, reason: str
) -> None:
    assert reason in error_line(gen(QUESTION, option, source), 17)


IMPOSSIBLE = '{"type": "string", "maxLength": 3, "not": {}}'  # `not` is only checked afterwards


def test_exhausted_retries_are_17_with_the_number_of_tries(gen: Run) -> None:
    options = ("--schema", IMPOSSIBLE, *ENOUGH, "--retries", "2")
    assert error_line(gen(QUESTION, *options), 17).endswith("(after 3 tries)")
    record = json.loads(gen(QUESTION, *options, "--json").stdout)
    assert record["tries"] == record["choices"][0]["tries"] == 3
    assert record["usage"]["prompt_tokens"] > 3 * len(QUESTION.split())


def test_each_record_is_retried(gen: Run) -> None:
    done = gen("Go", "--each", "line", "--schema", IMPOSSIBLE, "--retries", "1", input=b"a\nb\n")
    assert done.returncode == 3
    assert done.stderr.count(b"(after 2 tries)") == 3  # both, and the first in the summary


def test_json_has_the_partial_text_of_an_invalid_reply(gen: Run, tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    printed = gen(QUESTION, *SCHEMA, "--max-tokens", "3", "--json")
    written = gen(QUESTION, *SCHEMA, "--max-tokens", "3", "--json", "-o", path)
    assert (printed.returncode, written.returncode) == (17, 17)
    assert printed.stderr.count(b"\n") == 1
    for text in (printed.stdout, path.read_bytes()):
        record = json.loads(text)
        assert record["value"] is None and "{" in record["text"]
        assert "truncated at 3 tokens" in record["choices"][0]["error"]


@pytest.mark.parametrize(
    ("args", "code", "reason"),
    [
        (["--schema", "a foo"], 2, "--schema: unknown type 'foo' of field 'a'"),
        (["--schema", '{"type": 3}'], 2, "$.type"),
        (["--schema", "none.json"], 14, "none.json"),
        (["--regex", "a("], 2, "--regex 'a(': '(' is not closed"),
        (["--regex", r"\d{4"], 2, r"--regex '\d{4': '{' is not closed"),
        (["--grammar", "bad.gbnf"], 2, "bad.gbnf, line 1, column 5: expected '::='"),
        (["--grammar", "none.gbnf"], 14, "none.gbnf"),
        (["--regex", ""], 2, "--regex is empty"),
        (["--schema", "/"], 14, "/ is a directory; pass a JSON file"),
        (["--schema", "./none"], 14, "./none: no such file"),
        (["--schema", "none.txt"], 14, "none.txt: no such file"),
        (["--schema", "schemas/none"], 14, "schemas/none: no such file"),
        (["--regex", "a", "--schema", "a"], 2, "--schema and --regex cannot be combined"),
        (["--logprobs", "101"], 2, "--logprobs"),
        (["--logit-bias", "a"], 2, "--logit-bias a: must have the form TOKEN=BIAS"),
        (["--logit-bias", "=1"], 2, "--logit-bias =1: must have the form TOKEN=BIAS"),
        (["--frequency-penalty", "2.5"], 2, "--frequency-penalty '2.5': must be between"),
        (["--parallel", "0"], 2, "--parallel"),
        (["--kv-type", "f8"], 2, "q8_0"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_invalid_option_fails_before_the_model_is_found(
    run_llmtool: Run, tmp_path: Path, args: list[str], code: int, reason: str
) -> None:
    (tmp_path / "bad.gbnf").write_text("root")
    result = run_llmtool("gen", "-m", "no-such-model", *args, QUESTION, cwd=tmp_path)
    assert reason in error_line(result, code)


def test_dry_run_shows_the_schema_in_the_prompt(gen: Run) -> None:
    text = reply(gen("Extract", *SCHEMA, "--dry-run"))
    assert '{"size": "small" | "medium", "n": integer, "ok": boolean}' in text


def test_logprobs_are_rows_in_a_pipe_and_records_in_json(gen: Run) -> None:
    rows = [line.split("\t") for line in reply(gen(QUESTION, "--logprobs", "2")).split("\n")[:-1]]
    record = json.loads(reply(gen(QUESTION, "--logprobs", "2", "--json")))
    tokens = record["choices"][0]["logprobs"]
    assert [row[0] for row in rows] == [
        token["token"].replace("\\", "\\\\").replace("\n", "\\n") for token in tokens
    ]
    assert all(len(row) == 6 and float(row[1]) <= float(row[3]) <= 0 for row in rows)
    assert [len(token["top"]) for token in tokens] == [2] * len(tokens)
    joined = bytes(byte for token in tokens for byte in token["bytes"])
    assert joined.decode("utf-8", "replace") == record["text"]


def test_echo_prints_the_tokens_of_the_prompt_first(gen: Run, run_llmtool: Run) -> None:
    echo = ("--raw", "--logprobs", "2", "--echo")
    record = json.loads(reply(gen("hello there", *echo, "--json")))
    prompt = record["prompt_logprobs"]
    joined = bytes(byte for token in prompt for byte in token["bytes"])
    assert joined.decode() == "hello there", "without template and chat template"
    assert [prompt[0]["logprob"], prompt[0]["top"]] == [None, []]
    assert all(token["logprob"] < 0 and len(token["top"]) == 2 for token in prompt[1:])
    rows = [line.split("\t") for line in reply(gen("hello there", *echo)).split("\n")[:-1]]
    tokens = [*prompt, *record["choices"][0]["logprobs"]]
    assert len(rows) == len(tokens) and rows[0] == [prompt[0]["token"], ""]
    assert [row[1] for row in rows[1:]] == [f"{token['logprob']:.4f}" for token in tokens[1:]]
    only = json.loads(reply(gen("hello there", *echo, "--json", "--max-tokens", "0")))
    assert only["prompt_logprobs"] == prompt and only["text"] == ""
    assert only["choices"][0]["logprobs"] == [] and only["warnings"] == []


def test_echo_of_each_record_is_a_column(gen: Run, tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text('{"text": "hello"}\n{"text": "how are you\\n"}\n')
    echo = ("--raw", "--logprobs", "1", "--echo", "--max-tokens", "0")
    lines = reply(gen("--each", "jsonl", *echo, "-f", tmp_path / "in.jsonl")).splitlines()
    for line, text in zip(lines, ("hello", "how are you\n"), strict=True):
        found = [token["bytes"] for token in json.loads(line)["prompt_logprobs"]]
        assert bytes(sum(found, [])).decode() == text


@pytest.mark.parametrize(
    ("args", "reason"),
    [
        (["--echo"], "--echo requires --logprobs N; add it"),
        (["--max-tokens", "0"], "--max-tokens 0: must be at least 1"),
        (["--raw", "-s", "x"], "--raw cannot be combined with --system; omit one of them"),
        (["--raw", "-t", "title"], "--raw cannot be combined with -t; omit one of them"),
        (["--raw", "-f", "x.txt"], "--raw needs one text, the prompt"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_options_of_echo_and_raw_are_checked(
    gen: Run, tmp_path: Path, args: list[str], reason: str
) -> None:
    (tmp_path / "x.txt").write_text("x")
    assert reason in error_line(gen("hello", *args, cwd=tmp_path), 2)


def test_sampling_options_change_the_reply(gen: Run, tmp_path: Path) -> None:
    greedy = (QUESTION, "--temperature", "0", "--max-tokens", "12")
    only_z = ("--logit-bias", "z=100", "--logit-bias", " =-100")
    assert reply(gen(*greedy, *only_z)) == "z" * 12 + "\n"
    penalized = reply(gen(*greedy, *only_z, "--presence-penalty", "2", "--frequency-penalty", "2"))
    assert penalized == "z" * 12 + "\n", "4 are less than 100"
    template = tmp_path / "z.yaml"
    template.write_text(
        "llmtool: 1\nname: z\nprompt: Hi\n"
        "model: {params: {temperature: 0, max_tokens: 5, logit_bias: {z: 100}}}\n"
    )
    assert reply(gen("-t", str(template))) == "z" * 12 + "\n"
    options = (
        QUESTION,
        "--temperature",
        "1",
        "--seed",
        "1",
        "--typical-p",
        "0.5",
        "--xtc-probability",
        "1",
    )
    low, high = (reply(gen(*options, "--xtc-threshold", at)) for at in ("0.01", "0.9"))
    assert low != high


def test_stats_report_concurrent_replies(gen: Run) -> None:
    error = gen(QUESTION, "-n", "4", "--stats", "--no-cache").stderr.decode()
    assert "(48 tokens in 4 replies" in error
    assert "cached" not in error


def test_cache_is_reported_and_can_be_disabled(gen: Run, env: dict[str, str]) -> None:
    system = ("-s", "You answer in one short sentence. " * 12)
    folder = Path(env["LLMTOOL_CACHE_DIR"]) / "prefix"
    options = (*system, "--stats", QUESTION)
    assert "cached" not in gen(*options, "--no-cache").stderr.decode()
    assert not folder.exists() or not list(folder.rglob("*"))
    first, second = gen(*options), gen(*options)
    assert first.stdout == second.stdout
    assert re.search(r"; \d+ cached\)", second.stderr.decode())


def test_quantized_kv_cache_works(gen: Run, starter: Path) -> None:
    assert reply(gen(QUESTION, "-m", starter, "--kv-type", "q8_0"))


def test_starter_model_extracts(run_llmtool: Run) -> None:
    result = run_llmtool(
        *("gen", "-q", "-m", "starter", "--temperature", "0"),
        *("--schema", "name, year int, city", "Extract the person"),
        input=b"The painter Paul Klee lived in Bern. He was born in 1879.",
    )
    value = json.loads(reply(result))
    assert (value["name"], value["city"]) == ("Paul Klee", "Bern")
    assert isinstance(value["year"], int)
