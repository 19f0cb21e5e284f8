"""Whose fault it is that an object could not be downloaded."""

from __future__ import annotations

from finetune_api.conditions import Reason
from finetune_api.orders import ObjectLocation
from finetune_trainer.failures import InfrastructureError, TrainerFailure, UserError

_REFUSED = frozenset(
    {"AccessDenied", "403", "InvalidAccessKeyId", "SignatureDoesNotMatch", "401", "Unauthorized", "AllAccessDisabled"}
)
_NO_OBJECT = frozenset({"NoSuchKey", "404", "NoSuchVersion"})
_OF_THE_MOMENT = frozenset({"SlowDown", "RequestTimeout", "RequestTimeTooSkewed", "PreconditionFailed", "412", "429"})
_INTERNAL = 500


def as_failure(error: Exception, wanted: ObjectLocation) -> TrainerFailure | None:
    """None for what is no failure of the storage's."""
    from botocore.exceptions import BotoCoreError, ClientError, SSLError

    match error:
        case ClientError():
            return _answered(error.response, wanted)
        case SSLError():
            return _user(
                wanted,
                "caCertificate" if wanted.ca_certificate else "endpoint",
                f"the certificate of {wanted.endpoint} cannot be verified ({error}): put the certificates of the "
                "authority that signed it into a ConfigMap, and name it in caCertificate",
            )
        case BotoCoreError():
            return InfrastructureError(
                Reason.OBJECT_STORE_FAILED,
                f"{wanted.manifest_field}.endpoint: {wanted.endpoint} does not answer ({error}): check that the "
                "storage runs and that its name and port are right",
            )
    return None


def _answered(response: dict[str, dict[str, object]], wanted: ObjectLocation) -> TrainerFailure:
    code, said = str(response["Error"].get("Code", "")), response["Error"].get("Message", "")
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if code == "NoSuchBucket":
        return _user(wanted, "bucket", f"{wanted.endpoint} has no bucket '{wanted.bucket}': name one that it has")
    if code in _NO_OBJECT:
        message = f"the bucket '{wanted.bucket}' has no object '{wanted.key}': name one that it has"
        return _user(wanted, "key", message)
    if code in _REFUSED:
        return _user(
            wanted,
            "credentialsSecret",
            f"the storage refuses the keys of Secret {wanted.secret} ({code}): give it an accessKeyId and "
            f"secretAccessKey that may read '{wanted.key}' of the bucket '{wanted.bucket}'",
        )
    if code in _OF_THE_MOMENT or (isinstance(status, int) and status >= _INTERNAL):
        message = f"{wanted.manifest_field}.endpoint: {wanted.endpoint} failed ({code}: {said})"
        return InfrastructureError(Reason.OBJECT_STORE_FAILED, message)
    return _user(wanted, "endpoint", f"{wanted.endpoint} refuses what was asked ({code}: {said})")


def _user(wanted: ObjectLocation, field: str, message: str) -> UserError:
    return UserError(Reason.DATASET_INVALID, f"{wanted.manifest_field}.{field}: {message}")
