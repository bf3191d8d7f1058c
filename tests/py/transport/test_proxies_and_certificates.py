"""Whom a process connects through, and whom it trusts."""

from pathlib import Path

import pytest

from llmcore._core import Outcome
from llmcore.transport import Transport
from support.exchanges import output, post, refused, self_signed
from support.server import ScriptedServer

# --- what goes wrong --------------------------------------------------------------------------------------------------


def test_a_certificate_nobody_vouches_for_is_refused(transport: Transport, tmp_path: Path) -> None:
    with ScriptedServer(ssl=self_signed(tmp_path)) as server:
        error = refused(lambda: transport.send(post(server), 10))
        assert error.outcome is Outcome.CONNECTION
        assert error.message.startswith(f"Could not connect to 127.0.0.1:{server.port}: ")
        assert "certificate" in error.message
        assert server.received == 0


# --- processes of their own: forks, Ctrl-C, environment ---------------------------------------------------------------


@pytest.mark.parametrize("kind", ["native", "sdk"])
def test_proxies_come_from_the_environment(kind: str, server: ScriptedServer) -> None:
    source = "print(transport.send(request, 10).status)"
    proxy = server.base_url.removesuffix("/v1")
    shown = output(kind, "http://provider.invalid/v1/chat", source, HTTP_PROXY=proxy, http_proxy=proxy)
    assert shown == "200\n"
    assert server.requests[0].path == "http://provider.invalid/v1/chat"


@pytest.mark.parametrize("kind", ["native", "sdk"])
def test_a_certificate_that_the_environment_vouches_for_is_accepted(kind: str, tmp_path: Path) -> None:
    with ScriptedServer(ssl=self_signed(tmp_path)) as server:
        trusted = str(tmp_path / "certificate.pem")
        assert (
            output(kind, server.base_url, "print(transport.send(request, 10).status)", SSL_CERT_FILE=trusted) == "200\n"
        )
