"""Generate text: rendered messages in, tokens and a `Generation` out."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from llmtool.engine.types import (
    Engine,
    Failed,
    Finished,
    Prompt,
    Request,
    Sampling,
    Token,
    Usage,
)
from llmtool.errors import InputError, UsageError
from llmtool.tasks.results import Choice, Generation, Timing

if TYPE_CHECKING:
    from llmtool.prompts.template import Template


def make_request(
    template: Template,
    prompt: str | None,
    *,
    input: str | None,
    system: str | None,
    n: int,
    prefill: str,
    thinking: bool | None,
    variables: Mapping[str, Any] | None,
    id: int,
    model: str,
    defaults: Mapping[str, Any],
    sampling: Mapping[str, Any],
) -> Request:
    """Render a template into a request.

    Sampling options come from `sampling`, then `defaults` (the user's settings), then the
    template; None counts as not given.

    Raises:
        InputError: there is neither a prompt nor an input, and the template takes them.
        UsageError: an option or a variable is unknown or out of its range.
        TemplateError: the template fails.
    """
    from llmtool.prompts.render import render

    if n < 1:
        raise UsageError(f"n is {n}; it must be at least 1")
    values = dict(variables or {})
    given = {"prompt": prompt, "input": input}
    values |= {name: text for name, text in given.items() if text and text.strip()}
    if not values and given.keys() & template.inputs.keys():
        raise InputError("the prompt is empty")
    rendered = render(template, values, model_name=model, system=system)
    params = dict(rendered.params)
    template_thinks = bool(params.pop("thinking", False))
    for chosen in (defaults, sampling):
        params.update({name: value for name, value in chosen.items() if value is not None})
    return Request(
        id=id,
        prompt=Prompt(
            messages=rendered.messages,
            probe=rendered.probe,
            prefill=prefill,
            thinking=template_thinks if thinking is None else thinking,
        ),
        sampling=make_sampling(params),
        n=n,
    )


def make_sampling(params: Mapping[str, Any]) -> Sampling:
    """Check sampling options.

    Raises:
        UsageError: one is unknown or out of its range.
    """
    unknown = [name for name in params if name not in Sampling.__struct_fields__]
    if unknown:
        known = ", ".join(Sampling.__struct_fields__)
        raise UsageError(f"unknown sampling option {unknown[0]!r} (there are: {known})")
    values = dict(params)
    if isinstance(values.get("stop"), str):
        values["stop"] = (values["stop"],)
    for name, value in values.items():
        kind = next(f.type for f in msgspec.structs.fields(Sampling) if f.name == name)
        try:
            values[name] = msgspec.convert(value, kind)
        except msgspec.ValidationError as exc:
            reason = str(exc).replace("`", "")
            raise UsageError(f"{name} is {value!r}: {reason[0].lower()}{reason[1:]}") from exc
    return Sampling(**values)


def stream_generations(
    engine: Engine, requests: Iterable[Request], *, model: str, started: float | None = None
) -> Iterator[Token | Generation]:
    """Answer requests; yield each one's tokens, and its `Generation` when it is complete.

    `started` is the `time.perf_counter()` that `seconds` counts from; now, if it is None.

    Raises:
        LlmtoolError: of the first request that fails.
    """
    started = time.perf_counter() if started is None else started
    pieces: dict[tuple[int, int], tuple[list[str], list[str]]] = {}
    finished: dict[int, list[Finished]] = {}
    first_token: dict[int, float] = {}
    wanted: dict[int, int] = {}

    def counted() -> Iterator[Request]:
        for request in requests:
            wanted[request.id] = request.n
            yield request

    for event in engine.stream(counted()):
        if isinstance(event, Failed):
            raise event.error
        if isinstance(event, Token):
            first_token.setdefault(event.id, time.perf_counter() - started)
            texts = pieces.setdefault((event.id, event.choice), ([], []))
            texts[event.thought].append(event.text)
            yield event
            continue
        done = finished.setdefault(event.id, [])
        done.append(event)
        if len(done) == wanted[event.id]:
            choices = []
            for end in sorted(finished.pop(event.id), key=lambda end: end.choice):
                answer, thought = pieces.pop((end.id, end.choice), ([], []))
                choices.append((end, "".join(answer), "".join(thought)))
            del wanted[event.id]
            yield _combine(
                engine, choices, model, time.perf_counter() - started, first_token.get(event.id)
            )


def _combine(
    engine: Engine,
    choices: list[tuple[Finished, str, str]],
    model: str,
    seconds: float,
    first_token: float | None,
) -> Generation:
    ends = [end for end, _, _ in choices]
    cut = [end.choice for end in ends if end.finish_reason == "length"]
    warnings = []
    if cut:
        used = ends[cut[0]].usage.completion_tokens
        which = f"{len(cut)} of {len(ends)} replies were" if len(ends) > 1 else "the reply was"
        warnings.append(f"{which} cut at {used} tokens (raise --max-tokens)")
    if any(thought and not answer for _, answer, thought in choices):
        warnings.append("the model thought and gave no answer (raise --max-tokens)")
    info = engine.info
    if info.n_ctx > info.n_ctx_train:
        warnings.append(
            f"a context of {info.n_ctx} tokens is longer than the {info.n_ctx_train} that the "
            "model was made for"
        )
    prefill = sum(end.timings.prefill_seconds for end in ends)
    # Choices that are decoded together share their seconds.
    spans = [
        (t.first_token_at, t.first_token_at + t.decode_seconds)
        for t in (end.timings for end in ends)
    ]
    decode = max(end for _, end in spans) - min(begin for begin, _ in spans)
    known = info.load_seconds + info.context_seconds + prefill + decode
    return Generation(
        text=choices[0][1],
        choices=tuple(
            Choice(
                text=answer,
                thought=thought or None,
                finish_reason=end.finish_reason,
                seed=end.seed,
            )
            for end, answer, thought in choices
        ),
        model=model,
        usage=Usage(
            prompt_tokens=ends[0].usage.prompt_tokens,
            cached_tokens=ends[0].usage.cached_tokens,
            completion_tokens=sum(end.usage.completion_tokens for end in ends),
        ),
        seconds=seconds,
        timing=Timing(
            setup=max(0.0, seconds - known),
            load=info.load_seconds,
            context=info.context_seconds,
            prefill=prefill,
            decode=decode,
            first_token=first_token,
        ),
        finish_reason=ends[0].finish_reason,
        seed=ends[0].seed,
        warnings=tuple(warnings),
    )
