"""The service: a client's calls, and the ledger's rows of them."""

import asyncio
import uuid
from base64 import b64encode
from typing import TYPE_CHECKING, Any, Final, TypeVar

from pydantic import BaseModel

from llmcore.errors import LLMServerError, UnknownModelError
from llmcore.service.dto import LLMMessageDTO, LLMRequestDTO, LLMResponseDTO
from llmcore.types import Image, Message

if TYPE_CHECKING:
    from llmcore.aclient import AsyncLLMClient
    from llmcore.ledger.requests import LLMRequestRepo
    from llmcore.stream import AsyncLLMStream

__all__ = ["LLMService"]

T = TypeVar("T", bound=BaseModel)

_FLUSH_SECONDS: Final = 2.0
_PICTURES: Final = {b"\x89PNG": "image/png", b"\xff\xd8\xff": "image/jpeg", b"RIFF": "image/webp"}


class LLMService:
    """What a back end asks for language: see :class:`~llmcore.service.public.LLMServicesProvider`, which it is.

    Holds nothing of its own, so one may be made for each request. A request can be found as soon as its answer is
    there: before the ledger is asked, what was recorded is written, which takes milliseconds. With a database that is
    down this gives up after two seconds; the row arrives later.

    ``get_request`` and ``get_user_requests`` wait for the database: in a coroutine, await ``aget_request`` and
    ``aget_user_requests`` instead, which do not hold up the event loop.

    :param repo: where requests are found; None: the ledger of the client
    :param client: makes the calls; None: one of the process's own runtime
    """

    def __init__(self, repo: "LLMRequestRepo | None" = None, client: "AsyncLLMClient | None" = None) -> None:
        if client is None:
            from llmcore.aclient import AsyncLLMClient

            client = AsyncLLMClient()
        self.client = client
        self._repo = repo

    @property
    def repo(self) -> "LLMRequestRepo":
        """Where requests are found."""
        if self._repo is None:
            from llmcore.ledger.requests import LLMRequestRepo
            from llmcore.ledger.tracker import UsageTracker

            sink = self.client.runtime.sink
            self._repo = LLMRequestRepo(sink if isinstance(sink, UsageTracker) else None)
        return self._repo

    async def generate_response(
        self,
        messages: list[LLMMessageDTO],
        user_id: uuid.UUID | None = None,
        model: str | None = None,
        temperature: float | None = None,
        max_tokens: int | None = None,
        **kwargs: Any,
    ) -> tuple[LLMResponseDTO, uuid.UUID]:
        """See LLMServicesProvider."""
        response = await self.client.complete(
            _plain(messages), model=model, temperature=temperature, max_tokens=max_tokens, **_of_user(user_id), **kwargs
        )
        return LLMResponseDTO.model_validate(response), uuid.UUID(response.call_id)

    async def generate_structured_response(
        self,
        messages: list[LLMMessageDTO],
        response_model: type[T],
        user_id: uuid.UUID | None = None,
        model: str | None = None,
        temperature: float | None = None,
        max_tokens: int | None = None,
        **kwargs: Any,
    ) -> tuple[T, uuid.UUID]:
        """See LLMServicesProvider."""
        found = await self.client.complete_structured(
            _plain(messages),
            response_model,
            model=model,
            temperature=temperature,
            max_tokens=max_tokens,
            **_of_user(user_id),
            **kwargs,
        )
        return found.value, uuid.UUID(found.call_id)

    async def generate_image(
        self,
        prompt: str,
        user_id: uuid.UUID | None = None,
        size: str = "1024x1024",
        quality: str = "standard",
        style: str | None = None,
        **kwargs: Any,
    ) -> tuple[str, uuid.UUID]:
        """See LLMServicesProvider."""
        # Not every model knows that word for what all of them do unasked.
        named = None if quality == "standard" else quality
        drawn = await self.client.generate_image(prompt, size, named, style, **_of_user(user_id), **kwargs)
        picture = drawn.images[0] if drawn.images else Image()
        url = picture.url or _data_url(picture.data)
        if url is None:
            raise LLMServerError(f"{drawn.provider}/{drawn.model}: the answer holds no picture", call_id=drawn.call_id)
        return url, uuid.UUID(drawn.call_id)

    async def search_web(
        self,
        queries: list[str],
        user_id: uuid.UUID | None = None,
        max_results: int = 10,
        **kwargs: Any,
    ) -> tuple[list[dict[str, str]], uuid.UUID]:
        """See LLMServicesProvider."""
        found = await self.client.search_web(queries, max_results, **_of_user(user_id), **kwargs)
        return found.results, uuid.UUID(found.call_id)

    def stream_response(
        self,
        messages: list[LLMMessageDTO],
        user_id: uuid.UUID | None = None,
        model: str | None = None,
        temperature: float | None = None,
        max_tokens: int | None = None,
        **kwargs: Any,
    ) -> "AsyncLLMStream":
        """As generate_response, for an answer that is read while it is written: ``async with`` it, and iterate."""
        return self.client.stream(
            _plain(messages), model=model, temperature=temperature, max_tokens=max_tokens, **_of_user(user_id), **kwargs
        )

    def get_request(self, request_id: uuid.UUID) -> LLMRequestDTO | None:
        """See LLMServicesProvider."""
        self._flush()
        row = self.repo.by_id(request_id)
        return None if row is None else LLMRequestDTO.model_validate(row)

    def get_user_requests(self, user_id: uuid.UUID, limit: int = 50, offset: int = 0) -> list[LLMRequestDTO]:
        """See LLMServicesProvider."""
        self._flush()
        return [LLMRequestDTO.model_validate(row) for row in self.repo.by_user(user_id, limit, offset)]

    async def aget_request(self, request_id: uuid.UUID) -> LLMRequestDTO | None:
        """As get_request, without holding up the event loop; for an asynchronous session of the host too."""
        await asyncio.to_thread(self._flush)
        row = await self.repo.by_id_async(request_id)
        return None if row is None else LLMRequestDTO.model_validate(row)

    async def aget_user_requests(self, user_id: uuid.UUID, limit: int = 50, offset: int = 0) -> list[LLMRequestDTO]:
        """As get_user_requests, without holding up the event loop; for an asynchronous session of the host too."""
        await asyncio.to_thread(self._flush)
        rows = await self.repo.by_user_async(user_id, limit, offset)
        return [LLMRequestDTO.model_validate(row) for row in rows]

    def estimate_cost(self, messages: list[LLMMessageDTO], model: str | None = None) -> float:
        """See LLMServicesProvider."""
        estimate = self.client.estimate_cost(_plain(messages), model)
        if estimate.expected is None:
            raise UnknownModelError(
                f"no price is known for {estimate.provider}/{estimate.model}: name one in the settings' prices",
                provider=estimate.provider,
                model=estimate.model,
            )
        return float(estimate.expected.dollars)

    def _flush(self) -> None:
        self.client.runtime.sink.flush(_FLUSH_SECONDS)

    def __repr__(self) -> str:
        return f"LLMService({self.client.provider}/{self.client.model})"


def _plain(messages: list[LLMMessageDTO]) -> list[Message]:
    return [message.model_dump(exclude_none=True) for message in messages]


def _data_url(data: bytes | None) -> str | None:
    if not data:
        return None
    kind = next((kind for magic, kind in _PICTURES.items() if data.startswith(magic)), "application/octet-stream")
    return f"data:{kind};base64,{b64encode(data).decode()}"


def _of_user(user_id: uuid.UUID | None) -> dict[str, Any]:
    """Nothing for None, so that a user of the surrounding context stays."""
    return {} if user_id is None else {"user_id": user_id}
