"""Random changes of a document: single bytes, ranges, syntax, and syntax repeated many times."""

from __future__ import annotations

from random import Random

MAX_BYTES = 200_000
_BYTES = (0x00, 0x0A, 0x0D, 0x1B, 0x20, 0x22, 0x7F, 0x80, 0xC3, 0xFF)


def mutate(random: Random, corpus: list[bytes], syntax: list[bytes]) -> bytes:
    """Return a document of the corpus with one to five changes, up to 200 kB.

    One that is longer before, as a model, may become twice as long, so that it is not cut.
    """
    data = bytearray(random.choice(corpus))
    limit = max(MAX_BYTES, 2 * len(data))
    for _ in range(random.randint(1, 5)):
        at = random.randint(0, len(data))
        end = min(len(data), at + random.choice((1, 2, 8, 50, 500)))
        change = random.randrange(8)
        if change == 0 and at < len(data):
            data[at] = random.choice((*_BYTES, random.randrange(256)))
        elif change == 1:
            del data[at:end]
        elif change == 2:
            data[at:at] = data[at:end] * random.choice((1, 2, 100))
        elif change == 3:
            data[at:at] = random.choice(syntax)
        elif change == 4:
            token = random.choice(syntax)
            room = max(0, limit - len(data)) // len(token)
            data[at:at] = token * min(room, random.choice((10, 1000, 100_000)))
        elif change == 5:
            other = random.choice(corpus)
            data[at:] = other[random.randint(0, len(other)) :]
        elif change == 6:
            data[at:end] = bytes(reversed(data[at:end]))
        else:
            digits = random.choice((b"0", b"-1", b"9" * 30, b"4294967296", b"1e999", b"nan"))
            data[at:end] = digits
    return bytes(data[:limit])
