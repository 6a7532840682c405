"""Shards: which records they contain, and how their files are merged."""

from __future__ import annotations

import csv
import json
import random
import tracemalloc
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path

import pytest

from llmtool.batch import merge as merging
from llmtool.batch.merge import merge_shards
from llmtool.batch.readers import Format, Reader, Record
from llmtool.batch.runner import BatchOptions, BatchRunner
from llmtool.batch.shards import Shard
from llmtool.batch.writers import OutputFormat
from llmtool.config import Folders, Settings
from llmtool.engine.scripted import ScriptedEngine
from llmtool.errors import InputError, LlmtoolError, LockedError, UsageError
from llmtool.toolbox import Toolbox

N_SHARDS = 3
N_RECORDS = 40


@pytest.fixture
def box(tmp_path: Path) -> Toolbox:
    folders = Folders(
        config=tmp_path / "config",
        data=tmp_path / "data",
        cache=tmp_path / "cache",
        hub_cache=tmp_path / "hub",
    )
    engine = ScriptedEngine(lambda prompt: f'"{prompt.strip()[-6:]}",\n')
    return Toolbox(engine=engine, folders=folders, settings=Settings(), environ={})


def write_source(path: Path, each: str, n_records: int = N_RECORDS) -> Path:
    """Write records, every seventh without text, and some with a line end."""
    rows = [
        {"id": str(i), "text": f'say\n"{i}"' if i % 5 == 1 else f"say {i}" if i % 7 else ""}
        for i in range(n_records)
    ]
    with path.open("w", newline="") as file:
        if each == "csv":
            writer = csv.DictWriter(file, ["id", "text"])
            writer.writeheader()
            writer.writerows(rows)
        else:
            file.writelines(json.dumps(row) + "\n" for row in rows)
    return path


def run(
    box: Toolbox,
    source: Path | Sequence[str],
    output: Path,
    *,
    each: Format = "jsonl",
    format: OutputFormat = "jsonl",
    shard: Shard | None = None,
    template: str = "gen",
    stop_after: int | None = None,
    **options: bool | int,
) -> Path:
    paths = [str(source)] if isinstance(source, Path) else source
    field = "text" if each in ("jsonl", "csv") else None
    reader = Reader(each, paths, shard=shard)
    made = BatchOptions(output=output, format=format, **options)  # type: ignore[arg-type]
    rows = box.prepare_batch(template, reader, made, field=field, options={"seed": 1}).run()
    for number, _ in enumerate(rows, 1):
        if number == stop_after:
            rows.close()
            break
    return output


def run_shards(box: Toolbox, source: Path, folder: Path, n: int, **options: object) -> list[str]:
    suffix = options.get("format", "jsonl")
    return [
        str(run(box, source, folder / f"{k}.{suffix}", shard=Shard(k, n), **options))  # type: ignore[arg-type]
        for k in range(1, n + 1)
    ]


def merged(paths: Sequence[str]) -> bytes:
    return b"".join(merge_shards(paths).lines())


@pytest.mark.parametrize(
    ("each", "format"), [("jsonl", "jsonl"), ("csv", "csv"), ("csv", "jsonl"), ("line", "csv")]
)
def test_merged_shards_are_the_bytes_of_a_single_run(
    box: Toolbox, tmp_path: Path, each: Format, format: OutputFormat
) -> None:
    source = write_source(tmp_path / "in", each)
    single = run(box, source, tmp_path / "single", each=each, format=format)
    paths = run_shards(box, source, tmp_path, N_SHARDS, each=each, format=format)
    assert all(Path(path).read_bytes().count(b"\n") > 2 for path in paths)
    random.Random(1).shuffle(paths)
    assert merged(paths) == single.read_bytes()


def test_files_are_assigned_by_name_and_only_those_of_the_shard_are_read(
    box: Toolbox, tmp_path: Path
) -> None:
    names = []
    for i in range(12):
        (tmp_path / f"{i}.txt").write_text(f"text {i}")
        names.append(str(tmp_path / f"{i}.txt"))
    seen: list[str] = []

    def read(path: str) -> tuple[bytes, str]:
        seen.append(path)
        return b"", Path(path).read_text()

    shards = [Reader("file", names, shard=Shard(k, 2), read=read) for k in (1, 2)]
    expected = [shard.n_expected for shard in shards]
    records = [[record for record in shard if record] for shard in shards]
    assert sorted(seen) == sorted(names)
    assert [len(each) for each in records] == expected
    assert sorted(record.index for each in records for record in each) == list(range(12))
    assert [shard.n_records for shard in shards] == [12, 12]


def shard_of(source: Path, n: int = 4) -> dict[bytes, set[int]]:
    """Return the shards in which each record of a source is found, by its digest."""
    found: dict[bytes, set[int]] = {}
    for k in range(1, n + 1):
        for record in Reader("jsonl", [str(source)], shard=Shard(k, n)):
            assert isinstance(record, Record)
            found.setdefault(record.digest, set()).add(k)
    return found


