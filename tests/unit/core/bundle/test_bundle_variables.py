"""A bundle's variables in definitions: what is known is filled in, what is not comes back as a reference."""

from hypothesis import given
from hypothesis import strategies as st

from rowcall.core.bundle.variables import values_for, with_references
from rowcall.core.names import is_table_name

NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,20}", fullmatch=True)


def test_what_is_known_is_filled_in() -> None:
    variables = {"catalog": "main", "rows": 5, "careful": True, "share": 0.5, "spare": "x"}
    assert values_for(["catalog", "rows", "careful", "share", "other"], variables) == {
        "catalog": "main",
        "rows": "5",
        "careful": "true",
        "share": "0.5",
    }


@given(NAMES, st.sampled_from(["demo_${workspace.current_user.short_name}", None, {"lookup": {"warehouse": "w"}}]))
def test_what_is_known_later_is_a_name_and_then_a_reference(name: str, value: object) -> None:
    filled = values_for([name], {name: value})[name]
    assert is_table_name(f"main.{filled}.answers")
    job = {"tables": [f"main.{filled}.answers"], "text": f"{filled}-{filled}", "number": 5}
    reference = f"${{var.{name}}}"
    assert with_references(job) == {
        "tables": [f"main.{reference}.answers"],
        "text": f"{reference}-{reference}",
        "number": 5,
    }
