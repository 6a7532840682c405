"""Small vocabularies for the tiny models: byte-level BPE, SentencePiece and WordPiece.

Each has the special cases of real vocabularies: control tokens, USER_DEFINED tokens, which are also
matched in plain text, tokens of more than 32 bytes, and tokens that are not valid UTF-8.
"""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import IntEnum

TEXT = """\
The river rose during the night, and by morning the lower meadow was under water. The farmer
moved the sheep to the hill, counted them twice, and found that one of the lambs was missing. The
children went along the hedge with the dog until they heard it calling from the other side.

A language model reads the text that it is given and writes the words that are likely to follow.
It has no opinion about the weather, and it does not know what day it is. What it knows is how
other people have written about such things, and that is often enough to be of use.

When the train stopped between two stations, nobody said anything for a while. Then a woman by the
window began to read aloud from the newspaper, first the headlines and then the letters, and the
people around her started to laugh. They were still talking when the lights came on again.

The committee will meet on Thursday to discuss the budget for the coming year. Members should send
their questions to the secretary before noon on Wednesday. The minutes of the last meeting, with a
list of the changes that were made, are available on request from the office.
"""

CONTROL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|filler|>")
USER_DEFINED = ("<think>", "</think>", "<tool>", "    ")
LONG = ("internationalisation-of-the-committee", "=" * 70, "ab" * 100)
LINE_ENDS = (".\n", "\n\n", ",\n", ":\n")
# Merges with a border inside a character, and tokens that are not valid UTF-8.
SPLIT = ((b"\xf0", b"\x9f"), (b"\xa6", b"\x99"), (b"\x97", b"\xa5"), (b"\x97\xa5", b"\xe6"))
INVALID = (b"\xff\xfe", b"ok\xc3", b"\xed\xa0\x80", b"\xf0\x9f\x98", b"\xe6\x97\xff")


class TokenType(IntEnum):
    """The values of `tokenizer.ggml.token_type`."""

    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5
    BYTE = 6


@dataclass
class Vocabulary:
    """The tokenizer metadata of a GGUF file; `pieces` are the bytes of each token."""

    model: str
    pre: str = "default"
    tokens: list[str] = field(default_factory=list)
    pieces: list[bytes] = field(default_factory=list)
    types: list[TokenType] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    merges: list[str] = field(default_factory=list)
    special: dict[str, str] = field(default_factory=dict)
    flags: dict[str, bool] = field(default_factory=dict)

    def add(self, token: str, piece: bytes, kind: TokenType, score: float = 0.0) -> None:
        if token not in self.tokens:
            self.tokens.append(token)
            self.pieces.append(piece)
            self.types.append(kind)
            self.scores.append(score)


def bpe_vocabulary(*, n_merges: int = 220, extra: Iterable[bytes] = ()) -> Vocabulary:
    """Build a GPT-2 style vocabulary: all bytes, merges learnt from `TEXT`, special tokens.

    `extra` are tokens that a model can generate, but that tokenizing a text never gives.
    """
    vocabulary = Vocabulary("gpt2", "gpt-2")

    def add(piece: bytes) -> None:
        vocabulary.add(spell(piece), piece, TokenType.NORMAL)

    for byte in range(256):
        add(bytes([byte]))
    learnt = _bpe_merges(n_merges)
    split = [(spell(left), spell(right)) for left, right in SPLIT]
    back = {letter: byte for byte, letter in BYTE_LETTERS.items()}
    for left, right in [*learnt, *split]:
        vocabulary.merges.append(f"{left} {right}")
        add(bytes(back[letter] for letter in left + right))
    for piece in [*INVALID, *(text.encode() for text in (*LONG, *LINE_ENDS)), *extra]:
        add(piece)
    for token in CONTROL:
        vocabulary.add(token, token.encode(), TokenType.CONTROL)
    for token in USER_DEFINED:
        vocabulary.add(token, token.encode(), TokenType.USER_DEFINED)
    vocabulary.special = {"bos": "<|endoftext|>", "eos": "<|im_end|>", "eot": "<|im_end|>"}
    vocabulary.flags = {"add_bos_token": False}
    return vocabulary