def test_a_record_keeps_its_shard_if_others_are_added_sorted_or_repeated(tmp_path: Path) -> None:
    source = write_source(tmp_path / "in", "jsonl")
    before = shard_of(source)
    assert len(before) == N_RECORDS and {len(shards) for shards in before.values()} == {1}
    lines = source.read_text().splitlines(keepends=True)
    source.write_text("".join([*lines[::-1], '{"text": "new"}\n', lines[0], lines[0]]))
    after = shard_of(source)
    assert all(after[digest] == shards for digest, shards in before.items())


def test_limit_counts_the_records_of_all_shards(box: Toolbox, tmp_path: Path) -> None:
    source = write_source(tmp_path / "in", "jsonl")
    single = run(box, source, tmp_path / "single", limit=17)
    assert merged(run_shards(box, source, tmp_path, N_SHARDS, limit=17)) == single.read_bytes()


def test_a_shard_whose_limit_is_raised_continues(box: Toolbox, tmp_path: Path) -> None:
    source = write_source(tmp_path / "in", "jsonl")
    single = run(box, source, tmp_path / "single")
    run_shards(box, source, tmp_path, N_SHARDS, limit=17)
    paths = run_shards(box, source, tmp_path, N_SHARDS, resume=True)
    assert merged(paths) == single.read_bytes()


@pytest.mark.parametrize("format", ["jsonl", "csv"])
def test_a_shard_that_is_cut_at_any_row_resumes_to_the_same_file(
    box: Toolbox, tmp_path: Path, format: OutputFormat
) -> None:
    source = write_source(tmp_path / "in", "csv")
    shard = Shard(2, N_SHARDS)
    whole = run(box, source, tmp_path / "whole", each="csv", format=format, shard=shard)
    expected = whole.read_bytes()
    cut = tmp_path / "cut"
    for end in range(0, len(expected) + 1, 13):
        cut.write_bytes(expected[:end])
        run(box, source, cut, each="csv", format=format, shard=shard, resume=True)
        assert cut.read_bytes() == expected


def test_retried_rows_of_a_shard_keep_their_places(box: Toolbox, tmp_path: Path) -> None:
    source = write_source(tmp_path / "in", "jsonl")
    paths = run_shards(box, source, tmp_path, N_SHARDS)
    assert merge_shards(paths).n_failed == 5
    source.write_text(source.read_text().replace('"text": ""', '"text": "now"'))
    with pytest.raises(LlmtoolError):  # other content, so possibly another shard
        run_shards(box, source, tmp_path, N_SHARDS, retry_failed=True)
        merged(paths)
    source = write_source(tmp_path / "in", "jsonl")
    paths = run_shards(box, source, tmp_path, N_SHARDS, retry_failed=True)
    assert merged(paths) == run(box, source, tmp_path / "single").read_bytes()


def test_more_shards_than_records(box: Toolbox, tmp_path: Path) -> None:
    source = write_source(tmp_path / "in", "csv", 2)
    single = run(box, source, tmp_path / "single", each="csv", format="csv")
    paths = run_shards(box, source, tmp_path, 7, each="csv", format="csv")
    assert merged(paths) == single.read_bytes()


def test_a_merged_file_can_be_resumed_and_one_of_a_shard_only_as_that_shard(
    box: Toolbox, tmp_path: Path
) -> None:
    source = write_source(tmp_path / "in", "jsonl")
    paths = run_shards(box, source, tmp_path, 2)
    whole = tmp_path / "whole"
    whole.write_bytes(merged(paths))
    before = whole.read_bytes()
    assert run(box, source, whole, resume=True).read_bytes() == before
    with pytest.raises(UsageError, match=r"output of shard 1/2; pass shard='1/2'"):
        run(box, source, Path(paths[0]), resume=True)
    with pytest.raises(UsageError, match="output of shard 1/2"):
        run(box, source, Path(paths[0]), shard=Shard(2, 2), resume=True)
    with pytest.raises(UsageError, match="not the output of a shard; omit shard="):
        run(box, source, whole, shard=Shard(2, 2), resume=True)


@pytest.mark.parametrize("text", ["0/4", "5/4", "1/0", "x", "1", "1/", "1/2/3", "-1/4", "1/999999"])
def test_reject_an_invalid_shard(text: str) -> None:
    with pytest.raises(UsageError, match=f"shard='{text}': must be K/N"):
        Shard.parse(text)


Damage = Callable[[Toolbox, Path, list[Path]], Sequence[Path]]


def omit_one(box: Toolbox, source: Path, paths: list[Path]) -> Sequence[Path]:
    return [paths[0], paths[2]]


