"""Write the commit message of a diff of any size: one subject per part, merged into one."""

from __future__ import annotations

import time

from llmtool.engine.types import Engine, Failed, Request
from llmtool.errors import InputError
from llmtool.tasks.code.diffs import FileDiff, parse_diff, split_file_diff
from llmtool.tasks.code.results import CommitMessage, SkippedFile
from llmtool.tasks.pipeline.prepare import Case, PreparedTask, fits_context
from llmtool.tasks.results import Generation, total_usage

MAX_SUBJECT = 72  # characters, the usual limit of git's tools


class CommitMessageWriter:
    """Writes commit messages with up to three templates.

    Args:
        one: writes the subject of a diff.
        merge: merges several subjects into one.
        body: lists the changes; None writes no body.
    """

    def __init__(
        self,
        engine: Engine,
        one: PreparedTask,
        merge: PreparedTask,
        body: PreparedTask | None = None,
    ) -> None:
        self._engine, self._one, self._merge, self._body = engine, one, merge, body
        self._replies: list[Generation] = []

    def write(self, diff: str) -> CommitMessage:
        """Return the message of a diff.

        Of lock files, generated files and binary files, the model only sees the names.

        Raises:
            InputError: the diff has no changes.
            LlmtoolError: a part failed.
        """
        started = time.perf_counter()
        files = parse_diff(diff)
        if not files:
            raise InputError("no changes to describe; the input must be a unified diff")
        text = "".join(map(_describe, files))
        subjects: list[str] = []
        n_parts = 1
        if fits_context(self._engine, self._request(self._one, "diff", text)):
            subject = self._generate(self._one, "diff", [text])[0]
        else:
            parts = [
                part
                for file in files
                for part in (
                    [_describe(file)]
                    if file.skip_reason
                    else [p.text for p in split_file_diff(file, fits=self._fits_one)]
                )
            ]
            n_parts = len(parts)
            subjects = self._generate(self._one, "diff", parts)
            subject = self._reduce(subjects)
        body = ""
        if self._body is not None:
            body = self._write_body(subject, text, subjects)
        return CommitMessage(
            text=f"{subject}\n\n{body}" if body else subject,
            subject=subject,
            body=body,
            skipped=tuple(
                SkippedFile(path=f.path, reason=f.skip_reason) for f in files if f.skip_reason
            ),
            n_parts=n_parts,
            model=self._one.model,
            usage=total_usage(reply.usage for reply in self._replies),
            seconds=time.perf_counter() - started,
            warnings=tuple(dict.fromkeys(w for r in self._replies for w in r.warnings)),
        )

    def _fits_one(self, part: FileDiff) -> bool:
        return fits_context(self._engine, self._request(self._one, "diff", part.text))

    def _reduce(self, subjects: list[str]) -> str:
        """Merge subjects into one, in halves first if they do not fit into a prompt."""
        unique = list(dict.fromkeys(subjects))
        if len(unique) == 1:
            return unique[0]
        text = "\n".join(unique)
        if len(unique) > 2 and not fits_context(
            self._engine, self._request(self._merge, "changes", text)
        ):
            middle = len(unique) // 2
            halves = [self._reduce(unique[:middle]), self._reduce(unique[middle:])]
            text = "\n".join(dict.fromkeys(halves))
        return self._generate(self._merge, "changes", [text])[0]

    def _write_body(self, subject: str, text: str, subjects: list[str]) -> str:
        assert self._body is not None
        changes = "\n".join(dict.fromkeys(subjects)) if subjects else text
        return self._generate(self._body, "diff", [changes], {"subject": subject})[0]

    def _request(
        self,
        prepared: PreparedTask,
        name: str,
        text: str,
        fixed: dict[str, str] | None = None,
        id: int = 0,
    ) -> Request:
        return prepared.request(Case(id=id, variables={name: text, **(fixed or {})}))

    def _generate(
        self,
        prepared: PreparedTask,
        name: str,
        texts: list[str],
        fixed: dict[str, str] | None = None,
    ) -> list[str]:
        requests = (self._request(prepared, name, t, fixed, i) for i, t in enumerate(texts))
        found = []
        for outcome in prepared.answer(self._engine, requests):
            if isinstance(outcome, Failed):
                raise outcome.error
            self._replies.append(outcome)
            found.append(drop_partial_words(outcome.text.strip(), MAX_SUBJECT))
        return found


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


def _describe(file: FileDiff) -> str:
    if not file.skip_reason:
        return file.text
    return (
        f"--- a/{file.path}\n+++ b/{file.path}\n"
        f"({file.skip_reason}: {file.n_added} lines added, {file.n_removed} removed)\n"
    )
