"""Sockets for the listen address."""

import socket

from pbs_exporter.config import ListenAddress
from pbs_exporter.errors import ListenError
from pbs_exporter.plain_text import first_line


def open_sockets(address: ListenAddress) -> list[socket.socket]:
    """Listen on every address that `address` resolves to. No host, or `::`, is all of IPv4 and IPv6.

    Raise `ListenError` with a message of one line.
    """
    try:
        if address.host in ("", "::"):
            return [_everywhere(address.port)]
        return _each(address)
    except OSError as error:
        # create_server adds the address, which the message has anyway.
        reason = first_line(error.strerror or str(error)).partition(" (while ")[0].lower()
        raise ListenError(f"can't listen on {address}: {reason}; [exporter] listen_address says where") from error


def _everywhere(port: int) -> socket.socket:
    if socket.has_dualstack_ipv6():
        return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
    return socket.create_server(("", port))


def _each(address: ListenAddress) -> list[socket.socket]:
    found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    opened: list[socket.socket] = []
    try:
        for family, sockaddr in dict.fromkeys((family, sockaddr) for family, _, _, _, sockaddr in found):
            opened.append(socket.create_server(sockaddr[:2], family=family))
    except OSError:
        for listening in opened:
            listening.close()
        raise
    return opened
