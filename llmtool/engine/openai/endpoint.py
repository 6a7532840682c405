"""Which server a model is on: its address, key, limits and prices."""

from __future__ import annotations

import os
import re
import stat
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import msgspec

from llmtool.config import EndpointSettings, Kind, Price, Settings
from llmtool.engine.types import Usage
from llmtool.errors import UsageError, os_error_reason
from llmtool.option_names import option
from llmtool.web.environment import find_url_problem
from llmtool.web.urls import find_host, mask_url

OPENAI = "openai"  # the name of the endpoint that exists without settings
_OPENAI_URL = "https://api.openai.com/v1"
_KEY_VARIABLE, _OPENAI_KEY_VARIABLE = "LLMTOOL_API_KEY", "OPENAI_API_KEY"
_LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1", "0.0.0.0")
_MIN_SECRET = 6  # characters; shorter headers are words
_NAME = re.compile(r"[A-Za-z0-9][\w.-]+")  # not a drive of Windows
_KEY = re.compile(r"[\x21-\x7e]+")
_VARIABLE = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_HEADER = re.compile(r"[A-Za-z0-9-]+")


class Secret(msgspec.Struct, frozen=True):
    """A text that no representation shows."""

    value: str

    def __repr__(self) -> str:
        return "Secret(…)"


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """A server with OpenAI's API.

    `name` is that of the settings if `is_named`, or else the host. `base_url` ends before the paths
    of the API, such as `/chat/completions`, and `root` before `/v1`. `key_source` names where the
    key is, or would be. `n_ctx` is the context length to assume if the server does not report it.
    """

    name: str
    base_url: str
    is_named: bool = True
    kind: Kind = "auto"
    key: Secret | None = None
    key_source: str = _KEY_VARIABLE
    headers: Mapping[str, Secret] = {}
    n_ctx: int | None = None
    concurrency: int = 32
    connect_seconds: float = 10.0
    first_token_seconds: float = 300.0
    token_seconds: float = 60.0
    check_model: bool = True
    prices: Mapping[str, Price] = {}

    @property
    def host(self) -> str:
        return find_host(self.base_url)

    @property
    def root(self) -> str:
        return re.sub(r"/v\d+$", "", self.base_url)

    @property
    def url_name(self) -> str:
        """The setting that has the URL, or "the URL", for messages."""
        return f"endpoints.{self.name}.base_url" if self.is_named else "the URL"

    @property
    def is_local(self) -> bool:
        """Whether the server is on this machine."""
        return urlsplit(self.base_url).hostname in _LOCAL_HOSTS

    @property
    def is_encrypted(self) -> bool:
        return self.base_url.startswith("https:")

    def add_cost(self, usage: Usage, model: str, *, with_prompt: bool = True) -> Usage:
        """Return token counts with their cost, if the model has a price.

        Without `with_prompt`, the prompt is that of an earlier choice and costs nothing.
        """
        price = self.prices.get(model)
        if price is None:
            return usage
        cost = price.output * usage.completion_tokens
        if with_prompt:
            cached = price.input if price.cached is None else price.cached
            n_new = usage.prompt_tokens - usage.cached_tokens
            cost += price.input * n_new + cached * usage.cached_tokens
        return msgspec.structs.replace(usage, cost=cost / 1e6)

    def redact(self, text: str) -> str:
        """Return a text of the server without the key and the values of headers."""
        secrets = [*self.headers.values(), *([self.key] if self.key else [])]
        for secret in secrets:
            if len(secret.value) >= _MIN_SECRET:
                text = text.replace(secret.value, "…")
        return text

    def request_headers(self) -> dict[str, str]:
        """Return the headers of each request, with the key."""
        found = {name: each.value for name, each in self.headers.items()}
        if self.key is not None:
            found.setdefault("Authorization", f"Bearer {self.key.value}")
        return found


class RemoteName(NamedTuple):
    """A model of a server; an empty name is the only one that it has."""

    endpoint: Endpoint
    model: str


def find_endpoint(
    reference: str | None,
    *,
    base_url: str | None = None,
    settings: Settings,
    environ: Mapping[str, str],
    folder: Path,
) -> RemoteName | None:
    """Return the server of a model, or None if the model is on this machine.

    A model is on a server if `base_url` is given, or if its reference is `NAME:MODEL`, where `NAME`
    is an endpoint of the settings, or `openai`. A reference of None is the model of the settings.

    Args:
        folder: the folder of config.toml, in which key files are.

    Raises:
        UsageError: the URL, a setting or the key is not valid.

    Example:
        >>> from llmtool.config import Settings
        >>> from pathlib import Path
        >>> found = find_endpoint(
        ...     "qwen", base_url="http://gpu:8000", settings=Settings(), environ={}, folder=Path())
        >>> found.endpoint.base_url, found.model
        ('http://gpu:8000/v1', 'qwen')
    """
    if base_url is not None:
        url = _check_url(option("base_url", mask_url(base_url)), base_url)
        # A key of OpenAI must not reach other servers.
        variable = _OPENAI_KEY_VARIABLE if url == _OPENAI_URL else _KEY_VARIABLE
        key = _read_key(variable, environ)
        found = Endpoint(
            name=find_host(url), base_url=url, is_named=False, key=key, key_source=variable
        )
        return RemoteName(found, (reference or "").removeprefix(f"{found.name}:"))
    reference = reference or settings.model
    if reference is None:
        return None
    reference = settings.aliases.get(reference, reference)
    name, colon, model = reference.partition(":")
    if not colon:
        return None
    if name in settings.endpoints:
        return RemoteName(_from_settings(name, settings.endpoints[name], environ, folder), model)
    if name != OPENAI:
        return None
    url = environ.get("OPENAI_BASE_URL") or _OPENAI_URL
    return RemoteName(
        Endpoint(
            name=OPENAI,
            base_url=_check_url(f"OPENAI_BASE_URL {mask_url(url)!r}", url),
            key=_read_key(_OPENAI_KEY_VARIABLE, environ),
            key_source=_OPENAI_KEY_VARIABLE,
        ),
        model,
    )


