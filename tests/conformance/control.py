"""The kit's control program: `control.py SOCKET VERB [AGENT]`, passed on to a simulated cluster."""

import socket
import sys

SECONDS_MAX = 100


def main() -> int:
    """Pass the request on; 0 when it is done."""
    path, *words = sys.argv[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(SECONDS_MAX)
        connection.connect(path)
        connection.sendall(" ".join(words).encode() + b"\n")
        answer = connection.makefile().readline().strip()
    if answer != "ok":
        sys.stderr.write(f"{answer}\n")
    return answer != "ok"


if __name__ == "__main__":
    sys.exit(main())
