"""Memory of one command in addition to the weights, step by step.

    python benchmarks/memory.py [--model FILE]

Prints the peaks of whole processes (`ru_maxrss`, in MB of 10^6 bytes): bare llama.cpp calls,
`llmtool gen`, and llama-cpp-python's Llama class. Then the memory of `llmtool gen` and of the bare
calls after each step; `peak` is the maximum so far. Mapped files (libraries and weights) are
included. The steps need Linux.
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
show("command-line framework")
from llmtool.engine.llama import bindings, context, model
exit_now, load, make = os._exit, model.LlamaModel.__init__, context.Context.__init__
def loading(self, *args, **options):
    show("all imports, during loading")
    bindings.bindings()
    load(self, *args, **options)
    show("weights and vocabulary loaded")
def making(self, *args, **options):
    show("freed memory returned")
    make(self, *args, **options)
    show("context created")
def leaving(code):
    show("reply generated")
    exit_now(code)
model.LlamaModel.__init__, context.Context.__init__, os._exit = loading, making, leaving
sys.argv = ["llmtool", "gen", "-q", "-m", sys.argv[1], "--temperature", "0", "--max-tokens",
            sys.argv[3], "--no-stdin", sys.argv[2]]
llmtool.cli.app.main()
show("reply generated")
"""


def peak(command: list[str]) -> float:
    """Return the peak memory of a command in MB."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{command[:3]} failed")
    return usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6


def bare_steps() -> str:
    """Return the script of the bare calls with a memory report after each step."""
    script = BARE
    for line, step in (
        ("lib.llama_backend_init()\n", "llama.cpp's libraries"),
        ("lib.llama_model_default_params())\n", "weights and vocabulary loaded"),
        ("lib.llama_init_from_model(model, params)\n", "context created"),
    ):
        assert line in script
        script = script.replace(line, f"{line}show({step!r})\n")
    return script.replace("os._exit(0)", "show('reply generated')\nos._exit(0)")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path)
    model = find_model(parser.parse_args().model)
    print(f"{model.name}: {model.stat().st_size / 1e6:.1f} MB, a reply of {TOKENS} tokens")
    for contestant in contestants(model, max_tokens=TOKENS, prompt=PROMPT)[:3]:
        print(f"{contestant.name:32}{peak(contestant.command):9.1f} MB peak", flush=True)
    for name, script in (("llmtool gen", OURS), ("bare low-level calls", bare_steps())):
        print(f"{name:32}{'in use':>9}{'anonymous':>10}{'mapped':>8}{'peak':>9}", flush=True)
        command = [sys.executable, "-c", SHOW + script, str(model), PROMPT, str(TOKENS)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
