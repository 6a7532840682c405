"""How results look: streamed text, JSON, statistics, the rendered prompt."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from llmtool.cli import output
from llmtool.engine.types import Request, Token
from llmtool.errors import OutputError
from llmtool.sizes import format_bytes
from llmtool.tasks.results import Generation
from llmtool.toolbox import Toolbox

SEPARATOR = "---"


def generation(
    events: Iterator[Token | Generation],
    *,
    to_file: str | None,
    as_json: bool,
    stream: bool,
    think: bool,
    stats: bool,
    started: float,
) -> None:
    """Print a generation as it comes, or whole: to stdout or a file, as text or JSON."""
    if to_file is None:
        result = _write(output.stdout, events, as_json=as_json, stream=stream, think=think)
    else:
        file = _FileResult(to_file)
        try:
            result = _write(file, events, as_json=as_json, stream=False, think=think)
            file.close()
        finally:
            file.discard()
    for warning in result.warnings:
        output.note(warning)
    if stats:
        statistics(result, started=started)


def _write(
    sink: output.Result,
    events: Iterator[Token | Generation],
    *,
    as_json: bool,
    stream: bool,
    think: bool,
) -> Generation:
    live = stream and not as_json
    thought = _Thought(shown=think and not as_json)
    choice = 0
    for event in events:
        if isinstance(event, Generation):
            break
        if event.thought:
            thought.write(event.text)
        elif live:
            thought.end()
            while choice < event.choice:
                choice += 1
                _separate(sink)
            sink.write(event.text)
    else:
        raise AssertionError("a stream ends with its result")
    thought.end()
    if as_json:
        output.write_json(event.to_dict(), sink)
        return event
    for each in event.choices[choice + 1 if live else 0 :]:
        if live or each is not event.choices[0]:
            _separate(sink)
        if not live:
            sink.write(each.text)
    sink.end_line()
    return event


def prompt(box: Toolbox, request: Request, *, as_json: bool) -> None:
    """Print what the model would get, and how many tokens that is."""
    tokenized = box.tokenize(request)
    n = len(tokenized.token_ids)
    max_tokens, n_ctx = box.engine.fit(n, request.sampling.max_tokens)
    if as_json:
        output.write_json(
            {
                "prompt": tokenized.text,
                "prompt_tokens": n,
                "token_ids": list(tokenized.token_ids),
                "max_tokens": max_tokens,
                "n_ctx": n_ctx,
                "model": box.model_name,
            }
        )
        return
    output.stdout.write(tokenized.text)
    output.stdout.end_line()
    output.note(f"{n} tokens, with {max_tokens} for the reply in a context of {n_ctx}")


def statistics(result: Generation, *, started: float) -> None:
    """Say on stderr where the time went; `started` is the clock that `result` counts from."""
    t, usage = result.timing, result.usage
    age = process_age()
    start = 0.0 if age is None else max(0.0, age - (time.perf_counter() - started))
    computed = usage.prompt_tokens - usage.cached_tokens
    lines = [
        f"start {start + t.setup:.3f} s, load {t.load:.3f} s, context {t.context:.3f} s",
        f"prefill {t.prefill:.3f} s ({computed} tokens, {_rate(computed, t.prefill)})",
        f"decode {t.decode:.3f} s ({usage.completion_tokens} tokens, "
        f"{_rate(usage.completion_tokens - len(result.choices), t.decode)})",
    ]
    if t.first_token is not None:
        lines.insert(0, f"first token {t.first_token + start:.3f} s after the start")
    lines.append(f"total {result.seconds + start:.3f} s, peak memory {_peak_memory()}")
    for line in lines:
        output.note(line)


def _separate(sink: output.Result) -> None:
    sink.end_line()
    sink.write(SEPARATOR + "\n")


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
    """Return the seconds since this process was started, or None where nobody says."""
    try:
        ticks = int(Path("/proc/self/stat").read_text().rsplit(")", 1)[1].split()[19])
        uptime = float(Path("/proc/uptime").read_text().split()[0])
        return uptime - ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return None


class _Thought:
    """A thinking model's thought, on stderr, when it is asked for."""

    def __init__(self, *, shown: bool) -> None:
        self._shown = shown
        self._open = False

    def write(self, text: str) -> None:
        if self._shown:
            self._open = True
            output.say(text)

    def end(self) -> None:
        if self._open:
            self._open = False
            output.say("\n\n")


class _FileResult(output.Result):
    """A result file: a temporary file in the same folder, renamed when it is complete.

    What is no file (a FIFO, /dev/stdout, a descriptor) is written to as it is.
    """

    def __init__(self, path: str) -> None:
        super().__init__()
        self._terminal = False
        self._path = Path(path)
        self._temporary: str | None = None
        try:
            self._fd = self._open(path)
        except OSError as exc:
            raise OutputError(f"{path}: cannot be written: {exc.strerror}") from exc

    def _open(self, path: str) -> int:
        descriptor = re.fullmatch(r"-|/dev/stdout|/dev/stderr|/(?:dev|proc/self)/fd/(\d+)", path)
        if descriptor:
            number = descriptor[1] or {"/dev/stderr": output.STDERR}.get(path, output.STDOUT)
            return os.dup(int(number))
        if self._path.exists() and not self._path.is_file():
            return os.open(self._path, os.O_WRONLY)
        import tempfile

        mode = self._path.stat().st_mode & 0o777 if self._path.exists() else _default_mode()
        self._path = Path(os.path.realpath(self._path))
        fd, self._temporary = tempfile.mkstemp(
            dir=self._path.parent, prefix=f".{self._path.name}.", suffix=".part"
        )
        if hasattr(os, "fchmod"):
            os.fchmod(fd, mode)
        return fd

    def _write_bytes(self, data: bytes) -> None:
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self._fd, view) :]
        except BrokenPipeError:
            raise output.ReaderGone from None
        except OSError as exc:
            raise OutputError(f"{self._path}: write error: {exc.strerror}") from exc

    def close(self) -> None:
        """Make the result visible under its name."""
        try:
            if self._temporary:
                os.fsync(self._fd)
                os.replace(self._temporary, self._path)
                self._temporary = None
            os.close(self._fd)
        except OSError as exc:
            raise OutputError(f"{self._path}: write error: {exc.strerror}") from exc

    def discard(self) -> None:
        """Leave no part of a result behind."""
        if self._temporary:
            with contextlib.suppress(OSError):
                os.unlink(self._temporary)


def _default_mode() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask
