"""Progress on stderr: a bar for downloads, a line for the model, records and documents."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING

from llmtool.cli.terminal.console import Console
from llmtool.engine.types import StreamProgress
from llmtool.sizes import format_bytes, format_count

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

_SHOW_SECONDS = 0.2
_MIN_RATE_SECONDS = 1.0  # a shorter time gives no useful rate
_MAX_RATIO = 1.25  # of two estimates that are shown as one
_WAIT_SECONDS = 2.0  # before the first status of a model
_LOG_SECONDS = 15.0  # between two lines if stderr is not a terminal


class RecordProgress:
    """Shows the number of records done, their rate and the time left as a temporary status.

    Entering the context starts the clock; leaving it removes the status.
    """

    def __init__(self, console: Console, what: str = "") -> None:
        self._console, self._what = console, what
        self._started = self._shown = time.monotonic()

    def __enter__(self) -> RecordProgress:
        self._started = self._shown = time.monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        self._console.status("")

    def __call__(self, done: int, total: float | None) -> None:
        if self.is_due:
            self.show(done, total)

    @property
    def is_due(self) -> bool:
        return time.monotonic() - self._shown >= _SHOW_SECONDS

    def show(
        self,
        done: int,
        total: float | None,
        *,
        n_before: int = 0,
        n_failed: int = 0,
    ) -> None:
        """Show the progress; see `describe_progress`."""
        self._shown = time.monotonic()
        text = describe_progress(
            done,
            total,
            seconds=self._shown - self._started,
            n_before=n_before,
            n_failed=n_failed,
        )
        self._console.status(self._what + text)


def describe_progress(
    done: int,
    total: float | None,
    *,
    seconds: float,
    n_before: int = 0,
    n_failed: int = 0,
    n_tokens: int = 0,
    left: tuple[float, float] | None = None,
) -> str:
    """Return the number of records, and after a second their rate and the time left.

    `n_before` records were done by an earlier run, and `n_tokens` were generated. `left` is the
    least and the greatest estimate of the seconds left; by default it follows from the rate.

    Example:
        >>> describe_progress(10, 40, seconds=2.0)
        '10 records, 5.0/s, 0:06 left'
    """
    parts = [format_count(n_before + done, "record")]
    if n_tokens and not done:
        parts.append(format_count(n_tokens, "token"))
    has_rate = done > 0 and seconds >= _MIN_RATE_SECONDS
    if has_rate:
        parts.append(f"{done / seconds:.1f}/s")
    if n_failed:
        parts.append(f"{n_failed:,} failed")
    if total is not None and n_before + done >= total:
        return ", ".join(parts)
    if left is not None:
        least, most = left
        if not done and least < most:
            parts.append(f"up to about {_describe_left(most)}")
        elif most > _MAX_RATIO * least + 1:
            parts.append(f"{_describe_time(least)} to {_describe_left(most)}")
        else:
            parts.append(f"about {_describe_left(most)}")
    elif has_rate and total is not None:
        parts.append(_describe_left((total - n_before - done) * seconds / done))
    return ", ".join(parts)


def _describe_left(seconds: float) -> str:
    return f"{_describe_time(seconds)} left"


def _describe_time(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}:{rest:02}"


class ModelStatus:
    """Describes what a model does while a command waits for it, after 2 seconds.

    Args:
        console: replies that it shows need no status.
        find_progress: returns the progress of the model's stream, or None while it is loaded.
    """

    def __init__(
        self,
        console: Console,
        find_progress: Callable[[], StreamProgress | None],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._console, self._find_progress, self._clock = console, find_progress, clock
        self._since: float | None = None  # the start of the wait
        self._loaded = 0.0

    def on_load(self, done: float, total: float) -> None:
        """Record how much of the model is loaded."""
        self._loaded = done / total

    def __call__(self) -> str:
        now = self._clock()
        seconds = now - (now if self._since is None else self._since)
        text = self._describe(seconds)
        self._since = now - seconds if text else None
        return text if seconds >= _WAIT_SECONDS else ""

    def _describe(self, seconds: float) -> str:
        progress = self._find_progress()
        if progress is None:
            return f"loading model {self._loaded:.0%}" if self._loaded else "loading model"
        if progress.n_unread and not progress.running:
            return describe_prompts(progress, seconds)
        if progress.running and not self._shows_reply:
            text = f"generating: {format_count(progress.n_generated, 'token')}"
            if progress.step_seconds:
                text += f", {len(progress.running) / progress.step_seconds:,.0f} tok/s"
            return text
        return ""

    @property
    def _shows_reply(self) -> bool:
        """Whether the user can see the text; that of a pipe or file is counted on request."""
        stdout = self._console.stdout
        return stdout.is_used and (stdout.is_terminal or self._console.progress != "plain")


def describe_prompts(progress: StreamProgress, seconds: float) -> str:
    """Return how many tokens of prompts were read, with rate and time, or else the `seconds`.

    The rate is unknown until the first batch is complete. The time is that of these prompts, not of
    the command, which may send more.
    """
    n_tokens = progress.n_read + progress.n_unread
    what = "prompt" if progress.n_requests <= 1 else "prompts"
    text = f"reading the {what}: {progress.n_read:,} of {n_tokens:,} tokens"
    if not (progress.n_read and progress.read_seconds):
        return f"{text}, {seconds:.0f} s"
    rate = progress.n_read / progress.read_seconds
    return f"{text}, {rate:,.0f} tok/s, {_describe_time(progress.n_unread / rate)} to read"


class WorkProgress:
    """Describes how much of a document is done, and the time left, for a live status.

    `unit` names what is counted, and `name`, if any, the document.
    """

    def __init__(
        self, unit: str, *, name: str | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._unit, self._clock = unit, clock
        self._prefix = f"{name}: " if name else ""
        self._started = clock()
        self._done = self._total = 0
        self._end = 0.0  # the estimated time of the end

    def update(self, done: int, total: int) -> None:
        """Set how much is done."""
        if done > self._done:
            now = self._clock()
            self._end = now + (now - self._started) * (total - done) / done
        self._done, self._total = done, total

    def __call__(self) -> str:
        if not 0 < self._done < self._total:
            return ""
        text = f"{self._prefix}{self._done:,} of {self._total:,} {self._unit}"
        seconds = self._end - self._clock()
        return text if seconds < 0 else f"{text}, {_describe_left(seconds)}"


class DownloadProgress:
    """Shows the progress of a download in bytes, with rate and time left."""

    def __init__(self, console: Console, title: str, *, verb: str = "downloading") -> None:
        self._console = console
        self._title = f"{verb} {title}"
        self._announces = verb == "downloading"
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._resumed: int | None = None
        self._started = self._logged = time.monotonic()

    def __enter__(self) -> DownloadProgress:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def __call__(self, done: int, total: int) -> None:
        if self._console.quiet or self._console.progress == "none":
            return
        if self._resumed is None:
            self._resumed = done
            if done < total and self._announces:
                present = f", {format_bytes(done)} already downloaded" if done else ""
                self._console.note(f"{self._title}: {format_bytes(total)}{present}")
        if self._console.progress == "plain":
            is_last = done >= total and self._announces
            self._console.status(f"{done / total:.0%} of {format_bytes(total)}", is_last=is_last)
        elif self._console.stderr_is_terminal:
            self._draw(done, total)
        elif time.monotonic() - self._logged >= _LOG_SECONDS and done < total:
            self._logged = time.monotonic()
            seconds = max(self._logged - self._started, 1e-6)
            rate = (done - self._resumed) / seconds
            left = f", {(total - done) / rate:.0f} s left" if rate > 0 else ""
            self._console.note(
                f"{done / total:.0%} of {format_bytes(total)}, {format_bytes(rate)}/s{left}"
            )

    def _draw(self, done: int, total: int) -> None:
        if self._bar is None:
            from rich.console import Console as RichConsole
            from rich.progress import (
                BarColumn,
                DownloadColumn,
                Progress,
                TextColumn,
                TimeRemainingColumn,
                TransferSpeedColumn,
            )

            colored = self._console.stderr_color
            self._bar = Progress(
                TextColumn("{task.percentage:>3.0f}%"),
                BarColumn(bar_width=None),
                DownloadColumn(),
                TransferSpeedColumn(),
                TimeRemainingColumn(),
                console=RichConsole(stderr=True, no_color=not colored, markup=False, emoji=False),
                transient=True,
                expand=True,
            )
            self._task = self._bar.add_task("", total=total, completed=done)
            self._bar.start()
        assert self._task is not None
        self._bar.update(self._task, completed=done, total=total)

    def note(self, text: str) -> None:
        """Report a change of state, such as a retry."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
        self._console.note(text)
