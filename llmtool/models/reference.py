"""What `-m` accepts: a Hub repository, a file, an alias, the starter model.

org/name[:QUANT | :file.gguf][@revision]     hf.co/org/name…   hf://org/name…
https://huggingface.co/org/name[/tree/REV | /resolve/REV/file.gguf]
an alias or a catalogue name, with its own [:QUANT][@revision]
starter, or a path to a .gguf file
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Literal

import msgspec

from llmtool.errors import ModelNotFound, UsageError
from llmtool.suggest import suggest

STARTER = "starter"
HUB_HOSTS = frozenset({"huggingface.co", "www.huggingface.co", "hf.co"})
_REPO = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,95}/[A-Za-z0-9_][A-Za-z0-9._-]{0,95}")
_REVISION = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._/+-]{0,199}")
# In a URL's path the Hub accepts slashes in these revisions only.
_SPECIAL_REVISION = re.compile(r"(refs/(?:pr/[0-9]+|convert/[A-Za-z0-9_.-]+))(?:/(.*))?")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,95}")
_MAX_ALIASES = 16


class Reference(msgspec.Struct, frozen=True, kw_only=True):
    """A parsed model reference; which fields are set depends on `kind`."""

    kind: Literal["path", "starter", "hub"]
    path: Path | None = None
    repo: str | None = None
    quant: str | None = None
    file: str | None = None
    revision: str | None = None

    def __str__(self) -> str:
        if self.kind != "hub":
            return STARTER if self.kind == "starter" else str(self.path)
        chosen = self.file or self.quant
        text = f"{self.repo}:{chosen}" if chosen else str(self.repo)
        return f"{text}@{self.revision}" if self.revision else text


def parse(text: str, aliases: Mapping[str, str] | None = None, *, endpoint: str = "") -> Reference:
    """Parse a model reference; an alias may point to another alias.

    A name that is both a file and an alias is the file only if it contains a path separator or
    ends in `.gguf`. `endpoint` is the URL of the Hub if it is not the default one.

    Raises:
        UsageError: the text is not a reference, or the aliases form a cycle.
        ModelNotFound: the text is an unknown name; the message suggests similar ones.

    Example:
        >>> parse("hf.co/Qwen/Qwen3-0.6B-GGUF:q8_0@main").repo
        'Qwen/Qwen3-0.6B-GGUF'
    """
    return _parse(text, aliases or {}, endpoint.rstrip("/"), ())


def check_name(name: str) -> str:
    """Return `name` if it is a valid name of a model.

    Raises:
        UsageError: the name is not valid.
    """
    if not _NAME.fullmatch(name) or name == STARTER or name.endswith(".gguf"):
        raise UsageError(
            f"{name!r} cannot be a model name: letters, digits, '.', '_', '-', '+', "
            f"at most 96, not {STARTER!r} and not ending in .gguf"
        )
    return name


def _parse(
    text: str, aliases: Mapping[str, str], endpoint: str, seen: tuple[str, ...]
) -> Reference:
    if not text.strip() or "\0" in text or "\n" in text:
        raise UsageError(
            f"{text!r} is not a model reference: give org/name, a name or a path to a .gguf file"
        )
    if "://" in text:
        return _parse_url(text, endpoint)
    for prefix in (f"{host}/" for host in sorted(HUB_HOSTS)):
        if text.startswith(prefix):
            return _parse_repo(text[len(prefix) :], text)
    if _is_path(text, aliases):
        return Reference(kind="path", path=Path(os.path.expanduser(text)))
    if "/" in text.partition(":")[0]:
        return _parse_repo(text, text)
    return _parse_alias(text, aliases, endpoint, seen)


def _is_path(text: str, aliases: Collection[str]) -> bool:
    if text.startswith(("/", "./", "../", "~", "\\")) or re.match(r"[A-Za-z]:[\\/]", text):
        return True
    if text.lower().endswith(".gguf"):
        head, colon, _ = text.partition(":")
        in_repo = colon and (head in aliases or _REPO.fullmatch(head))
        return not in_repo or Path(text).is_file()
    return "/" in text and Path(text).is_file()


def _parse_alias(
    text: str, aliases: Mapping[str, str], endpoint: str, seen: tuple[str, ...]
) -> Reference:
    name, chosen, revision = (text, "", "") if text in aliases else _split_suffix(text)
    if name in seen or len(seen) >= _MAX_ALIASES:
        cycle = " -> ".join([*seen, name])
        raise UsageError(f"the alias {seen[0]!r} refers to itself: {cycle}; set it again")
    if name not in aliases:
        if name == STARTER and not chosen and not revision:
            return Reference(kind="starter")
        hint = _file_hint(text) or _name_hint(name, [*aliases, STARTER])
        raise ModelNotFound(f"no model is called {name!r}{hint}")
    target = _parse(aliases[name], aliases, endpoint, (*seen, name))
    if not chosen and not revision:
        return target
    if target.kind != "hub":
        raise UsageError(f"{text!r}: {name!r} is {target}, which takes no quant and no revision")
    changes: dict[str, str | None] = {"revision": revision} if revision else {}
    if chosen:
        is_file = chosen.lower().endswith(".gguf")
        changes |= {"file": chosen if is_file else None, "quant": None if is_file else chosen}
    return msgspec.structs.replace(target, **changes)


def _file_hint(name: str) -> str:
    """Return a hint for "not found" if a file has this name, else an empty string."""
    if not os.path.isfile(name):
        return ""
    try:
        with open(name, "rb") as file:
            is_gguf = file.read(4) == b"GGUF"
    except OSError:
        return ""
    return (
        f"; ./{name} is the file" if is_gguf else ", and the file of that name is not a GGUF file"
    )


def _name_hint(name: str, names: Collection[str]) -> str:
    """Return a hint for "not found": similar names, or the valid forms."""
    return suggest(name, names, n=3) or (
        "; give org/name, a path to a .gguf file, or a name that `llmtool models ls` shows"
    )


def _split_suffix(text: str) -> tuple[str, str, str]:
    """Split `name[:chosen][@revision]`; an `@` inside a file name is part of it."""
    rest, at, revision = text.rpartition("@")
    if not at or revision.lower().endswith(".gguf"):
        rest, revision, at = text, "", ""
    name, colon, chosen = rest.partition(":")
    if (colon and not chosen) or (at and not revision):
        raise UsageError(f"{text!r}: nothing follows {':' if colon and not chosen else '@'!r}")
    return name, chosen, revision


def _parse_repo(text: str, whole: str) -> Reference:
    repo, chosen, revision = _split_suffix(text.rstrip("/"))
    return _hub(whole, repo, chosen, revision)


def _hub(whole: str, repo: str, chosen: str, revision: str) -> Reference:
    repo = repo.removesuffix(".git")
    if not _REPO.fullmatch(repo) or "--" in repo or ".." in repo:
        raise UsageError(f"{whole!r}: {repo!r} is not a repository; expected org/name")
    if revision and (not _REVISION.fullmatch(revision) or ".." in revision):
        raise UsageError(f"{whole!r}: {revision!r} is not a valid revision")
    is_file = chosen.lower().endswith(".gguf")
    parts = chosen.split("/")
    is_safe = "\\" not in chosen and chosen.isprintable() and all(p.strip(".") for p in parts)
    if is_file and not is_safe:
        raise UsageError(f"{whole!r}: {chosen!r} is not a valid file name")
    if not is_file and "/" in chosen:
        raise UsageError(f"{whole!r}: {chosen!r} is neither a quant label nor a .gguf file")
    return Reference(
        kind="hub",
        repo=repo,
        file=chosen if is_file else None,
        quant=None if is_file else chosen or None,
        revision=revision or None,
    )


def _parse_url(text: str, endpoint: str) -> Reference:
    from urllib.parse import unquote, urlsplit

    try:
        url = urlsplit(text)
    except ValueError as exc:
        raise UsageError(f"{text!r} is not a valid URL: {exc}") from exc
    if url.scheme == "hf":
        # hf://org/name[@rev][/file.gguf] as the Hub's own tools write it, or with :QUANT
        org, _, rest = text[len("hf://") :].partition("/")
        name, slash, file = rest.partition("/")
        if slash and file.lower().endswith(".gguf") and ":" not in name:
            name, at, revision = name.partition("@")
            if not at:
                return _hub(text, f"{org}/{name}", unquote(file), "")
            parts = [unquote(part) for part in (revision, *file.split("/"))]
            revision, file = _split_revision(parts)
            return _hub(text, f"{org}/{name}", file, revision)
        return _parse_repo(f"{org}/{rest}", text)
    if endpoint and text.startswith(f"{endpoint}/"):
        path = urlsplit(text[len(endpoint) :]).path
    elif url.scheme in ("http", "https") and url.hostname in HUB_HOSTS:
        path = url.path
    else:
        raise UsageError(
            f"{text!r} is not a URL of the Hub; fetch the file and `llmtool models import FILE` it"
        )
    parts = [unquote(part) for part in path.strip("/").split("/")]
    repo, rest_parts = "/".join(parts[:2]), parts[2:]
    if not rest_parts:
        return _parse_repo(repo, text)
    kind = rest_parts[0]
    revision, file = _split_revision(rest_parts[1:])
    if kind not in ("tree", "blob", "resolve", "raw") or (file and not file.endswith(".gguf")):
        raise UsageError(
            f"{text!r} is not the page of a model; give org/name or the URL of a .gguf file"
        )
    return _hub(text, repo, file, revision)


def _split_revision(parts: list[str]) -> tuple[str, str]:
    """Split the end of a URL's path into revision and file; either may be empty."""
    if match := _SPECIAL_REVISION.fullmatch("/".join(parts)):
        return match[1], match[2] or ""
    return "".join(parts[:1]), "/".join(parts[1:])
