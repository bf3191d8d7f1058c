"""What a refusal means: error bodies of every shape that OpenAI-compatible servers send, read into one Failure. Pure.

The status says how bad it is, the provider's code what it is about, and where there is no code a few known phrases must
do. Nothing that looks like a key passes into a message.
"""

import html
import json
import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import msgspec

from llmcore._core import Outcome, outcome_of_status
from llmcore.providers import headers as read
from llmcore.types import Failure

__all__ = ["failure_of", "failure_of_error", "parse", "redacted"]

_LONGEST_MESSAGE = 500
_LONGEST_LOOKED_AT = 20_000

#: Codes and types, in lower case, wherever in an error they stand.
_CODES: dict[Outcome, str] = {
    Outcome.QUOTA_EXHAUSTED: """insufficient_quota billing_hard_limit_reached billing_not_active insufficient_balance
        insufficient_credits insufficient_funds payment_required billing_error""",
    Outcome.CONTEXT_LENGTH: """context_length_exceeded context_window_exceeded exceed_context_size_error prompt_too_long
        model_max_prompt_tokens_exceeded tokens_limit_reached request_too_large""",
    Outcome.CONTENT_FILTER: """content_filter content_policy_violation responsibleaipolicyviolation moderation_blocked
        data_inspection_failed invalid_prompt""",
    Outcome.NOT_FOUND: """model_not_found deploymentnotfound model_decommissioned model_not_available unknown_model
        invalid_model not_found_error""",
    Outcome.AUTH: """invalid_api_key invalid_authentication authentication_error permission_denied unauthorized
        account_deactivated permission_error""",
    Outcome.OVERLOADED: "overloaded_error server_overloaded engine_overloaded slow_down no_capacity",
    Outcome.RATE_LIMITED: "rate_limit_exceeded rate_limit_error too_many_requests",
    Outcome.BAD_REQUEST: "not_supported_error",  # llama.cpp, with status 501: it was started without this feature
}
_BY_CODE = {code: outcome for outcome, codes in _CODES.items() for code in codes.split()}

#: Phrases of servers that send no telling code, looked at in this order.
_PHRASES: dict[Outcome, str] = {
    Outcome.CONTEXT_LENGTH: r"maximum context length|context (length|window|size)|(prompt|input) is too long"
    r"|reduce the length of the (messages|prompt|input)|request too large for|maximum prompt length"
    r"|exceeds? the (model'?s )?(maximum )?(number of )?(input )?tokens",
    Outcome.QUOTA_EXHAUSTED: r"insufficient (balance|credits?|funds)|credit balance is too low|billing hard limit",
    Outcome.CONTENT_FILTER: r"content (management )?policy|usage polic|safety system|input.{0,20} flagged",
    Outcome.NOT_FOUND: r"\bmodel\W.{0,200}\b(does not exist|not found|has been de(precated|commissioned))"
    r"|not a valid model|invalid model",
    Outcome.AUTH: r"api key not valid|(invalid|incorrect) api key|api key (is )?(invalid|missing|expired)",
}
_BY_PHRASE = [(re.compile(phrases, re.IGNORECASE), outcome) for outcome, phrases in _PHRASES.items()]
_TOO_LARGE = re.compile("request too large", re.IGNORECASE)
_BUSY = re.compile("overloaded|(at|over|no) capacity", re.IGNORECASE)

_KEY_LIKE = re.compile(
    r"\bsk[-_][-_A-Za-z0-9.*]{6,}"
    r"|\b(?:pk|rk|gsk|csk|xai|pplx|nvapi|tgp|hf)[-_][-_A-Za-z0-9.*]{16,}"
    r"|\b(?:AIza|eyJ)[-_A-Za-z0-9.*]{20,}"
    r"|(?<=[Bb]earer )[^\s\"',]+"
)
_MASK = "[key]"
_TITLE = re.compile(r"<title[^>]*>(.*?)</title", re.IGNORECASE | re.DOTALL)


def failure_of(status: int, headers: Mapping[str, str], body: bytes, *, key: str | None, now: float) -> Failure:
    """The Failure that an answer with an error status is.

    :param key: ours, to be kept out of the message
    :param now: Unix seconds, for a Retry-After that is a date
    """
    try:
        error: Any = parse(body)
    except ValueError:
        error = None
        text = _of_text(body, status)
    else:
        text = ""
    return failure_of_error(status, headers, error, text, key=key, now=now)


def failure_of_error(
    status: int, headers: Mapping[str, str], error: Any, text: str = "", *, key: str | None, now: float
) -> Failure:
    """The same, of an error that is parsed already; `text` is what to say when it says nothing."""
    codes, said = _read(error)
    said = said or text
    if status < 400:  # an error in the clothes of an answer; OpenRouter puts the status into the code
        inner = next((int(code) for code in codes if code.isdigit() and len(code) == 3), 0)
        unsaid = 400 if "invalid_request_error" in codes else 408 if "timeout_error" in codes else 500
        outcome_status = inner if 400 <= inner < 600 else unsaid
    else:
        outcome_status = status
    outcome = _outcome(outcome_status, codes, said)
    name = next((code for code in codes if not code.isdigit()), None)
    message = redacted(said, key) or _nothing_said(status)
    return Failure(
        outcome,
        message,
        read.retry_after(headers, now),
        read.should_retry(headers),
        read.request_id(headers, key),
        status,
        None if name is None else redacted(name, key)[:100],
    )


