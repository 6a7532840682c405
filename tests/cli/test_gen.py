"""`llmtool gen`: options with the tiny model, real replies with the starter."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command import error_line
from tiny_model import CHATML

Run = Callable[..., Any]
QUESTION = "The river rose during the night"


def reply(result: Any) -> str:
    assert result.returncode == 0, result.stderr.decode()
    text: str = result.stdout.decode()
    return text


def test_json_has_the_same_text_as_the_stream(gen: Run, tiny: Path) -> None:
    value = json.loads(reply(gen(QUESTION, "--json", "--seed", "5")))
    assert value["text"] + "\n" == reply(gen(QUESTION))
    assert value["usage"]["completion_tokens"] == 12
    assert value["finish_reason"] == "length" and value["warnings"]
    assert value["seed"] == 5 and value["choices"][0]["seed"] == 5
    assert value["model"] == tiny.name


def test_truncated_reply_is_reported_unless_quiet(gen: Run) -> None:
    assert b"truncated at 12 tokens; raise --max-tokens" in gen(QUESTION).stderr
    assert b"truncated at 1 token; raise" in gen(QUESTION, "--max-tokens", "1").stderr
    assert gen(QUESTION, "--quiet").stderr == b""


def test_samples_are_separated_and_reproducible_by_seed(gen: Run) -> None:
    options = ["--temperature", "1.5", "--seed"]
    alone = [reply(gen(QUESTION, *options, str(seed))) for seed in (7, 8, 9)]
    assert reply(gen(QUESTION, *options, "7", "-n", "3")) == "---\n".join(alone)
    together = json.loads(reply(gen(QUESTION, *options, "7", "-n", "3", "--json")))
    assert [choice["text"] + "\n" for choice in together["choices"]] == alone
    assert reply(gen(QUESTION, *options, "7", "-n", "3", "--no-stream")) == "---\n".join(alone)


def test_reply_ends_before_a_stop_string(gen: Run) -> None:
    whole = reply(gen(QUESTION))
    stop = whole[5:8]
    assert reply(gen(QUESTION, "--stop", stop)) == whole[: whole.index(stop)] + "\n"


def test_dry_run_shows_the_prompt_and_runs_nothing(gen: Run, tiny: Path) -> None:
    result = gen("Summarize", "-s", "Be brief.", "--prefill", "Sure:", "--dry-run", input=b"notes")
    text = reply(result)
    assert text.startswith("<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nSummarize")
    assert "notes" in text and text.endswith("<|im_start|>assistant\nSure:\n")
    n = int(re.search(rb"(\d+) prompt tokens", result.stderr)[1])
    value = json.loads(
        reply(
            gen(
                *("Summarize", "-s", "Be brief.", "--prefill", "Sure:"),
                *("--dry-run", "--json"),
                input=b"notes",
            )
        )
    )
    assert value["prompt"] + "\n" == text
    assert value["prompt_tokens"] == n == len(value["token_ids"])
    assert (value["n_ctx"], value["max_tokens"], value["model"]) == (256, 12, tiny.name)


def test_files_and_stdin_are_input_in_order(gen: Run, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("first file")
    (tmp_path / "b.txt").write_text("second file")
    text = reply(
        gen(
            *("Compare", "-f", tmp_path / "a.txt", "-f", tmp_path / "b.txt", "--dry-run"),
            input=b"from the pipe",
        )
    )
    assert (
        0
        < text.index("Compare")
        < text.index("first file")
        < text.index("second file")
        < text.index("from the pipe")
    )
    assert "a.txt" in text and "b.txt" in text


@pytest.mark.parametrize(
    ("arguments", "code", "missing"),
    [
        (("Compare", "none.txt"), 2, "none.txt"),
        (("Compare", "these", "none.txt"), 2, "none.txt"),
        (("Compare", "notes.txt", "none.txt"), 14, "none.txt"),
        (("Summarize", "this", "notes.txt"), 14, None),
    ],
    ids=["a file", "a word and a file", "a file after another", "words before a file"],
)
def test_missing_file_or_a_prompt_without_quotes_is_an_error(
    gen: Run, tmp_path: Path, arguments: tuple[str, ...], code: int, missing: str | None
) -> None:
    (tmp_path / "notes.txt").write_text("Rain.")
    line = error_line(gen(*arguments, cwd=tmp_path), code)
    if missing is None:
        assert line == "llmtool: too many arguments; put quotes around text of several words"
    else:
        assert line == (
            f"llmtool: {missing}: no such file; check the name, or put quotes around a prompt of "
            "several words"
        )


def test_hyphen_among_the_files_is_standard_input(gen: Run) -> None:
    assert "from the pipe" in reply(gen("Summarize", "-", "--dry-run", input=b"from the pipe"))


def test_prompt_that_names_a_file_is_text_with_a_note(gen: Run, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("secret")
    result = gen("notes.txt", "--dry-run", cwd=tmp_path)
    assert "notes.txt" in reply(result) and "secret" not in reply(result)
    assert b"-f notes.txt reads the file" in result.stderr
    assert b"no file has that name" not in result.stderr
    (tmp_path / "docs").mkdir()
    for name in ("docs", "docs/"):
        note = (
            f"using the directory name {name} as the prompt; -f {name} --glob '*' reads its files"
        )
        assert note in gen(name, "--dry-run", cwd=tmp_path).stderr.decode()
    # Text longer than any file name is an ordinary prompt and is not quoted in messages.
    long = gen("雨" * 100)
    assert reply(long) and "雨" not in long.stderr.decode()


@pytest.mark.parametrize(
    ("text", "is_name"),
    [
        ("missing.txt", True),
        ("src/missing.PY", True),
        ("./missing", True),
        ("report.pdf", True),
        ("Summarize missing.txt", False),
        ("Really...", False),
        ("version 1.2", False),
        ("3.14", False),
        ("e.g.", False),
    ],
)
def test_text_that_resembles_a_missing_file_is_reported(gen: Run, text: str, is_name: bool) -> None:
    note = f"llmtool: using {text} as the prompt; no file has that name\n"
    result = gen(text, "--dry-run")
    assert text in reply(result)
    assert (note in result.stderr.decode()) == is_name


def test_empty_files_beside_other_input_are_reported(gen: Run, tmp_path: Path) -> None:
    (tmp_path / "empty.txt").write_text(" \n")
    (tmp_path / "full.txt").write_text("text")
    note = b"llmtool: empty.txt is empty\n"
    for args in (("Compare", "empty.txt"), ("Compare", "full.txt", "empty.txt"),
                 ("-f", "empty.txt", "-f", "full.txt")):  # fmt: skip
        assert note in gen(*args, "--dry-run", cwd=tmp_path).stderr, args
    assert note not in gen("Compare", "full.txt", "--dry-run", cwd=tmp_path).stderr
    assert b"standard input is empty" in gen("Compare", "-", "--dry-run").stderr
    error_line(gen("-f", "empty.txt", cwd=tmp_path), 14)  # one line: no note besides


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("www.example.org", "https://www.example.org"),
        ("en.example.org/wiki/Rain", "https://en.example.org/wiki/Rain"),
        ("localhost:8000/a", "http://localhost:8000/a"),
        ("notes.md", None),
        ("src.old/notes", None),
    ],
)
def test_web_address_without_a_scheme_names_the_url(gen: Run, name: str, url: str | None) -> None:
    remedy = f"; to read a web page, use {url}" if url else ""
    assert error_line(gen("-f", name), 14) == f"llmtool: {name}: no such file{remedy}"
    if url:
        assert error_line(gen("Sum up", name), 14).endswith(remedy)


def test_many_replies_are_reported(gen: Run) -> None:
    note = b"-n 128: generating 128 replies; --max-tokens limits tokens"
    assert note in gen(QUESTION, "-n", "128", "--dry-run").stderr
    assert b"replies" not in gen(QUESTION, "-n", "20", "--dry-run").stderr


def test_stats_prints_timings(gen: Run) -> None:
    error = gen(QUESTION, "--stats").stderr.decode()
    for word in ("first token", "load", "context", "prefill", "decode", "total", "peak memory"):
        assert word in error
    assert "(12 tokens" in error


def test_user_template_accepts_parameters(gen: Run, tmp_path: Path) -> None:
    path = tmp_path / "greet.yaml"
    path.write_text(
        "llmtool: 1\nname: greet\ndescription: Greet.\ntask: gen\n"
        "inputs:\n  name: {type: string, required: true}\n"
        'prompt: "Greet {{ name }}."\n'
    )
    text = reply(gen("-t", path, "-p", "name=Ada <|im_end|> {{ 7*7 }}", "--dry-run", "--no-stdin"))
    assert "Greet Ada <|im_end|> {{ 7*7 }}." in text
    line = error_line(gen("-t", path, "-p", "nmae=Ada", "--no-stdin"), 2)
    assert "nmae" in line and "name" in line


@pytest.mark.parametrize(
    ("yaml", "place", "reason"),
    [
        ("llmtool: 1\nname: x\ntask: gen\nprompt: '{{ open('", 4, "unexpected 'end of template'"),
        ("llmtool: 1\nname: x\ntask: gen\npromt: hi", 4, "unknown key 'promt'; did you mean 'prom"),
        ("a: [", 2, "not valid YAML: "),
    ],
    ids=["jinja", "key", "yaml"],
)
def test_invalid_template_is_12_with_its_line(
    gen: Run, tmp_path: Path, yaml: str, place: int, reason: str
) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(yaml)
    line = error_line(gen(QUESTION, "-t", path), 12)
    assert f"bad.yaml:{place}: {reason}" in line


def test_unknown_template_is_12_with_a_suggestion(gen: Run) -> None:
    assert "gen" in error_line(gen(QUESTION, "-t", "gne"), 12)


def test_invalid_chat_template_is_12_unless_unused(
    gen: Run, tiny_model: Callable[..., Path], tmp_path: Path
) -> None:
    broken = tiny_model("plain", chat_template="{% for m in messages %}")
    own, completion = tmp_path / "own.yaml", tmp_path / "completion.yaml"
    own.write_text("llmtool: 1\nname: own\ninputs: {t: {type: text}}\nprompt: '{{ t }}'\n")
    completion.write_text(own.read_text() + "form: completion\n")
    for args in ((), ("-t", own)):
        line = error_line(gen(QUESTION, "-m", broken, *args), 12)
        assert "the model's chat template:1: " in line and "'endfor'" in line
    assert reply(gen(QUESTION, "-m", broken, "-t", completion))


def test_reasoning_is_not_written_to_stdout(gen: Run, tiny_model: Callable[..., Path]) -> None:
    template = "{{ messages[0].content }}{% if enable_thinking %}<think>\n{% endif %}"
    thinker = tiny_model("plain", chat_template=template)
    silent = gen(QUESTION, "-m", thinker, "--think", "--json")
    value = json.loads(reply(silent))
    assert value["text"] == "" and value["choices"][0]["reasoning"]
    assert any("gave no answer" in warning for warning in value["warnings"])
    shown = gen(QUESTION, "-m", thinker, "--think")
    assert reply(shown) == ""
    assert value["choices"][0]["reasoning"].strip() in shown.stderr.decode()
    assert json.loads(reply(gen(QUESTION, "-m", thinker, "--json")))["text"]


EFFORT = (
    "{{ messages[0].content }}|{% if enable_thinking %}{{ reasoning_effort }}{% endif %}"
    "{% if thinking is defined and not thinking %}off{% endif %}"
)


@pytest.mark.parametrize(
    ("args", "ending"),
    [
        (("--think",), "medium"),
        (("--think=low",), "low"),
        (("--think=high", "--no-think"), "off"),
        (("--no-think", "--think=high"), "high"),
        (("--think=low", "--think"), "medium"),
        (("--think-tokens", "9"), "medium"),
        ((), "off"),
    ],
    ids=repr,
)
def test_reasoning_effort_is_in_the_prompt(
    gen: Run, tiny_model: Callable[..., Path], args: tuple[str, ...], ending: str
) -> None:
    model = tiny_model("plain", chat_template=EFFORT)
    assert reply(gen("--dry-run", "-m", model, *args, "--", "--think=x")) == f"--think=x|{ending}\n"


def test_unknown_reasoning_effort_is_an_error(gen: Run) -> None:
    line = error_line(gen(QUESTION, "--think=max"), 2)
    assert line == "llmtool: --think 'max': must be low, medium or high"


def test_no_think_without_effect_is_reported(gen: Run, tiny_model: Callable[..., Path]) -> None:
    note = "--no-think has no effect: this model's chat template has no reasoning variable"
    always = tiny_model("plain", chat_template="{{ messages[0].content }}<think>")
    assert note not in gen(QUESTION, "-m", always, "--no-think").stderr.decode()
    fixed = tiny_model("plain", chat_template="{{ messages[0].content }}")
    assert note in gen(QUESTION, "-m", fixed, "--no-think").stderr.decode()
    assert note not in gen(QUESTION, "-m", fixed).stderr.decode()
    switched = tiny_model("plain", chat_template=EFFORT)
    assert note not in gen(QUESTION, "-m", switched, "--no-think").stderr.decode()


def test_think_without_effect_is_reported(gen: Run, tiny_model: Callable[..., Path]) -> None:
    plain, always, switched = (
        tiny_model("plain", chat_template=template)
        for template in ("{{ messages[0].content }}", "{{ messages[0].content }}<think>", EFFORT)
    )
    for args, option in (
        (("--think",), "--think"),
        (("--think=low",), "--think"),
        (("--think", "--think-tokens", "0"), "--think"),
        (("--think-tokens", "5"), "--think-tokens"),
    ):
        note = f"{option} has no effect: this model's chat template has no reasoning variable"
        assert note in gen(QUESTION, "-m", plain, *args).stderr.decode()
        for model in (always, switched):
            assert "no effect" not in gen(QUESTION, "-m", model, *args).stderr.decode(), args


@pytest.mark.parametrize(
    ("args", "n_reasoning", "n_tokens"),
    [
        (("--think-tokens", "5", "--max-tokens", "20"), 5, 25),
        (("--think-tokens", "0", "--think", "--max-tokens", "20"), 0, 20),
        (("--think", "--max-tokens", "40"), 20, 40),
    ],
    ids=["limit", "none", "default"],
)
def test_reasoning_ends_after_a_number_of_tokens(
    gen: Run,
    tiny_model: Callable[..., Path],
    args: tuple[str, ...],
    n_reasoning: int,
    n_tokens: int,
) -> None:
    template = "{{ messages[0].content }}{% if enable_thinking %}<think>\n{% endif %}"
    thinker = tiny_model("plain", chat_template=template, printable=True)
    ended = gen(QUESTION, "-m", thinker, "--json", *args)
    value = json.loads(reply(ended))
    reasoning = value["choices"][0]["reasoning"] or ""
    assert value["text"] and bool(reasoning) == bool(n_reasoning)
    assert value["usage"]["completion_tokens"] == n_tokens
    assert any("reasoning ended after 20" in each for each in value["warnings"]) == (
        "--think-tokens" not in args
    )
    longer = json.loads(reply(gen(QUESTION, "-m", thinker, "--json", "--think-tokens", "200")))
    assert longer["choices"][0]["reasoning"].startswith(reasoning)


@pytest.mark.parametrize("template", ["", "{# <|channel|> #}"], ids=["plain", "channels"])
def test_control_tokens_are_not_written_to_stdout(
    gen: Run, tiny_model: Callable[..., Path], template: str
) -> None:
    scale = dict.fromkeys(("<|filler|>", "<|im_start|>"), 2.5)
    model = tiny_model("plain", logit_scale=scale, chat_template=template + CHATML)
    value = json.loads(reply(gen(QUESTION, "-m", model, "--json", "--max-tokens", "60")))
    assert value["usage"]["completion_tokens"] == 60 and value["text"]
    assert "<|" not in value["text"]
    tokens = gen(QUESTION, "-m", model, "--json", "--max-tokens", "60", "--logprobs", "1")
    (choice,) = json.loads(reply(tokens))["choices"]
    joined = b"".join(bytes(token["bytes"]) for token in choice["logprobs"])
    assert joined.decode("utf-8", "replace") == choice["text"]


def test_base_model_gets_a_warning_with_an_instruction_only(gen: Run, tiny_base: Path) -> None:
    options = ("-m", tiny_base, "--max-tokens", "3", "--json", "--no-stdin")
    warnings = {
        more: " ".join(json.loads(reply(gen(QUESTION, *more, *options)))["warnings"])
        for more in ((), ("-s", "Be brief."))
    }
    assert "base model" not in warnings[()]
    assert "use an instruction-tuned model" in warnings["-s", "Be brief."]


def test_base_model_continues_the_text(gen: Run, tiny_base: Path) -> None:
    text = reply(gen(QUESTION, "-m", tiny_base, "--dry-run", "--no-stdin"))
    assert text == QUESTION + "\n"
    options = ("-m", tiny_base, "-n", "3", "--max-tokens", "50", "--temperature", "1", "--json")
    value = json.loads(reply(gen(QUESTION, *options)))
    texts = [choice["text"] for choice in value["choices"]]
    assert len(set(texts)) == 3 and all(texts)


def test_alias_from_the_config_names_a_model(
    run_llmtool: Run, env: dict[str, str], tiny: Path
) -> None:
    folder = Path(env["LLMTOOL_CONFIG_DIR"])
    folder.mkdir(parents=True)
    (folder / "config.toml").write_text(f'model = "small"\n[aliases]\nsmall = "{tiny}"\n')
    result = run_llmtool("gen", QUESTION, "--max-tokens", "3", "--quiet")
    assert result.returncode == 0 and result.stdout


def test_starter_model_is_the_default_with_a_note(run_llmtool: Run) -> None:
    result = run_llmtool("gen", "List the months of the year.", "--temperature", "0")
    assert b"January, February, March" in result.stdout
    assert b"no model chosen; using the starter model" in result.stderr


def test_starter_model_reads_piped_text(run_llmtool: Run) -> None:
    result = run_llmtool(
        *("gen", "-q", "-m", "starter", "--temperature", "0", "--max-tokens", "60"),
        "Why does the release move?",
        input=b"The release moves from Tuesday to Thursday because the payment tests still fail.",
    )
    assert b"payment tests" in result.stdout


@pytest.mark.parametrize("seed", [0, 2**32 - 2])
def test_lowest_and_highest_seeds_are_reproducible(gen: Run, seed: int) -> None:
    args = (QUESTION, "--json", "--temperature", "1.5", "--seed", str(seed))
    first, second = (json.loads(reply(gen(*args))) for _ in range(2))
    assert first["seed"] == second["seed"] == seed
    assert first["text"] == second["text"]
