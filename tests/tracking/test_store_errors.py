"""What a store's error means: it passes by itself, the call is refused for good, or the run is gone."""

import pytest
from mlflow.exceptions import MlflowException, RestException
from requests import HTTPError, Response

from cifar_sweeps.tracking.store_errors import is_busy, is_gone, is_refusal


def answered(code, message):
    return RestException({"error_code": code, "message": message})


def of_artifacts(status, text):
    response = Response()
    response.status_code, response._content = status, text.encode()
    return HTTPError(f"{status} Error for url: http://h/run/1", response=response)


PASSING = [
    answered("BAD_REQUEST", "(psycopg2.InterfaceError) connection already closed\n[SQL: INSERT]"),
    answered("BAD_REQUEST", "(psycopg2.errors.ReadOnlySqlTransaction) cannot INSERT in a read-only transaction"),
    answered("BAD_REQUEST", "QueuePool limit of size 5 overflow 10 reached, connection timed out"),
    answered("INTERNAL_ERROR", "(psycopg2.OperationalError) server closed the connection unexpectedly"),
    answered("TEMPORARILY_UNAVAILABLE", "(psycopg2.errors.DeadlockDetected) deadlock detected"),
    of_artifacts(503, "<html>"),
    of_artifacts(500, "{}"),
    of_artifacts(
        400, '{"error_code": "BAD_REQUEST", "message": "(psycopg2.InterfaceError) connection already closed"}'
    ),
    of_artifacts(400, '{"error_code": "BAD_REQUEST", "message": "QueuePool limit of size 5 overflow 10 reached"}'),
    OSError("('Connection aborted.', ConnectionResetError(104, 'Connection reset by peer'))"),
]
REFUSED = [
    answered("BAD_REQUEST", "(psycopg2.errors.StringDataRightTruncation) too long\n[SQL: x]\n[values: 'a deadlock']"),
    answered("INVALID_PARAMETER_VALUE", "Invalid value for metric"),
    MlflowException("API request to endpoint /x failed with error code 413 != 200. Response body: '<html>'"),
    of_artifacts(413, "<html>"),
    of_artifacts(400, '{"error_code": "INVALID_PARAMETER_VALUE"}'),
]
NEITHER = [
    MlflowException("API request to endpoint /run failed with error code 400 != 200. Response body: '<html>'", 1),
    MlflowException("API request to endpoint /run failed with error code 404 != 200. Response body: '<html>'", 5),
    of_artifacts(400, "<html>"),
    of_artifacts(401, "<html>"),
]


@pytest.mark.parametrize(
    ("error", "busy", "refused"),
    [
        *((error, True, False) for error in PASSING),
        *((error, False, True) for error in REFUSED),
        *((error, False, False) for error in NEITHER),
    ],
    ids=str,
)
def test_what_an_error_means(error, busy, refused):
    assert (is_busy(error), is_refusal(error), is_gone(error)) == (busy, refused, False)


def test_a_run_that_the_store_does_not_know_is_gone():
    error = answered("RESOURCE_DOES_NOT_EXIST", "Run with id=1 not found")
    assert is_gone(error)
    assert not is_refusal(error)
