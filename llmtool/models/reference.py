"""Parse model references, the values of `-m`:

org/name[:QUANT | :file.gguf | /file.gguf][@revision]     hf.co/org/name…   hf://org/name…
https://huggingface.co/org/name[/tree/REV | /resolve/REV/file.gguf]
an alias or a catalogue name, optionally with [:QUANT][@revision]
starter, or a path or file:// URL to a .gguf file, or to a folder with [:QUANT | :file.gguf]
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
# The only revisions that may contain slashes in the path of a Hub URL.
_SPECIAL_REVISION = re.compile(r"(refs/(?:pr/[0-9]+|convert/[A-Za-z0-9_.-]+))(?:/(.*))?")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,95}")
_MAX_ALIASES = 16
_VALID_FORMS = (
    "; use org/name, a path to a .gguf file, or a name listed by `llmtool models recommend`"
)


class Reference(msgspec.Struct, frozen=True, kw_only=True):
    """A parsed model reference; `kind` determines which fields are set."""

    kind: Literal["path", "starter", "hub"]
    path: Path | None = None
    repo: str | None = None
    quant: str | None = None
    file: str | None = None
    revision: str | None = None

    def __str__(self) -> str:
        if self.kind == "starter":
            return STARTER
        selector = self.file or self.quant
        text = f"{self.repo or self.path}:{selector}" if selector else str(self.repo or self.path)
        return f"{text}@{self.revision}" if self.revision else text


def parse(text: str, aliases: Mapping[str, str] | None = None, *, endpoint: str = "") -> Reference:
    """Parse a model reference; an alias may point to another alias.

    A name that is both a file and an alias refers to the file only if it contains a path separator
    or ends in `.gguf`. `endpoint` is the URL of a Hub other than huggingface.co.

    Raises:
        UsageError: the text is not a valid reference, or the aliases form a cycle.
        ModelNotFound: unknown name; the message suggests similar ones.

    Example:
        >>> parse("hf.co/Qwen/Qwen3-0.6B-GGUF:q8_0@main").repo
        'Qwen/Qwen3-0.6B-GGUF'
    """
    return _parse(text, aliases or {}, endpoint.rstrip("/"), ())


def parse_hub_file(text: str) -> Reference | None:
    """Parse `org/name/file.gguf`; return None for other text and if a folder `org` exists here."""
    org, _, rest = text.partition("/")
    name, _, file = rest.partition("/")
    if not file.lower().endswith(".gguf") or org in HUB_HOSTS or os.path.lexists(org):
        return None
    return _parse_repo(text, text) if _REPO.fullmatch(f"{org}/{name}") else None


def portable(text: str) -> str:
    """Return a reference as text that TOML and JSON can store: a path may not be UTF-8.

    Example:
        >>> portable("/models/caf\\udce9.gguf")
        'file:///models/caf%E9.gguf'
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        from urllib.parse import quote_from_bytes

        return f"file://{quote_from_bytes(os.fsencode(os.path.abspath(text)))}"
    return text


def check_name(name: str) -> str:
    """Return `name` if it is a valid model name.

    Raises:
        UsageError: the name is not valid.
    """
    if not _NAME.fullmatch(name) or name == STARTER or name.endswith(".gguf"):
        raise UsageError(
            f"{name!r} is not a valid model name; use up to 96 letters, digits, '.', '_', '-' "
            f"or '+', except {STARTER!r} and names that end in .gguf"
        )
    return name


def _parse(
    text: str, aliases: Mapping[str, str], endpoint: str, seen: tuple[str, ...]
) -> Reference:
    if not text.strip() or "\0" in text or "\n" in text:
        raise UsageError(
            f"{text!r} is not a model reference; use org/name, an alias or a path to a .gguf file"
        )
    if "://" in text:
        return _parse_url(text, endpoint)
    for prefix in (f"{host}/" for host in sorted(HUB_HOSTS)):
        if text.startswith(prefix):
            return _parse_repo(text[len(prefix) :], text)
    if _is_path(text, aliases):
        return _parse_path(os.path.expanduser(text))
    if "/" in text.partition(":")[0]:
        return _parse_repo(text, text)
    return _parse_alias(text, aliases, endpoint, seen)


def _is_path(text: str, aliases: Collection[str]) -> bool:
    if text.startswith(("/", "./", "../", "~", "\\")) or re.match(r"[A-Za-z]:[\\/]", text):
        return True
    if text.lower().endswith(".gguf"):
        head, colon, _ = text.partition(":")
        in_repo = colon and (head in aliases or _REPO.fullmatch(head))
        return not in_repo or os.path.isfile(text)
    return "/" in text and os.path.isfile(text)


def _parse_path(text: str) -> Reference:
    folder, _, selector = text.rpartition(":")
    if not selector or os.path.lexists(text) or not os.path.isdir(folder):
        return Reference(kind="path", path=Path(text))
    file, quant = _split_selector(selector)
    return Reference(kind="path", path=Path(folder), file=file, quant=quant)


def _split_selector(selector: str) -> tuple[str | None, str | None]:
    """Return the text after the colon as a file name or as a quant."""
    is_file = selector.lower().endswith(".gguf")
    return selector if is_file else None, None if is_file else selector or None


