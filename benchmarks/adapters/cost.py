"""What one call cost: gpt-4o-mini, 1,000 tokens in, 200 out. The peers look the price up each time."""

import os

from adapters import REGISTRY, Prepared

MODEL = "gpt-4o-mini"

REGISTRY.group("cost", "cost of one call")


@REGISTRY.contender("cost", "llmcore", own=True)
def llmcore() -> Prepared:
    from llmcore import Usage
    from llmcore._core import PriceCard, Rates

    card = PriceCard(Rates(input=150_000_000, cache_read=75_000_000, output=600_000_000, reasoning=600_000_000))
    return "cost(usage)", {"cost": card.cost, "usage": Usage(input_uncached=900, cache_read=100, output_text=200)}


@REGISTRY.contender("cost", "liter-llm", "liter-llm>=2")
def liter_llm() -> Prepared:
    import liter_llm as library

    return "cost(model, 1000, 200)", {"cost": library.completion_cost, "model": MODEL}


@REGISTRY.contender("cost", "tokencost", "tokencost")
def tokencost() -> Prepared:
    import tokencost as library

    statement = "cost(1000, model, 'input') + cost(200, model, 'output')"
    return statement, {"cost": library.calculate_cost_by_tokens, "model": MODEL}


@REGISTRY.contender("cost", "genai-prices", "genai-prices")
def genai_prices() -> Prepared:
    import genai_prices as library

    usage = library.Usage(input_tokens=1000, output_tokens=200)
    statement = "cost(usage, model, provider_id='openai')"
    return statement, {"cost": library.calc_price, "usage": usage, "model": MODEL}


@REGISTRY.contender("cost", "litellm", "litellm>=1.50")
def litellm() -> Prepared:
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # or it would ask the network first
    import litellm as library

    statement = "cost(model=model, prompt_tokens=1000, completion_tokens=200)"
    return statement, {"cost": library.cost_per_token, "model": MODEL}
