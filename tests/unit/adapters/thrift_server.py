# ruff: noqa: N802 (methods have the names of the service)
"""A warehouse that does as told, over the real Thrift service of the connector: for what no healthy warehouse does."""

import threading
import uuid
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
from databricks.sql.thrift_api.TCLIService import TCLIService, ttypes
from thrift.protocol.TBinaryProtocol import TBinaryProtocol
from thrift.transport.TTransport import TMemoryBuffer

SUCCESS = ttypes.TStatus(statusCode=ttypes.TStatusCode.SUCCESS_STATUS)
LOST = ttypes.TStatus(
    statusCode=ttypes.TStatusCode.INVALID_HANDLE_STATUS, errorMessage="Invalid SessionHandle: SessionHandle [00]"
)
STATES = {
    "SLEEP": ttypes.TOperationState.RUNNING_STATE,
    "TIME OUT": ttypes.TOperationState.TIMEDOUT_STATE,
    "CANCELED BY ANOTHER": ttypes.TOperationState.CANCELED_STATE,
}
"""How statements stand that are not done at once."""


@dataclass(slots=True)
class ScriptedWarehouse:
    """`LOSE THE ANSWER` runs and cuts the line. Everything else returns the row `a = 1`, but see `STATES`."""

    sessions: dict[bytes, dict[str, str]] = field(default_factory=dict[bytes, dict[str, str]])
    opened: int = 0
    statements: list[str] = field(default_factory=list[str])
    running: dict[bytes, str] = field(default_factory=dict[bytes, str])
    cancelled: list[str] = field(default_factory=list[str])
    sleeping: threading.Event = field(default_factory=threading.Event)

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, bytes] | None:
        if method == "GET":
            return 404, b""
        reply = TMemoryBuffer()
        TCLIService.Processor(self).process(TBinaryProtocol(TMemoryBuffer(body)), TBinaryProtocol(reply))
        lost = b"LOSE THE ANSWER" in body
        return None if lost else (200, reply.getvalue())

    def OpenSession(self, request: Any) -> Any:
        handle = _handle()
        self.opened += 1
        self.sessions[handle.guid] = dict(request.configuration)
        version = ttypes.TProtocolVersion.SPARK_CLI_SERVICE_PROTOCOL_V8
        session = ttypes.TSessionHandle(handle)
        return ttypes.TOpenSessionResp(SUCCESS, version, sessionHandle=session, canUseMultipleCatalogs=True)

    def CloseSession(self, request: Any) -> Any:
        self.sessions.pop(request.sessionHandle.sessionId.guid, None)
        return ttypes.TCloseSessionResp(SUCCESS)

    def ExecuteStatement(self, request: Any) -> Any:
        if request.sessionHandle.sessionId.guid not in self.sessions:
            return ttypes.TExecuteStatementResp(LOST)
        self.statements.append(request.statement)
        handle = _handle()
        self.running[handle.guid] = request.statement
        kind = ttypes.TOperationType.EXECUTE_STATEMENT
        return ttypes.TExecuteStatementResp(SUCCESS, ttypes.TOperationHandle(handle, kind, True))

    def GetOperationStatus(self, request: Any) -> Any:
        statement = self.running[request.operationHandle.operationId.guid]
        if statement == "SLEEP":
            self.sleeping.set()
        state = STATES.get(statement, ttypes.TOperationState.FINISHED_STATE)
        return ttypes.TGetOperationStatusResp(SUCCESS, operationState=state)

    def CancelOperation(self, request: Any) -> Any:
        self.cancelled.append(self.running[request.operationHandle.operationId.guid])
        return ttypes.TCancelOperationResp(SUCCESS)

    def CloseOperation(self, request: Any) -> Any:
        self.running.pop(request.operationHandle.operationId.guid, None)
        return ttypes.TCloseOperationResp(SUCCESS)

    def FetchResults(self, request: Any) -> Any:
        rows = pa.record_batch({"a": pa.array([1], pa.int32())})
        batch = ttypes.TSparkArrowBatch(rows.serialize().to_pybytes(), rows.num_rows)
        entry = ttypes.TTypeEntry(primitiveEntry=ttypes.TPrimitiveTypeEntry(ttypes.TTypeId.INT_TYPE))
        metadata = ttypes.TGetResultSetMetadataResp(
            SUCCESS,
            ttypes.TTableSchema([ttypes.TColumnDesc("a", ttypes.TTypeDesc([entry]), 1)]),
            resultFormat=ttypes.TSparkRowSetType.ARROW_BASED_SET,
            lz4Compressed=False,
            arrowSchema=rows.schema.serialize().to_pybytes(),
        )
        results = ttypes.TRowSet(0, [], arrowBatches=[batch])
        return ttypes.TFetchResultsResp(SUCCESS, False, results, metadata)


def _handle() -> Any:
    return ttypes.THandleIdentifier(uuid.uuid4().bytes, b"secret")
