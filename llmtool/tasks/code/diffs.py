"""Parse unified diffs into files and hunks, and write the diff of a file."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator
from pathlib import PurePosixPath

import msgspec

_HUNK = re.compile(r"@@ -\d+(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")
_HEADER = re.compile(r"((?:new file|deleted file|old|new) mode|(?:rename|copy) (?:from|to)) (.+)")
_BINARY = re.compile(r"Binary files (.+) and (.+) differ")
_SUBMODULE = re.compile(r"Submodule (.+?) (?:[0-9a-f]{4,}\.{2,3}[0-9a-f]{4,}|contains )")
_COLOR = re.compile(r"\x1b\[[\d;]*[mK]")
_COLORED_HEADER = re.compile(r"^(?:\x1b\[[\d;]*[mK])+(?:diff |--- |\+\+\+ |@@ )", re.MULTILINE)
_GIT_PREFIX = re.compile(r"[abciow12]/")  # of a/, b/, and those of diff.mnemonicPrefix
_LOCK_NAMES = frozenset(
    "package-lock.json npm-shrinkwrap.json pnpm-lock.yaml bun.lockb go.sum go.work.sum "
    "packages.lock.json project.assets.json gradle.lockfile Package.resolved conda-lock.yml "
    ".terraform.lock.hcl cabal.project.freeze".split()
)
_GENERATED = re.compile(
    r"(?:^|/)(?:node_modules|vendor|third_party|__snapshots__|__generated__)/"
    r"|\.min\.(?:m?js|css)$|\.map$|_pb2(?:_grpc)?\.pyi?$|\.pb\.(?:go|cc|h)$|\.snap$"
    r"|\.(?:g|freezed)\.dart$|\.(?:g|designer)\.cs$|[._]generated\.\w+$",
    re.IGNORECASE,
)
_MIN_MINIFIED = 1000  # characters per changed line
_GENERATED_LINE = re.compile(
    r"^[+ ].{0,20}(?:@generated|code generated .{0,60}do not edit)", re.IGNORECASE | re.MULTILINE
)

_SUBMODULE_MODE = "160000"
_MAX_NAMES = 8192  # characters of two paths
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
_QUOTED_END = re.compile(_QUOTED.pattern + r"\Z")
_ESCAPE = re.compile(rb"\\([0-7]{1,3}|.)", re.DOTALL)


class Hunk(msgspec.Struct, frozen=True, kw_only=True):
    """A run of changed lines with their context.

    `first` and `last` are line numbers of the new file; `last` is less than `first` if the hunk
    shows none of its lines.
    """

    header: str
    body: str
    first: int
    last: int

    @property
    def text(self) -> str:
        return f"{self.header}\n{self.body}"

    @property
    def n_changed(self) -> int:
        return sum(line.startswith(("+", "-")) for line in self.body.split("\n"))

    @property
    def only_removes(self) -> bool:
        return self.last < self.first


class FileDiff(msgspec.Struct, frozen=True, kw_only=True):
    """The changes of one file; `skip_reason` is "" unless the file should be skipped.

    `notes` are the header lines of git for new, deleted and renamed files and changed modes.
    """

    path: str
    hunks: tuple[Hunk, ...]
    notes: tuple[str, ...] = ()
    skip_reason: str = ""

    @property
    def text(self) -> str:
        notes = "".join(f"{note}\n" for note in self.notes)
        head = f"--- a/{self.path}\n+++ b/{self.path}\n"
        return notes + head + "".join(hunk.text for hunk in self.hunks)

    @property
    def n_added(self) -> int:
        return sum(line.startswith("+") for h in self.hunks for line in h.body.split("\n"))

    @property
    def n_removed(self) -> int:
        return sum(line.startswith("-") for h in self.hunks for line in h.body.split("\n"))


def parse_diff(text: str) -> tuple[FileDiff, ...]:
    """Parse a unified diff in the format of git; text between the files is ignored.

    Hunks are read by the number of lines in their headers, so that a changed line is never taken
    for the header of a file.

    Example:
        >>> diff = "--- a/x.py\\n+++ b/x.py\\n@@ -1 +1 @@\\n-a\\n+b\\n"
        >>> [(file.path, [hunk.first for hunk in file.hunks]) for file in parse_diff(diff)]
        [('x.py', [1])]
    """
    text = text.removeprefix("\ufeff")
    if _COLORED_HEADER.search(text):  # color.ui=always
        text = _COLOR.sub("", text)
    lines = text.replace("\r\n", "\n").split("\n")
    if lines and not lines[-1]:
        lines.pop()
    found: list[FileDiff] = []
    file, at = _FileParser(), 0
    while at < len(lines):
        line = lines[at]
        at += 1
        if line.startswith("diff --git "):
            found += file.close()
            file = _FileParser(_split_names(line.removeprefix("diff --git ")))
        elif line.startswith(("diff --cc ", "diff --combined ")):
            found += file.close()
            name = _unquoted(line.split(" ", 2)[2])
            file = _FileParser((name, name), "a merge")
        elif submodule := _SUBMODULE.match(line):  # diff.submodule=log
            found += file.close()
            file = _FileParser((submodule[1], submodule[1]), "a submodule")
        elif line.startswith("--- "):
            if file.hunks or not file.header:  # a diff without `diff --git` lines
                found += file.close()
                file = _FileParser()
            file.old = _name(line[4:])
        elif line.startswith("+++ "):
            file.new = _name(line[4:])
        elif line.startswith(("Binary files ", "GIT binary patch")):
            names = _BINARY.fullmatch(line)
            if names and not file.header:
                found += file.close()
                file = _FileParser((_name(names[1]), _name(names[2])))
            file.reason = "binary"
        elif header := _HEADER.fullmatch(line):
            name = _unquoted(header[2])
            is_whole = header[1] in ("new file mode", "deleted file mode")
            file.notes.append(
                header[1].removesuffix(" mode") if is_whole else f"{header[1]} {name}"
            )
            if header[1] in ("rename to", "copy to"):
                file.moved_to = name
            elif header[2] == _SUBMODULE_MODE:
                file.reason = "a submodule"
        elif line.startswith("index ") and line.endswith(f" {_SUBMODULE_MODE}"):
            file.reason = "a submodule"
        elif file.path and (hunk_header := _HUNK.match(line)):
            hunk, at = _read_hunk(lines, at, hunk_header)
            if hunk.body:  # none of a diff of words
                file.hunks.append(hunk)
    return tuple([*found, *file.close()])


class _FileParser:
    """The parts of a file that have been parsed so far.

    `header` has the names in a `diff --git` line, `old` and `new` those after `---` and `+++`.
    A name is "" for /dev/null.
    """

    def __init__(self, header: tuple[str, str] | None = None, reason: str = "") -> None:
        self.header, self.reason = header, reason
        self.old = self.new = self.moved_to = ""
        self.hunks: list[Hunk] = []
        self.notes: list[str] = []

    @property
    def path(self) -> str:
        if self.moved_to:
            return self.moved_to
        old, new = (self.old, self.new) if self.old and self.new else self.header or ("", "")
        if old and new:
            return _path_in_both(old, new)
        name = self.new or self.old or old or new
        return name[2:] if name.startswith(("a/", "b/")) else name

    def close(self) -> list[FileDiff]:
        path = self.path
        if not path or not (self.hunks or self.notes or self.reason):
            return []
        file = FileDiff(path=path, hunks=tuple(self.hunks), notes=tuple(self.notes))
        return [msgspec.structs.replace(file, skip_reason=self.reason or _skip_reason(file))]


def _read_hunk(lines: list[str], at: int, header: re.Match[str]) -> tuple[Hunk, int]:
    """Return a hunk and the index of the line after it."""
    old, n_new = (1 if size is None else int(size) for size in (header[1], header[3]))
    start, new = at, n_new
    while at < len(lines) and (old > 0 or new > 0 or lines[at].startswith("\\")):
        mark = lines[at][:1]
        if mark not in ("-", "+", " ", "", "\\"):
            break
        old -= mark in ("-", " ", "")  # some mail programs strip the space of an empty line
        new -= mark in ("+", " ", "")
        at += 1
    first = max(int(header[2]), 1)  # 0 where the new file is empty
    body = "".join(f"{line}\n" for line in lines[start:at])
    return Hunk(header=lines[start - 1], body=body, first=first, last=first + n_new - 1), at


def _split_names(text: str) -> tuple[str, str]:
    """Split `a/x b/x`, in which names may contain spaces: where the names have most in common.

    Example:
        >>> _split_names("a/x y b/x y"), _split_names('"a/\\\\303\\\\251" b/x')
        (('a/x y', 'b/x y'), ('a/é', 'b/x'))
    """
    quoted = _QUOTED.match(text) or _QUOTED_END.search(text)
    if quoted:
        names = quoted[0], (text[: quoted.start()] or text[quoted.end() :]).strip()
        first, second = names if quoted.start() == 0 else names[::-1]
        return _unquoted(first), _unquoted(second)
    text = text[:_MAX_NAMES]
    splits = ((text[: at.start()], text[at.end() :]) for at in re.finditer(" ", text))
    return max(splits, key=lambda names: len(_common_end(*names)), default=("", text))


def _common_end(old: str, new: str) -> str:
    """Return the folders and file name in which two paths end."""
    common: list[str] = []
    for first, second in zip(old.split("/")[::-1], new.split("/")[::-1], strict=False):
        if first != second:
            break
        common.append(first)
    return "/".join(common[::-1])


def _path_in_both(old: str, new: str) -> str:
    """Return the path of a file, given its names with any prefixes, such as a/ and b/.

    Example:
        >>> _path_in_both("a/x.py", "b/x.py"), _path_in_both("a/x.py", "a/x.py")
        ('x.py', 'a/x.py')
        >>> _path_in_both("old/x.py", "new/x.py"), _path_in_both("a/lib/x.py", "b/src/x.py")
        ('x.py', 'src/x.py')
    """
    common = _common_end(old, new)
    is_git = _GIT_PREFIX.match(old) and _GIT_PREFIX.match(new) and old[0] != new[0]
    return new[2:] if is_git else common or new


def _name(text: str) -> str:
    """Return the name in a line after `---` or `+++`, "" for /dev/null."""
    name = _unquoted(text.split("\t")[0].strip())
    return "" if name == "/dev/null" else name


def _unquoted(name: str) -> str:
    """Remove git's quotes and escapes from a path, except escaped control characters.

    Example:
        >>> _unquoted('"caf\\\\303\\\\251.py"'), _unquoted("a b.py")
        ('café.py', 'a b.py')
    """
    if len(name) < 2 or not (name.startswith('"') and name.endswith('"')):
        return name

    def unescape(found: re.Match[bytes]) -> bytes:
        code = found[1]
        if code in b'\\"':
            return code
        byte = int(code, 8) & 255 if code.isdigit() else 0
        return bytes([byte]) if byte >= 32 else found[0]

    return _ESCAPE.sub(unescape, name[1:-1].encode()).decode("utf-8", "replace")


def _skip_reason(file: FileDiff) -> str:
    name = PurePosixPath(file.path).name
    if name in _LOCK_NAMES or name.endswith(".lock"):
        return "a lock file"
    if _GENERATED.search(file.path):
        return "generated"
    if file.hunks and file.hunks[0].first == 1 and _GENERATED_LINE.search(file.hunks[0].body):
        return "generated"
    n_changed = file.n_added + file.n_removed
    if sum(len(hunk.body) for hunk in file.hunks) > _MIN_MINIFIED * max(n_changed, 1):
        return "minified"
    return ""


def split_file_diff(file: FileDiff, *, fits: Callable[[FileDiff], bool]) -> Iterator[FileDiff]:
    """Split the diff of a file into parts that fit: hunks, or pieces of long hunks."""
    if fits(file):
        yield file
        return

    def with_hunk(hunk: Hunk) -> FileDiff:
        return msgspec.structs.replace(file, hunks=(hunk,))

    for hunk in file.hunks:
        yield from map(with_hunk, split_hunk(hunk, fits=lambda piece: fits(with_hunk(piece))))


def split_hunk(hunk: Hunk, *, fits: Callable[[Hunk], bool]) -> Iterator[Hunk]:
    """Halve a hunk until its pieces fit or have a single line."""
    lines = split_lines(hunk.body)
    if len(lines) < 2 or fits(hunk):
        yield hunk
        return
    middle = len(lines) // 2
    n_before = sum(not line.startswith(("-", "\\")) for line in lines[:middle])
    cut = hunk.first + n_before  # removed lines count as part of the next line
    first_half = (hunk.first, max(min(hunk.first, hunk.last), cut - 1), "".join(lines[:middle]))
    for first, last, body in (
        first_half,
        (cut if hunk.only_removes else min(cut, hunk.last), hunk.last, "".join(lines[middle:])),
    ):
        header = f"@@ +{first},{last - first + 1} @@"
        yield from split_hunk(Hunk(header=header, body=body, first=first, last=last), fits=fits)


def with_line_numbers(file: FileDiff) -> str:
    """Return the diff of a file with the line numbers of the new version."""
    shown = [file.path]
    for hunk in file.hunks:
        number = hunk.first
        shown.append("")
        for line in hunk.body.split("\n")[:-1]:
            if line.startswith("\\"):
                continue
            if line.startswith("-"):
                shown.append(f"     {line}")
            else:
                shown.append(f"{number:4} {line}")
                number += 1
    return "\n".join(shown)


def unified_diff(path: str, old: str, new: str) -> str:
    """Return a unified diff for `patch -p1` and `git apply`, "" if the file is unchanged.

    Example:
        >>> print(unified_diff("x", "a\\n", "b\\n"), end="")
        --- a/x
        +++ b/x
        @@ -1 +1 @@
        -a
        +b
    """
    lines = difflib.unified_diff(
        split_lines(old), split_lines(new), fromfile=f"a/{path}", tofile=f"b/{path}"
    )
    return "".join(
        line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines
    )


def split_lines(text: str) -> list[str]:
    """Split a text at newlines only, as patches and editors count lines."""
    return re.findall(r"[^\n]*\n|[^\n]+\Z", text)
