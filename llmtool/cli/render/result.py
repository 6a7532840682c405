"""Print a generation, its statistics, or the rendered prompt."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from llmtool.cli.render import generation as replies
from llmtool.cli.terminal.console import Console
from llmtool.cli.terminal.output_file import open_sink
from llmtool.engine.types import Request, ScoreRequest, Token
from llmtool.sizes import format_bytes
from llmtool.tasks.pipeline.context import TaskContext
from llmtool.tasks.results import Generation


def generation(
    console: Console,
    events: Iterator[Token | Generation],
    *,
    to_file: str | None,
    as_json: bool,
    stream: bool,
    think: bool,
    logprobs: bool,
    has_output_spec: bool,
    stats: bool,
    started: float,
) -> None:
    """Print a generation to stdout or a file, streamed or complete, as text or JSON.

    A pipe receives a reply with an output specification only once it is known to be valid.

    Raises:
        OutputValidationError: a reply is invalid; a file is then written only for JSON.
    """
    in_pipe = not console.stdout.is_terminal
    with open_sink(console, to_file) as sink:
        result = replies.write(
            console,
            sink,
            events,
            as_json=as_json,
            live=stream and to_file is None and not (in_pipe and (has_output_spec or logprobs)),
            think=think,
            logprobs=logprobs,
        )
    for warning in result.warnings:
        console.note(warning)
    if stats:
        statistics(console, result, started=started)


def prompt(
    console: Console, context: TaskContext, request: Request | ScoreRequest, *, as_json: bool
) -> None:
    """Print the rendered prompt, and its length in tokens."""
    tokenized = context.engine.tokenize(request.prompt)
    n = len(tokenized.token_ids)
    requested = request.sampling.max_tokens if isinstance(request, Request) else None
    max_tokens, n_ctx = context.engine.check_length(n, requested)
    if as_json:
        console.stdout.write_json(
            {
                "prompt": tokenized.text,
                "prompt_tokens": n,
                "token_ids": list(tokenized.token_ids),
                "max_tokens": max_tokens,
                "n_ctx": n_ctx,
                "model": context.model.name,
            }
        )
        return
    console.stdout.write(tokenized.text)
    console.stdout.end_line()
    if isinstance(request, ScoreRequest):
        console.note(f"{n} prompt tokens; {len(request.candidates)} labels to score")
    else:
        console.note(f"{n} prompt tokens; at most {max_tokens} for the reply; context {n_ctx}")


def statistics(console: Console, result: Generation, *, started: float) -> None:
    """Print timings to stderr; `started` is the `perf_counter` time when `result` began."""
    t, usage = result.timing, result.usage
    age = process_age()
    start = 0.0 if age is None else max(0.0, age - (time.perf_counter() - started))
    computed = usage.prompt_tokens - usage.cached_tokens
    cached = f"; {usage.cached_tokens} cached" if usage.cached_tokens else ""
    n = len(result.choices)
    together = f" in {n} replies" if n > 1 else ""
    lines = [
        f"start {start + t.setup:.3f} s, load {t.load:.3f} s, context {t.context:.3f} s",
        f"prefill {t.prefill:.3f} s ({computed} tokens, {_rate(computed, t.prefill)}{cached})",
        f"decode {t.decode:.3f} s ({usage.completion_tokens} tokens{together}, "
        f"{_rate(usage.completion_tokens - n, t.decode)})",
    ]
    if t.first_token is not None:
        lines.insert(0, f"first token after {t.first_token + start:.3f} s")
    lines.append(f"total {result.seconds + start:.3f} s, peak memory {_peak_memory()}")
    for line in lines:
        console.note(line)


def _rate(tokens: int, seconds: float) -> str:
    return f"{tokens / seconds:.0f} tok/s" if seconds > 0 and tokens > 0 else "-"


def _peak_memory() -> str:
    try:
        import resource
    except ImportError:
        return "unknown"
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return format_bytes(peak if sys.platform == "darwin" else peak * 1024)


def process_age() -> float | None:
    """Return the seconds since this process started, or None if unknown."""
    try:
        ticks = int(Path("/proc/self/stat").read_text().rsplit(")", 1)[1].split()[19])
        uptime = float(Path("/proc/uptime").read_text().split()[0])
        return uptime - ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return None
