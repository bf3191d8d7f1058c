"""Vectors and pictures without a model: the same for the same request, in the shapes of OpenAI's answers. Pure."""

import re
import struct
import zlib
from base64 import b64encode
from typing import Any, Final

import msgspec

from llmcore._core import sha256
from llmcore.estimate import TokenEstimator
from llmcore.types import EmbeddingRequest, ImageRequest

__all__ = ["pictures", "vectors"]

_DIMENSIONS: Final = 64
_MOST_DIMENSIONS: Final = 65_536
_SIZE: Final = re.compile(r"(\d{1,4})x(\d{1,4})")
_estimator = TokenEstimator()


def vectors(request: EmbeddingRequest) -> bytes:
    """A body with a vector of length 1 for each input, drawn from the input's own digest: equal texts have equal ones,
    and nothing more can be read from them.
    """
    dimensions = min(request.dimensions or _DIMENSIONS, _MOST_DIMENSIONS)
    data = [
        {"object": "embedding", "index": index, "embedding": b64encode(_vector(text, dimensions)).decode()}
        for index, text in enumerate(request.inputs)
    ]
    tokens = _estimator.prompt(request, 0).expected
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return msgspec.json.encode({"object": "list", "data": data, "model": request.model, "usage": usage})


def _vector(text: str, dimensions: int) -> bytes:
    drawn = b""
    counter = 0
    while len(drawn) < 2 * dimensions:
        drawn += sha256(f"{counter} {text}".encode("utf-8", "replace"))
        counter += 1
    numbers = [n or 1 for n in struct.unpack(f"<{dimensions}h", drawn[: 2 * dimensions])]
    length = sum(number * number for number in numbers) ** 0.5
    return struct.pack(f"<{dimensions}f", *(number / length for number in numbers))


def pictures(request: ImageRequest) -> bytes:
    """A body with PNG files of two colours that are drawn from the request's digest."""
    found = _SIZE.fullmatch(request.size or "")
    width, height = (max(int(part), 1) for part in found.groups()) if found else (1024, 1024)
    asked = msgspec.json.encode([request.prompt, request.size, request.quality, request.style])
    data: list[dict[str, Any]] = [
        {"b64_json": b64encode(_png(width, height, sha256(asked + bytes([n % 256])))).decode()}
        for n in range(request.n)
    ]
    return msgspec.json.encode({"created": 0, "data": data, "size": f"{width}x{height}"})


def _png(width: int, height: int, digest: bytes) -> bytes:
    """Stripes. The format: https://www.w3.org/TR/png-3/"""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 1, 3, 0, 0, 0)  # one bit a pixel, of a palette
    row = b"\0" + (digest[6:] * (width // 8 // 26 + 1))[: (width + 7) // 8]
    drawn = zlib.compress(row * height, 1)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"PLTE", digest[:6])
        + chunk(b"IDAT", drawn)
        + chunk(b"IEND", b"")
    )
