"""Ctrl-C and other signals while a call waits for its answer."""

import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from support.exchanges import PREAMBLE, script
from support.server import Answer, ScriptedServer


@pytest.mark.skipif(os.name != "posix", reason="signals as POSIX has them")
@pytest.mark.parametrize("kind", ["native", "sdk"])
def test_ctrl_c_ends_a_waiting_call_at_once(kind: str, server: ScriptedServer) -> None:
    server.script(Answer(delay=60), Answer(delay=60), Answer.chat())
    source = """
        for _ in range(2):
            try:
                transport.send(request, 60)
            except KeyboardInterrupt:
                print("interrupted", flush=True)
        print(transport.send(request, 10).status)
    """
    process = script(kind, server.base_url, source)
    start = time.monotonic()
    for count in (1, 2):
        server.wait_for(count, 30)
        process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=60)[0].split() == ["interrupted", "interrupted", "200"]
    assert time.monotonic() - start < 30


@pytest.mark.skipif(os.name != "posix", reason="signals as POSIX has them")
def test_ctrl_c_ends_a_call_of_a_forked_child(server: ScriptedServer) -> None:
    server.script(Answer(delay=60))
    source = """
        def forking():  # so that the child's main thread is another one than its parent's
            if os.fork() == 0:
                print(os.getpid(), flush=True)
                try:
                    transport.send(request, 60)
                except KeyboardInterrupt:
                    print("interrupted", flush=True)
                os._exit(0)
            os.wait()
        thread = threading.Thread(target=forking)
        thread.start()
        thread.join()
    """
    process = script("native", server.base_url, source)
    assert process.stdout is not None
    child = int(process.stdout.readline())
    server.wait_for(1, 30)
    os.kill(child, signal.SIGINT)
    assert process.communicate(timeout=60)[0] == "interrupted\n"


@pytest.mark.skipif(os.name != "posix", reason="signals as POSIX has them")
def test_ctrl_c_spares_the_calls_of_other_threads(server: ScriptedServer) -> None:
    gate = server.gate()
    server.script(Answer.chat(gate=gate), Answer(delay=60))
    source = """
        thread = threading.Thread(target=lambda: print(transport.send(request, 60).status))
        thread.start()
        sys.stdin.readline()
        try:
            transport.send(request, 60)
        except KeyboardInterrupt:
            print("interrupted", flush=True)
        thread.join()
    """
    process = subprocess.Popen(
        [sys.executable, "-c", PREAMBLE + textwrap.dedent(source), "native", server.base_url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    server.wait_for(1, 30)
    process.stdin.write("go\n")
    process.stdin.flush()
    server.wait_for(2, 30)
    process.send_signal(signal.SIGINT)
    assert process.stdout.readline() == "interrupted\n"
    gate.open()
    assert process.communicate(timeout=60)[0] == "200\n"


@pytest.mark.skipif(os.name != "posix", reason="signals as POSIX has them")
@pytest.mark.parametrize("kind", ["native", "sdk"])
def test_a_signal_handler_that_does_not_raise_costs_no_answer(kind: str, server: ScriptedServer) -> None:
    gate = server.gate()
    server.script(Answer.chat(gate=gate))
    source = """
        signal.signal(signal.SIGINT, lambda *_: print("handled"))
        print(transport.send(request, 60).status)
    """
    process = script(kind, server.base_url, source)
    server.wait_for(1, 30)
    process.send_signal(signal.SIGINT)
    time.sleep(0.2)  # for whatever would end the call; nothing does
    gate.open()
    assert sorted(process.communicate(timeout=60)[0].split()) == ["200", "handled"]
