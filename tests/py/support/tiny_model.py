"""A real model server on loopback: llama.cpp's, from the package xllamacpp, with random weights of half a megabyte.

What it says makes no sense; how it says it (answers, streams, token counts, refusals) is the real thing.

    with tiny_server(folder) as url:                       # "http://127.0.0.1:<port>"
        ...

    python -m support.tiny_model MODEL.gguf PORT           # in tests/py; serves until its standard input ends
"""

import contextlib
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

__all__ = ["tiny_server", "write_model"]

_EMBEDDING, _LAYERS, _HEADS, _INNER, _CONTEXT = 64, 2, 4, 128, 1024
_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def _byte_letters() -> list[str]:
    """The letter that stands for each byte in a vocabulary as GPT-2's is."""
    plain = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    letters: dict[int, str] = {}
    extra = 0
    for byte in range(256):
        if byte in plain:
            letters[byte] = chr(byte)
        else:
            letters[byte] = chr(256 + extra)
            extra += 1
    return [letters[byte] for byte in range(256)]


def write_model(path: Path) -> None:
    """Writes a llama of two layers whose vocabulary is the 256 bytes."""
    gguf: Any = import_module("gguf")
    numpy: Any = import_module("numpy")
    letters = _byte_letters()
    tokens = [*letters, "<|im_start|>", "<|im_end|>", letters[ord("t")] + letters[ord("h")]]
    types = [gguf.TokenType.NORMAL] * 256 + [gguf.TokenType.CONTROL] * 2 + [gguf.TokenType.NORMAL]
    writer: Any = gguf.GGUFWriter(str(path), "llama")
    writer.add_context_length(_CONTEXT)
    writer.add_embedding_length(_EMBEDDING)
    writer.add_block_count(_LAYERS)
    writer.add_feed_forward_length(_INNER)
    writer.add_head_count(_HEADS)
    writer.add_head_count_kv(_HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(_EMBEDDING // _HEADS)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges([f"{letters[ord('t')]} {letters[ord('h')]}"])
    writer.add_bos_token_id(256)
    writer.add_eos_token_id(257)
    writer.add_chat_template(_TEMPLATE)
    dice = numpy.random.default_rng(7)

    def tensor(name: str, *shape: int) -> None:
        writer.add_tensor(name, dice.normal(0, 0.2, shape).astype(numpy.float32))

    tensor("token_embd.weight", len(tokens), _EMBEDDING)
    tensor("output_norm.weight", _EMBEDDING)
    tensor("output.weight", len(tokens), _EMBEDDING)
    for layer in range(_LAYERS):
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            tensor(f"blk.{layer}.{name}.weight", _EMBEDDING, _EMBEDDING)
        tensor(f"blk.{layer}.attn_norm.weight", _EMBEDDING)
        tensor(f"blk.{layer}.ffn_norm.weight", _EMBEDDING)
        tensor(f"blk.{layer}.ffn_gate.weight", _INNER, _EMBEDDING)
        tensor(f"blk.{layer}.ffn_up.weight", _INNER, _EMBEDDING)
        tensor(f"blk.{layer}.ffn_down.weight", _EMBEDDING, _INNER)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@contextlib.contextmanager
def tiny_server(folder: Path) -> Iterator[str]:
    """Runs one, in a process of its own, until the block ends."""
    model = folder / "tiny.gguf"
    write_model(model)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = (folder / "server.log").open("wb")
    process = subprocess.Popen(
        [sys.executable, "-m", "support.tiny_model", str(model), str(port)],
        cwd=Path(__file__).parents[1],
        stdin=subprocess.PIPE,
        stdout=log,
        stderr=log,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            assert process.poll() is None, (folder / "server.log").read_text()[-2000:]
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{url}/health") as answer:
                if answer.status == 200:
                    break
            time.sleep(0.05)
        yield url
    finally:
        process.kill()
        process.communicate()
        log.close()


def _serve(model: str, port: str) -> None:
    xllamacpp: Any = import_module("xllamacpp")
    params: Any = xllamacpp.CommonParams()
    params.model.path = model
    params.hostnames = ["127.0.0.1"]
    params.port = int(port)
    params.n_ctx = _CONTEXT
    params.n_parallel = 1
    params.warmup = False
    params.use_jinja = True
    params.cpuparams.n_threads = 1
    server = xllamacpp.Server(params)
    sys.stdin.read()
    del server


if __name__ == "__main__":
    _serve(*sys.argv[1:])
