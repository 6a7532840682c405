"""Read and change settings.

Precedence: command-line option, `LLMTOOL_*` variable, config.toml, default. This module does not
read the process's environment; callers pass a mapping.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import msgspec

from llmtool.errors import UsageError, os_error_reason
from llmtool.folders import Folders as Folders
from llmtool.folders import find_folders as find_folders
from llmtool.suggest import suggest

NaturalInt = Annotated[int, msgspec.Meta(ge=0)]
PositiveInt = Annotated[int, msgspec.Meta(ge=1)]
MAX_PARALLEL = 64
MAX_THREADS = 512  # llama.cpp aborts with more
Parallel = Annotated[int, msgspec.Meta(ge=1, le=MAX_PARALLEL)]
Threads = Annotated[int, msgspec.Meta(ge=1, le=MAX_THREADS)]
GpuLayers = Literal["auto", "all"] | Annotated[int, msgspec.Meta(ge=0)]

_MODEL_KEYS = (
    "tables with the keys lora (a list of strings), chat_template (a string) and template_args "
    "(a table)"
)


class ModelSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The settings of one model: LoRA adapters, a chat template file, and the template's variables.

    The adapters are files, or FILE:SCALE, in the folder of config.toml.
    """

    lora: tuple[str, ...] = ()
    chat_template: str | None = None
    template_args: dict[str, Any] = {}


Kind = Literal[
    "auto",
    "llama.cpp",
    "llama-cpp-python",
    "llmtool",
    "lmstudio",
    "ollama",
    "openai",
    "other",
    "sglang",
    "vllm",
]
MAX_CONCURRENCY = 1024
Seconds = Annotated[float, msgspec.Meta(ge=0.001, le=86_400)]
Amount = Annotated[float, msgspec.Meta(ge=0)]


