"""Check whether llama.cpp can load a GGUF file safely.

llama.cpp aborts on some damaged headers (failed assertions, divisions by zero) and on a mapped file
that is shorter than its header says. Errors that it reports itself are left to it. `read_header`
checks the layout first; the checks here are of the values.
"""

from __future__ import annotations

from pathlib import Path

from llmtool.errors import ModelNotFound, ModelUnreadable
from llmtool.models.gguf.header import Array, Header
from llmtool.models.gguf.reader import read_header, read_strings
from llmtool.models.quants import list_parts

MAX_LAYERS = 512  # llama.cpp's LLAMA_MAX_LAYERS
MAX_EXPERTS = 1024  # LLAMA_MAX_EXPERTS
MAX_SIZE = 1 << 24  # no embedding, head or context is longer
RECURRENT = frozenset({"mamba", "mamba2", "rwkv6", "rwkv6qwen2", "rwkv7", "arwkv7"})
_ROPE_SCALINGS = frozenset({"none", "linear", "yarn", "longrope"})
_OTHER_KINDS = {
    "adapter": "a LoRA adapter",
    "imatrix": "an importance matrix",
    "mmproj": "a vision or audio projector (mmproj)",
    "vocab": "a vocabulary without weights",
}
_VECTOR_TYPES = frozenset({"F32", "F16", "BF16", "F64", "I8", "I16", "I32", "I64"})


def check(path: Path) -> Header:
    """Check a model file and return the header of its first part.

    Reads the header only, never blocks on a FIFO, and takes 15 to 100 ms, by vocabulary size.

    Raises:
        ModelNotFound: the file does not exist, or parts of a split model are missing.
        ModelUnreadable: it is damaged, truncated, or not a language model; the message says why.
    """
    header = read_header(path)
    parts = list_parts(path)
    number, count = header.metadata.get("split.no", 0), header.split_count
    if number != 0 or (len(parts) > 1 and path != parts[0]):
        raise ModelUnreadable(
            f"{path}: is a later part of a split model; give its first part, {parts[0].name}"
        )
    if count != len(parts):
        raise ModelUnreadable(
            f"{path}: is 1 of {count} parts, but its name says {len(parts)}; rename it to "
            f"NAME-00001-of-{count:05}.gguf"
        )
    missing = [part.name for part in parts if not part.exists()]
    if missing:
        raise ModelNotFound(
            f"{path}: {len(missing)} of {count} parts are missing, first {missing[0]}; "
            f"fetch them with `llmtool models pull`"
        )
    for index, part in enumerate(parts[1:], 1):
        if read_header(part).metadata.get("split.no") != index:
            raise ModelUnreadable(f"{part}: is not part {index + 1} of {count}; fetch it again")
    problem = find_problem(header) or _find_double_token(path, header)
    if problem:
        raise ModelUnreadable(f"{path}: {problem}")
    return header


def find_problem(header: Header) -> str | None:
    """Return the first value of the header on which llama.cpp would abort, or None."""
    architecture = header.architecture
    if not architecture:
        return "does not name its architecture: damaged, or not a language model"
    kind = header.text("general.type") or ""
    if architecture == "clip" or kind in _OTHER_KINDS:
        return f"is {_OTHER_KINDS.get(kind, _OTHER_KINDS['mmproj'])}, not a language model"
    if not header.tensors and header.split_count == 1:
        return "holds no weights: a vocabulary, or damaged"
    return (
        _find_bad_shape(header)
        or _find_bad_heads(header)
        or _find_bad_tokenizer(header)
        or _find_bad_tensor(header)
    )


