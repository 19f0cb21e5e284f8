"""A dataset in a storage that speaks S3: by which address it is reached, and what the preparing pod shows there."""

from finetune_api.orders import S3_ACCESS_KEY_VARIABLE, S3_SECRET_KEY_VARIABLE, Location, ObjectLocation
from finetune_api.sources import DatasetSource, S3Object
from finetune_api.tracking import SecretKey
from finetune_operator.manifests.servers import Credential, address
from finetune_operator.manifests.volumes import CONFIG_MAPS_MOUNT
from finetune_operator.settings import ListedServer

FIELD = "spec.dataset.s3"
_KEYS = {S3_ACCESS_KEY_VARIABLE: "accessKeyId", S3_SECRET_KEY_VARIABLE: "secretAccessKey"}


def credentials_of(dataset: DatasetSource) -> tuple[Credential, ...]:
    """None where the dataset is no object."""
    if dataset.s3 is None:
        return ()
    name = dataset.s3.credentials_secret.name
    return tuple(
        Credential(f"{FIELD}.credentialsSecret", variable, SecretKey(name=name, key=key))
        for variable, key in _KEYS.items()
    )


def object_location(dataset: DatasetSource, namespace: str, listed: tuple[ListedServer, ...]) -> ObjectLocation | None:
    """What prepare must download; None where the dataset is no object."""
    wanted = dataset.s3
    if wanted is None:
        return None
    reached_by = address(wanted.endpoint, namespace, listed)
    assert reached_by is not None, "a server that may not be spoken to ends the job before"
    return ObjectLocation(
        endpoint=reached_by,
        bucket=wanted.bucket,
        key=wanted.key,
        region=wanted.region,
        secret=wanted.credentials_secret.name,
        ca_certificate=_ca_certificate(wanted),
        manifest_field=FIELD,
    )


def _ca_certificate(wanted: S3Object) -> Location | None:
    if wanted.ca_certificate is None:
        return None
    volume, key = f"{CONFIG_MAPS_MOUNT}/{wanted.ca_certificate.name}", wanted.ca_certificate.key
    return Location(volume=volume, path=key, manifest_field=f"{FIELD}.caCertificate.key")
