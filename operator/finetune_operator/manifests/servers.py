"""Servers that pods speak to: which may be spoken to, by which address, and what is shown there."""

import re
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from finetune_api.tracking import SecretKey
from finetune_operator.settings import ListedServer

_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SERVICE = re.compile(f"[a-z]([-a-z0-9]*[a-z0-9])?([.]{_LABEL})?")
"""A Service's name, alone or with its namespace. It begins with a letter: what does not may be a number, which is an
address too."""
_IN_CLUSTER = re.compile(f"({_LABEL}[.])+svc([.]cluster[.]local)?")
_PLAIN = re.compile(r"https?://[-.A-Za-z0-9]+(:[0-9]{1,5})?(/[^ ?#\\]*)?")
"""An address that every client reads alike."""
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Server:
    """The server that a manifest names."""

    field: str
    """Such as `spec.tracking.mlflow.server`."""
    address: str


@dataclass(frozen=True)
class Credential:
    """A secret that the client finds in its environment."""

    field: str
    """Such as `spec.tracking.mlflow.tokenSecret`."""
    variable: str
    secret: SecretKey


def address(server: str, namespace: str, listed: tuple[ListedServer, ...]) -> str | None:
    """The address to speak to; None for one that leads out of the cluster and that the administrator did not list.

    A Service's name, alone or with its namespace, is completed by `.svc`: `wandb.ai` could be either, and a name server
    that knows no such Service would ask the world for it."""
    parts = _parts(server)
    if parts is None:
        return None
    host = (parts.hostname or "").removesuffix(".")
    if any(_is_meant(entry, parts, host) for entry in listed):
        return server
    if _SERVICE.fullmatch(host) and not host.endswith(".svc"):
        service = host if "." in host else f"{host}.{namespace}"
        return parts._replace(netloc=_netloc(f"{service}.svc", parts)).geturl()
    return server if _IN_CLUSTER.fullmatch(host) else None


def _parts(server: str) -> SplitResult | None:
    """None where it is no address, or none that every client reads alike."""
    try:
        parts = urlsplit(server)
        return parts if _PLAIN.fullmatch(server) and parts.port != 0 else None
    except ValueError:  # a port that cannot be
        return None


def _is_meant(entry: ListedServer, parts: SplitResult, host: str) -> bool:
    port = parts.port or _PORTS[parts.scheme]
    same_scheme = entry.scheme in (None, parts.scheme)
    wanted_port = entry.port or (_PORTS[entry.scheme] if entry.scheme else port)
    return same_scheme and entry.host == host and wanted_port == port


def _netloc(host: str, parts: SplitResult) -> str:
    return host if parts.port is None else f"{host}:{parts.port}"
