"""Print a generation with its statistics and log-probabilities, or the rendered prompt."""

from __future__ import annotations

import codecs
import math
import os
import time
from collections.abc import Callable
from pathlib import Path

from llmtool.cli.terminal.console import Console, Sink
from llmtool.cli.terminal.output_file import open_sink
from llmtool.engine.types import Request, ScoreRequest, Token, TokenLogprob
from llmtool.errors import OutputValidationError
from llmtool.machine import peak_bytes
from llmtool.sizes import format_bytes, format_cost, format_count
from llmtool.structured.constraint import Constraint
from llmtool.tasks.pipeline.context import TaskContext
from llmtool.tasks.results import Generation
from llmtool.tasks.streams import Stream

_SEPARATOR = "---\n"
# (probability below which a token is highlighted, style, brackets without colour)
_LEVELS = ((0.05, "4;31", "«", "»"), (0.25, "33", "‹", "›"))
_ESCAPED = str.maketrans({"\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"})


def generation(
    console: Console,
    stream: Stream[Token, Generation],
    *,
    to_file: str | None,
    as_json: bool,
    is_live: bool,
    is_prose: bool,
    think: bool,
    logprobs: bool,
    constraint: Constraint | None,
    stats: bool,
    started: float,
) -> None:
    """Print a generation to stdout or a file, streamed or complete, as text or JSON.

    If it is live, the first reply appears at once and the others follow in order. A terminal shows
    prose wrapped at words. A pipe receives a reply with a constraint only once it is known to be
    valid. Replies with a schema are printed one per line.

    Raises:
        OutputValidationError: a reply is invalid; a file is then written only for JSON.
    """
    in_pipe = not console.stdout.is_terminal
    waits = as_json or to_file is not None or (in_pipe and (constraint is not None or logprobs))
    with open_sink(console, to_file) as sink:
        live = is_live and not waits
        write = sink.write_words if is_prose else sink.write
        shown = _Live(console, sink, write, think=think and not as_json, text=live)
        try:
            for token in stream:
                shown.write(token)
        except OutputValidationError as exc:
            shown.end()
            if as_json and isinstance(exc.result, Generation):
                sink.write_json(exc.result.to_dict())
                sink.close()
            elif live:
                sink.end_line()
            raise
        shown.end()
        result = stream.result
        if as_json:
            sink.write_json(result.to_dict())
        else:
            is_json = constraint is not None and constraint.kind == "json_schema" and not logprobs
            separator = "" if is_json else _SEPARATOR
            _write_choices(
                console,
                sink,
                result,
                write,
                separator=separator,
                skip=int(live),
                logprobs=logprobs,
            )
    for warning in result.warnings:
        console.note(warning)
    if stats:
        statistics(console, result, started=started)


def _write_choices(
    console: Console,
    sink: Sink,
    result: Generation,
    write: Callable[[str], None],
    *,
    separator: str,
    skip: int,
    logprobs: bool,
) -> None:
    """Write the replies except the first `skip`, which are already written."""
    for number, choice in enumerate(result.choices):
        if number:
            sink.end_line()
            sink.write(separator)
        if number < skip:
            continue
        if not logprobs:
            write(choice.text)
            continue
        echo = () if number else result.prompt_logprobs or ()
        for token in (*echo, *(choice.logprobs or ())):
            if sink.is_terminal:
                _write_token(console, sink, token.token, token.logprob or 0)
            else:
                sink.write(_row(token))
    sink.end_line()
    if logprobs and sink.is_terminal:
        console.note(_legend(console))


class _Live:
    """Streams the first reply: reasoning to stderr, text to the sink."""

    def __init__(
        self,
        console: Console,
        sink: Sink,
        write: Callable[[str], None],
        *,
        think: bool,
        text: bool,
    ) -> None:
        self._console = console
        self._sink, self._write = sink, write
        self._shows_reasoning, self._shows_text = think, text
        self._in_reasoning = False
        self._min_logprob = 0.0  # of the tokens not written yet, which may form one character
        self._utf8 = codecs.getincrementaldecoder("utf-8")("replace")  # of the prompt's tokens

    def write(self, token: Token) -> None:
        """Write a token's text, unless it belongs to another reply."""
        if token.choice:
            return
        if token.reasoning:
            self._min_logprob = 0.0
            if self._shows_reasoning:
                self._in_reasoning = True
                self._console.say(token.reasoning)
            return
        if not self._shows_text:
            return
        self.end()
        found, text = token.logprob, token.text
        if token.prompt_logprob is not None:
            found = token.prompt_logprob
            text = self._utf8.decode(bytes(found.bytes))
        if found is None:
            self._write(text)
            return
        self._min_logprob = min(self._min_logprob, found.logprob or 0)
        if text:
            _write_token(self._console, self._sink, text, self._min_logprob)
            self._min_logprob = 0.0

    def end(self) -> None:
        """End the reasoning with a blank line, if any is open."""
        if self._in_reasoning:
            self._in_reasoning = False
            self._console.say("\n\n")


