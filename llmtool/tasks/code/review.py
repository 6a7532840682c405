"""Review a diff: each file, or each hunk where a file is long, in parallel; then one list."""

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
from llmtool.tasks.pipeline.contract import make_contract
from llmtool.tasks.pipeline.prepare import Case, PreparedTask, fits_context
from llmtool.tasks.results import Generation, total_usage

_ONLY_REMOVED = "only removed lines"
# Runs of fewer tokens are JSON's own: the names of a finding's fields.
_VARIED: dict[str, Any] = {"dry_multiplier": 0.8, "dry_allowed_length": 6}
_FEW = 5  # runs of three words that any remark may have in common with the instructions
MAX_PROMPT = 2048  # tokens of one part: a model finds more in what it can oversee


def review(engine: Engine, prepared: PreparedTask, diff: str) -> Review:
    """Return what a model finds in a diff; each finding's line is in the part that it is about.

    The constraint of a part allows no line but its own, and what a model says twice is told once.
    A part whose reply is cut is asked for once more; one whose reply fails is told in the warnings.
    If all fail, the first error is raised.

    Raises:
        InputError: the diff changes nothing.
        LlmtoolError: no part could be reviewed.
    """
    started = time.perf_counter()
    files = tuple(map(_without_the_removed, parse_diff(diff)))
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
                engine, _request(prepared, p, 0), max_prompt_tokens=MAX_PROMPT
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
    told = prepared.template.prompt.text
    findings = _merge(found for found in all_found if not repeats(found.message, told))
    warnings = dict.fromkeys(w for _, outcome in done for w in outcome.warnings)
    if any(repeats(found.message, told) for found in all_found):
        warnings["findings that only repeat the instructions are left out"] = None
    why_not = [
        (p, str(o.error)) for p, o in zip(parts, outcomes, strict=True) if isinstance(o, Failed)
    ]
    why_not += [(part, _ONLY_REMOVED) for part in all_parts if _only_removes(part)]
    for part, reason in why_not:
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
    """Return the outcome of each request; one that ran into its limit is asked once more.

    What does not end goes round in a circle as a rule, which a penalty on long runs breaks.
    """
    outcomes = prepared.answer(engine, requests)
    cut = [
        i
        for i, outcome in enumerate(outcomes)
        if _is_cut(outcome) and not requests[i].sampling.dry_multiplier
    ]
    varied = (
        msgspec.structs.replace(
            requests[i], sampling=msgspec.structs.replace(requests[i].sampling, **_VARIED)
        )
        for i in cut
    )
    for i, outcome in zip(cut, prepared.answer(engine, varied) if cut else (), strict=True):
        outcomes[i] = outcome
    return outcomes


def _is_cut(outcome: Generation | Failed) -> bool:
    error = outcome.error if isinstance(outcome, Failed) else None
    reply = error.result if isinstance(error, OutputValidationError) else None
    return isinstance(reply, Generation) and reply.finish_reason == "length"


def _without_the_removed(file: FileDiff) -> FileDiff:
    """Leave a file out that shows no line which a finding could be about."""
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
    contract = make_contract(schema=schema)
    assert contract is not None
    sampling = msgspec.structs.replace(request.sampling, constraint=contract.constraint)
    return msgspec.structs.replace(request, sampling=sampling)


def narrowed(schema: Any, hunks: tuple[Hunk, ...]) -> Any:
    """Return a template's schema whose property `line` allows the lines of some hunks alone.

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
    """Yield the findings of a reply that are about this part."""
    found = value.get("findings") if isinstance(value, Mapping) else None
    for each in found if isinstance(found, list) else ():
        try:
            finding = msgspec.convert({**each, "path": part.path}, Finding)
        except (msgspec.ValidationError, TypeError):
            continue  # a user's template may ask for something else
        if any(hunk.first <= finding.line <= hunk.last for hunk in part.hunks):
            message = " ".join(finding.message.split())
            yield msgspec.structs.replace(finding, message=message)


def repeats(message: str, instructions: str) -> bool:
    """Whether most of a message is taken from the instructions, as small models do it.

    Example:
        >>> told = "Name real mistakes alone: crashes, lost data. Reply in JSON."
        >>> repeats("Name real mistakes alone: crashes, and lost data", told)
        True
        >>> repeats("lost data", told)
        False
    """
    said, told = _runs(message), _runs(instructions)
    return len(said) >= _FEW and sum(run in told for run in said) * 2 >= len(said)


def _runs(text: str) -> list[tuple[str, ...]]:
    """Return all runs of three words of a text, without case and marks."""
    words = re.findall(r"\w+", text.casefold())
    return list(zip(words, words[1:], words[2:], strict=False))


def _merge(findings: Iterator[Finding]) -> tuple[Finding, ...]:
    """Return findings by file and line, the same remark on neighbouring parts once."""
    ordered = sorted(findings, key=lambda f: (f.path, f.line, SEVERITIES.index(f.severity)))
    kept: dict[tuple[str, str], Finding] = {}
    for finding in ordered:
        kept.setdefault((finding.path, finding.message.casefold()), finding)
    return tuple(kept.values())
