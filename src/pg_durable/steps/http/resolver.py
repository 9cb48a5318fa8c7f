"""From names to addresses that may be connected to, and sockets for no others."""

import asyncio
import socket
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address

from aiohttp.abc import AbstractResolver, ResolveResult

from pg_durable.steps.http.addresses import Address
from pg_durable.steps.http.policy import Policy, restricted

# Threads of their own: name servers that do not answer must hold up nothing but HTTP steps.
_THREADS = 32

AddressInfo = tuple[int, int, int, str, tuple[str | int, ...]]


class Resolver(AbstractResolver):
    """The operating system's resolver, less the addresses that the policy forbids."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="pg_durable:dns")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The addresses of a host that may be connected to.

        Raises:
            NotAllowed: it has none but others.
            OSError: it cannot be found.
        """
        found = await asyncio.get_running_loop().run_in_executor(
            self._threads, look_up, host, port, family
        )
        addresses = [str(place[0]) for *_, place in found if len(place) >= 2]
        allowed = [text for text in addresses if self._policy.allows(_address(text), port)]
        if addresses and not allowed:
            raise restricted(host)
        return [
            ResolveResult(
                hostname=host,
                host=text,
                port=port,
                family=socket.AF_INET6 if ":" in text else socket.AF_INET,
                proto=socket.IPPROTO_TCP,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for text in dict.fromkeys(allowed)
        ]

    async def close(self) -> None:
        """Let the threads go."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def open_socket(self, info: AddressInfo) -> socket.socket:
        """A socket for one address: every connection comes by here, whatever led to it.

        Raises:
            PermissionError: the policy forbids it.
        """
        family, kind, protocol, _, place = info
        if not self._policy.allows(_address(str(place[0])), int(place[1])):
            raise PermissionError(f"{place[0]} is in a restricted range")
        return socket.socket(family, kind, protocol)


def look_up(host: str, port: int, family: int) -> list[AddressInfo]:
    """What the operating system finds; to be called in a thread."""
    return socket.getaddrinfo(  # type: ignore[return-value]
        host, port, family=family, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG
    )


def _address(text: str) -> Address:
    return ip_address(text.partition("%")[0])
