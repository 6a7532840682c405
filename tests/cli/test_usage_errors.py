"""Usage errors are one line, worded like all other errors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command import error_line

from llmtool.cli.app import load_command
from llmtool.cli.framework.usage_errors import find_single_dash, rewrite_usage_error

CASES = {
    "no number": (("gen", "--max-tokens", "abc"), "'abc': must be a whole number"),
    "no fraction": (("gen", "--temperature", "hot"), "'hot': must be a number"),
    "a fraction": (("gen", "--max-tokens", "1.5"), "'1.5': must be a whole number"),
    "too small": (("gen", "--threads", "0"), "'0': must be between 1 and 512"),
    "too large": (("gen", "--top-p", "3"), "'3': must be between 0 and 1"),
    "with decimals": (("gen", "--top-p", "1.25"), "'1.25': must be between 0 and 1"),
    "one of": (("gen", "--each", "xml"), "'xml': must be one of 'line', 'jsonl', 'csv', 'file'"),
}
LINES = {
    "too many replies": (
        ("gen", "-n", "2048"),
        "-n '2048': must be between 1 and 1000; --max-tokens limits the length of a reply "
        "(see 'llmtool gen --help')",
    ),
    "a short name": (
        ("logs", "-n", "abc"),
        "-n 'abc': must be a whole number (see 'llmtool logs --help')",
    ),
    "an option as a value": (
        ("gen", "Hi", "-m", "--max-tokens", "3"),
        "-m needs a value (see 'llmtool gen --help')",
    ),
    "a format that is an option": (
        ("code", "review", "--format", "sarif"),
        "unknown option --format; did you mean --sarif? (see 'llmtool code review --help')",
    ),
    "a flag of another program": (
        ("gen", "-no-cnv", "Hi"),
        "unknown option -no-cnv; `llmtool gen` ends after one reply (see 'llmtool gen --help')",
    ),
    "an equals sign in a setting": (
        ("config", "set", "model=starter"),
        "missing argument VALUE; write model starter (see 'llmtool config set --help')",
    ),
    "the beginning of a setting": (
        ("config", "set", "temp", "0"),
        "unknown key 'temp'; did you mean 'temperature'?",
    ),
    "a grammar instead of its file": (
        ("gen", "Hi", "--grammar", 'root ::= "a"'),
        "--grammar takes the name of a file; write the grammar to one",
    ),
    "tabs as a format": (
        ("gen", "--each", "tsv"),
        "--each 'tsv': must be one of 'line', 'jsonl', 'csv', 'file'; for tabs, use --each csv "
        "(see 'llmtool gen --help')",
    ),
    "tabs in a conversation": (
        ("chat", "--each", "tsv"),
        "--each 'tsv': must be 'line' (see 'llmtool chat --help')",
    ),
    "misspelt option": (
        ("gen", "--max-token", "3"),
        "unknown option --max-token; did you mean --max-tokens? (see 'llmtool gen --help')",
    ),
    "only one choice": (
        ("chat", "--each", "csv"),
        "--each 'csv': must be 'line' (see 'llmtool chat --help')",
    ),
    "an option unlike any other": (
        ("gen", "--bogus"),
        "unknown option --bogus (see 'llmtool gen --help')",
    ),
    "an option with dots": (
        ("gen", "--none..."),
        "unknown option --none... (see 'llmtool gen --help')",
    ),
    "misspelt command": (
        ("models", "lss"),
        "unknown command 'lss'; did you mean 'ls'? (see 'llmtool models --help')",
    ),
    "no value": (
        ("gen", "--max-tokens"),
        "--max-tokens needs a value (see 'llmtool gen --help')",
    ),
    "too many": (
        ("translate", "hello", "out", "there", "--to", "de"),
        "too many arguments; put quotes around text of several words"
        " (see 'llmtool translate --help')",
    ),
    "words without quotes": (
        ("gen", "hello", "out", "there"),
        "too many arguments; put quotes around text of several words",
    ),
    "too many for a command without arguments": (
        ("ps", "foo"),
        "too many arguments; this command takes none (see 'llmtool ps --help')",
    ),
    "a file for review": (
        ("code", "review", "app.py"),
        "too many arguments; pipe the diff in, or name its file with -f"
        " (see 'llmtool code review --help')",
    ),
    "misspelt subcommand": (
        ("classify", "evla", "reviews.csv"),
        "unknown subcommand 'evla'; did you mean 'eval'? (see 'llmtool classify --help')",
    ),
    "misspelt subcommand with options": (
        ("code", "exlpain", "-m", "nothere", "app.py"),
        "unknown subcommand 'exlpain'; did you mean 'explain'? (see 'llmtool code --help')",
    ),
    "words beside a text": (
        ("code", "sort", "a", "list"),
        "too many arguments; put quotes around text of several words",
    ),
    "sampling option of a command that scores": (
        ("classify", "--temperature", "1", "-l", "a,b", "hi"),
        "unknown option --temperature; labels are scored, not generated"
        " (see 'llmtool classify --help')",
    ),
    "number of labels by the name of a sampling option": (
        ("classify", "--top-k", "3", "-l", "a,b", "hi"),
        "unknown option --top-k; labels are scored, not generated; --top K prints the K best labels"
        " (see 'llmtool classify --help')",
    ),
    "start of an option": (
        ("gen", "--sys", "x"),
        "unknown option --sys; did you mean --system? (see 'llmtool gen --help')",
    ),
    "longer than an option": (
        ("gen", "--output-file", "x"),
        "unknown option --output-file; did you mean --output? (see 'llmtool gen --help')",
    ),
    "underscore": (
        ("gen", "--max_tokens", "3"),
        "unknown option --max_tokens; did you mean --max-tokens? (see 'llmtool gen --help')",
    ),
    "abbreviation": (
        ("gen", "--temp", "0"),
        "unknown option --temp; did you mean --temperature? (see 'llmtool gen --help')",
    ),
    "abbreviation of an option that the command lacks": (
        ("models", "ls", "--temp", "0"),
        "unknown option --temp (see 'llmtool models ls --help')",
    ),
    "option of llama.cpp": (
        ("gen", "--n-predict", "3"),
        "unknown option --n-predict; did you mean --max-tokens? (see 'llmtool gen --help')",
    ),
    "option with a value": (
        ("gen", "--format=json"),
        "unknown option --format; did you mean --json? (see 'llmtool gen --help')",
    ),
    "verbose": (
        ("gen", "-v"),
        "unknown option -v; did you mean --debug? (see 'llmtool gen --help')",
    ),
    "prompt option": (
        ("gen", "--prompt", "hi"),
        "unknown option --prompt; pass the text as an argument (see 'llmtool gen --help')",
    ),
    "template option of a command with a template": (
        ("run", "--template", "title", "hi"),
        "unknown option --template; pass the template as an argument (see 'llmtool run --help')",
    ),
    "an option with another beginning": (
        ("classify", "--plain", "-l", "a,b", "hi"),
        "unknown option --plain (see 'llmtool classify --help')",
    ),
    "prompt option of a command for files": (
        ("sum", "--prompt", "hi"),
        "unknown option --prompt (see 'llmtool sum --help')",
    ),
    "sampling option as the output": (
        ("gen", "-o", "temperature=0", "hi"),
        "-o temperature=0: -o names the output file; use --temperature for the option",
    ),
    "sampling option as two words": (
        ("gen", "-o", "temperature", "0.5"),
        "-o temperature: -o names the output file; use --temperature for the option, "
        "or ./temperature for a file of this name",
    ),
    "option of another program as the output": (
        ("translate", "-o", "num_ctx=4096", "--to", "fr", "hi"),
        "-o num_ctx=4096: -o names the output file; use --ctx-size for the option",
    ),
    "unknown option as the output": (
        ("gen", "-o", "mirostat=2", "hi"),
        "-o mirostat=2: -o names the output file; use ./mirostat=2 for a file of this name",
    ),
    "unknown option with a fraction as the output": (
        ("sum", "-o", "presence_decay=0.5", "a.txt"),
        "-o presence_decay=0.5: -o names the output file; "
        "use ./presence_decay=0.5 for a file of this name",
    ),
    "abbreviation as the output": (
        ("sum", "-o", "temp=0", "a.txt"),
        "-o temp=0: -o names the output file; use --temperature for the option",
    ),
    "format as the output": (
        ("gen", "-o", "json", "hi"),
        "-o json: -o names the output file; use --json for the option, "
        "or ./json for a file of this name",
    ),
    "no name of the output": (
        ("gen", "-o", "", "hi"),
        "-o '': must be the name of a file",
    ),
    "number of threads as the template": (
        ("gen", "-t", "4", "hi"),
        "-t 4: must be the name of a template; use --threads for threads",
    ),
    "number of threads after an equals sign": (
        ("gen", "-t=4", "hi"),
        "-t 4: must be the name of a template; use --threads for threads",
    ),
    "temperature as the template": (
        ("gen", "-t", "0.7", "hi"),
        "-t 0.7: must be the name of a template; use --temperature for the temperature",
    ),
    "temperature of zero as the template": (
        ("sum", "-t", "0", "a.txt"),
        "-t 0: must be the name of a template; use --temperature for the temperature",
    ),
    "seed as the system prompt": (
        ("gen", "-s", "42", "hi"),
        "-s 42: must be a system prompt; use --seed for the seed",
    ),
    "level of reasoning as a separate word": (
        ("gen", "--think", "high", "hi"),
        "--think high: write --think=high",
    ),
    "option that is the default": (
        ("gen", "--stream", "hi"),
        "unknown option --stream; replies are streamed unless --no-stream is given"
        " (see 'llmtool gen --help')",
    ),
    "option of a service": (
        ("gen", "--api-key", "x", "hi"),
        "unknown option --api-key; put the key of a server into LLMTOOL_API_KEY, or name its "
        "variable in config.toml (see 'llmtool gen --help')",
    ),
    "option that is a command here": (
        ("gen", "-i"),
        "unknown option -i; use `llmtool chat` (see 'llmtool gen --help')",
    ),
    "prompt as an input": (
        ("gen", "-p", "Tell me a joke"),
        "-p Tell me a joke: must have the form KEY=VALUE; pass a prompt as an argument",
    ),
    "prompt with an equals sign as an input": (
        ("gen", "-p", "What is 2+2=?"),
        "-p What is 2+2=?: must have the form KEY=VALUE; pass a prompt as an argument",
    ),
    "empty stop": (
        ("gen", "--stop", "", "hi"),
        "--stop '': must not be empty; pass the text to stop before",
    ),
    "no model": (("gen", "-m", "", "hi"), "-m '': must be the name of a model"),
    "minus": (
        ("config", "set", "temperature", "-1"),
        "unknown option -1; put -- before a value that begins with -"
        " (see 'llmtool config set --help')",
    ),
    "install as the shell": (
        ("completions", "install"),
        "SHELL 'install': must be one of 'bash', 'zsh', 'fish'; `llmtool completions SHELL "
        "--install` installs a script (see 'llmtool completions --help')",
    ),
    "no shell": (
        ("completions",),
        "missing argument SHELL: one of bash, zsh, fish (see 'llmtool completions --help')",
    ),
}


# Options of llm, ollama, llama.cpp, mods, aichat, fabric and sgpt, by the words that remain.
HABITS = {
    "gen": {
        "--repeat-penalty": "--repetition-penalty",
        "--file": "--attachment --fragment --prompt-file --scrape_url -attachment",
        "--template": "--pattern --role --preset",
        "--schema": "--json-schema --schema-multi --jf --guided-json",
        "--json": "--format-as --output-format --response-format",
        "--max-tokens": "--num_predict --max-new-tokens --max-output-tokens",
        "--ctx-size": "--context-length --n_ctx -ctx",
        "--n-gpu-layers": "--gpu-layers --num_gpu",
        "--kv-type": "--cache-type-k -ctv",
        "--model": "-hf --hf-repo -mu -model",
        "--system": "-sys --system-prompt --instructions",
        "--temperature": "-temp --temp",
        "--parallel": "-np --workers --concurrency",
        "--threads": "--num-threads --n-threads",
        "--seed": "-seed --seeds",
        "--stop": "--reverse-prompt --stop-sequences",
        "--think-tokens": "--reasoning-budget --thinking-budget",
        "--think": "--reasoning-effort",
        "--stats": "--usage --timings",
        "--quiet": "--log-disable --silent",
        "--no-log": "--no-history --no-save",
        "--each": "--csv --tsv --batch",
        "--samples": "--n-samples --best-of",
        "--output": "--out --output-file --outfile",
        "--top-p": "--topp",
        "--timeout": "--time-limit",
        "--debug": "-v --verbose --log-level --log-file",
        "not supported": "-sp -sm --override-tensor",
        "ends after one reply": "-st --single-turn",
        "order of the samplers is fixed": "--samplers",
        "--temperature 0": "--greedy",
        "llmtool chat": "-i -cnv --interactive --repl --chat --session --conversation --cid",
        "cannot call tools": "--tool --functions",
        "read text only": "--image --mmproj",
        "key of a server": "--key --api-key", "--base-url": "--host --api-base",
        "such as --temperature 0": "--option",
        "llmtool models ls": "--list-models",
        "llmtool prompts ls": "--list-roles --listpatterns",
        "-ngl 0": "--cpu",
        "m org/name:QUANT": "--quantization",
        "llmtool --version": "--version -version",
        "chosen automatically": "-b --batch-size",
        "argument": "-prompt --text",
    },
    "classify": {"--label": "--labels --classes", "--scores": "--probs",
                 "--min-confidence": "--threshold"},
    "translate": {"--to": "--target --language --lang -to", "--from": "--src --source-lang"},
    "sum": {"--length": "--max-words --sentences", "--repeat-penalty": "--length_penalty"},
    "code": {"--repair": "--retries", "--language": "--lang"},
    "chat": {"--session": "--conversation", "--no-save": "--no-log"},
    "run": {"template as an argument": "--preset --role"},
    "bench": {"--repetitions": "--runs"},
    "logs": {"--count": "--limit --last"},
}  # fmt: skip


@pytest.mark.parametrize(
    ("command", "option", "remedy"),
    [
        (command, option, remedy)
        for command, options in HABITS.items()
        for remedy, typed in options.items()
        for option in typed.split()
    ],
)
def test_option_of_another_program_names_ours(command: str, option: str, remedy: str) -> None:
    loaded = load_command(command)
    loaded = getattr(loaded, "default", loaded)
    if option[1] != "-" and len(option) > 2:
        assert find_single_dash(["-q", option, "1"], loaded) == option
    message = rewrite_usage_error(f"No such option: {option}", loaded)
    assert message.startswith(f"unknown option {option}; ")
    assert remedy in message


def test_long_option_with_one_dash_is_not_a_short_one(run_llmtool: Callable[..., Any]) -> None:
    line = error_line(run_llmtool("gen", "-seed", "1", "hi"), 2)
    assert line == (
        "llmtool: unknown option -seed; did you mean --seed? (see 'llmtool gen --help')"
    )


@pytest.mark.parametrize(
    "option",
    [
        "-T",
        "-C",
        "-S",
        "-k",
        "-co",
        "-lc",
        "--mirostat",
        "--mlock",
        "--title",
        "--wrap",
    ],
)
def test_option_without_a_counterpart_has_no_suggestion(option: str) -> None:
    message = rewrite_usage_error(f"No such option: {option}", load_command("gen"))
    assert message == f"unknown option {option}"


@pytest.mark.parametrize("words", [["-qc", "hi"], ["-sBe brief", "hi"], ["--", "-seed"]], ids=str)
def test_joined_short_options_are_not_long_ones(
    run_llmtool: Callable[..., Any], tiny: Path, words: list[str]
) -> None:
    result = run_llmtool("gen", "-m", tiny, "--dry-run", *words)
    assert b"unknown option" not in result.stderr


def test_value_after_an_equals_sign_is_that_of_a_short_option(
    run_llmtool: Callable[..., Any], tiny: Path, cwd: Path
) -> None:
    args = ("-m", tiny, "--max-tokens", "2", "--no-stdin")
    assert run_llmtool("gen", "hi", "-q", "-o=a.txt", *args).returncode == 0
    assert [path.name for path in cwd.iterdir()] == ["a.txt"]
    for words in (("-s", "-o=b"), ("-qs", "-o=b"), ("--system=x", "-s", "-o=b")):
        shown = run_llmtool("gen", "hi", *words, *args, "--dry-run").stdout
        assert b"-o=b" in shown
    assert b"hi\n-o=b" not in run_llmtool("gen", "hi", "-s=be", *args, "--dry-run").stdout


@pytest.mark.parametrize("option", ["temperature", "top-p", "min-p", "repeat-penalty"])
def test_invalid_numbers_have_a_plain_error(run_llmtool: Callable[..., Any], option: str) -> None:
    line = error_line(run_llmtool("gen", "hi", f"--{option}", "nan", "-m", "starter"), 2)
    assert line.startswith(f"llmtool: --{option} nan: must be ") and line.endswith(", not nan")


@pytest.mark.parametrize(("args", "reason"), CASES.values(), ids=CASES)
def test_error_names_the_option_and_value(
    run_llmtool: Callable[..., Any], args: tuple[str, ...], reason: str
) -> None:
    line = error_line(run_llmtool(*args), 2)
    assert line == f"llmtool: {args[1]} {reason} (see 'llmtool gen --help')"


@pytest.mark.parametrize(("args", "line"), LINES.values(), ids=LINES)
def test_error_says_what_to_do(
    run_llmtool: Callable[..., Any], args: tuple[str, ...], line: str
) -> None:
    assert error_line(run_llmtool(*args), 2) == f"llmtool: {line}"


BEFORE_THE_MODEL = {
    "input": (("gen", "hi", "-p", "nmae=x"), 2, "has no input 'nmae'"),
    "template input": (("run", "sentiment", "hi", "-p", "nmae=x"), 2, "has no input 'nmae'"),
    "one label": (("classify", "hi", "-l", "a"), 2, "at least two labels"),
    "no labels": (("classify", "hi"), 2, "no labels"),
    "prior": (("classify", "hi", "-l", "a,b", "--prior", "a=1"), 2, "--prior has no label 'b'"),
    "verdict": (("classify", "hi", "-l", "a,b", "--fail-on", "c"), 2, "unknown label 'c'"),
    "length": (("sum", "in.txt", "--length", "tiny"), 2, "invalid length 'tiny'"),
    "label template": (("sum", "in.txt", "-t", "sentiment"), 2, "is for classify, not for sum"),
    "dry run": (("sum", "in.txt", "-t", "spam", "--dry-run"), 2, "is for classify, not for sum"),
    "summary of labels": (("classify", "hi", "-l", "a,b", "-t", "sum"), 2, "not for classify"),
    "translation": (("translate", "hi", "--to", "de", "-t", "sum"), 2, "not for translate"),
    "chat template": (("chat", "hi", "-t", "sentiment"), 2, "is for classify, not for chat"),
    "code template": (("code", "hi", "-t", "translate"), 2, "is for translate, not for code"),
    "source language": (("translate", "hi", "--to", "de", "--from", "xyz"), 2, "'xyz'"),
    "chat without a template": (("chat", "hi", "-t", "nonesuch"), 12, "'nonesuch'"),
    "labels of eval": (("classify", "eval", "in.jsonl", "-t", "sum"), 2, "not for classify"),
}


@pytest.mark.parametrize("model", [["-m", "nothere"], []], ids=["unknown", "default"])
@pytest.mark.parametrize(
    ("args", "code", "reason"), BEFORE_THE_MODEL.values(), ids=BEFORE_THE_MODEL
)
def test_options_are_checked_before_the_model(
    run_llmtool: Callable[..., Any],
    cwd: Path,
    args: tuple[str, ...],
    code: int,
    reason: str,
    model: list[str],
) -> None:
    (cwd / "in.txt").write_text("Some text.")
    (cwd / "in.jsonl").write_text('{"text": "x", "label": "a"}\n{"text": "y", "label": "b"}\n')
    assert reason in error_line(run_llmtool(*args, *model), code)


@pytest.mark.parametrize(
    ("args", "note"),
    [
        (("exlpain",), "reading 'exlpain' as the request; did you mean the subcommand 'explain'?"),
        (("exlpain", "-q"), None),
        (("quicksort",), None),
        (("explain a list",), None),
    ],
    ids=["near", "quiet", "another word", "several words"],
)
def test_request_similar_to_a_subcommand_is_reported(
    run_llmtool: Callable[..., Any], tiny: Path, args: tuple[str, ...], note: str | None
) -> None:
    result = run_llmtool("code", *args, "-m", tiny, "--dry-run")
    assert result.returncode == 0
    notes = [line for line in result.stderr.decode().splitlines() if "subcommand" in line]
    assert notes == ([] if note is None else [f"llmtool: {note}"])


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("run", "{}"), 12),
        (("run", "./{}"), 12),
        (("prompts", "lint", "{}"), 12),
        (("prompts", "import", "{}"), 14),
        (("models", "info", "a/{}"), 2),
        (("gen", "Hi", "--draft", "{}", "-m", "starter"), 2),
        (("gen", "Hi", "--schema", "./{}", "-m", "starter"), 14),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_name_that_no_file_can_have_is_not_a_write_error(
    run_llmtool: Callable[..., Any], words: tuple[str, ...], code: int
) -> None:
    name = "x" * 5000
    result = run_llmtool(*(word.format(name) for word in words), stdin=-3)
    assert "cannot write" not in error_line(result, code)
