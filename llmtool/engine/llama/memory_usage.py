"""Measure memory, llama.cpp's buffers, and the CPU time of other programs."""

from __future__ import annotations

import logging
import os
import platform
import re
import time
from pathlib import Path

_BUFFER = re.compile(r"(\S+)\s+(model|KV|RS|compute|output) buffer size =\s*([\d.]+) MiB")
_MIB = 1 << 20


class Buffers(logging.Handler):
    """Sums the buffer sizes that llama.cpp logs during a `with` block; its API has no call for it.

    `on_host` is false if any buffer is in the memory of a GPU.
    """

    def __init__(self) -> None:
        super().__init__()
        self.weights_bytes = self.kv_bytes = self.compute_bytes = 0
        self.on_host = True
        self._logger = logging.getLogger("llmtool")

    def __enter__(self) -> Buffers:
        self._level = self._logger.level
        self._logger.setLevel(logging.DEBUG)
        self._logger.addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        self._logger.removeHandler(self)
        self._logger.setLevel(self._level)

    def emit(self, record: logging.LogRecord) -> None:
        match = _BUFFER.search(record.getMessage())
        if match is None:
            return
        device, kind, mib = match.groups()
        size = round(float(mib) * _MIB)
        if kind == "model":
            self.weights_bytes += size
        elif kind in ("KV", "RS"):
            self.kv_bytes += size
        else:
            self.compute_bytes += size
        self.on_host = self.on_host and device.startswith("CPU")


class OtherPrograms:
    """Measures the CPU time that other programs use after its creation (Linux).

    The load average would lag and include our own work.
    """

    def __init__(self) -> None:
        self._started, self._busy, self._own = time.perf_counter(), _busy_seconds(), _own_seconds()

    def processors(self) -> float | None:
        """Return the average number of our CPUs that other programs used, or None if unknown.

        Example:
            others = OtherPrograms()
            time.sleep(0.25)
            if (others.processors() or 0) > 0.2:
                print("this machine is busy")
        """
        busy = _busy_seconds()
        if busy is None or self._busy is None:
            return None
        seconds = max(time.perf_counter() - self._started, 1e-3)
        return max(0.0, (busy - self._busy - (_own_seconds() - self._own)) / seconds)


def _busy_seconds() -> float | None:
    """Return the busy time since boot of the CPUs in our affinity mask."""
    try:
        lines = Path("/proc/stat").read_text().splitlines()
        ours = {f"cpu{number}" for number in os.sched_getaffinity(0)}
        ticks = 0
        for line in lines:
            name, *counts = line.split()
            if name in ours:  # user nice system idle iowait irq softirq steal
                ticks += sum(int(n) for n in (*counts[:3], *counts[5:8]))
        return ticks / os.sysconf("SC_CLK_TCK") or None
    except (OSError, ValueError, AttributeError):
        return None


def _own_seconds() -> float:
    return sum(os.times()[:4])


def processor_name() -> str:
    """Return the model name of the CPU."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            key, _, value = line.partition(":")
            if key.strip() in ("model name", "Model"):
                return " ".join(value.split())
    except OSError:
        pass
    return platform.processor() or platform.machine()