def _write_token(console: Console, sink: Sink, text: str, logprob: float) -> None:
    """Write a part of a reply to a terminal, highlighted if its probability is low.

    Surrounding white space is not highlighted.
    """
    core = text.strip()
    level = next((level for level in _LEVELS if math.exp(logprob) < level[0]), None)
    if level is None or not core:
        sink.write(text)
        return
    _, style, before, after = level
    at = text.index(core)
    sink.write(text[:at])
    if console.stdout_color:
        sink.write(core, style=style)
    else:
        sink.write(before + core + after)
    sink.write(text[at + len(core) :])


def _legend(console: Console) -> str:
    """Return an explanation of the highlighting."""
    if console.stdout_color:
        forms = ["underlined red below {:.0%}", "yellow below {:.0%}"]
    else:
        forms = [f"{before}below {{:.0%}}{after}" for _, _, before, after in _LEVELS]
    levels = ", ".join(form.format(level[0]) for form, level in zip(forms, _LEVELS, strict=True))
    return f"token probability: {levels}; this measures fluency, not truth"


def _row(token: TokenLogprob) -> str:
    """Return a tab-separated row: token and log-probability, then those of each alternative."""
    cells = [
        cell
        for each in (token, *token.top)
        for cell in (
            each.token.translate(_ESCAPED),
            "" if each.logprob is None else f"{each.logprob:.4f}",
        )
    ]
    return "\t".join(cells) + "\n"


def prompt(
    console: Console, context: TaskContext, request: Request | ScoreRequest, *, as_json: bool
) -> None:
    """Print the rendered prompt, and its length in tokens."""
    tokenized = context.engine.tokenize(request.prompt)
    n = len(tokenized.token_ids)
    requested = request.sampling.max_tokens if isinstance(request, Request) else None
    max_tokens, n_ctx = context.engine.check_length(n, requested)
    chosen = request.prompt.adapters
    lora = [str(each) for each in (context.model.adapters if chosen is None else chosen)]
    if as_json:
        console.stdout.write_json(
            {
                "prompt": tokenized.text,
                "prompt_tokens": n,
                "token_ids": list(tokenized.token_ids),
                "max_tokens": max_tokens,
                "n_ctx": n_ctx,
                "model": context.model.name,
                "lora": lora,
            }
        )
        return
    console.stdout.write(tokenized.text)
    console.stdout.end_line()
    if isinstance(request, ScoreRequest):
        console.note(f"{n} prompt tokens; {len(request.candidates)} labels to score")
    else:
        console.note(f"{n} prompt tokens; at most {max_tokens} for the reply; context {n_ctx}")
    if lora:
        console.note(f"LoRA adapters: {', '.join(lora)}")


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
    if usage.drafted_tokens:
        drafted = format_count(usage.drafted_tokens, "drafted token")
        lines.append(f"{usage.accepted_tokens:,} of {drafted} accepted")
    if t.first_token is not None:
        lines.insert(0, f"first token after {t.first_token + start:.3f} s")
    total = f"total {result.seconds + start:.3f} s, peak memory {_peak_memory()}"
    lines.append(total + format_cost(usage.cost))
    for line in lines:
        console.note(line)


def _rate(tokens: int, seconds: float) -> str:
    return f"{tokens / seconds:.0f} tok/s" if seconds > 0 and tokens > 0 else "-"


def _peak_memory() -> str:
    peak = peak_bytes()
    return "unknown" if peak is None else format_bytes(peak)


def process_age() -> float | None:
    """Return the seconds since this process started, or None if unknown."""
    try:
        ticks = int(Path("/proc/self/stat").read_text().rsplit(")", 1)[1].split()[19])
        uptime = float(Path("/proc/uptime").read_text().split()[0])
        return uptime - ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return None
