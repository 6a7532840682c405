"""Files that another program changes between their check and their use."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command import error_line

from llmtool.engine.llama import model as models
from llmtool.engine.llama import preflight
from llmtool.tasks.pipeline.disk_cache import DiskCache

Meanwhile = Callable[[Callable[[], object]], None]
PROMPT = "The river rose during the night"


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch) -> Meanwhile:
    """Return `meanwhile(act)`: act once the options are checked, before the model is loaded."""

    def set_act(act: Callable[[], object]) -> None:
        def load(*args: Any, **options: Any) -> Any:
            act()
            return plain(*args, **options)

        plain = models.load_model
        monkeypatch.setattr(models, "load_model", load)

    return set_act


@pytest.fixture
def reply(gen: Callable[..., Any]) -> bytes:
    return bytes(gen(PROMPT).stdout)


def plant_link(out: Path, target: Path) -> None:
    out.unlink(missing_ok=True)
    out.symlink_to(target)


CHANGES: dict[str, Callable[[Path, Path], object]] = {
    "file": lambda out, victim: out.write_text("foreign"),
    "link": plant_link,
    "link to nothing": lambda out, victim: plant_link(out, out.with_name("nothing")),
    "hard link": lambda out, victim: os.link(victim, out),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_output_created_meanwhile_is_not_replaced(
    gen: Callable[..., Any],
    reply: bytes,
    meanwhile: Meanwhile,
    tmp_path: Path,
    change: Callable[[Path, Path], object],
) -> None:
    out, victim = tmp_path / "out.txt", tmp_path / "victim.txt"
    victim.write_text("precious")
    meanwhile(lambda: change(out, victim))
    line = error_line(gen(PROMPT, "-o", out), 1)
    assert line == (
        f"llmtool: {out} was created by another program meanwhile and is unchanged; the result is "
        f"in {out}.new"
    )
    assert victim.read_text() == "precious"
    assert not (tmp_path / "nothing").exists()
    assert out.is_symlink() or out.read_text() in ("foreign", "precious")
    assert (tmp_path / "out.txt.new").read_bytes() == reply


def test_results_beside_an_output_are_not_replaced_either(
    gen: Callable[..., Any], reply: bytes, meanwhile: Meanwhile, tmp_path: Path
) -> None:
    out = tmp_path / "out.txt"

    def create() -> None:
        for name in ("out.txt", "out.txt.new"):
            (tmp_path / name).write_text("foreign")

    meanwhile(create)
    assert error_line(gen(PROMPT, "-o", out), 1).endswith(f"the result is in {out}.new2")
    assert (tmp_path / "out.txt.new2").read_bytes() == reply
    assert (tmp_path / "out.txt.new").read_text() == "foreign"


def test_empty_output_that_is_filled_meanwhile_is_not_replaced(
    gen: Callable[..., Any], meanwhile: Meanwhile, tmp_path: Path
) -> None:
    out = tmp_path / "out.txt"
    out.touch()
    meanwhile(lambda: out.write_text("foreign"))
    error_line(gen(PROMPT, "-o", out), 1)
    assert out.read_text() == "foreign"


@pytest.mark.parametrize("was_link", [False, True], ids=["file", "link"])
def test_link_planted_meanwhile_is_not_followed_with_overwrite(
    gen: Callable[..., Any], reply: bytes, meanwhile: Meanwhile, tmp_path: Path, was_link: bool
) -> None:
    out, victim, old = (tmp_path / name for name in ("out.txt", "victim.txt", "old.txt"))
    victim.write_text("precious")
    old.write_text("old")
    out.symlink_to(old) if was_link else out.write_text("old")
    meanwhile(lambda: plant_link(out, victim))
    assert gen(PROMPT, "-o", out, "--overwrite").returncode == 0
    assert victim.read_text() == "precious"
    assert (old if was_link else out).read_bytes() == reply


@pytest.mark.parametrize("more", [(), ("--overwrite",), ("--resume",)], ids=" ".join)
@pytest.mark.parametrize("existed", [False, True], ids=["new", "old"])
def test_batch_does_not_follow_a_link_planted_meanwhile(
    gen: Callable[..., Any],
    meanwhile: Meanwhile,
    tmp_path: Path,
    more: tuple[str, ...],
    existed: bool,
) -> None:
    out, victim = tmp_path / "out.jsonl", tmp_path / "victim.jsonl"
    batch = ("--each", "line", "--jsonl", "-f", tmp_path / "in.txt")
    (tmp_path / "in.txt").write_text("one\ntwo\n")
    assert gen("Say", *batch, "-o", victim).returncode == 0
    before = victim.read_bytes()
    if existed:
        if not more:
            return  # an error before the model is loaded
        shutil.copy(victim, out)
    meanwhile(lambda: plant_link(out, victim))
    result = gen("Say", *batch, "-o", out, *more, "--temperature", "1")
    assert result.returncode == 1 and b"symbolic link" in result.stderr, result.stderr
    assert victim.read_bytes() == before


def test_one_of_two_runs_with_the_same_output_gets_an_error(
    start_llmtool: Callable[..., Any], tiny: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.txt"
    args = ("gen", PROMPT, "-m", tiny, "-o", out, "--max-tokens", "8", "-q")
    running = [start_llmtool(*args, stdin=subprocess.DEVNULL) for _ in range(2)]
    for process in running:
        process.wait(60)
    assert sorted(process.returncode for process in running) in ([0, 1], [0, 2]), "2: it was late"
    names = {path.name for path in tmp_path.glob("out.txt*")}
    assert names in ({"out.txt"}, {"out.txt", "out.txt.new"})


TEMPLATE = """\
llmtool: 1
name: read
inputs: {text: {type: text}}
prompt: hello {{ text }}
tests: [{vars: {text: a}, assert: [{type: contains, value: no-such-text}]}]
"""


def test_reports_of_tests_do_not_replace_files_created_meanwhile(
    run_llmtool: Callable[..., Any], tiny: Path, meanwhile: Meanwhile, tmp_path: Path
) -> None:
    (tmp_path / "read.yaml").write_text(TEMPLATE)
    report, baseline = tmp_path / "report.xml", tmp_path / "base.json"
    test = ("prompts", "test", "./read.yaml", "-m", tiny, "--no-cache")

    def create() -> None:
        report.write_text("foreign")
        baseline.write_text("foreign")

    meanwhile(create)
    options = (("--junit", report), ("--baseline", baseline, "--update-baseline"))
    for words in options:
        result = run_llmtool(*test, *words, cwd=tmp_path)
        assert result.returncode == 1 and b"created by another program" in result.stderr
        assert report.read_text() == baseline.read_text() == "foreign"
        report.unlink()
        baseline.unlink()
    assert b"<testsuites" in (tmp_path / "report.xml.new").read_bytes()
    assert json.loads((tmp_path / "base.json.new").read_text())["llmtool_baseline"] == 1


@pytest.mark.parametrize("exists", [True, False])
def test_updates_of_a_baseline_at_the_same_time_are_all_saved(
    run_llmtool: Callable[..., Any], tiny: Path, meanwhile: Meanwhile, tmp_path: Path, exists: bool
) -> None:
    (tmp_path / "read.yaml").write_text(TEMPLATE)
    baseline = tmp_path / "base.json"
    other = {"template": "b", "model": "m", "id": "1", "name": "one", "passed": False}
    if exists:
        baseline.write_text('{"llmtool_baseline": 1, "tests": []}')
    meanwhile(
        lambda: baseline.write_text(json.dumps({"llmtool_baseline": 1, "tests": [other]})) and None
    )
    options = ("--baseline", baseline, "--update-baseline", "--no-cache")
    result = run_llmtool("prompts", "test", "./read.yaml", "-m", tiny, *options, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    tests = json.loads(baseline.read_text())["tests"]
    assert [(each["template"], each["passed"]) for each in tests] == [("b", False), ("read", False)]


def replace_file(model: Path, other: Path) -> None:
    shutil.copy(other, model.with_suffix(".tmp"))
    model.with_suffix(".tmp").replace(model)


def write_in_place(model: Path, other: Path) -> None:
    state = model.stat()
    with model.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        last = file.read(1)
        file.seek(-1, os.SEEK_END)
        file.write(bytes([last[0] ^ 1]))
    os.utime(model, ns=(state.st_atime_ns, state.st_mtime_ns))


def retarget(model: Path, other: Path) -> None:
    target = model.readlink()
    plant_link(model, other)
    plant_link(model, target)  # and back, as after the file was mapped


SWAPS = {"replaced": replace_file, "changed": write_in_place, "link retargeted": retarget}


@pytest.mark.parametrize("swap", SWAPS.values(), ids=SWAPS)
@pytest.mark.parametrize("when", ["checked", "loaded"])
def test_model_swapped_after_its_check_is_not_used(
    run_llmtool: Callable[..., Any],
    env: dict[str, str],
    tiny: Path,
    tiny_spm: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    swap: Callable[[Path, Path], None],
    when: str,
) -> None:
    model = tmp_path / "model.gguf"
    if swap is retarget:
        shutil.copy(tiny, tmp_path / "target.gguf")
        model.symlink_to(tmp_path / "target.gguf")
    else:
        shutil.copy(tiny, model)
    place = (preflight, "_load_in_child") if when == "checked" else (models, "load_model")
    plain = getattr(*place)

    def act(*args: Any, **options: Any) -> Any:
        result = plain(*args, **options)
        swap(model, tiny_spm)
        return result

    checked = Path(env["LLMTOOL_CACHE_DIR"], "checked")
    checked.unlink()  # a folder that tests share
    with monkeypatch.context() as patch:
        patch.setattr(*place, act)
        line = error_line(run_llmtool("gen", PROMPT, "-m", model, "--max-tokens", "2"), 11)
    assert (
        line
        == f"llmtool: {model} was changed or removed while it was loaded; run the command again"
    )
    if when == "checked":
        assert not checked.exists(), "nothing is recorded of a file that changed"
    assert run_llmtool("gen", PROMPT, "-m", model, "--max-tokens", "2").returncode == 0


def test_cache_folder_replaced_by_a_link_loses_no_foreign_file(
    run_llmtool: Callable[..., Any], env: dict[str, str], tmp_path: Path
) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    for name in ("tasks.json", "notes.txt", ".x.json", f"{'a' * 70}.json"):
        (folder / name).write_text("[]")
    Path(env["LLMTOOL_CACHE_DIR"], "translations").symlink_to(folder)
    before = sorted(path.name for path in folder.iterdir())
    cache = DiskCache(folder, limit=0)
    for n in range(20):
        cache.save(f"{n:032x}", "value")
    assert run_llmtool("cache", "clear").returncode == 0
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        [*before, "values.db", "values.db-journal"]
    )
    assert not list(cache.values(str))
