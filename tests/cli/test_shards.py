"""`--shard` and `batch merge` through the command."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from command import error_line

Run = Callable[..., subprocess.CompletedProcess[bytes]]
N_SHARDS = 3
RECORDS = b"".join(b'{"id": %d, "text": "go on %d"}\n' % (n, n % 10) for n in range(12))
LABELS = ("classify", "-l", "good,bad")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "cwd"
    (folder / "in.jsonl").write_bytes(RECORDS + b'{"id": 12, "text": ""}\n')
    return folder


def run_shards(run: Run, tiny: Path, *words: str) -> list[str]:
    names = []
    for k in range(1, N_SHARDS + 1):
        names.append(f"{k}.jsonl")
        done = run(*words, "-m", tiny, "--shard", f"{k}/{N_SHARDS}", "-o", names[-1])
        assert done.returncode in (0, 3), done.stderr.decode()
    return names


@pytest.mark.parametrize(
    "command", [("gen", "Say", "--max-tokens", "3", "--temperature", "0"), LABELS]
)
def test_merged_shards_are_the_file_of_a_single_run(
    run_llmtool: Run, tiny: Path, folder: Path, command: tuple[str, ...]
) -> None:
    words = (*command, "--each", "jsonl", "-f", "in.jsonl", "--reproducible")
    assert run_llmtool(*words, "-m", tiny, "-o", "single.jsonl").returncode == 3
    names = run_shards(run_llmtool, tiny, *words)
    result = run_llmtool("batch", "merge", *names, "-o", "all.jsonl")
    assert "1 of 13 records failed" in error_line(result, 3)
    single = (folder / "single.jsonl").read_bytes()
    assert (folder / "all.jsonl").read_bytes() == single
    assert run_llmtool("batch", "merge", *names).stdout == single


def test_shards_of_standard_input_and_of_csv_lines(run_llmtool: Run, tiny: Path, cwd: Path) -> None:
    words = ("gen", "Say", "--max-tokens", "2", "--seed", "1", "--each", "line", "--reproducible")
    lines = b"".join(b"line %d\n" % n for n in range(9))
    names = []
    for k in (1, 2):
        names.append(f"{k}.csv")
        options = ("-m", tiny, "--shard", f"{k}/2", "-o", names[-1])
        assert run_llmtool(*words, *options, input=lines).returncode == 0
    assert run_llmtool(*words, "-m", tiny, "-o", "single.csv", input=lines).returncode == 0
    merged = run_llmtool("batch", "merge", *names)
    assert merged.stdout == (cwd / "single.csv").read_bytes()


def test_merge_writes_nothing_if_a_record_is_missing(
    run_llmtool: Run, tiny: Path, folder: Path
) -> None:
    words = (*LABELS, "--each", "jsonl", "-f", "in.jsonl")
    names = run_shards(run_llmtool, tiny, *words)
    result = run_llmtool("batch", "merge", *names[1:], "-o", "all.jsonl")
    assert "no file of shard 1/3" in error_line(result, 14)
    assert not (folder / "all.jsonl").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--shard", "0/4"), "--shard 0/4: must be K/N with K from 1 to N, such as 3/16"),
        (("--shard", "5/4"), "--shard 5/4: must be K/N"),
        (("--shard", "x"), "--shard x: must be K/N"),
        (("--shard", "1/0"), "--shard 1/0: must be K/N"),
        (("--shard", "1/2"), "--shard needs an output file to merge; add -o FILE"),
        (("--shard", "1/2", "-o", "out.txt"), "--shard cannot merge plain text output"),
    ],
)
def test_reject(run_llmtool: Run, tiny: Path, words: tuple[str, ...], message: str) -> None:
    result = run_llmtool("gen", "Say", "--each", "line", "-m", tiny, *words, input=b"a\n")
    assert message in error_line(result, 2)


def test_reject_shards_of_balanced_labels_and_of_a_single_text(
    run_llmtool: Run, tiny: Path, folder: Path
) -> None:
    shard = ("--shard", "1/2", "-m", tiny)
    batch = (*LABELS, "--balanced", "--each", "jsonl", "-f", "in.jsonl", "-o", "1.jsonl", *shard)
    assert "--balanced and --shard" in error_line(run_llmtool(*batch), 2)
    assert "--shard needs a batch" in error_line(run_llmtool("gen", "Say", *shard), 2)


def test_reject_a_merged_file_of_another_format(run_llmtool: Run, tiny: Path, folder: Path) -> None:
    names = run_shards(run_llmtool, tiny, *LABELS, "--each", "jsonl", "-f", "in.jsonl")
    result = run_llmtool("batch", "merge", *names, "-o", "all.csv")
    assert "this batch writes JSON lines" in error_line(result, 2)


def test_dry_run_shows_the_first_record_of_the_shard(
    run_llmtool: Run, tiny: Path, folder: Path
) -> None:
    words = ("gen", "Say", "--each", "jsonl", "-f", "in.jsonl", "--dry-run", "-m", tiny)
    shown = {run_llmtool(*words, "--shard", f"{k}/3").stdout for k in (1, 2, 3)}
    assert len(shown) == 3


def test_output_without_its_option_is_suggested(run_llmtool: Run, cwd: Path) -> None:
    (cwd / "part.jsonl").touch()
    result = run_llmtool("batch", "merge", "all.jsonl", "part.jsonl")
    message = "llmtool: all.jsonl: no such file; to write it, use -o all.jsonl"
    assert error_line(result, 2) == message
