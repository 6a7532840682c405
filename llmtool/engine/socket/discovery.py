"""Find the server whose engine a command can use."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from llmtool.cancellation import Cancellation
from llmtool.engine.socket import private
from llmtool.engine.socket.client import Connector, SocketEngine
from llmtool.engine.socket.protocol import EngineIdentity, ProtocolError
from llmtool.engine.types import Engine
from llmtool.errors import UsageError
from llmtool.option_names import option

_WORDS = {
    "weights": "model",
    "n_ctx": "context size",
    "n_threads": "number of threads",
    "n_gpu_layers": "number of GPU layers",
    "n_parallel": "number of parallel replies",
    "kv_type": "type of the KV cache",
    "prefix_cache": "use of caches",
    "draft": "drafting of tokens",
    "options": "chat template or LoRA adapter",
}


def find_engine(
    choice: str,
    folder: Path,
    *,
    identity: Callable[[], EngineIdentity],
    fall_back: Callable[[], Engine],
    cancellation: Cancellation,
    on_note: Callable[[str], object],
) -> SocketEngine | None:
    """Return the engine of a server, or None if none has the one that is needed.

    Args:
        choice: the path of a socket, or "auto" for all in `folder`.
        identity: returns what the results of the engine depend on; called if a server exists.

    Raises:
        UsageError: no usable server listens on the chosen socket.
    """
    if not private.IS_AVAILABLE:
        if choice == "auto":
            return None
        raise UsageError(f"{option('server', choice)}: {private.UNAVAILABLE}")
    try:
        wanted = identity()
    except OSError:  # of a file that is missing: loading it reports the error
        return None
    if choice == "auto":
        for path in private.list_sockets(folder):
            try:
                server = Connector(path, wanted)
            except (OSError, EOFError, ProtocolError):
                continue
            if not server.welcome.differs:
                return SocketEngine(server, fall_back=fall_back, cancellation=cancellation)
            server.channel.close()
        return None
    try:
        server = Connector(Path(choice).absolute(), wanted)
    except PermissionError as exc:
        raise UsageError(f"the server at {choice}: {exc}") from exc
    except (OSError, EOFError, ProtocolError) as exc:
        raise UsageError(
            f"no server listens at {choice}; start one with `llmtool serve --detach`, or pass "
            f"{option('server', 'auto')}"
        ) from exc
    if differs := server.welcome.differs:
        server.channel.close()
        words = ", ".join(_WORDS.get(each, each) for each in differs)
        on_note(f"the server at {choice} has another {words}; loading the model here")
        return None
    return SocketEngine(server, fall_back=fall_back, cancellation=cancellation)
