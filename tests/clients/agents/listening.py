"""What every agent script ends with: its app on a free port of this machine, told on the first line of output."""

import socket
import sys
import threading

import uvicorn


def serve(app: object) -> None:
    """Serve until standard input closes, so also when whoever started this is gone."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
        threading.Thread(target=_stop_at_end_of_input, args=(server,), daemon=True).start()
        sys.stdout.write(f"http://127.0.0.1:{listening.getsockname()[1]}\n")
        sys.stdout.flush()
        server.run(sockets=[listening])


def _stop_at_end_of_input(server: uvicorn.Server) -> None:
    sys.stdin.read()
    server.should_exit = True