def cut_one(box: Toolbox, source: Path, paths: list[Path]) -> Sequence[Path]:
    paths[1].write_bytes(paths[1].read_bytes()[:-40])
    return paths


def empty_one(box: Toolbox, source: Path, paths: list[Path]) -> Sequence[Path]:
    paths[1].write_bytes(b"")
    return paths


def stop_all(box: Toolbox, source: Path, paths: list[Path]) -> Sequence[Path]:
    for k, path in enumerate(paths, 1):
        run(box, source, path, shard=Shard(k, N_SHARDS), overwrite=True, stop_after=2)
    return paths


def repeat_one(box: Toolbox, source: Path, paths: list[Path]) -> Sequence[Path]:
    (paths[0].parent / "copy").write_bytes(paths[1].read_bytes())
    return [*paths, paths[0].parent / "copy"]


def mix_two(box: Toolbox, source: Path, paths: list[Path]) -> Sequence[Path]:
    paths[0].write_bytes(paths[0].read_bytes() + paths[1].read_bytes())
    return [paths[0], paths[2]]


def swap_rows(box: Toolbox, source: Path, paths: list[Path]) -> Sequence[Path]:
    first, second, *rest = paths[0].read_bytes().splitlines(keepends=True)
    paths[0].write_bytes(b"".join([second, first, *rest]))
    return paths


def other_template(box: Toolbox, source: Path, paths: list[Path]) -> Sequence[Path]:
    run(box, source, paths[1], shard=Shard(2, N_SHARDS), template="title", overwrite=True)
    return paths


def other_number(box: Toolbox, source: Path, paths: list[Path]) -> Sequence[Path]:
    run(box, source, paths[1], shard=Shard(2, N_SHARDS + 1), overwrite=True)
    return paths


def other_input(box: Toolbox, source: Path, paths: list[Path]) -> Sequence[Path]:
    source.write_text(source.read_text() + '{"text": "one more"}\n')
    run(box, source, paths[1], shard=Shard(2, N_SHARDS), overwrite=True)
    return paths


def without_shard(box: Toolbox, source: Path, paths: list[Path]) -> Sequence[Path]:
    return [paths[0], run(box, source, paths[1], overwrite=True), paths[2]]


def no_batch(box: Toolbox, source: Path, paths: list[Path]) -> Sequence[Path]:
    paths[1].write_text("a,b\n1,2\n")
    return paths


def missing_file(box: Toolbox, source: Path, paths: list[Path]) -> Sequence[Path]:
    return [*paths[:2], paths[2].with_name("none")]


DAMAGES: dict[Damage, tuple[type[LlmtoolError], str]] = {
    omit_one: (InputError, r"records of 40 missing, first \d+, \d+, \d+; no file of shard 2/3"),
    cut_one: (InputError, r"1 record of 40 missing, first \d+; incomplete: 2/3 \(.*2.jsonl\)"),
    empty_one: (InputError, r"records of 40 missing, .*; no rows in .*2.jsonl"),
    stop_all: (InputError, r"no shard is complete; incomplete: 1/3 .*, 2/3 .*, 3/3 "),
    repeat_one: (UsageError, r"2.jsonl and .*copy are both shard 2/3; omit one"),
    mix_two: (UsageError, r"1.jsonl: row \d+ has another shard"),
    swap_rows: (InputError, r"1.jsonl: row 2 is not in the order of the input"),
    other_template: (UsageError, r"2.jsonl was written with another template, model or option"),
    other_number: (UsageError, r"1.jsonl is shard 1/3 and .*2.jsonl is shard 2/4"),
    other_input: (InputError, r"jsonl had 40 records, and that of .*2.jsonl 41"),
    without_shard: (InputError, r"2.jsonl: row 1 is not that of a shard"),
    no_batch: (InputError, r"2.jsonl: row 1 is not that of a shard"),
    missing_file: (InputError, r"cannot read .*none: no such file"),
}


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_merge_reports(box: Toolbox, tmp_path: Path, damage: Damage) -> None:
    source = write_source(tmp_path / "in", "jsonl")
    paths = [Path(path) for path in run_shards(box, source, tmp_path, N_SHARDS)]
    kind, message = DAMAGES[damage]
    given = damage(box, source, paths)
    with pytest.raises(kind, match=message) as error:
        merge_shards([str(path) for path in given])
    assert "\n" not in str(error.value)


def test_merge_reports_a_record_in_two_shards(box: Toolbox, tmp_path: Path) -> None:
    source = write_source(tmp_path / "in", "jsonl")
    paths = run_shards(box, source, tmp_path, 2)
    text = source.read_text()
    for i in range(100):  # until the changed record belongs to the other shard
        source.write_text(text.replace("say 2", f"tell {i}", 1))
        run(box, source, Path(paths[1]), shard=Shard(2, 2), overwrite=True)
        try:
            merge_shards(paths)
        except InputError as exc:
            if "record 3 is in" in str(exc):
                return
    pytest.fail("no duplicate was reported")