class Price(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The price of a million tokens: of prompts, of their cached part, and of replies."""

    input: Amount
    output: Amount
    cached: Amount | None = None  # as `input`


class EndpointSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A server with OpenAI's API; its models are `NAME:MODEL`.

    The key is in the variable `api_key_env`, or in the file `api_key_file`, which only the user may
    read. `prices` are by model.
    """

    base_url: str
    kind: Kind = "auto"
    api_key_env: str | None = None
    api_key_file: str | None = None
    headers: dict[str, str] = {}
    n_ctx: PositiveInt | None = None
    concurrency: Annotated[int, msgspec.Meta(ge=1, le=MAX_CONCURRENCY)] = 32
    connect_timeout: Seconds = 10.0
    first_token_timeout: Seconds = 300.0
    token_timeout: Seconds = 60.0
    check_model: bool = True
    prices: dict[str, Price] = {}

    def __repr__(self) -> str:  # headers may have keys
        return f"EndpointSettings(base_url={self.base_url!r})"


# Those that are one value; the others are tables.
_ENDPOINT_KEYS = [n for n in EndpointSettings.__struct_fields__ if n not in ("headers", "prices")]


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The settings in config.toml; `LLMTOOL_<FIELD>` overrides every field but the tables."""

    model: str | None = None
    threads: Threads | None = None
    n_gpu_layers: GpuLayers = "auto"
    ctx_size: PositiveInt | None = None
    n_parallel: Parallel | None = None
    max_tokens: PositiveInt | None = None
    temperature: Annotated[float, msgspec.Meta(ge=0, le=100)] | None = None
    offline: bool = False
    color: Literal["auto", "always", "never"] = "auto"
    draft: str = "auto"
    prefix_cache_mb: NaturalInt = 512
    conversation_cache_mb: NaturalInt = 1000
    server: str | None = None
    log: bool = True
    log_mb: PositiveInt = 100
    aliases: dict[str, str] = {}
    models: dict[str, ModelSettings] = {}
    endpoints: dict[str, EndpointSettings] = {}


TABLES = ("aliases", "models", "endpoints")


def load_settings(environ: Mapping[str, str], config_file: Path) -> Settings:
    """Read config.toml and apply the `LLMTOOL_*` variables; a missing file counts as empty.

    Raises:
        UsageError: the file is not TOML, a key is unknown (the message suggests a similar one), or
            a value is invalid.

    Example:
        >>> from pathlib import Path
        >>> load_settings({"LLMTOOL_MODEL": "starter"}, Path("none.toml")).model
        'starter'
    """
    values = _read_toml(config_file)
    for name in Settings.__struct_fields__:
        text = environ.get(f"LLMTOOL_{name.upper()}")
        if text and name not in TABLES:
            values[name] = _parse_variable(f"LLMTOOL_{name.upper()}", text, name)
    offline = environ.get("HF_HUB_OFFLINE") or environ.get("TRANSFORMERS_OFFLINE") or ""
    if offline.upper() in ("1", "ON", "YES", "TRUE"):
        values.setdefault("offline", True)  # the same values as in huggingface_hub
    unknown = [key for key in values if key not in Settings.__struct_fields__]
    if unknown:
        raise UsageError(f"{config_file}: unknown key {unknown[0]!r}{_hint(unknown[0])}")
    _check_endpoints(values.get("endpoints", {}), config_file)
    try:
        return msgspec.convert(values, Settings)
    except msgspec.ValidationError as exc:
        for name, value in values.items():
            _check(name, value, f"{config_file}: {name}")
        raise UsageError(f"{config_file}: {exc}") from exc


def describe_model_source(settings: Settings, environ: Mapping[str, str], config_file: Path) -> str:
    """Return where the default model is set, for the end of an error, or "" if unknown.

    Example:
        >>> from pathlib import Path
        >>> environ = {"LLMTOOL_MODEL": "qwen9"}
        >>> describe_model_source(Settings(model="qwen9"), environ, Path("none.toml"))
        ' (set by LLMTOOL_MODEL)'
    """
    if settings.model is None:
        return ""
    if environ.get("LLMTOOL_MODEL") == settings.model:
        return " (set by LLMTOOL_MODEL)"
    with contextlib.suppress(UsageError):  # the caller's settings may replace an invalid file
        if _read_toml(config_file).get("model") == settings.model:
            return f" (set in {config_file}; `llmtool config unset model` removes it)"
    return ""


def _check(field: str, value: Any, name: str, *, is_text: bool = False) -> Any:
    """Return the value converted to the type of a field; `name` is its name in the error.

    Raises:
        UsageError: the value is invalid; the message describes the valid values.
    """
    kind = next(each.type for each in msgspec.structs.fields(Settings) if each.name == field)
    try:
        return msgspec.convert(value, kind, strict=not is_text)
    except (msgspec.ValidationError, UnicodeEncodeError) as exc:
        found = "null" if is_text else msgspec.json.encode(value).decode()
        found = repr(value) if found == "null" else found  # nan and inf are not JSON
        raise UsageError(f"{name} {found}: must be {_describe(kind)}") from exc


def _check_endpoints(tables: Any, config_file: Path) -> None:
    """Check the endpoints one by one; their values, which may be keys, are not shown.

    Raises:
        UsageError: a key is unknown, or a value is invalid.
    """
    fields = EndpointSettings.__struct_fields__
    for name, table in tables.items() if isinstance(tables, dict) else [("NAME", None)]:
        where = f"{config_file}: endpoints.{name}"
        if not isinstance(table, dict):
            raise UsageError(f"{where}: must be a table with the key base_url, and others")
        for key in table:
            if key not in fields:
                hint = suggest(key, fields) or f"; valid keys: {', '.join(fields)}"
                raise UsageError(f"{where}: unknown key {key!r}{hint}")
        if "base_url" not in table:
            raise UsageError(
                f"{where}: base_url is missing; run `llmtool config set endpoints.{name}.base_url "
                f"URL`, or `llmtool config unset endpoints.{name}`"
            )
        try:
            msgspec.convert(table, EndpointSettings)
        except msgspec.ValidationError as exc:
            for key in _ENDPOINT_KEYS:
                if key in table:
                    _check_endpoint_value(f"{where}.{key}", key, table[key])
            reason = str(exc).replace("`", "'").replace("$.", "")
            raise UsageError(f"{where}: {reason[:1].lower()}{reason[1:]}") from None


def _check_endpoint_value(name: str, key: str, value: Any) -> None:
    """Check a value, which the error does not show."""
    kind = _endpoint_type(key)
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError:
        raise UsageError(f"{name}: must be {_describe(kind)}") from None


def _endpoint_type(key: str) -> Any:
    return next(each.type for each in msgspec.structs.fields(EndpointSettings) if each.name == key)


def _describe(kind: Any) -> str:
    """Return a description of the values of a type: 'auto, all or a whole number of at least 0'."""
    from msgspec import inspect

    info = inspect.type_info(kind)
    kinds = info.types if isinstance(info, inspect.UnionType) else (info,)
    words: list[str] = []
    for each in kinds:
        if isinstance(each, inspect.LiteralType):
            words += sorted(map(str, each.values), key=lambda word: (word != "auto", word))
        elif isinstance(each, inspect.BoolType):
            words += ["true", "false"]
        elif isinstance(each, (inspect.IntType, inspect.FloatType)):
            number = "a whole number" if isinstance(each, inspect.IntType) else "a number"
            limits = f" from {each.ge} to {each.le}"
            words.append(number + (f" of at least {each.ge}" if each.le is None else limits))
        elif isinstance(each, inspect.StrType):
            words.append("a string")
        elif isinstance(each, inspect.DictType):
            of = "models" if isinstance(each.value_type, inspect.StrType) else _MODEL_KEYS
            words.append(f"a table of names and {of}")
    return " or ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def set_value(
    config_file: Path,
    key: str,
    text: str | None,
    *,
    cancelled: Callable[[], bool] | None = None,
) -> None:
    """Set a key of config.toml to the value in `text`, or remove it if None; comments remain.

    If the file is not valid only because of the line of this key, the line is removed.

    The key `aliases.NAME` sets an alias; `models.NAME.lora` (FILE or FILE:SCALE),
    `models.NAME.chat_template` and `models.NAME.template_args.KEY` set options of a model;
    `endpoints.NAME.KEY` sets one of a server. The key of a table that exists, `models.NAME` or
    `endpoints.NAME`, can be removed.

    Raises:
        UsageError: the key is unknown, the value is invalid, or an endpoint would have no base_url;
            nothing is written.
        OutputError, LockedError: the file cannot be written.
        Cancelled: `cancelled` returned true while waiting for the lock of the file.

    Example:
        >>> from pathlib import Path
        >>> set_value(Path("config.toml"), "threads", "4")
        >>> load_settings({}, Path("config.toml")).threads
        4
    """
    import tomlkit

    from llmtool import files

    *tables, name = _split_key(key)
    top, _, entry = key.partition(".")
    if text is None and top in ("models", "endpoints") and entry in _read_table(config_file, top):
        tables, name = [top], entry
    if not name or (not tables and name in TABLES):
        raise UsageError(f"unknown key {key!r}; {_describe_keys(key)}")
    is_known = bool(tables) or name in Settings.__struct_fields__
    if not is_known and (text is not None or name not in _read_toml(config_file)):
        raise UsageError(f"unknown key {key!r}{_hint(key)}")
    if text is not None and not text.strip():
        raise UsageError(f"{key} needs a value; to remove it, run `llmtool config unset {key}`")
    value: Any = text
    if text is not None and "template_args" in tables:
        value = json_or_text(text)
    elif text is not None and tables and name == "lora":
        value = [text]
    elif text is not None and not tables:
        value = _parse_variable(key, text, name)
    elif text is not None and tables[0] == "endpoints":
        value = _parse_endpoint_value(key, name, text)
    with files.lock(config_file, cancelled=cancelled):
        text_before = _read_valid(config_file, key)
        try:
            document = tomlkit.parse(text_before)
        except Exception as exc:  # it rejects more than `tomllib`, with errors of several types
            reason = f"{type(exc).__name__}: {exc}".splitlines()[0][:200]
            raise UsageError(f"cannot change {config_file}: {reason}; edit the file") from exc
        where: Any = document
        for table in tables:
            if text is None and table not in where:
                return
            where = where.setdefault(table, tomlkit.table())
        if text is None:
            where.pop(name, None)
        else:
            where[name] = value
        if len(tables) == 2 and top == "endpoints" and "base_url" not in where:
            _reject_without_url(".".join(tables), where, is_set=text is not None)
            del document[top][tables[1]]
        files.write_atomically(config_file, tomlkit.dumps(document).encode())


def _reject_without_url(endpoint: str, values: Mapping[str, Any], *, is_set: bool) -> None:
    """Raise a `UsageError` if an endpoint has values, and would have no base_url."""
    if is_set:
        url = f"`llmtool config set {endpoint}.base_url URL`"
        raise UsageError(f"{endpoint} has no base_url; run {url} first")
    if values:
        raise UsageError(f"{endpoint} needs base_url; run `llmtool config unset {endpoint}`")


def _parse_endpoint_value(key: str, name: str, text: str) -> Any:
    kind = _endpoint_type(name)
    try:
        return msgspec.convert(text, kind, strict=False)
    except msgspec.ValidationError as exc:
        raise UsageError(f"{key} {text!r}: must be {_describe(kind)}") from exc


def json_or_text(text: str) -> Any:
    """Return the value of JSON, or else the text; `NaN` and `Infinity` are text."""
    import json

    def reject(constant: str) -> None:
        raise ValueError(constant)

    try:
        return json.loads(text, parse_constant=reject)
    except (ValueError, RecursionError):
        return text


def _split_key(key: str) -> list[str]:
    """Return the tables and the name of a key, [""] if it is unknown; names may contain dots."""
    table, _, name = key.partition(".")
    if table == "aliases" and name and "." not in name:
        return [table, name]
    if table == "endpoints":
        endpoint, _, field = name.partition(".")
        return [table, endpoint, field] if field in _ENDPOINT_KEYS else [""]
    if table == "models":
        model, separator, argument = name.rpartition(".template_args.")
        if model and separator:
            return [table, model, "template_args", argument]
        model, _, field = name.rpartition(".")
        return [table, model, field] if model and field in ("lora", "chat_template") else [""]
    return [key] if "." not in key else [""]


def _describe_keys(key: str) -> str:
    """Return the valid keys, only those of an endpoint for an unknown one of it."""
    top, _, name = key.partition(".")
    endpoint = name.partition(".")[0]
    if top == "endpoints" and endpoint:
        first, *others = _ENDPOINT_KEYS
        return f"valid keys: endpoints.{endpoint}.{first}, or with {', '.join(others)} at the end"
    known = [*setting_names(), "aliases.NAME", "models.NAME.lora", "models.NAME.chat_template"]
    known += ["models.NAME.template_args.KEY", "endpoints.NAME.KEY"]
    return f"valid keys: {', '.join(known)}"


def find_model_settings(settings: Settings, names: Iterable[str]) -> ModelSettings:
    """Return the settings of the model with one of these names, which are not case-sensitive."""
    known = {name.lower() for name in names}
    found = (each for name, each in settings.models.items() if name.lower() in known)
    return next(found, ModelSettings())


def setting_names() -> list[str]:
    """Return the names of the settings that are not tables."""
    return [name for name in Settings.__struct_fields__ if name not in TABLES]


def setting_values(name: str) -> list[str]:
    """Return the values of a setting that are words.

    Example:
        >>> setting_values("color"), setting_values("offline"), setting_values("threads")
        (['auto', 'always', 'never'], ['true', 'false'], [])
    """
    kinds = [each.type for each in msgspec.structs.fields(Settings) if each.name == name]
    found: list[str] = []
    for kind in kinds:
        if kind is bool:
            found += ["true", "false"]
        elif get_origin(kind) is Literal:
            found += get_args(kind)
        else:
            kinds += get_args(kind)  # of a union
    return found


def _read_toml(path: Path) -> dict[str, Any]:
    text = _read_text(path)
    return _parse(text, path) if text else {}  # without a file, the parser is not imported


def _read_table(path: Path, name: str) -> Any:
    """Return a table of a file, {} if it has none or is not valid."""
    try:
        table = _read_toml(path).get(name)
    except UsageError:
        return {}
    return table if isinstance(table, dict) else {}


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except OSError as exc:
        raise UsageError(f"cannot read {path}: {os_error_reason(exc)}") from exc
    except UnicodeDecodeError as exc:
        raise UsageError(f"{path}: not UTF-8 at byte {exc.start}; edit or delete the file") from exc


def _read_valid(path: Path, key: str) -> str:
    """Return the text of a file that is TOML, at least without the lines of a key of no table."""
    text = _read_text(path)
    try:
        _parse(text, path)
    except UsageError as exc:
        tables = re.search(r"^[ \t]*\[", text, re.MULTILINE)
        end = tables.start() if tables else len(text)
        lines = re.compile(rf"^[ \t]*{re.escape(key)}[ \t]*=.*\n?", re.MULTILINE)
        text = lines.sub("", text[:end]) + text[end:]
        try:
            _parse(text, path)
        except UsageError:
            raise exc from None
    return text


def _parse(text: str, path: Path) -> dict[str, Any]:
    from llmtool import toml

    try:
        return toml.loads(text)
    except toml.DecodeError as exc:
        reason = " ".join(str(exc).split())
        reason = f"{reason[:1].lower()}{reason[1:]}"
        raise UsageError(f"{path}: not valid TOML: {reason}; edit or delete the file") from exc


def _parse_variable(variable: str, text: str, field: str) -> Any:
    if field in ("offline", "log") and text.lower() in ("yes", "on", "no", "off"):
        return text.lower() in ("yes", "on")
    return _check(field, text, variable, is_text=True)


def _hint(key: str) -> str:
    fields = Settings.__struct_fields__
    longer = [name for name in fields if len(key) > 2 and name.startswith(key)]
    if len(longer) == 1:
        return f"; did you mean {longer[0]!r}?"
    return suggest(key, fields) or f"; valid keys: {', '.join([*setting_names(), *TABLES])}"
