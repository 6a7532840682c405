"""Write the commit message of a diff of any size from one prompt of limited length."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Callable, Sequence

from llmtool.engine.types import Engine, Failed, Request
from llmtool.errors import InputError
from llmtool.tasks.code.diffs import FileDiff, Hunk, parse_diff, split_hunk
from llmtool.tasks.code.results import CommitMessage, SkippedFile
from llmtool.tasks.pipeline.prepare import Case, PreparedTask, fits_context
from llmtool.tasks.results import total_usage

MAX_SUBJECT = 72  # characters, the usual limit of git's tools
MAX_PROMPT_TOKENS = 2048  # limits the time that a commit waits
_MAX_LISTED = 30  # files
_MAX_PIECE_LINES = 20
_MAX_LINE = 200  # characters
_LONG_SUBJECT = "~!" * (MAX_SUBJECT // 2)  # of many tokens, to reserve room for the subject


def write_commit_message(
    engine: Engine, one: PreparedTask, body: PreparedTask | None, diff: str
) -> CommitMessage:
    """Return the message of a diff.

    Of lock files, generated files and binary files, the model only sees the names, and of a long
    diff a list of the files and the largest changes in each.

    Args:
        one: writes the subject.
        body: lists the changes; None writes no body.

    Raises:
        InputError: the diff has no changes.
        LlmtoolError: a request failed.
    """
    started = time.perf_counter()
    files = parse_diff(diff)
    if not files:
        raise InputError("no changes to describe; the input must be a unified diff")
    tasks = [one] if body is None else [one, body]

    def fits(text: str) -> bool:
        requests = (_request(task, text, _LONG_SUBJECT) for task in tasks)
        return all(fits_context(engine, r, max_prompt_tokens=MAX_PROMPT_TOKENS) for r in requests)

    text, omitted = shorten_diff(files, fits=fits)
    replies, lines = [], [""]
    for task in tasks:
        (outcome,) = task.answer(engine, [_request(task, text, lines[-1])])
        if isinstance(outcome, Failed):
            raise outcome.error
        replies.append(outcome)
        lines.append(drop_partial_words(outcome.text.strip(), MAX_SUBJECT))
    warnings = [*omitted, *(warning for reply in replies for warning in reply.warnings)]
    return CommitMessage(
        text="\n\n".join(filter(None, lines)),
        subject=lines[1],
        body="".join(lines[2:]),
        skipped=tuple(
            SkippedFile(path=f.path, reason=f.skip_reason) for f in files if f.skip_reason
        ),
        model=one.model,
        usage=total_usage(reply.usage for reply in replies),
        seconds=time.perf_counter() - started,
        warnings=tuple(dict.fromkeys(warnings)),
    )


def count_changed_lines(diff: str) -> int:
    """Return how many lines a diff adds and removes, except in files that are only named."""
    return sum(f.n_added + f.n_removed for f in parse_diff(diff) if not f.skip_reason)


def _request(task: PreparedTask, text: str, subject: str) -> Request:
    values = {"diff": text, "subject": subject}
    known = {name: value for name, value in values.items() if name in task.template.inputs}
    return task.request(Case(variables=known))


def shorten_diff(
    files: Sequence[FileDiff], *, fits: Callable[[str], bool]
) -> tuple[str, list[str]]:
    """Return the text of a diff that fits into a prompt, and warnings about what it lacks.

    If the whole text does not fit, the result has a list of the files, and as many changes as
    fit: first the start of the largest hunk of each file.
    """
    whole = "".join(map(_describe, files))
    if fits(whole):
        return whole, []
    ranked: list[tuple[int, int, int, Hunk]] = []
    for i, file in enumerate(files):
        hunks = () if file.skip_reason else file.hunks
        sized = sorted(((-hunk.n_changed, hunk) for hunk in hunks), key=lambda each: each[0])
        for rank, (size, hunk) in enumerate(sized):
            for j, piece in enumerate(split_hunk(hunk, fits=_is_short)):
                ranked.append((rank + j, size, i, piece))
    ranked.sort(key=lambda each: each[:3])
    overview = _overview(files)

    def render(n: int) -> str:
        chosen: dict[int, list[Hunk]] = {}
        for _, _, i, hunk in ranked[:n]:
            chosen.setdefault(i, []).append(hunk)
        shown = "".join(
            _with_hunks(files[i], sorted(hunks, key=lambda hunk: hunk.first))
            for i, hunks in sorted(chosen.items())
        )
        return f"{overview}\n{shown}"

    n = bisect_left(range(1, len(ranked) + 1), True, key=lambda n: not fits(render(n)))
    if n == len(ranked):
        return render(n), []
    return render(n), [f"the diff is long; the model read {n:,} of its {len(ranked):,} parts"]


def _is_short(hunk: Hunk) -> bool:
    return hunk.body.count("\n") <= _MAX_PIECE_LINES


def _with_hunks(file: FileDiff, hunks: Sequence[Hunk]) -> str:
    lines = f"--- a/{file.path}\n+++ b/{file.path}\n" + "".join(hunk.text for hunk in hunks)
    return "".join(f"{line[:_MAX_LINE]}\n" for line in lines.split("\n")[:-1])


def _overview(files: Sequence[FileDiff]) -> str:
    """Return a list of the files with the most changes, and how many others there are."""
    largest = sorted(files, key=lambda file: -(file.n_added + file.n_removed))
    lines = [
        "; ".join([f"{f.path}: {_size(f)}", *filter(None, [*f.notes, f.skip_reason])])
        for f in largest[:_MAX_LISTED]
    ]
    if len(files) > _MAX_LISTED:
        lines.append(f"and {len(files) - _MAX_LISTED:,} more files")
    return "".join(f"{line[:_MAX_LINE]}\n" for line in lines)


def _describe(file: FileDiff) -> str:
    if not file.skip_reason:
        return file.text
    return f"--- a/{file.path}\n+++ b/{file.path}\n({file.skip_reason}: {_size(file)})\n"


def _size(file: FileDiff) -> str:
    return f"{file.n_added} lines added, {file.n_removed} removed"


def drop_partial_words(text: str, limit: int) -> str:
    """Remove the last word, which may be incomplete, from each line that has reached the limit.

    A model with a grammar for the length of a line can stop in the middle of a word.

    Example:
        >>> drop_partial_words("fix: wait for the ser", 21), drop_partial_words("fix: wait", 21)
        ('fix: wait for the', 'fix: wait')
    """
    return "\n".join(
        line.rsplit(" ", 1)[0] if len(line) >= limit and line.count(" ") > 2 else line
        for line in text.splitlines()
    )
