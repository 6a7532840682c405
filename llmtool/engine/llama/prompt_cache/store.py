"""Store the states of prompt prefixes on disk, so that later processes need not compute them.

Each file is one state, named after its key. Files are written without fsync, because losing one
only costs time; `load` detects files that a power cut has damaged.
"""

from __future__ import annotations

import contextlib
import os
import stat
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from llmtool import files
from llmtool.engine.llama.prompt_cache import format
from llmtool.temporary import TemporaryFile, remove_leftovers

if TYPE_CHECKING:
    from typing_extensions import Buffer

_SUFFIX: Final = ".prefix"


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A stored state; `note` describes it, and `used_at` is in seconds since 1970."""

    key: str
    path: Path
    size_bytes: int
    used_at: float
    note: dict[str, str | int] = {}


class PrefixCache:
    """A folder of states, which may not exist yet; the least recently used are removed first.

    Several processes can use the same folder: files are created by rename and never change. A limit
    of 0 disables the cache.

    Example:
        >>> from pathlib import Path
        >>> cache = PrefixCache(Path("prefixes"), limit_bytes=512_000_000)
        >>> key, state = b"key of a model and its tokens...", b"state of a sequence"
        >>> cache.store(key, state, note={"model": "starter", "n_tokens": 70})
        True
        >>> cache.load(key) == state
        True
    """

    def __init__(self, folder: Path, *, limit_bytes: int) -> None:
        self.folder = folder
        self.limit_bytes = limit_bytes

    def load(self, key: str | bytes) -> bytearray | None:
        """Return the state for a key of `make_key`, or None; remove the file if it is damaged.

        The buffer is writable, so that `(c_uint8 * len(b)).from_buffer(b)` needs no copy.
        """
        name = _hex(key)
        if self.limit_bytes <= 0:
            return None
        path = self.folder / f"{name}{_SUFFIX}"
        try:
            with format.open_own(path) as (descriptor, state):
                if state is None:
                    return None
                if state.st_size > self.limit_bytes:
                    raise format.Damaged("larger than the limit")
                payload = format.read_payload(descriptor, state.st_size, bytes.fromhex(name))
                _mark_used(descriptor, path)
                return payload
        except format.Damaged as exc:
            _log(f"removed {path}: {exc}")
            with contextlib.suppress(OSError):
                path.unlink()
        except FileNotFoundError:
            pass
        except (OSError, MemoryError) as exc:
            _log(f"cannot read {path}: {exc}")
        return None

    def store(self, key: str | bytes, payload: Buffer, *, note: Mapping[str, str | int]) -> bool:
        """Store a state, any contiguous buffer; return whether it was written.

        `note` has `model` and `n_tokens`, which `llmtool cache ls` shows.
        """
        name = _hex(key)
        content = memoryview(payload)
        if content.itemsize != 1 or content.ndim != 1:
            content = content.cast("B")
        encoded_note = format.encode_note(note)
        size = format.HEADER_BYTES + len(encoded_note) + len(content)
        if size > self.limit_bytes:
            _log(f"state of {size} bytes not stored: the limit is {self.limit_bytes}")
            return False
        header = format.make_header(bytes.fromhex(name), encoded_note, content)
        try:
            _make_private(self.folder)
            remove_leftovers(self.folder)
            self._write(name, (header, encoded_note, content))
            self._evict()
        except OSError as exc:
            _log(f"state not stored in {self.folder}: {exc}")
            return False
        return True

    def _write(self, name: str, chunks: Sequence[bytes | memoryview]) -> None:
        temporary = TemporaryFile(self.folder / f"{name}{_SUFFIX}")
        try:
            for chunk in chunks:
                rest = memoryview(chunk)
                while rest:
                    rest = rest[os.write(temporary.descriptor, rest) :]
            # With nanoseconds, for the order of eviction.
            _mark_used(temporary.descriptor, Path(temporary.name))
            temporary.rename()
        except BaseException:
            temporary.discard()
            raise

    def _evict(self) -> None:
        entries = self.entries()
        total = sum(entry.size_bytes for entry in entries)
        for entry in reversed(entries):
            if total <= self.limit_bytes:
                return
            with contextlib.suppress(OSError):
                entry.path.unlink()
                total -= entry.size_bytes

    def entries(self) -> list[Entry]:
        """Return the stored states, most recently used first; ignore foreign files."""
        found = []
        for name in _list(self.folder):
            key = name.removesuffix(_SUFFIX)
            if key == name or not _is_key(key):
                continue
            path = self.folder / name
            with contextlib.suppress(OSError), format.open_own(path) as (descriptor, state):
                head = os.read(descriptor, format.HEAD_BYTES) if state else b""
                if state is None or not format.is_ours(head):
                    continue
                found.append(
                    Entry(
                        key=key,
                        path=path,
                        size_bytes=state.st_size,
                        used_at=files.modified_at(state),
                        note=format.decode_note(head),
                    )
                )
        now = time.time_ns()

        def order(entry: Entry) -> tuple[int, str]:
            return -files.order_of_use(int(entry.used_at * 1e9), now), entry.key

        return sorted(found, key=order)

    def clear(self, *, dry_run: bool = False) -> tuple[int, int]:
        """Remove all states and temporary files; return the numbers of files and bytes.

        Raises:
            OutputError: a file cannot be removed.
        """
        sizes = [(entry.path, entry.size_bytes) for entry in self.entries()]
        removed = remove_leftovers(self.folder, dry_run=dry_run)
        with files.write_errors(str(self.folder)):
            for path, size in sizes:
                with contextlib.suppress(FileNotFoundError):  # another process removed it
                    if not dry_run:
                        path.unlink()
                    removed.append(size)
        return len(removed), sum(removed)


def make_key(
    *,
    model: Sequence[files.FileIdentity],
    build: str,
    params: Mapping[str, str | int | float | bool | None],
    tokens: Sequence[int],
) -> str:
    """Return the key of a prefix: the SHA-256, in hex, of everything that its state depends on.

    `model` has the identity of each file of the model, `build` is the version of llama.cpp.

    Example:
        >>> model = [("/model.gguf", 9, 8, 8, 7, 6, "ab")]
        >>> make_key(model=model, build="b1", params={"n": 1}, tokens=[1, 2])[:8]
        '8097b076'
    """
    import hashlib

    parts = [list(model), build, sorted(params.items()), list(tokens)]
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()


def _hex(key: str | bytes) -> str:
    name = key if isinstance(key, str) else key.hex()
    if not _is_key(name):
        raise ValueError(f"{key!r} is not a valid key; use make_key")
    return name


def _is_key(name: str) -> bool:
    return len(name) == 64 and set(name) <= set("0123456789abcdef")


def _list(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _mark_used(descriptor: int, path: Path) -> None:
    """Set the modification time to now: many file systems do not record access times."""
    now = time.time_ns()
    target = descriptor if os.utime in os.supports_fd else path
    with contextlib.suppress(OSError):  # a read-only folder
        os.utime(target, ns=(now, now))


def _make_private(folder: Path) -> None:
    """Create a folder and its parents with mode 0700, regardless of the umask."""
    files.make_folder(folder)
    mode = folder.lstat().st_mode
    if stat.S_ISDIR(mode) and mode & 0o777 != 0o700:
        with contextlib.suppress(OSError):  # another user's folder, or no modes
            folder.chmod(0o700)


def _log(text: str) -> None:
    logging = sys.modules.get("logging")  # not imported here: it takes 7 ms
    if logging is not None:
        logging.getLogger("llmtool").debug("prompt cache: %s", text)
