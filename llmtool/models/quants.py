"""Choose the model file from a list of file names, without network or disk access.

A quant label is an optional `UD-` and one of Q<n>_{K|0|1}[_S|_M|_L|_XL|_4_4],
IQ<n>_{XXS|XS|S|M|NL}, TQ<n>_0, MXFP4[_MOE], NVFP4, BF16, F16 (FP16), F32 (FP32) or Q<n>, in any
case, with `-` or `_`. It may end in suffixes of forks, such as _P, _R4 and _G128, and `K` may have
up to two more letters, as in IQ4_KS. The quant of a file is the last label in its stem, or else
the last one in the name of its folder.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

import msgspec

from llmtool.errors import ModelNotFound
from llmtool.sizes import format_bytes
from llmtool.suggest import suggest

DEFAULT_ORDER = (
    "Q4_K_M UD-Q4_K_M UD-Q4_K_XL Q4_K_XL Q4_K_L Q4_K_S IQ4_XS IQ4_NL Q4_0 Q4 MXFP4 MXFP4_MOE "
    "Q4_K_? Q5_K_M Q5_K_S Q5_K_? Q6_K Q6_K_? Q8_0 Q8_K_?"
).split()  # ? is any character

_LABEL = r"""
    (?: (?P<ud> UD ) [-_] )?
    (?: [IT]? Q [1-9] [-_] (?: K [A-Z]{0,2} (?: [-_] (?: S | M | L | XL | P ) )?
                             | [0-9] (?: [-_] [48] [-_] [48] )?
                             | XXS | XS | S | M | NL )
      | MXFP4 (?: [-_] MOE )? | NVFP4 | BF16 | FP?16 | FP?32
      | [IT]? Q [1-9] )
    (?: _ (?: [A-Z] | X{1,3} [SML] | NL | [RG] [0-9]{1,3} ) (?![A-Za-z0-9]) )*
