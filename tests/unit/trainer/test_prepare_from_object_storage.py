"""A dataset in a storage that speaks S3: downloaded over real HTTP, and a failure told by whose fault it is."""

from __future__ import annotations

import hashlib
import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import boto3
import object_storage
import private_authority
import pytest
from botocore.config import Config
from moto.server import ThreadedMotoServer
from workplaces import Workplace, eps_rows

from finetune_api.exit_codes import ExitCode
from finetune_api.orders import Location, ObjectLocation
from finetune_trainer import prepare_training
from finetune_trainer.failures import InfrastructureError, TrainerFailure, UserError
from finetune_trainer.fetching.download import download
from finetune_trainer.fetching.failures import as_failure

BUCKET, KEY = "datasets", "earnings/v3/train.jsonl"
CONTENT = "".join(json.dumps(row) + "\n" for row in eps_rows(40)).encode()
HASTY = Config(connect_timeout=1, read_timeout=1, retries={"total_max_attempts": 1}, s3={"addressing_style": "path"})


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "reader\n")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret\n")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture(scope="module")
def storage() -> Iterator[str]:
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield filled(f"http://{host}:{port}")
    server.stop()


def filled(endpoint: str, verify: str | None = None) -> str:
    client = boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id="owner",
        aws_secret_access_key="secret",
        verify=verify,
    )
    client.create_bucket(Bucket=BUCKET)
    client.put_object(Bucket=BUCKET, Key=KEY, Body=CONTENT)
    return endpoint


def wanted(endpoint: str, **changes: Any) -> ObjectLocation:
    given = {"endpoint": endpoint, "bucket": BUCKET, "key": KEY, "region": "us-east-1", "secret": "minio-reader"}
    return ObjectLocation(**{**given, "manifest_field": "spec.dataset.s3", **changes})


def prepare(workplace: Workplace, source: ObjectLocation) -> Any:
    place = Location(volume=str(workplace.directory), path="source/dataset.jsonl", manifest_field="spec.dataset.s3.key")
    order = workplace.prepare_order().model_copy(update={"dataset": place, "dataset_object": source})
    return prepare_training.run(order, workplace.reporter)


def failure(source: ObjectLocation, folder: Path, **limits: Any) -> TrainerFailure:
    """As prepare tells it, without waiting for a storage that does not answer."""
    try:
        download(source, folder / "dataset.jsonl", lambda done, size: None, settings=HASTY, **limits)
    except TrainerFailure as told:
        return told
    except Exception as error:
        told = as_failure(error, source)
        assert told is not None
        return told
    pytest.fail("it was downloaded")


def test_prepare_reads_it_like_a_mounted_one_and_tells_where_it_is_from(workplace: Workplace, storage: str) -> None:
    mounted = prepare_training.run(workplace.prepare_order(), workplace.reporter)
    assert prepare(workplace, wanted(storage)).dataset == mounted.dataset
    report = json.loads((workplace.directory / "prepare" / "dataset_report.json").read_text())
    assert report["source"] == {
        "endpoint": storage,
        "bucket": BUCKET,
        "key": KEY,
        "etag": f'"{hashlib.md5(CONTENT).hexdigest()}"',
        "bytes": len(CONTENT),
        "sha256": hashlib.sha256(CONTENT).hexdigest(),
    }
    assert [path.name for path in (workplace.directory / "source").iterdir()] == ["dataset.jsonl"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"bucket": "no-such"}, "spec.dataset.s3.bucket: {storage} has no bucket 'no-such'"),
        ({"key": "v4.jsonl"}, "spec.dataset.s3.key: the bucket 'datasets' has no object 'v4.jsonl'"),
    ],
)
def test_what_is_not_there_is_named(changes: dict[str, str], said: str, workplace: Workplace, storage: str) -> None:
    with pytest.raises(UserError) as caught:
        prepare(workplace, wanted(storage, **changes))
    assert caught.value.exit_code is ExitCode.USER
    assert caught.value.message.startswith(said.format(storage=storage))


def test_keys_that_are_refused_are_told_with_their_secret(storage: str, tmp_path: Path) -> None:
    demand_known_keys_after(storage, b"0")
    try:
        told = failure(wanted(storage), tmp_path)
    finally:
        demand_known_keys_after(storage, b"inf")
    assert told.exit_code is ExitCode.USER
    assert told.message.startswith("spec.dataset.s3.credentialsSecret: the storage refuses the keys of Secret minio-")


def demand_known_keys_after(storage: str, requests: bytes) -> None:
    plain = {"Content-Type": "text/plain"}
    with urlopen(Request(f"{storage}/moto-api/reset-auth", data=requests, headers=plain, method="POST")) as answer:
        assert answer.status == 200


