"""The providers that are built in, in one table: where they are, which variables name their key and their URL, and how
they differ. Settings, providers and prices read it; a compatible host more is a line more.
"""

from dataclasses import dataclass, field
from typing import Final, Literal
from urllib.parse import urlsplit

__all__ = ["HOSTS", "Host", "host_at", "provider_variables"]


@dataclass(frozen=True, slots=True)
class Host:
    """One provider."""

    name: str
    #: None: it has to be configured
    base_url: str | None
    #: the environment's variables for the key and the URL, as the provider's own documentation calls them
    key_variable: str | None = None
    url_variable: str | None = None
    #: the model of a call that names none; None: there is no sensible one
    model: str | None = None
    #: which API it speaks: chat (Chat Completions), responses, azure, messages (Anthropic), llama, ollama, searxng,
    #: offline
    protocol: str = "chat"
    #: it charges nothing
    free: bool = False
    #: hosts (and what is below them) that take max_completion_tokens, which their reasoning models insist on; others
    #: get max_tokens, unless the model is one of OpenAI's that insist
    completion_limit_hosts: tuple[str, ...] = ()
    #: streams are asked for their usage with stream_options; without, they tell it unasked and may refuse the option
    asks_for_usage: bool = True
    #: total_tokens holds reasoning that completion_tokens does not
    total_holds_reasoning: bool = False
    #: params that have another name here
    renamed: dict[str, str] = field(default_factory=dict)
    #: params that it has no form for: a request with one is refused by name
    unknown: frozenset[str] = frozenset()
    #: the models of calls for vectors and for pictures that name none
    embedding_model: str | None = None
    image_model: str | None = None
    #: what one request for vectors may hold at the most: texts, and their tokens together
    embedding_inputs: int = 2048
    embedding_tokens: int = 300_000
    #: what every body holds beside, unless the request's own params say otherwise
    extra: dict[str, object] = field(default_factory=dict)
    #: how answers are held to a type: "schema", a response_format with a JSON schema; "instructor", in words and by
    #: asking again, where there is no such format
    structured: Literal["schema", "instructor"] = "schema"
    #: the part of JSON Schema that such a format may be of: "openai", "anthropic", or "all" of it
    schema_dialect: str = "openai"
    #: models without such a format, which are given a tool to call instead; a regular expression, "" for none
    without_schema: str = ""


_OPENAI_HOSTS = ("api.openai.com", "openai.azure.com", "cognitiveservices.azure.com")
#: OpenAI's models from before structured outputs.
_OPENAI_OLDER = r"^(?:ft:)?(?:gpt-3\.5|gpt-4(?:$|-(?!o))|gpt-4o-2024-05-13)"

