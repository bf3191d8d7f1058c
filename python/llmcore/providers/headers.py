"""What the headers of an answer say: which request, how long to wait, what is left of the limits.

Pure; what makes no sense reads as absent.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from llmcore._core import RateObservation

__all__ = ["anthropic_observation", "observation", "request_id", "retry_after", "should_retry", "text_of"]

Headers = Mapping[str, str]

_LONGEST = 366 * 86_400.0  # seconds; whoever asks to wait longer is understood to mean "very long"
_NUMBER = re.compile(r"\+?[0-9]{1,400}(\.[0-9]*)?([eE][+-]?[0-9]{1,3})?")
_DURATION = re.compile(r"(?:[0-9]{1,15}(?:\.[0-9]*)?(?:ms|us|ns|h|m|s|d))+")
_DURATION_PART = re.compile(r"([0-9]+(?:\.[0-9]*)?)(ms|us|ns|h|m|s|d)")
_NANOSECONDS = {"ns": 1, "us": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
_NANOSECONDS["d"] = 24 * _NANOSECONDS["h"]
_MOST = 1 << 53


def text_of(headers: Headers, name: str) -> str | None:
    """A header's value; None also where its bytes are no text.

    :param headers: of a HTTP client, or a dict whose names may be in any case
    :param name: in lower case
    """
    try:
        found = headers.get(name)
    except ValueError:  # pyreqwest, of a value that is not ASCII
        return None
    if found is None and type(headers) is dict:
        return next((value for given, value in headers.items() if given.lower() == name), None)
    return found


def request_id(headers: Headers, key: str | None) -> str | None:
    """The provider's name for this exchange, which its support asks for. One that echoes `key` is none."""
    if not headers:  # of an answer from the cache
        return None
    found = text_of(headers, "x-request-id") or text_of(headers, "request-id") or text_of(headers, "apim-request-id")
    if not found or not found.isprintable() or (key and key in found):
        return None
    return found[:200]


def should_retry(headers: Headers) -> bool | None:
    """x-should-retry."""
    return {"true": True, "false": False}.get((text_of(headers, "x-should-retry") or "").strip().lower())


def retry_after(headers: Headers, now: float) -> float | None:
    """Seconds to wait: from retry-after-ms, else from Retry-After as seconds or as a date.

    :param now: Unix seconds, for a date. The answer's own Date header goes before it, as the two clocks may differ.
    """
    milliseconds = _number(text_of(headers, "retry-after-ms"))
    if milliseconds is not None:
        return min(milliseconds / 1000, _LONGEST)
    text = text_of(headers, "retry-after")
    if text is None:
        return None
    seconds = _number(text)
    if seconds is None:
        at = _date(text)
        if at is None:
            seconds = _number(text.split(",", 1)[0])  # sent twice and joined on the way
        else:
            sent = _date(text_of(headers, "date") or "")
            seconds = max(at - (now if sent is None else sent), 0.0)
    return None if seconds is None else min(seconds, _LONGEST)


def observation(headers: Headers) -> RateObservation | None:
    """What x-ratelimit-remaining-*, -limit-* and -reset-* say; None when they do not say what is left."""
    requests = _count(headers, "x-ratelimit-remaining-requests")
    of = "tokens"
    tokens = _count(headers, "x-ratelimit-remaining-tokens")
    if tokens is None:  # Mistral's; its requests are counted by spans that are no minute
        of = "tokens-minute"
        tokens = _count(headers, "x-ratelimit-remaining-tokens-minute")
    if requests is None and tokens is None:
        return None
    return RateObservation(
        remaining_requests=requests,
        remaining_tokens=tokens,
        requests_reset=0 if requests is None else _reset(headers, "requests"),
        tokens_reset=0 if tokens is None else _reset(headers, "tokens"),
        requests_limit=None if requests is None else _count(headers, "x-ratelimit-limit-requests"),
        tokens_limit=None if tokens is None else _count(headers, f"x-ratelimit-limit-{of}"),
    )


def anthropic_observation(headers: Headers, now: float) -> RateObservation | None:
    """What anthropic-ratelimit-* say; None when they say nothing. Their resets are moments in RFC 3339.

    Input and output tokens have limits of their own; what counts here is the one of which less is left.
    """
    prefix = "anthropic-ratelimit-"
    requests = _count(headers, f"{prefix}requests-remaining")
    left = [(_count(headers, f"{prefix}{of}-remaining"), of) for of in ("tokens", "input-tokens", "output-tokens")]
    tokens, of = min(((count, of) for count, of in left if count is not None), default=(None, ""))
    if requests is None and tokens is None:
        return None
    return RateObservation(
        remaining_requests=requests,
        remaining_tokens=tokens,
        requests_reset=0 if requests is None else _until(headers, f"{prefix}requests-reset", now),
        tokens_reset=0 if tokens is None else _until(headers, f"{prefix}{of}-reset", now),
        requests_limit=None if requests is None else _count(headers, f"{prefix}requests-limit"),
        tokens_limit=None if tokens is None else _count(headers, f"{prefix}{of}-limit"),
    )


def _until(headers: Headers, name: str, now: float) -> int:
    """Nanoseconds to a moment in RFC 3339; 0: unknown."""
    text = (text_of(headers, name) or "").strip()
    if not 10 <= len(text) <= 40:
        return 0
    try:
        at = datetime.fromisoformat(text)
        seconds = (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() - now
    except (ValueError, OverflowError):
        return 0
    return round(min(max(seconds, 0.0), _LONGEST) * 1e9)


def _count(headers: Headers, name: str) -> int | None:
    number = _number(text_of(headers, name))
    return int(number) if number is not None and number < _MOST else None


def _reset(headers: Headers, of: str) -> int:
    """Nanoseconds; 0: unknown. "6m0s", "120ms"; a plain number is seconds, at Azure (which sends its period too) ms."""
    text = (text_of(headers, f"x-ratelimit-reset-{of}") or "").strip()
    number = _number(text)
    if number is not None:
        unit = 10**6 if text_of(headers, f"x-ratelimit-renewalperiod-{of}") is not None else 10**9
        nanoseconds = number * unit
    elif len(text) < 100 and _DURATION.fullmatch(text):
        nanoseconds = sum(float(amount) * _NANOSECONDS[unit] for amount, unit in _DURATION_PART.findall(text))
    else:
        return 0
    return round(min(nanoseconds, _LONGEST * 1e9))


def _number(text: str | None) -> float | None:
    """A number that is not negative, possibly infinite."""
    if text is None:
        return None
    text = text.strip()
    return float(text) if _NUMBER.fullmatch(text) else None


def _date(text: str) -> float | None:
    if not 10 <= len(text) <= 100:
        return None
    try:
        found = parsedate_to_datetime(text)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
