"""Azure OpenAI: Chat Completions, embeddings and images of deployments."""

from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import quote

from llmcore.hosts import HOSTS
from llmcore.providers.chat import encode_chat
from llmcore.providers.http import unix_seconds
from llmcore.providers.openai import OpenAIProvider
from llmcore.providers.pieces import encode_embeddings, encode_image
from llmcore.types import EmbeddingRequest, HttpRequest, ImageRequest, LLMRequest

if TYPE_CHECKING:
    from pydantic import SecretStr

__all__ = ["AzureOpenAIProvider"]

#: The latest version of the API that is not a preview.
_API_VERSION = "2024-10-21"


class AzureOpenAIProvider(OpenAIProvider):
    """Deployments of one Azure resource. A request's model is the name of the deployment.

    :param base_url: the resource's endpoint, "https://NAME.openai.azure.com"; one that ends in "/openai/v1" speaks the
        newer API, which has neither versions nor deployments in its URLs
    :param api_version: None takes the latest that is not a preview
    """

    def __init__(
        self,
        api_key: "str | SecretStr | None" = None,
        base_url: str | None = None,
        *,
        api_version: str | None = None,
        name: str | None = None,
        now: Callable[[], float] = unix_seconds,
    ) -> None:
        super().__init__(api_key, base_url, name=name, host=HOSTS["azure"], now=now)
        self._unversioned = self._parts is not None and self._parts.path.rstrip("/").endswith("/v1")
        given = self._parts is not None and "api-version=" in self._parts.query
        self._query = (
            "" if given or (self._unversioned and not api_version) else f"api-version={api_version or _API_VERSION}"
        )

    def _auth(self, key: str) -> dict[str, str]:
        return {"api-key": key}

    def _deployment(self, model: str, path: str) -> str:
        return self._url(
            path if self._unversioned else f"/openai/deployments/{quote(model, safe='')}{path}", self._query
        )

    def encode(self, request: LLMRequest) -> HttpRequest:
        """The HTTP request, to the deployment that the request calls its model."""
        body = encode_chat(request, self.host, self._limit_name)
        return self._request(
            self._deployment(str(request.params.get("model", request.model)), "/chat/completions"), body
        )

    def probe(self) -> None:
        """Deployments are named by their owner, and not listed here."""
        return

    def encode_embeddings(self, request: EmbeddingRequest) -> HttpRequest:
        """The HTTP request for vectors."""
        return self._request(self._deployment(request.model, "/embeddings"), encode_embeddings(request))

    def encode_image(self, request: ImageRequest) -> HttpRequest:
        """The HTTP request for pictures."""
        return self._request(self._deployment(request.model, "/images/generations"), encode_image(request))
