"""The arguments of `rowcall.ask` as a job, and what is wrong with them by their names."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from rowcall.core import asking as core
from rowcall.core.asking import Asking
from rowcall.core.errors import DefinitionError

TABLE = "main.rowcall.answers"
PROMPTS = {"query": "SELECT * FROM rows", "key": ("id",)}


def make(prompt: Any = "Say {text}", endpoint: Any = "app:echo", **more: Any) -> Asking:
    return Asking(core.request_of(prompt, None), core.endpoint_of(endpoint), **more)


def told(error: pytest.ExceptionInfo[DefinitionError]) -> list[str]:
    return [str(problem) for problem in error.value.problems]


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("serving:my-agent", {"serving": "my-agent"}),
        ("app: echo", {"app": "echo"}),
        ("https://host/v1", {"url": "https://host/v1"}),
        ({"serving": "x", "stream": True}, {"serving": "x", "stream": True}),
    ],
)
def test_an_endpoint_in_short(said: Any, meant: Any) -> None:
    assert core.endpoint_of(said) == meant


@pytest.mark.parametrize(
    ("said", "hint"),
    [("my-agent", "Did you mean serving:my-agent or app:my-agent?"), ("model:x", "a mapping."), ("", "''")],
)
def test_an_endpoint_that_is_none_is_told_what_one_looks_like(said: str, hint: str) -> None:
    with pytest.raises(
        DefinitionError, match=r"rowcall\.ask: endpoint: is .* expected serving:NAME, app:NAME, a URL"
    ) as error:
        core.endpoint_of(said)
    assert hint in str(error.value)


def test_arguments_become_the_keys_of_a_job() -> None:
    asking = Asking(
        request=core.request_of("Say {text}", "Be brief."),
        endpoint={"app": "echo"},
        answer={"mood": ["good", "bad"]},
        engine=core.engine_of("responses", 4),
        limits={"max_failures": 3},
        others={"traces": {"content": "none"}, "description": "once"},
        name="mine",
    )
    job = core.definition(asking, PROMPTS, TABLE)
    assert (job.job, job.outputs.table, job.prompts.key, job.description) == ("mine", TABLE, ("id",), "once")
    assert (job.request.instructions, job.request.input) == ("Be brief.", "Say {text}")
    assert job.engine.model_dump()["concurrency"] == 4
    assert job.traces.content == "none"


def test_a_text_with_a_dollar_is_no_variable() -> None:
    assert core.definition(make("Say ${text}"), PROMPTS, TABLE).request.input == "Say ${text}"


def test_what_is_wrong_is_told_all_at_once_by_the_names_of_the_arguments() -> None:
    asking = make({"inputt": "x"}, limits={"attempts": 0}, engine={"concurrency": "many"}, name="no name")
    with pytest.raises(DefinitionError) as error:
        core.definition(asking, {**PROMPTS, "key": ()}, "a b")
    keys = {line.split(": ")[1] for line in told(error)}
    assert {"prompt.inputt", "limits.attempts", "concurrency", "name", "outputs", "key"} <= keys
    assert all(line.startswith("rowcall.ask: ") for line in told(error))


@pytest.mark.parametrize(
    "given_twice",
    [
        lambda: core.request_of({"instructions": "a", "input": "b"}, "c"),
        lambda: core.engine_of({"concurrency": 3}, 4),
    ],
)
def test_what_is_given_twice_is_refused(given_twice: Any) -> None:
    with pytest.raises(DefinitionError, match=r"in (prompt|engine) as well"):
        given_twice()


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: core.request_of(None, None), "prompt: is None; expected a text or a mapping."),  # type: ignore[arg-type]
        (lambda: core.endpoint_of(7), "endpoint: is 7; expected a text or a mapping."),  # type: ignore[arg-type]
        (lambda: core.engine_of(7, None), "engine: is 7; expected a text or a mapping."),  # type: ignore[arg-type]
        (lambda: core.key_of(7), "key: is 7; expected the name of a column, or several."),  # type: ignore[arg-type]
        (lambda: core.key_of(["id", 7]), "key: is ['id', 7]; expected the name"),  # type: ignore[list-item]
    ],
)
def test_an_argument_of_another_kind_is_told_what_is_expected(call: Any, said: str) -> None:
    with pytest.raises(DefinitionError) as error:
        call()
    assert str(error.value).startswith(f"rowcall.ask: {said}")


def test_keys_of_a_job_that_are_arguments_are_refused_in_job() -> None:
    with pytest.raises(
        DefinitionError, match=r"rowcall\.ask: job: has limits, variables\. Give arguments by their own names"
    ):
        core.definition(make(others={"limits": {}, "variables": {}, "journal": "/x"}), PROMPTS, TABLE)


# Names


def test_the_same_question_has_the_same_name_and_another_has_another() -> None:
    one = make().job
    assert one == make().job
    others = [
        make("Say {text}!"),
        make(endpoint="app:other"),
        make(key=("id",)),
        make(answer={"a": "int"}),
        make(outputs=TABLE),
    ]
    assert len({one, *(other.job for other in others)}) == 6
    assert make(limits={"attempts": 2}, engine={"kind": "responses"}).job == one, (
        "how it is asked is no part of the question"
    )


def test_answers_go_to_a_table_of_that_name_unless_one_is_named() -> None:
    assert make(name="mine").table("my cat") == "`my cat`.rowcall.mine"
    assert make(name="mine", outputs=TABLE).table("any") == TABLE


@given(some.text(max_size=8), some.lists(some.text(max_size=8)))
def test_a_free_name_is_none_of_those_taken(name: str, taken: list[str]) -> None:
    assert core.free_name(name, taken).lower() not in {other.lower() for other in taken}


# Columns


def test_only_the_columns_that_are_read_are_sent() -> None:
    prompt = {
        "messages": ["{history}", {"role": "user", "content": "{Text} {a.b} {`c.d`} {{not}} {text}"}],
        "parameters": {"stop": ["{stop}"]},
    }
    names = ["id", "text", "a", "c.d", "history", "stop", "not", "other"]
    assert core.columns_read(make(prompt, key=("ID",)), names) == ["id", "history", "text", "a", "c.d", "stop"]


def test_columns_that_are_not_there_are_told_with_those_that_are() -> None:
    with pytest.raises(DefinitionError) as error:
        core.columns_read(make("{txt} {`a.b`}", key=("idd",)), ["id", "text", "a"])
    assert told(error) == [
        "rowcall.ask: key: there is no column 'idd'. Did you mean 'id'? There are: id, text, a.",
        "rowcall.ask: prompt: there is no column 'txt'. Did you mean {text}? There are: id, text, a.",
        "rowcall.ask: prompt: there is no column 'a.b'. There are: id, text, a. For a plain brace write {{ or }}.",
    ]


def test_columns_that_differ_by_case_alone_are_refused_where_they_are_read() -> None:
    names = ["id", "Text", "text", "x", "X"]
    assert core.columns_read(make("{id}"), names) == ["id"]
    with pytest.raises(DefinitionError, match="data: has 2 columns Text, text: SQL takes them for one"):
        core.columns_read(make("{TEXT}"), names)


def test_answers_need_names_of_their_own() -> None:
    core.check_names(["text", "new_answer"], "")
    with pytest.raises(DefinitionError, match=r'has a column Answer_answer already\. .*prefix="Answer__"'):
        core.check_names(["answer_ANSWER"], "Answer_")
