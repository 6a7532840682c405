"""The tiny models load, decode, and have the special tokens that other tests need."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from tiny_model import BAD_MODELS, KINDS, flip_bytes, write_tiny_model
from tiny_vocabulary import LONG, learn_merges

from llmtool.engine.llama.bindings import bindings

llama = bindings()  # importing llama_cpp would replace the log callback for all other tests

DECODERS = [kind for kind in KINDS if kind != "encoder"]


class Loaded:
    """A model and a context, through llama.cpp's own functions."""

    def __init__(self, path: Path, n_ctx: int) -> None:
        self.model = llama.llama_model_load_from_file(
            os.fsencode(path), llama.llama_model_default_params()
        )
        assert self.model, f"{path} does not load"
        self.vocab = llama.llama_model_get_vocab(self.model)
        self.n_vocab = llama.llama_vocab_n_tokens(self.vocab)
        params = llama.llama_context_default_params()
        params.n_ctx, params.n_threads, params.n_threads_batch = n_ctx, 1, 1
        self.context = llama.llama_init_from_model(self.model, params)
        self.memory = llama.llama_get_memory(self.context)

    def tokenize(self, text: str, *, special: bool = False, bos: bool = False) -> list[int]:
        data = text.encode()
        ids = (llama.llama_token * 1000)()
        n = llama.llama_tokenize(self.vocab, data, len(data), ids, 1000, bos, special)
        return list(ids[:n])

    def piece(self, token: int) -> bytes:
        buffer = ctypes.create_string_buffer(512)
        n = llama.llama_token_to_piece(self.vocab, token, buffer, 512, 0, True)
        return buffer.raw[:n]

    def pieces(self, text: str, **options: bool) -> list[bytes]:
        return [self.piece(token) for token in self.tokenize(text, **options)]

    def decode(self, tokens: list[int]) -> np.ndarray:
        """Append `tokens` to the sequence and decode them; return the last row of logits."""
        ids = (llama.llama_token * len(tokens))(*tokens)  # the batch points into it
        batch = llama.llama_batch_get_one(ids, len(tokens))
        assert llama.llama_decode(self.context, batch) == 0
        row = llama.llama_get_logits_ith(self.context, -1)
        return np.ctypeslib.as_array(row, (self.n_vocab,)).copy()

    def embed(self, text: str) -> np.ndarray:
        """Return the pooled embedding of a text."""
        tokens = self.tokenize(text, bos=True)
        ids = (llama.llama_token * len(tokens))(*tokens)
        batch = llama.llama_batch_get_one(ids, len(tokens))
        assert llama.llama_encode(self.context, batch) == 0
        row = llama.llama_get_embeddings_seq(self.context, 0)
        return np.ctypeslib.as_array(row, (llama.llama_model_n_embd(self.model),)).copy()

    def greedy(self, prompt: str, n: int) -> list[int]:
        reply = [int(self.decode(self.tokenize(prompt, special=True)).argmax())]
        while len(reply) < n:
            reply.append(int(self.decode(reply[-1:]).argmax()))
        return reply


@contextmanager
def loaded(path: Path, *, n_ctx: int = 512) -> Iterator[Loaded]:
    model = Loaded(path, n_ctx)
    yield model
    llama.llama_free(model.context)
    llama.llama_model_free(model.model)


@pytest.fixture
def plain(tiny: Path) -> Iterator[Loaded]:
    with loaded(tiny) as model:
        yield model


@pytest.mark.parametrize("kind", DECODERS)
def test_decoder_output_varies_and_has_no_control_tokens(
    tiny_model: Callable[..., Path], kind: str
) -> None:
    with loaded(tiny_model(kind)) as model:
        reply = model.greedy("The river rose during the night", 200)
        assert len(set(reply)) > 40
        assert len(set(reply[-50:])) > 10
        assert not any(llama.llama_vocab_is_control(model.vocab, token) for token in reply)
        assert not any(llama.llama_vocab_is_eog(model.vocab, token) for token in reply)


