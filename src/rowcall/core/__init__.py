"""The pure part: what a job means and what is to be done, as values. Imports nothing of the outside; every other layer imports it.

    definition/, job_file/, answer, template  what a user writes
    plan, prompt, sql, limits                 what a run will do, decided before it starts
    endpoint_plan, readiness, login           how the endpoint is asked, whether it can answer, who may ask it
    engine_choice, engine_plan                which engine asks, and how
    ai_query/                                 the SQL function: its call, its results, its errors
    endpoints/, invocation_id, outcome, retry how an endpoint is spoken to and what its replies mean
    records, segments, spans, report          the values that a run makes
    vacuum, retention                         what of all that runs have left may go, and when
    ports, errors                             what is needed from the outside, and what can go wrong there

One engine more is one more variant of `definition.Engine` and of `plan.EnginePlan`; the type checker names the places to fill.
"""
