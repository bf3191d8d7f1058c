"""Pictures from words."""

from collections.abc import Generator, Mapping
from typing import TYPE_CHECKING, Any

from llmcore.arguments import sorted_options
from llmcore.flow import Step
from llmcore.flow_stream import Result
from llmcore.kinds import ImageResponse
from llmcore.types import ImageRequest, LLMResponse, Priority

if TYPE_CHECKING:
    from llmcore.prepare import View

__all__ = ["ImageResponse", "image_call"]


def image_call(
    view: "View",
    prompt: str,
    size: str | None,
    quality: str | None,
    style: str | None,
    n: int,
    model: str | None,
    priority: Priority,
    deadline: float | None,
    cache: bool | None,
    call_type: str | None,
    rest: Mapping[str, Any],
) -> Generator[Step, Result, LLMResponse]:
    """The call that draws.

    :raises LLMValidationError: an argument makes no sense
    """
    described, params = sorted_options(rest)
    named = model or view.model_for("image_model", "pictures")
    request = ImageRequest(named, prompt, size, quality, style, n, params)
    return view.prepare_other(request, priority, deadline, cache, call_type, described)
