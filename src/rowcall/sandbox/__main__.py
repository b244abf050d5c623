"""`python -m rowcall.sandbox`: start a sandbox workspace, say where in one JSON line, serve until stopped.

Stops on SIGTERM and SIGINT, and with --until-stdin-closes also when its starter is gone, however that ended.
"""

import argparse
import asyncio
import configparser
import io
import json
import os
import secrets
import signal
import sys
import threading
from pathlib import Path

from rowcall.sandbox.server import LOOPBACK, listen, serve
from rowcall.sandbox.state import Sandbox, make_sandbox

PROFILE = "sandbox"


def main() -> None:
    options = _options()
    home = Path(options.home).absolute()
    login = Path(options.login).absolute() if options.login else home
    for folder in (home, login):
        folder.mkdir(parents=True, exist_ok=True)
    try:
        listening = listen(options.port)
    except (OSError, OverflowError) as error:
        sys.exit(f"port {options.port} of {LOOPBACK} cannot be used: {error}")
    host = f"http://{LOOPBACK}:{listening.getsockname()[1]}"
    lakehouse = Path(options.lakehouse).absolute() if options.lakehouse else None
    sandbox = make_sandbox(home, host, options.upstream, options.token_ttl, lakehouse)
    config_file = _write_login(sandbox, login)
    ready = {"host": host, "config_file": str(config_file), "profile": PROFILE}

    async def run() -> None:
        stop = _stop_event(options.until_stdin_closes)
        _replace(login / "sandbox.json", json.dumps({"host": host, "pid": os.getpid()}))
        # The socket listens already: a client that connects at once waits a little, it is not refused.
        sys.stdout.write(json.dumps(ready) + "\n")
        sys.stdout.flush()
        await serve(sandbox, listening, stop)

    asyncio.run(run())


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m rowcall.sandbox", description="A Databricks workspace on this machine."
    )
    parser.add_argument("--home", required=True, help="folder for its login, files and state")
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1; 0 takes a free one (default)")
    parser.add_argument("--upstream", help="URL of an OpenAI-compatible server, asked by the agent `upstream`")
    parser.add_argument("--token-ttl", type=float, default=3600.0, help="seconds an OAuth token lasts (default 3600)")
    parser.add_argument(
        "--login", help="folder for its login and address, if another sandbox may use HOME (default HOME)"
    )
    parser.add_argument("--lakehouse", help="folder for the tables of its SQL warehouse (default HOME/lakehouse)")
    parser.add_argument("--until-stdin-closes", action="store_true", help="stop when standard input ends")
    return parser.parse_args()


def _write_login(sandbox: Sandbox, folder: Path) -> Path:
    """The config file that the SDK reads: a profile each for a client's secret, a personal access token, a workload's identity."""
    logins = sandbox.logins
    identity_token = _replace(folder / "identity-token", logins.identity_token)
    config = configparser.ConfigParser(interpolation=None)
    config[PROFILE] = {
        "host": sandbox.host,
        "client_id": logins.client_id,
        "client_secret": logins.client_secret,
        "auth_type": "oauth-m2m",
    }
    config[f"{PROFILE}-pat"] = {"host": sandbox.host, "token": logins.pat, "auth_type": "pat"}
    config[f"{PROFILE}-oidc"] = {
        "host": sandbox.host,
        "client_id": logins.client_id,
        "oidc_token_filepath": str(identity_token),
        "auth_type": "file-oidc",
    }
    text = io.StringIO()
    config.write(text)
    return _replace(folder / "databrickscfg", text.getvalue())


def _replace(path: Path, text: str) -> Path:
    """Write a file that only its owner may read, whole."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    return draft.replace(path)


def _stop_event(until_stdin_closes: bool) -> asyncio.Event:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if until_stdin_closes:
        threading.Thread(target=_wait_for_end_of_input, args=(loop, stop), daemon=True).start()
    return stop


def _wait_for_end_of_input(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    while os.read(0, 4096):
        pass
    loop.call_soon_threadsafe(stop.set)


if __name__ == "__main__":
    main()
