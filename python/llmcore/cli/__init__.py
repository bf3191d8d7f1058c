"""The ``llmcore`` command."""

import contextlib
import os
import signal
import sys
from collections.abc import Iterator

__all__ = ["main"]


def main() -> None:
    """Runs the command line and exits: 0 all well, 1 some failed, 2 wrong usage or configuration, 130 interrupted."""
    _open_standard_streams()
    try:
        with _ended_by_interrupts():
            from llmcore.cli.app import app
            from llmcore.errors import LLMError

        try:
            app()
        except LLMError as error:
            _end(2, error.message)
    except KeyboardInterrupt:
        _end(130, "interrupted")
    except BrokenPipeError:
        # Whoever read our output has gone; the interpreter must not complain when it flushes what is left.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.exit(1)


def _open_standard_streams() -> None:
    """Opens what a job started with closed streams lacks, so that no file of ours is taken for one of them."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), mode))


@contextlib.contextmanager
def _ended_by_interrupts() -> Iterator[None]:
    """While modules are loaded there is nothing to lose, and an exception out of the middle of one would not stay a
    KeyboardInterrupt: Ctrl-C ends the process as the system does it. A shell sees 130 too.
    """
    before = signal.getsignal(signal.SIGINT)
    if before is not signal.default_int_handler:  # somebody wants it otherwise, such as a script that ignores it
        yield
        return
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _end(code: int, message: str) -> None:
    sys.stderr.write(f"llmcore: {message}\n")
    sys.exit(code)
