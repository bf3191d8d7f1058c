"""What a fork does to HTTP clients, known once for the process."""

import logging
import os
import threading
from collections.abc import Callable
from threading import get_ident
from typing import TypeVar

from llmcore.interrupt import Interrupts

T = TypeVar("T")
_log = logging.getLogger(__name__)


class Process:
    """What the transports of this process share: whether pyreqwest can run in it, and which fork it comes from."""

    def __init__(self) -> None:
        self.native_started = False  # pyreqwest's threads run here, or ran in the process this one was forked from
        self.native_lost = False  # they did so before a fork: here pyreqwest refuses, and its old clients hang
        self.generation = 0  # forks between the first process and this one
        self.opening = threading.Lock()  # held to open a client, and across a fork, so that no child inherits it locked
        self.interrupts = Interrupts()
        self.main_thread = threading.main_thread().ident
        self._said_so = False
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(
                before=self.opening.acquire, after_in_parent=self.opening.release, after_in_child=self._after_fork
            )

    def start_native(self, build: Callable[[], T]) -> T | None:
        """What `build` makes; None if pyreqwest cannot run in this process. Call it with `opening` held."""
        self.native_started = True
        try:
            return build()
        except RuntimeError:  # others used it before a fork
            self.native_lost = True
            return None

    def say_native_is_lost(self) -> None:
        if not self._said_so:
            self._said_so = True
            _log.warning(
                "Process %d was forked from one that had sent requests already. The native HTTP client does not "
                "survive that, so the slower transport 'sdk' is used. Fork before the first request, or spawn.",
                os.getpid(),
            )

    def _after_fork(self) -> None:
        self.native_lost = self.native_started
        self.generation += 1
        self.main_thread = get_ident()
        self.interrupts.forget()
        self.opening.release()


process = Process()
