"""The SQL warehouse as a TCLIService: what the generated Processor calls, one method for each request (FACTS 5.3).

Imports the SQL connector, whose Thrift classes these are; so import this module only when the warehouse is asked.
"""

from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

from databricks.sql.thrift_api.TCLIService import TCLIService, ttypes
from thrift.protocol.TBinaryProtocol import TBinaryProtocol
from thrift.transport.TTransport import TMemoryBuffer

from rowcall.core.errors import SetupError
from rowcall.sandbox.agents.faults import Fault
from rowcall.sandbox.warehouse.operations import Operation, State
from rowcall.sandbox.warehouse.sql_errors import SqlFailedError
from rowcall.sandbox.warehouse.sql_parameters import Parameter
from rowcall.sandbox.warehouse.statement_results import Ran
from rowcall.sandbox.warehouse.statement_runner import StatementRunner
from rowcall.sandbox.warehouse.thrift_results import metadata, row_set, sent_as
from rowcall.sandbox.warehouse.warehouse import HandleError, Session, Warehouse

DIRECT_SECONDS = 0.5
"""How long ExecuteStatement waits for a result to send along. The connector cannot cancel meanwhile."""
POLL_SECONDS = 0.2
"""How long GetOperationStatus waits for an end: the connector asks again at once."""
_VERSION = ttypes.TProtocolVersion.SPARK_CLI_SERVICE_PROTOCOL_V8
_OK = ttypes.TStatus(statusCode=ttypes.TStatusCode.SUCCESS_STATUS)
_STATES = {
    State.RUNNING: ttypes.TOperationState.RUNNING_STATE,
    State.FINISHED: ttypes.TOperationState.FINISHED_STATE,
    State.ERROR: ttypes.TOperationState.ERROR_STATE,
    State.CANCELED: ttypes.TOperationState.CANCELED_STATE,
}
_INFO = {
    ttypes.TGetInfoType.CLI_SERVER_NAME: "Spark SQL",
    ttypes.TGetInfoType.CLI_DBMS_NAME: "Spark SQL",
    ttypes.TGetInfoType.CLI_DBMS_VER: "4.0.0",
}


