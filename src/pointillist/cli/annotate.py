"""``pointillist annotate``: mark images in the browser."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    import socket

    from pointillist.data.dataset import Dataset
    from pointillist.errors import PointillistError

_PORT = 8765
_LOOPBACK = ("127.0.0.1", "localhost")
_SHORTEST_TOKEN = 16


def annotate(
    source: Annotated[
        Path, typer.Argument(metavar="DATASET_OR_FOLDER", help="A dataset, or a folder of images.", show_default=False)
    ],
    run: Annotated[
        Path | None, typer.Option(help="Show the predictions of this run first.", show_default=False)
    ] = None,
    runs: Annotated[
        Path | None, typer.Option(help="Folder of the runs; default: DATASET-runs beside it.", show_default=False)
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help=f"Default: {_PORT}, or the next that is free.", show_default=False),
    ] = None,
    host: Annotated[str, typer.Option(help="Another than this machine's own needs --token too.")] = "127.0.0.1",
    token: Annotated[
        str | None, typer.Option(help="What the address must hold; default: a new one.", show_default=False)
    ] = None,
    dataset: Annotated[
        Path | None,
        typer.Option(help="Where a folder of images becomes a dataset; default: FOLDER-dataset.", show_default=False),
    ] = None,
    author: Annotated[
        str | None, typer.Option(help="Noted in the strokes; default: your user name.", show_default=False)
    ] = None,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page.")] = True,
) -> None:
    """Mark images with points and scribbles in the browser, train, look, and correct.

    Needs the extra `app`. Example: pointillist annotate my_images
    """
    import logging
    import secrets

    try:
        from pointillist.app.server import serve
    except ModuleNotFoundError as error:
        raise _no_extra(error) from error
    from pointillist.app.classes import finish
    from pointillist.app.context import Context
    from pointillist.app.folder import dataset_of
    from pointillist.app.links import refuse_links_out
    from pointillist.app.only import only_server
    from pointillist.app.security import Door
    from pointillist.data.dataset import Dataset

    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    _check_address(host, token)
    folder, said = dataset_of(source, dataset)
    root = folder.resolve()
    refuse_links_out(root)
    with only_server(root), _listen(host, port) as listening:
        finish(root)
        number = listening.getsockname()[1]
        door = Door(number, token or secrets.token_urlsafe(24), _LOOPBACK if host in _LOOPBACK else (host,))
        context = Context(
            _for_marks(Dataset.open(root)),
            door,
            runs=runs or (root.with_name(f"{root.name}-runs") if run is None else run.resolve().parent),
            run=None if run is None else run.resolve().name,
            author=author or _user(),
        )
        address = f"http://{host}:{number}/?token={door.token}"
        count = len(context.dataset.training)
        typer.echo(
            f"{said}\n{context.dataset.name}: {count} cases in {root}\n  {address}\nCtrl-C ends the server.".strip()
        )
        if browser:
            _open(address)
        try:
            serve(context, listening)
        except KeyboardInterrupt:
            typer.echo("Everything is saved.")


def _for_marks(dataset: Dataset) -> Dataset:
    from pointillist.errors import DatasetError

    if not dataset.sparse or not dataset.training:
        raise DatasetError(
            "this dataset has no room for marks",
            where=dataset.root / "dataset.json",
            expected='images in imagesTr, and a label "ignore" for what nobody marked',
            received="labels that are dense truth" if dataset.training else "no training images",
            todo="make a dataset for marks with `pointillist annotate FOLDER_OF_IMAGES`",
        )
    return dataset


def _no_extra(error: ModuleNotFoundError) -> PointillistError:
    from pointillist.errors import InputError

    return InputError(
        "the annotation app is not installed",
        where="extra app",
        expected="starlette, uvicorn and python-multipart",
        received=str(error),
        todo="pip install 'pointillist[app]'",
    )


def _check_address(host: str, token: str | None) -> None:
    from pointillist.errors import InputError

    if token is not None and len(token) < _SHORTEST_TOKEN:
        raise InputError(
            "the token is too short to keep others out",
            where="--token",
            expected=f"at least {_SHORTEST_TOKEN} characters",
            received=f"{len(token)} characters",
            todo="choose a longer one, or leave it out",
        )
    if host not in _LOOPBACK and token is None:
        raise InputError(
            "a server that others can reach needs a token of your choice",
            where="--host",
            expected="127.0.0.1, or --host together with --token",
            received=host,
            todo="say --token too; the connection is not encrypted, so prefer `ssh -L` to --host",
        )


def _listen(host: str, port: int | None) -> socket.socket:
    """A socket on the port, or where none was named on the first free one from the usual one on."""
    import socket

    from pointillist.errors import InputError

    failure: OSError | None = None
    for number in range(_PORT, _PORT + 20) if port is None else (port,):
        # named as TCP, so that asyncio sends small answers at once (TCP_NODELAY) and not 40 ms later
        listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((host, number))
            listening.listen(128)
        except OSError as error:
            listening.close()
            failure = error
        else:
            return listening
    raise InputError(
        "the server cannot listen there",
        where=f"{host}, port {port or _PORT}",
        expected="an address of this machine, and a port that nothing else uses",
        received=failure and failure.strerror,
        todo="say another --port, or end the other server",
    )


def _user() -> str | None:
    import getpass

    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container without user names
        return None


def _open(address: str) -> None:
    """Open the page as soon as the server answers; it listens already."""
    import threading
    import webbrowser

    threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
