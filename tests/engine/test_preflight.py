"""A damaged model is an error, not a crash; the record that it passed cannot be forged."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from command import linux
from tiny_vocabulary import spm_vocabulary

from llmtool import files
from llmtool.cancellation import Cancellation
from llmtool.engine.llama import passed_check
from llmtool.engine.llama import preflight as module
from llmtool.engine.llama.model import load_model
from llmtool.engine.llama.passed_check import PassedCheck
from llmtool.engine.llama.preflight import preflight
from llmtool.errors import ModelUnreadable

posix = pytest.mark.skipif(not hasattr(os, "geteuid"), reason="owners and modes")
TinyModel = Callable[..., Path]


@pytest.fixture(autouse=True)
def load_each_time(monkeypatch: pytest.MonkeyPatch, check_models_once: Callable[..., None]) -> None:
    monkeypatch.setattr(module, "_load_in_child", check_models_once)


def check(path: Path, cache: Path) -> None:
    preflight(path, (path,), cache_folder=cache, cancellation=Cancellation())


def record(path: Path, cache: Path, build: str = "b1") -> PassedCheck:
    return PassedCheck(cache / "checked", [path], build=build)


@pytest.mark.parametrize(
    ("overrides", "reason"),
    [
        ({"metadata": {"tokenizer.ggml.model": "llama"}}, "llama.cpp crashed on it"),
        ({"metadata": {"tokenizer.ggml.model": "rwkv"}}, "llama.cpp crashed on it"),
        ({"logit_scale": {"a": float("nan")}}, "its logits are not finite numbers"),
    ],
    ids=["no byte tokens", "other tokenizer", "not a number"],
)
def test_damage_that_a_run_would_meet_is_found(
    tiny_model: TinyModel,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    overrides: dict[str, Any],
    reason: str,
) -> None:
    monkeypatch.setattr(module, "_MEMORY_BYTES", 1 << 28)  # all of which one of them takes
    path = tiny_model("plain", **overrides)
    for _ in range(2):  # a failure is not recorded
        with pytest.raises(ModelUnreadable, match=f"is damaged: {reason}"):
            check(path, tmp_path)


def test_byte_without_a_token_is_damage(tiny_model: TinyModel, tmp_path: Path) -> None:
    """The prompt of the check does not have it."""
    vocabulary = spm_vocabulary()
    vocabulary.tokens[vocabulary.tokens.index("<0x07>")] = "other"
    path = tiny_model("spm", vocabulary=vocabulary)
    with pytest.raises(ModelUnreadable, match="is damaged: llama.cpp crashed on it"):
        check(path, tmp_path)


def test_every_byte_and_every_token_is_used() -> None:
    texts: list[bytes] = []
    pieces: list[int] = []

    class Weights:
        n_vocab = 3

        def tokenize(self, text: bytes, **options: bool) -> None:
            texts.append(text)

        def piece(self, token: int) -> None:
            pieces.append(token)

        is_end = is_special = lambda self, token: False

    module._use_tokenizer(Weights())  # type: ignore[arg-type]
    assert {b"%c" % n for n in range(1, 256)} < set(texts)
    assert pieces == [0, 1, 2]


def test_reason_with_line_breaks_is_complete(tiny_model: TinyModel, tmp_path: Path) -> None:
    path = tiny_model("plain", metadata={"tokenizer.ggml.pre": "one\ntwo\rthree\u2028"})
    with pytest.raises(ModelUnreadable, match="unknown pre-tokenizer type: 'one two three '$"):
        check(path, tmp_path)


@pytest.mark.parametrize("kind", ["plain", "spm", "swa", "recurrent", "hybrid", "encoder"])
def test_every_kind_of_model_passes(tiny_model: TinyModel, tmp_path: Path, kind: str) -> None:
    check(tiny_model(kind), tmp_path)


def test_model_with_hundreds_of_layers_passes(tiny_model: TinyModel, tmp_path: Path) -> None:
    check(tiny_model("plain", n_layer=400, n_embd=32), tmp_path)


def test_model_that_takes_too_long_is_an_error(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_SECONDS", 0)
    monkeypatch.setattr(module, "_CHILD", "import time; time.sleep(60)")
    with pytest.raises(ModelUnreadable, match="needs more than 0 s to load it"):
        check(tiny, tmp_path)


@linux
@pytest.mark.parametrize(
    ("work", "reason"),
    [
        ("while True: pass", "needs too much processor time to load it"),
        ("bytes(450 << 20)", "MemoryError"),
        ("x = b'x' * (250 << 20); time.sleep(0.2); os.abort()", "SIGABRT: .*; perhaps because of"),
    ],
    ids=["endless loop", "450 MiB", "crash near the limit"],
)
def test_child_has_limits_of_time_and_memory(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, work: str, reason: str
) -> None:
    code = "from llmtool.engine.llama import preflight as p; p._CPU_SECONDS = 1; p._set_limits(0)"
    start = "import os, sys, time; sys.path[:] = {path!r}"
    monkeypatch.setattr(module, "_CHILD", f"{start}; {code}\n{work}")
    with pytest.raises(ModelUnreadable, match=reason):
        check(tiny, tmp_path)


def test_crash_of_the_child_starts_no_debugger(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ggml would run gdb or lldb, unless this variable is set."""
    monkeypatch.delenv("GGML_NO_BACKTRACE", raising=False)
    code = "import os, sys; sys.exit('set to ' + os.environ.get('GGML_NO_BACKTRACE', ''))"
    monkeypatch.setattr(module, "_CHILD", code)
    with pytest.raises(ModelUnreadable, match="^set to 1$"):
        check(tiny, tmp_path)


