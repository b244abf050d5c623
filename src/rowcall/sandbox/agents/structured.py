"""A structured answer: an insight put into the shape of a JSON schema.

A field gets the value that its name asks for (`sentiment`, `keywords`, `summary`, `urgent`, …), turned into
the field's type, enum and limits. A name that says nothing gets the best value of its type: an enum the
member that fits the text, a string the summary, a number the sentiment score, a boolean whether the text is
positive.
"""

import re
from collections.abc import Callable, Mapping, Sequence

from rowcall.core.loose import mapping, sequence
from rowcall.sandbox.agents.text_insight import Insight, sentiment_label, sentiment_score

_MOST_LEVELS = 8
_OPTIONAL_LEVELS = 3
_URGENT = re.compile(
    r"(?i)\b(urgent\w*|asap|as soon as possible|immediate\w*|right away|at once|emergency|danger\w*|unsafe"
    r"|hazard\w*|allerg\w*|poison\w*|injur\w*|ill|sick|hospital|lawyer|broken glass|deadline|furious)\b"
)
_SMALL_WORDS = frozenset(["a", "and", "i", "in", "is", "it", "my", "of", "the", "to", "was", "were", "with", "you"])
_NONE_OF_THEM = ("other", "none", "unknown", "general", "misc")
_CEFR = ((90, "A1"), (80, "A2"), (65, "B1"), (50, "B2"), (30, "C1"))


def fit_schema(insight: Insight, schema: Mapping[str, object]) -> object:
    """A JSON value of the schema. Total: what a schema asks beyond the keywords known here is not seen to."""
    return _fit(insight, "", schema, schema, 0)


def _fit(insight: Insight, name: str, schema: Mapping[str, object], root: Mapping[str, object], level: int) -> object:
    schema = _resolve(schema, root)
    if "const" in schema:
        return schema["const"]
    if members := sequence(schema.get("enum")):
        return _choose(insight, name, members)
    kind = _kind(schema)
    if level > _MOST_LEVELS:
        return None
    if kind == "object":
        return {
            field: _fit(insight, field, mapping(of), root, level + 1)
            for field, of in mapping(schema.get("properties")).items()
            # A schema may hold itself; what it does not insist on ends there.
            if level < _OPTIONAL_LEVELS or field in sequence(schema.get("required"))
        }
    if kind == "array":
        return _list(insight, name, schema, root, level)
    return _scalar(insight, name, kind, schema)


def _resolve(schema: Mapping[str, object], root: Mapping[str, object]) -> Mapping[str, object]:
    """The schema meant: `$ref` followed inside the document, of alternatives the first that is not null."""
    for _ in range(_MOST_LEVELS):
        reference = schema.get("$ref")
        choices = [mapping(one) for key in ("anyOf", "oneOf", "allOf") for one in sequence(schema.get(key))]
        if isinstance(reference, str):
            schema = _follow(reference, root)
        elif choices and "type" not in schema:
            schema = next((one for one in choices if one.get("type") != "null"), choices[0])
        else:
            break
    return schema


def _follow(reference: str, root: Mapping[str, object]) -> Mapping[str, object]:
    found: object = root
    for part in reference.lstrip("#/").split("/"):
        found = mapping(found).get(part)
    return mapping(found)


def _kind(schema: Mapping[str, object]) -> str:
    kind = schema.get("type")
    if isinstance(kind, list):
        return next((str(one) for one in sequence(kind) if one != "null"), "null")
    if kind is None:
        return "object" if "properties" in schema else "string"
    return str(kind)


def _list(insight: Insight, name: str, schema: Mapping[str, object], root: Mapping[str, object], level: int) -> object:
    """Keywords for a list of texts, else one item; as many as `minItems` and `maxItems` allow."""
    items = _resolve(mapping(schema.get("items")), root)
    if _kind(items) == "string" and not {"enum", "const"} & items.keys():
        chars = _whole(items.get("maxLength"))
        values: list[object] = [keyword[:chars] for keyword in insight.keywords]
    else:
        values = [_fit(insight, name, items, root, level + 1)]
    least, most = _whole(schema.get("minItems")) or 0, _whole(schema.get("maxItems"))
    while values and len(values) < min(least, 100):
        values.append(values[-1])
    return values[:most]


