"""Find the CPUs, memory and programs available to this process, and the memory that it used."""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import shutil
import sys
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")
_M_ARENA_MAX, _M_MMAP_THRESHOLD = -8, -3  # malloc.h of glibc
_MAX_HEAPS = 2
_LARGE_BLOCK = 256 << 10  # bytes; returned to the system when it is freed


def usable_cpus() -> int:
    """Return the number of CPUs in this process's affinity mask."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0)) or 1
    return os.cpu_count() or 1


def peak_bytes() -> int | None:
    """Return the peak memory of this process in bytes, or None if unknown."""
    with contextlib.suppress(OSError):  # on Linux, where `getrusage` includes that of the parent
        if found := re.search(r"^VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text(), re.M):
            return int(found[1]) * 1024
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def resident_bytes(process: int | str = "self") -> int | None:
    """Return the resident memory of a process in bytes, including mapped files (Linux)."""
    try:
        pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return None


def cgroup_cpus(root: Path = _CGROUP) -> float | None:
    """Return the CPU quota of the cgroup in CPUs, or None if unlimited."""
    try:
        quota, period = (root / "cpu.max").read_text().split()
        return None if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError):
        pass
    try:
        v1 = root / "cpu"
        us = int((v1 / "cpu.cfs_quota_us").read_text())
        return us / int((v1 / "cpu.cfs_period_us").read_text()) if us > 0 else None
    except (OSError, ValueError, ZeroDivisionError):
        return None


def physical_cores() -> int | None:
    """Return the number of physical cores of the usable CPUs, or None if unknown."""
    if sys.platform == "darwin":
        # Efficiency cores slow down decoding: each step waits for the slowest thread.
        return _sysctl("hw.perflevel0.physicalcpu") or _sysctl("hw.physicalcpu")
    if not hasattr(os, "sched_getaffinity"):
        return None
    cores = set()
    for cpu in os.sched_getaffinity(0):
        path = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
        try:
            cores.add(path.read_text().strip())
        except OSError:
            return None
    return len(cores)


def default_threads() -> int:
    """Return the number of threads for decoding: usable cores, limited by the cgroup's quota.

    Hyper-threads share the vector units of their core, so each core counts once. On machines with
    at most four CPUs all are used, as in llama.cpp.
    """
    cpus = usable_cpus()
    threads = cpus if cpus <= 4 else min(cpus, physical_cores() or cpus)
    quota = cgroup_cpus()
    if quota is not None:
        threads = min(threads, int(quota + 0.5))
    return max(1, threads)


def memory_bytes() -> tuple[int | None, int | None]:
    """Return the (total, available) memory for this process in bytes; None if unknown."""
    if sys.platform == "darwin":
        return _sysctl("hw.memsize"), None
    total = available = None
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            name, _, rest = line.partition(":")
            if name == "MemTotal":
                total = int(rest.split()[0]) * 1024
            elif name == "MemAvailable":
                available = int(rest.split()[0]) * 1024
    except (OSError, ValueError, IndexError):
        return None, None
    limit, used = _cgroup_memory()
    if limit is not None and (total is None or limit < total):
        total = limit
        available = limit - used if available is None else min(available, limit - used)
    return total, available


def _cgroup_memory(root: Path = _CGROUP) -> tuple[int | None, int]:
    for limit, used in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        try:
            return int((root / limit).read_text()), int((root / used).read_text())
        except (OSError, ValueError):
            continue
    return None, 0


def _sysctl(name: str) -> int | None:
    value, size = ctypes.c_uint64(0), ctypes.c_size_t(8)
    try:
        libc = ctypes.CDLL(None)
        failed = libc.sysctlbyname(
            name.encode(), ctypes.byref(value), ctypes.byref(size), None, ctypes.c_size_t(0)
        )
    except (OSError, AttributeError):
        return None
    return None if failed else int(value.value)


def trim_heap() -> None:
    """Return freed memory to the system (glibc): at least 2 MB after loading a model, in 0.2 ms."""
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)


def allocated_bytes() -> int | None:
    """Return the memory that native code has allocated from the heaps of glibc, None elsewhere."""
    read = getattr(ctypes.CDLL(None), "mallinfo2", None) if sys.platform == "linux" else None
    if read is None:
        return None
    read.restype = _HeapInfo
    info = read()
    return int(info.uordblks + info.hblkhd)


class _HeapInfo(ctypes.Structure):
    """`struct mallinfo2` in malloc.h of glibc: blocks in heaps, and large ones outside."""

    _fields_ = (
        *((name, ctypes.c_size_t) for name in ("arena", "ordblks", "smblks", "hblks", "hblkhd")),
        *((name, ctypes.c_size_t) for name in ("usmblks", "fsmblks", "uordblks", "fordblks")),
        ("keepcost", ctypes.c_size_t),
    )


def limit_heaps() -> None:
    """Keep little freed memory (glibc), for a process with many threads; call it before they start.

    glibc has up to eight heaps per CPU, each as large as its threads have ever needed at once, and
    serves larger and larger blocks from them.
    """
    if sys.platform == "linux":
        set_option = getattr(ctypes.CDLL(None), "mallopt", None)
        if set_option is not None:
            set_option(_M_ARENA_MAX, _MAX_HEAPS)
            set_option(_M_MMAP_THRESHOLD, _LARGE_BLOCK)  # also ends its adjustment


def find_program(name: str) -> str | None:
    """Return the absolute path of a program on PATH, or None if it is not found.

    Relative and empty entries of PATH are ignored, since they could run a file in the current
    directory. Windows always searches that directory, so the result is checked as well.
    """
    folders = [folder for folder in os.get_exec_path() if os.path.isabs(folder)]
    found = shutil.which(name, path=os.pathsep.join(folders)) if folders else None
    return found if found is not None and os.path.isabs(found) else None
