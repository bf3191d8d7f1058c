"""Answers that are a list under "data": vectors of embeddings, and pictures. Pure.

Vectors come as numbers or as base64 of little-endian float32, which is a quarter as long and needs no parsing of
numbers; both end as one block of float32.
"""

import sys
from array import array
from binascii import Error as BadBase64
from binascii import a2b_base64
from typing import Any

import msgspec

from llmcore._core import Outcome, Usage
from llmcore.providers.body import dump, refuse
from llmcore.providers.usage import usage_of, usage_of_images
from llmcore.types import EmbeddingReply, EmbeddingRequest, Failure, Image, ImageReply, ImageRequest

__all__ = ["block_of", "checked_inputs", "decode_pieces", "encode_embeddings", "encode_image"]


def encode_embeddings(request: EmbeddingRequest, *, base64: bool = True) -> bytes:
    """The body of a request for vectors, keys sorted.

    :param base64: asks for vectors in base64, unless the request's params say otherwise
    :raises LLMValidationError: something in it cannot be sent
    """
    body: dict[str, Any] = {"model": request.model, "input": checked_inputs(request)}
    if base64:
        body["encoding_format"] = "base64"
    if request.dimensions is not None:
        body["dimensions"] = request.dimensions
    return dump(body | request.params)


def checked_inputs(request: EmbeddingRequest) -> list[str]:
    """The texts of a request for vectors.

    :raises LLMValidationError: there are none, or one is empty
    """
    inputs: Any = request.inputs
    if not isinstance(inputs, list | tuple) or len(inputs) == 0:
        refuse("inputs is a non-empty list of texts")
    for index, text in enumerate(inputs):
        if not isinstance(text, str) or text == "":
            refuse(f"inputs[{index}] is a non-empty string")
    return list(inputs)


def encode_image(request: ImageRequest) -> bytes:
    """The body of a request for pictures, keys sorted.

    :raises LLMValidationError: something in it cannot be sent
    """
    prompt: Any = request.prompt
    if not isinstance(prompt, str) or prompt == "":
        refuse("prompt is a non-empty string")
    if type(request.n) is not int or not 1 <= request.n <= 100:
        refuse("n is a number of pictures, a whole number from 1 to 100")
    body: dict[str, Any] = {"model": request.model, "prompt": request.prompt, "n": request.n}
    for name in ("size", "quality", "style"):
        if (value := getattr(request, name)) is not None:
            if not isinstance(value, str):
                refuse(f"{name} is a string or None, not {type(value).__name__}")
            body[name] = value
    return dump(body | request.params)


class _Piece(msgspec.Struct):
    embedding: list[float] | str | None = None
    index: int | None = None
    url: str | None = None
    b64_json: str | None = None
    revised_prompt: str | None = None


class _Rest(msgspec.Struct):
    usage: Any = None
    model: Any = None
    created: Any = None
    size: Any = None
    quality: Any = None


_pieces = msgspec.json.Decoder(list[_Piece])
_rest = msgspec.json.Decoder(_Rest)


def decode_pieces(data: bytes, body: bytes, *, request_id: str | None) -> EmbeddingReply | ImageReply | Failure | None:
    """What an answer holds under "data"; None if that is neither vectors nor pictures. Never raises.

    :param data: the JSON under "data"
    :param body: the whole answer
    """
    try:
        pieces = _pieces.decode(data)
        rest = _rest.decode(body)
        if not pieces:
            return None
        if pieces[0].embedding is not None:
            return _vectors(pieces, rest, request_id)
        if pieces[0].url is not None or pieces[0].b64_json is not None:
            return _images(pieces, rest, request_id)
    except (ValueError, OverflowError, RecursionError):
        told = "the answer holds neither vectors nor pictures"
        return Failure(Outcome.SERVER_ERROR, told, status=200, request_id=request_id)
    return None


def block_of(vectors: "list[list[float] | str]") -> tuple[bytes, int]:
    """(float32 after float32 in the machine's byte order, how many to a vector).

    :raises ValueError: they are not all of one length, or no vectors
    """
    blocks = [_floats(vector) for vector in vectors]
    size = len(blocks[0])
    if not size or any(len(block) != size for block in blocks):
        raise ValueError("vectors of different lengths")
    return b"".join(blocks), size // 4


def _floats(vector: "list[float] | str") -> bytes:
    if isinstance(vector, list):
        return array("f", vector).tobytes()
    try:
        raw = a2b_base64(vector, strict_mode=True)
    except BadBase64:
        raise ValueError("no base64") from None
    if len(raw) % 4:
        raise ValueError("no float32")
    if sys.byteorder == "big":
        swapped = array("f", raw)
        swapped.byteswap()
        raw = swapped.tobytes()
    return raw


def _vectors(pieces: list[_Piece], rest: _Rest, request_id: str | None) -> EmbeddingReply:
    if all(piece.index is not None for piece in pieces):
        pieces.sort(key=lambda piece: piece.index or 0)
    block, dimensions = block_of([piece.embedding or "" for piece in pieces])
    reply = EmbeddingReply("", _text(rest.model), usage_of(rest.usage), vectors=block, dimensions=dimensions)
    reply.request_id = request_id
    return reply


def _images(pieces: list[_Piece], rest: _Rest, request_id: str | None) -> ImageReply:
    images = []
    for piece in pieces:
        try:
            data = None if piece.b64_json is None else a2b_base64(piece.b64_json)
        except BadBase64:
            raise ValueError("no base64") from None
        images.append(Image(piece.url, data, piece.revised_prompt or ""))
    usage: Usage = usage_of_images(rest.usage, len(images))
    reply = ImageReply("", _text(rest.model), usage, images=images)
    reply.size, reply.quality = _text(rest.size), _text(rest.quality)
    reply.created = int(rest.created) if type(rest.created) in (int, float) and 0 < rest.created < 1 << 40 else None
    reply.request_id = request_id
    return reply


def _text(value: Any) -> str:
    return value if type(value) is str else ""
