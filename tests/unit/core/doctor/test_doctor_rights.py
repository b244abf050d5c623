"""Which rights a run needs, and what the workspace's answers say of them."""

import pytest

from rowcall.core.doctor.checks import State
from rowcall.core.doctor.principal import Principal
from rowcall.core.doctor.rights import Held, Need, Place, Securable, grant, needs, read_held, right_found
from rowcall.core.doctor.told import Told
from rowcall.core.sql_failure import refused

OUTPUTS = Securable("table", ("main", "sales", "answers"))
PROMPTS = Securable("table", ("main", "raw", "texts"))
VOLUME = Securable("volume", ("main", "sales", "rowcall"))
PLACES = (Place(OUTPUTS, beside=True), Place(PROMPTS, written=False, made=False), Place(VOLUME))
ROBOT = Principal("11111111-2222-3333-4444-555555555555", groups=frozenset({"robots"}))
NEED = Need(OUTPUTS, ("SELECT", "MODIFY"))


def said(needed: list[Need]) -> dict[str, tuple[str, ...]]:
    return {str(need.on): need.privileges for need in needed}


def test_where_all_is_there_it_is_read_and_written() -> None:
    assert said(needs(PLACES, lambda _: True)) == {
        "catalog main": ("USE_CATALOG",),
        "schema main.sales": ("USE_SCHEMA", "CREATE_TABLE"),
        "schema main.raw": ("USE_SCHEMA",),
        "table main.sales.answers": ("SELECT", "MODIFY"),
        "table main.raw.texts": ("SELECT",),
        "volume main.sales.rowcall": ("READ_VOLUME", "WRITE_VOLUME"),
    }


def test_what_is_not_there_is_made_by_a_run_which_then_owns_it() -> None:
    there = {OUTPUTS.catalog, OUTPUTS.schema, PROMPTS.schema, PROMPTS}
    assert said(needs(PLACES, lambda one: one in there)) == {
        "catalog main": ("USE_CATALOG",),
        "schema main.sales": ("USE_SCHEMA", "CREATE_TABLE", "CREATE_VOLUME"),
        "schema main.raw": ("USE_SCHEMA",),
        "table main.raw.texts": ("SELECT",),
    }


def test_a_schema_that_is_not_there_is_made() -> None:
    there = {OUTPUTS.catalog, PROMPTS.schema, PROMPTS}
    assert said(needs(PLACES, lambda one: one in there)) == {
        "catalog main": ("USE_CATALOG", "CREATE_SCHEMA"),
        "schema main.raw": ("USE_SCHEMA",),
        "table main.raw.texts": ("SELECT",),
    }


def test_prompts_that_are_not_there_are_for_sql_to_tell() -> None:
    assert list(said(needs(PLACES[1:2], lambda _: False))) == ["catalog main", "schema main.raw"]


def page(principal: str, *privileges: object) -> Told:
    held = [{"privilege": one, "inherited_from_type": "CATALOG"} for one in privileges]
    return Told(200, {"privilege_assignments": [{"principal": principal, "privileges": held}]})


def test_grants_are_read_from_all_pages_for_oneself_ones_groups_and_all_users() -> None:
    pages = [
        page(ROBOT.name.upper(), "SELECT"),
        page("Robots", "use catalog"),
        page("account users", "BROWSE"),
        page("others", "MODIFY"),
    ]
    assert read_held(pages, ROBOT, whole=True) == Held(frozenset({"SELECT", "USE_CATALOG", "BROWSE"}), whole=True)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"privilege_assignments": None},
        {"privilege_assignments": ["x", {}, {"principal": None, "privileges": [{"privilege": "SELECT"}]}]},
        {"privilege_assignments": [{"principal": "robots", "privileges": "SELECT"}]},
    ],
)
def test_replies_of_another_shape_grant_nothing(body: dict[str, object]) -> None:
    assert read_held([Told(200, body)], ROBOT, whole=True).privileges == frozenset()


@pytest.mark.parametrize(
    ("looked", "held", "state"),
    [
        (Told(200, {"owner": ROBOT.name}), None, State.OK),
        (Told(200, {"owner": "robots"}), Held(frozenset(), whole=True), State.OK),
        (Told(200, {}), Held(frozenset({"SELECT", "MODIFY"}), whole=True), State.OK),
        (Told(200, {}), Held(frozenset({"ALL_PRIVILEGES"}), whole=True), State.OK),
        (Told(200, {}), Held(frozenset({"SELECT"}), whole=True), State.MISSING),
        (Told(200, {}), Held(frozenset({"SELECT"}), whole=False), State.UNKNOWN),
        (Told(200, {"owner": "somebody"}), None, State.UNKNOWN),
        (Told(403, {}), None, State.UNKNOWN),
        (Told(404, {}), None, State.MISSING),
    ],
)
def test_a_right_is_there_missing_or_not_to_be_known(looked: Told, held: Held | None, state: State) -> None:
    assert right_found(NEED, looked, held, ROBOT).state is state


def test_only_what_is_lacking_is_granted() -> None:
    found = right_found(NEED, Told(200, {}), Held(frozenset({"SELECT"}), whole=True), ROBOT)
    assert found.remedy == f"GRANT MODIFY ON TABLE main.sales.answers TO `{ROBOT.name}`;"


def test_odd_names_are_quoted() -> None:
    need = Need(Securable("table", ("main", "my schema", "a`b")), ("SELECT",))
    assert (
        grant(need, Principal("o`neil@x.test")) == "GRANT SELECT ON TABLE main.`my schema`.`a``b` TO `o``neil@x.test`;"
    )
    assert need.on.path == "/api/2.1/unity-catalog/tables/main.my schema.a`b"


@pytest.mark.parametrize(
    "reason",
    [
        "[INSUFFICIENT_PERMISSIONS] Insufficient privileges: User does not have SELECT on Table 'x'.",
        "PERMISSION_DENIED: User does not have USE SCHEMA on Schema 'main.x'.",
    ],
)
def test_refusals_of_sql_are_told_by_their_words(reason: str) -> None:
    assert refused(reason)
    assert not refused("[TABLE_OR_VIEW_NOT_FOUND] The table or view `x` cannot be found.")
