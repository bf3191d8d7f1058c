"""What a provider's pair of functions takes and gives: requests, the bytes that go out and come back, and what is read
from them. Plain data; :mod:`llmcore.types` has all of it under the same names.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import msgspec

from llmcore._core import Outcome, Usage

__all__ = [
    "Chunk",
    "Citation",
    "EmbeddingReply",
    "EmbeddingRequest",
    "Failure",
    "HttpRequest",
    "HttpResponse",
    "Image",
    "ImageReply",
    "ImageRequest",
    "LLMRequest",
    "Message",
    "Reply",
    "Request",
    "ToolCall",
    "ToolCallDelta",
]


#: One chat message in the OpenAI shape: ``{"role": "user", "content": "..."}`` and everything that shape allows beside.
Message = dict[str, Any]


class LLMRequest(msgspec.Struct):
    """A chat request in the OpenAI shape, before a provider encodes it.

    ``temperature`` and ``max_tokens`` of None are not sent. ``params`` go to the provider's body as they are and win
    over what is derived from the
    other fields.
    """

    model: str
    messages: list[Message]
    json_format: bool = False
    temperature: float | None = None
    max_tokens: int | None = None
    tools: list[dict[str, Any]] | None = None
    response_format: dict[str, Any] | None = None
    stream: bool = False
    params: dict[str, Any] = {}


class _NoCompletion(msgspec.Struct):
    """What a chat completion has and other requests have not."""

    json_format: ClassVar[bool] = False
    temperature: ClassVar[None] = None
    max_tokens: ClassVar[None] = None
    tools: ClassVar[None] = None
    response_format: ClassVar[None] = None
    stream: ClassVar[bool] = False


class EmbeddingRequest(_NoCompletion):
    """Texts to be turned into vectors. ``params`` go to the provider's body as they are."""

    model: str
    inputs: list[str]
    dimensions: int | None = None
    params: dict[str, Any] = {}

    @property
    def messages(self) -> list[Message]:
        """What is said in it."""
        return [{"role": "user", "content": text} for text in self.inputs]


class ImageRequest(_NoCompletion):
    """Pictures to be drawn. What is None is not sent. ``params`` go to the provider's body as they are."""

    model: str
    prompt: str
    size: str | None = None
    quality: str | None = None
    style: str | None = None
    n: int = 1
    params: dict[str, Any] = {}

    @property
    def messages(self) -> list[Message]:
        """What is said in it."""
        return [{"role": "user", "content": self.prompt}]


#: What a call may ask for.
Request = LLMRequest | EmbeddingRequest | ImageRequest


class HttpRequest(msgspec.Struct):
    """What a provider wants sent. Equal requests have equal bodies, or, where it is no POST, equal URLs.

    Never shows its headers (they hold the key), its body (it holds the prompt) or the query of its URL (either).
    """

    url: str
    headers: dict[str, str]
    body: bytes
    method: str = "POST"

    def __repr__(self) -> str:
        return f"HttpRequest({self.method} {self.url.partition('?')[0]}, {len(self.body)} bytes)"


class HttpResponse(msgspec.Struct):
    """What came back. ``headers`` looks names up without regard to case, or holds lower-case names."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def __repr__(self) -> str:
        return f"HttpResponse({self.status}, {len(self.body)} bytes)"


class ToolCall(msgspec.Struct):
    """A function the model wants called. ``arguments`` is the JSON text exactly as the model wrote it."""

    id: str
    name: str
    arguments: str
    type: str = "function"


class Citation(msgspec.Struct):
    """A page that the model quotes or that its provider's search found."""

    url: str
    title: str = ""
    #: the words that were quoted, where the provider gives them
    snippet: str = ""


class Reply(msgspec.Struct):
    """A provider's answer, decoded."""

    content: str
    model: str
    usage: Usage
    #: in Chat Completions' words, whichever provider: stop, length, tool_calls, content_filter; its own where none fits
    finish_reason: str = ""
    tool_calls: list[ToolCall] = []
    #: text the model reasoned in, where the provider shows it
    reasoning: str = ""
    #: what the provider itself says the call cost, in nano-USD (OpenRouter); kept beside our own figure
    reported_cost: int | None = None
    #: Unix seconds at which the provider says it answered; decides the price by date
    created: int | None = None
    request_id: str | None = None
    #: why the model would not answer, where that comes apart from the content
    refusal: str = ""
    citations: list[Citation] = []


class EmbeddingReply(Reply, kw_only=True):
    """Vectors. ``content`` is empty.

    ``vectors`` is one block of float32 in the machine's byte order, vector after vector in the order of the inputs:
    ``numpy.frombuffer(reply.vectors, "f4").reshape(-1, reply.dimensions)``.
    """

    vectors: bytes
    dimensions: int

    def __len__(self) -> int:
        return len(self.vectors) // (4 * self.dimensions) if self.dimensions else 0

    def __repr__(self) -> str:
        return f"EmbeddingReply({self.model!r}, {len(self)} x {self.dimensions}, {self.usage.input_tokens} tokens)"


class Image(msgspec.Struct):
    """One picture: where it can be fetched, or its bytes."""

    url: str | None = None
    data: bytes | None = None
    #: how the model understood the prompt, where it says so
    revised_prompt: str = ""

    def __repr__(self) -> str:
        return f"Image({'url' if self.data is None else f'{len(self.data)} bytes'})"


class ImageReply(Reply, kw_only=True):
    """Pictures. ``content`` is empty; size and quality as the answer names them, else empty."""

    images: list[Image]
    size: str = ""
    quality: str = ""


class ToolCallDelta(msgspec.Struct):
    """A piece of a tool call. ``id`` and ``name`` come once, ``arguments`` in pieces that add up."""

    index: int
    id: str = ""
    name: str = ""
    arguments: str = ""
    type: str = "function"


class Chunk(msgspec.Struct):
    """What one event of a stream added to the answer."""

    text: str = ""
    reasoning: str = ""
    tool_calls: list[ToolCallDelta] = []
    refusal: str = ""
    finish_reason: str = ""


class Failure(msgspec.Struct):
    """A provider's refusal or a broken exchange, decoded. ``message`` never holds a key."""

    outcome: Outcome
    message: str
    #: seconds the provider asks to wait; None: it did not say
    retry_after: float | None = None
    #: x-should-retry, where sent
    should_retry: bool | None = None
    request_id: str | None = None
    status: int | None = None
    #: the provider's own code ("model_not_found")
    code: str | None = None
    #: what a stream had delivered before it broke, with what that was billed at least
    partial: Reply | None = None
