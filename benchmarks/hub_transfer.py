"""Transfer speed against curl: one file, one loopback server, in pairs.

    python benchmarks/hub_transfer.py [--megabytes 512] [--pairs 5]

curl writes the file; llmtool writes it, hashes it, syncs it to disk and renames it. Each pair runs
back to back on the same server; the ratio of the medians is the figure (target: at least 0.9).
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
        curl, ours = [], []
        for index in range(options.pairs):
            curl.append(options.megabytes / time_curl(url, folder / "curl.gguf"))
            ours.append(options.megabytes / time_ours(hub.url, folder / f"home{index}"))
            print(f"curl {curl[-1]:6.0f} MB/s   llmtool {ours[-1]:6.0f} MB/s", flush=True)
        ratio = statistics.median(ours) / statistics.median(curl)
        print(f"ratio of the medians {ratio:.2f}")


def time_curl(url: str, path: Path) -> float:
    """Time curl's transfer alone: the redirect is followed by the same process."""
    start = time.perf_counter()
    subprocess.run(["curl", "-sSLf", "-o", str(path), url], check=True)
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