@pytest.mark.parametrize("kind", KINDS)
def test_model_file_is_small_and_reproducible(tmp_path: Path, kind: str) -> None:
    first = write_tiny_model(tmp_path / "1.gguf", kind).read_bytes()
    assert first == write_tiny_model(tmp_path / "2.gguf", kind).read_bytes()
    assert first != write_tiny_model(tmp_path / "3.gguf", kind, seed=2).read_bytes()
    assert len(first) < 600_000


def test_context_length_is_a_parameter(tmp_path: Path) -> None:
    with loaded(write_tiny_model(tmp_path / "m.gguf", n_ctx=4096)) as model:
        assert llama.llama_model_n_ctx_train(model.model) == 4096


def test_metadata_can_be_added_and_removed(tmp_path: Path) -> None:
    changes = {"general.name": "Other", "tokenizer.ggml.eot_token_id": None}
    with loaded(write_tiny_model(tmp_path / "m.gguf", metadata=changes)) as model:
        buffer = ctypes.create_string_buffer(64)
        llama.llama_model_meta_val_str(model.model, b"general.name", buffer, 64)
        assert buffer.value == b"Other"
        missing = llama.llama_model_meta_val_str(
            model.model, b"tokenizer.ggml.eot_token_id", buffer, 64
        )
        assert missing == -1


def test_control_token_is_recognized_only_with_parse_special(plain: Loaded) -> None:
    (start,) = plain.tokenize("<|im_start|>", special=True)
    assert plain.piece(start) == b"<|im_start|>"
    assert llama.llama_vocab_is_control(plain.vocab, start)
    assert start not in plain.tokenize("<|im_start|>", special=False)


@pytest.mark.parametrize("text", ["<think>", "</think>", "<tool>", "    "])
def test_user_defined_token_is_always_recognized(plain: Loaded, text: str) -> None:
    assert plain.pieces(f"a{text}b", special=False) == [b"a", text.encode(), b"b"]


def test_end_of_turn_token_ends_a_reply(plain: Loaded) -> None:
    (end,) = plain.tokenize("<|im_end|>", special=True)
    assert llama.llama_vocab_is_eog(plain.vocab, end)
    assert llama.llama_vocab_eos(plain.vocab) == llama.llama_vocab_eot(plain.vocab) == end
    assert plain.piece(llama.llama_vocab_bos(plain.vocab)) == b"<|endoftext|>"
    assert not llama.llama_vocab_get_add_bos(plain.vocab)


def test_english_has_merged_tokens(plain: Loaded) -> None:
    pieces = plain.pieces("the people of the committee")
    assert b"".join(pieces) == b"the people of the committee"
    assert len(pieces) < 12


def test_emoji_and_cjk_characters_are_split_over_tokens(plain: Loaded) -> None:
    assert plain.pieces("🦙") == [b"\xf0\x9f", b"\xa6\x99"]
    assert plain.pieces("日本") == [b"\xe6", b"\x97\xa5\xe6", b"\x9c", b"\xac"]


def test_some_tokens_are_long_and_some_are_not_utf8(plain: Loaded) -> None:
    pieces = [plain.piece(token) for token in range(plain.n_vocab)]
    assert {text.encode() for text in LONG} <= set(pieces)
    assert {b"\xff\xfe", b"\xed\xa0\x80"} <= set(pieces)
    assert {bytes([byte]) for byte in range(256)} <= set(pieces)


def test_sentencepiece_adds_bos_and_falls_back_to_bytes(tiny_spm: Path) -> None:
    with loaded(tiny_spm) as model:
        assert model.pieces("the river", bos=True)[:2] == [b"<s>", b" the"]
        assert model.pieces("ü")[-2:] == [b"\xc3", b"\xbc"]
        assert model.pieces("<start_of_turn>") == [b"<start_of_turn>"]
        assert model.pieces("<end_of_turn>", special=True) == [b"<end_of_turn>"]
        assert len(model.pieces("<end_of_turn>", special=False)) > 2


