"""TLS on a port of the cluster."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerTls:
    """The files of a server's certificate and key.  With `client_ca_file`, clients must show a certificate of theirs.

    As `LIBPROCESS_SSL_CERT_FILE`, `…_KEY_FILE`, and `…_CA_FILE` with `LIBPROCESS_SSL_REQUIRE_CLIENT_CERT` do.
    """

    certificate_file: Path
    key_file: Path
    client_ca_file: Path | None = None

    def context(self) -> ssl.SSLContext:
        """The server's end of TLS.

        Raises:
            OSError: a file cannot be read, or is not what it should be.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate_file, self.key_file)
        if self.client_ca_file is not None:
            context.load_verify_locations(cafile=self.client_ca_file)
            context.verify_mode = ssl.CERT_REQUIRED
        return context