def check_setting(key: str, value: str) -> None:
    """Check the value of `endpoints.NAME.KEY`, as far as it can be without the other keys.

    Raises:
        UsageError: it is not valid.

    Example:
        >>> check_setting("endpoints.gpu.base_url", "http://gpu:8000")
    """
    table, _, field = key.rpartition(".")
    _check_name(table)
    if field == "base_url":
        _check_url(f"{key} {mask_url(value)!r}", value)
    elif field == "api_key_env" and not _VARIABLE.fullmatch(value):
        raise UsageError(f"{key}: must be the name of an environment variable, such as GPU_KEY")


def _check_name(table: str) -> None:
    if not _NAME.fullmatch(table.removeprefix("endpoints.")):
        raise UsageError(
            f"{table}: the name must have at least two letters, digits or . _ -; rename it"
        )


def check_endpoints(settings: Settings, environ: Mapping[str, str], folder: Path) -> list[str]:
    """Return the errors of the endpoints of the settings, without requests."""
    errors = []
    for name, each in settings.endpoints.items():
        try:
            _from_settings(name, each, environ, folder)
        except UsageError as exc:
            errors.append(str(exc))
    return errors


def _from_settings(
    name: str, found: EndpointSettings, environ: Mapping[str, str], folder: Path
) -> Endpoint:
    table = f"endpoints.{name}"
    _check_name(table)
    if found.api_key_env and found.api_key_file:
        raise UsageError(
            f"{table}: api_key_env and api_key_file cannot be combined; remove one of them"
        )
    for header, value in found.headers.items():
        if not (_HEADER.fullmatch(header) and value.isascii() and value.isprintable()):
            raise UsageError(f"{table}.headers.{header}: must be a header of ASCII text")
    key, source = None, f"{table}.api_key_env"
    if found.api_key_file is not None:
        path = folder / Path(found.api_key_file).expanduser()
        key, source = _read_key_file(f"{table}.api_key_file", path), str(path)
    elif found.api_key_env is not None:
        source = found.api_key_env
        key = _read_key(source, environ)
    return Endpoint(
        name=name,
        base_url=_check_url(f"{table}.base_url {mask_url(found.base_url)!r}", found.base_url),
        kind=found.kind,
        key=key,
        key_source=source,
        headers={header: Secret(value) for header, value in found.headers.items()},
        n_ctx=found.n_ctx,
        concurrency=found.concurrency,
        connect_seconds=found.connect_timeout,
        first_token_seconds=found.first_token_timeout,
        token_seconds=found.token_timeout,
        check_model=found.check_model,
        prices=found.prices,
    )


def _check_url(label: str, url: str) -> str:
    """Return the base URL of an API; `/v1` is added to a URL without a path."""
    problem = find_url_problem(url, ("http", "https"), "http://localhost:8000/v1")
    if problem is None and "@" in urlsplit(url).netloc:
        problem = "user names and passwords in URLs are not supported; use a key"
    if problem is None and (urlsplit(url).query or urlsplit(url).fragment):
        problem = "must end before ? and #"
    if problem is not None:
        raise UsageError(f"{label}: {problem}")
    url = url.rstrip("/").removesuffix("/chat/completions")
    return url if urlsplit(url).path else f"{url}/v1"


def _read_key(variable: str, environ: Mapping[str, str]) -> Secret | None:
    key = environ.get(variable, "").strip()
    return _check_key(variable, key) if key else None


def _read_key_file(label: str, path: Path) -> Secret:
    try:
        mode = path.stat().st_mode
        key = path.read_text(encoding="ascii").strip()
    except OSError as exc:
        raise UsageError(f"{label}: cannot read {path}: {os_error_reason(exc)}") from exc
    except UnicodeDecodeError:
        raise UsageError(f"{label}: {path} is not a key; it must be ASCII text") from None
    if sys.platform != "win32" and mode & (stat.S_IRWXG | stat.S_IRWXO):
        shown = os.fspath(path)
        raise UsageError(f"{label}: other users can read {shown}; run `chmod 600 {shown}`")
    return _check_key(str(path), key)


def _check_key(source: str, key: str) -> Secret:
    if not _KEY.fullmatch(key):
        raise UsageError(f"{source}: not a key; it must be one word of ASCII characters")
    return Secret(key)
