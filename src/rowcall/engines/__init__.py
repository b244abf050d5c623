"""How rows are asked, one module per engine. An engine fills the journal from the pending table and knows nothing of what
happens to it: publishing, recovery and reports are the runner's. Imports `core` only; engines do not know one another.

`responses` makes HTTP calls from Spark tasks or from the driver:

    recipe ─▶ worker (the loop of one task) ─▶ caller (one row to the end) ─▶ following (a run in the background)
              seat (of several attempts at the same rows, one asks)   stopping (no more calls, and why)
              interpreter (how Python is set meanwhile)

`ai_query` has the SQL side ask, in waves; `replies` reads what that returned into the journal, for the run and for the one that
finds it dead.

To add an engine: a variant in `core.definition`, a plan for it in `core.plan`, a module here with `execute(plan, session,
journal, …)` that leaves segments (`core.segments`) behind, and a case in `runner.run`. `tests/conformance/test_engine.py` says
what it must do.
"""
