"""What other modules of a back end see of the service, and nothing behind it."""

import uuid
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from pydantic import BaseModel

from llmcore.service.dto import LLMMessageDTO, LLMRequestDTO, LLMResponseDTO

if TYPE_CHECKING:
    from llmcore.service.service import LLMService

__all__ = ["LLMMessageDTO", "LLMRequestDTO", "LLMResponseDTO", "LLMServicesProvider"]

T = TypeVar("T", bound=BaseModel)


class LLMServicesProvider(Protocol):
    """Text, values of a type and pictures, each with the id under which the ledger has it."""

    async def generate_response(
        self,
        messages: list[LLMMessageDTO],
        user_id: uuid.UUID | None = None,
        model: str | None = None,
        temperature: float | None = None,
        max_tokens: int | None = None,
        **kwargs: Any,
    ) -> tuple[LLMResponseDTO, uuid.UUID]:
        """An answer in text.

        :param user_id: whose request it is
        :param model: None takes the client's
        :param temperature: 0 to 2; None takes the settings'
        :param max_tokens: None takes the settings'
        :param kwargs: the other arguments of :meth:`llmcore.AsyncLLMClient.complete`: the context, and what goes to the
            provider as it is
        :return: the answer, and the id of the request
        :raises LLMError: there is none
        """
        ...

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
        """A value of a pydantic model.

        :param kwargs: the other arguments of :meth:`llmcore.AsyncLLMClient.complete_structured`
        :return: the value, and the id of the request; of the first one, if it had to be asked again
        :raises LLMValidationError: no answer is such a value
        :raises LLMError: there is no answer
        """
        ...

    async def generate_image(
        self,
        prompt: str,
        user_id: uuid.UUID | None = None,
        size: str = "1024x1024",
        quality: str = "standard",
        style: str | None = None,
        **kwargs: Any,
    ) -> tuple[str, uuid.UUID]:
        """A picture.

        :param quality: "standard", which is what a model does when nothing is said, or "hd"
        :return: the picture's URL, and the id of the request. A provider that sends the picture itself has a URL that
            holds it ("data:image/png;base64,...")
        :raises LLMError: there is none
        """
        ...

    async def search_web(
        self,
        queries: list[str],
        user_id: uuid.UUID | None = None,
        max_results: int = 10,
        **kwargs: Any,
    ) -> tuple[list[dict[str, str]], uuid.UUID]:
        """Pages of the web, each with title, url, snippet and query.

        :param max_results: most pages for each query
        :param kwargs: the other arguments of :meth:`llmcore.AsyncLLMClient.search_web`
        :return: the pages, and the id of the first query's request, which is the parent of the others'
        :raises LLMConfigError: nothing is configured to search with
        :raises LLMError: a query has no answer
        """
        ...

    def get_request(self, request_id: uuid.UUID) -> LLMRequestDTO | None:
        """The request with this id; None: there is none.

        :raises LedgerError: the ledger cannot be asked
        """
        ...

    def get_user_requests(self, user_id: uuid.UUID, limit: int = 50, offset: int = 0) -> list[LLMRequestDTO]:
        """A user's requests, the newest first.

        :raises LedgerError: the ledger cannot be asked
        """
        ...

    def estimate_cost(self, messages: list[LLMMessageDTO], model: str | None = None) -> float:
        """What a request would cost, in US dollars, without making it.

        :raises UnknownModelError: the model's price is not known
        """
        ...


if TYPE_CHECKING:

    def _provides(service: LLMService) -> LLMServicesProvider:
        return service
