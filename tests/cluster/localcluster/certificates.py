"""Certificates of one cluster, by openssl: a CA, a serving certificate, and one client each."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from localcluster.errors import ClusterError


@dataclass(frozen=True)
class Subject:
    """Who a client certificate says that its holder is: a Kubernetes user and its group."""

    file_name: str
    user: str
    group: str = ""

    @property
    def distinguished_name(self) -> str:
        return f"/O={self.group}/CN={self.user}" if self.group else f"/CN={self.user}"


def clients(node_name: str) -> tuple[Subject, ...]:
    return (
        Subject("admin", "admin", "system:masters"),
        Subject("apiserver-kubelet-client", "kube-apiserver-kubelet-client", "system:masters"),
        Subject("controller-manager", "system:kube-controller-manager"),
        Subject("scheduler", "system:kube-scheduler"),
        Subject("kube-proxy", "system:kube-proxy"),
        Subject("kubelet", f"system:node:{node_name}", "system:nodes"),
    )


def create(folder: Path, *, node_name: str, server_addresses: tuple[str, ...]) -> None:
    folder.mkdir(parents=True, mode=0o700)
    _key(folder / "service-accounts.key")
    _openssl("pkey", "-in", folder / "service-accounts.key", "-pubout", "-out", folder / "service-accounts.pub")
    _certificate_authority(folder)
    for subject in clients(node_name):
        _sign(folder, subject, "extendedKeyUsage=clientAuth")
    names = [f"IP:{address}" for address in server_addresses]
    names += ["DNS:localhost", "DNS:kubernetes.default.svc", "DNS:kubernetes"]
    extensions = f"extendedKeyUsage=serverAuth\nsubjectAltName={','.join(names)}"
    _sign(folder, Subject("apiserver", "kube-apiserver"), extensions)


def _certificate_authority(folder: Path) -> None:
    _key(folder / "ca.key")
    _openssl(
        *("req", "-x509", "-new", "-key", folder / "ca.key", "-subj", "/CN=kubernetes", "-days", "3650"),
        *("-addext", "keyUsage=critical,keyCertSign,digitalSignature", "-out", folder / "ca.crt"),
    )


def _sign(folder: Path, subject: Subject, extensions: str) -> None:
    key, request, certificate = (folder / f"{subject.file_name}.{suffix}" for suffix in ("key", "csr", "crt"))
    extension_file = folder / f"{subject.file_name}.ext"
    extension_file.write_text(f"basicConstraints=CA:FALSE\nkeyUsage=critical,digitalSignature\n{extensions}\n")
    _key(key)
    _openssl("req", "-new", "-key", key, "-subj", subject.distinguished_name, "-out", request)
    _openssl(
        *("x509", "-req", "-in", request, "-CA", folder / "ca.crt", "-CAkey", folder / "ca.key", "-CAcreateserial"),
        *("-days", "3650", "-extfile", extension_file, "-out", certificate),
    )
    request.unlink()
    extension_file.unlink()


def _key(path: Path) -> None:
    _openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", path)


def _openssl(*arguments: str | Path) -> None:
    command = ["openssl", *map(str, arguments)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise ClusterError(
            f"{' '.join(command)} failed", log_tail=result.stderr, remedy="look whether the disk is full"
        )
