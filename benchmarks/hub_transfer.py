"""Transfer speed against curl: one file, one loopback server, in pairs.

    python benchmarks/hub_transfer.py [--megabytes 512] [--pairs 5]

curl writes the file; llmtool writes it, hashes it, syncs it to disk and renames it. Each pair runs
back to back on the same server; the ratio of the medians is the figure (target: at least 0.9 where
two cores are free for the client: it writes on one and hashes on the other). For the same work,
curl followed by sha256sum is measured as well.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

PULL = """
import json, os, sys, time
from pathlib import Path
from llmtool.config import find_folders
from llmtool.models.hub import Hub
from llmtool.models import pull
from llmtool.models.store import Store
store = Store(find_folders(os.environ))
hub, reference = Hub(), store.resolve("org/big")
start = time.perf_counter()
pull.pull(store, reference, hub)
print(time.perf_counter() - start)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=512)
    parser.add_argument("--pairs", type=int, default=5)
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
        curl, both, ours = [], [], []
        for index in range(options.pairs):
            seconds, more = time_curl(url, folder / "curl.gguf")
            curl.append(options.megabytes / seconds)
            both.append(options.megabytes / (seconds + more))
            ours.append(options.megabytes / time_ours(hub.url, folder / f"home{index}"))
            print(
                f"curl {curl[-1]:6.0f} MB/s   curl and sha256sum {both[-1]:6.0f} MB/s   "
                f"llmtool {ours[-1]:6.0f} MB/s   load {os.getloadavg()[0]:.1f}",
                flush=True,
            )
        median = statistics.median(ours)
        print(f"ratio of the medians, to curl {median / statistics.median(curl):.2f}")
        print(f"ratio of the medians, to curl and sha256sum {median / statistics.median(both):.2f}")


def time_curl(url: str, path: Path) -> tuple[float, float]:
    """Return the seconds that curl takes, and those of sha256sum after it."""
    start = time.perf_counter()
    subprocess.run(["curl", "-sSLf", "-o", str(path), url], check=True)
    middle = time.perf_counter()
    subprocess.run(["sha256sum", str(path)], check=True, stdout=subprocess.DEVNULL)
    end = time.perf_counter()
    path.unlink()
    return middle - start, end - middle


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
