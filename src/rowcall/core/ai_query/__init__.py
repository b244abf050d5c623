"""The SQL function `ai_query`: how a request is given to it, how its result is read, what its errors mean. All pure.

    form       which ways to write the request an endpoint takes, the likeliest first
    call       the call itself, as SQL text
    reading    from the type of what came back to the expressions that read it
    reply      from what was read to a `Reply`, as `core.outcome` makes one of an HTTP exchange
    failure    the text of an error, put into the same kinds as an HTTP failure
    waves      how many rows the next statement asks

Databricks' documents contradict one another on the names and types of the result (FACTS 1.2) and leave open how agents are
asked (FACTS 1.6). So nothing here depends on one of them being right: forms are tried in turn, types are looked at.

To add a form: add its name to `Form.name`, build it in `form`, and read it in `reply`.
"""
