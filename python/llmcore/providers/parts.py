"""Pictures, sound and files in messages: raw bytes become the text that JSON can carry, and data URLs are read. Pure.

Wherever Chat Completions take base64 text, a message may hold the bytes themselves::

    {"type": "image_url", "image_url": {"url": png_bytes}}
    {"type": "input_audio", "input_audio": {"data": wav_bytes, "format": "wav"}}
    {"type": "file", "file": {"file_data": pdf_bytes, "filename": "report.pdf"}}
"""

import re
from binascii import b2a_base64
from typing import Any, NamedTuple

from llmcore._core import are_plain
from llmcore.providers.body import refuse

__all__ = ["DataUrl", "data_url", "split_data_url", "with_encoded_media"]

_DATA_URL = re.compile(r"data:([\w.+-]+/[\w.+-]+)?((?:;[\w-]+=[^;,]*)*)(;base64)?,", re.ASCII)
_KINDS = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"%PDF-", "application/pdf"),
    (b"ID3", "audio/mpeg"),
    (b"\xff\xfb", "audio/mpeg"),
    (b"\xff\xf3", "audio/mpeg"),
)
_FORMATS = {"audio/wav": "wav", "audio/mpeg": "mp3"}
#: Of each kind of part: where it keeps its media.
_PLACES = {"image_url": "url", "input_audio": "data", "file": "file_data"}


class DataUrl(NamedTuple):
    """What a data URL holds."""

    media_type: str
    base64: str


def with_encoded_media(messages: Any) -> Any:
    """The messages with base64 text for bytes; the same object where there are none. Changes nothing in place.

    :raises LLMValidationError: bytes of a kind that cannot be told
    """
    if are_plain(messages):
        return messages  # nearly always
    if not isinstance(messages, list | tuple):
        return messages  # which is told where messages are checked
    changed: list[Any] | None = None
    for index, message in enumerate(messages):
        content = message.get("content") if isinstance(message, dict) else None
        if not isinstance(content, list | tuple):
            continue
        parts = [_encoded(part, f'messages[{index}]["content"][{at}]') for at, part in enumerate(content)]
        if any(new is not old for new, old in zip(parts, content, strict=True)):
            changed = changed if changed is not None else list(messages)
            changed[index] = {**message, "content": parts}
    return messages if changed is None else changed


def split_data_url(url: str) -> DataUrl | None:
    """The media type and the base64 text of a data URL; None for any other URL.

    :raises LLMValidationError: a data URL that is not base64
    """
    if not url.startswith("data:"):
        return None
    found = _DATA_URL.match(url)
    if found is None or found[3] is None:
        refuse("a data URL in the messages is not of the form data:<media type>;base64,<base64 text>")
    return DataUrl(found[1] or "text/plain", url[found.end() :])


def data_url(data: bytes, where: str) -> str:
    """The data URL of bytes, whose kind is told by how they begin.

    :raises LLMValidationError: the kind cannot be told
    """
    return f"data:{_kind(data, where)};base64,{_base64(data)}"


def _encoded(part: Any, where: str) -> Any:
    if type(part) is not dict:
        return part
    kind = part.get("type")
    place = _PLACES.get(kind) if type(kind) is str else None
    if place is None:
        return part
    inner = part.get(kind)
    if isinstance(inner, bytes | bytearray | memoryview):
        inner = {place: inner}
    if type(inner) is not dict or not isinstance(data := inner.get(place), bytes | bytearray | memoryview):
        return part
    data = bytes(data)
    if kind != "input_audio":
        return {**part, kind: {**inner, place: data_url(data, where)}}
    sound = {"format": _FORMATS.get(_kind(data, where)), **inner} if "format" not in inner else inner
    if sound["format"] is None:
        refuse(f'{where} holds sound that is neither wav nor mp3: say its "format"')
    return {**part, kind: {**sound, "data": _base64(data)}}


def _kind(data: bytes, where: str) -> str:
    if data[:4] == b"RIFF" and data[8:12] in (b"WEBP", b"WAVE"):
        return "image/webp" if data[8:12] == b"WEBP" else "audio/wav"
    kind = next((kind for start, kind in _KINDS if data.startswith(start)), None)
    if kind is None:
        refuse(f"{where} holds bytes of no kind that is known by their beginning: give a data URL, which names it")
    return kind


def _base64(data: bytes) -> str:
    return b2a_base64(data, newline=False).decode("ascii")
