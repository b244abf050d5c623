"""What a statement does and to what, by its first words; and names in it as its session means them.

A SQL warehouse's session has a catalog, a schema and temporary views of its own (FACTS 5.1). Sail's session is shared by all of
them, so names without a catalog or schema are completed, and temporary views are given names that only their session uses.
Text is changed only where such a name stands.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

_PART = r"(?:`(?:[^`]|``)+`|[\w-]+)"
_NAME = rf"(?P<name>{_PART}(?:\s*\.\s*{_PART}){{0,2}})"
_SKIPPED = r"(?:\s|--[^\n]*(?:\n|$)|/\*.*?\*/)*+"
_FORMS = (
    rf"(?P<verb>CREATE)(?P<replace>\s+OR\s+REPLACE)?(?P<temporary>(?:\s+GLOBAL)?\s+TEMP(?:ORARY)?)?(?:\s+EXTERNAL)?"
    rf"\s+(?P<what>TABLE|VIEW|SCHEMA|DATABASE|VOLUME)(?P<guard>\s+IF\s+NOT\s+EXISTS)?\s+{_NAME}",
    rf"(?P<verb>DROP)\s+(?P<what>TABLE|VIEW|SCHEMA|DATABASE|VOLUME)(?:\s+IF\s+EXISTS)?\s+{_NAME}",
    rf"(?P<verb>INSERT)\s+(?:INTO|OVERWRITE)(?:\s+TABLE)?\s+{_NAME}",
    rf"(?P<verb>UPDATE)\s+{_NAME}",
    rf"(?P<verb>DELETE)\s+FROM\s+{_NAME}",
    rf"(?P<verb>MERGE)(?:\s+WITH\s+SCHEMA\s+EVOLUTION)?\s+INTO\s+{_NAME}",
    rf"(?P<verb>USE)(?:\s+(?P<what>CATALOG|SCHEMA|DATABASE|NAMESPACE))?\s+{_NAME}\s*;?\s*$",
    r"(?P<verb>SHOW)\s+(?P<what>SCHEMAS|DATABASES|TABLES|VIEWS)\b",
    r"(?P<verb>SET)(?:\s+(?P<name>[\w.]+)(?:\s*=\s*(?P<value>.+?))?)?\s*;?\s*$",
    r"(?P<verb>RESET)(?:\s+(?P<name>[\w.]+))?\s*;?\s*$",
    rf"(?P<verb>DESC(?:RIBE)?)\s+(?P<what>VOLUME)\s+{_NAME}",
    r"(?P<verb>SELECT|WITH|VALUES|FROM|TABLE|DESC|DESCRIBE|SHOW|EXPLAIN|\()",
)
_HEADS = tuple(re.compile(_SKIPPED + form, re.IGNORECASE | re.DOTALL) for form in _FORMS)
_FORMATS = frozenset(("parquet", "delta", "json", "csv", "text", "orc", "avro", "binaryfile"))
_DESCRIBE = re.compile(rf"{_SKIPPED}(?:DESCRIBE|DESC)\s+(?:QUERY\s+)?(?=SELECT\b|WITH\b|VALUES\b|FROM\b)", re.I | re.S)
DEFAULT = ("main", "default")


@dataclass(frozen=True, slots=True)
class Head:
    """The start of a statement. `verb` and `what` are in upper case; `name` is as written, `start` where it stands."""

    verb: str = ""
    what: str = ""
    name: str = ""
    value: str = ""
    start: int = 0
    temporary: bool = False
    replaces: bool = False
    if_not_exists: bool = False

    def renamed(self, statement: str, name: str) -> str:
        """The statement about another thing."""
        return statement[: self.start] + name + statement[self.start + len(self.name) :]

    @property
    def reads(self) -> bool:
        """Whether it returns rows and changes nothing."""
        return self.verb in ("SELECT", "WITH", "VALUES", "FROM", "TABLE", "DESC", "DESCRIBE", "SHOW", "EXPLAIN", "(")


def head_of(statement: str) -> Head:
    """The head of a statement; an empty one for what is not known."""
    found = next((found for head in _HEADS if (found := head.match(statement))), None)
    if found is None:
        return Head()
    groups = {key: text or "" for key, text in found.groupdict().items()}
    what = groups.get("what", "").upper()
    return Head(
        groups["verb"].upper(),
        {"DATABASE": "SCHEMA", "NAMESPACE": "SCHEMA", "DATABASES": "SCHEMAS"}.get(what, what),
        groups.get("name", ""),
        groups.get("value", ""),
        found.start("name") if groups.get("name") else 0,
        bool(groups.get("temporary")),
        bool(groups.get("replace")),
        bool(groups.get("guard")),
    )


@dataclass(slots=True)
class Scope:
    """What names mean in one session, `key` being its own. `views` are its temporary views, in lower case, with the names that
    Sail knows them by."""

    key: str
    catalog: str = DEFAULT[0]
    schema: str = DEFAULT[1]
    configuration: dict[str, str] = field(default_factory=dict[str, str])
    views: dict[str, str] = field(default_factory=dict[str, str])

    def full(self, name: str, count: int) -> str:
        """A written name with its catalog and schema, quoted. `count` is 2 for a schema's, 3 for another's."""
        given = [part[1:-1].replace("``", "`") if part[0] == "`" else part for part in re.findall(_PART, name)]
        where = (self.catalog, self.schema)[: count - len(given)]
        return ".".join(_quoted(part) for part in (*where, *given))

    def applied(self, statement: str) -> str:
        """The statement with the names that the session means by it. One that cannot be parsed stays as it is."""
        if (self.catalog, self.schema) == DEFAULT and not self.views:
            return statement
        described = _DESCRIBE.match(statement)
        start = described.end() if described else 0
        parts: list[str] = []
        place = 0
        for first, last, text in sorted(_changes(statement[start:], self)):
            parts += [statement[place : start + first], text]
            place = start + last
        return "".join([*parts, statement[place:]])


def _changes(sql: str, scope: Scope) -> Iterator[tuple[int, int, str]]:
    from sqlglot import exp, parse_one
    from sqlglot.errors import SqlglotError

    try:
        tree: Any = parse_one(sql, read="databricks")
    except SqlglotError:
        return
    if isinstance(tree, exp.Use | exp.Command | exp.Set):
        return
    for table in tree.find_all(exp.Table):
        change = _change(table, scope)
        if change is not None:
            yield change


def _change(table: Any, scope: Scope) -> tuple[int, int, str] | None:
    """Where a name of a table stands and what comes there; None where it stays."""
    from sqlglot import exp

    if not isinstance(table.this, exp.Identifier) or table.catalog or table.db.lower() in _FORMATS:
        return None
    first = table.args["db"] if table.db else table.this
    start, end = first.meta.get("start"), table.this.meta.get("end")
    if start is None or end is None:
        return None
    name = table.name.lower()
    if not table.db and _names_subquery(table):
        return None
    if not table.db and name in scope.views:
        alias = f" AS {_quoted(table.name)}" if _wants_alias(table) else ""
        return start, end + 1, _quoted(scope.views[name]) + alias
    prefix = [scope.catalog] if table.db else [scope.catalog, scope.schema]
    return start, start, "".join(f"{_quoted(part)}." for part in prefix)


def _names_subquery(table: Any) -> bool:
    """Whether the name is one that a WITH around it gives: a subquery sees those before it."""
    node, inside = table, None
    while (node := node.parent) is not None:
        if node.key == "cte":
            inside = node
        listed: Any = node.args.get("with_") or node.args.get("with")
        for query in listed.expressions if listed is not None else ():
            if query is inside:
                break
            if query.alias.lower() == table.name.lower():
                return True
    return False


def _wants_alias(table: Any) -> bool:
    """Whether columns may be named after the table: it is read, under its own name."""
    from sqlglot import exp

    read = isinstance(table.parent, exp.From | exp.Join) or table.arg_key == "using"
    return read and not table.alias


def _quoted(name: str) -> str:
    escaped = name.replace("`", "``")
    return f"`{escaped}`"
