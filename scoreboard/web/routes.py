"""Dispatcher: it finds the handler of a request in Klein's table, and turns the handler's result into the response.

Klein declares the routes; a dict finds them. With KleinResource and werkzeug's matcher a read of the board from memory took 72 µs
of the reactor's time, without them 36 (measured with httpload; docs/performance.md). KleinResource also cancels a handler whose
client disconnects; here handlers finish what they began. werkzeug still matches a path with variables.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final, cast

from klein import Klein
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.resource import IResource, Resource
from twisted.web.server import NOT_DONE_YET
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from scoreboard.domain.errors import StoreUnavailable
from scoreboard.domain.refusals import Reason, Refusal, Refused, unavailable
from scoreboard.net.http.cors import Cors
from scoreboard.net.http.refusals import FAULT_RESPONSE, NOT_FOUND, refused
from scoreboard.net.http.request import Request
from scoreboard.net.http.response import Response

#: No route has an escape, a dot segment or an empty one in its path.
_PLAIN_PATH: Final = re.compile(rb"(?:/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+")
_STORE_AWAY: Final = unavailable("A store cannot be reached; try again")

_READS: Final = (b"GET", b"HEAD")
_ALL_METHODS: Final = b"GET, HEAD, OPTIONS, POST, PUT"
_NO_ARGUMENTS: Final[Mapping[str, Any]] = {}

#: A handler returns a response, a refusal, or a resource that takes the connection over.
HandlerResult = Response | Refusal | IResource


class Routes(Resource):
    """Root resource of the site. ``app`` is a Klein bound to its handlers.

    ``recheck`` raises Refused if the request's player may no longer get a response; it runs before the response to each read that
    may have waited. ``count_unmatched`` counts a request that matches no route and raises Refused after too many of them.
    """

    isLeaf = True  # noqa: N815 -- twisted.web's name
    _log = Logger()

    def __init__(
        self,
        app: Klein,
        *,
        cors: Cors,
        recheck: Callable[[Request], None],
        count_unmatched: Callable[[Request], Coroutine[Any, Any, None]],
    ) -> None:
        super().__init__()
        self._app = app
        self._cors = cors
        self._recheck = recheck
        self._count_unmatched = count_unmatched
        self._variable = app.url_map.bind("")
        self._exact: dict[bytes, dict[bytes, str]] = {}
        for rule in app.url_map.iter_rules():
            if not rule.arguments:
                endpoints = self._exact.setdefault(rule.rule.encode(), {})
                endpoints.update({method.encode(): rule.endpoint for method in rule.methods or ()})

    def render(self, request: Request) -> int:
        """Respond, now or later."""
        request.header_lines = self._cors.lines_for(request.getHeader(b"Origin"))
        try:
            result = self._ask(request)
            if isinstance(result, Deferred):
                result.addCallback(self._say_after_wait, request).addErrback(self._fail, request)
            else:
                self._say(result, request)
        except Exception:
            self._fail(Failure(), request)
        return NOT_DONE_YET

    def _ask(self, request: Request) -> Deferred[HandlerResult] | HandlerResult:
        path, method = request.path, request.method
        if (method, path) == (b"OPTIONS", b"*"):  # the server as a whole (RFC 9110, 9.3.7)
            return ensureDeferred(self._answer_unmatched(self._preflight(_ALL_METHODS, request), request))
        known = self._exact.get(path)
        endpoints, arguments = (known, _NO_ARGUMENTS) if known is not None else self._match(path, method)
        if not endpoints:
            return ensureDeferred(self._answer_unmatched(NOT_FOUND, request))
        endpoint = endpoints.get(method)
        if endpoint is not None:
            request.endpoint = endpoint
            return cast("Deferred[HandlerResult] | HandlerResult", self._app.execute_endpoint(endpoint, request, **arguments))
        methods = b", ".join(sorted([*endpoints, b"OPTIONS"]))
        if method == b"OPTIONS":
            return ensureDeferred(self._answer_unmatched(self._preflight(methods, request), request))
        request.header_lines += b"Allow: %b\r\n" % methods
        wrong = Refusal(reason=Reason.METHOD_NOT_ALLOWED, message=f"This path takes only {methods.decode('ascii')}")
        return ensureDeferred(self._answer_unmatched(wrong, request))

    def _preflight(self, methods: bytes, request: Request) -> Response:
        return self._cors.preflight(methods, request.getHeader(b"Access-Control-Request-Headers"))

    async def _answer_unmatched(self, result: HandlerResult, request: Request) -> HandlerResult:
        await self._count_unmatched(request)
        return result

    def _match(self, path: bytes, method: bytes) -> tuple[dict[bytes, str], Mapping[str, Any]]:
        """(endpoints by method, the variables in the path); no endpoint if there is no such path."""
        if _PLAIN_PATH.fullmatch(path) is None:
            return {}, _NO_ARGUMENTS
        try:
            rule, arguments = self._variable.match(path.decode("ascii"), method.decode("ascii"), return_rule=True)
        except MethodNotAllowed as wrong:
            return {method.encode(): "none" for method in wrong.valid_methods or ()}, _NO_ARGUMENTS
        except HTTPException:
            return {}, _NO_ARGUMENTS
        return {known.encode(): rule.endpoint for known in rule.methods or ()}, arguments

    def _say_after_wait(self, result: HandlerResult, request: Request) -> None:
        """Respond for a handler that may have waited. A read is checked again; a write is not, since its effect is committed."""
        if request.method in _READS:
            self._recheck(request)
        self._say(result, request)

    def _say(self, result: HandlerResult, request: Request) -> None:
        if isinstance(result, Refusal):
            result = refused(result, request)
        if isinstance(result, Response):
            request.respond(result)
        else:
            request.hand_over(result)

    def _fail(self, failure: Failure, request: Request) -> None:
        """Respond to an exception: a refusal and an unavailable store have their own responses; all else is a logged fault."""
        if isinstance(failure.value, Refused):
            self._say(failure.value.refusal, request)
        elif isinstance(failure.value, StoreUnavailable):
            self._say(_STORE_AWAY, request)
        else:
            self._log.failure("A handler failed at {route}", failure, route=request.endpoint)
            request.respond(FAULT_RESPONSE)
