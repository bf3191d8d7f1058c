"""What to tell the user of a call that has no answer: what happened, to which call, and what to do next."""

from llmcore._core import BudgetRefusal, Finish
from llmcore.types import Failure, Money, Outcome

__all__ = ["explain"]

_ADVICE: dict[Outcome, str] = {
    Outcome.TIMEOUT: "raise deadline=, or retry.attempt_timeout for a slow model",
    Outcome.CONNECTION: "check base_url and the network",
    Outcome.RATE_LIMITED: "lower limits.requests_per_minute or try again later",
    Outcome.QUOTA_EXHAUSTED: "add credit to the provider's account or name a fallback",
    Outcome.OVERLOADED: "try again later or name a fallback",
    Outcome.SERVER_ERROR: "try again later or name a fallback",
    Outcome.AUTH: "check the API key and what it may use",
    Outcome.BAD_REQUEST: "mend the request; repeating it will not help",
    Outcome.CONTEXT_LENGTH: "shorten the messages or choose a model with a longer context",
    Outcome.CONTENT_FILTER: "rephrase the request; the provider's policy forbids it",
    Outcome.NOT_FOUND: "check the model's name and base_url",
}


def explain(finish: Finish, failure: Failure | None) -> str:
    """One sentence or two about a Finish whose outcome is not ok. Holds no key and no text of a prompt."""
    place = f"{finish.provider}/{finish.model}" if finish.provider else "the call"
    outcome = finish.outcome
    if outcome is Outcome.QUEUE_FULL:
        return f"{place}: too many calls wait already; {_try_again(finish)}or raise queue limits"
    if outcome is Outcome.QUEUE_TIMEOUT:
        waited = finish.queued / 1e9
        return f"{place}: waited {waited:.1f} s for limits until its time was over; raise deadline= or the limits"
    if outcome is Outcome.OVER_BUDGET:
        return (
            f"{place}: {_over_budget(finish.refusal)}"
            if finish.refusal
            else f"{place}: no budget has room for this call"
        )
    if outcome is Outcome.CANCELLED:
        return f"{place}: cancelled"
    if outcome is Outcome.EXHAUSTED:
        why = "no provider could be tried: recent errors opened its circuit breaker"
        return f"{place}: {why}; {_try_again(finish)}or name a fallback"
    told = f": {failure.message}" if failure and failure.message else ""
    tries = f" after {finish.attempts} attempts" if finish.attempts > 1 else ""
    advice = _ADVICE.get(outcome)
    return f"{place}: {outcome.name.lower().replace('_', ' ')}{tries}{told}" + (f" ({advice})" if advice else "")


def _try_again(finish: Finish) -> str:
    return f"try again in {finish.retry_hint / 1e9:.1f} s " if finish.retry_hint else "try again later "


def _over_budget(refusal: BudgetRefusal) -> str:
    name = f"the budget '{refusal.scope}' ({refusal.period.name.lower()})"
    if refusal.price_unknown:
        return f"its price is unknown, and {name} admits only calls whose worst case can be told; set it under [prices]"
    spent, reserved, needed, limit = (
        Money(n) for n in (refusal.spent, refusal.reserved, refusal.needed, refusal.limit)
    )
    amounts = f"spent {spent}, reserved {reserved}, this call's worst case {needed}, limit {limit}"
    return f"{name} has no room: {amounts}; raise the limit or lower max_tokens"