def test_passed_model_is_not_loaded_again(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check(tiny, tmp_path)
    monkeypatch.setattr(module, "_load_in_child", None)
    check(tiny, tmp_path)


def test_model_of_a_package_is_not_loaded_in_a_child(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_load_in_child", None)
    preflight(tiny, (tiny,), cache_folder=tmp_path, cancellation=Cancellation(), trusted=True)


def test_restored_modification_time_does_not_keep_the_record(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    path.touch()
    os.truncate(path, 40 << 20)
    before = path.stat()
    record(path, tmp_path).write()
    assert record(path, tmp_path).exists()
    time.sleep(0.02)  # longer than the resolution of the file system's clock
    with open(path, "r+b") as file:
        file.seek(3 << 19)  # not in a sample of the content
        file.write(b"b")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert not record(path, tmp_path).exists()


def test_identity_has_samples_of_the_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clock that was set back can repeat the change time."""
    path = tmp_path / "m.gguf"
    path.write_bytes(bytes(3 << 20))
    state = path.stat()
    monkeypatch.setattr(files.os, "fstat", lambda _: state)
    before = files.identify(path)
    for at in (0, 500_000, 3 << 20):
        data = bytearray(3 << 20)
        data[at - 1] = 1
        path.write_bytes(data)
        assert files.identify(path) != before


@pytest.mark.parametrize("field", ["st_size", "st_mtime_ns", "st_ctime_ns", "st_ino", "st_dev"])
def test_identity_has_all_that_changes_with_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, field: str
) -> None:
    path, link = tmp_path / "m.gguf", tmp_path / "n.gguf"
    path.write_bytes(b"a")
    state, before = path.stat(), files.identify(path)
    os.link(path, link)
    changed = SimpleNamespace(**{name: getattr(state, name) for name in dir(state)})
    monkeypatch.setattr(files.os, "fstat", lambda _: changed)
    assert files.identify(path) == before
    assert files.identify(link) != before, "it has the path"
    setattr(changed, field, getattr(state, field) + 1)
    assert files.identify(path) != before


@posix
def test_record_of_another_user_is_ignored(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(tiny, tmp_path).write()
    user = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: user + 1)
    assert not record(tiny, tmp_path).exists()
    monkeypatch.setattr(passed_check, "_is_private", lambda _: True)  # only the file is of another
    assert not record(tiny, tmp_path).exists()


def test_record_is_valid_for_one_build_of_llama_cpp(tiny: Path, tmp_path: Path) -> None:
    record(tiny, tmp_path).write()
    assert not record(tiny, tmp_path, build="b2").exists()


@posix
@pytest.mark.parametrize("forged", ["empty", "copied", "key of others", "folder of others"])
def test_forged_record_is_ignored(tiny: Path, tmp_path: Path, forged: str) -> None:
    record(tiny, tmp_path).write()
    folder = tmp_path / "checked"
    (mark,) = (path for path in folder.iterdir() if path.name != "key")
    if forged == "empty":
        mark.write_bytes(b"")
    elif forged == "copied":  # from another user, who has another key
        (folder / "key").write_bytes(b"k" * 32)
    elif forged == "key of others":
        (folder / "key").chmod(0o644)
    else:
        folder.chmod(0o777)
    assert not record(tiny, tmp_path).exists()
    record(tiny, tmp_path).write()
    assert record(tiny, tmp_path).exists() == (forged != "folder of others")


@posix
def test_records_are_private(tiny: Path, tmp_path: Path) -> None:
    record(tiny, tmp_path).write()
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "checked").iterdir()} == {0o600}


def test_exception_of_the_progress_callback_ends_loading(tiny: Path) -> None:
    def fail(done: float, total: float) -> None:
        raise ZeroDivisionError("from the caller")

    with pytest.raises(ZeroDivisionError, match="from the caller"):
        load_model(tiny, n_gpu_layers=0, cancellation=Cancellation(), on_progress=fail)
