"""What the ``openai`` SDK raises, for calls that llmcore made: so `except` clauses written for the SDK go on working.

The error of llmcore is the cause of each (`error.__cause__`): it has the call's id, the attempts and the outcome.
"""

import sys
from collections.abc import Mapping
from typing import Any, Final

import openai

from llmcore._core import Outcome
from llmcore.errors import LLMError
from llmcore.types import HttpResponse

__all__ = ["http_client_of", "kept_headers", "response_of", "sdk_error"]

#: The status and the code of a refusal that no server sent.
_OWN: Final = {
    Outcome.RATE_LIMITED: (429, "rate_limit_exceeded"),
    Outcome.QUOTA_EXHAUSTED: (429, "insufficient_quota"),
    Outcome.QUEUE_FULL: (429, "queue_full"),
    Outcome.QUEUE_TIMEOUT: (429, "queue_timeout"),
    Outcome.OVER_BUDGET: (429, "over_budget"),
    Outcome.EXHAUSTED: (503, "exhausted"),
    Outcome.OVERLOADED: (503, "overloaded"),
    Outcome.SERVER_ERROR: (500, "server_error"),
    Outcome.AUTH: (401, "invalid_api_key"),
    Outcome.BAD_REQUEST: (400, "bad_request"),
    Outcome.CONTEXT_LENGTH: (400, "context_length_exceeded"),
    Outcome.CONTENT_FILTER: (400, "content_filter"),
    Outcome.NOT_FOUND: (404, "not_found"),
}


def sdk_error(
    client: Any, error: LLMError, request: Any, refused: HttpResponse | None, key: str | None, begun: bool
) -> openai.OpenAIError:
    """The exception of the SDK.

    :param client: of the SDK
    :param request: of the SDK's HTTP client
    :param refused: the answer that the call failed with, if it was one
    :param key: which the answer may repeat, and the exception may not
    :param begun: a part of a stream has reached the user
    """
    _hide_keys(request)
    if refused is not None and refused.status >= 400 and error.status == refused.status:
        body = refused.body if not key else refused.body.replace(key.encode(), b"[key]")
        return _status_error(client, request, refused.status, _headers(refused.headers, key), body)
    if error.outcome is Outcome.TIMEOUT:
        return openai.APITimeoutError(request=request)
    if begun and error.outcome is not Outcome.CONNECTION:
        return openai.APIError(error.message, request, body={"code": error.code, "message": error.message})
    own = _OWN.get(error.outcome) if error.outcome is not None else None
    if own is None:
        return openai.APIConnectionError(message=error.message, request=request)
    status, code = own
    response = response_of(request, status, _retry_after(error), b"")
    body_of = {"message": error.message, "type": "llmcore", "code": error.code or code, "param": None}
    made: openai.APIStatusError = client._make_status_error(error.message, body={"error": body_of}, response=response)
    return made


#: Headers that hold keys.
_KEYS: Final = ("authorization", "api-key")


def _hide_keys(request: Any) -> None:
    """Takes the keys out of a request that was sent: an exception has it, and may be pickled or shown."""
    for name in _KEYS:
        if name in request.headers:
            request.headers[name] = "[key]"


def _status_error(
    client: Any, request: Any, status: int, headers: list[tuple[str, str]], body: bytes
) -> openai.OpenAIError:
    made: openai.OpenAIError = client._make_status_error_from_response(response_of(request, status, headers, body))
    return made


def _retry_after(error: LLMError) -> list[tuple[str, str]]:
    return [] if error.retry_after is None else [("retry-after", f"{error.retry_after:.3f}")]


def _headers(headers: Mapping[str, str], key: str | None) -> list[tuple[str, str]]:
    kept = kept_headers(headers)
    return kept if not key else [(name, value.replace(key, "[key]")) for name, value in kept]


#: Of a body as it was on its way; the one that there is was unpacked.
_ENCODED: Final = frozenset({"content-encoding", "content-length", "transfer-encoding", "connection"})


def kept_headers(headers: Mapping[str, str]) -> list[tuple[str, str]]:
    """The headers of an answer that are still true of its body."""
    return [(name, value) for name, value in headers.items() if name.lower() not in _ENCODED]


def response_of(request: Any, status: int, headers: list[tuple[str, str]], body: Any) -> Any:
    """A response of the HTTP client that the request is of.

    :param body: bytes, or a stream of that client's
    """
    of = http_client_of(request)
    whole = isinstance(body, bytes)
    return of.Response(
        status,
        headers=headers,
        content=body if whole else None,
        stream=None if whole else body,
        request=request,
        extensions={"http_version": b"HTTP/1.1"},
    )


def http_client_of(request: Any) -> Any:
    """The package that a request is of: httpx2, or httpx where a program gave the SDK a client of that."""
    return sys.modules[type(request).__module__.partition(".")[0]]
