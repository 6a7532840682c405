"""Time from exec to the first byte of a reply, compared with bare llama.cpp calls and peers.

    python benchmarks/first_token.py [--rounds 11] [--model FILE.gguf]

The programs alternate, so that drifts in machine speed cancel out. Prints medians and the ratio to
the bare calls. All generate one greedy reply to the same prompt.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path

from contestants import contestants, find_model, speed_of


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--model", type=Path)
    args = parser.parse_args()
    found = contestants(find_model(args.model))
    times: dict[str, list[float]] = {name: [] for name, _ in found}
    for round_number in range(args.rounds + 1):
        for name, command in found:
            seconds = speed_of(command, first_only=True).first
            if round_number:  # the first round warms the page cache
                times[name].append(seconds)
    base = times[found[0].name]
    print(f"{'first byte after exec, seconds':34} {'min':>6} {'median':>7} {'max':>6}  ratio")
    for name, values in times.items():
        ratio = statistics.median(v / b for v, b in zip(values, base, strict=True))
        print(
            f"{name:34} {min(values):6.3f} {statistics.median(values):7.3f} "
            f"{max(values):6.3f}  {ratio:5.2f}"
        )


if __name__ == "__main__":
    main()
