"""Ctrl-C for a main thread that is blocked outside of Python, where signal handlers do not run."""

import os
import signal
import threading
from collections.abc import Callable

__all__ = ["Interrupts"]


class Interrupts:
    """Calls a function from another thread when Ctrl-C is pressed while the main thread is blocked in foreign code.

    Meanwhile the interpreter is asked to report signals on a pipe, which a thread of our own reads. The function is
    called only where SIGINT has Python's own handler, as that is certain to raise KeyboardInterrupt as soon as the main
    thread is back; any other handler runs when the foreign code returns by itself, as it may not want to end anything.
    Where an event loop already has the signals, and outside of POSIX, nothing happens.

    begin() and end() are for the main thread; about 1 us together.
    """

    def __init__(self) -> None:
        self._abort: Callable[[], None] | None = None
        self._pipe: int | None = None

    def begin(self, abort: Callable[[], None]) -> None:
        """Before the main thread blocks in what `abort` ends."""
        if self._pipe is None:
            if os.name != "posix":
                return
            self._pipe = self._start()
        try:
            previous = signal.set_wakeup_fd(self._pipe, warn_on_full_buffer=False)
        except ValueError:  # a main thread, but not of the main interpreter
            return
        if previous in (-1, self._pipe):  # ours where Ctrl-C came between the lines of begin() or end()
            self._abort = abort
        else:
            signal.set_wakeup_fd(previous)

    def end(self) -> None:
        """When it is back, however that came about."""
        if self._abort is not None:
            self._abort = None
            signal.set_wakeup_fd(-1)

    def forget(self) -> None:
        """In a forked child, where the pipe leads to the parent and its reader is missing."""
        self.end()
        self._pipe = None

    def _start(self) -> int:
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        threading.Thread(target=self._watch, args=(reader,), name="llmcore-interrupts", daemon=True).start()
        return writer

    def _watch(self, reader: int) -> None:
        while True:
            signals = os.read(reader, 64)
            abort = self._abort
            raises = signal.getsignal(signal.SIGINT) is signal.default_int_handler
            if abort is not None and raises and signal.SIGINT in signals:
                abort()
