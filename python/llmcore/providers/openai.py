"""OpenAI's Chat Completions over HTTP, and every server that speaks the same: vLLM, llama.cpp, Groq, Mistral, ..."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from llmcore.hosts import HOSTS, Host
from llmcore.providers.chat import decode_chat, encode_chat
from llmcore.providers.chat_stream import ChatStream
from llmcore.providers.http import HttpProvider, unix_seconds
from llmcore.providers.pieces import encode_embeddings, encode_image
from llmcore.types import EmbeddingRequest, Failure, HttpRequest, ImageRequest, LLMRequest, Reply

if TYPE_CHECKING:
    from pydantic import SecretStr

    from llmcore.providers.stream import StreamDecoder

__all__ = ["OpenAIProvider"]


class OpenAIProvider(HttpProvider):
    """Chat Completions, embeddings and images over HTTP.

    :param api_key: may be missing where the URL leads to this machine or a private network
    :param base_url: with its version, as in "https://api.openai.com/v1"; a query stays at the end of the URL
    :param name: its name in settings, prices, limits and the ledger, where that is not the host's
    :param host: how it differs from OpenAI
    :param now: Unix seconds; dates in Retry-After are measured against it
    :raises LLMConfigError: the key or the URL has a form that HTTP does not allow
    """

    def __init__(
        self,
        api_key: "str | SecretStr | None" = None,
        base_url: str | None = None,
        *,
        name: str | None = None,
        host: Host = HOSTS["openai"],
        now: Callable[[], float] = unix_seconds,
    ) -> None:
        super().__init__(host, api_key, base_url, name=name, now=now)
        self._chat_url = self._url("/chat/completions")
        at = self._hostname
        takes_completion_limit = any(at == of or at.endswith("." + of) for of in host.completion_limit_hosts)
        self._limit_name = "max_completion_tokens" if takes_completion_limit else "max_tokens"

    def encode(self, request: LLMRequest) -> HttpRequest:
        """The HTTP request.

        :raises LLMConfigError: no key, and the host is not a private one
        :raises LLMValidationError: something in the request cannot be sent
        """
        return self._request(self._chat_url, encode_chat(request, self.host, self._limit_name))

    def encode_embeddings(self, request: EmbeddingRequest) -> HttpRequest:
        """The HTTP request for vectors; `decode` gives an EmbeddingReply."""
        return self._request(
            self._url("/embeddings"), encode_embeddings(request, base64=self.host.name in ("openai", "azure"))
        )

    def encode_image(self, request: ImageRequest) -> HttpRequest:
        """The HTTP request for pictures; `decode` gives an ImageReply."""
        return self._request(self._url("/images/generations"), encode_image(request))

    def decode(self, status: int, headers: Mapping[str, str], body: bytes) -> Reply | Failure:
        """The answer or the refusal in `body`. Never raises."""
        if status != 200:
            return self._refusal(status, headers, body)
        return decode_chat(headers, body, key=self._key, now=self._now, host=self.host)

    def stream_decoder(self, headers: Mapping[str, str] | None = None) -> "StreamDecoder":
        """For one answer with status 200."""
        return ChatStream(self, headers, host=self.host, key=self._key, now=self._now)
