"""Run a batch on Ray Data: one actor for each worker, and rows in order."""

from __future__ import annotations

import queue
import threading
import time
import warnings
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from llmtool.background import BackgroundCall
from llmtool.batch.readers import Record
from llmtool.engine.types import Failed
from llmtool.errors import EngineError, LlmtoolError, ServerError
from llmtool.ray import cluster
from llmtool.ray.spool import Spool, read_spool
from llmtool.ray.worker import Answer, Recipe, Worker, identify
from llmtool.tasks.pipeline.context import TaskContext
from llmtool.tasks.pipeline.prepare import Case
from llmtool.tasks.pipeline.records import RecordMapping
from llmtool.tasks.results import Result

_POLL_SECONDS = 0.05
_JOIN_SECONDS = 20.0
_GROUPS_AHEAD = 8  # for each worker, so that none is idle
_MAX_RETRIES = 20  # of a group of cases whose worker dies
_END: Any = object()


class RayBatch:
    """The workers of a batch.

    Args:
        address: `local`, `auto` or `HOST:PORT`.
        n_workers: their number; None is one for each node.

    Raises:
        UsageError: Ray is not installed, or the address is invalid.

    Attributes:
        recipe: what the workers run; set before `answer_each`.
        n_threads: of a worker; it reserves as many CPUs.
        n_gpus: that a worker reserves.
        group_size: cases that a worker gets at once, and loses when it is killed.
    """

    def __init__(self, address: str, n_workers: int | None = None) -> None:
        cluster.check_address(address)
        self.address, self.n_workers = address, n_workers
        self.recipe: Recipe | None = None
        self.n_threads, self.n_gpus, self.group_size = 1, 0, 16

    def answer_each(
        self,
        context: TaskContext,
        records: Iterable[Record | None],
        mapping: RecordMapping,
        *,
        seed: int | None = None,
        on_note: Callable[[str], object] = lambda text: None,
        on_connected: Callable[[], object] = lambda: None,
    ) -> Generator[tuple[Record, Result | LlmtoolError], None, None]:
        """Yield each record with its result or error, in order; see `records.answer_each`.

        Args:
            on_note: called with the notes of the models.
            on_connected: called when Ray has started, and replaced the handlers of signals.

        Raises:
            ServerError: the cluster cannot be reached, or failed.
            LlmtoolError: a worker could not answer; its error.
        """
        assert self.recipe is not None
        # The workers get a copy, whose identity may differ: msgspec omits only values that are the
        # same object as the default.
        pickle = cluster.import_ray().cloudpickle
        recipe: Recipe = pickle.loads(pickle.dumps(self.recipe))
        worker = {"recipe": recipe, "identity": identify(context, recipe.prepare(context))}
        source, waiting = iter(records), deque[tuple[Record, LlmtoolError | None]]()
        limit = _GROUPS_AHEAD * self.group_size * (self.n_workers or 8)
        with ExitStack() as stack:
            folder = stack.enter_context(cluster.private_folder())
            spool = Spool(folder / "cases")
            run = _Run(self, folder, worker, on_connected, context.cancellation.check)
            stack.callback(run.stop)
            stack.callback(spool.end)
            group: list[Case] = []
            is_complete = False
            while not is_complete or waiting:
                while not is_complete and len(waiting) < limit:
                    record = next(source, _END)
                    is_complete = record is _END
                    if record is _END or record is None:
                        break
                    case = mapping.case(record, seed=seed)
                    waiting.append((record, case.error if isinstance(case, Failed) else None))
                    if isinstance(case, Case):
                        group.append(case)
                    if len(group) >= self.group_size:
                        run.add(spool, group)
                if group:
                    run.add(spool, group)
                if is_complete:
                    spool.end()
                yield from _take_failed(waiting)
                context.cancellation.check()
                if not waiting:
                    time.sleep(0 if is_complete else _POLL_SECONDS)
                    continue
                answer = run.next_answer()
                if answer is None:
                    continue
                for note in answer.notes:
                    on_note(note)
                if answer.error is not None:
                    raise answer.error
                if answer.id != waiting[0][0].index:
                    raise EngineError("Ray returned the rows in another order")
                for outcome in answer.outcomes:
                    yield from _take_failed(waiting)
                    record, _ = waiting.popleft()
                    if isinstance(outcome, Failed):
                        yield record, outcome.error
                    else:
                        yield record, outcome
                yield from _take_failed(waiting)
            run.finish()


def _take_failed(
    waiting: deque[tuple[Record, LlmtoolError | None]],
) -> Iterator[tuple[Record, LlmtoolError]]:
    """Yield the first records while they have an error."""
    while waiting and waiting[0][1] is not None:
        record, error = waiting.popleft()
        assert error is not None
        yield record, error


