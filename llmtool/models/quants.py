"""Choose the model file from a list of file names, without network or disk access.

A quant label is an optional `UD-` and one of Q<n>_{K|0|1}[_S|_M|_L|_XL|_4_4],
IQ<n>_{XXS|XS|S|M|NL}, TQ<n>_0, MXFP4[_MOE], NVFP4, BF16, F16 (FP16), F32 (FP32) or Q<n>, in any
case, with `-` or `_`. The quant of a file is the last label in its stem, or else the last one in
the name of its folder.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

import msgspec

from llmtool.errors import ModelNotFound
from llmtool.sizes import format_bytes
from llmtool.suggest import suggest

DEFAULT_ORDER = (
    "Q4_K_M UD-Q4_K_M UD-Q4_K_XL Q4_K_XL Q4_K_L Q4_K_S IQ4_XS IQ4_NL Q4_0 Q4 MXFP4 MXFP4_MOE "
    "Q5_K_M Q5_K_S Q6_K Q8_0"
).split()

_LABEL = r"""
    (?: (?P<ud> UD ) [-_] )?
    (?: Q [1-9] [-_] (?: K (?: [-_] (?: S | M | L | XL ) )? | [01] (?: [-_] [48] [-_] [48] )? )
      | IQ [1-9] [-_] (?: XXS | XS | S | M | NL )
      | TQ [1-9] [-_] 0
      | MXFP4 (?: [-_] MOE )? | NVFP4 | BF16 | FP?16 | FP?32
      | Q [1-9] )
"""
_IN_NAME = re.compile(rf"(?<![A-Za-z0-9]) {_LABEL} (?![A-Za-z0-9])", re.VERBOSE | re.IGNORECASE)
_SPLIT = re.compile(r"(?P<stem>.*)-(?P<index>\d{5})-of-(?P<count>\d{5})\.gguf", re.IGNORECASE)
_RAW_PART = re.compile(
    r"(?P<stem>.*)(?:\.gguf)?[.-](?:split-?[a-z0-9]{1,3}|part-?[a-z0-9]{1,3}(?:of\d+)?)",
    re.IGNORECASE,
)
_NOT_A_MODEL = frozenset("mmproj imatrix mtp eagle3 dflash dspark vocab lora adapter draft".split())
_MAX_LISTED = 12

Reason = Literal[
    "no-gguf",
    "quant-not-found",
    "file-not-found",
    "ambiguous",
    "split-incomplete",
    "raw-split",
    "not-a-model",
]


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
    match = re.fullmatch(r"(.*)-\d{5}-of-(\d{5})\.gguf", path.name)
    if not match or not 1 <= int(match[2]) <= 1000:
        return (path,)
    stem, count = match[1], int(match[2])
    return tuple(path.with_name(f"{stem}-{i:05}-of-{count:05}.gguf") for i in range(1, count + 1))


def find_models(files: Mapping[str, int | None] | Iterable[str]) -> list[ModelFiles]:
    """Return the models among these files in order; the parts of a split model count as one."""
    sizes: dict[str, int | None] = (
        dict(files) if isinstance(files, Mapping) else dict.fromkeys(files)
    )
    groups: dict[tuple[str, int], dict[int, str]] = {}
    for path in sizes:
        if not path.lower().endswith(".gguf") or _is_other(path):
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


def choose(files: Mapping[str, int | None] | Iterable[str], quant: str | None = None) -> ModelFiles:
    """Choose the model with this quant, or the first match in `DEFAULT_ORDER` if it is None.

    Args:
        files: paths inside the repository, optionally with sizes in bytes, which errors show.

    Raises:
        ChoiceError: not exactly one model matches; the message lists the models.
    """
    names = list(files)
    models = find_models(files)
    raw_parts = [name for name in names if _RAW_PART.fullmatch(name) and not _is_other(name)]
    if quant is not None:
        return _choose_label(models, raw_parts, quant)
    for label in DEFAULT_ORDER:
        found = [m for m in models if m.quant == label]
        if found:
            return _only(found, label)
    if len(models) == 1:
        return _only(models, models[0].quant or models[0].file)
    if models:
        raise ChoiceError(
            f"no default quant among {_list(models)}; choose one with :QUANT or :file.gguf",
            reason="ambiguous",
        )
    if raw_parts:
        raise _raw_split(raw_parts[0])
    raise _no_gguf()


def choose_file(files: Mapping[str, int | None] | Iterable[str], name: str) -> ModelFiles:
    """Choose the model that contains a file, given as a path or as a unique file name.

    Raises:
        ChoiceError: the file is missing, ambiguous or not a model, or parts of it are missing.
    """
    names = list(files)
    paths = [n for n in names if n == name] or [n for n in names if n.rpartition("/")[2] == name]
    if len(paths) == 1 and _is_other(paths[0]):
        raise ChoiceError(
            f"{name} does not look like a language model; choose another file", reason="not-a-model"
        )
    models = find_models(files)
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


def _choose_label(models: list[ModelFiles], raw_parts: list[str], quant: str) -> ModelFiles:
    label = normalize(quant)
    for wanted in (label, f"UD-{label}"):
        found = [m for m in models if label and m.quant == wanted]
        if found:
            return _only(found, quant)
    for name in raw_parts:
        if label and find_label(_RAW_PART.sub(r"\g<stem>", name)) == label:
            raise _raw_split(name)
    if not models:
        raise _no_gguf()
    raise ChoiceError(
        f"quant {quant} not found; available: {_list(models)}", reason="quant-not-found"
    )


def _only(found: list[ModelFiles], requested: str) -> ModelFiles:
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
    return ChoiceError("no GGUF model found; choose a repository with GGUF files", reason="no-gguf")


def _list(models: list[ModelFiles]) -> str:
    shown = sorted(models, key=lambda m: m.size_bytes or 0)[:_MAX_LISTED]
    texts = [
        (m.quant or m.file) + (f" ({format_bytes(m.size_bytes)})" if m.size_bytes else "")
        for m in shown
    ]
    more = len(models) - len(shown)
    return ", ".join(texts) + (f" and {more} more" if more > 0 else "")


def _spell(match: re.Match[str]) -> str:
    label = match[0].upper().replace("-", "_").replace("FP16", "F16").replace("FP32", "F32")
    return f"UD-{label[3:]}" if match["ud"] else label


def _is_other(path: str) -> bool:
    return bool(_NOT_A_MODEL & set(re.split(r"[^a-z0-9]+", path.lower())))


def _without_suffix(name: str) -> str:
    return name[: -len(".gguf")] if name.lower().endswith(".gguf") else name
