"""The option --draft, its setting, and its errors."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command import error_line

import llmtool
from llmtool.engine.llama.draft import StepCosts
from llmtool.errors import EngineError, UsageError

Run = Callable[..., Any]
TEXT = "the quick brown fox jumps over a lazy dog " * 3
OPTIONS = ("--no-stdin", "--temperature", "0", "--max-tokens", "30", TEXT)


def out(result: Any) -> str:
    assert result.returncode == 0, result.stderr.decode()
    text: str = result.stdout.decode()
    return text


def test_reply_is_the_same_with_any_draft(run_llmtool: Run, tiny: Path) -> None:
    replies = {
        draft: out(run_llmtool("gen", "-m", tiny, "--draft", draft, *OPTIONS))
        for draft in ("off", "auto", "ngram", str(tiny))
    }
    assert len(set(replies.values())) == 1


@pytest.mark.parametrize(
    ("draft", "reason"),
    [
        ("no.gguf", "no such file; pass a GGUF file, or auto, off, ngram"),
        ("./no", "no such file; pass a GGUF file, or auto, off, ngram"),
        ("/", "a directory; pass a GGUF file, or auto, off, ngram"),
        ("on", "must be auto, off, ngram or a GGUF file"),
        ("", "must be auto, off, ngram or a GGUF file"),
    ],
)
def test_unknown_draft_is_a_usage_error(
    run_llmtool: Run, tiny: Path, draft: str, reason: str
) -> None:
    line = error_line(run_llmtool("gen", "-m", tiny, "--draft", draft, *OPTIONS), 2)
    assert line.startswith("llmtool: --draft ")
    assert line.endswith(f"{draft or repr('')}: {reason}")


def test_damaged_draft_model_is_an_error(run_llmtool: Run, tiny: Path, tmp_path: Path) -> None:
    path = tmp_path / "bad.gguf"
    path.write_bytes(b"GGUF")
    line = error_line(run_llmtool("gen", "-m", tiny, "--draft", path, *OPTIONS), 11)
    assert str(path) in line


def test_file_of_the_setting_is_relative_to_its_folder(
    run_llmtool: Run, tiny: Path, tmp_path: Path
) -> None:
    out(run_llmtool("config", "set", "draft", "none.gguf"))
    line = error_line(run_llmtool("gen", "-m", tiny, *OPTIONS), 2)
    folder = Path(json.loads(out(run_llmtool("config", "show", "--json")))["path"]).parent
    assert str(folder / "none.gguf") in line
    assert out(run_llmtool("gen", "-m", tiny, "--draft", "off", *OPTIONS))


def test_drafts_and_reproducible_results_exclude_each_other(run_llmtool: Run, tiny: Path) -> None:
    result = run_llmtool("gen", "-m", tiny, "--reproducible", "--draft", "ngram", *OPTIONS)
    assert "reproducible results need 'off'" in error_line(result, 2)


def test_note_reports_a_memory_without_drafts(
    run_llmtool: Run, tiny_model: Callable[..., Path]
) -> None:
    result = run_llmtool("gen", "-m", tiny_model("recurrent"), "--draft", "ngram", *OPTIONS)
    assert result.returncode == 0
    assert "the memory of this model cannot be truncated" in result.stderr.decode()


def test_draft_in_python(tiny: Path, tiny_spm: Path) -> None:
    with llmtool.Toolbox(tiny, draft=tiny) as box:
        drafted = box.generate(TEXT, temperature=0, max_tokens=20)
    with llmtool.Toolbox(tiny, draft="off") as box:
        assert str(box.generate(TEXT, temperature=0, max_tokens=20)) == str(drafted)
    with llmtool.Toolbox(tiny, draft=tiny_spm) as box:
        with pytest.raises(EngineError, match="its vocabulary is not that of"):
            box.generate(TEXT, max_tokens=5)
    with llmtool.Toolbox(tiny, draft="fast") as box:
        with pytest.raises(UsageError, match="draft='fast': must be auto, off, ngram or a GGUF"):
            box.generate(TEXT, max_tokens=5)


def test_statistics_count_drafted_and_accepted_tokens(
    run_llmtool: Run, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(StepCosts, "of", lambda *_: 1.0)  # so that each draft pays
    options = ("gen", "-m", tiny, "--json", "--stats", *OPTIONS)
    result = run_llmtool(*options, "--draft", tiny)
    usage = json.loads(out(result))["usage"]
    drafted, accepted = usage["drafted_tokens"], usage["accepted_tokens"]
    assert 0 < accepted <= drafted
    assert accepted < usage["completion_tokens"]
    assert f"{accepted} of {drafted} drafted tokens accepted" in result.stderr.decode()
    usage = json.loads(out(run_llmtool(*options, "--draft", "off")))["usage"]
    assert usage["drafted_tokens"] == usage["accepted_tokens"] == 0
