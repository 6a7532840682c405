"""Benchmark a model and describe the model and the machine."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from llmtool import machine
from llmtool._version import __version__
from llmtool.bench.measure import BenchPlan, OnText, Row, measure, measure_memory
from llmtool.engine.llama import devices
from llmtool.engine.llama.bindings import library_version
from llmtool.engine.llama.engine import LocalEngine
from llmtool.engine.llama.memory_usage import OtherPrograms, processor_name
from llmtool.engine.llama.model import load_model
from llmtool.engine.types import Engine
from llmtool.models.gguf.reader import read_header
from llmtool.sizes import format_bytes, format_count

if TYPE_CHECKING:
    from llmtool.local_model import LocalModel

_BUSY = 0.2  # CPUs used by other programs above which the figures are unreliable
_LOAD_SECONDS = 0.25  # how long to measure the load of other programs before the start


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a benchmark, as `llmtool bench --json` prints it.

    Sizes are in bytes, times in seconds.
    """

    model: dict[str, Any]
    machine: dict[str, Any]
    plan: BenchPlan
    rows: list[Row]
    warnings: list[str]
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        value = msgspec.to_builtins(self)
        assert isinstance(value, dict)
        return {**value, "rows": [row.to_dict() for row in self.rows]}

    @property
    def title(self) -> str:
        """A description of the model: `starter (llama, 135M, Q4_1, 98.4 MB)`."""
        m = self.model
        facts = [
            m["architecture"],
            _count(m["n_params"]),
            m["quant"],
            format_bytes(m["size_bytes"]),
        ]
        return f"{m['name']} ({', '.join(fact for fact in facts if fact)})"

    @property
    def machine_title(self) -> str:
        """A description of the machine: processor, threads, GPUs and version of llama.cpp."""
        m = self.machine
        threads = format_count(m["n_threads"], "thread")
        gpus = [f"{m['n_gpu_layers']} layers on {gpu}" for gpu in m["gpus"] if m["n_gpu_layers"]]
        return ", ".join([f"{m['processor']}, {threads}", *gpus, f"llama.cpp {m['llama.cpp']}"])

    @property
    def is_disturbed(self) -> bool:
        """Whether other programs used so much of the CPU that the figures are unreliable."""
        return (self.machine["other_programs_cpus"] or 0) > _BUSY


def run(model: LocalModel, plan: BenchPlan, *, on_step: OnText, on_note: OnText) -> Report:
    """Benchmark a model; its engine is closed and loads again on the next use.

    Args:
        on_step: called with the name of each measurement before it starts.
        on_note: called with each warning of the report when it occurs, and with the load of other
            programs before the start.

    Raises:
        Cancelled: the model's cancellation was set.
        LlmtoolError: the model cannot be loaded.

    Example: `run(model, QUICK, on_step=print, on_note=print).rows[0].median`
    """
    warnings: list[str] = []

    def warn(text: str) -> None:
        warnings.append(text)
        on_note(text)

    found = model.file
    # Also reads the file into the page cache.
    engine, memory = measure_memory(lambda: model.engine)
    info = engine.info
    model.close()
    others = OtherPrograms()
    time.sleep(_LOAD_SECONDS)
    model.cancellation.check()
    before = others.processors()
    if before is not None and before > _BUSY:
        on_note(f"other programs are using {before:.1f} of {machine.usable_cpus()} CPUs")
    others, started = OtherPrograms(), time.perf_counter()

    def open_engine(n_parallel: int, cache: Path | None) -> Engine:
        weights = load_model(
            found.path,
            n_gpu_layers=info.n_gpu_layers,
            cancellation=model.cancellation,
            on_fault=model.on_fault,
        )
        return LocalEngine(
            weights,
            n_threads=info.n_threads,
            n_parallel=n_parallel,
            prefix_folder=cache,
            chat_template=model.chat_template,
            cancellation=model.cancellation,
        )

    rows = [*measure(open_engine, plan, on_step=on_step, on_note=warn), *memory]
    during = others.processors()
    if during is not None and during > _BUSY:
        warn(
            f"other programs used {during:.1f} of {machine.usable_cpus()} CPUs, which lowers the "
            "figures; repeat the benchmark on an idle machine"
        )
    header = read_header(found.path)
    return Report(
        model={
            "name": found.name,
            "path": str(found.path),
            "architecture": header.architecture,
            "n_params": header.n_params,
            "quant": found.quant or header.quant,
            "size_bytes": found.size_bytes,
        },
        machine={
            "processor": processor_name(),
            "cpus": machine.usable_cpus(),
            "n_threads": info.n_threads,
            "n_gpu_layers": info.n_gpu_layers,
            "gpus": [d.description for d in devices.devices() if d.kind in ("gpu", "igpu")],
            "llama.cpp": library_version(),
            "llmtool": __version__,
            "other_programs_cpus": during,
        },
        plan=plan,
        rows=rows,
        warnings=warnings,
        seconds=time.perf_counter() - started,
    )


def _count(n: int) -> str:
    """Return a number of parameters in the form used in model names: 135M, 1.5B."""
    return f"{n / 1e9:.1f}B" if n >= 1e9 else f"{n / 1e6:.0f}M"
