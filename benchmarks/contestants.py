"""The compared programs: each answers one prompt, greedily, in a fresh process.

Each takes the model, the prompt and the number of tokens as arguments and writes every token
immediately. `speed_of` runs one and measures it.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

from llmtool.models.installed import find_starter

PROMPT = "Write a short story about a lighthouse keeper."

# The minimum in Python: only bindings, a context of 256, one prefill, then token by token.
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
piece = ctypes.create_string_buffer(256)
for left in range(int(sys.argv[3]) - 1, -1, -1):
    ids[0] = lib.llama_sampler_sample(chain, context, -1)
    if lib.llama_vocab_is_eog(vocab, ids[0]):
        break
    os.write(1, piece.raw[: lib.llama_token_to_piece(vocab, ids[0], piece, 256, 0, False)])
    if left:
        lib.llama_decode(context, lib.llama_batch_get_one(ids, 1))
os._exit(0)
"""
HIGH_LEVEL = """
import os, sys
from llama_cpp import Llama
model = Llama(sys.argv[1], n_ctx=512, n_threads=len(os.sched_getaffinity(0)), verbose=False)
messages = [{"role": "user", "content": sys.argv[2]}]
for part in model.create_chat_completion(
    messages, temperature=0, max_tokens=int(sys.argv[3]), stream=True
):
    os.write(1, (part["choices"][0]["delta"].get("content") or "").encode())
os._exit(0)
"""
# The `llm` command as its script starts it; its plugin has no token limit, so it is set below.
LLM = """
import functools, sys
from llama_cpp import Llama
Llama.create_chat_completion = functools.partialmethod(
    Llama.create_chat_completion, max_tokens=int(sys.argv[3]), temperature=0
)
from llm.cli import cli
sys.argv = ["llm", "-m", "SmolLM2", "--no-log", sys.argv[2]]
cli()
"""
XLLAMACPP = """
import os, sys
import xllamacpp
params = xllamacpp.CommonParams()
params.model.path = sys.argv[1]
params.n_ctx, params.n_parallel, params.warmup = 512, 1, False
threads = len(os.sched_getaffinity(0))
params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
server = xllamacpp.Server(params)
def write(part):
    os.write(1, (part["choices"][0]["delta"].get("content") or "").encode())
messages = [{"role": "user", "content": sys.argv[2]}]
request = {"messages": messages, "max_tokens": int(sys.argv[3]), "temperature": 0, "stream": True}
server.handle_chat_completions(request, write)
os._exit(0)
"""
# Reads a GGUF file, or a folder in transformers' format.
TRANSFORMERS = """
import os, sys
os.environ["HF_HUB_OFFLINE"] = "1"
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, TextStreamer
torch.set_num_threads(len(os.sched_getaffinity(0)))
folder, file = os.path.split(os.path.abspath(sys.argv[1]))
source = (folder, file) if file.endswith(".gguf") else (sys.argv[1], None)
tokenizer = AutoTokenizer.from_pretrained(source[0], gguf_file=source[1])
model = AutoModelForCausalLM.from_pretrained(source[0], gguf_file=source[1])
class Writer(TextStreamer):
    def put(self, value):
        if self.next_tokens_are_prompt:
            self.next_tokens_are_prompt = False
        else:
            os.write(1, self.tokenizer.decode(value).encode())
    def end(self):
        pass
ids = tokenizer.apply_chat_template(
    [{"role": "user", "content": sys.argv[2]}], add_generation_prompt=True, return_tensors="pt",
    return_dict=True,
)
model.generate(
    **ids, max_new_tokens=int(sys.argv[3]), do_sample=False, streamer=Writer(tokenizer)
)
os._exit(0)
"""


class Contestant(NamedTuple):
    name: str
    command: list[str]


class Speed(NamedTuple):
    """Seconds from exec to the first byte and to the end, and the number of bytes."""

    first: float
    total: float
    n_bytes: int


def find_model(chosen: Path | None) -> Path:
    """Return the chosen model or the starter."""
    model = chosen or find_starter()
    if model is None:
        raise SystemExit("the starter model is not installed; choose a model with --model")
    return model


def contestants(model: Path, *, max_tokens: int = 64, prompt: str = PROMPT) -> list[Contestant]:
    """Return the installed programs: bare calls first, then ours, then the others."""
    python = sys.executable
    arguments = [str(model), prompt, str(max_tokens)]
    ours = [
        *(python, "-m", "llmtool", "gen", "-q", "-m", str(model), "--temperature", "0"),
        *("--max-tokens", str(max_tokens), "--no-stdin", prompt),
    ]
    command = Path(python).parent / "llmtool"
    if command.exists():
        ours[:3] = [str(command)]
    found = [
        Contestant("bare low-level calls", [python, "-c", BARE, *arguments]),
        Contestant("llmtool gen", ours),
        Contestant("llama-cpp-python, high level", [python, "-c", HIGH_LEVEL, *arguments]),
    ]
    if importlib.util.find_spec("llm") and model == find_starter():
        found.append(Contestant("llm -m SmolLM2", [python, "-c", LLM, *arguments]))
    return found


def speed_of(command: list[str], *, first_only: bool = False) -> Speed:
    """Run and measure a program; `first_only` stops it after its first byte on a terminal.

    `llmtool` writes whole lines to a pipe, so a pipe would measure its first line.
    """
    terminal, stdout = os.openpty() if first_only else (None, subprocess.PIPE)
    started = time.perf_counter()
    child = subprocess.Popen(command, stdout=stdout, stderr=subprocess.PIPE)
    assert child.stderr is not None
    if terminal is not None:
        os.close(stdout)
        try:
            first_byte = os.read(terminal, 1)
        except OSError:  # the program printed nothing
            first_byte = b""
    else:
        assert child.stdout is not None
        first_byte = os.read(child.stdout.fileno(), 1)
    n_bytes = len(first_byte)
    first = time.perf_counter() - started
    if not n_bytes:
        output = child.stderr.read().decode(errors="replace").strip().splitlines()[-1:]
        raise SystemExit(f"printed nothing: {' '.join(command[:2])} …: {''.join(output)}")
    if first_only:
        child.kill()
    while child.stdout and (data := os.read(child.stdout.fileno(), 65536)):
        n_bytes += len(data)
    child.wait()
    total = time.perf_counter() - started
    for stream in filter(None, (child.stdout, child.stderr)):
        stream.close()
    if terminal is not None:
        os.close(terminal)
    return Speed(first, total, n_bytes)
