"""What a run was bound by, and which number to change, in one sentence."""

import math

from rowcall.core.slots import CLIENT_CPU, Seconds, SlotState, main_state

BUSY = 0.85
"""So much of a task's time on the processor, and faster answers would not have helped."""
_BOUND_BY = {
    SlotState.ASKING: "the endpoint's answers",
    SlotState.BACKING_OFF: "waits after failed calls",
    SlotState.QUOTA: "the endpoint's rate limit",
    SlotState.RATE: "the job's own rates",
    SlotState.LIMIT: "how many calls may be in flight",
    SlotState.UNAVAILABLE: "an endpoint that served nobody",
    SlotState.PAUSED: "a pause that somebody asked for",
    SlotState.SOURCE: "getting the rows to its tasks",
    SlotState.JOURNAL: "writing the journal",
    SlotState.IDLE: "its last calls, while the other slots had nothing more to ask",
}


def bound_by(seconds: Seconds, slots: int | None, tasks: int = 1) -> str | None:
    """`the endpoint's rate limit, 58 % of slot time; engine.concurrency 28 would have been as fast`. `slots` are those of all
    `tasks`, None where `ai_query` asks; None comes back where no time was spent."""
    spent = {str(state): seconds[state] for state in SlotState if seconds.get(state, 0.0) > 0}
    total, main = sum(spent.values()), main_state(spent)
    if main is None:
        return None
    if slots is None:
        return _of_statements(spent, total)
    busy = seconds.get(CLIENT_CPU, 0.0) * slots / (total * tasks)
    if busy >= BUSY:
        return f"the processor, busy {_percent(busy)} of the time; more engine.tasks, on executors, would be faster"
    state, in_flight = SlotState(main), max(1, math.ceil(slots * spent.get(SlotState.ASKING, 0.0) / total))
    return f"{_BOUND_BY[state]}, {_percent(spent[main] / total)} of slot time; {_advice(state, slots, in_flight)}"


def _of_statements(spent: Seconds, total: float) -> str:
    share = _percent(spent.get(SlotState.ASKING, 0.0) / total)
    return f"ai_query's statements, {share} of the time; how many calls they make at once is the warehouse's to decide"


def _advice(state: SlotState, slots: int, in_flight: int) -> str:
    as_fast = f"engine.concurrency {in_flight} would have been as fast" if in_flight < slots else ""
    match state:
        case SlotState.ASKING:
            said = f"a higher engine.concurrency than {slots} may be faster"
        case SlotState.RATE:
            said = _both("only higher rates would be faster", as_fast)
        case SlotState.LIMIT:
            said = f"{in_flight} were in flight on average"
        case SlotState.UNAVAILABLE:
            said = "an endpoint that does not scale to zero would be faster"
        case SlotState.PAUSED:
            said = "rowcall ctl resumes one"
        case SlotState.JOURNAL:
            said = _both("a larger engine.flush_rows would be faster", as_fast)
        case SlotState.BACKING_OFF:
            said = "fewer failures would be faster; rowcall report shows which they are"
        case SlotState.QUOTA | SlotState.SOURCE | SlotState.IDLE:
            said = as_fast or "more slots would not be faster"
    return said


def _both(one: str, other: str) -> str:
    return f"{one}, and {other}" if other else one


def _percent(share: float) -> str:
    return f"{min(share, 1.0):.0%}".replace("%", " %")