def _find_bad_shape(header: Header) -> str | None:
    for key, limit in (
        ("block_count", MAX_LAYERS),
        ("embedding_length", MAX_SIZE),
        ("context_length", 1 << 31),
    ):
        value = header.integer(key)
        if value is None or not 0 < value <= limit:
            return f"has {key} {value}: damaged"
    blocks = header.block_count or 0
    if (header.integer("nextn_predict_layers") or 0) > blocks:
        return "has more prediction layers than layers: damaged"
    scaling = header.metadata.get(f"{header.architecture}.rope.scaling.type", "none")
    if scaling not in _ROPE_SCALINGS:
        return f"has rope scaling {scaling!r}, which llama.cpp does not know"
    for key, number in header.metadata.items():
        if key.endswith("epsilon") and not (isinstance(number, float) and 0 <= number < 1):
            return f"has {key} {number}: damaged"
    experts = header.integer("expert_count") or 0
    used = max(header.per_layer("expert_used_count") or (0,))
    groups = header.integer("expert_group_count") or 0
    if experts < 0 or experts > MAX_EXPERTS or used > experts or (experts > 0 and used < 1):
        return f"uses {used} of {experts} experts: damaged"
    if groups and (groups >= experts or experts % groups):
        return f"has {experts} experts in {groups} groups: damaged"
    if groups > 1 and not 0 < (header.integer("expert_group_used_count") or 0) < groups:
        return f"uses an impossible number of its {groups} expert groups: damaged"
    return None


def _find_bad_heads(header: Header) -> str | None:
    if header.architecture in RECURRENT:
        return None
    heads, kv_heads = header.head_count, header.head_count_kv
    blocks, width = header.block_count or 0, header.embedding_length or 0
    if not heads or not kv_heads or not any(heads):
        return "has no attention heads: damaged"
    if len(heads) != blocks or len(kv_heads) != blocks:
        return f"gives heads for {len(heads)} and {len(kv_heads)} of its {blocks} layers: damaged"
    for layer, (n, n_kv) in enumerate(zip(heads, kv_heads, strict=True)):
        if not 0 <= n <= 65_536 or n_kv < 0 or (n and n_kv and n % n_kv):
            return f"layer {layer} has {n} heads over {n_kv} key heads: damaged"
    for key in ("attention.key_length", "attention.value_length"):
        value = header.integer(key)
        if value is None and width % max(heads):
            return f"splits {width} values over {max(heads)} heads: damaged"
        if value is not None and not 0 < value <= 65_536:
            return f"has {key} {value}: damaged"
    rope = header.integer("rope.dimension_count")
    if rope is not None and not 0 <= rope <= (header.key_length or 0):
        return f"has rope.dimension_count {rope} for heads of {header.key_length}: damaged"
    return None


def _find_bad_tokenizer(header: Header) -> str | None:
    model = header.text("tokenizer.ggml.model")
    if model is None:
        return "has no tokenizer: damaged, or not a language model"
    if model in ("no_vocab", "none"):
        return "has no vocabulary, so it cannot read text"
    tokens = header.metadata.get("tokenizer.ggml.tokens")
    if not isinstance(tokens, Array) or not tokens.is_text or not tokens.count:
        return "has no tokens: damaged"
    return None


def _find_bad_tensor(header: Header) -> str | None:
    for tensor in header.tensors:
        needs_f32 = tensor.name.endswith(("norm.weight", ".bias"))
        allowed = {"F32"} if needs_f32 else _VECTOR_TYPES
        if len(tensor.shape) == 1 and tensor.type not in allowed:
            return f"stores the vector {tensor.name!r} as {tensor.type}: damaged"
    return None


def _find_double_token(path: Path, header: Header) -> str | None:
    tokens = header.metadata["tokenizer.ggml.tokens"]
    if not isinstance(tokens, Array) or tokens.end - tokens.offset > 1 << 28:
        return None
    # llama.cpp asserts that texts are unique, and names empty ones [EMPTY_n]
    texts = read_strings(path, tokens)
    if b"\0" in b"".join(texts):  # C strings end there
        texts = [text.partition(b"\0")[0] for text in texts]
    if b"" in texts:
        texts = [text or b"[EMPTY_%d]" % index for index, text in enumerate(texts)]
    return "has the same token twice: damaged" if len(set(texts)) < len(texts) else None
