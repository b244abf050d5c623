"""The JSON Schema of a job definition: for editors as `jobs/schema.json`, and for what messages expect.

A `Shape` is what may stand at one place: the branches of a union, references followed, null left out.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, cast

from rowcall.core.definition import JobDefinition

Schema = dict[str, Any]

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_FILLED_LATER: Schema = {"type": "string", "pattern": r"\$\{"}
# Short forms that validators accept before the schema's own type is looked at.
_SHORT_FORMS: dict[tuple[str, str], Schema] = {
    ("Prompts", "key"): {"type": "string"},
    ("Request", "messages"): {"type": "string", "pattern": r"^\{.+\}$"},
    ("Limits", "max_cost"): {"type": "string", "pattern": r"^[0-9.]+ ?[A-Z]{3}$", "examples": ["20 USD"]},
    ("", "engine"): {"type": "string", "enum": ["auto", "responses", "ai_query"]},
    ("", "compute"): {"type": "string", "enum": ["serverless"]},
    ("Trigger", "tables"): {"type": "string"},
    ("Notifications", "on_start"): {"type": "string"},
    ("Notifications", "on_success"): {"type": "string"},
    ("Notifications", "on_failure"): {"type": "string"},
    ("Notifications", "on_late"): {"type": "string"},
}
# What a pattern asks for, in words; editors show it too.
_PATTERN_WORDS = {
    r"^\{.+\}$": "a column in braces, such as {photo} or {history}",
    r"^[A-Za-z][A-Za-z0-9_-]{0,62}$": "a name: a letter, then letters, digits, _ or -, at most 63 in all",
    r"^[A-Za-z][A-Za-z0-9_.-]{0,62}$": "a name: a letter, then letters, digits, _ . or -, at most 63 in all",
    r"^[A-Z]{3}$": "a currency such as USD",
    r"^https?://[^\s]+$": "a URL that starts with http:// or https://",
    r"^(env:[A-Za-z_][A-Za-z0-9_]*|\{\{secrets/[A-Za-z0-9_.@-]+/[A-Za-z0-9_.@-]+\}\})$": (
        "env: and the name of an environment variable, or {{secrets/scope/key}}, never the key itself"
    ),
    r"^[A-Za-z][A-Za-z0-9_.-]{0,254}$": "a name: a letter, then letters, digits, _ . or -, at most 255 in all",
    r"^\S+( \S+){5,6}$": "a Quartz expression of six or seven fields, seconds first, such as 0 0 6 * * ?",
    r"^[1-9][0-9]* (minute|hour|day|week)s?$": "a number of minutes, hours, days or weeks, such as 6 hours",
    r"^(/Volumes/|[a-z0-9]+://).+/$": "a folder of a volume, or a URL of an external location, with a / at its end",
    r"^[1-9][0-9]*$": "a whole number in quotes",
    r"^\S(.*\S)?$": "a text without blanks at its ends",
    r"^[0-9.hms ]+$": "a duration such as 90s, 10m or 2h",
    r"^[1-9][0-9]{0,4} ?d$": "a number of days such as 90d",
    r"^[0-9.]+ ?%$": "a share such as 5%",
    r"^[0-9.]+ ?[A-Z]{3}$": "an amount and a currency, such as 20 USD",
}
_TYPE_WORDS = {
    "string": "a text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
}


def job_schema() -> str:
    """The JSON Schema of a definition as text. Any value may also be a text with a `${variable}` in it."""
    schema = _with_variables(_schema())
    one = {"oneOf": [{"required": ["endpoint"]}, {"required": ["endpoints"]}]}
    required = {"required": [name for name in schema["required"] if name != "endpoint"]}
    return json.dumps({"$schema": _DIALECT, **schema, **required, **one}, indent=2, ensure_ascii=False) + "\n"


@cache
def _schema() -> Schema:
    schema = JobDefinition.model_json_schema(by_alias=True)
    for (model, name), short in _SHORT_FORMS.items():
        field: Schema = (schema["$defs"][model] if model else schema)["properties"][name]
        inner = {key: field.pop(key) for key in ("type", "items", "minItems", "$ref") if key in field}
        field.pop("discriminator", None)
        field["anyOf"] = [short, *field.pop("oneOf", field.get("anyOf", [inner]))]
    schema["properties"]["endpoints"] = _several(schema["properties"]["endpoint"])
    return cast("Schema", _with_words(schema))


def _several(endpoint: Schema) -> Schema:
    """The key that `job_file.several` makes one definition for each endpoint of."""
    return {
        "type": "object",
        "additionalProperties": endpoint,
        "minProperties": 1,
        "description": "Endpoints by name instead of endpoint: all are asked, and the outputs have the name in a key column.",
    }


def _with_words(node: object) -> object:
    if isinstance(node, list):
        return [_with_words(item) for item in cast("list[object]", node)]
    if not isinstance(node, dict):
        return node
    known = {key: _with_words(item) for key, item in cast("Schema", node).items()}
    words = _PATTERN_WORDS.get(str(known.get("pattern")))
    return {**known, "patternErrorMessage": f"expected {words}"} if words else known


def _with_variables(schema: Schema) -> Schema:
    """The schema with one more branch, a text with `${`, wherever a scalar but not any text is asked for."""
    walked: Schema = {}
    for key, item in schema.items():
        if key in ("properties", "$defs"):
            walked[key] = {name: _with_variables(inner) for name, inner in item.items()}
        elif key in ("items", "additionalProperties") and isinstance(item, dict):
            walked[key] = _with_variables(cast("Schema", item))
        else:
            walked[key] = item
    branches = list(_flat(schema))
    if not any(map(_is_strict_scalar, branches)) or any(map(_is_free_text, branches)):
        return walked
    if "anyOf" in walked:
        walked["anyOf"] = [*walked["anyOf"], _FILLED_LATER]
        return walked
    outer = {key: walked.pop(key) for key in ("title", "description", "default", "examples") if key in walked}
    return {**outer, "anyOf": [walked, _FILLED_LATER]}


def _flat(schema: Schema) -> Iterator[Schema]:
    """The branches of a union, nested ones too, without references followed."""
    inner: list[Schema] = schema.get("anyOf") or schema.get("oneOf") or []
    if not inner:
        yield schema
    for branch in inner:
        yield from _flat(branch)


def _is_free_text(branch: Schema) -> bool:
    return branch.get("type") == "string" and not branch.keys() & {"enum", "const", "pattern"}


def _is_strict_scalar(branch: Schema) -> bool:
    return branch.get("type") in ("integer", "number", "boolean", "string") and not _is_free_text(branch)


@dataclass(frozen=True, slots=True)
class Shape:
    """What may stand at one place."""

    branches: tuple[Schema, ...]
    description: str = ""

    @property
    def objects(self) -> tuple[Schema, ...]:
        return tuple(branch for branch in self.branches if branch.get("type") == "object")

    def takes_text(self, text: str) -> bool:
        """Whether this text may stand here, rather than a number, a list or one of some words."""
        kinds = {branch.get("type") for branch in self.branches}
        patterns = [branch.get("pattern", "") for branch in self.branches if not branch.keys() & {"enum", "const"}]
        return kinds == {"string"} and any(re.search(pattern, text) for pattern in patterns)

    @property
    def is_bounded(self) -> bool:
        return any(branch.keys() & {"minimum", "maximum", "exclusiveMinimum"} for branch in self.branches)

    def names(self, value: Mapping[str, object]) -> dict[str, Schema] | None:
        """The keys that may stand in this mapping; None where any may."""
        fitting = [branch for branch in self.objects if _fits(branch, value)] or list(self.objects)
        if not fitting or any(branch.get("additionalProperties") is not False for branch in fitting):
            return None
        return {name: schema for branch in fitting for name, schema in branch.get("properties", {}).items()}

    def at(self, part: str | int) -> "Shape":
        """What may stand under a key or an index; an empty shape where that is anything."""
        found: list[Schema] = []
        for branch in self.branches:
            inner = branch.get("properties", {}).get(part) if isinstance(part, str) else branch.get("items")
            inner = branch.get("additionalProperties") if inner is None and isinstance(part, str) else inner
            if isinstance(inner, dict):
                found.append(cast("Schema", inner))
        return shape_of(*found)

    def is_label(self, part: str | int) -> bool:
        """Whether `part` of the place of an error is Pydantic's name for a branch rather than a key."""
        if isinstance(part, int) or len(self.branches) < 2:
            return False
        return len(self.objects) != 1 or part not in self.objects[0].get("properties", {})

    def choices(self) -> list[str]:
        """The words that may stand here."""
        values = [value for branch in self.branches for value in branch.get("enum", [branch.get("const")])]
        return [value for value in values if isinstance(value, str)]

    def expected(self) -> str:
        """What may stand here, in words."""
        words = [word for branch in self.branches for word in _words(branch)]
        if len(self.objects) > 1:
            apart = [tag for branch in self.objects for tag in tags(branch)]
            others = [word for word in words if not word.startswith("a mapping")]
            words = [*others, f"a mapping with {listed(apart)}"]
        kinds = {branch.get("type") for branch in self.branches}
        # A Decimal may be given as a text, and a float as an integer: no use to know.
        needless = {"a text"} if kinds == {"number", "string"} else set[str]()
        needless |= {"a whole number"} if "number" in kinds else set()
        return listed([word for word in dict.fromkeys(words) if word not in needless])


