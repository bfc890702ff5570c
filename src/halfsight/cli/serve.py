"""``halfsight serve``: the report in a browser, on this machine."""

from __future__ import annotations

import socket
from typing import Annotated

import typer

from halfsight.cli import console


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command(epilog="Example: halfsight serve --port 8000 --model triq")
    def serve(
        port: Annotated[
            int, typer.Option(min=0, max=65535, help="Port; 0 takes any that is free.")
        ] = 8000,
        host: Annotated[
            str, typer.Option(help="Address to listen on; by default this machine alone.")
        ] = "127.0.0.1",
        allow_host: Annotated[
            list[str] | None,
            typer.Option(
                "--allow-host", help="A host name by which browsers may call the server; repeat."
            ),
        ] = None,
        model: Annotated[
            list[str] | None,
            typer.Option(
                "--model",
                "-m",
                help="Model name, or a .safetensors or .onnx file; repeat to compare models.",
            ),
        ] = None,
        max_photographs: Annotated[int, typer.Option(min=1, help="In one request.")] = 6,
        max_megabytes: Annotated[float, typer.Option(help="Largest file.")] = 20.0,
        max_megapixels: Annotated[float, typer.Option(help="Largest photograph.")] = 50.0,
        max_seconds: Annotated[
            float, typer.Option(help="Longest time for one photograph with one model.")
        ] = 120.0,
        workers: Annotated[int, typer.Option(min=1, max=8, help="Jobs worked on at once.")] = 1,
        waiting: Annotated[int, typer.Option(min=0, help="Jobs that may wait beyond those.")] = 16,
        keep_minutes: Annotated[
            float, typer.Option(help="How long results are kept, then deleted.")
        ] = 15.0,
        offline: console.Online = True,
    ) -> None:
        """Serve a page to drop photographs on, and a REST interface (/openapi.json)."""
        try:
            import uvicorn

            from halfsight.web.app import create_app
        except ModuleNotFoundError as error:
            if error.name not in ("uvicorn", "fastapi", "starlette"):
                raise
            console.usage(
                f"got no {error.name}, expected the web extra; pip install 'halfsight[web]'"
            )
        from halfsight.web.guard import LOOPBACK
        from halfsight.web.limits import Limits
        from halfsight.web.shelf import Shelf

        hosts = host_names(host, allow_host or [])
        try:
            limits = Limits(
                photographs=max_photographs,
                megabytes=max_megabytes,
                megapixels=max_megapixels,
                seconds=max_seconds,
                workers=workers,
                waiting=waiting,
                minutes=keep_minutes,
            )
        except ValueError as error:
            console.usage(str(error))
        listening = _listen(host, port)
        with listening:
            given = model or ["triq"]
            shelf = Shelf.of([(name, console.load_model(name, offline=offline)) for name in given])
            application = create_app(shelf, limits=limits, hosts=hosts or LOOPBACK)
            shown = f"[{host}]" if ":" in host else host
            number = listening.getsockname()[1]
            typer.echo(
                f"halfsight serves http://{shown}:{number} ({', '.join(shelf.models)}); "
                "Ctrl-C stops it"
            )
            server = uvicorn.Server(
                uvicorn.Config(
                    application,
                    log_level="warning",
                    access_log=False,  # the addresses of results are their only lock
                    proxy_headers=False,
                    server_header=False,
                    # longer than clients keep idle connections: else one is closed just as they
                    # send on it, and their request is lost
                    timeout_keep_alive=75,
                    timeout_graceful_shutdown=5,
                )
            )
            server.run(sockets=[listening])


def host_names(host: str, allowed: list[str]) -> list[str]:
    """Host names to answer to; empty for those of this machine alone."""
    named = [f"[{name}]" if name.count(":") > 1 and name[0] != "[" else name for name in allowed]
    if host in ("127.0.0.1", "localhost", "::1"):
        return [*named, "localhost", "127.0.0.1", "[::1]"] if named else []
    if not named and host in ("0.0.0.0", "::", ""):
        console.usage(
            f"got --host {host or 'of no name'}, which other machines can reach, expected the "
            "names they call it by; add --allow-host NAME"
        )
    return [*named, f"[{host}]" if ":" in host else host]


def _listen(host: str, port: int) -> socket.socket:
    """A listening socket, or exit code 2 with one line that says why not."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
    except OSError as error:
        console.usage(
            f"got --host {host} --port {port}: {error.strerror or error}; "
            "use another --port, or 0 for any that is free"
        )
    return listening
