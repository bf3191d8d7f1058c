"""How much of what is said in calls is kept, and what a program wants changed before it is."""

import hashlib
import logging
from collections.abc import Callable, Mapping
from typing import Any, Literal

from llmcore.ledger.entries import Payload, json_text
from llmcore.types import Texts

__all__ = ["Content", "ContentPolicy", "Redaction"]

_log = logging.getLogger("llmcore.ledger")

ContentPolicy = Literal["full", "hash", "none"]
#: Gets the texts of a call and its call type and returns what may be kept of them: changed, or None for nothing.
Redaction = Callable[[Texts, str | None], Texts | None]

_POLICIES = ("full", "hash", "none")


class Content:
    """Decides what is kept of a call's texts.

    :param policy: for every call, or by call type, where "*" is all the others; full: everything; hash: SHA-256 of
        request and response, which tell equal ones without telling what was said; none: nothing
    :param redact: sees the texts before anything is written; if it raises, nothing of that call's texts is kept
    :raises ValueError: a policy that does not exist
    """

    def __init__(
        self, policy: "ContentPolicy | Mapping[str, ContentPolicy]" = "full", redact: Redaction | None = None
    ) -> None:
        by_type = {"*": policy} if isinstance(policy, str) else dict(policy)
        for name, one in by_type.items():
            if one not in _POLICIES:
                raise ValueError(f"the content policy of {name!r} is full, hash or none, not {one!r}")
        self._others = by_type.pop("*", "full")
        self._by_type = by_type
        self._redact = redact

    def of(self, texts: Texts, call_type: str | None) -> Payload | None:
        """What may be kept of these texts; None: nothing."""
        policy = self._by_type.get(call_type or "", self._others)
        if policy == "none":
            return None
        if self._redact is not None:
            try:
                redacted = self._redact(texts, call_type)
            except Exception as error:
                _log.error("the redaction of texts raised %s: nothing of them is kept", type(error).__name__)
                return None
            if redacted is None:
                return None
            texts = redacted
        if policy == "hash":
            return _hashed(texts)
        return _whole(texts)


def _hashed(texts: Texts) -> Payload:
    asked = json_text(texts.messages) if texts.messages is not None else None
    return Payload("hash", request_sha256=_sha256(asked), response_sha256=_sha256(texts.response))


def _sha256(text: str | None) -> str | None:
    return None if text is None else hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _whole(texts: Texts) -> Payload:
    messages = texts.messages
    system: list[str] = []
    prompt = None
    for message in messages or ():
        role, content = message.get("role"), message.get("content")
        text = content if type(content) is str else _spoken(content)
        if role == "user":
            prompt = text
        elif role in ("system", "developer") and text:
            system.append(text)
    return Payload(
        "full",
        "\n\n".join(system) or None,
        prompt,
        None if messages is None else json_text(messages),
        texts.response,
        json_text(texts.tool_calls) if texts.tool_calls else None,
    )


def _spoken(content: Any) -> str | None:
    """The text of a message's content, whether it is plain or in parts."""
    if content is None or isinstance(content, str):
        return content
    if not isinstance(content, list):
        return None
    parts = [part.get("text") for part in content if isinstance(part, dict)]
    return "\n".join(part for part in parts if isinstance(part, str))
