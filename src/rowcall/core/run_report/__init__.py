"""The report of a run: one page that says what happened. Pure: from the row of the run and what the SQL side counted of its
traces, to the values of the page. `rowcall.run_report` reads them and makes the page.

    statements      the SQL: it counts, so that a run of any size comes back as a few hundred rows
    timeline        throughput and calls in flight, in buckets of time
    latency         percentiles and a histogram, from counts on a logarithmic scale
    trouble         what went wrong, by kind, with an example
    waterfall       where the time of one slow row went, span by span
    headline        the sentence and the numbers at the top
    facts           the tables: states of slots, tokens and cost, the plan
"""