def _parse_alias(
    text: str, aliases: Mapping[str, str], endpoint: str, seen: tuple[str, ...]
) -> Reference:
    name, selector, revision = (text, "", "") if text in aliases else _split_suffix(text)
    if name in seen or len(seen) >= _MAX_ALIASES:
        cycle = " -> ".join([*seen, name])
        raise UsageError(f"alias {seen[0]!r} refers to itself: {cycle}; set it to another model")
    if name not in aliases:
        if name == STARTER and not selector and not revision:
            return Reference(kind="starter")
        hint = _file_hint(text) or suggest(name, [*aliases, STARTER], n=3)
        if not hint and text.startswith(f"{name}:"):
            hint = f"; config.toml has no alias or endpoint {name!r}: add one, or use org/name"
        raise ModelNotFound(f"unknown model {text!r}{hint or _VALID_FORMS}")
    target = _parse(aliases[name], aliases, endpoint, (*seen, name))
    if not selector and not revision:
        return target
    if target.kind != "hub":
        raise UsageError(f"{text!r}: {name!r} is {target}, which has no quants or revisions")
    changes: dict[str, str | None] = {"revision": revision} if revision else {}
    if selector:
        changes["file"], changes["quant"] = _split_selector(selector)
    return msgspec.structs.replace(target, **changes)


def _file_hint(name: str) -> str:
    """Return a hint about the file of this name, or an empty string."""
    if not os.path.isfile(name):
        return ""
    try:
        with open(name, "rb") as file:
            is_gguf = file.read(4) == b"GGUF"
    except OSError:
        return ""
    return (
        f"; use ./{name} for the file" if is_gguf else "; the file of that name is not a GGUF file"
    )


def _split_suffix(text: str) -> tuple[str, str, str]:
    """Split `name[:selector][@revision]`; an `@` in a file name does not start a revision."""
    rest, at, revision = text.rpartition("@")
    if not at or revision.lower().endswith(".gguf"):
        rest, revision, at = text, "", ""
    name, colon, selector = rest.partition(":")
    if colon and not selector:
        raise UsageError(f"{text!r}: missing quant or file name after ':'")
    if at and not revision:
        raise UsageError(f"{text!r}: missing revision after '@'")
    return name, selector, revision


def _parse_repo(text: str, original: str) -> Reference:
    repo, selector, revision = _split_suffix(text.rstrip("/"))
    if not selector and repo.lower().endswith(".gguf") and repo.count("/") > 1:
        org, name, selector = repo.split("/", 2)
        repo = f"{org}/{name}"
    return _hub(original, repo, selector, revision)


def _hub(original: str, repo: str, selector: str, revision: str) -> Reference:
    repo = repo.removesuffix(".git")
    if not _REPO.fullmatch(repo) or "--" in repo or ".." in repo:
        raise UsageError(f"{original!r}: {repo!r} is not a repository name; use org/name")
    if revision and (not _REVISION.fullmatch(revision) or ".." in revision):
        raise UsageError(f"{original!r}: {revision!r} is not a valid revision")
    file, quant = _split_selector(selector)
    parts = selector.split("/")
    is_safe = "\\" not in selector and selector.isprintable() and all(p.strip(".") for p in parts)
    if file and not is_safe:
        raise UsageError(f"{original!r}: {selector!r} is not a valid file name")
    if quant and "/" in quant:
        raise UsageError(f"{original!r}: {selector!r} is neither a quant nor a .gguf file")
    return Reference(kind="hub", repo=repo, quant=quant, file=file, revision=revision or None)


def _parse_url(text: str, endpoint: str) -> Reference:
    from urllib.parse import unquote, unquote_to_bytes, urlsplit

    try:
        url = urlsplit(text)
    except ValueError as exc:
        raise UsageError(f"{text!r} is not a valid URL: {exc}") from exc
    if url.scheme == "file" and url.path:
        return _parse_path(os.fsdecode(unquote_to_bytes(url.path)))
    if url.scheme == "hf":
        # hf://org/name[@rev][/file.gguf], the format of the Hub's tools, or with :QUANT
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
            f"{text!r} is not a Hub URL; download the file and run `llmtool models import FILE`"
        )
    parts = [unquote(part) for part in path.strip("/").split("/")]
    repo, rest_parts = "/".join(parts[:2]), parts[2:]
    if not rest_parts:
        return _parse_repo(repo, text)
    kind = rest_parts[0]
    revision, file = _split_revision(rest_parts[1:])
    if kind not in ("tree", "blob", "resolve", "raw") or (
        file and not file.lower().endswith(".gguf")
    ):
        raise UsageError(f"{text!r} is not a model page; use org/name or the URL of a .gguf file")
    return _hub(text, repo, file, revision)


def _split_revision(parts: list[str]) -> tuple[str, str]:
    """Split the rest of a URL's path into revision and file; either may be empty."""
    if match := _SPECIAL_REVISION.fullmatch("/".join(parts)):
        return match[1], match[2] or ""
    return "".join(parts[:1]), "/".join(parts[1:])
