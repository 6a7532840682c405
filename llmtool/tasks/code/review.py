"""Review a diff: files, or hunks of long files, in parallel, and merge their findings."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from llmtool.engine.types import Engine, Failed, Request
from llmtool.errors import InputError, OutputValidationError
from llmtool.tasks.code.diffs import FileDiff, Hunk, parse_diff, parts_of, with_numbers
from llmtool.tasks.code.results import SEVERITIES, Finding, Review, SkippedFile
from llmtool.tasks.pipeline.output_spec import make_output_spec
from llmtool.tasks.pipeline.prepare import Case, PreparedTask, fits_context, with_sampling
from llmtool.tasks.results import Generation, total_usage

_ONLY_REMOVED = "only removed lines"
# Shorter repetitions are the names of a finding's fields.
_RETRY_SAMPLING: dict[str, Any] = {"dry_multiplier": 0.8, "dry_allowed_length": 6}
_MIN_TRIGRAMS = 5  # a shorter message may share words with the instructions by chance
MAX_PROMPT_TOKENS = 2048  # models find more in a short part


def review(engine: Engine, prepared: PreparedTask, diff: str) -> Review:
    """Return the findings of a model on a diff.

    A constraint limits the lines of a finding to those of the part that the model sees. Equal
    findings are merged. A part with a truncated reply is requested once more, and one that fails
    is named in the warnings.

    Raises:
        InputError: the diff changes nothing.
        LlmtoolError: all parts failed; the error is that of the first.
    """
    started = time.perf_counter()
    files = tuple(map(_skip_removals, parse_diff(diff)))
    if not files:
        raise InputError("there is no change to review (a unified diff is needed)")
    left_out = tuple(SkippedFile(path=f.path, reason=f.left_out) for f in files if f.left_out)
    all_parts = [
        part
        for file in files
        if not file.left_out and file.hunks
        for part in parts_of(
            file,
            fits=lambda p: fits_context(
                engine, _request(prepared, p, 0), max_prompt_tokens=MAX_PROMPT_TOKENS
            ),
        )
    ]
    parts = [part for part in all_parts if not _only_removes(part)]
    requests = [_request(prepared, part, i) for i, part in enumerate(parts)]
    outcomes = _ask(engine, prepared, requests)
    failed = [each for each in outcomes if isinstance(each, Failed)]
    if failed and len(failed) == len(outcomes):
        raise failed[0].error
    done = [(p, o) for p, o in zip(parts, outcomes, strict=True) if not isinstance(o, Failed)]
    all_found = [found for part, outcome in done for found in _read(part, outcome.value)]
    instructions = prepared.template.prompt.text
    findings = _merge(found for found in all_found if not repeats(found.message, instructions))
    warnings = dict.fromkeys(w for _, outcome in done for w in outcome.warnings)
    if any(repeats(found.message, instructions) for found in all_found):
        warnings["findings that only repeat the instructions are left out"] = None
    skipped = [
        (p, str(o.error)) for p, o in zip(parts, outcomes, strict=True) if isinstance(o, Failed)
    ]
    skipped += [(part, _ONLY_REMOVED) for part in all_parts if _only_removes(part)]
    for part, reason in skipped:
        warnings[f"not reviewed: {part.path}, from line {part.hunks[0].first}: {reason}"] = None
    return Review(
        text="".join(f"{finding}\n" for finding in findings),
        findings=findings,
        left_out=left_out,
        n_parts=len(parts),
        n_failed=len(failed),
        model=prepared.model,
        usage=total_usage(outcome.usage for _, outcome in done),
        seconds=time.perf_counter() - started,
        warnings=tuple(warnings),
    )


def _ask(
    engine: Engine, prepared: PreparedTask, requests: list[Request]
) -> list[Generation | Failed]:
    """Return the outcome of each request, and retry the truncated ones.

    A reply that does not end usually repeats itself; a penalty on repeated sequences stops that.
    """
    outcomes = prepared.answer(engine, requests)
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
    """Mark a file as skipped if its diff only removes lines: a finding needs a line."""
    if file.left_out or not file.hunks or not _only_removes(file):
        return file
    return msgspec.structs.replace(file, left_out=_ONLY_REMOVED)


def _only_removes(part: FileDiff) -> bool:
    return all(hunk.only_removes for hunk in part.hunks)


def _request(prepared: PreparedTask, part: FileDiff, id: int) -> Request:
    request = prepared.request(Case(id=id, variables={"diff": with_numbers(part)}))
    schema = narrowed(prepared.template.output.json, part.hunks)
    if schema is None:
        return request
    spec = make_output_spec(schema=schema)
    assert spec is not None
    return with_sampling(request, constraint=spec.constraint)


def narrowed(schema: Any, hunks: tuple[Hunk, ...]) -> Any:
    """Return a schema whose property `line` only allows the lines of some hunks.

    Example:
        >>> hunk = Hunk(header="", body="", first=3, last=9)
        >>> narrowed({"properties": {"line": {"type": "integer"}}}, (hunk,))
        {'properties': {'line': {'type': 'integer', 'minimum': 3, 'maximum': 9}}}
    """
    shown = [hunk for hunk in hunks if not hunk.only_removes]
    if not shown:
        return schema
    if isinstance(schema, list):
        return [narrowed(each, hunks) for each in schema]
    if not isinstance(schema, Mapping):
        return schema
    ranges = [{"type": "integer", "minimum": h.first, "maximum": h.last} for h in shown]
    lines = ranges[0] if len(ranges) == 1 else {"anyOf": ranges}
    return {
        key: {**value, "line": lines}
        if key == "properties" and isinstance(value, Mapping) and "line" in value
        else narrowed(value, hunks)
        for key, value in schema.items()
    }


def _read(part: FileDiff, value: Any) -> Iterator[Finding]:
    """Yield the findings of a reply whose lines are in its part."""
    found = value.get("findings") if isinstance(value, Mapping) else None
    for each in found if isinstance(found, list) else ():
        try:
            finding = msgspec.convert({**each, "path": part.path}, Finding)
        except (msgspec.ValidationError, TypeError):
            continue  # the schema of a user's template may differ
        if any(hunk.first <= finding.line <= hunk.last for hunk in part.hunks):
            message = " ".join(finding.message.split())
            yield msgspec.structs.replace(finding, message=message)


def repeats(message: str, instructions: str) -> bool:
    """Return whether most of a message is copied from the instructions, as small models do.

    Example:
        >>> instructions = "Name real mistakes alone: crashes, lost data. Reply in JSON."
        >>> repeats("Name real mistakes alone: crashes, and lost data", instructions)
        True
        >>> repeats("lost data", instructions)
        False
    """
    own, known = _trigrams(message), set(_trigrams(instructions))
    return len(own) >= _MIN_TRIGRAMS and sum(each in known for each in own) * 2 >= len(own)


def _trigrams(text: str) -> list[tuple[str, ...]]:
    """Return the word trigrams of a text, without case and punctuation."""
    words = re.findall(r"\w+", text.casefold())
    return list(zip(words, words[1:], words[2:], strict=False))


def _merge(findings: Iterator[Finding]) -> tuple[Finding, ...]:
    """Return findings by file and line, each message once per file."""
    ordered = sorted(findings, key=lambda f: (f.path, f.line, SEVERITIES.index(f.severity)))
    kept: dict[tuple[str, str], Finding] = {}
    for finding in ordered:
        kept.setdefault((finding.path, finding.message.casefold()), finding)
    return tuple(kept.values())
