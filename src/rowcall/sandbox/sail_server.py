"""`python -m rowcall.sandbox.sail_server MODULE …`: Sail in a process of its own, until its standard input closes.

Of its own because UDFs run as threads of this process, and because Sail takes Ctrl-C for itself.
"""

import json
import os
import sys
from importlib import import_module


def main() -> None:
    """Start the server, print its port as JSON, import what tasks will need, and wait."""
    from pysail.spark import SparkConnectServer

    server = SparkConnectServer("127.0.0.1", 0)
    server.start(background=True)
    address = server.listening_address
    sys.stdout.write(json.dumps({"port": str(address[1] if address else "")}) + "\n")
    sys.stdout.flush()
    # What UDFs print from now on belongs in the log: nobody reads the pipe any more.
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    for module in sys.argv[1:]:
        import_module(module)
    while sys.stdin.read(1 << 16):
        pass
    # At once: its tasks ask on, and their caller is gone.
    os._exit(0)


if __name__ == "__main__":
    main()
