"""Root resource of the WebSocket port: a table from paths to resources, without Klein."""

from __future__ import annotations

from collections.abc import Mapping

from twisted.web.resource import IResource, Resource
from twisted.web.server import NOT_DONE_YET

from scoreboard.net.http.request import Request


class ResourceByPath(Resource):
    """Resource that hands each request over to the resource of its path, or to ``otherwise``."""

    isLeaf = True  # noqa: N815 -- twisted.web's name

    def __init__(self, by_path: Mapping[bytes, IResource], otherwise: IResource) -> None:
        super().__init__()
        self._by_path = by_path
        self._otherwise = otherwise

    def render(self, request: Request) -> int:
        """Hand the request over."""
        request.hand_over(self._by_path.get(request.path, self._otherwise))
        return NOT_DONE_YET
