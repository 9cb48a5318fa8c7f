"""As much of PostgreSQL's protocol as it takes to leave messages out of what a server sends."""

_SSL_REQUEST = 80877103
_GSS_REQUEST = 80877104
_TLS = 0x16  # begins a TLS session that was not asked for with a message
_NOTIFICATION = ord("A")
_HEADER = 5  # a type and a length


class ServerMessages:
    """Cuts the stream from a server into its messages, without keeping large ones in memory.

    A session that becomes encrypted passes as it is.
    """

    def __init__(self) -> None:
        self._begun = False  # the client has sent its startup message
        self._answers = 0  # single bytes to come, to requests for encryption
        self._opaque = False
        self._pending = bytearray()
        self._left = 0  # bytes of the current message
        self._leave_out = False

    def client_sent(self, data: bytes) -> None:
        """Look at what the client sent: requests for encryption are answered with one byte."""
        if self._begun:
            return
        asks = len(data) == 8 and int.from_bytes(data[4:]) in (_SSL_REQUEST, _GSS_REQUEST)
        self._answers += asks
        self._begun = not asks
        self._opaque |= data[0] == _TLS

    def server_sent(self, data: bytes, *, notifications: bool) -> bytes:
        """What of it to pass on now, with or without the notifications that begin in it."""
        self._pending += data
        passed = bytearray()
        while self._pending:
            if self._opaque:
                passed += self._take(len(self._pending))
            elif self._answers:
                self._answers -= 1
                self._opaque = self._pending[0] != ord("N")
                passed += self._take(1)
            elif self._left:
                piece = self._take(self._left)
                self._left -= len(piece)
                if not self._leave_out:
                    passed += piece
            elif len(self._pending) < _HEADER:
                break
            else:
                self._left = 1 + int.from_bytes(self._pending[1:_HEADER])
                self._leave_out = self._pending[0] == _NOTIFICATION and not notifications
        return bytes(passed)

    def _take(self, most: int) -> bytes:
        taken = bytes(self._pending[:most])
        del self._pending[:most]
        return taken
