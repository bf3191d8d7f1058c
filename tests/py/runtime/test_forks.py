"""A forked child has an engine of its own."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from support.runtimes import NOTHING


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_has_a_working_engine_of_its_own(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        textwrap.dedent(
            """
            import os, threading
            from llmcore.client import LLMClient
            from llmcore.runtime import Runtime
            from support.scripted import ListSink, ScriptedProvider, ScriptedTransport, answer, ask, settings_of

            class Gate(ScriptedTransport):
                def send(self, request, timeout):
                    return super().send(request, timeout) if b"held" in request.body else answer("echo")

            transport = Gate()
            sink = ListSink()
            runtime = Runtime(settings_of(limits={"max_in_flight": 2}), tracker=sink, transport=transport)
            runtime.adopt(ScriptedProvider("p1"))
            client = LLMClient("p1", "m1", runtime=runtime)
            held = threading.Thread(target=client.complete, args=(ask("held"),))
            held.start()
            while not transport.open:
                pass
            locked, release = threading.Event(), threading.Event()

            def hold():
                with runtime.lock, Runtime._default_lock:
                    locked.set()
                    release.wait()

            holder = threading.Thread(target=hold)
            holder.start()
            locked.wait()
            seed = runtime._config.seed
            child = os.fork()
            if child == 0:
                assert (runtime.stats()["submitted"], runtime.stats()["in_flight"]) == (0, 0)
                assert not runtime.parking.occupied
                for text in ("one", "two", "three"):
                    assert client.complete(ask(text)).content == "echo"
                assert runtime.stats()["submitted"] == 3 and runtime.check() == ""
                assert runtime._config.seed != seed, "workers must not back off in step"
                assert Runtime.default() is not None
                os._exit(0)
            _, status = os.waitpid(child, 0)
            release.set()
            holder.join()
            assert client.complete(ask("parent")).content == "echo"
            transport.open[0].answer(answer())
            held.join()
            assert runtime.stats()["submitted"] == 2 and runtime.check() == ""
            assert len(sink.records) == 2
            print("child", os.waitstatus_to_exitcode(status), runtime.stats()["reserved"])
            """
        )
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore:This process:DeprecationWarning", str(program)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=tmp_path,
        env={"PYTHONPATH": str(Path(__file__).parents[1]), "PATH": "", "LLMCORE_DATABASE_URL": "none"},
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"child 0 {NOTHING}\n"