class HttpRefusedError(Exception):
    """A request that a fault answers with an HTTP status instead."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(f"HTTP {fault.status}")
        self.fault = fault


def answered(warehouse: Warehouse, request: bytes) -> bytes:
    """The reply to one request. Raises `HttpRefusedError`, and ValueError for what is no request of this protocol."""
    arriving, leaving = TMemoryBuffer(request), TMemoryBuffer()
    service = ThriftService(warehouse)
    try:
        protocol = TBinaryProtocol(arriving, string_length_limit=None, container_length_limit=None)
        TCLIService.Processor(service).process(protocol, TBinaryProtocol(leaving))
    except HttpRefusedError:
        raise
    except Exception as error:
        raise ValueError(f"no Thrift request: {error}") from error
    if service.refusal is not None:
        raise service.refusal
    return leaving.getvalue()


def _answers(response: Callable[..., Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """What goes wrong in a method becomes the status of its response."""

    def wrap(method: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(service: Any, req: Any) -> Any:
            try:
                return method(service, req)
            except HandleError as error:
                code = ttypes.TStatusCode.INVALID_HANDLE_STATUS
                status = ttypes.TStatus(statusCode=code, errorMessage=str(error), sqlState="HY000")
            except SqlFailedError as failure:
                status = _error(failure.text, failure.sqlstate)
            except SetupError as error:
                status = _error(str(error), "08000")
            return response(status=status)

        return wrapped

    return wrap


class ThriftService:
    """The handler of one request: nothing is kept here. The methods' names are the protocol's."""

    def __init__(self, warehouse: Warehouse) -> None:
        self._warehouse = warehouse
        self.refusal: HttpRefusedError | None = None

    @_answers(ttypes.TOpenSessionResp)
    def OpenSession(self, req: Any) -> Any:  # noqa: N802 (the protocol's names, here and below)
        names = req.initialNamespace
        catalog, schema = (names.catalogName, names.schemaName) if names else (None, None)
        session = self._warehouse.open_session(catalog, schema, req.configuration or {})
        handle = ttypes.TSessionHandle(_identifier(session.id), serverProtocolVersion=_VERSION)
        return ttypes.TOpenSessionResp(
            status=_OK,
            serverProtocolVersion=_VERSION,
            sessionHandle=handle,
            configuration=session.scope.configuration,
            initialNamespace=ttypes.TNamespace(session.scope.catalog, session.scope.schema),
            canUseMultipleCatalogs=True,
        )

    @_answers(ttypes.TCloseSessionResp)
    def CloseSession(self, req: Any) -> Any:  # noqa: N802 (the name is Thrift's)
        self._warehouse.close_session(_id(req.sessionHandle.sessionId))
        return ttypes.TCloseSessionResp(status=_OK)

    @_answers(ttypes.TGetInfoResp)
    def GetInfo(self, req: Any) -> Any:  # noqa: N802 (the name is Thrift's)
        self._session(req)
        value = ttypes.TGetInfoValue(stringValue=_INFO.get(req.infoType, ""))
        return ttypes.TGetInfoResp(status=_OK, infoValue=value)

    @_answers(ttypes.TExecuteStatementResp)
    def ExecuteStatement(self, req: Any) -> Any:  # noqa: N802 (the name is Thrift's)
        session = self._session(req)
        fault = self._warehouse.fault(req.statement)
        if fault is not None and fault.status is not None:
            self.refusal = HttpRefusedError(fault)
            return ttypes.TExecuteStatementResp(status=_OK)
        parameters = [_parameter(given) for given in req.parameters or ()]
        operation = self._warehouse.execute(session, req.statement, parameters, req.confOverlay or {}, fault)
        return _begun(ttypes.TExecuteStatementResp, operation, req)

    @_answers(ttypes.TGetCatalogsResp)
    def GetCatalogs(self, req: Any) -> Any:  # noqa: N802 (the name is Thrift's)
        return self._look_up(ttypes.TGetCatalogsResp, req, "catalogs", ())

    @_answers(ttypes.TGetSchemasResp)
    def GetSchemas(self, req: Any) -> Any:  # noqa: N802 (the name is Thrift's)
        return self._look_up(ttypes.TGetSchemasResp, req, "schemas", (req.catalogName, req.schemaName))

    @_answers(ttypes.TGetTablesResp)
    def GetTables(self, req: Any) -> Any:  # noqa: N802 (the name is Thrift's)
        patterns = (req.catalogName, req.schemaName, req.tableName)
        return self._look_up(ttypes.TGetTablesResp, req, "tables", patterns)

    @_answers(ttypes.TGetColumnsResp)
    def GetColumns(self, req: Any) -> Any:  # noqa: N802 (the name is Thrift's)
        patterns = (req.catalogName, req.schemaName, req.tableName, req.columnName)
        return self._look_up(ttypes.TGetColumnsResp, req, "columns", patterns)

    @_answers(ttypes.TGetOperationStatusResp)
    def GetOperationStatus(self, req: Any) -> Any:  # noqa: N802 (the name is Thrift's)
        operation = self._operation(req)
        operation.wait(POLL_SECONDS)
        return _status(operation)

    @_answers(ttypes.TGetResultSetMetadataResp)
    def GetResultSetMetadata(self, req: Any) -> Any:  # noqa: N802 (the name is Thrift's)
        return _metadata(self._operation(req))

    @_answers(ttypes.TFetchResultsResp)
    def FetchResults(self, req: Any) -> Any:  # noqa: N802 (the name is Thrift's)
        return _results(self._operation(req), req.maxRows, req.maxBytes)

    @_answers(ttypes.TCancelOperationResp)
    def CancelOperation(self, req: Any) -> Any:  # noqa: N802 (the name is Thrift's)
        self._operation(req).cancel()
        return ttypes.TCancelOperationResp(status=_OK)

    @_answers(ttypes.TCloseOperationResp)
    def CloseOperation(self, req: Any) -> Any:  # noqa: N802 (the name is Thrift's)
        self._warehouse.close_operation(_id(req.operationHandle.operationId))
        return ttypes.TCloseOperationResp(status=_OK)

    def _session(self, req: Any) -> Session:
        return self._warehouse.session(_id(req.sessionHandle.sessionId))

    def _operation(self, req: Any) -> Operation:
        return self._warehouse.operation(_id(req.operationHandle.operationId))

    def _look_up(self, response: Callable[..., Any], req: Any, what: str, patterns: Sequence[str | None]) -> Any:
        def look(runner: StatementRunner) -> Ran:
            return Ran(runner.looked_up(what, patterns))

        named = ", ".join(repr(pattern) for pattern in patterns)
        return _begun(response, self._warehouse.look_up(self._session(req), f"{what}({named})", look), req)


def _begun(response: Callable[..., Any], operation: Operation, req: Any) -> Any:
    """The reply to a request that begins an operation, with its first rows if they are wanted and there soon."""
    handle = ttypes.TOperationHandle(
        _identifier(operation.id), ttypes.TOperationType.EXECUTE_STATEMENT, hasResultSet=True
    )
    wanted = req.getDirectResults
    if wanted is None:
        return response(status=_OK, operationHandle=handle)
    operation.wait(DIRECT_SECONDS)
    direct = ttypes.TSparkDirectResults(operationStatus=_status(operation))
    if operation.state is State.FINISHED:
        direct.resultSetMetadata = _metadata(operation)
        direct.resultSet = _results(operation, wanted.maxRows, wanted.maxBytes)
    return response(status=_OK, operationHandle=handle, directResults=direct)


def _status(operation: Operation) -> Any:
    failure = operation.failure
    said = {} if failure is None else _said(failure)
    return ttypes.TGetOperationStatusResp(
        status=_OK,
        operationState=_STATES[operation.state],
        hasResultSet=operation.state is State.FINISHED,
        numModifiedRows=operation.modified,
        **said,
    )


def _said(failure: SqlFailedError) -> dict[str, str]:
    return {
        "sqlState": failure.sqlstate,
        "errorMessage": failure.text,
        "displayMessage": failure.text,
        "diagnosticInfo": f"org.apache.hive.service.cli.HiveSQLException: Error running query: {failure.text}",
    }


def _metadata(operation: Operation) -> Any:
    return metadata(sent_as(operation.result().slice(0, 0)).schema)


def _results(operation: Operation, rows: int | None, size: int | None) -> Any:
    fetched = operation.fetch(rows, size)
    sent = sent_as(fetched.table)
    return ttypes.TFetchResultsResp(
        status=_OK,
        hasMoreRows=fetched.more,
        results=row_set(sent, fetched.offset),
        resultSetMetadata=metadata(sent.schema),
    )


def _parameter(given: Any) -> Parameter:
    """A TSparkParameter, or one of its arguments (TSparkParameterValueArg)."""
    value = getattr(given.value, "stringValue", given.value)
    arguments = [_parameter(argument) for argument in given.arguments or ()]
    return Parameter(given.type, value, arguments, getattr(given, "name", None))


def _identifier(handle: UUID) -> Any:
    return ttypes.THandleIdentifier(guid=handle.bytes, secret=handle.bytes)


def _id(identifier: Any) -> UUID:
    try:
        return UUID(bytes=identifier.guid)
    except (TypeError, ValueError):
        raise HandleError("Invalid OperationHandle or SessionHandle: not one of this warehouse") from None


def _error(message: str, sqlstate: str) -> Any:
    return ttypes.TStatus(
        statusCode=ttypes.TStatusCode.ERROR_STATUS, errorMessage=message, displayMessage=message, sqlState=sqlstate
    )
