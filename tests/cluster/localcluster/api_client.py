"""The few calls to the API server that the cluster itself needs, over the standard library."""

from __future__ import annotations

import http.client
import json
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from localcluster.errors import ClusterError

TIMEOUT_SECONDS = 10


@dataclass(frozen=True)
class Answer:
    status: int
    body: dict[str, Any]


class ApiClient:
    """A connection by a kubeconfig that the cluster wrote itself (JSON, with certificates by path)."""

    def __init__(self, kubeconfig_file: Path) -> None:
        kubeconfig = json.loads(kubeconfig_file.read_text())
        self._server = urlsplit(kubeconfig["clusters"][0]["cluster"]["server"])
        user = kubeconfig["users"][0]["user"]
        self._tls = ssl.create_default_context(cafile=kubeconfig["clusters"][0]["cluster"]["certificate-authority"])
        self._tls.load_cert_chain(user["client-certificate"], user["client-key"])

    def call(self, method: str, path: str, body: object = None, content_type: str = "application/json") -> Answer:
        connection = http.client.HTTPSConnection(
            self._server.hostname or "", self._server.port, context=self._tls, timeout=TIMEOUT_SECONDS
        )
        try:
            content = json.dumps(body) if body is not None else None
            connection.request(method, path, content, {"Content-Type": content_type, "Accept": "application/json"})
            response = connection.getresponse()
            return Answer(response.status, _parsed(response.read()))
        finally:
            connection.close()

    def get(self, path: str) -> Answer:
        """An API server that does not listen yet answers as one that is not ready."""
        try:
            return self.call("GET", path)
        except OSError:
            return Answer(503, {})

    def is_ready(self) -> bool:
        return self.get("/readyz").status == 200

    def read(self, path: str) -> dict[str, Any]:
        """An object; empty when there is none."""
        answer = self.get(path)
        return answer.body if answer.status == 200 else {}

    def create(self, path: str, body: object) -> None:
        """Creates an object unless it is there already."""
        answer = self.call("POST", path, body)
        if answer.status not in (200, 201, 409):
            raise ClusterError(f"the API server refused to create an object at {path}: {answer.body.get('message')}")


def _parsed(content: bytes) -> dict[str, Any]:
    try:
        parsed = json.loads(content)
    except json.JSONDecodeError:
        return {}
    return parsed if isinstance(parsed, dict) else {}
