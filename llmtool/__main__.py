"""The entry point of the command; configures the process before the heavy imports."""

import gc
import os
import signal
import sys
from typing import NoReturn


def main() -> NoReturn:
    """Run the command line."""
    # Until our handler is installed, Ctrl-C ends the process without a traceback. A signal that the
    # caller ignores remains ignored.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    # Imports create 40,000 objects and no garbage; looking for some would take 10 ms.
    gc.set_threshold(100_000)
    # The thread that loads the model waits 0.1 ms for the interpreter lock instead of 5.
    sys.setswitchinterval(0.0001)
    # A crash of llama.cpp would start gdb, which prints a stack trace on standard output.
    os.environ.setdefault("GGML_NO_BACKTRACE", "1")
    if sys.argv[1:2] == ["__complete"]:
        # msgspec imports it, in 10 ms, only if it is there.
        sys.modules["typing_extensions"] = None  # type: ignore[assignment]
        from llmtool.cli import candidates

        candidates.main(sys.argv[2:])
        raise SystemExit
    from llmtool.cli.app import main as run

    run()


if __name__ == "__main__":
    main()
