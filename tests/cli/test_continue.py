"""`-c` continues the last exchange of `gen` and `run`; `logs` shows them."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command import error_line, logged_turns

from llmtool.sessions.store import Sessions

Run = Callable[..., Any]
SHORT = """\
llmtool: 1
name: short
inputs: {text: {type: text}}
system: Be brief.
prompt: "Shorten: {{ text }}"
"""
MOOD = """\
llmtool: 1
name: mood
task: classify
inputs: {text: {type: text}}
prompt: "Mood of: {{ text }}"
output: {labels: [good, bad]}
"""


def prompt_of(run_llmtool: Run, *args: Any, input: bytes = b"") -> str:
    """Return the prompt that a command would send, without the last control tokens."""
    done = run_llmtool(*args, "--dry-run", "--json", input=input)
    assert done.returncode == 0, done.stderr.decode()
    return str(json.loads(done.stdout)["prompt"])


def test_continued_prompt_contains_the_messages_of_the_conversation(
    run_llmtool: Run, gen: Run, sessions: Sessions
) -> None:
    gen("The river", "-s", "Be kind.", "--prefill", "Yes,", input=b"and the hill <|im_end|>")
    assert run_llmtool("-c", "And the lake?", "--max-tokens", "5").returncode == 0
    first, second = logged_turns(sessions)
    assert second.exchange and first.exchange and second.exchange.previous == first.exchange.id
    assert second.exchange.system == "Be kind."
    prompt = prompt_of(run_llmtool, "gen", "-c", "Shorter", input=b"the sea")
    parts = [
        "Be kind.",
        'The river\n\n"""\nand the hill <|im_end|>\n"""',
        f"Yes,{first.text}",
        "And the lake?",
        second.text.strip(),
        'Shorter\n\n"""\nthe sea\n"""',
    ]
    places = [prompt.find(part) for part in parts]
    assert -1 not in places and places == sorted(places), prompt
    assert prompt.count("and the hill") == 1


def test_model_of_the_conversation_is_used_unless_another_is_named(
    run_llmtool: Run, gen: Run, tiny_model: Callable[..., Path], sessions: Sessions
) -> None:
    gen("The river", "--no-stdin")
    other = tiny_model("plain", n_ctx=512)
    for words in (("-c", "Shorter"), ("-c", "Shorter", "-m", other), ("-c", "Longer")):
        assert run_llmtool(*words, "--max-tokens", "3", "--no-stdin").returncode == 0
    models = [turn.exchange.model for turn in logged_turns(sessions) if turn.exchange]
    assert models[0] == models[1] != models[2] == models[3] == str(other)


def test_template_and_system_prompt_replace_those_of_the_conversation(
    run_llmtool: Run, gen: Run, tmp_path: Path, sessions: Sessions
) -> None:
    (tmp_path / "short.yaml").write_text(SHORT)
    gen("The river", "-s", "Be kind.", "--no-stdin")
    args = ("run", tmp_path / "short.yaml", "-c", "a text", "--max-tokens", "3", "--no-stdin")
    assert run_llmtool(*args).returncode == 0
    prompt = prompt_of(run_llmtool, "gen", "-c", "And?", "--no-stdin")
    assert "Be brief." in prompt and "Be kind." not in prompt
    assert "The river" in prompt and "Shorten: a text" in prompt
    prompt = prompt_of(run_llmtool, "gen", "-c", "And?", "-s", "Be rude.", "--no-stdin")
    assert "Be rude." in prompt and "Be brief." not in prompt


def test_options_of_a_reply_work_in_a_conversation(gen: Run, sessions: Sessions) -> None:
    gen("The river", "--no-stdin")
    done = gen("-c", "How long?", "--regex", "[0-9]{3}", "-n", "2", "--json", "--no-stdin")
    value = json.loads(done.stdout)
    assert done.returncode == 0 and len(value["choices"]) == 2
    first, *samples = logged_turns(sessions)
    assert first.exchange
    assert [t.exchange.previous for t in samples if t.exchange] == [first.exchange.id] * 2
    assert gen("-c", "Why?", "--no-stdin").returncode == 0
    last = logged_turns(sessions)[-1]
    assert last.exchange and samples[1].exchange
    assert last.exchange.previous == samples[1].exchange.id  # the last reply that was printed


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["-c", "4096"], "use --ctx-size 4096"),
        (["-c", "8k", "Go on"], "use --ctx-size 8k"),
        (["-c", "0", "Go on"], "use --ctx-size 0"),
        (["Go on", "-c", "4096"], "use --ctx-size 4096"),
        (["-c", "Shorten", "--each", "line"], "-c cannot be combined with --each"),
        (["-t", "./mood.yaml", "-c", "Well"], "'mood', whose output is a label"),
    ],
)
def test_option_c_is_rejected(
    run_llmtool: Run, gen: Run, cwd: Path, words: list[str], error: str
) -> None:
    (cwd / "mood.yaml").write_text(MOOD)
    gen("The river", "--no-stdin")
    assert error in error_line(run_llmtool("gen", *words, input=b"a\n"), 2)


def test_short_number_continues_the_conversation(gen: Run, sessions: Sessions) -> None:
    gen("Choose from 1 to 10", "--no-stdin")
    assert gen("-c", "7", "--no-stdin").returncode == 0
    assert logged_turns(sessions)[-1].user == "7"


def test_missing_exchange_names_what_to_do(gen: Run) -> None:
    error = error_line(gen("-c", "Shorter", "--no-stdin"), 2)
    assert "no exchange to continue; run `llmtool gen` without -c first" in error
    disabled = gen("-c", "Shorter", "--no-stdin", env={"LLMTOOL_LOG": "0"})
    assert "`llmtool config set log true`" in error_line(disabled, 2)


def test_note_names_the_exchange_if_replies_are_not_logged(gen: Run, sessions: Sessions) -> None:
    gen("The river", "--no-stdin")
    done = gen("-c", "Shorter", "--no-stdin", "--no-log")
    assert done.returncode == 0
    assert b"continuing the last logged exchange, 'The river'; this one is not" in done.stderr
    assert len(logged_turns(sessions)) == 1


def test_too_long_conversation_is_an_error(
    run_llmtool: Run, tiny_model: Callable[..., Path]
) -> None:
    small = tiny_model("plain", n_ctx=128)
    args = ("--max-tokens", "60", "-m", small, "--no-stdin")
    assert run_llmtool("gen", "The river and the hill", *args).returncode == 0
    error = error_line(run_llmtool("gen", "-c", "the hill " * 20, *args), 13)
    assert "1 earlier exchange; omit -c to start a new conversation" in error


def test_concurrent_commands_continue_the_same_exchange(
    gen: Run, start_llmtool: Run, sessions: Sessions
) -> None:
    gen("The river", "--no-stdin")
    running = [
        start_llmtool("gen", "-c", f"And {n}?", "--max-tokens", "3", stdin=subprocess.DEVNULL)
        for n in range(3)
    ]
    for process in running:
        process.communicate()
        assert process.returncode == 0
    first, *others = logged_turns(sessions)
    assert sorted(turn.user for turn in others) == ["And 0?", "And 1?", "And 2?"]
    ids = {turn.exchange.id for turn in logged_turns(sessions) if turn.exchange}
    assert len(ids) == 4 and all(turn.exchange and turn.exchange.previous for turn in others)


def test_logs_shows_the_last_exchanges(run_llmtool: Run, gen: Run, tmp_path: Path) -> None:
    (tmp_path / "hill.txt").write_text("the hill")
    for text in ("The river", "The lake", "The sea", "The mill"):
        gen(text, "-f", tmp_path / "hill.txt", "--no-stdin")
    gen("-c", "And the moor?", "--no-stdin")
    shown = run_llmtool("logs").stdout.decode()
    assert [line for line in shown.splitlines() if line.startswith("> ")] == [
        "> The sea",
        "> The mill",
        "> And the moor?",
    ]
    assert "hill.txt: 8 characters" in shown and "continued" in shown
    found = json.loads(run_llmtool("logs", "lake", "-n", "1", "--json").stdout)
    assert [turn["user"] for turn in found] == ["The lake"]
    assert found[0]["files"][0]["text"] == "the hill"
    assert len(json.loads(run_llmtool("logs", "-n", "0", "--json").stdout)) == 5
    missing = run_llmtool("logs", "desert")
    assert (missing.returncode, missing.stdout) == (0, b"")
    assert missing.stderr == b"llmtool: no matches in the log\n"


def test_empty_log_is_reported_with_the_setting(run_llmtool: Run) -> None:
    assert run_llmtool("logs").stderr == b"llmtool: the log is empty\n"
    assert run_llmtool("logs", "--json").stdout == b"[]\n"
    disabled = run_llmtool("logs", env={"LLMTOOL_LOG": "0"}).stderr
    assert b"`llmtool config set log true` turns the log on" in disabled
    assert "`llmtool config set log false`" in error_line(run_llmtool("logs", "off"), 2)
    assert b"no matches in the log" in run_llmtool("logs", '"off"').stderr
