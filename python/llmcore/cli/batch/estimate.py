"""``llmcore batch --dry-run``: what a run would do and cost. Makes no call and writes nothing."""

import time
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TYPE_CHECKING

import msgspec

from llmcore.arguments import most_output
from llmcore.cli.batch.lines import Job, Malformed
from llmcore.cli.batch.seen import NEW, SeenIds
from llmcore.cli.batch.source import Source
from llmcore.cli.text import compact, dollars, name
from llmcore.types import LLMRequest

if TYPE_CHECKING:
    from llmcore.runtime import Runtime

__all__ = ["Estimate", "Estimator", "ModelEstimate", "render"]

#: The share of its limit that an answer is expected to have: one in so many.
_EXPECTED_OUTPUT = 4
#: How many malformed lines are told one by one.
_SHOWN = 10

_encode = msgspec.json.Encoder(order="sorted").encode


@dataclass(slots=True)
class ModelEstimate:
    """What would be asked of one model."""

    requests: int = 0
    #: equal to one before, so that the cache answers
    repeated: int = 0
    input_tokens: int = 0
    max_output_tokens: int = 0
    #: nano-USD; None: the price of the model is not known
    expected: int | None = 0
    worst_case: int | None = 0


@dataclass(slots=True)
class Estimate:
    """What a run would do."""

    #: finished by an earlier run
    finished: int = 0
    malformed: int = 0
    #: the first malformed lines
    problems: list[Malformed] = field(default_factory=list)
    models: dict[str, ModelEstimate] = field(default_factory=dict)


class Estimator:
    """Adds up the requests of an input. Memory stays flat: what repeats is found on disk.

    :param runtime: knows the prices and guesses the tokens
    :param provider: who would be asked
    :param cache: whether the answers to equal requests are shared
    """

    def __init__(self, runtime: "Runtime", provider: str, cache: bool) -> None:
        self._runtime = runtime
        self._provider = runtime.provider(provider)
        self._max_tokens = runtime.settings.defaults.max_tokens
        self._cache = cache

    def read(self, source: Source) -> Estimate:
        """Reads all that is left to do."""
        found = Estimate()
        with SeenIds() as requests:
            for item in source:
                if isinstance(item, float):
                    time.sleep(item)
                elif isinstance(item, Malformed):
                    found.malformed += 1
                    if len(found.problems) < _SHOWN:
                        found.problems.append(item)
                else:
                    self._add(found.models.setdefault(item.model, ModelEstimate()), item, requests)
        found.finished = source.finished_ok + source.finished_failed
        return found

    def _add(self, model: ModelEstimate, job: Job, requests: SeenIds) -> None:
        body = _encode({**job.params, "model": job.model, "messages": job.messages})
        request = LLMRequest(job.model, job.messages, max_tokens=self._max_tokens, params=job.params)
        prompt = self._runtime.estimator.prompt(request, len(body))
        most = most_output(request)
        model.requests += 1
        repeated = self._cache and requests.use(blake2b(body, digest_size=16).hexdigest(), job.number) != NEW
        if repeated:
            model.repeated += 1
        else:
            model.input_tokens += prompt.expected
            model.max_output_tokens += most
        card = self._runtime.price(self._provider, job.model)
        if card is None:
            model.expected = model.worst_case = None
        elif model.expected is not None and model.worst_case is not None:
            model.worst_case += card.worst_case(prompt.upper, most)
            if not repeated:
                model.expected += card.worst_case(prompt.expected, -(-most // _EXPECTED_OUTPUT))


def render(estimate: Estimate, provider: str) -> str:
    """What a person wants to know of it."""
    models = estimate.models
    count = sum(model.requests for model in models.values())
    lines = [
        f"{count:,} requests to make, {estimate.malformed:,} malformed lines, {estimate.finished:,} finished before.",
        *(f"  line {problem.number}: {problem.message}" for problem in estimate.problems),
    ]
    if estimate.malformed > len(estimate.problems):
        lines.append(f"  ... and {estimate.malformed - len(estimate.problems):,} more")
    for asked, model in models.items():
        repeated = f" ({model.repeated:,} repeated, for the cache)" if model.repeated else ""
        lines.append(
            f"{name(provider + '/' + asked)}: {model.requests:,} requests{repeated}, "
            f"about {compact(model.input_tokens)} prompt tokens, "
            f"at most {compact(model.max_output_tokens)} output tokens: {_cost([model])}"
        )
    if len(models) > 1:
        lines.append(f"In all: {_cost(list(models.values()))}")
    if models:
        lines.append(
            'Tokens are guessed from the length of the text. "About" takes an answer to have a quarter of its limit; '
            '"at most" takes all of it for every request, cached or not. Attempts that are repeated may come on top.'
        )
    return "\n".join(lines)


def _cost(models: list[ModelEstimate]) -> str:
    expected = [model.expected for model in models if model.expected is not None]
    worst = [model.worst_case for model in models if model.worst_case is not None]
    known = f"about {dollars(sum(expected))}, at most {dollars(sum(worst))}"
    if len(worst) == len(models):
        return known
    unknown = "price unknown (set it under [prices])"
    return f"{known}, and more: {unknown} for {len(models) - len(worst)} of the models" if worst else unknown
