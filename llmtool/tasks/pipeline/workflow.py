"""Run workflows: jobs of several requests, some of which depend on replies to others."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from typing import Any, Generic, TypeVar

import msgspec

from llmtool.engine.types import Engine, Failed, Finished, FinishReason, Request, Scores, Token
from llmtool.errors import Cancelled, EngineError, LlmtoolError
from llmtool.tasks.pipeline.ordering import MAX_AHEAD, closing_stream
from llmtool.tasks.results import NO_USAGE, total_usage

E = TypeVar("E")  # the events that a workflow reports while it runs


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One request of a workflow; `target` is for the workflow's own use.

    If `is_live` is set, the workflow gets each token of the reply in `Workflow.on_token`.
    """

    request: Request
    target: Any = None
    is_live: bool = False


class StepReply(msgspec.Struct, frozen=True, kw_only=True):
    """The reply to a step, without its reasoning; `has_reasoning` is whether there was any."""

    text: str
    finish_reason: FinishReason
    seed: int
    has_reasoning: bool = False


class Workflow(ABC, Generic[E]):
    """A job of several requests, such as the translation of a document.

    The runner adds up `usage`. An `LlmtoolError` that a method raises ends the workflow and is
    stored in `error`.
    """

    def __init__(self, id: int) -> None:
        self.id = id
        self.error: LlmtoolError | None = None
        self.usage = NO_USAGE

    @property
    @abstractmethod
    def is_complete(self) -> bool: ...

    @abstractmethod
    def start(self) -> Iterator[Step]:
        """Yield the first steps; the runner reads them when the engine has capacity."""

    @abstractmethod
    def on_reply(self, step: Step, reply: StepReply) -> Iterator[Step]:
        """Process a reply and yield the next steps."""

    def on_error(self, step: Step, error: LlmtoolError) -> Iterator[Step]:
        """Handle a failed step and yield the next steps; by default the workflow fails."""
        raise error

    def on_token(self, step: Step, token: Token) -> Iterator[E]:
        """Yield events for a token of a live step."""
        return iter(())

    def drain_events(self) -> Iterator[E]:
        """Yield the events that have accumulated since the last call."""
        return iter(())


W = TypeVar("W", bound=Workflow[Any])


class WorkflowRunner(Generic[W, E]):
    """Runs many workflows over one engine stream, so that the engine is never idle.

    Workflows are read when the engine has capacity for their requests. `None` among them means
    that the next one is not available yet; a `Failed` takes its place in the output.
    """

    def __init__(self, engine: Engine, workflows: Iterable[W | Failed | None]) -> None:
        self._engine, self._workflows = engine, workflows
        self._unfinished: deque[W | Failed] = deque()  # in the order of the output
        self._ready: deque[tuple[W, Step]] = deque()
        self._running: dict[int, _Running[W]] = {}  # by request id
        self._next_id = 0

    def run(self) -> Generator[E | W | Failed, None, None]:
        """Yield events of all workflows as they occur, and each workflow when it is complete.

        Complete workflows are yielded in their original order, failed ones as a `Failed`. After a
        stop, every unfinished workflow yields a `Failed` before `Cancelled` is raised.
        """
        with closing_stream(self._engine.stream(self._requests())) as events:
            try:
                for event in events:
                    running = self._running.get(event.id)
                    if isinstance(event, Token):
                        if running is not None:
                            yield from running.add(event)
                        continue
                    if running is not None and not isinstance(event, Scores):
                        del self._running[event.id]
                        self._finish(running, event)
                    yield from self._output(running.workflow if running is not None else None)
            except Cancelled as exc:
                while self._unfinished:
                    first = self._unfinished.popleft()
                    yield _outcome(first) or Failed(first.id, exc)
                raise
            if self._unfinished:
                raise EngineError("the model was closed before all replies were complete")

    def _requests(self) -> Iterator[Request | Failed | None]:
        """Yield requests as the engine needs them: follow-up steps first, then new ones."""
        new = self._first_steps()
        is_exhausted = False
        while True:
            if self._ready:
                yield self._register(*self._ready.popleft())
            elif is_exhausted and not self._running:
                return
            elif is_exhausted or max(len(self._running), len(self._unfinished)) >= MAX_AHEAD:
                yield None
            else:
                item = next(new, _END)
                if item is _END:
                    is_exhausted = True
                elif isinstance(item, tuple):
                    yield self._register(*item)
                else:
                    yield item

    def _first_steps(self) -> Iterator[tuple[W, Step] | Failed | None]:
        for workflow in self._workflows:
            if workflow is None:
                yield None
                continue
            self._unfinished.append(workflow)
            if not isinstance(workflow, Failed):
                try:
                    for step in workflow.start():
                        yield workflow, step
                        if workflow.error is not None:
                            break
                except LlmtoolError as exc:
                    _fail(workflow, exc)
            # The engine returns this immediately, so that complete workflows are yielded promptly.
            yield Failed(-1, EngineError("wake-up"))

    def _register(self, workflow: W, step: Step) -> Request | None:
        if workflow.error is not None:
            return None
        self._next_id += 1
        self._running[self._next_id] = _Running(workflow, step)
        return msgspec.structs.replace(step.request, id=self._next_id)

    def _finish(self, running: _Running[W], event: Finished | Failed) -> None:
        workflow, step = running.workflow, running.step
        if isinstance(event, Finished):
            workflow.usage = total_usage((workflow.usage, event.usage))
        if workflow.error is not None:
            return
        try:
            if isinstance(event, Failed):
                if isinstance(event.error, Cancelled):
                    raise event.error
                steps = workflow.on_error(step, event.error)
            else:
                steps = workflow.on_reply(step, running.reply(event))
            self._ready.extend((workflow, each) for each in steps)
        except LlmtoolError as exc:
            _fail(workflow, exc)

    def _output(self, changed: W | None) -> Iterator[E | W | Failed]:
        """Yield new events, then the complete workflows at the head of the queue."""
        candidates = self._unfinished if changed is None else [changed]
        for each in list(candidates):
            if not isinstance(each, Failed) and each.error is None:
                yield from each.drain_events()
        while self._unfinished and (found := _outcome(self._unfinished[0])) is not None:
            yield found
            self._unfinished.popleft()


class _Running(Generic[W]):
    """A step that the engine is processing, with the text of its reply so far."""

    def __init__(self, workflow: W, step: Step) -> None:
        self.workflow, self.step = workflow, step
        self._text: list[str] = []
        self._has_reasoning = False

    def add(self, token: Token) -> Iterator[Any]:
        self._text.append(token.text)
        self._has_reasoning = self._has_reasoning or bool(token.reasoning)
        if self.step.is_live:
            yield from self.workflow.on_token(self.step, token)

    def reply(self, event: Finished) -> StepReply:
        return StepReply(
            text="".join(self._text),
            finish_reason=event.finish_reason,
            seed=event.seed,
            has_reasoning=self._has_reasoning,
        )


_END: Any = object()


def _outcome(workflow: W | Failed) -> W | Failed | None:
    """Return a workflow that is complete or has failed, None if it is unfinished."""
    if isinstance(workflow, Failed):
        return workflow
    if workflow.error is not None:
        return Failed(workflow.id, workflow.error)
    return workflow if workflow.is_complete else None


def _fail(workflow: Workflow[Any], error: LlmtoolError) -> None:
    if isinstance(error, Cancelled):
        raise error
    workflow.error = workflow.error or error