def test_an_empty_secret_is_told(storage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "\n")
    assert "the Secret minio-reader has an empty value" in failure(wanted(storage), tmp_path).message


def test_what_is_too_large_is_refused_before_it_is_read(storage: str, tmp_path: Path) -> None:
    told = failure(wanted(storage), tmp_path, largest=100)
    assert isinstance(told, UserError)
    assert told.message.startswith(f"spec.dataset.s3.key: '{KEY}' has 0.0 MiB")
    assert (tmp_path / "dataset.jsonl").stat().st_size == 0


def test_a_storage_that_refuses_connections_may_be_there_later(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{unused.getsockname()[1]}"
        told = failure(wanted(endpoint), tmp_path)
    assert isinstance(told, InfrastructureError)
    assert told.exit_code is ExitCode.INFRASTRUCTURE
    assert told.message.startswith(f"spec.dataset.s3.endpoint: {endpoint} does not answer")


def test_a_storage_that_says_nothing_may_speak_later(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        told = failure(wanted(f"http://127.0.0.1:{silent.getsockname()[1]}"), tmp_path)
    assert isinstance(told, InfrastructureError)


# Connections that break


class Breaking(BaseHTTPRequestHandler):
    """Sends a part of what was asked for and hangs up, until the rest is asked for."""

    asked: list[str | None] = []

    def do_GET(self) -> None:
        start = int((self.headers["Range"] or "bytes=0-").removeprefix("bytes=").removesuffix("-"))
        self.asked.append(self.headers["Range"])
        rest = CONTENT[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(rest)))
        self.send_header("ETag", '"one"')
        self.end_headers()
        self.wfile.write(rest[:1500])

    def log_message(self, *_: object) -> None:
        return


def test_what_broke_off_is_taken_up_where_it_was(tmp_path: Path) -> None:
    Breaking.asked = []
    with serving(ThreadingHTTPServer(("127.0.0.1", 0), Breaking)) as port:
        received = download(wanted(f"http://127.0.0.1:{port}"), tmp_path / "got", lambda done, size: None, HASTY)
    assert (tmp_path / "got").read_bytes() == CONTENT
    assert received.sha256 == hashlib.sha256(CONTENT).hexdigest()
    assert Breaking.asked == [None, *(f"bytes={at}-" for at in range(1500, len(CONTENT), 1500))]


class serving:  # noqa: N801  (a context manager)
    """A server in a thread of its own; enters as its port."""

    def __init__(self, server: HTTPServer) -> None:
        self._server = server
        self._thread = threading.Thread(target=server.serve_forever, daemon=True)

    def __enter__(self) -> int:
        self._thread.start()
        return int(self._server.server_address[1])

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


# A private authority


@dataclass(frozen=True)
class Authority:
    """Files of an authority and of a server that it signed for."""

    folder: Path

    @property
    def location(self) -> Location:
        field = "spec.dataset.s3.caCertificate.key"
        return Location(volume=str(self.folder), path="ca.crt", manifest_field=field)


def make_authority(folder: Path) -> Authority:
    private_authority.sign(folder, "127.0.0.1")
    return Authority(folder)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return make_authority(tmp_path / "authority")


@pytest.fixture
def https_storage(authority: Authority) -> Iterator[str]:
    with object_storage.serving("127.0.0.1", authority.folder) as endpoint:
        yield filled(endpoint, str(authority.folder / "ca.crt"))


def test_a_private_authority_is_trusted_once_it_is_named(
    https_storage: str, authority: Authority, tmp_path: Path
) -> None:
    source = wanted(https_storage, ca_certificate=authority.location)
    assert download(source, tmp_path / "got", lambda done, size: None, HASTY).size == len(CONTENT)


def test_an_authority_that_is_not_named_is_not_trusted(https_storage: str, tmp_path: Path) -> None:
    told = failure(wanted(https_storage), tmp_path)
    assert told.exit_code is ExitCode.USER
    assert told.message.startswith("spec.dataset.s3.endpoint: the certificate of")


def test_another_authority_is_not_trusted(https_storage: str, tmp_path: Path) -> None:
    other = make_authority(tmp_path / "other")
    told = failure(wanted(https_storage, ca_certificate=other.location), tmp_path)
    assert told.exit_code is ExitCode.USER
    assert told.message.startswith("spec.dataset.s3.caCertificate: the certificate of")


def test_a_file_of_the_authority_that_is_not_there_is_named(storage: str, authority: Authority, tmp_path: Path) -> None:
    missing = authority.location.model_copy(update={"path": "tls.crt"})
    told = failure(wanted(storage, ca_certificate=missing), tmp_path)
    assert told.message.startswith("spec.dataset.s3.caCertificate.key: 'tls.crt' does not exist")
