"""One exchange with a scripted server: in this process, or in one of its own."""

import os
import shutil
import ssl
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from llmcore.transport import TransportError
from llmcore.types import HttpRequest
from support.server import ScriptedServer

HEADERS = {
    "Authorization": "Bearer sk-test-0123456789abcdef",
    "Content-Type": "application/json",
    "Accept": "application/json",
    "User-Agent": "llmcore/test",
}


def post(server: ScriptedServer, body: bytes = b"{}", path: str = "/chat/completions") -> HttpRequest:
    return HttpRequest(server.base_url + path, dict(HEADERS), body)


def refused(send: Callable[[], object]) -> TransportError:
    """The error that `send` raises."""
    with pytest.raises(TransportError) as caught:
        send()
    return caught.value


def self_signed(folder: Path) -> ssl.SSLContext:
    """A server's context with a certificate of its own making."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("needs the openssl command to make a certificate")
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    command = [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    command += [
        "-addext",
        "basicConstraints=critical,CA:FALSE",
        "-subj",
        "/CN=localhost",
        "-addext",
        "subjectAltName=IP:127.0.0.1",
        "-keyout",
        str(key),
    ]
    subprocess.run([*command, "-out", str(certificate)], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


PREAMBLE = """
import asyncio, logging, os, signal, sys, threading
from llmcore.transport import create_transport, TransportError
from llmcore.types import HttpRequest
signal.signal(signal.SIGINT, signal.default_int_handler)  # which jobs in the background of a shell begin without
logging.basicConfig(stream=sys.stdout, format="%(levelname)s %(message)s")
transport = create_transport(sys.argv[1])
request = HttpRequest(sys.argv[2], {}, b"{}")
def in_child(work):
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        try:
            work()
            sys.stdout.flush()
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
"""


def script(kind: str, url: str, source: str, **environment: str) -> subprocess.Popen[str]:
    """Runs `source` after the preamble."""
    return subprocess.Popen(
        [sys.executable, "-c", PREAMBLE + textwrap.dedent(source), kind, url],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"PYTHONWARNINGS": "ignore::DeprecationWarning"} | environment,
    )


def output(kind: str, url: str, source: str, **environment: str) -> str:
    """What it prints until it ends."""
    process = script(kind, url, source, **environment)
    try:
        return process.communicate(timeout=60)[0]
    finally:
        process.kill()
