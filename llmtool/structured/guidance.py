"""llguidance, the grammar engine: the only importer of `llguidance`.

Importing the package takes 50 to 65 ms, because it imports `importlib.metadata` and more. Importing
only its compiled module takes 1 to 2 ms.
"""

from __future__ import annotations

import importlib.util
import sys
import threading
from functools import lru_cache
from importlib.machinery import PathFinder
from typing import Any, Protocol

from llmtool.errors import EngineError

_importing = threading.Lock()

# Enough for grammars whose lexemes are single characters; a step at the limits takes about 100 ms.
# A matcher keeps its lexer's states, as do its copies: 20 MB at the limit.
_LIMITS = {
    "max_items_in_row": 10_000,
    "step_max_items": 1_000_000,
    "step_lexer_fuel": 1_000_000,
    "max_lexer_states": 50_000,
    "precompute_large_lexemes": False,
    "verbose_errors": False,
}


class Vocabulary(Protocol):
    """The part of a model that constraints need; `LlamaModel` implements it."""

    @property
    def n_vocab(self) -> int: ...

    def tokenize(self, text: bytes, *, add_special: bool, parse_special: bool) -> list[int]: ...

    def render_piece(self, token: int, *, special: bool) -> bytes: ...

    def kind(self, token: int) -> str: ...

    def is_end(self, token: int) -> bool: ...


def library() -> Any:
    """Return llguidance's compiled module, imported once.

    Raises:
        EngineError: llguidance is not installed.
    """
    with _importing:  # another thread would find it in `sys.modules` before it is complete
        return _import_library()


@lru_cache(maxsize=1)
def _import_library() -> Any:
    name = "llguidance._lib"
    if name in sys.modules:
        return sys.modules[name]
    package = importlib.util.find_spec("llguidance")
    locations = list(package.submodule_search_locations or ()) if package else []
    spec = PathFinder.find_spec(name, locations)
    if spec is None or spec.loader is None:
        raise EngineError("llguidance is not installed; run: pip install llguidance")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # for a later import of the whole package
    spec.loader.exec_module(module)
    return module


class Tokens:
    """A vocabulary in the form that llguidance's tokenizer reads.

    Constrained text never contains control tokens, or special tokens that look like markup.
    """

    is_tokenizer_wrapper = True
    bos_token_id = None
    _accepts_bytes = True

    def __init__(self, vocabulary: Vocabulary) -> None:
        n = vocabulary.n_vocab
        self._vocabulary = vocabulary
        render, kind, is_end = vocabulary.render_piece, vocabulary.kind, vocabulary.is_end
        self.tokens = [render(token, special=False) for token in range(n)]
        self.ends = [token for token in range(n) if is_end(token)]
        markup = [t for t, piece in enumerate(self.tokens) if _is_markup(piece)]
        empty = [t for t, piece in enumerate(self.tokens) if not piece]
        self.special_token_ids = sorted(
            {*empty, *self.ends, *(t for t in markup if kind(t) != "ordinary")}
        )
        if not self.ends:  # llguidance needs an end token; this one is never sampled
            self.tokens.append(b"")
            self.special_token_ids.append(n)
        self.eos_token_id = self.ends[0] if self.ends else n
        self.library_tokens = library().LLTokenizer(
            self,
            n_vocab=len(self.tokens),
            eos_token=self.ends or [self.eos_token_id],
            slices=[],
        )

    def __call__(self, text: bytes | str) -> list[int]:
        """Return the tokens of text that the grammar forces."""
        raw = text.encode() if isinstance(text, str) else bytes(text)
        ids = self._vocabulary.tokenize(raw, add_special=False, parse_special=False)
        pieces = [self.tokens[token] for token in ids]
        if pieces and b"".join(pieces) == b" " + raw:  # SentencePiece prepends a space
            ids, pieces = (ids[1:], pieces[1:]) if pieces[0] == b" " else (ids, pieces)
        if b"".join(pieces) == raw:
            return ids
        greedy: list[int] = self.library_tokens.greedy_tokenize(raw.decode("utf-8", "replace"))
        return greedy


def _is_markup(piece: bytes) -> bool:
    return len(piece) > 2 and piece[:1] == b"<" and piece[-1:] == b">"


class ByteVocabulary:
    """A vocabulary with one token per byte, for work without a model."""

    n_vocab = 257

    def tokenize(self, text: bytes, *, add_special: bool, parse_special: bool) -> list[int]:
        return list(text)

    def render_piece(self, token: int, *, special: bool) -> bytes:
        return bytes([token]) if token < 256 else b""

    def kind(self, token: int) -> str:
        return "ordinary" if token < 256 else "control"

    def is_end(self, token: int) -> bool:
        return token == 256


@lru_cache(maxsize=1)
def byte_tokens() -> Tokens:
    return Tokens(ByteVocabulary())


def lark_matcher(tokens: Tokens, grammar: str) -> Any:
    """Return an `LLMatcher` for a Lark grammar; the caller checks `is_error`."""
    return _matcher(tokens, library().LLMatcher.grammar_from_lark(grammar))


def regex_matcher(tokens: Tokens, regex: str) -> Any:
    r"""Return an `LLMatcher` for a regular expression, in which \d means 0 to 9 in ASCII."""
    lib = library()
    return _matcher(tokens, lib.LLMatcher.grammar_from_regex(lib.regex_to_lark(regex, "d")))


def regex_error(tokens: Tokens, regex: str) -> str:
    r"""Return llguidance's error for a regex as typed, with \d not replaced; "" if it is valid."""
    lib = library()
    source = lib.LLMatcher.grammar_from_regex(lib.regex_to_lark(regex, ""))
    return str(_matcher(tokens, source).get_error())


def _matcher(tokens: Tokens, source: str) -> Any:
    lib = library()
    limits = lib.LLParserLimits(**_LIMITS)
    return lib.LLMatcher(tokens.library_tokens, source, log_level=0, limits=limits)
