"""The ``llmcore`` command."""

import os
import sys

__all__ = ["main"]


def main() -> None:
    """Runs the command line and exits: 0 all well, 1 some failed, 2 wrong usage or configuration, 130 interrupted."""
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


def _end(code: int, message: str) -> None:
    sys.stderr.write(f"llmcore: {message}\n")
    sys.exit(code)
