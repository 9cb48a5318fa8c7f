"""A session whose server resets it, on the event loop that workers use."""

import asyncio
import socket
import struct
import threading

import pytest

from pg_durable.wire import ConnectionLost, Wire

uvloop = pytest.importorskip("uvloop")

_PATIENCE = 10.0  # seconds


def _message(kind: bytes, body: bytes = b"") -> bytes:
    return kind + struct.pack("!I", len(body) + 4) + body


_WELCOME = (
    _message(b"R", struct.pack("!I", 0))
    + _message(b"S", b"client_encoding\0UTF8\0")
    + _message(b"Z", b"I")
)
_PARSED = _message(b"1")


def _answer_partly_and_reset(listener: socket.socket, done: threading.Event) -> None:
    client, _ = listener.accept()
    client.recv(10_000)
    client.sendall(_WELCOME)
    client.recv(10_000)
    client.sendall(_PARSED)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    done.set()


def test_a_reset_that_comes_together_with_data_is_noticed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port, done = listener.getsockname()[1], threading.Event()
        server = threading.Thread(target=_answer_partly_and_reset, args=(listener, done))
        server.start()

        async def ask() -> None:
            wire = await Wire.connect(
                f"host=127.0.0.1 port={port} sslmode=disable gssencmode=disable user=x dbname=x"
            )
            wire.execute("select 1")
            answered = wire.sync()
            done.wait(_PATIENCE)  # holds up the loop, so that it hears of both at once
            async with asyncio.timeout(_PATIENCE):
                await answered

        with pytest.raises(ConnectionLost):
            uvloop.run(ask())
        server.join()
