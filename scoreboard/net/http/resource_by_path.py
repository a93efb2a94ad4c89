"""A listener for sockets alone: no routes, no Klein, only resources that answer for themselves or take the connection over."""

from __future__ import annotations

from collections.abc import Mapping

from twisted.web.resource import IResource, Resource
from twisted.web.server import NOT_DONE_YET

from scoreboard.net.http.request import Request


class ResourceByPath(Resource):
    """The root resource of such a listener: ``by_path`` says whose a path is, ``otherwise`` answers for all others."""

    isLeaf = True  # noqa: N815 -- twisted.web's name

    def __init__(self, by_path: Mapping[bytes, IResource], otherwise: IResource) -> None:
        super().__init__()
        self._by_path = by_path
        self._otherwise = otherwise

    def render(self, request: Request) -> int:
        """Hand the request over."""
        request.hand_over(self._by_path.get(request.path, self._otherwise))
        return NOT_DONE_YET