def spm_vocabulary(*, n_merges: int = 220) -> Vocabulary:
    """Build a SentencePiece vocabulary: `▁` for a space, byte tokens for unknown characters."""
    vocabulary = Vocabulary("llama")
    for token, kind in {
        "<unk>": TokenType.UNKNOWN,
        "<s>": TokenType.CONTROL,
        "</s>": TokenType.CONTROL,
        "<start_of_turn>": TokenType.USER_DEFINED,
        "<end_of_turn>": TokenType.CONTROL,
        "<think>": TokenType.USER_DEFINED,
        "<|filler|>": TokenType.CONTROL,
    }.items():
        vocabulary.add(token, token.encode(), kind)
    for byte in range(256):
        vocabulary.add(f"<0x{byte:02X}>", bytes([byte]), TokenType.BYTE)
    learnt = [left + right for left, right in _spm_merges(n_merges)]
    single = ["▁", *(chr(code) for code in range(33, 127)), *"é日本🦙"]
    long = [text for text in LONG if " " not in text]
    for rank, token in enumerate([*learnt, *single, *long, *LINE_ENDS]):
        piece = token.replace("▁", " ").encode()
        vocabulary.add(token, piece, TokenType.NORMAL, score=float(-rank))
    vocabulary.special = {"bos": "<s>", "eos": "</s>", "eot": "<end_of_turn>", "unknown": "<unk>"}
    vocabulary.flags = {"add_bos_token": True, "add_eos_token": False, "add_space_prefix": True}
    return vocabulary


def wpm_vocabulary() -> Vocabulary:
    """Build a WordPiece vocabulary like BERT's: whole words, and letters within words."""
    vocabulary = Vocabulary("bert")
    for token in ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"):
        vocabulary.add(token, token.encode(), TokenType.CONTROL)
    words = sorted(set(re.findall(r"[a-z]+", TEXT.lower())))
    letters = [chr(code) for code in range(33, 127)]
    for token in [*("▁" + word for word in words), *("▁" + letter for letter in letters), *letters]:
        vocabulary.add(token, token.replace("▁", " ").encode(), TokenType.NORMAL)
    vocabulary.special = {"bos": "[CLS]", "seperator": "[SEP]", "padding": "[PAD]"}
    vocabulary.special |= {"unknown": "[UNK]", "mask": "[MASK]"}
    return vocabulary


@functools.cache
def _bpe_merges(n_merges: int) -> list[tuple[str, str]]:
    words = Counter(re.findall(r" ?[A-Za-z]+", TEXT.replace("\n", " ")))
    return learn_merges({spell(word.encode()): n for word, n in words.items()}, n_merges)


@functools.cache
def _spm_merges(n_merges: int) -> list[tuple[str, str]]:
    return learn_merges(Counter("▁" + word for word in re.findall(r"[A-Za-z]+", TEXT)), n_merges)


def learn_merges(words: dict[str, int], n_merges: int) -> list[tuple[str, str]]:
    """Learn byte-pair merges from words and their counts, the most frequent pair first.

    Source: Sennrich, Haddow and Birch, "Neural machine translation of rare words with subword
    units" (2016), algorithm 1. But: among equally frequent pairs, the first in sort order is
    merged, so that the result does not depend on the order of a dictionary.
    """
    split_words = {tuple(word): count for word, count in words.items()}
    merges: list[tuple[str, str]] = []
    while len(merges) < n_merges:
        pairs: Counter[tuple[str, str]] = Counter()
        for symbols, count in split_words.items():
            for pair in zip(symbols, symbols[1:], strict=False):
                pairs[pair] += count
        if not pairs:
            break
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        split_words = {
            tuple(_merge(symbols, best)): count for symbols, count in split_words.items()
        }
    return merges


def _merge(symbols: Iterable[str], pair: tuple[str, str]) -> Iterator[str]:
    previous: str | None = None
    for symbol in symbols:
        if previous is not None and (previous, symbol) == pair:
            yield previous + symbol
            previous = None
            continue
        if previous is not None:
            yield previous
        previous = symbol
    if previous is not None:
        yield previous


def _byte_letters() -> dict[int, str]:
    """Map each byte to its printable character in GPT-2 vocabularies."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    letters = {byte: chr(byte) for byte in printable}
    return letters | {byte: chr(256 + index) for index, byte in enumerate(others)}


BYTE_LETTERS = _byte_letters()


def spell(piece: bytes) -> str:
    """Return the vocabulary text of a token's bytes: "Ġa" for b" a"."""
    return "".join(BYTE_LETTERS[byte] for byte in piece)
