"""Fill a gap in a text with a model's own tokens for that."""

from __future__ import annotations

import time

import msgspec

from llmtool.engine.types import Engine, Failed, Prompt, Request
from llmtool.sizes import format_count
from llmtool.tasks.code.cursor import fit
from llmtool.tasks.code.results import Code
from llmtool.tasks.options import CompleteOptions
from llmtool.tasks.pipeline.collect import stream_outcomes
from llmtool.tasks.pipeline.prepare import make_sampling
from llmtool.tasks.results import Generation
from llmtool.text import syntax
from llmtool.text.code_languages import CodeLanguage


class Completing(msgspec.Struct, frozen=True, kw_only=True):
    """A gap, ready to be filled: the request, and how much of the text had no room in it."""

    request: Request
    n_left_out: int


def prepare(engine: Engine, before: str, after: str, options: CompleteOptions) -> Completing:
    """Fit the text around a gap to the window of a model.

    Raises:
        UsageError: the model has no tokens to fill in the middle with, or an option is wrong.
        ContextOverflow: the lines at the gap alone do not fit.
    """
    given = msgspec.structs.asdict(options)
    sampling = make_sampling({name: value for name, value in given.items() if value is not None})
    frame = len(engine.tokenize(Prompt(text="", suffix="")).token_ids)

    def count(line: str) -> int:
        return len(engine.tokenize(Prompt(text=line, suffix="")).token_ids) - frame

    room = engine.info.n_ctx - (sampling.max_tokens or 1) - frame
    while True:
        around = fit(before, after, max_tokens=max(room, 0), count=count)
        prompt = Prompt(text=around.before, suffix=around.after)
        n_prompt = len(engine.tokenize(prompt).token_ids)
        over = n_prompt + (sampling.max_tokens or 1) - engine.info.n_ctx
        if over <= 0 or room <= 0:
            break
        room -= over  # joined lines can take other tokens than each alone
    engine.check_length(n_prompt, sampling.max_tokens)
    return Completing(
        request=Request(prompt=prompt, sampling=sampling), n_left_out=around.n_left_out
    )


def complete(
    engine: Engine,
    completing: Completing,
    before: str,
    after: str,
    *,
    language: CodeLanguage | None,
    model: str,
) -> Code:
    """Return what stands in the gap; the status is that of the whole text with it."""
    started = time.perf_counter()
    outcomes = stream_outcomes(engine, [completing.request], model=model)
    (reply,) = (each for each in outcomes if isinstance(each, (Generation, Failed)))
    if isinstance(reply, Failed):
        raise reply.error
    check = syntax.check(language, before + reply.text + after)
    warnings = list(reply.warnings)
    if completing.n_left_out:
        lines = format_count(completing.n_left_out, "line")
        warnings.append(f"the model did not see {lines} furthest from the gap (--ctx-size)")
    if check.note:
        warnings.append(f"not checked: {check.note}")
    return Code(
        text=reply.text,
        language=language.value if language else None,
        status=check.status,
        diagnostics=check.diagnostics,
        model=model,
        usage=reply.usage,
        seconds=time.perf_counter() - started,
        finish_reason=reply.finish_reason,
        seed=reply.seed,
        warnings=tuple(warnings),
    )
