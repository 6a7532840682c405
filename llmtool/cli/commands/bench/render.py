"""A benchmark from its first load to its table."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import msgspec

from llmtool import bench, machine
from llmtool._version import __version__
from llmtool.cli.render import tables
from llmtool.cli.terminal.console import Console
from llmtool.engine.llama import devices
from llmtool.engine.llama.bindings import library_version
from llmtool.engine.llama.engine import LocalEngine
from llmtool.engine.llama.memory_usage import OtherPrograms, processor_name
from llmtool.engine.types import Engine
from llmtool.models.gguf.reader import read_header
from llmtool.sizes import format_bytes, format_count
from llmtool.toolbox import Toolbox

_BUSY = 0.2  # processors that others may use before the figures are in doubt
_LOOK_SECONDS = 0.25


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What `llmtool bench --json` prints. Sizes are in bytes, times in seconds."""

    model: dict[str, Any]
    machine: dict[str, Any]
    plan: bench.Plan
    rows: list[bench.Row]
    warnings: list[str]
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        value = msgspec.to_builtins(self)
        assert isinstance(value, dict)
        return {**value, "rows": [row.to_dict() for row in self.rows]}

    @property
    def title(self) -> str:
        """The model in a few words: `starter (llama, 135M, Q4_1, 98.4 MB)`."""
        m = self.model
        facts = [m["architecture"], _count(m["n_params"]), m["quant"], format_bytes(m["bytes"])]
        return f"{m['name']} ({', '.join(fact for fact in facts if fact)})"

    @property
    def place(self) -> str:
        """The machine in a few words."""
        m = self.machine
        threads = format_count(m["n_threads"], "thread")
        gpus = [f"{m['n_gpu_layers']} layers on {gpu}" for gpu in m["gpus"] if m["n_gpu_layers"]]
        return ", ".join([f"{m['processor']}, {threads}", *gpus, f"llama.cpp {m['llama.cpp']}"])

    @property
    def is_disturbed(self) -> bool:
        """Whether other programs used so much of the machine that the figures are in doubt."""
        return (self.machine["other_programs_cpus"] or 0) > _BUSY


def change(
    plan: bench.Plan, *, n_parallel: tuple[int, ...] | None, repetitions: int | None
) -> bench.Plan:
    """Return the plan with what the flags ask for."""
    return msgspec.structs.replace(
        plan,
        n_parallel=n_parallel or plan.n_parallel,
        repetitions=repetitions or plan.repetitions,
    )


def run(console: Console, box: Toolbox, plan: bench.Plan) -> Report:
    """Measure the model of a toolbox, and tell on stderr how far it is and what is amiss."""
    warnings: list[str] = []

    def warn(text: str) -> None:
        warnings.append(text)
        console.note(text)

    found = box.find_model()
    engine, memory = bench.weigh(lambda: box.engine)  # also reads the file into the page cache
    info = engine.info
    box.close()
    others = OtherPrograms()
    with console.interrupts.interruptible():
        time.sleep(_LOOK_SECONDS)
    before = others.processors()
    if before is not None and before > _BUSY:
        console.note(f"other programs keep {before:.1f} of {machine.usable_cpus()} processors busy")
    others, started = OtherPrograms(), time.perf_counter()

    def step(what: str) -> None:
        console.status(f"{time.perf_counter() - started:3.0f} s  {what}")

    def open_engine(n_parallel: int, cache: Path | None) -> Engine:
        return LocalEngine(
            found.path,
            n_threads=info.n_threads,
            n_gpu_layers=info.n_gpu_layers,
            n_parallel=n_parallel,
            prefix_folder=cache,
            cancellation=box.cancellation,
        )

    rows = list(bench.measure(open_engine, plan, memory=memory, on_step=step, on_note=warn))
    console.status("")
    during = others.processors()
    if during is not None and during > _BUSY:
        warn(
            f"other programs kept {during:.1f} of {machine.usable_cpus()} processors busy: "
            "the figures are lower than this machine's, measure again when it is quiet"
        )
    header = read_header(found.path)
    return Report(
        model={
            "name": found.name,
            "path": str(found.path),
            "architecture": header.architecture,
            "n_params": header.n_params,
            "quant": found.quant or header.quant,
            "bytes": found.size_bytes,
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


def table(console: Console, report: Report) -> None:
    """Print the rows: a table on a terminal, tab-separated in a pipe."""
    console.note(report.title)
    console.note(report.place)
    tables.table(
        console,
        ["what", "median", "unit", "min", "max", "times 1", "test"],
        [
            (
                row.what,
                _number(row.median, row.unit),
                "MB" if row.unit == "bytes" else row.unit,
                *_spread(row),
                "-" if row.ratio is None else f"{row.ratio:.2f}",
                row.test,
            )
            for row in report.rows
        ],
        right=["median", "min", "max", "times 1"],
    )
    times = report.plan.repetitions
    console.note(f"{report.seconds:.0f} s, {format_count(times, 'repetition')}")


def _spread(row: bench.Row) -> tuple[str, str]:
    if len(row.values) == 1:
        return "-", "-"
    return _number(min(row.values), row.unit), _number(max(row.values), row.unit)


def _number(value: float, unit: str) -> str:
    if unit == "bytes":
        return f"{value / 1e6:.1f}"
    return f"{value:.3f}" if unit == "s" else f"{value:.1f}"


def _count(n: int) -> str:
    """Return a number of parameters as models are named: 135M, 1.5B."""
    return f"{n / 1e9:.1f}B" if n >= 1e9 else f"{n / 1e6:.0f}M"
