"""Check whether llama.cpp can load a GGUF file without crashing.

llama.cpp aborts on some damaged headers (failed assertions, divisions by zero) and on a mapped file
that is shorter than its header requires. `read_header` checks the layout of the file, this module
the values. Damage that llama.cpp reports as an error is not checked here.
"""

from __future__ import annotations

from pathlib import Path

from llmtool.errors import ModelNotFound, ModelUnreadable
from llmtool.models.gguf.header import Array, Header
from llmtool.models.gguf.reader import read_header, read_strings
from llmtool.models.quants import list_parts
from llmtool.option_names import option

MAX_LAYERS = 512  # llama.cpp's LLAMA_MAX_LAYERS
MAX_EXPERTS = 1024  # LLAMA_MAX_EXPERTS
MAX_SIZE = 1 << 24  # above any real embedding, head or context length
MAX_CONTEXT = (1 << 31) - 1  # an int32 in llama.cpp
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
    """Check a model file, with all its parts, and return the header of the first part.

    Reads only headers, never blocks on a FIFO, and takes 15 to 100 ms, depending on the vocabulary.

    Raises:
        ModelNotFound: the file or another part of a split model does not exist.
        ModelUnreadable: the file is damaged, truncated, or not a language model.
    """
    header = read_header(path)
    parts = list_parts(path)
    number, count = header.metadata.get("split.no", 0), header.split_count
    if number != 0 or (len(parts) > 1 and path != parts[0]):
        raise ModelUnreadable(f"{path} is not the first part of a split model; use {parts[0].name}")
    if count != len(parts):
        raise ModelUnreadable(
            f"{path} is part 1 of {count}, but its name says 1 of {len(parts)}; rename it to "
            f"NAME-00001-of-{count:05}.gguf"
        )
    missing = [part.name for part in parts if not part.exists()]
    if missing:
        raise ModelNotFound(
            f"{path}: {len(missing)} of {count} parts not found, first {missing[0]}; "
            f"download them with `llmtool models pull`"
        )
    for index, part in enumerate(parts[1:], 1):
        if read_header(part).metadata.get("split.no") != index:
            raise ModelUnreadable(f"{part} is not part {index + 1} of {count}; download it again")
    problem = find_problem(header) or _find_duplicate_token(path, header)
    if problem:
        raise ModelUnreadable(f"{path}: {problem}")
    return header


def find_problem(header: Header) -> str | None:
    """Describe the first header value on which llama.cpp would abort, or return None."""
    architecture = header.architecture
    if not architecture:
        return "no architecture in the header: damaged, or not a language model"
    kind = header.text("general.type") or ""
    if architecture == "clip" or kind in _OTHER_KINDS:
        advice = f"; pass it with {option('lora')}" if kind == "adapter" else ""
        return f"{_OTHER_KINDS.get(kind, _OTHER_KINDS['mmproj'])}, not a language model{advice}"
    if not header.tensors and header.split_count == 1:
        return "no weights: damaged, or only a vocabulary"
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
        ("context_length", MAX_CONTEXT),
    ):
        value = header.integer(key)
        if value is None or not 0 < value <= limit:
            return f"damaged: {key} is {value}"
    blocks = header.block_count or 0
    if (header.integer("nextn_predict_layers") or 0) > blocks:
        return "damaged: more prediction layers than layers"
    scaling = header.metadata.get(f"{header.architecture}.rope.scaling.type", "none")
    if scaling not in _ROPE_SCALINGS:
        return f"rope scaling {scaling!r} is not supported by llama.cpp"
    for key, number in header.metadata.items():
        if key.endswith("epsilon") and not (isinstance(number, float) and 0 <= number < 1):
            return f"damaged: {key} is {number}"
    experts = header.integer("expert_count") or 0
    used = max(header.per_layer("expert_used_count") or (0,))
    groups = header.integer("expert_group_count") or 0
    if experts < 0 or experts > MAX_EXPERTS or used > experts or (experts > 0 and used < 1):
        return f"damaged: {used} of {experts} experts used"
    if groups and (groups >= experts or experts % groups):
        return f"damaged: {experts} experts in {groups} groups"
    if groups > 1 and not 0 < (header.integer("expert_group_used_count") or 0) < groups:
        return f"damaged: invalid number of used expert groups, of {groups}"
    return None


def _find_bad_heads(header: Header) -> str | None:
    if header.architecture in RECURRENT:
        return None
    heads, kv_heads = header.head_count, header.head_count_kv
    blocks, width = header.block_count or 0, header.integer("embedding_length") or 0
    if not heads or not kv_heads or not any(heads):
        return "damaged: no attention heads"
    if len(heads) != blocks or len(kv_heads) != blocks:
        return f"damaged: {len(heads)} and {len(kv_heads)} head counts for {blocks} layers"
    for layer, (n, n_kv) in enumerate(zip(heads, kv_heads, strict=True)):
        if not 0 <= n <= 65_536 or n_kv < 0 or (n and n_kv and n % n_kv):
            return f"damaged: layer {layer} has {n} heads and {n_kv} key-value heads"
    for key in ("attention.key_length", "attention.value_length"):
        value = header.integer(key)
        if value is None and width % max(heads):
            return f"damaged: embedding length {width} is not divisible by {max(heads)} heads"
        if value is not None and not 0 < value <= 65_536:
            return f"damaged: {key} is {value}"
    rope = header.integer("rope.dimension_count")
    if rope is not None and not 0 <= rope <= (header.key_length or 0):
        return f"damaged: rope.dimension_count is {rope}, head size {header.key_length}"
    return None


def _find_bad_tokenizer(header: Header) -> str | None:
    model = header.text("tokenizer.ggml.model")
    if model is None:
        return "no tokenizer: damaged, or not a language model"
    if model in ("no_vocab", "none"):
        return "no vocabulary: the model cannot read text"
    tokens = header.metadata.get("tokenizer.ggml.tokens")
    if not isinstance(tokens, Array) or not tokens.is_text or not tokens.count:
        return "damaged: no tokens"
    return None


def _find_bad_tensor(header: Header) -> str | None:
    for tensor in header.tensors:
        needs_f32 = tensor.name.endswith(("norm.weight", ".bias"))
        allowed = {"F32"} if needs_f32 else _VECTOR_TYPES
        if len(tensor.shape) == 1 and tensor.type not in allowed:
            return f"damaged: vector {tensor.name!r} is stored as {tensor.type}"
    return None


def _find_duplicate_token(path: Path, header: Header) -> str | None:
    tokens = header.metadata["tokenizer.ggml.tokens"]
    if not isinstance(tokens, Array) or tokens.end - tokens.offset > 1 << 28:
        return None
    # llama.cpp asserts that token texts are unique, and renames empty ones to [EMPTY_n].
    texts = read_strings(path, tokens)
    if b"\0" in b"".join(texts):  # C strings end there
        texts = [text.partition(b"\0")[0] for text in texts]
    if b"" in texts:
        texts = [text or b"[EMPTY_%d]" % index for index, text in enumerate(texts)]
    return "damaged: duplicate token" if len(set(texts)) < len(texts) else None
