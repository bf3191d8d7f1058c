"""Vectors of texts: as many requests as a provider takes them in, and one answer.

Texts that are too many for one request go out in several, one after the other: the first is the parent of the others,
as it is of the re-asks of a structured answer. One generator decides; the two clients only make the calls.
"""

from collections.abc import Generator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from llmcore.arguments import sorted_options
from llmcore.errors import LLMTimeoutError, LLMValidationError
from llmcore.flow import Step
from llmcore.flow_stream import Result
from llmcore.kinds import EmbeddingResponse
from llmcore.prepare import Deadline
from llmcore.types import EmbeddingRequest, LLMResponse, Money, Outcome, Priority, total_cost

if TYPE_CHECKING:
    from llmcore.prepare import View

__all__ = ["EmbeddingResponse", "batches", "embedding_calls"]

CallFlow = Generator[Step, Result, LLMResponse]


def embedding_calls(
    view: "View",
    inputs: str | Sequence[str],
    dimensions: int | None,
    model: str | None,
    priority: Priority,
    deadline: float | None,
    cache: bool | None,
    call_type: str | None,
    rest: Mapping[str, Any],
) -> Generator[CallFlow, LLMResponse, EmbeddingResponse]:
    """Yields the calls that it takes, one after the other, and is sent their answers.

    :raises LLMValidationError: an argument makes no sense
    :raises LLMTimeoutError: there was no time for all of them
    """
    described, params = sorted_options(rest)
    texts = _texts(inputs)
    if dimensions is not None and (type(dimensions) is not int or not 0 < dimensions < 1 << 20):
        raise LLMValidationError(f"dimensions is a whole number above 0, not {dimensions!r}")
    request = EmbeddingRequest(model or view.model_for("embedding_model", "embeddings"), texts, dimensions, params)
    all_of_it = Deadline(view.runtime, deadline)
    calls: list[EmbeddingResponse] = []
    for batch in _batches_for(view, request):
        if calls:
            described["parent_call_id"] = calls[0].call_id
            deadline = all_of_it.left()
            if deadline <= 0:
                raise _too_late(calls, len(texts), all_of_it.seconds)
        one = msgspec.structs.replace(request, inputs=batch)
        answer = yield view.prepare_other(one, priority, deadline, cache, call_type, described)
        assert isinstance(answer, EmbeddingResponse)
        calls.append(answer)
    return _joined(calls)


def _too_late(calls: list[EmbeddingResponse], inputs: int, span: float) -> LLMTimeoutError:
    done = sum(map(len, calls))
    return LLMTimeoutError(
        f"{calls[0].provider}/{calls[0].model}: {done:,} of {inputs:,} inputs were answered within the deadline of "
        f"{span:g} s",
        outcome=Outcome.TIMEOUT,
        call_id=calls[0].call_id,
        provider=calls[0].provider,
        model=calls[0].model,
    )


def _batches_for(view: "View", request: EmbeddingRequest) -> list[list[str]]:
    host = view.chain[0][0].host
    if host is None:
        return [request.inputs]
    estimator = view.runtime.estimator
    sizes = [estimator.messages([{"role": "user", "content": text}]) for text in request.inputs]
    return batches(request.inputs, sizes, host.embedding_inputs, host.embedding_tokens)


def batches(inputs: Sequence[str], sizes: Sequence[int], most_inputs: int, most_tokens: int) -> list[list[str]]:
    """The inputs in as few requests as a provider takes them in, in order.

    :param sizes: tokens of each input, at the most
    """
    made: list[list[str]] = [[]]
    left = most_tokens
    for text, size in zip(inputs, sizes, strict=True):
        if made[-1] and (len(made[-1]) >= most_inputs or size > left):
            made.append([])
            left = most_tokens
        made[-1].append(text)
        left -= size
    return made


def _joined(calls: list[EmbeddingResponse]) -> EmbeddingResponse:
    """One response for several requests.

    :raises LLMValidationError: their vectors do not fit together
    """
    first = calls[0]
    if len(calls) == 1:
        return first
    if any(call.dimensions != first.dimensions for call in calls):
        told = ", ".join(sorted({str(call.dimensions) for call in calls}))
        raise LLMValidationError(f"{first.provider}/{first.model}: vectors of different lengths ({told})")
    usage = type(first.usage)()
    for call in calls:
        usage += call.usage
    return EmbeddingResponse(
        "",
        first.model,
        first.provider,
        usage,
        total_cost(calls),
        first.call_id,
        first.finish_reason,
        latency_ms=sum(call.latency_ms for call in calls),
        attempts=sum(call.attempts for call in calls),
        status=first.status,
        cache_hit=all(call.cache_hit for call in calls),
        fallback_used=any(call.fallback_used for call in calls),
        saved=Money(sum(call.saved.nano_usd for call in calls)),
        request_id=first.request_id,
        block=b"".join(call.block for call in calls),
        dimensions=first.dimensions,
        calls=tuple(calls),
    )


def _texts(inputs: Any) -> list[str]:
    """The texts to be turned into vectors.

    :raises LLMValidationError: there are none, or one is empty or no text
    """
    if isinstance(inputs, str):
        inputs = [inputs]
    if not isinstance(inputs, list | tuple) or len(inputs) == 0:
        raise LLMValidationError("inputs is a text or a non-empty list of texts")
    for index, text in enumerate(inputs):
        if not isinstance(text, str) or text == "":
            raise LLMValidationError(f"inputs[{index}] is no text, or an empty one")
    return list(inputs)
