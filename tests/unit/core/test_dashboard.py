"""The dashboard file: what the generator writes, over datasets that are the views."""

import json
from pathlib import Path
from typing import Any

import pytest

from rowcall.adapters.packaged import sql_texts
from rowcall.core.dashboard import VIEWS, WIDTH, create_view, dashboard, query_of

FILE = Path(__file__).parents[3] / "sql" / "dashboards" / "rowcall.lvdash.json"
WRITTEN: dict[str, Any] = json.loads(dashboard(sql_texts()))


def placed() -> list[tuple[str, dict[str, Any], dict[str, int]]]:
    return [(page["name"], each["widget"], each["position"]) for page in WRITTEN["pages"] for each in page["layout"]]


def test_the_file_is_what_the_generator_writes() -> None:
    assert FILE.read_text(encoding="utf-8") == dashboard(sql_texts()), (
        "rowcall dashboard -o sql/dashboards/rowcall.lvdash.json"
    )


def test_datasets_are_the_views_over_tables_that_the_bundle_places() -> None:
    for dataset, name in zip(WRITTEN["datasets"], VIEWS, strict=True):
        query = "".join(dataset["queryLines"])
        assert query == query_of(sql_texts(), name, runs="runs", traces="traces")
        assert "CREATE" not in query
        assert "FROM runs" in query or "JOIN runs" in query
        assert "$" not in query.replace("$[", "")


def test_a_view_is_made_of_the_same_query() -> None:
    made = create_view(sql_texts(), "slot_time", "main.x.slots", runs="main.x.runs", traces="main.x.traces")
    query = query_of(sql_texts(), "slot_time", runs="main.x.runs", traces="main.x.traces")
    comment, select = query.split("\n", 1)
    assert made == f"{comment}\nCREATE OR REPLACE VIEW main.x.slots AS\n{select}"


def test_widgets_fill_the_grid_and_none_covers_another() -> None:
    for page in WRITTEN["pages"]:
        taken: set[tuple[int, int]] = set()
        for _, _, place in (each for each in placed() if each[0] == page["name"]):
            cells = {
                (x, y)
                for x in range(place["x"], place["x"] + place["width"])
                for y in range(place["y"], place["y"] + place["height"])
            }
            assert not cells & taken
            assert max(x for x, _ in cells) < WIDTH
            taken |= cells
        assert {(x, y) for x in range(WIDTH) for y in range(max(y for _, y in taken) + 1)} == taken


@pytest.mark.parametrize("widget", [widget for _, widget, _ in placed()], ids=lambda widget: widget["name"])
def test_what_a_widget_shows_is_asked_of_a_dataset(widget: dict[str, Any]) -> None:
    queries = {each["name"]: {field["name"] for field in each["query"]["fields"]} for each in widget["queries"]}
    assert {each["query"]["datasetName"] for each in widget["queries"]} <= set(VIEWS)
    encodings = widget["spec"]["encodings"]
    encoded = [item for each in encodings.values() for item in (each if isinstance(each, list) else [each])]
    assert encoded
    for each in encoded:
        assert each["fieldName"] in queries[each.get("queryName", "main_query")]
    assert widget["spec"]["frame"]["title"]


def test_widgets_have_names_of_their_own() -> None:
    names = [widget["name"] for _, widget, _ in placed()]
    assert len(names) == len(set(names))
