"""Measurements of memory, llama.cpp's buffers and CPU time."""

from __future__ import annotations

import logging
import platform
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


FREES_IN_THREADS = """
import ctypes, re, sys, threading
from llmtool.machine import limit_heaps

def anonymous_mb():
    return int(re.search(r"RssAnon:\\s+(\\d+)", open("/proc/self/status").read())[1]) / 1000

def work(at):
    turns[at].wait()
    blocks = [libc.malloc(100_000) for _ in range(100)]
    for block in blocks:
        libc.memset(block, 1, 100_000)
    libc.malloc(100)  # stays
    for block in blocks:
        libc.free(block)
    turns[at + 1].set()
    turns[-1].wait()

if sys.argv[1:]:
    limit_heaps()
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.malloc.argtypes = [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]
libc.memset.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
turns = [threading.Event() for _ in range(10)]
threads = [threading.Thread(target=work, args=(at,)) for at in range(8)]
for thread in threads:
    thread.start()
before = anonymous_mb()
turns[0].set()
turns[8].wait()
print(anonymous_mb() - before)
turns[9].set()
"""


@linux
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other allocators differ")
def test_threads_that_free_memory_do_not_each_keep_it() -> None:
    def growth(*arguments: str) -> float:
        command = [sys.executable, "-c", FREES_IN_THREADS, *arguments]
        return float(subprocess.run(command, check=True, capture_output=True).stdout)

    assert growth() > 40  # 10 MB for each thread, as far as there are heaps
    assert growth("limit") < 25
