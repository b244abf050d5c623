"""The sandbox's own controls: set how an agent, logins or the warehouse behave, read what happened. Not Databricks'; no token.

PUT    /sandbox/behaviour/{agent}    a behaviour (see `behaviour`); replaces the earlier one
GET    /sandbox/figures              {agent: figures} (see `figures`); ?seconds=10: `busiest` in any 10 s instead of 60
DELETE /sandbox/figures              start counting anew, lookups too; forgets recorded requests and statements
GET    /sandbox/requests/{agent}     the last 1,000 requests: [{"path", "headers", "body"}]
PUT    /sandbox/lookup/{agent}       what lookups of it say of its state (see `lookups`); replaces the earlier one
GET    /sandbox/lookups              {agent: how often it was looked up by name}
GET    /sandbox/tokens               {"issued": access tokens, "refused": requests answered 401}
PUT    /sandbox/tokens               {"ttl": seconds} of access tokens issued from now on
DELETE /sandbox/tokens               revoke the access tokens issued so far and count anew
PUT    /sandbox/secrets/{scope}/{key}  {"value": text}
PUT    /sandbox/rights               what it may not do (see `rights.read_rights`); replaces the earlier
PUT    /sandbox/clock                {"ahead": seconds} of the clock its replies tell
PUT    /sandbox/warehouse/state      {"state": what lookups say of the SQL warehouse}
PUT    /sandbox/warehouse            faults of the SQL warehouse (see `warehouse.read_faults`); replaces the earlier ones
GET    /sandbox/statements           its last 1,000 statements: [{"id", "statement", "state", "tags", "session"}]
"""

import json
from functools import partial

from aiohttp import web

from rowcall.core.loose import mapping, parse_json
from rowcall.sandbox.agents.behaviour import read_behaviour
from rowcall.sandbox.agents.figures import Figures
from rowcall.sandbox.lookups import read_lookup_state
from rowcall.sandbox.rights import read_rights
from rowcall.sandbox.state import Hosted, Sandbox
from rowcall.sandbox.warehouse.warehouse import STATES, read_faults


def routes(sandbox: Sandbox) -> list[web.RouteDef]:
    return [
        web.put("/sandbox/behaviour/{agent}", partial(_behave, sandbox)),
        web.get("/sandbox/figures", partial(_figures, sandbox)),
        web.delete("/sandbox/figures", partial(_reset, sandbox)),
        web.get("/sandbox/requests/{agent}", partial(_requests, sandbox)),
        web.put("/sandbox/lookup/{agent}", partial(_look, sandbox)),
        web.get("/sandbox/lookups", partial(_lookups, sandbox)),
        web.get("/sandbox/tokens", partial(_tokens, sandbox)),
        web.put("/sandbox/tokens", partial(_set_ttl, sandbox)),
        web.delete("/sandbox/tokens", partial(_revoke, sandbox)),
        web.put("/sandbox/secrets/{scope}/{key}", partial(_put_secret, sandbox)),
        web.put("/sandbox/rights", partial(_set_rights, sandbox)),
        web.put("/sandbox/clock", partial(_set_clock, sandbox)),
        web.put("/sandbox/warehouse/state", partial(_set_warehouse_state, sandbox)),
        web.put("/sandbox/warehouse", partial(_fault, sandbox)),
        web.get("/sandbox/statements", partial(_statements, sandbox)),
    ]


async def _behave(sandbox: Sandbox, request: web.Request) -> web.Response:
    hosted = _hosted(sandbox, request)
    try:
        hosted.behaviour = read_behaviour(json.loads(await request.read()))
    except ValueError as mistake:
        raise _refused(web.HTTPBadRequest, str(mistake)) from mistake
    return web.json_response({})


async def _figures(sandbox: Sandbox, request: web.Request) -> web.Response:
    given = parse_json(request.query.get("seconds", "60"))
    if not isinstance(given, int | float) or not given > 0:
        raise _refused(web.HTTPBadRequest, "seconds: expected a number above 0")
    return web.json_response({name: hosted.figures.as_json(given) for name, hosted in sandbox.hosted.items()})


