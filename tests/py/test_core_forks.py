"""A component in a forked child works: no lock that another thread had at that moment is held there for ever."""

import os
import subprocess
import sys
import textwrap

import pytest

# Eight threads hammer every component while the process forks again and again; each child uses all of them and leaves.
# What a child counts begins at what the parent had counted at that moment, and no two processes share anything.
SOURCE = """
import os, signal, sys, threading
from llmcore._core import *

sys.setswitchinterval(1e-6)
limiter = RateLimiter(RateLimiterConfig(requests_per_minute=10**12))
backoff = Backoff(seed=1)
recovery = ErrorRecovery()
queue = RequestQueue(RequestQueueConfig.server())
cache = ResponseCache()
budget = Budget([BudgetRule(limit=10**15)])
tracker = TokenTracker()
engine = Engine(Config.server())
target = [Target("p", "m", 1, 1)]

def use():
    assert limiter.try_acquire()
    backoff.delay(3)
    recovery.call_arrived()
    recovery.succeeded(recovery.sent())
    cache.put(bytes(32), b"x")
    assert cache.get(bytes(32)) == b"x"
    budget.release(budget.reserve([], 5))
    tracker.record("m", "c", Usage(1), wall=0)
    uuid7()

def call():
    engine.submit("t", "c", Priority.LOW, 0, None, target, [], 0, 0)
    for action in engine.drain():
        if isinstance(action, Send):
            engine.replied(action.attempt, Usage(), None, None, 0, 0)

stop = False
def hammer():
    while not stop:
        use()
        call()

threads = [threading.Thread(target=hammer, daemon=True) for _ in range(8)]
for thread in threads:
    thread.start()
for _ in range(int(sys.argv[1])):
    child = os.fork()
    if child == 0:
        signal.alarm(20)  # a child that hangs ends by a signal
        before = limiter.stats()["admitted"]
        for number in range(50):
            use()
            call()
            assert queue.push(number, Priority.LOW) == "accepted"
            assert queue.pop() == number
        assert limiter.stats()["admitted"] == before + 50
        while engine.drain():
            pass
        assert engine.check() == "", engine.check()
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert status == 0, f"the child ended with {status}"
stop = True
for thread in threads:
    thread.join()
assert queue.stats()["accepted"] == 0  # what children did stayed with them
print("done")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_every_component_works_in_a_child_forked_amid_threads() -> None:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(SOURCE), "25"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=os.environ | {"PYTHONWARNINGS": "ignore::DeprecationWarning"},  # threads are what this is about
    )
    assert done.stdout == "done\n", done.stderr