def _scalar(insight: Insight, name: str, kind: str, schema: Mapping[str, object]) -> object:
    if kind == "boolean":
        return _test(insight, name)
    if kind in ("integer", "number"):
        return _number(insight, name, kind, schema)
    if kind == "null":
        return None
    return _words(insight, name)[: _whole(schema.get("maxLength"))]


def _test(insight: Insight, name: str) -> bool:
    tests: Sequence[tuple[str, Callable[[], bool]]] = (
        ("urgen|priority|escalat|alarm|emergency", lambda: _urgent(insight)),
        ("question|asks|inquiry", lambda: "?" in insight.text),
        ("negativ|complain|unhappy|angry|problem|issue|churn", lambda: insight.score <= -0.05),
        ("neutral", lambda: insight.sentiment == "neutral"),
    )
    return next((test() for names, test in tests if re.search(names, name.lower())), insight.score >= 0.05)


def _number(insight: Insight, name: str, kind: str, schema: Mapping[str, object]) -> float | int:
    """Counts and readability as they are; anything else is the sentiment, spread over the schema's range."""
    low, high = _bound(schema, "minimum"), _bound(schema, "maximum")
    measures: Sequence[tuple[str, float]] = (
        (r"word", insight.words),
        (r"sentence", insight.sentences),
        (r"char|length", len(insight.text)),
        (r"readab|reading|flesch", insight.reading_ease or 0.0),
        (r"urgen|priority", (1.0 if high is None else high) if _urgent(insight) else (low or 0.0)),
        (r"confidence|certain|strength", abs(insight.score)),
    )
    value = next((measure for names, measure in measures if re.search(names, name.lower())), None)
    if value is None:
        value = insight.score
        if low is not None and high is not None:
            value = low + (insight.score + 1) / 2 * (high - low)
        elif kind == "integer":
            value = 1 + round((insight.score + 1) * 2)
    value = round(value) if kind == "integer" else round(value, 4)
    value = value if low is None else max(value, low)
    return value if high is None else min(value, high)


def _words(insight: Insight, name: str) -> str:
    texts: Sequence[tuple[str, str]] = (
        (r"sentiment|mood|tone|polarity|feeling|emotion", insight.sentiment),
        (r"readab|reading|difficulty", insight.level),
        (r"level|cefr|grade", _cefr(insight)),
        (r"language", "English" if _english(insight) else "unknown"),
        (r"keyword|tags|phrases", ", ".join(insight.keywords)),
        (
            r"topic|theme|subject|category|tag|label|product",
            insight.keywords[0] if insight.keywords else "none",
        ),
        (r"urgen|priority", "high" if _urgent(insight) else "low"),
    )
    return next((text for names, text in texts if re.search(names, name.lower())), insight.summary)


def _choose(insight: Insight, name: str, members: Sequence[object]) -> object:
    """The member the field's own value names, else the nearest in sentiment or the most mentioned."""
    wanted = _words(insight, name).lower()
    texts = [member for member in members if isinstance(member, str) and member]
    if not texts:
        return members[0]
    if named := next((member for member in texts if wanted.startswith(member.lower())), None):
        return named
    scores = {member: sentiment_score(member.replace("_", " ")) for member in texts}
    if len({sentiment_label(score) for score in scores.values()}) > 1:
        return min(texts, key=lambda member: abs(scores[member] - insight.score))
    mentions = {member: _mentions(insight.text, member) for member in texts}
    if any(mentions.values()):
        return max(texts, key=lambda member: mentions[member])
    return next((member for member in texts if member.lower() in _NONE_OF_THEM), texts[0])


def _mentions(text: str, member: str) -> int:
    """How often the text holds a word that begins like one of the member's: `deliver` for `delivery`."""
    stems = [word[: max(4, len(word) - 2)] for word in re.findall(r"[a-z]{3,}", member.lower())]
    return sum(len(re.findall(rf"\b{stem}", text.lower())) for stem in stems)


def _urgent(insight: Insight) -> bool:
    return _URGENT.search(insight.text) is not None


def _cefr(insight: Insight) -> str:
    ease = insight.reading_ease or 0.0
    return next((level for least, level in _CEFR if ease >= least), "C2")


def _english(insight: Insight) -> bool:
    words = insight.text.lower().split()
    return sum(word in _SMALL_WORDS for word in words) >= len(words) / 12 > 0


def _bound(schema: Mapping[str, object], key: str) -> float | None:
    value = schema.get(key)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
