"""A type of the user's as a JSON schema that models are held to, and a model's answer as a value of that type.

Providers hold a model to a part of JSON Schema only, each to another one. What a provider's part has no word for moves
into the description, where the model can still read it; the answer is checked against all of it in any case.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, cast

from llmcore.errors import LLMValidationError, Problem

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError

__all__ = ["Form", "Misfit", "form_of"]

T = TypeVar("T")

_SHAPE: Final = ("type", "properties", "required", "additionalProperties", "items", "enum", "anyOf", "$ref", "$defs")
_FORMATS: Final = frozenset({"date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"})
#: What each provider's part of JSON Schema has beside the shape.
_KNOWN: Final = {
    "openai": frozenset(
        {
            *_SHAPE,
            *("description", "pattern", "format", "multipleOf", "minItems", "maxItems"),
            *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"),
        }
    ),
    "anthropic": frozenset({*_SHAPE, "description", "format"}),
}
#: Said by the shape already, or of no use to a model.
_SILENT: Final = frozenset({"title", "default", "examples", "discriminator", "deprecated", "const", "oneOf", "allOf"})
_MOST_PROBLEMS: Final = 50
_FENCED: Final = re.compile(r"```(?:json)?\s*(.*?)\s*```", re.DOTALL)


class Misfit(Exception):
    """An answer that is no value of the type.

    :ivar problems: what is wrong with it, where
    :ivar told: the same for the model that wrote it, in words that may repeat the answer
    """

    def __init__(self, problems: list[Problem], told: str) -> None:
        super().__init__(f"{len(problems)} problems")
        self.problems = problems
        self.told = told


class _Loose(Exception):
    """The type allows what no strict schema can say."""


@dataclass(frozen=True)
class Form(Generic[T]):
    """A type, its schema, and the way back from an answer.

    :ivar name: fit to be the name of a schema or a tool
    :ivar schema: all that pydantic says of it; an object, as every provider wants one
    :ivar model: what reads answers
    :ivar wrapped: the type is no model, or none that is an object: it is the property "value" of `model`
    """

    name: str
    schema: dict[str, Any]
    model: "type[BaseModel]"
    wrapped: bool
    #: every name that may stand in the path of a problem without telling anything of the answer
    names: frozenset[str]
    _strict: dict[str, dict[str, Any] | None] = field(default_factory=dict, repr=False, compare=False)

    def strict(self, dialect: str) -> dict[str, Any] | None:
        """The schema in the part of JSON Schema that a provider holds its models to; None: it cannot be said there.

        :param dialect: "openai", "anthropic" or "all"
        """
        if dialect not in self._strict:
            try:
                self._strict[dialect] = _Strict(self.schema, dialect).whole()
            except _Loose:
                self._strict[dialect] = None
        return self._strict[dialect]

    def decode(self, answer: str) -> T:
        """The value that an answer is.

        :raises Misfit: it is none
        """
        from pydantic import ValidationError

        text = answer
        if answer[:1] not in ("{", "[") and (fenced := _FENCED.search(answer)):
            text = fenced.group(1)
        try:
            value: Any = self.model.model_validate_json(text)
        except ValidationError as error:
            misfit = self._misfit(error)
        else:
            return cast("T", value.value if self.wrapped else value)
        raise misfit

    def _misfit(self, error: "ValidationError") -> Misfit:
        found = error.errors(include_url=False, include_context=False, include_input=False)[:_MOST_PROBLEMS]
        problems = [Problem(self._place(each["loc"]), each["type"]) for each in found]
        told = [f"- {'.'.join(map(str, each['loc'])) or 'the whole answer'}: {each['msg']}" for each in found]
        return Misfit(problems, "\n".join(told))

    def _place(self, path: tuple[int | str, ...]) -> str:
        """Keys that the model made up are left out: they are a part of its answer."""
        return ".".join(str(step) if isinstance(step, int) or step in self.names else "*" for step in path)


def form_of(response_model: "type[T] | Any") -> Form[T]:
    """What a type asks of an answer. Kept for types that were used before.

    :param response_model: a pydantic model, a dataclass, a TypedDict, or anything else that pydantic has a schema for
    :raises LLMValidationError: pydantic has none
    """
    kind: Any = response_model
    try:
        return _form_of(kind)
    except TypeError:  # it cannot be hashed, or is no type at all
        return _made(kind)


def _made(response_model: Any) -> Form[Any]:
    from pydantic import BaseModel, PydanticSchemaGenerationError, PydanticUserError, create_model
    from pydantic.errors import PydanticInvalidForJsonSchema

    # The last two where what is no type looks like a part of pydantic's own schemas, or like a name.
    refused = (
        *(PydanticSchemaGenerationError, PydanticInvalidForJsonSchema, PydanticUserError, NameError),
        *(KeyError, UnicodeError),
    )
    name = re.sub(r"[^A-Za-z0-9_-]+", "_", getattr(response_model, "__name__", "answer")).strip("_")[:64] or "answer"
    try:
        model, schema, wrapped = response_model, {}, True
        if isinstance(response_model, type) and issubclass(response_model, BaseModel):
            schema = _rooted(response_model.model_json_schema())
            wrapped = schema.get("type") != "object" or "properties" not in schema
        if wrapped:
            model = create_model(name, value=(response_model, ...))
            schema = _rooted(model.model_json_schema())
    except refused as error:
        problem = getattr(error, "code", None) or type(error).__name__  # its words may repeat a value
    else:
        return Form(name, schema, model, wrapped, frozenset(_names(schema)))
    raise LLMValidationError(
        f"response_model {name} has no JSON schema ({problem}): give a pydantic model, a dataclass, or a TypedDict "
        "(of typing_extensions, before Python 3.12)"
    )


_form_of = lru_cache(maxsize=512)(_made)


def _rooted(schema: dict[str, Any]) -> dict[str, Any]:
    """A type that contains itself is a reference to its own definition: here is that definition instead."""
    at = schema.get("$ref")
    if not isinstance(at, str):
        return schema
    return {**_definition(schema, at), "$defs": schema["$defs"]}


def _definition(root: dict[str, Any], reference: str) -> dict[str, Any]:
    found: Any = root
    for step in reference.removeprefix("#/").split("/"):
        found = found[step.replace("~1", "/").replace("~0", "~")]
    return cast("dict[str, Any]", found)


def _names(schema: Any) -> Iterator[str]:
    """Of properties and definitions, at every depth."""
    if isinstance(schema, dict):
        for key, part in schema.items():
            if key in ("properties", "$defs") and isinstance(part, dict):
                yield from part
            yield from _names(part)
    elif isinstance(schema, list):
        for part in schema:
            yield from _names(part)


# --- the part of JSON Schema that a provider knows --------------------------------------------------------------------


class _Strict:
    """Makes one schema strict: no object has other properties than those named, and each of them is there."""

    def __init__(self, root: dict[str, Any], dialect: str) -> None:
        self._root = root
        self._known = _KNOWN.get(dialect)
        self._may_recur = dialect != "anthropic"
        self._inside: list[str] = []

    def whole(self) -> dict[str, Any]:
        """:raises _Loose: that is impossible"""
        if not self._may_recur:
            for name, definition in self._root.get("$defs", {}).items():
                self._expect_finite(definition, {f"#/$defs/{name}"})
        return self._node(self._root)

    def _node(self, schema: Any) -> dict[str, Any]:
        if not isinstance(schema, dict):
            raise _Loose  # true: anything at all
        if self._known is None:
            return _full(schema)
        at = schema.get("$ref")
        if at is not None:
            more = {key: value for key, value in schema.items() if key not in ("$ref", "$defs")}
            if at in self._inside or not more.keys() - _SILENT:
                return {"$ref": at}
            # A reference stands alone there: what says more about it needs a copy of what it refers to.
            self._inside.append(at)
            try:
                return self._node({**_definition(self._root, at), **more})
            finally:
                self._inside.pop()
        schema = _merged(schema)
        kind = schema.get("type")
        if "const" in schema:
            schema["enum"] = [schema["const"]]
        if kind is None and not schema.keys() & {"anyOf", "enum"}:
            raise _Loose
        if kind == "array" and ("prefixItems" in schema or "items" not in schema):
            raise _Loose
        if kind == "object" and "properties" not in schema and schema.get("additionalProperties", True) is not False:
            raise _Loose
        made: dict[str, Any] = {}
        asides: list[str] = []
        for key, value in schema.items():
            if key in ("properties", "$defs"):
                made[key] = {name: self._node(part) for name, part in value.items()}
            elif key == "items":
                made[key] = self._node(value)
            elif key == "anyOf":
                made[key] = [self._node(part) for part in value]
            elif key in self._known and (key != "format" or value in _FORMATS):
                made[key] = value
            elif key not in _SILENT:
                asides.append(f"{key}: {value}")
        if kind == "object":
            made["additionalProperties"] = False
            made.setdefault("properties", {})
            made["required"] = list(made["properties"])
        if asides:
            made["description"] = f"{made.get('description', '')} ({', '.join(asides)})".strip()
        return made

    def _expect_finite(self, schema: Any, above: set[str]) -> None:
        if isinstance(schema, list):
            for part in schema:
                self._expect_finite(part, above)
        elif isinstance(schema, dict):
            at = schema.get("$ref")
            if at in above:
                raise _Loose
            if isinstance(at, str):
                self._expect_finite(_definition(self._root, at), {*above, at})
            for part in schema.values():
                self._expect_finite(part, above)


def _merged(schema: dict[str, Any]) -> dict[str, Any]:
    """The same without oneOf, and without allOf of one."""
    made = dict(schema)
    if "oneOf" in made:
        made["anyOf"] = made.pop("oneOf")
    if "allOf" in made:
        parts = made.pop("allOf")
        if len(parts) != 1 or "$ref" in parts[0]:
            raise _Loose
        made = {**parts[0], **made}
    return made


def _full(schema: dict[str, Any]) -> dict[str, Any]:
    """For servers that know all of it: only the objects are closed, where their type leaves it open."""
    made: dict[str, Any] = {}
    for key, value in schema.items():
        if key in ("properties", "$defs"):
            made[key] = {name: _full(part) if isinstance(part, dict) else part for name, part in value.items()}
        elif isinstance(value, dict) and key not in ("default", "discriminator", "const"):
            made[key] = _full(value)
        elif isinstance(value, list) and key in ("anyOf", "oneOf", "allOf", "prefixItems"):
            made[key] = [_full(part) if isinstance(part, dict) else part for part in value]
        elif key != "title":
            made[key] = value
    if made.get("type") == "object" and "properties" in made:
        made.setdefault("additionalProperties", False)
        made["required"] = list(made["properties"])
    return made
