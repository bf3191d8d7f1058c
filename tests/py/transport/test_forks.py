"""Transports in forked children, and what a process imports."""

import pytest

from support.exchanges import output
from support.server import ScriptedServer


@pytest.mark.parametrize("kind", ["native", "sdk"])
def test_nothing_is_imported_before_the_first_call(kind: str, server: ScriptedServer) -> None:
    source = """
        def heavy():
            print(sorted({"pyreqwest", "openai", "httpx2", "httpx"} & set(sys.modules)))
        heavy()
        transport.send(request, 10)
        heavy()
    """
    lines = output(kind, server.base_url, source).splitlines()
    assert lines[0] == "[]"
    assert lines[1].startswith("['pyreqwest']" if kind == "native" else "['httpx")


def test_a_forked_child_changes_to_the_other_transport_and_says_so_once(server: ScriptedServer) -> None:
    source = """
        print("parent", transport.send(request, 10).status)
        asyncio.run(transport.asend(request, 10))
        def child():
            print("child", transport.send(request, 10).status)
            print("child", transport.send(request, 10).status)
            print("child", create_transport("native").send(request, 10).status)
            async def both():
                print("child", (await transport.asend(request, 10)).status)
                await transport.aclose()
            asyncio.run(both())
        in_child(child)
        print("parent", transport.send(request, 10).status)
        in_child(lambda: transport.close())
        print("parent", transport.send(request, 10).status)
        transport.close()
    """
    lines = output("native", server.base_url, source).splitlines()
    warnings = [line for line in lines if line.startswith("WARNING")]
    assert len(warnings) == 1
    assert "forked" in warnings[0]
    assert [line for line in lines if line not in warnings] == [
        "parent 200",
        *["child 200"] * 4,
        "parent 200",
        "parent 200",
    ]


def test_a_fork_before_the_first_call_keeps_the_native_transport(server: ScriptedServer) -> None:
    source = """
        import pyreqwest.client
        def child():
            print("child", transport.send(request, 10).status, "openai" in sys.modules)
        in_child(child)
        print("parent", transport.send(request, 10).status)
    """
    assert output("native", server.base_url, source).splitlines() == ["child 200 False", "parent 200"]


def test_a_fork_after_somebody_else_used_pyreqwest_changes_transport_too(server: ScriptedServer) -> None:
    source = """
        from pyreqwest.client import SyncClientBuilder
        theirs = SyncClientBuilder().build()
        def child():
            print("child", transport.send(request, 10).status)
            print("child", asyncio.run(create_transport("native").asend(request, 10)).status)
        in_child(child)
    """
    lines = output("native", server.base_url, source).splitlines()
    assert [line.partition(" ")[0] for line in lines] == ["WARNING", "child", "child"]


def test_a_forked_child_never_uses_its_parents_connections(server: ScriptedServer) -> None:
    source = """
        transport.send(request, 10)
        in_child(lambda: transport.send(request, 10))
        in_child(lambda: transport.close())
        transport.send(request, 10)
    """
    assert output("sdk", server.base_url, source) == ""
    assert [seen.connection for seen in server.requests] == [0, 1, 0]


def test_a_fork_while_a_client_is_being_opened_leaves_no_lock_behind(server: ScriptedServer) -> None:
    source = """
        from llmcore.transport.process import process
        opening, go = threading.Event(), threading.Event()
        def slowly():
            with process.opening:
                opening.set()
                go.wait(10)
        thread = threading.Thread(target=slowly)
        thread.start()
        opening.wait(10)
        threading.Timer(0.2, go.set).start()
        in_child(lambda: print(transport.send(request, 10).status))
        thread.join()
    """
    assert output("native", server.base_url, source) == "200\n"
