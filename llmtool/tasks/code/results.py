"""The results of tasks on code."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from llmtool.engine.types import FinishReason, Usage
from llmtool.short_repr import short_repr
from llmtool.tasks.results import Result, TestRun
from llmtool.text.grammars import Diagnostic
from llmtool.text.syntax import Status

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")  # most severe first


class Code(Result, frozen=True, kw_only=True):
    """The result of `write_code` and related functions.

    `status` is "ok" if the code parses and passes the tests, if any, "error" if it does not, and
    "unchecked" without a parser for the language. `diagnostics` are the errors, `rounds` counts
    repairs, and `formatter` is the name of the program that formatted the code.
    """

    language: str | None
    status: Status
    rounds: int = 0
    diagnostics: tuple[Diagnostic, ...] = ()
    formatter: str | None = None
    tests: TestRun | None = None
    model: str
    usage: Usage
    seconds: float
    finish_reason: FinishReason
    seed: int
    warnings: tuple[str, ...] = ()

    __repr__ = short_repr("text", "language", "status")

    def _repr_markdown_(self) -> str:
        from llmtool.text.notebook import code_block

        return code_block(self.text, self.language)

    def row(self) -> dict[str, Any]:
        """Return `text`, `language`, `status`, `rounds`."""
        return {
            "text": self.text,
            "language": self.language,
            "status": self.status,
            "rounds": self.rounds,
        }


class Fix(Code, frozen=True, kw_only=True):
    """The result of `fix_code`: `text` is the fixed code, `diff` the patch, as `str(fix)`."""

    diff: str

    def __str__(self) -> str:
        return self.diff

    def _repr_markdown_(self) -> str:
        from llmtool.text.notebook import code_block

        return code_block(self.diff, "diff")


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """A finding on a line of a changed file; lines are those of the new version."""

    path: str
    line: int
    severity: Severity
    message: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.severity}: {self.message}"

    __repr__ = short_repr("path", "line", "severity", "message")


class SkippedFile(msgspec.Struct, frozen=True, kw_only=True):
    """A changed file whose content the model did not see, and the reason."""

    path: str
    reason: str


class Review(Result, frozen=True, kw_only=True):
    """The result of `review_code`: findings sorted by file and line; `text` has one per line.

    `n_parts` counts the parts in which the diff was reviewed, `n_failed` those that failed.
    `n_omitted` counts the added lines that were not reviewed because of `max_parts`.
    """

    findings: tuple[Finding, ...]
    skipped: tuple[SkippedFile, ...] = ()
    n_parts: int
    n_failed: int = 0
    n_omitted: int = 0
    model: str
    usage: Usage
    seconds: float
    warnings: tuple[str, ...] = ()

    def _repr_markdown_(self) -> str:
        from llmtool.text.notebook import table

        rows = [(f"{f.path}:{f.line}", f.severity, f.message) for f in self.findings]
        return table(("place", "severity", "message"), rows)

    def row(self) -> dict[str, Any]:
        """Return `findings`."""
        return {"findings": msgspec.to_builtins(self.findings)}


class CommitMessage(Result, frozen=True, kw_only=True):
    """The result of `commit_message`: `text` is the subject, and the body if requested."""

    subject: str
    body: str = ""
    skipped: tuple[SkippedFile, ...] = ()
    model: str
    usage: Usage
    seconds: float
    warnings: tuple[str, ...] = ()

    __repr__ = short_repr("subject")

    def _repr_markdown_(self) -> str:
        from llmtool.text.notebook import code_block

        return code_block(self.text)

    def row(self) -> dict[str, Any]:
        """Return `subject` and `body`."""
        return {"subject": self.subject, "body": self.body}