def test_merge_rejects_an_unfinished_record(box: Toolbox, tmp_path: Path) -> None:
    source = write_source(tmp_path / "in", "jsonl")
    paths = run_shards(box, source, tmp_path, 2)
    first, *rest = Path(paths[0]).read_text().splitlines(keepends=True)
    row = json.loads(first)
    row = {**row, "error": "interrupted", "exit_code": 130, "key": row.pop("key")}
    Path(paths[0]).write_text("".join([json.dumps(row) + "\n", *rest]))
    with pytest.raises(InputError, match="1 record of 40 missing"):
        merge_shards(paths)


def test_merge_waits_for_a_batch_that_is_running(box: Toolbox, tmp_path: Path) -> None:
    source = write_source(tmp_path / "in", "jsonl")
    paths = run_shards(box, source, tmp_path, 2)
    reader = Reader("jsonl", [str(source)], shard=Shard(1, 2))
    options = BatchOptions(output=Path(paths[0]), overwrite=True)
    rows = box.prepare_batch("gen", reader, options, field="text", options={"seed": 1}).run()
    next(rows)
    with pytest.raises(LockedError, match="a batch is writing"):
        merge_shards(paths)
    rows.close()


def test_an_interrupted_shard_is_incomplete_until_it_resumes(tmp_path: Path, box: Toolbox) -> None:
    source = write_source(tmp_path / "in", "jsonl")
    single = run(box, source, tmp_path / "single").read_bytes()
    paths = run_shards(box, source, tmp_path, 2)
    run(box, source, Path(paths[0]), shard=Shard(1, 2), overwrite=True, stop_after=3)
    with pytest.raises(InputError, match=r"incomplete: 1/2"):
        merge_shards(paths)
    run(box, source, Path(paths[0]), shard=Shard(1, 2), resume=True)
    assert merged(paths) == single


def test_lines_longer_than_a_block(
    box: Toolbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(merging, "_BLOCK_BYTES", 16)
    source = write_source(tmp_path / "in", "csv")
    single = run(box, source, tmp_path / "single", each="csv", format="csv")
    paths = run_shards(box, source, tmp_path, N_SHARDS, each="csv", format="csv")
    assert merged(paths) == single.read_bytes()


def write_long_shards(folder: Path, n_rows: int, n: int) -> list[str]:
    """Write shard files as a batch does, without a model."""
    paths = [folder / f"{k}.jsonl" for k in range(1, n + 1)]
    files = [path.open("w") for path in paths]
    for index in range(n_rows):
        k = random.Random(index).randrange(n)
        end = f":{n_rows}" if index >= n_rows - 100 else ""
        key = f"{index:032x}:{k + 1}/{n}:{index}:9b{end}"
        files[k].write(json.dumps({"text": f"reply {index}", "key": key}) + "\n")
    for file in files:
        file.close()
    return [str(path) for path in paths]


def test_memory_does_not_grow_with_the_rows(tmp_path: Path) -> None:
    peaks = []
    for n_rows in (1_000, 20_000):
        paths = write_long_shards(tmp_path, n_rows, 8)
        tracemalloc.start()
        assert sum(1 for _ in merge_shards(paths).lines()) == n_rows
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 3_000_000


class Reply:
    """The smallest result of a task."""

    def __init__(self, text: str) -> None:
        self.text = text

    def row(self) -> dict[str, str]:
        return {"text": self.text}

    to_dict = row


def run_without_task(source: Path, output: Path, shard: Shard | None = None) -> Path:
    """Run a batch whose results cost nothing: readers, journal and keys take all the time."""

    def process(
        records: Iterator[Record | None],
    ) -> Generator[tuple[Record, Reply | LlmtoolError], None, None]:
        for record in filter(None, records):
            text = record.fields["text"]
            yield record, Reply(text[::-1]) if text else InputError("the text is empty")

    reader = Reader("jsonl", [str(source)], shard=shard)
    options = BatchOptions(output=output)
    runner = BatchRunner(reader, process, options, columns=["text"], identity={"model": b"tiny"})
    for _ in runner.run():
        pass
    return output


@pytest.mark.long
def test_100_000_rows_over_8_shards(tmp_path: Path) -> None:
    source = write_source(tmp_path / "in", "jsonl", 100_000)
    single = run_without_task(source, tmp_path / "single").read_bytes()
    assert single.count(b"\n") == 100_000
    paths = [
        str(run_without_task(source, tmp_path / f"{k}.jsonl", Shard(k, 8))) for k in range(1, 9)
    ]
    assert all(11_000 < Path(path).read_bytes().count(b"\n") < 14_000 for path in paths)
    assert merged(paths) == single