async def _reset(sandbox: Sandbox, _: web.Request) -> web.Response:
    for hosted in sandbox.hosted.values():
        hosted.figures = Figures()
        hosted.requests.clear()
        hosted.lookups.count = 0
    sandbox.warehouse.forget()
    return web.json_response({})


async def _requests(sandbox: Sandbox, request: web.Request) -> web.Response:
    return web.json_response(
        [
            {
                "path": one.path,
                "headers": dict(one.headers),
                "body": None if one.body is None else parse_json(one.body),
            }
            for one in _hosted(sandbox, request).requests
        ]
    )


async def _look(sandbox: Sandbox, request: web.Request) -> web.Response:
    hosted = _hosted(sandbox, request)
    try:
        hosted.lookups.say(*read_lookup_state(json.loads(await request.read())))
    except ValueError as mistake:
        raise _refused(web.HTTPBadRequest, str(mistake)) from mistake
    return web.json_response({})


async def _lookups(sandbox: Sandbox, _: web.Request) -> web.Response:
    return web.json_response({name: hosted.lookups.count for name, hosted in sandbox.hosted.items()})


async def _tokens(sandbox: Sandbox, _: web.Request) -> web.Response:
    return web.json_response({"issued": sandbox.logins.issued, "refused": sandbox.logins.refused})


async def _set_ttl(sandbox: Sandbox, request: web.Request) -> web.Response:
    ttl = mapping(parse_json(await request.read())).get("ttl")
    if not isinstance(ttl, int | float) or isinstance(ttl, bool) or ttl < 0:
        raise _refused(web.HTTPBadRequest, "ttl: expected a number of seconds from 0 up")
    sandbox.logins.token_ttl = ttl
    return web.json_response({})


async def _revoke(sandbox: Sandbox, _: web.Request) -> web.Response:
    sandbox.logins.revoke_tokens()
    return web.json_response({})


async def _put_secret(sandbox: Sandbox, request: web.Request) -> web.Response:
    value = mapping(parse_json(await request.read())).get("value")
    if not isinstance(value, str):
        raise _refused(web.HTTPBadRequest, "value: expected a text")
    scope, key = request.match_info["scope"], request.match_info["key"]
    sandbox.secrets.setdefault(scope, {})[key] = value
    return web.json_response({})


async def _set_rights(sandbox: Sandbox, request: web.Request) -> web.Response:
    try:
        given = read_rights(parse_json(await request.read()))
    except ValueError as mistake:
        raise _refused(web.HTTPBadRequest, str(mistake)) from mistake
    sandbox.rights.withheld, sandbox.rights.hidden = given.withheld, given.hidden
    return web.json_response({})


async def _set_clock(sandbox: Sandbox, request: web.Request) -> web.Response:
    ahead = mapping(parse_json(await request.read())).get("ahead")
    if not isinstance(ahead, int | float) or isinstance(ahead, bool):
        raise _refused(web.HTTPBadRequest, "ahead: expected a number of seconds")
    sandbox.clock.ahead = ahead
    return web.json_response({})


async def _set_warehouse_state(sandbox: Sandbox, request: web.Request) -> web.Response:
    state = mapping(parse_json(await request.read())).get("state")
    if state not in STATES:
        raise _refused(web.HTTPBadRequest, f"state: expected one of {', '.join(STATES)}")
    sandbox.warehouse.state = str(state)
    return web.json_response({})


async def _fault(sandbox: Sandbox, request: web.Request) -> web.Response:
    try:
        sandbox.warehouse.faults = read_faults(json.loads(await request.read()))
    except ValueError as mistake:
        raise _refused(web.HTTPBadRequest, str(mistake)) from mistake
    return web.json_response({})


async def _statements(sandbox: Sandbox, _: web.Request) -> web.Response:
    return web.json_response([recorded.as_json() for recorded in list(sandbox.warehouse.history)])


def _hosted(sandbox: Sandbox, request: web.Request) -> Hosted:
    name = request.match_info["agent"]
    if name not in sandbox.hosted:
        raise _refused(web.HTTPNotFound, f"no agent {name}; there are {', '.join(sandbox.hosted)}")
    return sandbox.hosted[name]


def _refused(kind: type[web.HTTPError], message: str) -> web.HTTPError:
    return kind(text=json.dumps({"error": message}), content_type="application/json")