def parse(body: bytes) -> Any:
    """JSON as providers send it, which includes NaN, stray bytes, half surrogate pairs and byte order marks.

    :raises ValueError: it is no JSON
    """
    try:
        return msgspec.json.decode(body)
    except (ValueError, RecursionError):
        pass
    try:
        parsed = json.loads(body.decode("utf-8-sig", "replace"))
        if b"\\ud" in body.lower():
            whole = json.dumps(parsed, ensure_ascii=False).encode("utf-16", "surrogatepass").decode("utf-16", "replace")
            parsed = json.loads(whole)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    return parsed


def redacted(text: str, key: str | None) -> str:
    """`text` in one line of at most 500 printable characters, without `key` or anything that looks like one."""
    text = " ".join(text[:_LONGEST_LOOKED_AT].split())
    if key is not None and len(key) >= 4:
        text = text.replace(key, _MASK)
        if len(key) >= 16:  # also a beginning of it, as some providers shorten or mask what they echo
            text = re.sub(re.escape(key[:8]) + r"[^\s\"',;]*", _MASK, text)
    text = _KEY_LIKE.sub(_MASK, text)
    text = "".join(letter if letter.isprintable() else "?" for letter in text)
    return text if len(text) <= _LONGEST_MESSAGE else text[: _LONGEST_MESSAGE - 3] + "..."


def _outcome(status: int, codes: list[str], said: str) -> Outcome:
    said = said[:_LONGEST_LOOKED_AT]
    outcome = next((_BY_CODE[code.lower()] for code in codes if code.lower() in _BY_CODE), None)
    if outcome is None:
        outcome = outcome_of_status(status)
        if outcome is not Outcome.RATE_LIMITED:
            for phrase, meant in _BY_PHRASE:
                if (status < 500 or meant is Outcome.CONTEXT_LENGTH) and phrase.search(said):
                    return meant
            return Outcome.OVERLOADED if status >= 500 and _BUSY.search(said) else outcome
    if outcome is Outcome.RATE_LIMITED:
        if _TOO_LARGE.search(said):  # larger than the limit of a whole minute: waiting does not help
            return Outcome.CONTEXT_LENGTH
        if _BUSY.search(said):
            return Outcome.OVERLOADED
    return outcome


def _read(error: Any) -> tuple[list[str], str]:
    """Every code and type in an error, outermost first, and its message."""
    codes: list[str] = []
    said = ""
    looked_at: list[Any] = [error]
    for _ in range(8):  # levels; nothing is deeper
        deeper: list[Any] = []
        for part in looked_at:
            if isinstance(part, str):
                said = said or part
            elif isinstance(part, list):
                deeper += part[:4]
            elif isinstance(part, dict):
                codes += _codes_in(part)
                deeper += [part[name] for name in ("message", "msg", "detail", "error", "errors") if part.get(name)]
                said = said or _told_by_parts(part)
        looked_at = deeper[:50]
    return codes, said


def _codes_in(part: dict[str, Any]) -> list[str]:
    found = [part.get(name) for name in ("code", "type", "status", "status_code")]
    found += [inner.get("code") for inner in (part.get("innererror"), part.get("inner_error")) if type(inner) is dict]
    if isinstance(part.get("error"), str) and " " not in part["error"]:
        found.append(part["error"])
    return [str(code)[:200] for code in found if type(code) in (str, int) and code not in ("", "error")]


def _told_by_parts(part: dict[str, Any]) -> str:
    """The message, where it is not under one name."""
    metadata = part.get("metadata")
    if type(metadata) is dict and isinstance(metadata.get("raw"), str):  # OpenRouter, of the provider behind it
        return f"{part.get('message')}: {metadata['raw']}"
    if type(part.get("loc")) is list and isinstance(part.get("msg"), str):  # FastAPI
        return f"{'.'.join(str(step) for step in part['loc'])}: {part['msg']}"
    return ""


def _of_text(body: bytes, status: int) -> str:
    text = body[:_LONGEST_LOOKED_AT].decode("utf-8", "replace").strip()
    if text[:1] == "<":
        title = _TITLE.search(text)
        return f"an HTML page, not JSON: {html.unescape(title[1]).strip()}" if title else "an HTML page, not JSON"
    if status < 400 and text:  # what a model said, cut or garbled, which is not ours to show
        return "the answer is not JSON, or was cut"
    return text


def _nothing_said(status: int) -> str:
    try:
        name = f"HTTP {status} {HTTPStatus(status).phrase}"
    except ValueError:
        name = f"HTTP {status}"
    if 300 <= status < 400:
        return f"{name}: redirects are not followed; set base_url to where it leads"
    return f"{name}, and no reason given"