@pytest.mark.parametrize(
    ("kind", "has_template"), [("plain", True), ("spm", True), ("base", False)]
)
def test_base_model_has_no_chat_template(
    tiny_model: Callable[..., Path], kind: str, has_template: bool
) -> None:
    with loaded(tiny_model(kind)) as model:
        assert bool(llama.llama_model_chat_template(model.model, None)) is has_template


@pytest.mark.parametrize(
    ("kind", "can_truncate"),
    [("plain", True), ("base", True), ("recurrent", False), ("hybrid", False)],
)
def test_only_attention_memory_can_be_truncated(
    tiny_model: Callable[..., Path], kind: str, can_truncate: bool
) -> None:
    with loaded(tiny_model(kind)) as model:
        model.decode(model.tokenize("The river rose during the night"))
        assert llama.llama_memory_seq_rm(model.memory, 0, 4, -1) is can_truncate


def test_swa_model_has_a_sliding_window(tiny_model: Callable[..., Path]) -> None:
    with loaded(tiny_model("swa")) as model:
        assert llama.llama_model_n_swa(model.model) == 32


def test_encoder_has_no_causal_attention(tiny_model: Callable[..., Path]) -> None:
    with loaded(tiny_model("encoder")) as model:
        buffer = ctypes.create_string_buffer(64)
        llama.llama_model_meta_val_str(model.model, b"bert.attention.causal", buffer, 64)
        assert buffer.value == b"false"


def test_encoder_embeds_texts(tiny_model: Callable[..., Path]) -> None:
    with loaded(tiny_model("encoder")) as model:
        assert model.pieces("The river", bos=True) == [b"[CLS]", b" the", b" river", b"[SEP]"]
        llama.llama_set_embeddings(model.context, True)
        river, train = (model.embed(f"The {word}") for word in ("river", "train"))
        assert np.isfinite(river).all()
        assert not np.allclose(river, train, atol=1e-3)


def test_logit_scale_raises_the_probability_of_a_token(tmp_path: Path) -> None:
    path = write_tiny_model(tmp_path / "m.gguf", logit_scale={"<|im_end|>": 4.0})
    with loaded(path) as model:
        (end,) = model.tokenize("<|im_end|>", special=True)
        assert end in model.greedy("The river rose during the night", 60)


def test_printable_model_generates_ascii_words(tmp_path: Path) -> None:
    with loaded(write_tiny_model(tmp_path / "m.gguf", printable=True)) as model:
        reply = b"".join(model.piece(token) for token in model.greedy("The river", 100)).decode(
            "ascii"
        )
        assert all(letter.isprintable() or letter == "\n" for letter in reply)


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(name, marks=pytest.mark.long) if "count" in name or "length" in name else name
        for name in BAD_MODELS
    ],
)
def test_invalid_model_is_not_loaded(tiny: Path, tmp_path: Path, fault: str) -> None:
    bad = tmp_path / "bad.gguf"
    bad.write_bytes(BAD_MODELS[fault](tiny.read_bytes()))
    assert not _loads_in_child(bad)


def test_valid_model_is_loaded_in_a_child(tiny: Path) -> None:
    assert _loads_in_child(tiny)


def test_flip_bytes_twice_restores_the_bytes() -> None:
    assert flip_bytes(b"GGUF", 0, 3) == b"\xb8GU\xb9"
    assert flip_bytes(flip_bytes(b"GGUF", 0, 3), 0, 3) == b"GGUF"


def test_learned_merges_of_a_hand_worked_example() -> None:
    # "aaab" twice and "ab" once: aa occurs 4 times, ab 3. With aa merged: aa+a 2, ab 3.
    assert learn_merges({"aaab": 2, "ab": 1}, 2) == [("a", "a"), ("a", "b")]


def _loads_in_child(path: Path) -> bool:
    """Load in a fork, because a corrupt file may abort the process."""
    child = os.fork()
    if child == 0:
        os.close(2)
        params = llama.llama_model_default_params()
        os._exit(0 if llama.llama_model_load_from_file(os.fsencode(path), params) else 1)
    return os.waitpid(child, 0)[1] == 0
