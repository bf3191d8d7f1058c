"""The C interface from Python's ctypes: what a binding in another language does, with nothing but the library's path.

The structs are read from the header, so that a field which moved there and not in the library would show.
"""

import ctypes
import re
import sys
import time
from pathlib import Path
from typing import Any

KINDS: dict[str, Any] = {
    "size_t": ctypes.c_size_t,
    "const char*": ctypes.c_char_p,
    "int64_t": ctypes.c_int64,
    "uint64_t": ctypes.c_uint64,
    "int32_t": ctypes.c_int32,
    "uint32_t": ctypes.c_uint32,
    "double": ctypes.c_double,
    "llmcore_call": ctypes.c_uint64,
    "llmcore_priority": ctypes.c_int,
    "llmcore_event_kind": ctypes.c_int,
    "llmcore_source": ctypes.c_int,
}


def struct_of(header: str, name: str) -> type[ctypes.Structure]:
    """The struct of that name, as the header has it."""
    found = re.search(rf"typedef struct {name} {{(.*?)}} {name};", header, re.DOTALL)
    assert found, name
    fields = []
    for line in re.sub(r"/\*.*?\*/", "", found[1], flags=re.DOTALL).split(";"):
        if line.strip():
            kind, _, field = line.strip().rpartition(" ")
            fields.append((field, KINDS.get(kind, ctypes.c_void_p)))
    return type(name, (ctypes.Structure,), {"_fields_": fields})


def main(library: str, header_path: str) -> None:
    """One call, from the configuration to the text."""
    header = Path(header_path).read_text()
    c = ctypes.CDLL(library)
    c.llmcore_version.restype = ctypes.c_char_p
    c.llmcore_client_create.restype = ctypes.c_void_p
    c.llmcore_client_submit.restype = ctypes.c_uint64
    c.llmcore_client_submit.argtypes = [ctypes.c_void_p, ctypes.c_void_p]
    c.llmcore_client_poll_sized.restype = ctypes.c_size_t
    c.llmcore_client_poll_sized.argtypes = [
        ctypes.c_void_p,
        ctypes.c_void_p,
        ctypes.c_size_t,
        ctypes.c_size_t,
        ctypes.c_int64,
    ]
    c.llmcore_client_destroy.argtypes = [ctypes.c_void_p]
    assert re.fullmatch(rb"\d+\.\d+\.\d+", c.llmcore_version())

    KINDS["llmcore_text"] = struct_of(header, "llmcore_text")
    Config, Request, Event = (struct_of(header, f"llmcore_{name}") for name in ("config", "request", "event"))
    config: Any = Config()
    c.llmcore_config_init_sized(ctypes.byref(config), ctypes.sizeof(config))
    assert config.struct_size == ctypes.sizeof(config), "the header's struct is not the library's"
    assert config.offline_fallback == config.worker_thread == 1
    config.provider = b"offline"
    error = ctypes.create_string_buffer(200)
    client = c.llmcore_client_create(ctypes.byref(config), error, len(error))
    assert client, error.value

    request: Any = Request()
    c.llmcore_request_init_sized(ctypes.byref(request), ctypes.sizeof(request))
    assert request.struct_size == ctypes.sizeof(request)
    request.prompt = "Grüß Gott, wer da?".encode()
    request.tag = 9
    call = c.llmcore_client_submit(client, ctypes.byref(request))
    assert call

    events = (Event * 8)()
    text, until = b"", time.monotonic() + 20
    finished: Any = None
    while finished is None and time.monotonic() < until:
        for event in events[: c.llmcore_client_poll_sized(client, events, ctypes.sizeof(Event), 8, 0)]:
            assert (event.call, event.tag) == (call, 9)
            said = ctypes.string_at(event.text.data, event.text.size)
            if event.kind == 0:
                text += said
            else:
                finished = (event.kind, said)
    assert finished == (1, text)
    assert text.decode()
    c.llmcore_client_destroy(client)


if __name__ == "__main__":
    main(*sys.argv[1:])
