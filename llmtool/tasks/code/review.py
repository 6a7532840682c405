"""Review the files of a diff, or the hunks of long files, and merge the findings."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from llmtool.arguments import check_range
from llmtool.engine.types import Engine, Failed, Request
from llmtool.errors import InputError, OutputValidationError
from llmtool.sizes import format_count
from llmtool.tasks.code.diffs import FileDiff, Hunk, parse_diff, split_file_diff, with_line_numbers
from llmtool.tasks.code.results import SEVERITIES, Finding, Review, SkippedFile
from llmtool.tasks.pipeline.output_spec import make_output_spec
from llmtool.tasks.pipeline.prepare import Case, PreparedTask, fits_context, with_sampling
from llmtool.tasks.results import Generation, total_usage

_ONLY_REMOVED = "only removed lines"
# Field names of a finding are repeated, so shorter repetitions are allowed.
_RETRY_SAMPLING: dict[str, Any] = {"dry_multiplier": 0.8, "dry_allowed_length": 6}
_MIN_TRIGRAMS = 5  # shorter messages can match the instructions by chance
MAX_PROMPT_TOKENS = 2048  # models find more in short parts


def review(
    engine: Engine,
    prepared: PreparedTask,
    files: Sequence[FileDiff],
    on_progress: Callable[[int, int], None] = lambda done, total: None,
    *,
    max_parts: int,
) -> Review:
    """Return the findings of a model on the files of a diff.

    A constraint limits the lines of findings to those of the part that the model sees. Equal
    findings are merged. A part with a truncated reply is retried once, and a part that fails is
    named in the warnings. `on_progress` is called after each part with the number of parts done and
    of all parts.

    Args:
        max_parts: the first parts to review; a warning reports the others.

    Raises:
        LlmtoolError: all parts failed; this is the first error.
    """
    started = time.perf_counter()
    parts, removals, rest = _split(engine, prepared, files, max_parts)
    requests = [_request(prepared, part, i) for i, part in enumerate(parts)]
    outcomes = _generate(engine, prepared, requests, lambda n: on_progress(n, len(requests)))
    failed = [each for each in outcomes if isinstance(each, Failed)]
    if failed and len(failed) == len(outcomes):
        raise failed[0].error
    done = [(p, o) for p, o in zip(parts, outcomes, strict=True) if not isinstance(o, Failed)]
    all_found = [found for part, outcome in done for found in _read(part, outcome.value)]
    instructions = prepared.template.prompt.text
    findings = _merge(
        found for found in all_found if not repeats_instructions(found.message, instructions)
    )
    warnings = dict.fromkeys(w for _, outcome in done for w in outcome.warnings)
    if any(repeats_instructions(found.message, instructions) for found in all_found):
        warnings["dropped findings that only repeat the instructions"] = None
    unreviewed = [
        (p, str(o.error)) for p, o in zip(parts, outcomes, strict=True) if isinstance(o, Failed)
    ]
    unreviewed += [(part, _ONLY_REMOVED) for part in removals]
    for part, reason in unreviewed:
        warnings[f"not reviewed: {part.path}, from line {part.hunks[0].first}: {reason}"] = None
    n_omitted = 0
    if rest is not None:
        n_omitted = sum(file.n_added for file in files if has_lines(file))
        n_omitted -= sum(part.n_added for part in parts)
        warnings[
            f"reviewed only {format_count(max_parts, 'part')} of the diff; not reviewed: "
            f"{format_count(n_omitted, 'added line')}, from {rest.path}:{rest.hunks[0].first} on"
        ] = None
    return Review(
        text="".join(f"{finding}\n" for finding in findings),
        findings=findings,
        skipped=_skipped(files),
        n_parts=len(parts),
        n_failed=len(failed),
        n_omitted=n_omitted,
        model=prepared.model,
        usage=total_usage(outcome.usage for _, outcome in done),
        seconds=time.perf_counter() - started,
        warnings=tuple(warnings),
    )


def parse_changes(diff: str) -> tuple[FileDiff, ...]:
    """Return the files of a diff; an empty diff has none.

    Raises:
        InputError: the text is not a diff.
    """
    files = tuple(map(_skip_removals, parse_diff(diff)))
    if not files and diff.strip():
        raise InputError("no changes to review; the input must be a unified diff")
    return files


def has_lines(file: FileDiff) -> bool:
    """Return whether a file has lines to review."""
    return not file.skip_reason and bool(file.hunks)


def review_of_nothing(files: Sequence[FileDiff], *, model: str) -> Review:
    """Return the review of a diff without lines to review, which needs no model."""
    return Review(
        text="",
        findings=(),
        skipped=_skipped(files),
        n_parts=0,
        model=model,
        usage=total_usage(()),
        seconds=0.0,
    )


def _skipped(files: Sequence[FileDiff]) -> tuple[SkippedFile, ...]:
    return tuple(SkippedFile(path=f.path, reason=f.skip_reason) for f in files if f.skip_reason)


def _split(
    engine: Engine, prepared: PreparedTask, files: Sequence[FileDiff], max_parts: int
) -> tuple[list[FileDiff], list[FileDiff], FileDiff | None]:
    """Return the parts to review, parts that only remove lines, and the part after the last one."""
    check_range("max_parts", max_parts, 1)

    def fits(part: FileDiff) -> bool:
        request = _request(prepared, part, 0)
        return fits_context(engine, request, max_prompt_tokens=MAX_PROMPT_TOKENS)

    parts: list[FileDiff] = []
    removals: list[FileDiff] = []
    for file in filter(has_lines, files):
        for part in split_file_diff(file, fits=fits):
            if _only_removes(part):
                removals.append(part)
            elif len(parts) == max_parts:
                return parts, removals, part
            else:
                parts.append(part)
    return parts, removals, None


def _generate(
    engine: Engine,
    prepared: PreparedTask,
    requests: list[Request],
    on_done: Callable[[int], None],
) -> list[Generation | Failed]:
    """Return the outcome of each request, and retry truncated replies.

    A truncated reply is usually a loop, which a penalty on repeated sequences prevents.
    """
    outcomes = prepared.answer(engine, requests, on_done=on_done)
    truncated = [
        i
        for i, outcome in enumerate(outcomes)
        if _is_truncated(outcome) and not requests[i].sampling.dry_multiplier
    ]
    if truncated:
        retries = (with_sampling(requests[i], **_RETRY_SAMPLING) for i in truncated)
        for i, outcome in zip(truncated, prepared.answer(engine, retries), strict=True):
            outcomes[i] = outcome
    return outcomes


def _is_truncated(outcome: Generation | Failed) -> bool:
    error = outcome.error if isinstance(outcome, Failed) else None
    reply = error.result if isinstance(error, OutputValidationError) else None
    return isinstance(reply, Generation) and reply.finish_reason == "length"


def _skip_removals(file: FileDiff) -> FileDiff:
    """Skip a file whose diff only removes lines, because a finding needs a line."""
    if file.skip_reason or not file.hunks or not _only_removes(file):
        return file
    return msgspec.structs.replace(file, skip_reason=_ONLY_REMOVED)


def _only_removes(part: FileDiff) -> bool:
    return all(hunk.only_removes for hunk in part.hunks)


def _request(prepared: PreparedTask, part: FileDiff, id: int) -> Request:
    request = prepared.request(Case(id=id, variables={"diff": with_line_numbers(part)}))
    schema = restrict_lines(prepared.template.output.json, part.hunks)
    if schema is None:
        return request
    spec = make_output_spec(schema=schema)
    assert spec is not None
    return with_sampling(request, constraint=spec.constraint)


def restrict_lines(schema: Any, hunks: tuple[Hunk, ...]) -> Any:
    """Limit the property `line` of a schema to the lines of some hunks.

    Example:
        >>> from llmtool.tasks.code.diffs import Hunk
        >>> hunk = Hunk(header="", body="", first=3, last=9)
        >>> restrict_lines({"properties": {"line": {"type": "integer"}}}, (hunk,))
        {'properties': {'line': {'type': 'integer', 'minimum': 3, 'maximum': 9}}}
    """
    shown = [hunk for hunk in hunks if not hunk.only_removes]
    if not shown:
        return schema
    if isinstance(schema, list):
        return [restrict_lines(each, hunks) for each in schema]
    if not isinstance(schema, Mapping):
        return schema
    ranges = [{"type": "integer", "minimum": h.first, "maximum": h.last} for h in shown]
    lines = ranges[0] if len(ranges) == 1 else {"anyOf": ranges}
    return {
        key: {**value, "line": lines}
        if key == "properties" and isinstance(value, Mapping) and "line" in value
        else restrict_lines(value, hunks)
        for key, value in schema.items()
    }


def _read(part: FileDiff, value: Any) -> Iterator[Finding]:
    """Yield the findings of a reply on lines of its part."""
    found = value.get("findings") if isinstance(value, Mapping) else None
    for each in found if isinstance(found, list) else ():
        try:
            finding = msgspec.convert({**each, "path": part.path}, Finding)
        except (msgspec.ValidationError, TypeError):
            continue  # a user's template can have another schema
        if any(hunk.first <= finding.line <= hunk.last for hunk in part.hunks):
            message = " ".join(finding.message.split())
            yield msgspec.structs.replace(finding, message=message)


def repeats_instructions(message: str, instructions: str) -> bool:
    """Return whether a message mostly repeats the instructions, as replies of small models do.

    Example:
        >>> instructions = "Report only real bugs: crashes, lost data. Reply in JSON."
        >>> repeats_instructions("Report only real bugs: crashes, and lost data", instructions)
        True
        >>> repeats_instructions("lost data", instructions)
        False
    """
    trigrams, known = _trigrams(message), set(_trigrams(instructions))
    n_known = sum(each in known for each in trigrams)
    return len(trigrams) >= _MIN_TRIGRAMS and n_known * 2 >= len(trigrams)


def _trigrams(text: str) -> list[tuple[str, ...]]:
    """Return the word trigrams of a text, without case and punctuation."""
    words = re.findall(r"\w+", text.casefold())
    return list(zip(words, words[1:], words[2:], strict=False))


def _merge(findings: Iterator[Finding]) -> tuple[Finding, ...]:
    """Sort findings by file and line, with each message once per file."""
    ordered = sorted(findings, key=lambda f: (f.path, f.line, SEVERITIES.index(f.severity)))
    unique: dict[tuple[str, str], Finding] = {}
    for finding in ordered:
        unique.setdefault((finding.path, finding.message.casefold()), finding)
    return tuple(unique.values())
