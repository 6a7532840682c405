"""Greedy output of the starter model equals that of llama-cpp-python's `Llama` class."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from llmtool.engine.llama.engine import LocalEngine
from llmtool.engine.llama.model import load_model
from llmtool.engine.types import Message, Prompt, Request, Sampling, Token

PROMPTS = [
    "Name three colours.",
    "What is the capital of France?",
    "Write a haiku about rain.",
    "Translate 'good morning' into Spanish.",
    "Explain gravity to a child.",
    "List the months of the year.",
    "Why is the sky blue?",
    "Give me a recipe for pancakes.",
    "What does HTTP stand for?",
    "Write a Python function that adds two numbers.",
    "Summarize: The cat sat on the mat. It was tired.",
    "Who wrote Hamlet?",
    "Describe a lighthouse in one sentence.",
    "What is 12 plus 30?",
    "Suggest a name for a bakery.",
    "Complete the proverb: a stitch in time",
    "What causes tides?",
    "Write an email that asks for a day off.",
    "Is water wet? Answer briefly.",
    "用中文说你好。",
]
SOME = [PROMPTS[at] for at in (0, 3, 9, 13, 19)]
# Logits depend on batch size, threads and flash attention, so both sides use the same.
REFERENCE = """
import json, sys
from llama_cpp import Llama
model = Llama(sys.argv[1], n_ctx=512, n_batch=512, n_threads=1, n_threads_batch=1,
              flash_attn=True, verbose=False)
out = []
for ids in json.load(sys.stdin):
    model.reset()
    made = []
    for token in model.generate(ids, temp=0.0, repeat_penalty=1.0):
        if token in (model.token_eos(), 0) or len(made) == 6:
            break
        made.append(token)
    out.append(made)
json.dump(out, sys.stdout)
"""


@pytest.mark.timeout(600)  # each reply takes up to a second, and its reference as well
@pytest.mark.parametrize("prompts", [SOME, pytest.param(PROMPTS, marks=pytest.mark.long)], ids=len)
def test_greedy_replies_match_llama_cpp_python(starter: Path, prompts: list[str]) -> None:
    engine = LocalEngine(load_model(starter), n_threads=1, n_ctx=512)
    asked = [Prompt(messages=(Message("user", text),)) for text in prompts]
    ids = [list(engine.tokenize(prompt).token_ids) for prompt in asked]
    reference = subprocess.run(
        [sys.executable, "-c", REFERENCE, str(starter)],
        input=json.dumps(ids).encode(),
        capture_output=True,
        check=True,
    )
    sampling = Sampling(temperature=0, max_tokens=6)
    requests = [Request(id=i, prompt=p, sampling=sampling) for i, p in enumerate(asked)]
    texts = dict.fromkeys(range(len(asked)), "")
    for request in requests:  # one at a time, as the batch size affects the logits
        for event in engine.stream([request]):
            if isinstance(event, Token):
                texts[event.id] += event.text
    expected = [
        b"".join(map(engine.model.weights.piece, made)).decode("utf-8", "replace")
        for made in json.loads(reference.stdout)
    ]
    assert list(texts.values()) == expected
