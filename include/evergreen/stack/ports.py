"""Free TCP ports on the loopback."""

from __future__ import annotations

import socket
from collections.abc import Mapping

from evergreen.errors import UserError

LOOPBACK = "127.0.0.1"
SERVERS = ("airflow", "mlflow", "gateway")


def choose(environ: Mapping[str, str], last: Mapping[str, int]) -> dict[str, int]:
    """A port per server: the one wished for, else the last start's if it is still free, else any free one.

    Args:
        environ: Read for ``EVERGREEN_AIRFLOW_PORT``, ``EVERGREEN_MLFLOW_PORT`` and ``EVERGREEN_GATEWAY_PORT``.
        last: Ports of the last start.

    Raises:
        UserError: A port that was wished for is taken or no port number.
    """
    chosen: dict[str, int] = {}
    for server in SERVERS:
        name = f"EVERGREEN_{server.upper()}_PORT"
        wish = environ.get(name, "")
        if wish:
            if not wish.isdigit() or not 0 < int(wish) < 65536:
                raise UserError(name, "must be a port from 1 to 65535", value=wish)
            if not is_free(int(wish)) or int(wish) in chosen.values():
                raise UserError(name, f"must be a free port, but {wish} is taken", remedy="Choose another or unset it.")
            chosen[server] = int(wish)
        elif server in last and last[server] not in chosen.values() and is_free(last[server]):
            chosen[server] = last[server]
        else:
            chosen[server] = free_port(taken=set(chosen.values()))
    return chosen


def is_free(port: int) -> bool:
    """Whether a server could listen on this port of the loopback now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the servers do: TIME_WAIT does not count
        try:
            probe.bind((LOOPBACK, port))
            probe.listen(1)
        except OSError:
            return False
    return True


def free_port(taken: set[int]) -> int:
    """A port that the system says is free, none of ``taken``."""
    while True:
        with socket.socket() as probe:
            probe.bind((LOOPBACK, 0))
            port = int(probe.getsockname()[1])
        if port not in taken:
            return port
