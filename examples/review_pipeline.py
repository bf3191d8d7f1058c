"""What do our customers say? A pipeline over reviews: mood, then complaints, then a summary, each made inside the one
before, and a report of what it all came to.

::

    python examples/review_pipeline.py                             # made-up answers, without a key or a network
    OPENAI_API_KEY=... python examples/review_pipeline.py --provider openai --model gpt-4o-mini
    python examples/review_pipeline.py reviews.txt --database reviews.db      # a review on each line

Every review is a trace: its calls are in the ledger as a tree, with what each cost and how long it took. The answers of
the first two steps are values of a type, checked, and asked for again where they do not fit. A review whose pipeline
fails is counted and leaves the others alone.
"""

import argparse
import asyncio
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field

from llmcore import AsyncLLMClient, LLMCallRepository, LLMError, Settings, UsageTracker, context
from llmcore.ledger.stats import get_cost_stats, get_performance_stats

REVIEWS = (
    "Lovely room with a view of the harbour. Breakfast was cold, and nobody cared.",
    "Third visit, and as good as ever. The new pool is worth the price alone.",
    "The lift was broken for four days. My mother is 80. Never again.",
    "Clean, quiet, cheap. What more do you want?",
    "Nice staff, but I was charged twice and am still waiting for my money.",
    "The pictures are ten years old. So is the mattress.",
)
WIDTH = 4  # reviews at once


class Mood(BaseModel):
    """How a customer feels about a stay."""

    mood: Literal["good", "mixed", "bad"]
    stars: int = Field(ge=1, le=5, description="what the text would give")


class Complaint(BaseModel):
    """Something that went wrong."""

    about: Literal["room", "food", "staff", "money", "building", "other"]
    what: str = Field(description="in a few words", max_length=200)


class Complaints(BaseModel):
    """All that a customer complains of; none is a good answer too."""

    complaints: list[Complaint] = Field(max_length=10)


@dataclass
class Outcome:
    """What came of one review."""

    review_id: str
    mood: Mood
    complaints: list[Complaint]
    summary: str


async def examine(client: AsyncLLMClient, review_id: str, text: str) -> Outcome:
    """The three steps. Each is made inside the one before: what it is told depends on it, and the ledger knows."""
    said = {"role": "user", "content": text}
    with context(trace_id=f"trace-{review_id}", review_id=review_id, company_id="harbour-hotel", tags=["reviews"]):
        mood = await client.complete_structured(
            [{"role": "system", "content": "Judge the mood of this review."}, said],
            Mood,
            call_type="sentiment_analysis",
        )
        with context(parent_call_id=mood.call_id):
            found = await client.complete_structured(
                [{"role": "system", "content": f"The mood is {mood.value.mood}. List what is complained of."}, said],
                Complaints,
                call_type="extraction",
                max_retry_cost=0.01,
            )
            with context(parent_call_id=found.call_id, prompt_template="summary-1"):
                listed = "; ".join(f"{each.about}: {each.what}" for each in found.value.complaints) or "nothing"
                summary = await client.complete(
                    [{"role": "system", "content": f"Summarize in one sentence. Complaints: {listed}"}, said],
                    call_type="summarization",
                    max_tokens=100,
                )
    return Outcome(review_id, mood.value, found.value.complaints, summary.content)


async def run(client: AsyncLLMClient, reviews: list[str]) -> tuple[list[Outcome], int]:
    """All reviews, a few at a time; and how many failed."""
    gate = asyncio.Semaphore(WIDTH)

    async def one(number: int, text: str) -> Outcome | None:
        async with gate:
            try:
                return await examine(client, f"r{number}", text)
            except LLMError as error:
                print(f"r{number}: {type(error).__name__}: {error}", file=sys.stderr)
                return None

    done = await asyncio.gather(*(one(number, text) for number, text in enumerate(reviews, 1)))
    outcomes = [outcome for outcome in done if outcome is not None]
    return outcomes, len(done) - len(outcomes)


def report(outcomes: list[Outcome], failed: int, tracker: UsageTracker) -> None:
    """What the customers say, and what it took to find out."""
    moods = Counter(outcome.mood.mood for outcome in outcomes)
    about = Counter(complaint.about for outcome in outcomes for complaint in outcome.complaints)
    print(f"{len(outcomes)} reviews, {failed} failed")
    if outcomes:
        stars = sum(outcome.mood.stars for outcome in outcomes) / len(outcomes)
        print(f"moods: {', '.join(f'{count} {mood}' for mood, count in moods.most_common())}; {stars:.1f} stars")
    print(f"complaints: {', '.join(f'{count} x {what}' for what, count in about.most_common()) or 'none'}")
    for outcome in outcomes[:3]:
        print(f"  {outcome.review_id}: {outcome.summary[:100]}")

    costs, speed = get_cost_stats(tracker), get_performance_stats(tracker)
    print(f"\n{'step':<22}{'calls':>6}{'tokens':>9}{'cost':>12}{'p95 ms':>9}")
    for step, part in costs["by_call_type"].items():
        took = speed["by_call_type"][step]["p95_latency_ms"]
        print(f"{step:<22}{part['calls']:>6}{part['tokens']:>9}{part['cost']:>12.6f}{took:>9.1f}")
    if outcomes:
        trace = f"trace-{outcomes[0].review_id}"
        print(f"\n{trace}:")
        depth: dict[str | None, int] = {}
        for call in LLMCallRepository.get_calls_by_trace_sync(tracker, trace):
            depth[call.id] = depth.get(call.parent_call_id, -1) + 1
            cost = "?" if call.cost is None else str(call.cost)
            kind = call.call_type.value if call.call_type is not None else "?"
            print(f"  {'  ' * depth[call.id]}{kind}: {call.status.value}, {call.total_tokens} tokens, {cost}")


def main() -> int:
    """Runs the pipeline; returns 1 if a review failed."""
    parser = argparse.ArgumentParser(description="Examines reviews: mood, complaints, summary, report.")
    parser.add_argument("reviews", nargs="?", type=Path, help="a file with a review on each line; without, six of ours")
    parser.add_argument("--provider", default="offline")
    parser.add_argument("--model")
    parser.add_argument("--database", help="a URL or the path of a SQLite file; without, it is forgotten at the end")
    options = parser.parse_args()
    reviews = options.reviews.read_text(encoding="utf-8").splitlines() if options.reviews else list(REVIEWS)

    with tempfile.TemporaryDirectory() as folder:
        tracker = UsageTracker(options.database or str(Path(folder, "calls.db")))

        async def whole() -> tuple[list[Outcome], int]:
            settings = Settings(provider=options.provider)
            async with AsyncLLMClient(model=options.model, tracker=tracker, settings=settings) as client:
                return await run(client, [review for review in reviews if review.strip()])

        outcomes, failed = asyncio.run(whole())
        report(outcomes, failed, tracker)
        tracker.close()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
