"""How many tokens a request will use, before anybody has counted them.

A byte of JSON is a quarter of a token in English prose and up to a third in code or other scripts, so the expected
figure divides by four and the upper one by three. Media are counted by the piece, not by the length of their base64
text.
"""

from typing import Any

import msgspec

from llmcore.types import LLMRequest, Reply

__all__ = ["TokenEstimate", "TokenEstimator", "fill_in"]

#: What a picture or a sound clip in a prompt is taken to cost: a 1024 x 1024 image at high detail is 765 tokens at
#: OpenAI.
_TOKENS_PER_MEDIUM = 1_000
_MEDIA = frozenset({"image_url", "input_audio", "file", "input_image", "input_file", "image", "document"})


class TokenEstimate(msgspec.Struct, frozen=True, gc=False):
    """Prompt tokens: what to expect, and what to reserve."""

    expected: int
    upper: int


class TokenEstimator:
    """Estimates prompts from their encoded size. Stateless; replace it in a :class:`~llmcore.runtime.Runtime` to
    count exactly.
    """

    def prompt(self, request: LLMRequest, body_bytes: int) -> TokenEstimate:
        """:param body_bytes: length of the encoded request, UTF-8"""
        media = 0
        for message in request.messages:
            content = message.get("content")
            if isinstance(content, list):
                for part in content:
                    if isinstance(part, dict) and part.get("type") in _MEDIA:
                        media += 1
                        body_bytes -= _text_length(part)
        text = max(body_bytes, 0)
        return TokenEstimate(text // 4 + 1 + media * _TOKENS_PER_MEDIUM, text // 3 + 8 + media * 2 * _TOKENS_PER_MEDIUM)

    def output(self, content: str) -> int:
        """Tokens of an answer that came without usage."""
        return (len(content.encode("utf-8", "replace")) + 3) // 4


def fill_in(estimator: TokenEstimator, reply: Reply, request: LLMRequest, body_bytes: int) -> None:
    """Estimates the usage that an answer does not tell."""
    usage = reply.usage
    if usage.input_tokens == 0:
        usage.input_uncached = estimator.prompt(request, body_bytes).expected
    if usage.output_tokens == 0:
        usage.output_text = estimator.output(reply.content)


def _text_length(value: Any) -> int:
    if isinstance(value, str):
        return len(value)
    if isinstance(value, bytes | bytearray | memoryview):  # which goes out as base64
        return (memoryview(value).nbytes + 2) // 3 * 4
    if isinstance(value, dict):
        return sum(_text_length(part) for part in value.values())
    return 0
