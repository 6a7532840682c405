"""The requests of a task for a batch file, which has one request for text per record."""

from __future__ import annotations

from collections.abc import Iterator

from llmtool.batch.readers import Reader
from llmtool.batch.request_files import MANY_REQUESTS, labels_error
from llmtool.engine.types import Failed, Request
from llmtool.errors import LlmtoolError, UsageError
from llmtool.option_names import option
from llmtool.tasks.pipeline.prepare import PreparedTask
from llmtool.tasks.pipeline.records import BatchTask, RecordMapping


def requests_of(
    task: BatchTask,
    mapping: RecordMapping,
    reader: Reader,
    *,
    limit: int | None = None,
    seed: int | None = None,
) -> Iterator[Request | Failed]:
    """Yield the request of each record, or a `Failed` with its error.

    Raises:
        UsageError: the task needs scores, or several requests per record.
    """
    if not isinstance(task, PreparedTask):
        is_scored = mapping.template.task == "classify" or mapping.template.output.kind == "labels"
        raise labels_error() if is_scored else UsageError(MANY_REQUESTS)
    if task.options.retries:
        raise UsageError(
            f"{option('retries')} repeats requests after invalid replies, which a batch file "
            "cannot; omit it"
        )
    if task.abstains:
        raise UsageError(
            f"template {task.template.name!r} compares the probabilities of replies (abstain), "
            "which batch APIs do not report; use a copy of it without `abstain`"
        )
    for record in reader.wait_for_records():
        if limit is not None and record.index >= limit:
            return
        case = mapping.case(record, seed=seed)
        if isinstance(case, Failed):
            yield case
            continue
        try:
            yield task.request(case)
        except LlmtoolError as exc:
            yield Failed(record.index, exc)
