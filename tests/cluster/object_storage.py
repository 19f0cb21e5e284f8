"""A storage that speaks S3 over TLS, in this process."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from moto import settings
from moto.server import DomainDispatcherApplication, create_backend_app
from private_authority import SERVER_CERTIFICATE, SERVER_KEY
from werkzeug.serving import make_server


@contextmanager
def serving(address: str, certificates: Path) -> Iterator[str]:
    """Enters as the endpoint, at a free port of the address."""
    # The bucket is in the path, as with MinIO, and not in the server's name.
    settings.S3_IGNORE_SUBDOMAIN_BUCKETNAME = True
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / SERVER_CERTIFICATE, certificates / SERVER_KEY)
    application = DomainDispatcherApplication(create_backend_app)
    server = make_server(address, 0, application, threaded=True, ssl_context=context)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"https://{address}:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
