"""One statement of a SQL warehouse on the embedded lakehouse: sent, and what a warehouse looks after besides.

Folders of schemas, tables and volumes come and go with them; DML says how many rows it changed; USE, SET and temporary views
belong to the session. Tables that another process made in the same folder are found when they are first missed.
"""

import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from rowcall.core.names import table_parts
from rowcall.core.sql import identifier
from rowcall.sandbox.databricks_sql.lakehouse_sql import LakehouseSql, error_text
from rowcall.sandbox.lakehouse import Lakehouse
from rowcall.sandbox.warehouse.catalog_lookups import SYSTEM, CatalogLookups
from rowcall.sandbox.warehouse.sql_errors import SqlFailedError, failure_of
from rowcall.sandbox.warehouse.sql_statements import DEFAULT, Head, Scope, head_of
from rowcall.sandbox.warehouse.statement_results import (
    CHANGES,
    Ran,
    changed,
    commits,
    created,
    described,
    inserted,
    nothing,
    settings,
)

if TYPE_CHECKING:
    import pyarrow as pa

_EXISTS = "TABLE_OR_VIEW_ALREADY_EXISTS"
_MISSING = ("TABLE_OR_VIEW_NOT_FOUND", "SCHEMA_NOT_FOUND")


def prepare(house: Lakehouse) -> None:
    """Settle what Sail has otherwise than a SQL warehouse: tables are Delta, the schemas `default` have folders too."""
    house.spark.conf.set("spark.sql.sources.default", "delta")
    house.spark.conf.set("spark.sql.session.timeZone", "UTC")
    for row in house.spark.sql("SHOW CATALOGS").collect():
        if row[0] != SYSTEM:
            name = f"{identifier(row[0])}.{identifier(DEFAULT[1])}"
            house.spark.sql(f"DROP SCHEMA IF EXISTS {name} CASCADE")
            house.spark.sql(house.create_schema(name))
    house.register()


