"""Download speed compared with curl: one file from a server on loopback.

    python benchmarks/hub_transfer.py [--megabytes 512] [--rounds 7]

    curl                    writes the file
    llmtool                 writes, hashes, syncs and renames the file (target: 0.9)
    curl, sync              the file is on disk when the command ends
    curl, sync, sha256sum   the same work with shell tools

The ratio is the median over rounds. Three free cores are ideal: for the server, writing and
hashing. The order changes from round to round, because a later command may find less free memory.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

PULL = """
import json, os, sys, time
from pathlib import Path
from llmtool.config import find_folders
from llmtool.models.download import download_model, plan_download
from llmtool.models.hub.callbacks import Callbacks
from llmtool.models.hub.client import Hub
from llmtool.models.hub.retry import RetryPolicy
from llmtool.models.registry import Registry
from llmtool.models.store import Store
store = Store(find_folders(os.environ))
hub = Hub(retry=RetryPolicy(), callbacks=Callbacks(), known_repos=set)
reference = store.resolve("org/big")
start = time.perf_counter()
download_model(store.layout, plan_download(store.layout, reference, hub, Registry()), hub)
print(time.perf_counter() - start)
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--megabytes", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()

    from hub.hub_server import FakeHub

    with tempfile.TemporaryDirectory() as name, FakeHub() as hub:
        folder = Path(name)
        big = folder / "big-Q4_K_M.gguf"
        with big.open("wb") as file:
            for _ in range(options.megabytes):
                file.write(os.urandom(1_000_000))
        hub.add("org/big", {"big-Q4_K_M.gguf": big})
        url = f"{hub.url}/org/big/resolve/main/big-Q4_K_M.gguf"
        assert hub.repos["org/big"].files["big-Q4_K_M.gguf"].sha256
        ways = {
            "curl": lambda: time_curl(url, folder / "curl.gguf"),
            "llmtool": lambda: time_ours(hub.url, folder / "home"),
            "curl, sync": lambda: time_curl(url, folder / "curl.gguf", "sync"),
            "curl, sync, sha256sum": lambda: time_curl(
                url, folder / "curl.gguf", "sync", "sha256sum"
            ),
        }
        rounds = [measure(ways, number) for number in range(options.rounds)]
    print(f"{options.megabytes} MB, {options.rounds} rounds, load {os.getloadavg()[0]:.1f}")
    print(f"{'':22} {'MB/s':>6} {'slowest':>8} {'fastest':>8} {'ratio':>8}")
    for name in ways:
        speeds = [options.megabytes / seconds[name] for seconds in rounds]
        ratio = statistics.median(seconds["curl"] / seconds[name] for seconds in rounds)
        middle = statistics.median(speeds)
        print(f"{name:22} {middle:6.0f} {min(speeds):8.0f} {max(speeds):8.0f} {ratio:8.2f}")


def measure(ways: dict[str, Callable[[], float]], number: int) -> dict[str, float]:
    """Return the seconds of each way; the order rotates from round to round."""
    names = list(ways)
    first = number % len(names)
    return {name: ways[name]() for name in [*names[first:], *names[:first]]}


def time_curl(url: str, path: Path, *then: str) -> float:
    """Return the seconds of curl followed by these commands on the file."""
    start = time.perf_counter()
    subprocess.run(["curl", "-sSLf", "-o", str(path), url], check=True)
    for command in then:
        subprocess.run([command, str(path)], check=True, stdout=subprocess.DEVNULL)
    seconds = time.perf_counter() - start
    path.unlink()
    return seconds


def time_ours(endpoint: str, home: Path) -> float:
    env = {
        "PATH": os.environ["PATH"], "HOME": str(home), "HF_HOME": str(home / "hf"),
        "LLMTOOL_DATA_DIR": str(home / "data"), "HF_ENDPOINT": endpoint,
        "PYTHONPATH": str(ROOT), "NO_PROXY": "*",
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", PULL], env=env, check=True, capture_output=True, text=True
    )
    for path in home.rglob("*"):
        if path.is_file() and not path.is_symlink():
            path.unlink()
    return float(done.stdout)


if __name__ == "__main__":
    main()
