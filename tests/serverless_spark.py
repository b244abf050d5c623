"""A Spark Connect server that takes what serverless compute takes: `python serverless_spark.py FOLDER` prints its port.

It is Sail behind a proxy that refuses the settings which serverless refuses, and Python functions in it have no network. Both are
as Databricks documents them ("Serverless compute limitations", read in 2026). Tables are made below the folder.
"""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent import futures
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SETTABLE = {
    "spark.sql.shuffle.partitions",
    "spark.sql.session.timeZone",
    "spark.sql.ansi.enabled",
    "spark.sql.files.maxPartitionBytes",
    "spark.sql.legacy.timeParserPolicy",
    "spark.databricks.execution.timeout",
}
_SERVICE = "/spark.connect.SparkConnectService/"


@contextmanager
def serverless_spark(folder: Path) -> Iterator[str]:
    """The address of a server, in a process of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "server.log").open("wb") as log:
        command = [sys.executable, __file__, str(folder)]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True)
    try:
        assert process.stdout is not None
        port = process.stdout.readline().strip()
        assert port, (folder / "server.log").read_text()
        yield f"sc://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait(10)


class Proxy:
    """Passes calls on as they are, but for settings that serverless has not."""

    def __init__(self, server: str, folder: str) -> None:
        import grpc

        self._channel = grpc.insecure_channel(server, options=[("grpc.max_receive_message_length", -1)])
        self._folder = folder
        self._known: set[str] = set()

    def service(self, details: Any) -> Any:
        import grpc

        method = details.method.removeprefix(_SERVICE)
        if method == "ExecutePlan":
            call = self._channel.unary_stream(details.method)
            return grpc.unary_stream_rpc_method_handler(lambda request, _: call(self._placed(request)))
        if method == "ReattachExecute":
            call = self._channel.unary_stream(details.method)
            return grpc.unary_stream_rpc_method_handler(lambda request, _: call(request))
        if method == "AddArtifacts":
            call = self._channel.stream_unary(details.method)
            return grpc.stream_unary_rpc_method_handler(lambda requests, _: call(requests))
        call = self._channel.unary_unary(details.method)
        if method == "Config":
            return grpc.unary_unary_rpc_method_handler(lambda request, context: call(self._allowed(request, context)))
        return grpc.unary_unary_rpc_method_handler(lambda request, _: call(request))

    def _allowed(self, request: bytes, context: Any) -> bytes:
        import grpc
        from pyspark.sql.connect.proto import base_pb2

        said = base_pb2.ConfigRequest.FromString(request)
        for pair in said.operation.set.pairs:
            if pair.key not in SETTABLE:
                context.abort(
                    grpc.StatusCode.INVALID_ARGUMENT,
                    f"[CONFIG_NOT_AVAILABLE] Configuration {pair.key} is not available. SQLSTATE: 42K0I",
                )
        return request

    def _placed(self, request: bytes) -> bytes:
        """Sail keeps tables where a setting of the session says; that is the server's business, and done for each new session."""
        from pyspark.sql.connect.proto import base_pb2

        said = base_pb2.ExecutePlanRequest.FromString(request)
        if said.session_id and said.session_id not in self._known:
            self._known.add(said.session_id)
            place = base_pb2.ConfigRequest(session_id=said.session_id)
            place.user_context.CopyFrom(said.user_context)
            place.operation.set.pairs.add(key="spark.sql.warehouse.dir", value=self._folder)
            self._channel.unary_unary(f"{_SERVICE}Config")(place.SerializeToString())
        return request


def no_network(*_: object) -> None:
    raise OSError(101, "Network is unreachable")


def main(folder: str) -> None:
    os.environ["SAIL_CATALOG__LIST"] = '[{name="main", type="memory", initial_database=["default"]}]'
    os.environ["SAIL_CATALOG__DEFAULT_CATALOG"] = "main"
    import grpc
    from pysail.spark import SparkConnectServer

    sail = SparkConnectServer("127.0.0.1", 0)
    sail.start(background=True)
    _, port = sail.listening_address

    class Handler(grpc.GenericRpcHandler):
        proxy = Proxy(f"127.0.0.1:{port}", folder)

        def service(self, details: Any) -> Any:
            return self.proxy.service(details)

    options = [("grpc.max_receive_message_length", -1)]
    front = grpc.server(futures.ThreadPoolExecutor(16), handlers=[Handler()], options=options)
    own = front.add_insecure_port("127.0.0.1:0")
    front.start()
    # Neither Sail nor gRPC connects through Python's sockets; functions in Python do.
    socket.socket.connect = no_network  # type: ignore[assignment,method-assign]
    sys.stdout.write(f"{own}\n")
    sys.stdout.flush()
    sys.stdin.read()


if __name__ == "__main__":
    main(sys.argv[1])
