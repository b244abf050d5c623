"""An executable that stands in for the Databricks CLI, logged in to a sandbox: what it prints is what the real one prints."""

import sys
from pathlib import Path

# The SDK takes a `databricks` below 1 MB for the old CLI, which was a Python script.
_LEAST_BYTES = 1024 * 1024

_CLI = """#!{python}
import base64, json, sys, urllib.parse, urllib.request
from datetime import datetime, timedelta

match sys.argv[1:]:
    case ["version", "--output", "json"]:
        print(json.dumps({{"Version": "0.300.0", "Major": 0, "Minor": 300, "Patch": 0}}))
    case ["auth", "token", "--host", host, *_]:
        form = urllib.parse.urlencode({{"grant_type": "client_credentials", "scope": "all-apis offline_access"}}).encode()
        basic = base64.b64encode(b"{client_id}:{client_secret}").decode()
        request = urllib.request.Request(host + "/oidc/v1/token", form, {{"Authorization": "Basic " + basic}})
        with urllib.request.build_opener(urllib.request.ProxyHandler({{}})).open(request, timeout=10) as reply:
            token = json.load(reply)
        expiry = datetime.now().astimezone() + timedelta(seconds=token["expires_in"])
        said = {{"access_token": token["access_token"], "token_type": "Bearer", "expiry": expiry.isoformat()}}
        print(json.dumps(said, indent=2))
    case unknown:
        sys.exit(f"Error: unknown command {{unknown}}")
"""


def write_databricks_cli(folder: Path, client_id: str, client_secret: str) -> Path:
    """Write `folder/databricks`. Set PATH to `folder` and the SDK's login `databricks-cli` runs it."""
    text = _CLI.format(python=sys.executable, client_id=client_id, client_secret=client_secret)
    path = folder / "databricks"
    path.write_text(text + "#" * _LEAST_BYTES)
    path.chmod(0o700)
    return path
