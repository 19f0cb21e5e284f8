"""One object over S3: streamed to a file, taken up again where the connection broke, and never larger than allowed."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import boto3
from botocore.config import Config
from botocore.exceptions import HTTPClientError, IncompleteReadError, ResponseStreamingError

from finetune_api.conditions import Reason
from finetune_api.orders import S3_ACCESS_KEY_VARIABLE, S3_SECRET_KEY_VARIABLE, ObjectLocation
from finetune_trainer.failures import UserError
from finetune_trainer.locations import resolve_file

LARGEST_BYTES = 2 * 1024**3
"""A dataset is read into memory as a whole."""
_CHUNK_BYTES = 1024 * 1024
_BREAKS = 5
"""So often an object may break off before it is given up."""
_SETTINGS = Config(
    connect_timeout=10,
    read_timeout=30,
    retries={"mode": "standard", "total_max_attempts": 4},
    signature_version="s3v4",
    s3={"addressing_style": "path"},
    # Storages of other makers do not know the newer checksums.
    request_checksum_calculation="when_required",
    response_checksum_validation="when_required",
)
_BROKEN_OFF = (HTTPClientError, IncompleteReadError, ResponseStreamingError)


@dataclass(frozen=True)
class Received:
    """An object that was downloaded."""

    etag: str
    """As the storage calls this version of the object."""
    size: int
    """Bytes."""
    sha256: str


def download(
    wanted: ObjectLocation,
    place: Path,
    on_bytes: Callable[[int, int], object],
    settings: Config = _SETTINGS,
    largest: int = LARGEST_BYTES,
) -> Received:
    """Writes the object to a file; `on_bytes` hears how many bytes of how many are there. UserError where it is too
    large or a credential is missing; else what boto3 raises."""
    return _Download(wanted, _client(wanted, settings), largest, on_bytes).to(place)


def _client(wanted: ObjectLocation, settings: Config) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=wanted.endpoint,
        region_name=wanted.region,
        aws_access_key_id=_credential(wanted, S3_ACCESS_KEY_VARIABLE),
        aws_secret_access_key=_credential(wanted, S3_SECRET_KEY_VARIABLE),
        config=settings,
        verify=_authority(wanted),
    )


def _credential(wanted: ObjectLocation, variable: str) -> str:
    # A line break at the end comes with `kubectl create secret --from-file`, and is in no key.
    value = os.environ.get(variable, "").strip()
    if not value:
        message = f"{wanted.manifest_field}.credentialsSecret: the Secret {wanted.secret} has an empty value: fill it"
        raise UserError(Reason.DATASET_INVALID, f"{message} ({variable})")
    return value


def _authority(wanted: ObjectLocation) -> str | bool:
    """The private authority's file; True for the public ones. The endpoint's certificate is always verified."""
    if wanted.ca_certificate is None:
        return True
    return str(resolve_file(wanted.ca_certificate, Reason.DATASET_INVALID))


class _Download:
    """One download, over as many connections as it takes."""

    def __init__(
        self, wanted: ObjectLocation, client: Any, largest: int, on_bytes: Callable[[int, int], object]
    ) -> None:
        self._wanted = wanted
        self._client = client
        self._largest = largest
        self._on_bytes = on_bytes
        self._digest = hashlib.sha256()
        self._done = 0
        self._size = 0
        self._etag: str | None = None

    def to(self, place: Path) -> Received:
        with place.open("wb") as file:
            for attempt in range(_BREAKS):
                answer = self._asked()
                try:
                    self._receive(answer["Body"], file)
                    break
                except _BROKEN_OFF:
                    if attempt == _BREAKS - 1:
                        raise
        return Received(self._etag or "", self._done, self._digest.hexdigest())

    def _asked(self) -> Any:
        """The rest of the object, and of the very version that was begun with."""
        version = {} if self._etag is None else {"IfMatch": self._etag}
        rest = {"Range": f"bytes={self._done}-"} if 0 < self._done < self._size else {}
        answer = self._client.get_object(Bucket=self._wanted.bucket, Key=self._wanted.key, **version, **rest)
        if self._etag is None:
            self._etag, self._size = answer["ETag"], answer["ContentLength"]
            self._refuse_too_large()
        return answer

    def _receive(self, body: Any, file: BinaryIO) -> None:
        for chunk in body.iter_chunks(_CHUNK_BYTES):
            file.write(chunk)
            self._digest.update(chunk)
            self._done += len(chunk)
            self._on_bytes(self._done, self._size)

    def _refuse_too_large(self) -> None:
        if self._size > self._largest:
            raise UserError(
                Reason.DATASET_INVALID,
                f"{self._wanted.manifest_field}.key: '{self._wanted.key}' has {self._size / 2**20:.1f} MiB, and a "
                f"dataset may have {self._largest / 2**20:.1f} MiB: take fewer examples",
            )
