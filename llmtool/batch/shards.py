"""Shards: parts of a batch that processes run independently, and the keys of their rows."""

from __future__ import annotations

import re

import msgspec

from llmtool.errors import UsageError
from llmtool.option_names import option

_MAX_SHARDS = 100_000
_SHARD = re.compile(r"([0-9]{1,6})/([0-9]{1,6})")
_KEY = re.compile(r"([0-9a-f]+):([0-9]+/[0-9]+):([0-9]+):([0-9a-f]+)(?::([0-9]+))?")


class Shard(msgspec.Struct, frozen=True):
    """Part `number` of `n`, from 1.

    A record belongs to a shard by a hash of its content, or of its name if it is a file. So equal
    records are in one shard, where they are answered once, and a record keeps its shard if others
    are added, removed or sorted. A number in the input would not have these properties.

    Raises:
        UsageError: `number` is not from 1 to `n`, or `n` is too large.
    """

    number: int
    n: int

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.n <= _MAX_SHARDS:
            raise _invalid(str(self))

    def __str__(self) -> str:
        return f"{self.number}/{self.n}"

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Return the shard that a text such as `3/16` names.

        Raises:
            UsageError: it does not name one.

        Example:
            >>> Shard.parse("3/16")
            Shard(number=3, n=16)
        """
        match = _SHARD.fullmatch(text)
        if match is None:
            raise _invalid(text)
        return cls(int(match[1]), int(match[2]))

    def contains(self, digest: bytes) -> bool:
        """Whether a record with this SHA-256 belongs to the shard."""
        return int.from_bytes(digest[:8], "big") % self.n == self.number - 1


class ShardKey(msgspec.Struct, frozen=True):
    """The key of a row of a shard.

    `row` is the key of the row in a batch without shards, `index` the number of the record in the
    input, from 0, and `job` a hash of all that affects results except the record. The last row of a
    complete shard has `n_records`, the number of all records in the input.

    Example:
        >>> import msgspec
        >>> key = ShardKey.parse("0f3a:3/16:1047:9bc01d22")
        >>> key.shard, key.index, key.n_records
        ('3/16', 1047, None)
        >>> str(msgspec.structs.replace(key, n_records=2000))
        '0f3a:3/16:1047:9bc01d22:2000'
    """

    row: str
    shard: str
    index: int
    job: str
    n_records: int | None = None

    @classmethod
    def parse(cls, text: str) -> ShardKey | None:
        """Return the parts of a key, None if it is not the key of a shard."""
        match = _KEY.fullmatch(text)
        if match is None:
            return None
        row, shard, index, job, n_records = match.groups()
        return cls(row, shard, int(index), job, None if n_records is None else int(n_records))

    def __str__(self) -> str:
        end = "" if self.n_records is None else f":{self.n_records}"
        return f"{self.row}:{self.shard}:{self.index}:{self.job}{end}"


def with_key(row: bytes, key: str, new: str) -> bytes:
    """Return a row with another key, which is in its last column."""
    start, _, end = row.rpartition(key.encode())
    return start + new.encode() + end


def _invalid(text: str) -> UsageError:
    return UsageError(f"{option('shard', text)}: must be K/N with K from 1 to N, such as 3/16")
