"""The program `convnext-edge`, and `python -m convnext_edge` where the console script is not on the path."""

import signal


def main() -> None:
    """Run the command line.

    A signal ends the process at once, and without a traceback, while the modules are imported and when the
    work is done.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # before the other imports, which take a while
    from convnext_edge.cli import main as run_command
    from convnext_edge.cli import signals

    signals.listen()
    try:
        run_command(prog_name="convnext-edge")
    finally:
        signals.kill_at_once()


if __name__ == "__main__":
    main()