class _Run:
    """A pipeline of Ray Data in a thread, which starts with the first group of cases.

    Ray's calls cannot be interrupted, and its processes end with the thread that started them.
    """

    def __init__(
        self,
        batch: RayBatch,
        folder: Path,
        worker: dict[str, Any],
        on_connected: Callable[[], object],
        check: Callable[[], object],
    ) -> None:
        self._batch, self._folder, self._worker = batch, folder, worker
        self._on_connected, self._check = on_connected, check
        self._answers: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._call: BackgroundCall[None] | None = None
        self._started, self._stopped = threading.Event(), threading.Event()
        self._ray = cluster.import_ray()

    def add(self, spool: Spool, group: list[Case]) -> None:
        spool.add(self._ray.cloudpickle.dumps(group))
        group.clear()
        if self._call is None:
            self._call = BackgroundCall(self._run)
            while not self._started.wait(_POLL_SECONDS):
                self._check()
            self._on_connected()

    def next_answer(self) -> Answer | None:
        """Return the next answer, or None if there is none yet."""
        assert self._call is not None
        has_ended = not self._call.thread.is_alive()
        try:
            data = self._answers.get(timeout=_POLL_SECONDS)
        except queue.Empty:
            if has_ended:
                self._raise_error()
            return None
        answer: Answer = self._ray.cloudpickle.loads(data)
        return answer

    def _raise_error(self) -> None:
        assert self._call is not None
        error = self._call.error
        if isinstance(error, LlmtoolError):
            raise error
        if error is None:
            raise EngineError("Ray ended before all rows were complete")
        lines = [line for line in str(error).splitlines() if line.strip()]
        reason = f"{type(error).__name__}: {lines[-1].strip() if lines else 'no reason'}"
        raise ServerError(f"Ray stopped the batch: {reason}") from error

    def finish(self) -> None:
        """Wait until the pipeline has ended by itself, after its last answer."""
        if self._call is not None:
            self._call.thread.join(_JOIN_SECONDS)

    def stop(self) -> None:
        """End the workers, and a local cluster."""
        self._stopped.set()
        if self._call is not None and self._call.thread.is_alive():
            with suppress(Exception):  # the thread may be starting Ray, or have lost it
                self._ray.shutdown()
            self._call.thread.join(_JOIN_SECONDS)

    def _run(self) -> None:
        batch, ray = self._batch, self._ray
        n_local = (batch.n_workers or 1) * batch.n_threads + 1
        try:
            cluster.connect(ray, batch.address, self._folder, n_cpus=n_local)
        finally:
            self._started.set()
        try:
            if self._stopped.is_set():
                return
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                for row in _rows(ray, batch, self._folder / "cases", self._worker):
                    self._answers.put(row["answers"])
        finally:
            ray.shutdown()


def _rows(ray: Any, batch: RayBatch, path: Path, worker: dict[str, Any]) -> Iterator[Any]:
    """Yield the answers in order. Each group of cases is a block, which one worker gets."""
    from ray.data.block import BlockMetadata

    class Cases(ray.data.Datasource):  # type: ignore[misc]
        def get_name(self) -> str:
            return "Cases"

        def estimate_inmemory_data_size(self) -> int | None:
            return None

        def get_read_tasks(self, parallelism: int, *_: Any, **__: Any) -> list[Any]:
            about = BlockMetadata(num_rows=None, size_bytes=None, input_files=None, exec_stats=None)
            return [ray.data.ReadTask(lambda: _blocks(path), about)]

    context = ray.data.DataContext.get_current()
    context.execution_options.preserve_order = True
    context.enable_progress_bars = False
    # `answer_each` limits how far the cases are ahead.
    context._max_num_blocks_in_streaming_gen_buffer = 64 * _GROUPS_AHEAD
    context.target_max_block_size = 1  # bytes: a group is a block, which is processed by itself
    nodes = [node for node in ray.nodes() if node["Alive"]]
    here = ray.util.get_node_ip_address()
    # The file is on this node; another resource than that of the workers keeps the steps apart.
    source = ray.data.read_datasource(
        Cases(), override_num_blocks=1, num_cpus=0, resources={f"node:{here}": 0.001}
    )
    answers = source.map_batches(
        Worker,
        fn_constructor_kwargs=worker,
        batch_size=1,
        batch_format="numpy",
        compute=ray.data.ActorPoolStrategy(size=batch.n_workers or len(nodes)),
        num_cpus=batch.n_threads,
        num_gpus=batch.n_gpus,
        scheduling_strategy="SPREAD",
        max_restarts=-1,
        max_task_retries=_MAX_RETRIES,
    )
    yield from answers.iter_rows()


def _blocks(path: Path) -> Iterator[Any]:
    import pyarrow

    for cases in read_spool(path):
        yield pyarrow.table({"cases": [cases]})
