"""`/_state`, `/_account`, `/_reset`, `/_faults`, `/_settings`: the simulator's own routes."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from airflow_provider_qwenimage.simulator.vendor import GATEWAYS

if TYPE_CHECKING:
    from starlette.requests import Request

    from airflow_provider_qwenimage.simulator.state import State

_BAD_REQUEST = 400


class Control:
    """Reads and steers one simulator over HTTP."""

    def __init__(self, state: State) -> None:
        self._state = state

    def routes(self) -> list[Route]:
        """The control paths."""
        return [
            Route("/", self.index),
            Route("/_state", self.show),
            Route("/_account", self.account),
            Route("/_reset", self.reset, methods=["POST"]),
            Route("/_faults", self.arm, methods=["POST"]),
            Route("/_settings", self.change, methods=["GET", "POST"]),
        ]

    async def index(self, request: Request) -> Response:
        """List the base URLs."""
        base = f"{request.url.scheme}://{request.headers['host']}"
        return JSONResponse(
            {"gateways": {name: f"{base}/{name}" for name in GATEWAYS}, "state": f"{base}/_state"}
        )

    async def show(self, request: Request) -> Response:  # noqa: ARG002
        """Tell what was seen and billed."""
        return JSONResponse(self._state.snapshot())

    async def account(self, request: Request) -> Response:  # noqa: ARG002
        """Tell what the account limits let pass, and what they refused."""
        return JSONResponse(self._state.accounts.snapshot())

    async def reset(self, request: Request) -> Response:  # noqa: ARG002
        """Forget what was seen; settings stay."""
        self._state.reset()
        return JSONResponse({"reset": True})

    async def arm(self, request: Request) -> Response:
        """Arm one fault or a list of them."""
        try:
            body: Any = await request.json()
            for spec in body if isinstance(body, list) else [body]:
                self._state.faults.arm(**spec)
        except (TypeError, ValueError) as error:
            return JSONResponse({"error": str(error)}, _BAD_REQUEST)
        return JSONResponse({"waiting": self._state.faults.waiting()})

    async def change(self, request: Request) -> Response:
        """Show the settings, or change some."""
        if request.method == "POST":
            try:
                self._state.settings.change(await request.json())
            except (TypeError, ValueError) as error:
                return JSONResponse({"error": str(error)}, _BAD_REQUEST)
        return JSONResponse(
            {**asdict(self._state.settings), "key": "***", "keys": len(self._state.settings.keys)}
        )