"""
_IN_NAME = re.compile(rf"(?<![A-Za-z0-9]) {_LABEL} (?![A-Za-z0-9])", re.VERBOSE | re.IGNORECASE)
_SPLIT = re.compile(r"(?P<stem>.*)-(?P<index>\d{5})-of-(?P<count>\d{5})\.gguf", re.IGNORECASE)
_RAW_PART = re.compile(
    r"(?P<stem>.*)(?:\.gguf)?[.-](?:split-?[a-z0-9]{1,3}|part-?[a-z0-9]{1,3}(?:of\d+)?)",
    re.IGNORECASE,
)
# Words in the names of files that accompany a model; the names of some models have them too.
_COMPANIONS = frozenset("eagle3 dflash dspark lora adapter draft".split())
_DATA = frozenset("imatrix vocab".split())  # files of data have no label, models do
_MAX_LISTED = 12

Reason = Literal[
    "no-gguf",
    "quant-not-found",
    "file-not-found",
    "ambiguous",
    "split-incomplete",
    "raw-split",
]


Files = Mapping[str, int | None] | Iterable[str]
"""Paths inside a repository or folder, optionally with sizes in bytes, which errors show."""


class ChoiceError(ModelNotFound):
    """No model file could be chosen; `reason` is the cause."""

    def __init__(self, message: str, *, reason: Reason) -> None:
        super().__init__(message)
        self.reason = reason


class ModelFiles(msgspec.Struct, frozen=True, kw_only=True):
    """The files of one model, with the parts of a split model in order, and its quant."""

    files: tuple[str, ...]
    quant: str | None
    count: int = 1  # number of parts, from the file names
    size_bytes: int | None = None

    @property
    def file(self) -> str:
        return self.files[0]

    @property
    def complete(self) -> bool:
        return len(self.files) == self.count


def normalize(label: str) -> str | None:
    """Return the canonical spelling of a quant label, or None for any other text.

    Example:
        >>> normalize("ud-q4-k-xl"), normalize("fp16"), normalize("best")
        ('UD-Q4_K_XL', 'F16', None)
    """
    match = _IN_NAME.fullmatch(label)
    return _spell(match) if match else None


def find_label(path: str) -> str | None:
    """Return the quant label in the name of a file, or else of its folder."""
    folder, _, name = path.rpartition("/")
    split = _SPLIT.fullmatch(name)
    for text in (split["stem"] if split else _without_suffix(name), folder.rpartition("/")[2]):
        matches = list(_IN_NAME.finditer(text))
        if matches:
            return _spell(matches[-1])
    return None


def list_parts(path: Path) -> tuple[Path, ...]:
    """Return all parts of a split model in order, given the path of any part.

    For other files, return the path itself. The parts need not exist.
    """
    match = _SPLIT.fullmatch(path.name)
    if not match or not 1 <= int(match["count"]) <= 1000:
        return (path,)
    stem, count, end = match["stem"], int(match["count"]), path.name[-len(".gguf") :]
    return tuple(path.with_name(f"{stem}-{i:05}-of-{count:05}{end}") for i in range(1, count + 1))


def find_models(files: Files) -> list[ModelFiles]:
    """Return the models among these files in order, without vision and audio projectors."""
    return [model for model in _group(files) if "mmproj" not in _spaced(model.file).split()]


def _group(files: Files) -> list[ModelFiles]:
    """Return the GGUF files in order; the parts of a split file count as one."""
    sizes: dict[str, int | None] = (
        dict(files) if isinstance(files, Mapping) else dict.fromkeys(files)
    )
    groups: dict[tuple[str, int], dict[int, str]] = {}
    for path in sizes:
        if not path.lower().endswith(".gguf"):
            continue
        split = _SPLIT.fullmatch(path)
        if split:
            key = (split["stem"], int(split["count"]))
            groups.setdefault(key, {})[int(split["index"])] = path
        else:
            groups[(path, 0)] = {1: path}
    models = []
    for (_, count), parts in groups.items():
        names = tuple(parts[i] for i in sorted(parts) if not count or 1 <= i <= count)
        known = [size for name in names if (size := sizes[name]) is not None]
        if names:
            models.append(
                ModelFiles(
                    files=names,
                    quant=find_label(names[0]),
                    count=max(count, 1),
                    size_bytes=sum(known) if len(known) == len(names) else None,
                )
            )
    return models


def choose(files: Files, quant: str | None = None, file: str | None = None) -> ModelFiles:
    """Choose the model with this quant or file, or else the first match in `DEFAULT_ORDER`.

    Args:
        file: a path or a unique file name. Any GGUF file can be chosen; case matters only between
            names that differ in nothing else.

    Raises:
        ChoiceError: not exactly one model matches; the message lists the models.
    """
    if file is not None:
        return _choose_file(files, file)
    models = find_models(files)
    raw_parts = [name for name in files if _RAW_PART.fullmatch(name)]
    if quant is not None:
        return _choose_label(models, raw_parts, quant)
    models = _likely(models)
    for limit in range(3):
        accepted = [m for m in models if doubt(m.file) <= limit]
        for label in DEFAULT_ORDER:
            found = [m for m in accepted if fnmatchcase(m.quant or "", label)]
            if found:
                return _only(found, label)
    if len(models) == 1:
        return _only(models, models[0].file)
    if models:
        raise ChoiceError(
            f"no default quant among {_list(models)}; choose one with :QUANT or :file.gguf",
            reason="ambiguous",
        )
    if raw_parts:
        raise _raw_split(raw_parts[0])
    raise _no_gguf()


def is_chosen_by_quant(files: Mapping[str, int | None], model: ModelFiles) -> bool:
    """Return whether a model among these files is the one that its quant refers to."""
    try:
        return choose(files, model.quant or "").file == model.file
    except ChoiceError:
        return False


def _choose_file(files: Files, name: str) -> ModelFiles:
    paths = _find_paths(list(files), name)
    models = _group(files)
    found = [m for m in models if len(paths) == 1 and paths[0] in m.files]
    if found:
        return _only(found, name)
    if len(paths) > 1:
        raise ChoiceError(
            f"{name} matches {len(paths)} files: {', '.join(paths)}; use the path",
            reason="ambiguous",
        )
    hint = suggest(name, (m.file for m in models), cutoff=0.4)
    hint = hint or f"; available: {_list(models) or 'no GGUF model'}"
    raise ChoiceError(f"file {name} not found{hint}", reason="file-not-found")


def _find_paths(paths: list[str], name: str) -> list[str]:
    """Return the paths that a name refers to: by path or else by file name, in its case or any."""
    for case in (str, str.lower):
        wanted = case(name)
        found = [path for path in paths if case(path) == wanted]
        found = found or [path for path in paths if case(path).rpartition("/")[2] == wanted]
        if found:
            return found
    return []


def _choose_label(models: list[ModelFiles], raw_parts: list[str], quant: str) -> ModelFiles:
    all_models, models = models, _likely(models)
    label = normalize(quant)
    for wanted in (label, f"UD-{label}"):
        found = [m for m in models if label and m.quant == wanted]
        if found:
            return _only(found, quant)
    if label is None:  # not a known label, such as Q4_K_HIFI
        found = [m for m in models if f" {_spaced(quant)} " in f" {_spaced(m.file)} "]
        if found:
            return _only(found, quant)
    for name in raw_parts:
        if label and find_label(_RAW_PART.sub(r"\g<stem>", name)) == label:
            raise _raw_split(name)
    if not models:
        raise _no_gguf()
    raise ChoiceError(
        f"quant {quant} not found; available: {_list(all_models)}", reason="quant-not-found"
    )


def _only(found: list[ModelFiles], requested: str) -> ModelFiles:
    least = min(doubt(m.file) for m in found)
    found = [m for m in found if doubt(m.file) == least]
    complete = [m for m in found if m.complete]
    if not complete:
        model = found[0]
        raise ChoiceError(
            f"{model.file}: only {len(model.files)} of {model.count} parts found",
            reason="split-incomplete",
        )
    if len(complete) > 1:
        names = ", ".join(m.file for m in complete[:_MAX_LISTED])
        raise ChoiceError(
            f"{len(complete)} files match {requested}: {names}; choose one with :file.gguf",
            reason="ambiguous",
        )
    return complete[0]


def _raw_split(name: str) -> ChoiceError:
    return ChoiceError(
        f"{name} is a raw part of a file, which llama.cpp cannot load; join the parts with cat "
        f"and run `llmtool models import`, or choose another quant",
        reason="raw-split",
    )


def _no_gguf() -> ChoiceError:
    return ChoiceError(
        "no GGUF model found; choose a repository or folder with GGUF files", reason="no-gguf"
    )


def _list(models: list[ModelFiles]) -> str:
    shown = sorted(models, key=lambda m: m.size_bytes or 0)[:_MAX_LISTED]
    texts = [
        (m.quant if m.quant and doubt(m.file) < 2 else m.file)
        + (f" ({format_bytes(m.size_bytes)})" if m.size_bytes else "")
        for m in shown
    ]
    more = len(models) - len(shown)
    return ", ".join(texts) + (f" and {more} more" if more > 0 else "")


def _spell(match: re.Match[str]) -> str:
    label = match[0].upper().replace("-", "_").replace("FP16", "F16").replace("FP32", "F32")
    return f"UD-{label[3:]}" if match["ud"] else label


def _spaced(text: str) -> str:
    """Return the words of a text in lower case, separated by spaces."""
    return " ".join(re.findall("[a-z0-9]+", text.lower()))


def doubt(path: str) -> int:
    """Return 2 if a name is that of a companion of a model, 1 if it may be, and otherwise 0."""
    first, *others = _spaced(path).split() or [""]
    if first == "mtp" or _COMPANIONS.intersection([first, *others]):
        return 2
    if _DATA.intersection([first, *others]):
        return 1 if find_label(path) else 2
    return 1 if "mtp" in others else 0


def _likely(models: list[ModelFiles]) -> list[ModelFiles]:
    """Return the models without companions, or all if there are only companions."""
    return [model for model in models if doubt(model.file) < 2] or models


def _without_suffix(name: str) -> str:
    return name[: -len(".gguf")] if name.lower().endswith(".gguf") else name
