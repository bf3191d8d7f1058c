"""Types as schemas of each provider's kind, and the offline provider's values for them."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal, NotRequired
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, RootModel, field_validator
from typing_extensions import TypedDict

from llmcore import LLMClient, LLMValidationError
from llmcore.json_schema import Misfit, form_of
from llmcore.providers.offline import OfflineProvider
from llmcore.types import LLMRequest, Reply
from support.scripted import settings_of

ASK = [{"role": "user", "content": "Say it."}]


class Item(BaseModel):
    """A thing that is sold."""

    name: str = Field(description="as on the shelf", min_length=2, max_length=40)
    price: float = Field(ge=0, lt=1000)
    kind: Literal["food", "tool"] = "food"


class Order(BaseModel):
    first: Item = Field(description="the dearest one")
    items: list[Item] = Field(max_length=3)
    note: str | None = None


class Node(BaseModel):
    value: int
    children: list[Annotated["Node", Field(description="below it")]] = []


class Loose(BaseModel):
    counts: dict[str, int]


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int = Field(ge=1, le=9)


class Dog(BaseModel):
    kind: Literal["dog"]
    tricks: list[str]


class Home(BaseModel):
    pet: Cat | Dog = Field(discriminator="kind")


class Everything(BaseModel):
    model_config = ConfigDict(extra="forbid")

    code: str = Field(pattern=r"^[A-Z]{3}-\d{4}(?:-(?:x|[^a-c]))?$")
    count: int = Field(gt=3, le=10, multiple_of=2)
    ratio: float = Field(gt=0, lt=1)
    price: Decimal = Field(ge=0, max_digits=6, decimal_places=2)
    numbers: set[int] = Field(min_length=3)
    pair: tuple[int, str]
    when: datetime
    day: date
    id: UUID
    options: dict[str, bool] = Field(min_length=1)
    either: int | None
    yes: bool


@dataclass
class Point:
    x: int
    y: int


class Review(TypedDict):
    text: str
    stars: NotRequired[int]


def objects_of(schema: Any) -> Iterator[dict[str, Any]]:
    if isinstance(schema, dict):
        if schema.get("type") == "object":
            yield schema
        for part in schema.values():
            yield from objects_of(part)
    elif isinstance(schema, list):
        for part in schema:
            yield from objects_of(part)


def keywords_of(schema: Any) -> set[str]:
    """Of all schemas in it; the names of properties are not keywords."""
    if isinstance(schema, list):
        return set().union(*map(keywords_of, schema))
    if not isinstance(schema, dict):
        return set()
    found = set(schema)
    for key, part in schema.items():
        named = key in ("properties", "$defs")
        found |= set().union(*map(keywords_of, part.values())) if named else keywords_of(part)
    return found


@pytest.mark.parametrize("model", [Item, Order, Home, list[Item], Point, Review, int, Cat | Dog])
@pytest.mark.parametrize("dialect", ["openai", "anthropic"])
def test_strict_schemas_leave_nothing_open(model: Any, dialect: str) -> None:
    schema = form_of(model).strict(dialect)
    assert schema is not None
    assert schema["type"] == "object"
    for each in objects_of(schema):
        assert each["additionalProperties"] is False
        assert each["required"] == list(each["properties"])
    assert not keywords_of(schema) & {"default", "title", "oneOf", "allOf", "discriminator", "const", "minLength"}
    references = [part for part in [schema, *_all(schema)] if "$ref" in part]
    assert all(part.keys() == {"$ref"} for part in references)


def _all(schema: Any) -> Iterator[dict[str, Any]]:
    parts = schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ()
    for part in parts:
        if isinstance(part, dict):
            yield part
        yield from _all(part)


def test_what_a_dialect_has_no_word_for_is_told_in_the_description() -> None:
    openai, anthropic = form_of(Item).strict("openai"), form_of(Item).strict("anthropic")
    assert openai is not None
    assert anthropic is not None
    assert openai["properties"]["name"] == {
        "type": "string",
        "description": "as on the shelf (maxLength: 40, minLength: 2)",
    }
    assert openai["properties"]["price"] == {"type": "number", "minimum": 0, "exclusiveMaximum": 1000}
    assert anthropic["properties"]["price"]["description"] == "(exclusiveMaximum: 1000, minimum: 0)"
    everything = form_of(Item).strict("all")
    assert everything is not None
    assert everything["properties"]["name"]["maxLength"] == 40
    assert everything["required"] == ["name", "price", "kind"]


def test_a_reference_stands_alone_or_is_replaced_by_what_it_refers_to() -> None:
    schema = form_of(Order).strict("openai")
    assert schema is not None
    assert schema["properties"]["items"]["items"] == {"$ref": "#/$defs/Item"}
    first = schema["properties"]["first"]
    assert first["description"] == "the dearest one"
    assert first["required"] == ["name", "price", "kind"]


def test_types_that_no_strict_schema_can_say_have_none() -> None:
    assert form_of(Loose).strict("openai") is None
    assert form_of(Everything).strict("openai") is None
    assert form_of(Loose).strict("all") is not None


def test_a_type_may_contain_itself_where_that_is_allowed() -> None:
    assert form_of(Node).strict("anthropic") is None
    for dialect in ("openai", "all"):
        schema = form_of(Node).strict(dialect)
        assert schema is not None
        assert "$ref" not in schema  # at the root stands an object
        assert len(json.dumps(schema)) < 2000


def test_what_is_no_object_is_the_value_of_one() -> None:
    assert form_of(list[int]).decode('{"value": [1, 2]}') == [1, 2]
    assert form_of(RootModel[int]).decode('{"value": 3}').root == 3
    point: Point = form_of(Point).decode('{"value": {"x": 1, "y": 2}}')
    assert point == Point(1, 2)
    assert form_of(Review).decode('{"value": {"text": "good"}}') == {"text": "good"}


def test_answers_in_a_fence_are_read_too() -> None:
    assert form_of(Cat).decode('Here:\n```json\n{"kind": "cat", "lives": 3}\n```\nDone.') == Cat(kind="cat", lives=3)


def test_problems_say_where_and_not_what() -> None:
    class Shut(BaseModel):
        model_config = ConfigDict(extra="forbid")

        items: list[Item]

        @field_validator("items")
        @classmethod
        def never(cls, items: list[Item]) -> list[Item]:
            raise ValueError(f"not {items}")

    secret = "sk-canary"
    text = json.dumps({"items": [{"name": "x", "price": secret}], secret: 1})
    with pytest.raises(Misfit) as caught:
        form_of(Shut).decode(text)
    said = [str(problem) for problem in caught.value.problems]
    assert said == ["items.0.name: string_too_short", "items.0.price: float_parsing", "*: extra_forbidden"]
    assert secret not in str(caught.value)
    with pytest.raises(Misfit) as caught:
        form_of(Shut).decode('{"items": []}')
    assert [str(problem) for problem in caught.value.problems] == ["items: value_error"]


def test_a_type_without_a_schema_is_refused_by_name() -> None:
    class Thing:
        pass

    with pytest.raises(LLMValidationError, match="response_model Thing has no JSON schema"):
        form_of(Thing)


def test_forms_are_made_once() -> None:
    assert form_of(Item) is form_of(Item)
    assert form_of(Item).strict("openai") is form_of(Item).strict("openai")


@pytest.mark.parametrize("model", [Item, Order, Node, Loose, Home, Everything, list[Item], Point, Review, bool])
@pytest.mark.parametrize("mode", ["schema", "tool"])
def test_the_offline_provider_gives_a_value_of_any_type(model: Any, mode: Literal["schema", "tool"]) -> None:
    with LLMClient("offline", settings=settings_of(provider="offline")) as client:
        for number in range(20):
            asked = [{"role": "user", "content": f"number {number}"}]
            found = client.complete_structured(asked, model, mode=mode, max_retries=0)
            again = client.complete_structured(asked, model, mode=mode, max_retries=0)
            assert found.value == again.value
            assert found.cost is not None
            assert found.cost.nano_usd == 0


_names = st.sampled_from(["a", "b", "$ref", "type"])
_keywords = {
    "type": st.sampled_from(["object", "array", "string", "integer", "number", "boolean", "null", "odd", ["null"], 7]),
    "enum": st.lists(st.integers()) | st.text(max_size=3),
    "$ref": st.sampled_from(["#", "#/$defs/a", "#/nowhere", "odd"]),
    "pattern": st.text("ab[]()*+?\\\\d{2}^$|", max_size=8) | st.integers(),
    "required": st.lists(_names) | st.integers(),
    **dict.fromkeys(("minItems", "maxItems", "minLength", "maxLength", "minProperties"), st.integers(-5, 10**6)),
    **dict.fromkeys(
        ("minimum", "maximum", "exclusiveMinimum", "multipleOf"),
        st.integers(-5, 5) | st.floats(allow_nan=False, allow_infinity=False),
    ),
}


def _schemas(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    several, one = st.lists(inner, max_size=3), inner
    nested: dict[str, st.SearchStrategy[Any]] = {
        "properties": st.dictionaries(_names, one, max_size=3),
        "$defs": st.dictionaries(_names, one, max_size=2),
    }
    nested |= dict.fromkeys(("anyOf", "oneOf", "allOf", "prefixItems"), several)
    nested |= dict.fromkeys(("items", "additionalProperties"), one)
    return st.fixed_dictionaries({}, optional=_keywords | nested)


@given(schema=st.recursive(st.booleans() | st.integers(), _schemas, max_leaves=12).filter(lambda x: type(x) is dict))
def test_whatever_is_given_for_a_schema_the_offline_provider_answers(schema: dict[str, Any]) -> None:
    asked = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    request = LLMRequest("offline", ASK, response_format=asked)
    found = OfflineProvider().decode(200, {}, OfflineProvider().answer(request, None))
    assert isinstance(found, Reply)
    json.loads(found.content)


def test_a_schema_without_end_comes_to_one() -> None:
    names = list("abcdefghij")
    schema = {"type": "object", "properties": {name: {"$ref": "#"} for name in names}, "required": names}
    many = {"type": "array", "minItems": 1000, "items": {"type": "array", "minItems": 1000, "items": {"type": "null"}}}
    for each in (schema, many):
        asked = {"type": "json_schema", "json_schema": {"name": "x", "schema": each}}
        answer = OfflineProvider().answer(LLMRequest("offline", ASK, response_format=asked), None)
        assert len(answer) < 10_000


def test_the_offline_provider_says_so_where_it_finds_no_value() -> None:
    class Odd(BaseModel):
        text: str

        @field_validator("text")
        @classmethod
        def never(cls, text: str) -> str:
            raise ValueError("no")

    with (
        LLMClient("offline", settings=settings_of(provider="offline")) as client,
        pytest.raises(LLMValidationError, match=r"the answer is no Odd \(text: value_error\), after 1 of 1 re-asks"),
    ):
        client.complete_structured(ASK, Odd, max_retries=1)
