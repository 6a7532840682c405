"""The entry point: what must happen before anything heavy is imported."""

import gc
import signal
import sys
from typing import NoReturn


def main() -> NoReturn:
    """Run the command line."""
    # Until a handler of ours takes over, Ctrl-C ends the process at once, without a traceback. A
    # signal that the caller ignores stays ignored.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    # Imports make 40,000 objects and no garbage: collecting among them takes 10 ms.
    gc.set_threshold(100_000)
    # The thread that loads the model waits 0.1 ms for its turn instead of 5.
    sys.setswitchinterval(0.0001)
    from llmtool.cli.app import main as run

    run()


if __name__ == "__main__":
    main()
