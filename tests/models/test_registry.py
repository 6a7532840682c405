import json
import multiprocessing
import stat

import pytest

from llmtool.errors import LockedError, OutputError, UsageError
from llmtool.files import lock
from llmtool.models.reference import parse
from llmtool.models.registry import FileRecord, Record, Registry, load, save


def record(quant="Q4_K_M", revision=None, name="org/name"):
    return Record(
        source="hub", name=name, quant=quant, revision=revision, commit="a" * 40,
        files=(FileRecord(path=f"m-{quant}.gguf", size_bytes=4, digest="0" * 64),),
    )  # fmt: skip


def test_missing_file_is_an_empty_registry(tmp_path):
    assert load(tmp_path / "none" / "models.json") == Registry()


def test_registry_round_trip(tmp_path):
    path = tmp_path / "data" / "models.json"
    known = Registry(aliases={"x": "org/name"}).with_record(record())
    save(path, known)
    assert load(path) == known
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [p.name for p in path.parent.iterdir()] == ["models.json"]


def test_find_returns_newest_quant():
    known = Registry().with_record(record("Q4_K_M")).with_record(record("Q8_0"))
    assert known.find(parse("org/name")).quant == "Q8_0"
    assert known.find(parse("org/name:Q4_K_M")).quant == "Q4_K_M"
    assert known.with_record(record("Q4_K_M")).find(parse("org/name")).quant == "Q4_K_M"
    assert known.find(parse("org/name@v1")) is None
    assert known.find(parse("org/name:m-Q8_0.gguf")).quant == "Q8_0"


@pytest.mark.parametrize(
    "text", ["", "[]", '{"version": 2}', '{"version": 1, "extra": 1}', '{"models": [{}]}', "\xff"]
)
def test_damaged_file_error_says_how_to_fix_it(tmp_path, text):
    path = tmp_path / "models.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(UsageError, match="is damaged: .*; remove it"):
        load(path)


def test_failed_write_preserves_old_file(tmp_path, monkeypatch):
    path = tmp_path / "models.json"
    save(path, Registry(aliases={"old": "org/name"}))
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space")))
    with pytest.raises(OutputError, match="no space"):
        save(path, Registry())
    monkeypatch.undo()
    assert load(path).aliases == {"old": "org/name"}
    assert [p.name for p in tmp_path.iterdir()] == ["models.json"]


def test_held_lock_times_out(tmp_path):
    path = tmp_path / "models.json"
    with lock(path):
        process = multiprocessing.get_context("spawn").Process(target=_try_lock, args=(path,))
        process.start()
        process.join(30)
    assert process.exitcode == 18


def _try_lock(path):
    try:
        with lock(path, timeout_seconds=0.1):
            raise SystemExit(0)
    except LockedError as exc:
        raise SystemExit(int(exc.exit_code)) from None


def test_eight_concurrent_writers_lose_no_data(tmp_path):
    path = tmp_path / "models.json"
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_add, args=(path, i)) for i in range(8)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    assert json.loads(path.read_text())["aliases"] == {f"a{i}": "org/name" for i in range(8)}


def _add(path, index):
    with lock(path):
        known = load(path)
        save(path, Registry(aliases={**known.aliases, f"a{index}": "org/name"}))
