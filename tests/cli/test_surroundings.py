"""The environment of the command: home folders, locales, missing models, memory, context."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from command import LLMTOOL, error_line, linux
from tiny_model import BAD_MODELS

PROMPT = "The river rose during the night"
Run = Callable[..., subprocess.CompletedProcess[bytes]]
FOLDERS = [
    *("XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR"),
    *("LLMTOOL_CONFIG_DIR", "LLMTOOL_DATA_DIR", "LLMTOOL_CACHE_DIR", "HF_HOME"),
]


@pytest.mark.parametrize("home", ["/proc", "/no/such/home", "/dev/null", "", None])
def test_home_can_be_missing_or_read_only(gen: Run, home: str | None) -> None:
    expected = gen(PROMPT)
    result = gen(PROMPT, env={"HOME": home, **dict.fromkeys(FOLDERS)})
    assert (result.returncode, result.stderr) == (0, expected.stderr)
    assert result.stdout == expected.stdout


def test_command_writes_nothing_into_the_current_folder(gen: Run, tmp_path: Path) -> None:
    assert gen(PROMPT).returncode == 0
    assert list((tmp_path / "cwd").iterdir()) == []


@pytest.mark.parametrize(
    "locale",
    [
        {"LC_ALL": "C"},
        {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"LC_ALL": "no_SUCH.locale"},
        {"PYTHONIOENCODING": "latin-1"},
        {"PYTHONIOENCODING": "ascii:strict", "LC_ALL": "C"},
    ],
    ids=["C", "POSIX", "unknown", "latin-1", "ascii"],
)
def test_text_is_utf8_in_any_locale(gen: Run, gen_process: Run, locale: dict[str, str]) -> None:
    args = ["--dry-run", "日本 🦙 é"]
    expected = gen(*args)
    assert "日本 🦙 é" in expected.stdout.decode()
    result = gen_process(*args, env=locale)
    assert (result.returncode, result.stdout) == (0, expected.stdout)


def test_reply_is_utf8_in_any_locale(gen: Run, gen_process: Run) -> None:
    args = [PROMPT, "--max-tokens", "100"]
    expected = gen(*args)
    assert expected.returncode == 0 and not expected.stdout.isascii()
    result = gen_process(*args, env={"LC_ALL": "C", "PYTHONIOENCODING": "ascii"})
    assert (result.returncode, result.stdout) == (0, expected.stdout)


def test_error_with_a_non_ascii_name_is_utf8(gen_process: Run) -> None:
    locale = {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    assert "日本" in error_line(gen_process(PROMPT, "-m", "日本.gguf", env=locale), 10)


@pytest.mark.parametrize(
    "name",
    ["no-such-model", "./missing.gguf", "/no/folder/missing.gguf", "~unknown-user/x.gguf"],
)
def test_unknown_model_is_not_found(gen: Run, name: str) -> None:
    assert name.removeprefix("./") in error_line(gen(PROMPT, "-m", name), 10)


def test_similar_model_is_suggested(gen: Run) -> None:
    assert "starter" in error_line(gen(PROMPT, "-m", "startr"), 10)


REASONS = {
    "empty": "empty",
    "truncated header": "truncated",
    "truncated weights": "truncated",
    "last byte missing": "truncated",
    "HTML page": "HTML",
    "Git LFS pointer": "LFS",
    "text": "GGUF",
    "flipped magic": "GGUF",
    "flipped version": "version",
    "unknown architecture": "architecture",
}


@pytest.mark.parametrize("fault", BAD_MODELS)
def test_invalid_model_file_is_11_with_the_reason(
    gen: Run, tiny: Path, tmp_path: Path, fault: str
) -> None:
    bad = tmp_path / "bad.gguf"
    bad.write_bytes(BAD_MODELS[fault](tiny.read_bytes()))
    line = error_line(gen(PROMPT, "-m", bad), 11)
    assert "bad.gguf" in line
    assert REASONS.get(fault, "").lower() in line.lower()


@pytest.mark.parametrize(("maker", "reason"), [("mkdir", "directory"), ("mkfifo", "regular file")])
def test_folder_or_device_is_not_a_model(gen: Run, tmp_path: Path, maker: str, reason: str) -> None:
    place = tmp_path / "model.gguf"
    subprocess.run([maker, place], check=True)
    assert reason in error_line(gen(PROMPT, "-m", place), 11)


def test_encoder_cannot_generate(gen: Run, tiny_model: Callable[..., Path]) -> None:
    line = error_line(gen(PROMPT, "-m", tiny_model("encoder")), 11)
    assert "bert" in line or "encoder" in line or "embedding" in line


@pytest.fixture
def words(gen: Run, tiny_base: Path) -> Callable[[int], str]:
    """Return `words(n)`: a text of exactly `n` tokens for the base model."""

    def make(n: int) -> str:
        text = "the" + " river" * (n // 4)
        result = gen(text, "-m", tiny_base, "--dry-run", "--json", "--ctx-size", "1024")
        count = len(json.loads(result.stdout)["token_ids"])
        text += " the" * (n - count)
        return text

    return make


@pytest.mark.parametrize(
    ("n_tokens", "max_tokens", "fits"),
    [(255, 1, True), (256, 1, False), (257, 1, False), (200, 56, True), (200, 57, False)],
)
def test_prompt_and_reply_must_fit_the_context(
    gen: Run,
    tiny_base: Path,
    words: Callable[[int], str],
    n_tokens: int,
    max_tokens: int,
    fits: bool,
) -> None:
    args = [words(n_tokens), "-m", tiny_base, "--ctx-size", "256"]
    result = gen(*args, "--max-tokens", str(max_tokens))
    if fits:
        assert result.returncode == 0, result.stderr
        return
    numbers = {int(number) for number in re.findall(r"\d+", error_line(result, 13))}
    assert {256} <= numbers
    assert numbers & {n_tokens, n_tokens + max_tokens}


def test_error_names_the_option_to_change(
    gen: Run, tiny_base: Path, words: Callable[[int], str]
) -> None:
    line = error_line(gen(words(300), "-m", tiny_base, "--ctx-size", "256"), 13)
    assert "--ctx-size" in line


@pytest.mark.parametrize(
    ("n_characters", "needed"), [(3_000, "needs "), (200_000, "needs more than ")]
)
def test_error_on_long_input_names_the_command_for_long_texts(
    gen: Run, tiny_base: Path, n_characters: int, needed: str
) -> None:
    text = ("rain " * n_characters)[:n_characters].encode()
    args = ("-m", tiny_base, "--ctx-size", "256")
    line = error_line(gen("Summarize", *args, input=text), 13)
    assert re.search(rf"input {needed}[\d,]+ tokens.*, but the context holds 256; ", line)
    assert line.endswith(" (or use `llmtool sum`)")
    line = error_line(gen("Hi", "--max-tokens", "999", "--no-stdin", *args), 13)
    assert "sum" not in line


@pytest.mark.parametrize(("n_tokens", "fits"), [(1023, True), (1024, False), (1025, False)])
def test_model_context_is_the_limit(
    gen: Run, tiny_base: Path, words: Callable[[int], str], n_tokens: int, fits: bool
) -> None:
    result = gen(words(n_tokens), "-m", tiny_base, "--max-tokens", "1")
    assert result.returncode == (0 if fits else 13), result.stderr


@linux
def test_context_larger_than_memory_is_an_error(
    env: dict[str, str], tiny_model: Callable[..., Path]
) -> None:
    model = tiny_model("plain", n_ctx=2**24)
    command = [*LLMTOOL, "gen", PROMPT, "-m", str(model), "--max-tokens", str(2**24 - 999)]
    result = subprocess.run(
        ["bash", "-c", 'ulimit -c 0 -v 3000000; "$@"', "bash", *command],
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
    )
    assert "memory" in error_line(result, 1)


@pytest.mark.parametrize(
    "args",
    [
        ["--max-tokens", "0"],
        ["--max-tokens", "-1"],
        ["--temperature", "-1"],
        ["--seed", "-1"],
        ["--seed", str(2**32 - 1)],
        ["--seed", str(2**32)],
        ["--ctx-size", "0"],
        ["--threads", "0"],
        ["--top-p", "2"],
        ["--errors", "nonsense"],
        ["--no-such-option"],
    ],
    ids=" ".join,
)
def test_invalid_option_is_a_usage_error_before_loading(gen: Run, args: list[str]) -> None:
    result = gen(PROMPT, "-m", "no-such-model", *args)
    assert result.returncode == 2
    assert result.stdout == b""
    assert args[0].encode() in result.stderr
    assert b"Traceback" not in result.stderr
