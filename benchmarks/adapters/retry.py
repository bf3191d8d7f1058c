"""What retrying costs a call that needs no retry, and a delay."""

import logging

from adapters import REGISTRY, Prepared

REGISTRY.group("delay", "backoff: one delay")
REGISTRY.group("retry", "retry logic around a call that succeeds")


@REGISTRY.contender("delay", "llmcore", own=True)
def delay() -> Prepared:
    from llmcore import Backoff

    return "delay(3)", {"delay": Backoff(seed=1).delay}


@REGISTRY.contender("delay", "backoff.expo + full_jitter", "backoff")
def expo() -> Prepared:
    import backoff

    return "jitter(base * 2 ** 3)", {"jitter": backoff.full_jitter, "base": 0.5}


@REGISTRY.contender("delay", "tenacity.wait_random_exponential", "tenacity")
def tenacity_delay() -> Prepared:
    import tenacity

    state = tenacity.RetryCallState(tenacity.Retrying(), None, (), {})
    state.attempt_number = 3
    return "wait(state)", {"wait": tenacity.wait_random_exponential(0.5, 30), "state": state}


@REGISTRY.contender("retry", "llmcore (budget, breaker, probe)", own=True)
def recovery() -> Prepared:
    from llmcore import ErrorRecovery

    names = {"arrived": (state := ErrorRecovery()).call_arrived, "sent": state.sent, "succeeded": state.succeeded}
    return "arrived(); succeeded(sent())", names


@REGISTRY.contender("retry", "backoff", "backoff")
def backoff_decorator() -> Prepared:
    import backoff

    logging.disable()
    return "call()", {"call": backoff.on_exception(backoff.expo, ValueError, max_tries=5)(lambda: None)}


@REGISTRY.contender("retry", "stamina", "stamina")
def stamina() -> Prepared:
    import stamina as library

    return "call()", {"call": library.retry(on=ValueError, attempts=5)(lambda: None)}


@REGISTRY.contender("retry", "tenacity", "tenacity")
def tenacity() -> Prepared:
    import tenacity as library

    stop, wait = library.stop_after_attempt(5), library.wait_random_exponential()
    return "call()", {"call": library.retry(stop=stop, wait=wait)(lambda: None)}
