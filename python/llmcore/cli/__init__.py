"""The ``llmcore`` command."""

import os
import sys

__all__ = ["main"]


def main() -> None:
    """Runs the command line and exits: 0 all well, 1 some failed, 2 wrong usage or configuration, 130 interrupted."""
    _open_standard_streams()
    try:
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


def _end(code: int, message: str) -> None:
    sys.stderr.write(f"llmcore: {message}\n")
    sys.exit(code)
