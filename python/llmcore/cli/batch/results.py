"""Lines of output: the OpenAI Batch API's result objects with our own facts under ``llmcore``."""

from typing import Any

import msgspec

from llmcore.cli.batch.lines import Malformed
from llmcore.errors import LLMBadRequestError, LLMError, LLMValidationError
from llmcore.types import CallRecord, LLMResponse, Source, Usage

__all__ = ["answer_line", "code_of", "failure_line", "malformed_line"]

_BUCKETS = (
    "input_uncached",
    "cache_read",
    "cache_write_5m",
    "cache_write_1h",
    "output_text",
    "reasoning",
    "audio_input",
    "audio_cache_read",
    "audio_output",
    "image_input",
    "image_output",
    "images",
    "web_searches",
)


class _Facts(msgspec.Struct):
    call_id: str | None
    status: str
    provider: str | None
    model: str | None
    attempts: int
    cache_hit: bool
    #: joined an identical call that was under way
    coalesced: bool
    fallback_used: bool
    #: null: a price is not known
    cost_nano_usd: int | None
    saved_nano_usd: int
    #: by bucket, those that are not 0
    usage: dict[str, int]
    latency_ms: float
    #: of which waiting for limits
    queued_ms: float
    #: HTTP status of the last failure
    status_code: int | msgspec.UnsetType | None = msgspec.UNSET
    request_id: str | msgspec.UnsetType | None = msgspec.UNSET
    #: seconds that the provider asked to wait
    retry_after: float | msgspec.UnsetType | None = msgspec.UNSET


class _LineFacts(msgspec.Struct):
    line: int


class _Response(msgspec.Struct):
    status_code: int
    request_id: str | None
    body: msgspec.Raw


class _Error(msgspec.Struct):
    code: str
    message: str


class _Result(msgspec.Struct):
    id: str
    custom_id: str | None
    response: _Response | None
    error: _Error | None
    llmcore: _Facts | _LineFacts


_encoder = msgspec.json.Encoder()


def _line(result: _Result) -> bytes:
    line = bytearray()
    _encoder.encode_into(result, line)
    line += b"\n"
    return bytes(line)


def answer_line(custom_id: str, response: LLMResponse, record: CallRecord | None) -> bytes:
    """The result of a call that was answered; the provider's body goes in as it came."""
    facts = _Facts(
        call_id=response.call_id,
        status=response.status.value,
        provider=response.provider,
        model=response.model,
        attempts=response.attempts,
        cache_hit=response.cache_hit,
        coalesced=record is not None and record.source is Source.JOINED,
        fallback_used=response.fallback_used,
        cost_nano_usd=None if response.cost is None else response.cost.nano_usd,
        saved_nano_usd=response.saved.nano_usd,
        usage=_buckets(response.usage),
        latency_ms=_milliseconds(response.latency_ms),
        queued_ms=0.0 if record is None else _milliseconds(record.queued / 1e6),
    )
    answer = _Response(200, response.request_id, msgspec.Raw(_one_line(response.body)))
    return _line(_Result(f"batch_req_{response.call_id}", custom_id, answer, None, facts))


def failure_line(custom_id: str, line: int, error: LLMError, record: CallRecord | None) -> bytes:
    """The result of a call that was not."""
    facts = _Facts(
        call_id=error.call_id,
        status="error" if record is None else record.status.value,
        provider=error.provider,
        model=error.model,
        attempts=error.attempts,
        cache_hit=False,
        coalesced=False,
        fallback_used=record is not None and record.fallback_used,
        cost_nano_usd=0 if record is None else record.cost,
        saved_nano_usd=0,
        usage={} if record is None or record.usage is None else _buckets(record.usage),
        latency_ms=0.0 if record is None else _milliseconds(record.latency / 1e6),
        queued_ms=0.0 if record is None else _milliseconds(record.queued / 1e6),
        status_code=error.status,
        request_id=error.request_id,
        retry_after=error.retry_after,
    )
    name = error.call_id or f"line_{line}"
    return _line(_Result(f"batch_req_{name}", custom_id, None, _Error(code_of(error), error.message), facts))


def malformed_line(malformed: Malformed) -> bytes:
    """The result of a line that never became a call."""
    return _line(
        _Result(
            f"batch_req_line_{malformed.number}",
            malformed.custom_id,
            None,
            _Error(malformed.code, malformed.message),
            _LineFacts(malformed.number),
        )
    )


def code_of(error: LLMError) -> str:
    """``error.code`` of a line: the engine's outcome in lower case, or what stands for one where it was not asked."""
    if error.outcome is not None:
        return error.outcome.name.lower()
    return "bad_request" if isinstance(error, LLMBadRequestError | LLMValidationError) else "internal_error"


def _buckets(usage: Usage) -> dict[str, int]:
    counts: list[tuple[str, Any]] = [(name, getattr(usage, name)) for name in _BUCKETS]
    return {name: count for name, count in counts if count}


def _milliseconds(value: float) -> float:
    return round(value, 3)


def _one_line(body: bytes) -> bytes:
    """JSON has line ends between its values only, where a space is as good; inside strings they are escaped."""
    if not body:
        return b"null"
    if b"\n" in body or b"\r" in body:
        body = body.replace(b"\r", b" ").replace(b"\n", b" ")
    if not body.isascii():
        try:
            body.decode()
        except UnicodeDecodeError:
            return body.decode(errors="replace").encode()
    return body
