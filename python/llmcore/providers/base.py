"""What a provider is: a pair of pure functions between our values and its HTTP, and nothing else.

A provider of one's own takes a screen; this one talks to a server that answers plain text::

    import msgspec
    from llmcore import Failure, HttpRequest, LLMClient, LLMProvider, Outcome, Reply, Usage, register_provider

    class PlainTextProvider(LLMProvider):
        name = "plain-text"

        def __init__(self, url):
            self.url = url

        def encode(self, request):
            asked = {"model": request.model, "prompt": request.messages[-1]["content"]}
            return HttpRequest(self.url, {"Content-Type": "application/json"}, msgspec.json.encode(asked))

        def decode(self, status, headers, body):
            if status == 200:
                text = body.decode("utf-8", "replace")
                return Reply(text, model="plain", usage=Usage(estimated=True), finish_reason="stop")
            if status == 429:
                return Failure(Outcome.RATE_LIMITED, "the server is busy", retry_after=1.0, status=status)
            return Failure(Outcome.SERVER_ERROR, f"HTTP {status}", status=status)

    register_provider("plain-text", lambda settings: PlainTextProvider("http://127.0.0.1:9000/answer"))
    client = LLMClient("plain-text", "any-model")
    print(client.complete([{"role": "user", "content": "Say hello."}]).content)

Retries, limits, the cache, budgets and the ledger then work as with every other provider.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping

from llmcore._core import Outcome, RateObservation
from llmcore.errors import LLMBadRequestError
from llmcore.hosts import Host
from llmcore.providers.stream import StreamDecoder, WholeAnswer
from llmcore.types import EmbeddingRequest, Failure, HttpRequest, ImageRequest, LLMRequest, Reply

__all__ = ["LLMProvider"]


class LLMProvider(ABC):
    """One API. Holds its configuration and no state, so any number of threads and loops may share one.

    :cvar name: how settings, prices, limits and the ledger call it
    :cvar local: it answers inside this process and costs nothing: `answer` instead of HTTP
    :cvar free: it charges nothing: what has no price of its own costs 0 there, and elsewhere an unknown sum
    :cvar host: its line in the table of :mod:`llmcore.hosts`; None: nothing is known of what its models can do, so that
        structured answers are asked for in words
    """

    name: str
    local: bool = False
    host: Host | None = None

    @property
    def free(self) -> bool:
        return self.local or (self.host is not None and self.host.free)

    @abstractmethod
    def encode(self, request: LLMRequest) -> HttpRequest:
        """The HTTP request that asks it. Equal requests must give equal bodies, as the body is the key of the cache.

        :raises LLMConfigError: the key or the URL is missing
        :raises LLMBadRequestError, LLMValidationError: the request cannot be said in this API
        """

    @abstractmethod
    def decode(self, status: int, headers: Mapping[str, str], body: bytes) -> Reply | Failure:
        """What an answer says. A function of its arguments alone, as cached answers are decoded again.

        Never raises, whatever the bytes. An answer without token counts has a Usage that is `estimated`.

        :param headers: lower-case names, or looked up without regard to case
        """

    def stream_decoder(self, headers: Mapping[str, str] | None = None) -> StreamDecoder:
        """What reads the answer to a request whose `stream` is true, as it arrives; only for status 200.

        Without one of its own a provider answers in one piece: no chunks, and `decode` at the end.
        """
        return WholeAnswer(self, headers)

    def encode_embeddings(self, request: EmbeddingRequest) -> HttpRequest:
        """The HTTP request that asks for vectors. `decode` of its answer is an EmbeddingReply.

        :raises LLMBadRequestError: this provider has none
        """
        raise _lacks(self.name, "embeddings")

    def encode_image(self, request: ImageRequest) -> HttpRequest:
        """The HTTP request that asks for pictures. `decode` of its answer is an ImageReply.

        :raises LLMBadRequestError: this provider draws none
        """
        raise _lacks(self.name, "pictures")

    def observe(self, headers: Mapping[str, str]) -> RateObservation | None:
        """What the headers of any answer say about the limits; None when they say nothing."""
        return None

    def answer(self, request: LLMRequest, call_type: str | None) -> bytes:
        """Only for a local provider: the body that ``decode(200, {}, body)`` understands, or ``stream_decoder()`` where
        the request's `stream` is true.
        """
        raise TypeError(f"the provider '{self.name}' is not local: it answers over HTTP")

    def answer_other(self, request: EmbeddingRequest | ImageRequest) -> bytes:
        """Only for a local provider that takes such requests: the body that ``decode(200, {}, body)`` understands."""
        raise _lacks(self.name, "embeddings" if isinstance(request, EmbeddingRequest) else "pictures")

    def probe(self) -> HttpRequest | None:
        """A request that costs nothing and tells whether the provider is there and takes the key; None: there is none.

        :raises LLMConfigError: as encode()
        """
        return None


def _lacks(name: str, what: str) -> LLMBadRequestError:
    return LLMBadRequestError(f"{name} has no {what}: ask another provider", outcome=Outcome.BAD_REQUEST, provider=name)
