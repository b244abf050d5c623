"""Which engine asks, and why: the table behind `engine: auto`, and what each engine cannot do whatever the job says.

The rules are read from top to bottom; the first that holds decides. Its words are what `rowcall plan` says.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from rowcall.core.definition import AppEndpoint, JobDefinition, ServingEndpoint, UrlEndpoint
from rowcall.core.template import varies

EngineKind = Literal["responses", "ai_query"]
CUT_INTO_SHARDS = "how much ai_query asks at once is the platform's to decide: its runs are not cut into shards"
MANY_ROWS = 500
"""From here on a model's rows are worth a statement: it takes seconds to start, and then the platform asks many at once."""


@dataclass(frozen=True, slots=True)
class Situation:
    """What the choice depends on. `session` is what runs the SQL, for people; `knows_ai_query` whether its SQL has the function;
    `refusal` why it was refused when it was tried, empty if it was not; `rows` is None before they are counted; `cut` whether the
    run is cut into shards."""

    definition: JobDefinition
    task: str
    session: str
    knows_ai_query: bool
    refusal: str = ""
    rows: int | None = None
    cut: bool = False


@dataclass(frozen=True, slots=True)
class Choice:
    kind: EngineKind
    reason: str


Rule = tuple[Callable[[Situation], bool], str]


def _parameters_vary(situation: Situation) -> bool:
    return varies(situation.definition.request.parameters)


def _over_the_gateway(situation: Situation) -> bool:
    endpoint = situation.definition.endpoint
    return isinstance(endpoint, ServingEndpoint) and endpoint.gateway is not None


NO_AI_QUERY: tuple[Rule, ...] = (
    (lambda s: s.cut, CUT_INTO_SHARDS),
    (lambda s: isinstance(s.definition.endpoint, AppEndpoint), "ai_query does not reach apps"),
    (lambda s: isinstance(s.definition.endpoint, UrlEndpoint), "ai_query reaches endpoints of its own workspace only"),
    (_over_the_gateway, "ai_query does not go through the paths of the AI gateway"),
    (lambda s: not s.knows_ai_query, "{session} does not know ai_query"),
    (
        lambda s: bool(s.definition.request.databricks_options),
        "ai_query brings no traces and passes no databricks_options on",
    ),
    (lambda s: s.definition.endpoint.stream, "ai_query does not stream"),
    (
        lambda s: s.definition.limits.max_cost is not None,
        "ai_query does not tell the tokens that limits.max_cost needs",
    ),
    (
        lambda s: s.definition.limits.max_tokens is not None,
        "ai_query does not tell the tokens that limits.max_tokens needs",
    ),
    (lambda s: bool(s.refusal), "{session} refuses the call: {refusal}"),
)
"""Where `ai_query` cannot be used."""

NO_RESPONSES: tuple[Rule, ...] = ((lambda s: s.definition.request.files is not None, "files are sent with ai_query"),)
"""Where HTTP calls cannot be used."""

PREFERRED: tuple[tuple[Callable[[Situation], bool], EngineKind, str], ...] = (
    (
        lambda s: s.definition.endpoint.price is not None,
        "responses",
        "endpoint.price is set, and HTTP replies tell the tokens",
    ),
    (
        lambda s: s.definition.request.inputs is not None,
        "ai_query",
        "a custom model's rows are best asked inside the platform",
    ),
    (
        lambda s: s.task.startswith("agent/"),
        "responses",
        "its task is {task}: HTTP replies tell tokens and bring traces",
    ),
    (_parameters_vary, "responses", "its parameters differ from row to row"),
    (
        lambda s: s.task.startswith("llm/") and (s.rows or 0) >= MANY_ROWS,
        "ai_query",
        "its task is {task}, and {rows:,} rows are best asked inside the platform",
    ),
    (
        lambda s: s.task.startswith("llm/"),
        "responses",
        "its task is {task}; for fewer than {many} rows HTTP replies are quicker, and tell the tokens",
    ),
    (lambda _: True, "responses", "it reaches every endpoint and brings usage and traces"),
)
"""Where both can be used."""


def obstacle(situation: Situation, kind: EngineKind) -> str | None:
    """Why an engine cannot be used, or None where it can."""
    rules = NO_AI_QUERY if kind == "ai_query" else NO_RESPONSES
    return next((_said(words, situation) for holds, words in rules if holds(situation)), None)


def choose(situation: Situation) -> Choice:
    """The engine that the job names, or the one that fits; whether it can be used is `obstacle`'s to say."""
    named = situation.definition.engine.kind
    if named != "auto":
        return Choice(named, "as the job says")
    if reason := obstacle(situation, "responses"):
        return Choice("ai_query", reason)
    if reason := obstacle(situation, "ai_query"):
        return Choice("responses", reason)
    return next(Choice(kind, _said(words, situation)) for holds, kind, words in PREFERRED if holds(situation))


def worth_probing(situation: Situation) -> bool:
    """Whether the choice may come to be `ai_query`, however many rows there are."""
    if obstacle(situation, "ai_query") is not None:
        return False
    return choose(replace(situation, rows=MANY_ROWS)).kind == "ai_query"


def _said(words: str, situation: Situation) -> str:
    return words.format(
        session=situation.session,
        refusal=situation.refusal,
        task=situation.task,
        rows=situation.rows or 0,
        many=MANY_ROWS,
    )
