"""Measurements of memory, llama.cpp's buffers and CPU time."""

from __future__ import annotations

import logging
import subprocess
import sys
import time

import pytest
from command import linux

from llmtool.engine.llama.memory_usage import Buffers, OtherPrograms, processor_name
from llmtool.machine import resident_bytes

MIB = 1 << 20
LOGGER = logging.getLogger("llmtool")


def log_lines(*lines: str) -> None:
    for line in lines:
        LOGGER.info("llama.cpp: %s", line)


def test_buffers_are_summed_by_kind() -> None:
    with Buffers() as buffers:
        log_lines(
            "load_tensors:   CPU_Mapped model buffer size =    85.50 MiB",
            "load_tensors:   CPU_REPACK model buffer size =    56.25 MiB",
            "llama_context:        CPU  output buffer size =     0.25 MiB",
            "llama_kv_cache:        CPU KV buffer size =     5.50 MiB",
            "llama_memory_recurrent:        CPU RS buffer size =     1.50 MiB",
            "llama_kv_cache: size =    5.50 MiB (   256 cells,  30 layers,  1/1 seqs)",
            "sched_reserve:        CPU compute buffer size =    49.00 MiB",
        )
    assert buffers.weights_bytes == 141.75 * MIB
    assert buffers.kv_bytes == 7 * MIB
    assert buffers.compute_bytes == 49.25 * MIB
    assert buffers.on_host


def test_gpu_buffer_is_not_on_the_host() -> None:
    with Buffers() as buffers:
        log_lines("load_tensors:        CUDA0 model buffer size =    85.50 MiB")
    assert not buffers.on_host


def test_log_handler_is_removed_and_the_level_restored() -> None:
    level = LOGGER.level
    with Buffers() as buffers:
        pass
    LOGGER.error("llama.cpp: CPU KV buffer size =     5.50 MiB")
    assert buffers.kv_bytes == 0
    assert LOGGER.level == level


@linux
def test_resident_memory_grows_with_written_memory() -> None:
    before = resident_bytes()
    block = bytearray(b"x") * (32 * MIB)
    after = resident_bytes()
    assert before is not None and after is not None
    assert after - before == pytest.approx(len(block), rel=0.2)


@linux
def test_cpu_time_of_other_programs_is_measured() -> None:
    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        others = OtherPrograms()
        time.sleep(0.6)
        n_cpus = others.processors()
    finally:
        busy.kill()
        busy.wait()
    assert n_cpus is not None and n_cpus > 0.3


def test_processor_has_a_name() -> None:
    assert processor_name().strip()
