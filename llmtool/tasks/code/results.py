"""What `write_code` and its relatives return."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from llmtool.engine.types import FinishReason, Usage
from llmtool.tasks.results import Result, TestRun
from llmtool.text.syntax import Diagnostic, Status

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")  # the worst first


class Code(Result, frozen=True, kw_only=True):
    """What `write_code` and its relatives return; in JSON the text is called `code`.

    `status` is "ok" when the code parses (and the tests passed, where there were any), "error" when
    not, "unchecked" when nothing here can read the language, and `diagnostics` say what is wrong.
    `rounds` counts the repairs that were tried, `formatter` names what laid the code out.
    """

    text: str = msgspec.field(name="code")
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

    @property
    def code(self) -> str:
        return self.text

    def row(self) -> dict[str, Any]:
        """Return `code`, `language`, `status`, `rounds`."""
        return {
            "code": self.text,
            "language": self.language,
            "status": self.status,
            "rounds": self.rounds,
        }


class Fix(Code, frozen=True, kw_only=True):
    """What `fix_code` returns: the mended code, and `diff`, the patch that leads to it.

    `str()` of it is the patch, which is empty where nothing was changed.
    """

    diff: str

    def __str__(self) -> str:
        return self.diff


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """A remark on a line of a changed file, as it is after the change."""

    path: str
    line: int
    severity: Severity
    message: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.severity}: {self.message}"


class SkippedFile(msgspec.Struct, frozen=True, kw_only=True):
    """A changed file that the model did not see, and why."""

    path: str
    reason: str


class Review(Result, frozen=True, kw_only=True):
    """What `review_code` returns: `findings` by file and line; `text` has one a line.

    `n_parts` is how many pieces the diff was read in, `n_failed` how many could not be reviewed.
    """

    findings: tuple[Finding, ...]
    left_out: tuple[SkippedFile, ...] = ()
    n_parts: int
    n_failed: int = 0
    model: str
    usage: Usage
    seconds: float
    warnings: tuple[str, ...] = ()

    def row(self) -> dict[str, Any]:
        """Return `findings`."""
        return {"findings": msgspec.to_builtins(self.findings)}


class CommitMessage(Result, frozen=True, kw_only=True):
    """What `commit_message` returns: `text` is the subject and, where asked for, the body."""

    subject: str
    body: str = ""
    left_out: tuple[SkippedFile, ...] = ()
    n_parts: int = 1
    model: str
    usage: Usage
    seconds: float
    warnings: tuple[str, ...] = ()

    def row(self) -> dict[str, Any]:
        """Return `subject` and `body`."""
        return {"subject": self.subject, "body": self.body}
