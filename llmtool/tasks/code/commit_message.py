"""Write the commit message of a diff of any size: parts to subjects, and those to one."""

from __future__ import annotations

import time

from llmtool.engine.types import Engine, Failed, Request
from llmtool.errors import InputError
from llmtool.tasks.code.diffs import FileDiff, parse_diff, parts_of
from llmtool.tasks.code.results import CommitMessage, SkippedFile
from llmtool.tasks.pipeline.prepare import Case, PreparedTask, fits_context
from llmtool.tasks.results import Generation, total_usage

MAX_SUBJECT = 72  # characters, as git's own tools show them


class CommitMessageWriter:
    """Writes a commit message with three templates.

    Args:
        one: makes the subject of a diff.
        merge: makes one subject of several.
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

        Lock files, generated files and binaries only count by their names.

        Raises:
            InputError: the diff changes nothing.
            LlmtoolError: a part failed.
        """
        started = time.perf_counter()
        files = parse_diff(diff)
        if not files:
            raise InputError("there is no change to write a message for")
        text = "".join(map(_describe, files))
        subjects: list[str] = []
        n_parts = 1
        if fits_context(self._engine, self._request(self._one, "diff", text)):
            subject = self._ask(self._one, "diff", [text])[0]
        else:
            parts = [
                part
                for file in files
                for part in (
                    [_describe(file)]
                    if file.left_out
                    else [p.text for p in parts_of(file, fits=self._fits_one)]
                )
            ]
            n_parts = len(parts)
            subjects = self._ask(self._one, "diff", parts)
            subject = self._reduce(subjects)
        body = ""
        if self._body is not None:
            body = self._write_body(subject, text, subjects)
        return CommitMessage(
            text=f"{subject}\n\n{body}" if body else subject,
            subject=subject,
            body=body,
            left_out=tuple(
                SkippedFile(path=f.path, reason=f.left_out) for f in files if f.left_out
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
        """Merge subjects into one; halve them first if they do not fit into one prompt."""
        known = list(dict.fromkeys(subjects))
        if len(known) == 1:
            return known[0]
        text = "\n".join(known)
        if len(known) > 2 and not fits_context(
            self._engine, self._request(self._merge, "changes", text)
        ):
            middle = len(known) // 2
            halves = [self._reduce(known[:middle]), self._reduce(known[middle:])]
            text = "\n".join(dict.fromkeys(halves))
        return self._ask(self._merge, "changes", [text])[0]

    def _write_body(self, subject: str, text: str, subjects: list[str]) -> str:
        assert self._body is not None
        changes = "\n".join(dict.fromkeys(subjects)) if subjects else text
        return self._ask(self._body, "diff", [changes], {"subject": subject})[0]

    def _request(
        self,
        prepared: PreparedTask,
        name: str,
        text: str,
        fixed: dict[str, str] | None = None,
        id: int = 0,
    ) -> Request:
        return prepared.request(Case(id=id, variables={name: text, **(fixed or {})}))

    def _ask(
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
            found.append(whole_words(outcome.text.strip(), MAX_SUBJECT))
        return found


def whole_words(text: str, limit: int) -> str:
    """Remove the last word of each line that has reached the limit, where it may be cut.

    A grammar that limits a line lets a model fill it up to the last character.

    Example:
        >>> whole_words("fix: wait for the ser", 21), whole_words("fix: wait", 21)
        ('fix: wait for the', 'fix: wait')
    """
    return "\n".join(
        line.rsplit(" ", 1)[0] if len(line) >= limit and line.count(" ") > 2 else line
        for line in text.splitlines()
    )


def _describe(file: FileDiff) -> str:
    if not file.left_out:
        return file.text
    return (
        f"--- a/{file.path}\n+++ b/{file.path}\n"
        f"({file.left_out}: {file.n_added} lines added, {file.n_removed} removed)\n"
    )
