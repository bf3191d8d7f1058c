"""The kinds of single values that settings are made of.

Each checks a value from any source (text of the environment, a number of a file, a Python object) and raises ValueError
with what is allowed; who gave it, and under which name, is added where errors are told.
"""

import re
from decimal import Decimal, InvalidOperation
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BeforeValidator, SecretStr

from llmcore.types import BUDGET_KEYS

__all__ = [
    "Alerts",
    "ApiVersion",
    "BaseUrl",
    "DatabaseUrl",
    "Jitters",
    "Key",
    "Limit",
    "ModelName",
    "Places",
    "ProviderName",
    "Rate",
    "Scope",
    "Seconds",
    "SomeSeconds",
    "dollars",
    "real",
    "whole",
    "without_password",
]


def _decimal(value: object) -> Decimal | None:
    if not isinstance(value, int | float | Decimal | str):
        return None
    try:
        number = Decimal(str(value).strip())
    except InvalidOperation:  # True and False are here too
        return None
    except ValueError:  # an int too long to be written out
        return None
    return number if number.is_finite() else None


def whole(low: int, high: int, what: str) -> BeforeValidator:
    """A whole number from `low` to `high`."""

    def check(value: object) -> int:
        number = _decimal(value)
        if number is None or not low <= number <= high or number != int(number):
            raise ValueError(f"must be {what}, a whole number from {low:,} to {high:,}")
        return int(number)

    return BeforeValidator(check)


def real(low: str, high: str, what: str) -> BeforeValidator:
    """A number from `low` to `high`."""
    least, most = Decimal(low), Decimal(high)

    def check(value: object) -> float:
        number = _decimal(value)
        if number is None or not least <= number <= most:
            raise ValueError(f"must be {what}, a number from {least:,f} to {most:,f}")
        return float(number)

    return BeforeValidator(check)


def dollars(most: int, what: str) -> BeforeValidator:
    """US dollars from 0 to `most`, exact in nano-dollars."""

    def check(value: object) -> Decimal:
        number = _decimal(value)
        # The bound comes first: only within it is scaling exact.
        if number is None or not 0 <= number <= most or number.scaleb(9) % 1 != 0:
            raise ValueError(f"must be {what} in US dollars, a number from 0 to {most:,} with at most 9 decimal places")
        return number

    return BeforeValidator(check)


def _jitter(value: object) -> float | str:
    text = value.strip().lower() if isinstance(value, str) else value
    if text == "full":
        return "full"
    number = Decimal(0) if text == "none" else _decimal(value)
    if number is None or not 0 <= number <= 1:
        raise ValueError('must be the part of the delay that is random, a number from 0 to 1, or "none" or "full"')
    return float(number)


def _provider(value: object) -> str:
    name = value.strip().lower().replace("_", "-") if isinstance(value, str) else ""
    if not re.fullmatch(r"[a-z0-9][a-z0-9.-]{0,63}", name):
        raise ValueError('must be the name of a provider, such as "openai" (letters, digits, "." and "-")')
    return name


def _model(value: object) -> str:
    name = value.strip() if isinstance(value, str) else ""
    if not name or len(name) > 256 or not name.isprintable():
        raise ValueError('must be the name of a model, such as "gpt-4o-mini" (1 to 256 printable characters)')
    return name


def _is_blank(value: object) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def _key(value: object) -> SecretStr | None:
    text = value.get_secret_value() if isinstance(value, SecretStr) else value
    if _is_blank(text):
        return None
    if not isinstance(text, str) or not re.fullmatch(r"[!-~]+", text.strip()):
        raise ValueError("must be the key as the provider gave it (ASCII, no blanks, no line breaks)")
    return SecretStr(text.strip())


def _base_url(value: object) -> str | None:
    if _is_blank(value):
        return None
    problem = ValueError(
        'must be the URL of the API, such as "https://api.openai.com/v1" (http or https, no user name, no "#")'
    )
    if not isinstance(value, str) or not re.fullmatch(r"[!-~]+", value.strip()):
        raise problem
    try:
        parts = urlsplit(value.strip())
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0 and "@" not in parts.netloc
    except ValueError:  # a port that is no number, a bracket that is not closed
        raise problem from None
    if not usable or parts.fragment:
        raise problem
    return value.strip().rstrip("/")


def _api_version(value: object) -> str | None:
    if _is_blank(value):
        return None
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z0-9._-]{1,40}", value.strip()):
        raise ValueError('must be the version of an API, such as "2024-10-21"')
    return value.strip()


def _database_url(value: object) -> str | None:
    if _is_blank(value):
        return None
    if not isinstance(value, str) or not re.fullmatch(r"none|[A-Za-z][A-Za-z0-9+._-]*://\S*", value.strip()):
        raise ValueError(
            'must be the URL of a database, such as "sqlite:///llmcore.db" or "postgresql+psycopg://user@host/name", '
            'or "none" for no ledger'
        )
    return value.strip()


def without_password(url: str | None) -> str | None:
    """The URL with *** for what must not be shown."""
    if url is None:
        return None
    masked = re.sub(r"(://[^:/?#@]*):.*@", r"\1:***@", url)
    return re.sub(r"(?i)([?&][^=&]*(?:password|secret|token|key)[^=&]*=)[^&]*", r"\1***", masked)


def _scope(value: object) -> str:
    scope = value.strip() if isinstance(value, str) else ""
    key, _, of = scope.partition("=")
    if scope != "global" and not (key and of and key == key.strip() and of == of.strip() and scope.isprintable()):
        raise ValueError('must be "global", "key=value" (user=alice), or "key=*" for an account per value')
    if (meant := BUDGET_KEYS.get(key)) is not None:  # no call would ever be charged
        raise ValueError(f'must be "{meant}=...": that is what budgets call the {key} of a call')
    return scope


def _alerts(value: object) -> tuple[int, ...]:
    numbers = [_decimal(each) for each in value] if isinstance(value, list | tuple) else [None]
    if any(number is None or not 1 <= number <= 10_000 or number != int(number) for number in numbers):
        raise ValueError(
            "must be a list of percents of the limit, whole numbers from 1 to 10,000 such as [50, 80, 100]"
        )
    return tuple(sorted({int(number) for number in numbers if number is not None}))


Limit = Annotated[int, whole(0, 10**12, "a limit (0: none)")]
Places = Annotated[int, whole(0, 10**9, "a number of waiting calls")]
Seconds = Annotated[float, real("0", "1000000000", "a time in seconds")]
SomeSeconds = Annotated[float, real("0.000001", "1000000000", "a time in seconds")]
Rate = Annotated[Decimal, dollars(1_000_000, "the price")]
Jitters = Annotated[float | Literal["full"], BeforeValidator(_jitter)]
Alerts = Annotated[tuple[int, ...], BeforeValidator(_alerts)]
Scope = Annotated[str, BeforeValidator(_scope)]
ProviderName = Annotated[str, BeforeValidator(_provider)]
ModelName = Annotated[str, BeforeValidator(_model)]
Key = Annotated[SecretStr | None, BeforeValidator(_key)]
BaseUrl = Annotated[str | None, BeforeValidator(_base_url)]
ApiVersion = Annotated[str | None, BeforeValidator(_api_version)]
DatabaseUrl = Annotated[str | None, BeforeValidator(_database_url)]
