"""--lora, and adapters in templates, settings and Python."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command import error_line
from tiny_adapter import write_tiny_adapter

import llmtool
from llmtool.config import Folders, ModelSettings, Settings
from llmtool.doctor import examine
from llmtool.errors import ModelUnreadable, UsageError

Run = Callable[..., Any]


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    return write_tiny_adapter(tmp_path / "style.gguf")


def text_of(result: Any) -> str:
    assert result.returncode == 0, result.stderr.decode()
    text: str = result.stdout.decode()
    return text


def test_adapter_changes_the_reply_by_its_scale(gen: Run, adapter: Path) -> None:
    base = text_of(gen("hello"))
    full = text_of(gen("hello", "--lora", adapter))
    assert full not in (base, text_of(gen("hello", "--lora", f"{adapter}:0.3")))
    assert text_of(gen("hello", "--lora", f"{adapter}:0")) == base
    assert text_of(gen("hello", "--lora", f"{adapter}:0.4", "--lora", f"{adapter}:0.6")) == full


def test_lora_replaces_that_of_the_template_and_this_that_of_the_settings(
    gen: Run, run_llmtool: Run, tiny: Path, adapter: Path, tmp_path: Path
) -> None:
    write_tiny_adapter(tmp_path / "other.gguf", seed=2)
    template = tmp_path / "t.yaml"
    template.write_text(
        "llmtool: 1\nname: t\ninputs: {x: {type: text}}\nprompt: '{{ x }}'\n"
        "model: {lora: ['other.gguf:0.5']}\n"
    )

    def used(*args: object) -> list[str]:
        shown = json.loads(text_of(gen("hello", *args, "--dry-run", "--json")))
        return [Path(each).name for each in shown["lora"]]

    assert used() == [] and used("-t", template) == ["other.gguf:0.5"]
    key = f"models.{tiny}.lora"
    text_of(run_llmtool("config", "set", key, f"{adapter.name}:0.7", cwd=tmp_path))
    assert text_of(run_llmtool("config", "show", key)) == f"{adapter}:0.7\n"
    assert used() == ["style.gguf:0.7"] and used("-t", template) == ["other.gguf:0.5"]
    assert used("-t", template, "--lora", adapter) == ["style.gguf"]
    assert b"LoRA adapters: " in gen("hello", "--dry-run").stderr
    expected = text_of(gen("hello", "--lora", f"{adapter}:0.7"))
    assert text_of(gen("hello")) == expected
    text_of(run_llmtool("config", "unset", key))
    assert used() == []


@pytest.mark.parametrize(
    ("value", "code", "reason"),
    [
        ("style.gguf:big", 2, "the scale 'big' must be a number from -100 to 100"),
        ("style.gguf:nan", 2, "the scale 'nan' must be a number"),
        ("style.gguf:101", 2, "the scale '101' must be a number"),
        ("", 2, "must be a GGUF file, or FILE:SCALE"),
        ("none.gguf", 10, "none.gguf: no such LoRA adapter"),
        ("text.gguf", 11, "text.gguf: not a GGUF file"),
        (".", 11, ". is not a regular file"),
    ],
)
def test_invalid_adapter_is_one_line(
    gen: Run, adapter: Path, tmp_path: Path, value: str, code: int, reason: str
) -> None:
    (tmp_path / "text.gguf").write_text("hello")
    assert reason in error_line(gen("hello", "--lora", value, cwd=tmp_path), code)


def test_adapter_as_model_names_the_option(run_llmtool: Run, adapter: Path) -> None:
    line = error_line(run_llmtool("gen", "-m", adapter, "hello"), 11)
    assert "a LoRA adapter, not a language model; pass it with --lora" in line


def test_damaged_adapter_does_not_end_the_process(gen: Run, tmp_path: Path) -> None:
    broken = write_tiny_adapter(tmp_path / "b.gguf", only="blk.0.attn_q", rename="output.weight")
    assert "b.gguf: not a LoRA adapter of this model" in error_line(
        gen("hello", "--lora", broken), 11
    )


def test_doctor_reports_adapters_that_are_missing_or_invalid(adapter: Path, tmp_path: Path) -> None:
    models = {
        "good": ModelSettings(lora=(f"{adapter.name}:2",)),
        "gone": ModelSettings(lora=("none.gguf",)),
        "bad": ModelSettings(lora=(f"{adapter.name}:x",)),
    }
    folders = Folders(config=tmp_path, data=tmp_path, cache=tmp_path, hub_cache=tmp_path)
    advice = "\n".join(examine(folders, Settings(models=models)).advice)
    assert f"models.gone.lora: {tmp_path / 'none.gguf'} not found; set another" in advice
    assert "models.bad.lora: " in advice and "the scale 'x' must be a number" in advice
    assert "models.good" not in advice


def test_adapters_in_python(tiny: Path, adapter: Path, tmp_path: Path) -> None:
    options: dict[str, Any] = {"temperature": 0, "max_tokens": 12}
    other = write_tiny_adapter(tmp_path / "other.gguf", seed=2)
    with llmtool.Toolbox(tiny, n_threads=1) as box:
        base = box.generate("hello", **options).text
        styled = box.generate("hello", lora=str(adapter), **options).text
        assert box.generate("hello", lora=[f"{adapter}:0"], **options).text == base != styled
        assert box.generate("hello", **options).text == base
        with pytest.raises(UsageError, match="lora='x.gguf:x': the scale 'x' must be"):
            box.generate("hello", lora="x.gguf:x")
        with pytest.raises(ModelUnreadable, match="not a LoRA adapter"):
            box.generate("hello", lora=str(tiny))
    with llmtool.Toolbox(tiny, n_threads=1, lora=adapter) as box:
        assert box.generate("hello", **options).text == styled
        assert box.generate("hello", lora=[], **options).text == base
        assert box.generate("hello", lora=str(other), **options).text not in (base, styled)
        assert box.context.model.identity != llmtool.Toolbox(tiny).context.model.identity
