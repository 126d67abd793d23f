"""Errors as RFC 9457 problems.

Owns their form on HTTP. Must not know where they are raised.
"""

import logging
from typing import Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from anypod.core.errors import CODES, AnypodError, Code
from anypod.core.problems import MEDIA_TYPE, problem_body, problem_headers
from anypod.telemetry import Metrics

logger = logging.getLogger(__name__)

_CODE_OF_STATUS: Final[dict[int, Code]] = {404: "not_found", 405: "method_not_allowed", 413: "too_large", 401: "not_authenticated"}


def problem_response(error: AnypodError) -> Response:
    return Response(problem_body(error), error.row.status, problem_headers(error), media_type=MEDIA_TYPE)


def install(app: FastAPI, metrics: Metrics) -> None:
    """Every error of the application leaves in this form."""

    async def anypod_error(request: Request, error: Exception) -> Response:
        assert isinstance(error, AnypodError)
        metrics.errors[error.code] += 1
        return problem_response(error)

    async def http_error(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        code = _CODE_OF_STATUS.get(error.status_code, "malformed" if error.status_code < 500 else "internal")
        metrics.errors[code] += 1
        response = problem_response(AnypodError(code))
        response.headers.update(error.headers or {})  # Allow, beside 405
        return response

    async def invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        places = ", ".join(sorted({".".join(str(part) for part in item["loc"]) for item in error.errors()}))
        metrics.errors["malformed"] += 1
        return problem_response(AnypodError("malformed", f"not valid: {places}"[:400]))

    async def failed(request: Request, error: Exception) -> Response:
        metrics.errors["internal"] += 1
        logger.error("a request failed: %s %s", request.method, request.scope.get("route", request.url.path), exc_info=error)
        return problem_response(AnypodError("internal"))

    app.add_exception_handler(AnypodError, anypod_error)
    app.add_exception_handler(HTTPException, http_error)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(Exception, failed)


assert all(code in CODES for code in _CODE_OF_STATUS.values())
