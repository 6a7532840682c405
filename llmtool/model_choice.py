"""Choose a model: on this machine, or on a server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from llmtool.cancellation import Cancellation
from llmtool.config import Folders, Settings
from llmtool.errors import UsageError
from llmtool.local_model import LocalModel
from llmtool.models.hub.callbacks import OnNote, no_note
from llmtool.option_names import option

if TYPE_CHECKING:
    from llmtool.remote_model import RemoteModel

    AnyModel = LocalModel | RemoteModel

# Options of a model on this machine, and their values that have no effect.
_LOCAL_ONLY: Mapping[str, Any] = {
    "n_threads": None,
    "n_gpu_layers": None,
    "kv_type": "f16",
    "draft": "off",
    "chat_template": None,
    "template_args": None,
    "lora": None,
}


def choose_model(
    reference: str | None,
    *,
    base_url: str | None = None,
    settings: Settings,
    folders: Folders,
    environ: Mapping[str, str],
    cancellation: Cancellation,
    n_ctx: int | None = None,
    n_parallel: int | None = None,
    reproducible: bool = False,
    on_remote_note: OnNote = no_note,
    **local: Any,
) -> AnyModel:
    """Return the model that a reference names, on a server or on this machine.

    Args:
        on_remote_note: `on_note` of a `RemoteModel`.
        local: the other options of `LocalModel`, of which a model on a server has none.

    Raises:
        UsageError: the model is on a server, and `offline` is set, or a local option is given.
    """
    remote = None
    if may_be_remote(reference, base_url=base_url, settings=settings):
        from llmtool.engine.openai.endpoint import find_endpoint

        remote = find_endpoint(
            reference, base_url=base_url, settings=settings, environ=environ, folder=folders.config
        )
    if remote is None:
        return LocalModel(
            reference,
            settings=settings,
            folders=folders,
            environ=environ,
            cancellation=cancellation,
            n_ctx=n_ctx,
            n_parallel=n_parallel,
            reproducible=reproducible,
            **local,
        )
    for name, unused in _LOCAL_ONLY.items():
        value = local.get(name)
        if value not in (unused, None) and value not in ((), [], {}):
            raise UsageError(
                f"{option(name, value)}: only for a model on this machine, not on the server "
                f"{remote.endpoint.name}; omit it"
            )
    if settings.offline:
        raise UsageError(
            f"the model is on the server {remote.endpoint.name}, and the network is off (offline); "
            "choose a local model"
        )
    from llmtool.remote_model import RemoteModel

    return RemoteModel(
        remote,
        settings=settings,
        folders=folders,
        n_ctx=n_ctx,
        n_parallel=n_parallel,
        reproducible=reproducible,
        cancellation=cancellation,
        on_note=on_remote_note,
    )


def may_be_remote(reference: str | None, *, base_url: str | None, settings: Settings) -> bool:
    """Return whether a reference may name a model of a server; `find_endpoint` decides.

    Example:
        >>> from llmtool.config import Settings
        >>> may_be_remote("org/name", base_url=None, settings=Settings())
        False
    """
    reference = reference or settings.model or ""
    return base_url is not None or ":" in settings.aliases.get(reference, reference)


def require_local(model: AnyModel, what: str) -> LocalModel:
    """Return a model on this machine.

    Raises:
        UsageError: it is on a server; `what` needs a local one.
    """
    if isinstance(model, LocalModel):
        return model
    raise UsageError(
        f"{what} needs a model on this machine, not on the server {model.endpoint.name}; choose "
        f"another with {option('model')}"
    )
