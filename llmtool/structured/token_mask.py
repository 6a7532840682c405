"""Set the logits of disallowed tokens to minus infinity, without numpy (187 ms to import).

If few tokens are allowed, one copy masks all logits and the allowed ones are then restored.
Otherwise the mask is applied in one operation on very long integers. Both take about 1 ms for
50,000 tokens and 3 ms for 150,000.
"""

from __future__ import annotations

import ctypes
from functools import lru_cache

_MINUS_INFINITY = b"\x00\x00\x80\xff"
_FEW = 512
_BITS = [[bit for bit in range(8) if byte >> bit & 1] for byte in range(256)]
_LANES = [
    b"".join(b"\xff" * 4 if byte >> bit & 1 else bytes(4) for bit in range(8))
    for byte in range(256)
]


def allowed_tokens(mask: bytes) -> list[int]:
    """Return the ids of the allowed tokens; token t is bit t % 8 of byte t // 8."""
    return [8 * at + bit for at, byte in enumerate(mask) if byte for bit in _BITS[byte]]


def apply_mask(mask: bytes, address: int, n_vocab: int) -> None:
    """Mask the `n_vocab` little-endian float32 logits at `address` in place.

    Example:
        >>> import ctypes
        >>> logits = (ctypes.c_float * 4)(1, 2, 3, 4)
        >>> apply_mask(b"\\x05", ctypes.addressof(logits), 4)
        >>> list(logits)
        [1.0, -inf, 3.0, -inf]
    """
    size = 4 * n_vocab
    if len(mask) - mask.count(0) <= _FEW:
        logits = (ctypes.c_float * n_vocab).from_address(address)
        saved = [(token, logits[token]) for token in allowed_tokens(mask) if token < n_vocab]
        ctypes.memmove(address, _all_masked(n_vocab), size)
        for token, value in saved:
            logits[token] = value
        return
    all_masked = _all_masked_as_integer(n_vocab)
    lanes = int.from_bytes(b"".join([_LANES[byte] for byte in mask])[:size], "little")
    values = int.from_bytes(ctypes.string_at(address, size), "little")
    masked = ((values ^ all_masked) & lanes) ^ all_masked
    ctypes.memmove(address, masked.to_bytes(size, "little"), size)


@lru_cache(maxsize=2)
def _all_masked(n_vocab: int) -> bytes:
    return _MINUS_INFINITY * n_vocab


@lru_cache(maxsize=2)
def _all_masked_as_integer(n_vocab: int) -> int:
    return int.from_bytes(_all_masked(n_vocab), "little")
