"""One call asks whether it may go, and may."""

from concurrent.futures import ThreadPoolExecutor

from adapters import REGISTRY, Prepared, looped

PLENTY = 1_000_000_000  # a minute: never the reason to wait

REGISTRY.group("limiter", "rate limiter: one admission")


@REGISTRY.contender("limiter", "a method of the C API", own=True)
def floor() -> Prepared:
    return "call()", {"call": "text".isascii}


@REGISTRY.contender("limiter", "llmcore", own=True)
def llmcore() -> Prepared:
    from llmcore import RateLimiter
    from llmcore._core import RateLimiterConfig

    return "acquire()", {"acquire": RateLimiter(RateLimiterConfig(PLENTY)).try_acquire}


@REGISTRY.contender("limiter", "llmcore, 4 threads", own=True)
def llmcore_threads() -> Prepared:
    from llmcore import RateLimiter
    from llmcore._core import RateLimiterConfig

    acquire = RateLimiter(RateLimiterConfig(PLENTY)).try_acquire
    pool = ThreadPoolExecutor(4)

    def work(n: int) -> None:
        for _ in range(n):
            acquire()

    return lambda n: [done.result() for done in [pool.submit(work, n // 4 + 1) for _ in range(4)]]


@REGISTRY.contender("limiter", "aiolimiter", "aiolimiter")
def aiolimiter() -> Prepared:
    from aiolimiter import AsyncLimiter

    limiter = AsyncLimiter(PLENTY, 60)

    async def acquire(n: int) -> None:
        for _ in range(n):
            await limiter.acquire()

    return looped(acquire)


@REGISTRY.contender("limiter", "token-bucket", "token-bucket")
def token_bucket() -> Prepared:
    import token_bucket as library

    limiter = library.Limiter(PLENTY / 60, PLENTY, library.MemoryStorage())
    return "consume('key')", {"consume": limiter.consume}


@REGISTRY.contender("limiter", "limits", "limits")
def limits() -> Prepared:
    from limits import RateLimitItemPerMinute
    from limits.storage import MemoryStorage
    from limits.strategies import FixedWindowRateLimiter

    limiter = FixedWindowRateLimiter(MemoryStorage())
    return "hit(item, 'key')", {"hit": limiter.hit, "item": RateLimitItemPerMinute(PLENTY)}
