"""Compare the memory estimate with the sizes that llama.cpp logs."""

import json
import subprocess
import sys

import pytest

from llmtool.errors import UsageError
from llmtool.models.gguf import memory
from llmtool.models.gguf.reader import read_header

MEASURE = """
import ctypes, json, re, sys
import llama_cpp.llama_cpp as llama
lines = []
keep = llama.llama_log_callback(lambda level, text, data: lines.append(text.decode()))
llama.llama_log_set(keep, ctypes.c_void_p(0))
path, n_ctx, kind, n_seq = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
swa_full = sys.argv[5] == "True"
model = llama.llama_model_load_from_file(path.encode(), llama.llama_model_default_params())
params = llama.llama_context_default_params()
params.n_ctx, params.n_seq_max, params.kv_unified = n_ctx, n_seq, True
params.n_batch = params.n_ubatch = 512
params.n_outputs_max = n_seq
params.flash_attn_type, params.swa_full = 1, swa_full
params.type_k = params.type_v = {"f16": 1, "q8_0": 8}[kind]
assert llama.llama_init_from_model(model, params), "".join(lines)
text = "".join(lines)
sizes = {"kv": 0.0, "state": 0.0, "compute": 0.0}
pattern = r"(KV|RS|compute|output) buffer size = +([0-9.]+) MiB"
for what, size in re.findall(pattern, text):
    name = {"KV": "kv", "RS": "state", "compute": "compute", "output": "compute"}[what]
    sizes[name] += float(size) * 1024 * 1024
sizes["weights"] = llama.llama_model_size(model)
print(json.dumps(sizes))
"""


def measure(path, n_ctx, kind="f16", *, n_seq=1, swa_full=True):
    out = subprocess.run(
        [sys.executable, "-c", MEASURE, str(path), str(n_ctx), kind, str(n_seq), str(swa_full)],
        capture_output=True,
        text=True,
    )
    assert out.returncode == 0, out.stderr[-800:]
    return json.loads(out.stdout)


def assert_close(estimated, allocated):
    # llama.cpp prints MiB with two decimals
    assert estimated == pytest.approx(allocated, rel=0.1, abs=11_000)


@pytest.mark.parametrize(
    ("n_ctx", "kind"),
    [
        (3000, "f16"),
        (512, "q8_0"),
        *(
            pytest.param(*case, marks=pytest.mark.long)
            for case in ((512, "f16"), (3000, "q8_0"), (8192, "f16"), (8192, "q8_0"))
        ),
    ],
)
def test_starter_estimate_matches_llama_cpp(starter, n_ctx, kind):
    need = memory.estimate(read_header(starter), n_ctx, type_k=kind, type_v=kind)
    real = measure(starter, n_ctx, kind)
    assert_close(need.kv, real["kv"])
    assert_close(need.weights, real["weights"])
    assert need.compute == pytest.approx(real["compute"], rel=0.15)


@pytest.mark.parametrize("kind", ["f16", "q8_0"])
@pytest.mark.parametrize("model", ["plain", "spm", "base", "swa", "hybrid"])
def test_generated_model_estimate_matches_llama_cpp(tiny_model, model, kind):
    path = tiny_model(model, n_embd=128, n_ctx=8192)
    need = memory.estimate(read_header(path), 8192, type_k=kind, type_v=kind)
    real = measure(path, 8192, kind)
    assert real["kv"] > 1_000_000
    assert_close(need.kv, real["kv"])
    assert_close(need.weights, real["weights"])
    assert_close(need.state, real["state"])
    assert need.compute == pytest.approx(real["compute"], rel=0.4)


@pytest.mark.parametrize("n_seq", [1, 4])
def test_sliding_window_limits_kv_cache(tiny_model, n_seq):
    path = tiny_model("swa", n_embd=128, n_ctx=8192)
    need = memory.estimate(read_header(path), 8192, n_parallel=n_seq, swa_full=False)
    assert_close(need.kv, measure(path, 8192, n_seq=n_seq, swa_full=False)["kv"])


@pytest.mark.parametrize("n_seq", [1, 16])
def test_recurrent_model_has_state_per_sequence_and_no_kv_cache(tiny_model, n_seq):
    path = tiny_model("recurrent", n_embd=128, d_state=64)
    need = memory.estimate(read_header(path), 4096, n_parallel=n_seq)
    real = measure(path, 4096, n_seq=n_seq)
    assert (need.kv, real["kv"]) == (0, 0)
    assert_close(need.state, real["state"])


def test_kv_bytes_match_hand_calculation(starter):
    # 8,192 tokens x 30 layers x 3 heads x (64 + 64) values
    values = 8192 * 30 * 3 * 128
    header = read_header(starter)
    assert memory.kv_bytes(header, 8192) == values * 2
    assert memory.kv_bytes(header, 8192, "q8_0", "q8_0") == values * 34 // 32
    assert memory.kv_bytes(header, 8192, "f16", "q4_0") == values + values * 18 // 64
    assert memory.kv_bytes(header, 8000) == memory.kv_bytes(header, 8192)


def test_unknown_kv_type_is_rejected(starter):
    with pytest.raises(UsageError, match="unknown KV type 'q3_0'; choose one of f32, f16"):
        memory.kv_bytes(read_header(starter), 512, "q3_0")