class StatementRunner:
    """Runs statements, from several threads at once. Raises `SqlFailedError`."""

    def __init__(self, house: Lakehouse, sql: LakehouseSql, volumes: Path) -> None:
        self._house = house
        self._sql = sql
        self._volumes = volumes
        self._lookups = CatalogLookups(self._rows, house.spark)
        self._special: Mapping[tuple[str, str], Callable[[str, Head, Scope], Ran]] = {
            ("CREATE", "SCHEMA"): self._create_schema,
            ("DROP", "SCHEMA"): self._drop_schema,
            ("CREATE", "TABLE"): self._create_table,
            ("DROP", "TABLE"): self._drop_table,
            ("CREATE", "VIEW"): self._create_view,
            ("DROP", "VIEW"): self._drop_view,
            ("CREATE", "VOLUME"): self._create_volume,
            ("DROP", "VOLUME"): self._drop_volume,
            ("DESCRIBE", "VOLUME"): self._describe_volume,
            ("DESC", "VOLUME"): self._describe_volume,
            ("SHOW", "SCHEMAS"): self._show,
            ("SHOW", "TABLES"): self._show,
            ("SHOW", "VIEWS"): self._show,
        }

    def run(self, statement: str, scope: Scope) -> Ran:
        head = head_of(statement)
        if head.verb == "USE":
            return self._use(head, scope)
        if head.verb in ("SET", "RESET"):
            return self._set(head, scope)
        special = self._special.get((head.verb, head.what))
        if special is not None:
            return special(statement, head, scope)
        if head.verb in CHANGES:
            return self._change(statement, head, scope)
        table = self._rows(scope.applied(statement))
        return Ran(table) if head.reads else nothing()

    def drop_views(self, scope: Scope) -> None:
        """Forget a session's temporary views."""
        while scope.views:
            self._rows(f"DROP VIEW IF EXISTS {identifier(scope.views.popitem()[1])}")

    def looked_up(self, what: str, patterns: Sequence[str | None]) -> "pa.Table":
        """The `catalogs`, `schemas`, `tables` or `columns` whose names fit the patterns, from the catalog's down."""
        self._house.register()
        looks: Mapping[str, Callable[..., pa.Table]] = {
            "catalogs": self._lookups.get_catalogs,
            "schemas": self._lookups.get_schemas,
            "tables": self._lookups.get_tables,
            "columns": self._lookups.get_columns,
        }
        return looks[what](*patterns)

    def _rows(self, text: str) -> "pa.Table":
        try:
            return self._sent(text)
        except SqlFailedError as failure:
            if failure.error_class not in _MISSING:
                raise
        self._house.register()
        return self._sent(text)

    def _sent(self, text: str) -> "pa.Table":
        try:
            return self._sql.sql(text).toArrow()
        except Exception as error:  # what the server says, and what pyspark cannot do with its answer
            raise failure_of(error_text(error), type(error).__name__) from error

    def _change(self, statement: str, head: Head, scope: Scope) -> Ran:
        log = self._folder(scope.full(head.name, 3)) / "_delta_log"
        before = commits(log)
        table = self._rows(scope.applied(statement))
        return inserted(table) if head.verb == "INSERT" else changed(log, before, head.verb)

    def _create_schema(self, statement: str, head: Head, scope: Scope) -> Ran:
        name = scope.full(head.name, 2)
        self._check_catalog(name)
        made = self._house.create_schema(name)
        text = head.renamed(statement, name).rstrip("; \n")
        if "LOCATION" not in text.upper():
            text += made[made.index(" LOCATION ") :]
        self._rows(text)
        return nothing()

    def _drop_schema(self, statement: str, head: Head, scope: Scope) -> Ran:
        name = scope.full(head.name, 2)
        self._house.register()
        self._rows(head.renamed(statement, name))
        shutil.rmtree(self._folder(name), ignore_errors=True)
        return nothing()

    def _create_table(self, statement: str, head: Head, scope: Scope) -> Ran:
        name = scope.full(head.name, 3)
        log = self._folder(name) / "_delta_log"
        if commits(log):
            self._house.register()
        elif not log.parent.exists():
            self._rows(f"DROP TABLE IF EXISTS {name}")  # Sail may remember one that is gone
        try:
            if head.replaces and commits(log):
                return self._replace_table(statement, head, scope)
            return created(self._rows(scope.applied(statement)))
        except SqlFailedError as failure:
            if failure.error_class == _EXISTS and head.if_not_exists:
                return nothing()
            if failure.error_class != _EXISTS and not commits(log):
                self._forget_draft(name)
            raise

    def _replace_table(self, statement: str, head: Head, scope: Scope) -> Ran:
        """Make the new table beside the old one and put it in its place: Sail replaces rows, but not columns."""
        name = scope.full(head.name, 3)
        *where, own = table_parts(name)
        beside = ".".join(identifier(part) for part in (*where, f"{own}_{uuid4().hex[:8]}"))
        try:
            ran = created(self._rows(scope.applied(head.renamed(statement, beside))))
            self._sent(f"DROP TABLE IF EXISTS {name}")
            self._house.forget(name)
            self._folder(beside).rename(self._folder(name))
            self._house.register()
            return ran
        finally:
            self._forget_draft(beside)

    def _forget_draft(self, name: str) -> None:
        """Forget a table that did not come to be: Sail keeps one whose first rows failed."""
        with suppress(SqlFailedError):
            self._sent(f"DROP TABLE IF EXISTS {name}")
        self._house.forget(name)

    def _drop_table(self, statement: str, head: Head, scope: Scope) -> Ran:
        self._rows(scope.applied(statement))
        self._house.forget(scope.full(head.name, 3))
        return nothing()

    def _create_view(self, statement: str, head: Head, scope: Scope) -> Ran:
        if not head.temporary:
            self._rows(scope.applied(statement))
            return nothing()
        name = table_parts(head.name)[-1].lower()
        own = f"{name}_{scope.key}"
        text = replace(scope, views={**scope.views, name: own}).applied(statement)
        self._rows(text)
        if own in text:
            scope.views[name] = own
        return nothing()

    def _drop_view(self, statement: str, head: Head, scope: Scope) -> Ran:
        self._rows(scope.applied(statement))
        scope.views.pop(table_parts(head.name)[-1].lower(), None)
        return nothing()

    def _create_volume(self, _: str, head: Head, scope: Scope) -> Ran:
        self._volume(head, scope).mkdir(parents=True, exist_ok=True)
        return nothing()

    def _drop_volume(self, _: str, head: Head, scope: Scope) -> Ran:
        shutil.rmtree(self._volume(head, scope), ignore_errors=True)
        return nothing()

    def _describe_volume(self, _: str, head: Head, scope: Scope) -> Ran:
        parts = table_parts(scope.full(head.name, 3))
        if not self._volume(head, scope).is_dir():
            raise SqlFailedError("VOLUME_DOES_NOT_EXIST", "42704", f"Volume {'.'.join(parts)} does not exist.")
        return described(parts)

    def _show(self, statement: str, head: Head, scope: Scope) -> Ran:
        self._house.register()
        text = statement.rstrip("; \n")
        if len(text.split()) == 2:
            where = f"{identifier(scope.catalog)}.{identifier(scope.schema)}"
            text += f" IN {identifier(scope.catalog) if head.what == 'SCHEMAS' else where}"
        return Ran(self._lookups.shown(head.what, self._rows(text), scope.views))

    def _use(self, head: Head, scope: Scope) -> Ran:
        parts = table_parts(head.name)
        if head.what == "CATALOG":
            self._check_catalog(identifier(parts[0]))
            scope.catalog, scope.schema = parts[0], DEFAULT[1]
            return nothing()
        name = scope.full(head.name, 2)
        self._rows(f"DESCRIBE SCHEMA {name}")
        scope.catalog, scope.schema = table_parts(name)
        return nothing()

    def _set(self, head: Head, scope: Scope) -> Ran:
        """SET and RESET: kept with the session, in upper case; most mean nothing here."""
        key, value = head.name.upper(), head.value.strip().strip("'\"")
        if head.verb == "RESET":
            for name in [key] if key else list(scope.configuration):
                scope.configuration.pop(name, None)
        elif value:
            scope.configuration[key] = value
        return settings({name: text for name, text in scope.configuration.items() if key in ("", name)})

    def _check_catalog(self, name: str) -> None:
        catalog = table_parts(name)[0]
        if catalog not in self._lookups.catalogs():
            raise SqlFailedError("NO_SUCH_CATALOG_EXCEPTION", "42704", f"Catalog '{catalog}' was not found.")

    def _folder(self, name: str) -> Path:
        return self._house.folder.joinpath(*table_parts(name))

    def _volume(self, head: Head, scope: Scope) -> Path:
        parts = table_parts(scope.full(head.name, 3))
        if any(part in (".", "..") or "/" in part for part in parts):
            raise SqlFailedError("INVALID_PARAMETER_VALUE", "22023", f"{head.name} is not the name of a volume.")
        return self._volumes.joinpath(*parts)