def tags(branch: Schema) -> list[str]:
    """What tells a mapping of this branch from those of others: `kind: responses`, or `url`."""
    properties: dict[str, Schema] = branch.get("properties", {})
    constants = [f"`{name}: {inner['const']}`" for name, inner in properties.items() if "const" in inner]
    return constants or [f"`{name}`" for name in branch.get("required", [])]


def job_shape() -> Shape:
    """The shape of the whole definition."""
    return shape_of(_schema())


def shape_of(*schemas: Schema) -> Shape:
    """The shape of alternatives, references followed."""
    branches: list[Schema] = []
    descriptions: list[str] = []
    for schema in schemas:
        descriptions.append(str(schema.get("description", "")))
        for branch in _flat(schema):
            resolved = _resolve(branch)
            descriptions.append(str(resolved.get("description", "")))
            branches += [resolved] if resolved.get("type") != "null" and resolved not in branches else []
    described = descriptions if len(branches) == 1 else descriptions[:1]
    return Shape(tuple(branches), next((text for text in described if text), ""))


def _resolve(schema: Schema) -> Schema:
    reference = schema.get("$ref")
    return _schema()["$defs"][str(reference).rsplit("/", 1)[-1]] if reference else schema


def _fits(branch: Schema, value: Mapping[str, object]) -> bool:
    """Whether a mapping looks meant for this branch: its required keys are there, its constants agree."""
    properties: dict[str, Schema] = branch.get("properties", {})
    constants = {name: inner["const"] for name, inner in properties.items() if "const" in inner}
    agrees = all(value.get(name, properties[name].get("default")) == const for name, const in constants.items())
    return agrees and all(name in value for name in branch.get("required", []))


def _words(branch: Schema) -> Iterator[str]:
    kind = str(branch.get("type"))
    if "enum" in branch or "const" in branch:
        yield from (f"`{value}`" for value in branch.get("enum", [branch.get("const")]))
    elif "pattern" in branch:
        yield _PATTERN_WORDS.get(branch["pattern"], f"a text like {branch['pattern']}")
    elif kind == "object":
        required = [f"`{name}`" for name in branch.get("required", [])]
        yield f"a mapping with {listed(required, 'and')}" if required else "a mapping"
    elif kind in _TYPE_WORDS:
        yield _TYPE_WORDS[kind] + _range(branch)


def _range(branch: Schema) -> str:
    low, high = branch.get("minimum"), branch.get("maximum")
    if low is not None and high is not None:
        return f" from {low:g} to {high:g}"
    if branch.get("exclusiveMinimum") is not None:
        return f" above {branch['exclusiveMinimum']:g}"
    return f" of at least {low:g}" if low is not None else f" of at most {high:g}" if high is not None else ""


def listed(words: list[str], last: str = "or") -> str:
    """`a, b or c`"""
    *most, final = words or ["a value"]
    return f"{', '.join(most)} {last} {final}" if most else final
