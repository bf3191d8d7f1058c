"""What becomes of writers when their process forks or ends.

Before a fork they are kept out of their databases, whose libraries must not be copied in the middle of their work; the
child's start anew. At the end of a process all of them are closed.
"""

import atexit
import os
import sys
import threading
import weakref
from typing import Any, Protocol

__all__ = ["CLOSE_SECONDS", "Member", "close_at_exit_of_worker", "register"]

#: how long closing waits for a database that is locked or slow
CLOSE_SECONDS = 10.0


class Member(Protocol):
    """What takes part."""

    def hold(self) -> bool:
        """Before a fork: keeps the thread out of the database. False: it is in there and waits for somebody."""

    def let_go(self) -> None:
        """After a fork, in the parent, if it was held."""

    def start_anew(self) -> Any:
        """After a fork, in the child: forgets what is the parent's, and returns what must never be closed here."""

    def retire(self, timeout: float) -> None:
        """Lets the thread end once it has written everything, or `timeout` seconds from now. Waits for nothing."""

    def close(self, timeout: float) -> None:
        """Does so and waits for it."""


_members: "weakref.WeakSet[Member]" = weakref.WeakSet()
_held: dict[int, list[Member]] = {}
_inherited: list[Any] = []
_told: set[int] = set()


def register(member: Member) -> None:
    """From now on it takes part, until it is forgotten."""
    _members.add(member)


def close_at_exit_of_worker() -> None:
    """To be called in a process that writes: those of multiprocessing leave by a registry of their own, not atexit."""
    util = sys.modules.get("multiprocessing.util")
    if util is not None and os.getpid() not in _told:
        _told.add(os.getpid())
        util.Finalize(None, _close_all, exitpriority=0)


def _close_all() -> None:
    members = list(_members)
    for member in members:
        member.retire(CLOSE_SECONDS)
    for member in members:
        member.close(CLOSE_SECONDS)


def _before_fork() -> None:
    _held[threading.get_ident()] = [member for member in list(_members) if member.hold()]


def _after_fork_in_parent() -> None:
    for member in _held.pop(threading.get_ident(), []):
        member.let_go()


def _after_fork_in_child() -> None:
    _held.clear()
    _inherited.extend(member.start_anew() for member in list(_members))


atexit.register(_close_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
