"""The kinds of calls beside a chat completion: vectors of texts, and pictures.

They take the same way through the engine. What differs is here: how a request is said, what it can cost at the most,
whether an answer is one to it, and what the caller gets.
"""

import math
from array import array
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from llmcore._core import Outcome, PriceCard
from llmcore.errors import LLMError
from llmcore.types import (
    EmbeddingReply,
    EmbeddingRequest,
    Failure,
    HttpRequest,
    Image,
    ImageReply,
    ImageRequest,
    LLMRequest,
    LLMResponse,
    Reply,
    Request,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from llmcore.estimate import TokenEstimator
    from llmcore.flow import Host
    from llmcore.providers.base import LLMProvider

__all__ = [
    "EmbeddingResponse",
    "ImageResponse",
    "checked",
    "encode",
    "fill_in_pictures",
    "price",
    "response_class",
    "worst",
]

#: Tokens of a picture that is paid by the token: gpt-image-1's largest, at high quality.
_PICTURE_TOKENS: Final = 6_240


@dataclass(slots=True, repr=False)
class EmbeddingResponse(LLMResponse):
    """The vectors of some texts.

    :ivar block: float32 after float32 in the machine's byte order, vector after vector in the order of the inputs
    :ivar dimensions: numbers to a vector
    :ivar calls: where the texts were too many for one request, the answers to all of them, in order; the first one's
        id is the parent of the others. Usage, cost and attempts are those of all.
    """

    block: bytes = b""
    dimensions: int = 0
    calls: "tuple[EmbeddingResponse, ...]" = ()

    @property
    def vectors(self) -> "NDArray[np.float32]":
        """float32 [inputs, dimensions], in the order of the inputs; read-only, and no copy.

        :raises LLMError: numpy is not installed
        """
        try:
            import numpy as np
        except ImportError:
            raise LLMError("vectors need numpy: pip install 'llmcore[numpy]' (or take block and dimensions)") from None
        return np.frombuffer(self.block, np.float32).reshape(-1, self.dimensions)

    def __len__(self) -> int:
        return len(self.block) // (4 * self.dimensions) if self.dimensions else 0

    def take(self, reply: Reply) -> None:
        """What an answer holds beside what every answer has."""
        assert isinstance(reply, EmbeddingReply)
        self.block, self.dimensions = reply.vectors, reply.dimensions

    def __repr__(self) -> str:
        return (
            f"EmbeddingResponse(call_id={self.call_id!r}, provider={self.provider!r}, model={self.model!r}, "
            f"{len(self)} x {self.dimensions}, {self.usage.input_tokens} tokens, cost={self.cost})"
        )


@dataclass(slots=True, repr=False)
class ImageResponse(LLMResponse):
    """Pictures.

    :ivar images: as many as were asked for, each with its url or its bytes, as the provider gives them
    :ivar size: as the answer names it, or as it was asked for
    :ivar quality: likewise
    """

    images: list[Image] = field(default_factory=list)
    size: str = ""
    quality: str = ""

    @property
    def url(self) -> str | None:
        """Of the first picture."""
        return self.images[0].url if self.images else None

    @property
    def data(self) -> bytes | None:
        """Of the first picture: the bytes of a file, most often a PNG."""
        return self.images[0].data if self.images else None

    def take(self, reply: Reply) -> None:
        """What an answer holds beside what every answer has."""
        assert isinstance(reply, ImageReply)
        self.images, self.size, self.quality = reply.images, reply.size, reply.quality

    def __repr__(self) -> str:
        return (
            f"ImageResponse(call_id={self.call_id!r}, provider={self.provider!r}, model={self.model!r}, "
            f"{len(self.images)} x {self.size}, cost={self.cost})"
        )


def response_class(reply: Reply) -> type[LLMResponse]:
    """What the caller gets of an answer."""
    if type(reply) is Reply:
        return LLMResponse
    if isinstance(reply, EmbeddingReply):
        return EmbeddingResponse
    return ImageResponse if isinstance(reply, ImageReply) else LLMResponse


def encode(provider: "LLMProvider", request: Request) -> HttpRequest:
    """The HTTP request for any kind of call.

    :raises LLMError: as the provider's own method
    """
    if type(request) is LLMRequest:
        return provider.encode(request)
    if isinstance(request, EmbeddingRequest):
        return provider.encode_embeddings(request)
    assert isinstance(request, ImageRequest)
    return provider.encode_image(request)


def worst(request: EmbeddingRequest | ImageRequest) -> tuple[int, int]:
    """(tokens that may be generated, pictures) at the most."""
    return (request.n * _PICTURE_TOKENS, request.n) if isinstance(request, ImageRequest) else (0, 0)


def price(
    runtime: "Host", provider: "LLMProvider", request: Request, model: str, reply: Reply | None = None
) -> PriceCard | None:
    """The price of what is asked for, or was given by `model`; None if it is unknown."""
    at = None if reply is None else reply.created
    if not isinstance(request, ImageRequest):
        return runtime.price(provider, model, at)
    given = reply if isinstance(reply, ImageReply) else None
    size = (given and given.size) or request.size or ""
    quality = (given and given.quality) or request.quality or ""
    return runtime.image_price(provider, model, size, quality, at)


def fill_in_pictures(estimator: "TokenEstimator", reply: ImageReply, request: Request, card: PriceCard | None) -> None:
    """Estimates what pictures used that are sold by the token, where the answer does not tell it: as much as the
    largest take.
    """
    usage = reply.usage
    sold_by_token = card is not None and card.base.image_output > 0 and card.base.per_image == 0
    if not sold_by_token or usage.input_tokens or usage.output_tokens:
        return
    usage.input_uncached = estimator.prompt(request, 0).expected
    usage.image_output = len(reply.images) * _PICTURE_TOKENS
    usage.estimated = True


def checked(request: Request, told: Reply | Failure) -> Reply | Failure:
    """The answer, or a failure if it is none to what was asked for."""
    if isinstance(told, Failure) or (type(told) is Reply and type(request) is LLMRequest):
        return told
    if not isinstance(told, Reply):
        raise TypeError(f"decode() gave {type(told).__name__}, which is neither a Reply nor a Failure")
    problem = None
    if isinstance(request, EmbeddingRequest):
        problem = _not_vectors(request, told)
    elif isinstance(request, ImageRequest):
        if not isinstance(told, ImageReply):
            problem = "holds no pictures"
        else:
            told.size = told.size or request.size or ""
            told.quality = told.quality or request.quality or ""
    elif isinstance(told, EmbeddingReply | ImageReply):
        problem = "is no chat completion"
    if problem is None:
        return told
    return Failure(Outcome.SERVER_ERROR, f"the answer {problem}", status=200, request_id=told.request_id)


def _not_vectors(request: EmbeddingRequest, told: Reply) -> str | None:
    if not isinstance(told, EmbeddingReply):
        return "holds no vectors"
    if len(told) != len(request.inputs):
        return f"holds {len(told)} vectors for {len(request.inputs)} inputs"
    if request.dimensions is not None and told.dimensions != request.dimensions:
        return f"holds vectors of {told.dimensions} numbers instead of {request.dimensions}"
    # A sum is finite where all of its parts are, and summing is the fastest look at all of them.
    if not math.isfinite(math.fsum(array("f", told.vectors))):
        return "holds numbers that are none"
    return None