_ALL = (
    Host(
        "openai",
        "https://api.openai.com/v1",
        "OPENAI_API_KEY",
        "OPENAI_BASE_URL",
        "gpt-4o-mini",
        completion_limit_hosts=_OPENAI_HOSTS,
        embedding_model="text-embedding-3-small",
        image_model="gpt-image-1",
        without_schema=_OPENAI_OLDER,
    ),
    Host(
        "openai-responses",
        "https://api.openai.com/v1",
        "OPENAI_API_KEY",
        "OPENAI_BASE_URL",
        "gpt-4o-mini",
        protocol="responses",
        embedding_model="text-embedding-3-small",
        image_model="gpt-image-1",
        without_schema=_OPENAI_OLDER,
    ),
    Host(
        "azure",
        None,
        "AZURE_OPENAI_API_KEY",
        "AZURE_OPENAI_ENDPOINT",
        protocol="azure",
        completion_limit_hosts=_OPENAI_HOSTS,
    ),
    Host(
        "anthropic",
        "https://api.anthropic.com",
        "ANTHROPIC_API_KEY",
        "ANTHROPIC_BASE_URL",
        "claude-sonnet-4-5",
        protocol="messages",
        schema_dialect="anthropic",
        # Structured outputs came with Opus 4.1 and the models of 4.5.
        without_schema=r"claude-(?:instant|[123](?:[.-]|$)|(?:opus|sonnet)-4(?:-0)?(?:[-@]\d{8}|$))",
    ),
    Host(
        "llama",
        "http://127.0.0.1:8080",
        "LLAMA_API_KEY",
        "LLAMA_SERVER_URL",
        "default",
        protocol="llama",
        embedding_model="default",
        free=True,
        schema_dialect="all",
    ),
    Host(
        "lmstudio",
        "http://127.0.0.1:1234",
        "LMSTUDIO_API_KEY",
        "LMSTUDIO_BASE_URL",
        protocol="llama",
        free=True,
        schema_dialect="all",
    ),
    Host(
        "ollama",
        "http://127.0.0.1:11434",
        "OLLAMA_API_KEY",
        "OLLAMA_BASE_URL",
        "llama3.2",
        protocol="ollama",
        embedding_model="nomic-embed-text",
        free=True,
        schema_dialect="all",
    ),
    # No model, but pages of the web.
    Host("searxng", None, "SEARXNG_API_KEY", "SEARXNG_URL", "searxng", protocol="searxng", free=True),
    Host(
        "offline",
        None,
        model="offline",
        protocol="offline",
        free=True,
        embedding_model="offline",
        image_model="offline",
        schema_dialect="all",
    ),
    Host(
        "groq",
        "https://api.groq.com/openai/v1",
        "GROQ_API_KEY",
        "GROQ_BASE_URL",
        "llama-3.3-70b-versatile",
        completion_limit_hosts=("api.groq.com",),
        unknown=frozenset({"logprobs", "top_logprobs", "logit_bias"}),
        without_schema=r"^(?!openai/gpt-oss|moonshotai/kimi|meta-llama/llama-4)",
    ),
    Host(
        "openrouter",
        "https://openrouter.ai/api/v1",
        "OPENROUTER_API_KEY",
        "OPENROUTER_BASE_URL",
        "openai/gpt-4o-mini",
        extra={"usage": {"include": True}},  # the cost as OpenRouter has it
    ),
    Host(
        "mistral",
        "https://api.mistral.ai/v1",
        "MISTRAL_API_KEY",
        "MISTRAL_BASE_URL",
        "mistral-small-latest",
        embedding_model="mistral-embed",
        embedding_inputs=512,
        embedding_tokens=16_384,
        asks_for_usage=False,
        renamed={"seed": "random_seed", "max_completion_tokens": "max_tokens"},
        unknown=frozenset({"logprobs", "top_logprobs", "logit_bias", "user", "store", "service_tier"}),
    ),
    Host(
        "deepseek",
        "https://api.deepseek.com/v1",
        "DEEPSEEK_API_KEY",
        "DEEPSEEK_BASE_URL",
        "deepseek-chat",
        renamed={"max_completion_tokens": "max_tokens"},
        structured="instructor",  # JSON, but to no schema
    ),
    Host(
        "together",
        "https://api.together.xyz/v1",
        "TOGETHER_API_KEY",
        "TOGETHER_BASE_URL",
        "meta-llama/Llama-3.3-70B-Instruct-Turbo",
        embedding_model="intfloat/multilingual-e5-large-instruct",
        image_model="black-forest-labs/FLUX.1-schnell",
    ),
    Host(
        "cerebras",
        "https://api.cerebras.ai/v1",
        "CEREBRAS_API_KEY",
        "CEREBRAS_BASE_URL",
        "llama-3.3-70b",
        completion_limit_hosts=("api.cerebras.ai",),
        unknown=frozenset({"frequency_penalty", "presence_penalty", "logit_bias"}),
    ),
    Host("xai", "https://api.x.ai/v1", "XAI_API_KEY", "XAI_BASE_URL", "grok-3-mini", image_model="grok-2-image-1212"),
    Host(
        "gemini",
        "https://generativelanguage.googleapis.com/v1beta/openai",
        "GEMINI_API_KEY",
        "GEMINI_BASE_URL",
        "gemini-2.5-flash",
        embedding_model="gemini-embedding-001",
        embedding_inputs=100,
        image_model="imagen-4.0-generate-001",
        total_holds_reasoning=True,
    ),
)

HOSTS: Final[dict[str, Host]] = {host.name: host for host in _ALL}


def provider_variables() -> dict[str, tuple[str, ...]]:
    """The setting that each variable of the environment names. Two hosts that share a variable share the first's."""
    found: dict[str, tuple[str, ...]] = {}
    for host in _ALL:
        for variable, setting in ((host.key_variable, "api_key"), (host.url_variable, "base_url")):
            if variable is not None:
                found.setdefault(variable, ("providers", host.name, setting))
    return found


def host_at(url: str) -> Host:
    """The one that answers Chat Completions at that URL; where none is known to, OpenAI."""
    at = urlsplit(url).hostname
    for host in HOSTS.values():
        if host.base_url is not None and urlsplit(host.base_url).hostname == at and host.protocol in ("chat", "azure"):
            return host
    return HOSTS["azure" if at is not None and at.endswith(".azure.com") else "openai"]
