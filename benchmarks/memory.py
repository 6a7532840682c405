"""What a run takes in memory beyond the weights, and where it goes.

    python benchmarks/memory.py [--model FILE]

First the peaks of whole runs (`ru_maxrss`, megabytes of 10^6 bytes): the least that Python can do
with llama.cpp, `llmtool gen`, and the high-level class of llama-cpp-python. Then the memory in use
of one `llmtool gen`, step by step, and the same of the bare calls; `peak` is the most until then.
Files that are mapped count, libraries and weights too; Linux alone tells these.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

from contestants import BARE, contestants, find_model

PROMPT = "Write a short story about a lighthouse keeper."
TOKENS = 8

SHOW = """
import atexit, sys
def show(step):
    lines = open("/proc/self/status").read().splitlines()
    kb = {line.split(":")[0]: int(line.split()[1]) for line in lines if line.endswith(" kB")}
    values = [kb[name] * 1024 / 1e6 for name in ("VmRSS", "RssAnon", "RssFile", "VmHWM")]
    print(f"{step:32}" + "".join(f"{value:9.1f}" for value in values), file=sys.stderr)
show("the interpreter")
"""
OURS = """
import os
import llmtool.cli.app
show("the command line's frame")
from llmtool.engine.llama import bindings, context, model
exit_now, load, make = os._exit, model.LlamaModel.__init__, context.Context.__init__
def loading(self, *args, **options):
    show("all imports, while it loads")
    bindings.bindings()
    load(self, *args, **options)
    show("weights and vocabulary loaded")
def making(self, *args, **options):
    show("freed memory given back")
    make(self, *args, **options)
    show("a context made")
def leaving(code):
    show("a reply written")
    exit_now(code)
model.LlamaModel.__init__, context.Context.__init__, os._exit = loading, making, leaving
sys.argv = ["llmtool", "gen", "-q", "-m", sys.argv[1], "--temperature", "0", "--max-tokens",
            sys.argv[3], "--no-stdin", sys.argv[2]]
llmtool.cli.app.main()
show("a reply written")
"""


def peak(command: list[str]) -> float:
    """Return the most memory that a command had in use, in MB."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{command[:3]} failed")
    return usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6


def bare_steps() -> str:
    """Return the script of the bare calls, which tells its memory on the way."""
    told = BARE
    for line, step in (
        ("lib.llama_backend_init()\n", "llama.cpp's libraries"),
        ("lib.llama_model_default_params())\n", "weights and vocabulary loaded"),
        ("lib.llama_init_from_model(model, params)\n", "a context made"),
    ):
        assert line in told
        told = told.replace(line, f"{line}show({step!r})\n")
    return told.replace("os._exit(0)", "show('a reply written')\nos._exit(0)")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path)
    model = find_model(parser.parse_args().model)
    print(f"{model.name}: {model.stat().st_size / 1e6:.1f} MB, a reply of {TOKENS} tokens")
    for contestant in contestants(model, max_tokens=TOKENS, prompt=PROMPT)[:3]:
        print(f"{contestant.name:32}{peak(contestant.command):9.1f} MB at the most", flush=True)
    for name, script in (("llmtool gen", OURS), ("bare low-level calls", bare_steps())):
        print(f"{name:32}{'in use':>9}{'anonymous':>10}{'mapped':>8}{'peak':>9}", flush=True)
        command = [sys.executable, "-c", SHOW + script, str(model), PROMPT, str(TOKENS)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
