"""One finished call into the statistics."""

from collections import defaultdict

from adapters import REGISTRY, Prepared

REGISTRY.group("record", "statistics: one call recorded")


@REGISTRY.contender("record", "llmcore (by model, type and hour, percentiles)", own=True)
def llmcore() -> Prepared:
    from llmcore import TokenTracker, Usage

    usage = Usage(input_uncached=900, cache_read=100, output_text=200)
    record = TokenTracker().record
    return "record('gpt-4o-mini', 'chat', usage, 150000, 800000000)", {"record": record, "usage": usage}


@REGISTRY.contender("record", "dict of dicts (totals alone)", own=True)
def dictionaries() -> Prepared:
    totals: dict[tuple[str, str], dict[str, int]] = defaultdict(lambda: defaultdict(int))

    def record(model: str, kind: str, tokens_in: int, tokens_out: int, cost: int, latency: int) -> None:
        total = totals[model, kind]
        total["calls"] += 1
        total["input_tokens"] += tokens_in
        total["output_tokens"] += tokens_out
        total["cost"] += cost
        total["latency"] += latency

    return "record('gpt-4o-mini', 'chat', 1000, 200, 150000, 800000000)", {"record": record}
