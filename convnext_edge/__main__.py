"""The program `convnext-edge`, and `python -m convnext_edge` where the console script is not on the path."""

import os
import signal
import sys

STARTING, ERASE_LINE = "convnext-edge: starting\r", "\x1b[2K"
COMPLETES = "_CONVNEXT_EDGE_COMPLETE"  # set where a shell asks for names, on the line that is being typed


def main() -> None:
    """Run the command line.

    A signal ends the process at once, and without a traceback, while the modules are imported and when the
    work is done.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # before the other imports, which take a while
    waits = sys.stderr is not None and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
    waits = waits and COMPLETES not in os.environ
    if waits:  # the imports take a third of a second, and seconds on a busy machine
        print(STARTING, end="", file=sys.stderr, flush=True)  # noqa: T201
    from convnext_edge.cli import main as run_command
    from convnext_edge.cli import signals

    if waits:
        print(ERASE_LINE, end="", file=sys.stderr, flush=True)  # noqa: T201
    signals.listen()
    try:
        run_command(prog_name="convnext-edge")
    finally:
        signals.kill_at_once()


if __name__ == "__main__":
    main()
