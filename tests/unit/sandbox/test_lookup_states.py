"""What lookups say of an endpoint's and an app's state, for as many lookups as a test wants, and how many there were."""

from collections.abc import Iterator

import pytest
from databricks.sdk.errors import NotFound
from databricks.sdk.service.apps import App, ApplicationState, ComputeState
from databricks.sdk.service.serving import EndpointStateConfigUpdate, EndpointStateReady, ServingEndpointDetailed
from sandbox_user import SECONDS, Workspace

from support import control


@pytest.fixture
def echo(workspace: Workspace) -> Iterator[Workspace]:
    yield workspace
    control(workspace.process, "PUT", "lookup/echo", {})


def endpoint_states(endpoint: ServingEndpointDetailed) -> tuple[object, object]:
    assert endpoint.state is not None
    return endpoint.state.ready, endpoint.state.config_update


def app_states(app: App) -> tuple[object, object]:
    assert app.compute_status is not None
    assert app.app_status is not None
    return app.compute_status.state, app.app_status.state


def test_an_endpoint_and_an_app_are_ready_unless_told_otherwise(echo: Workspace) -> None:
    client = echo.client()
    ready = (EndpointStateReady.READY, EndpointStateConfigUpdate.NOT_UPDATING)
    assert endpoint_states(client.serving_endpoints.get("echo")) == ready
    assert app_states(client.apps.get("echo")) == (ComputeState.ACTIVE, ApplicationState.RUNNING)


def test_a_state_lasts_for_so_many_lookups(echo: Workspace) -> None:
    states = {"ready": "NOT_READY", "config_update": "IN_PROGRESS", "compute": "STARTING", "app": "DEPLOYING"}
    control(echo.process, "PUT", "lookup/echo", {**states, "lookups": 3})
    client = echo.client()
    assert endpoint_states(client.serving_endpoints.get("echo")) == (
        EndpointStateReady.NOT_READY,
        EndpointStateConfigUpdate.IN_PROGRESS,
    )
    starting = (ComputeState.STARTING, ApplicationState.DEPLOYING)
    assert [app_states(client.apps.get("echo")) for _ in range(3)] == [
        starting,
        starting,
        (ComputeState.ACTIVE, ApplicationState.RUNNING),
    ]


def test_a_state_without_a_number_lasts_until_it_is_changed(echo: Workspace) -> None:
    control(echo.process, "PUT", "lookup/echo", {"ready": "NOT_READY"})
    client = echo.client()
    looked_up = [endpoint_states(client.serving_endpoints.get("echo")) for _ in range(5)]
    assert looked_up == [(EndpointStateReady.NOT_READY, EndpointStateConfigUpdate.NOT_UPDATING)] * 5
    control(echo.process, "PUT", "lookup/echo", {})
    assert endpoint_states(client.serving_endpoints.get("echo"))[0] is EndpointStateReady.READY


def test_lists_show_the_state_and_are_no_lookup(echo: Workspace) -> None:
    control(echo.process, "PUT", "lookup/echo", {"ready": "NOT_READY", "compute": "STOPPED", "lookups": 1})
    client = echo.client()
    for _ in range(2):
        listed = {endpoint.name: endpoint.state for endpoint in client.serving_endpoints.list()}
        state = listed["echo"]
        assert state is not None
        assert state.ready is EndpointStateReady.NOT_READY
        apps = {app.name: app_states(app) for app in client.apps.list()}
        assert apps["echo"] == (ComputeState.STOPPED, ApplicationState.RUNNING)
    assert control(echo.process, "GET", "lookups")["echo"] == 0


def test_lookups_are_counted_by_agent_until_the_figures_are_reset(echo: Workspace) -> None:
    client = echo.client()
    client.serving_endpoints.get("echo")
    client.apps.get("echo")
    client.serving_endpoints.get("echo-model")
    counted = control(echo.process, "GET", "lookups")
    assert (counted["echo"], counted["echo-model"], counted["text-scores"]) == (2, 1, 0)
    control(echo.process, "DELETE", "figures")
    assert set(control(echo.process, "GET", "lookups").values()) == {0}


def test_a_reset_of_the_figures_keeps_the_state(echo: Workspace) -> None:
    control(echo.process, "PUT", "lookup/echo", {"app": "CRASHED"})
    control(echo.process, "DELETE", "figures")
    assert app_states(echo.client().apps.get("echo"))[1] is ApplicationState.CRASHED


def test_an_app_on_the_durable_agent_server_is_no_serving_endpoint(echo: Workspace) -> None:
    client = echo.client()
    assert client.apps.get("echo-durable").name == "echo-durable"
    assert "echo-durable" not in {endpoint.name for endpoint in client.serving_endpoints.list()}
    with pytest.raises(NotFound, match="Endpoint with name 'echo-durable' does not exist"):
        client.serving_endpoints.get("echo-durable")


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ([], "lookup: expected an object"),
        ({"redy": "READY"}, "lookup: unknown redy; known are ready, config_update, compute, app, lookups"),
        ({"ready": "MAYBE"}, "lookup.ready: expected one of READY, NOT_READY"),
        ({"compute": ["ACTIVE"]}, "lookup.compute: expected one of ACTIVE, STARTING"),
        ({"lookups": -1}, "lookup.lookups: expected a whole number from 0"),
        ({"lookups": None}, "lookup.lookups: expected a whole number from 0"),
    ],
)
def test_a_state_that_the_platform_does_not_know_is_refused(echo: Workspace, body: object, problem: str) -> None:
    reply = echo.http.put(f"{echo.host}/sandbox/lookup/echo", json=body, timeout=SECONDS)
    assert reply.status_code == 400
    assert reply.json()["error"].startswith(problem)


def test_the_states_are_those_of_the_sdk(echo: Workspace) -> None:
    for key, states in {
        "ready": EndpointStateReady,
        "config_update": EndpointStateConfigUpdate,
        "compute": ComputeState,
        "app": ApplicationState,
    }.items():
        for state in states:
            control(echo.process, "PUT", "lookup/echo", {key: state.value})
