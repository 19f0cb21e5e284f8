"""Tracking servers: which may be spoken to, by which address, and with which secret."""

from typing import TypeVar

from finetune_api.tracking import (
    MLFLOW_TOKEN_VARIABLE,
    WANDB_KEY_VARIABLE,
    MLflow,
    SecretKey,
    Tracking,
    WeightsAndBiases,
)
from finetune_operator.manifests.servers import Credential, Server, address
from finetune_operator.settings import ListedServer

Wanted = TypeVar("Wanted", MLflow, WeightsAndBiases)


def server_of(tracking: Tracking | None) -> Server | None:
    """None where the curves stay on the artifacts volume."""
    if tracking is None:
        return None
    for name, wanted in (("mlflow", tracking.mlflow), ("wandb", tracking.wandb)):
        if wanted is not None and wanted.server is not None:
            return Server(f"spec.tracking.{name}.server", wanted.server)
    return None


def credentials_of(tracking: Tracking | None) -> tuple[Credential, ...]:
    """None where no server is named, or where it asks for nothing."""
    match tracking:
        case Tracking(mlflow=MLflow(server=str(), token_secret=SecretKey() as secret)):
            return (Credential("spec.tracking.mlflow.tokenSecret", MLFLOW_TOKEN_VARIABLE, secret),)
        case Tracking(wandb=WeightsAndBiases(server=str(), api_key_secret=SecretKey() as secret)):
            return (Credential("spec.tracking.wandb.apiKeySecret", WANDB_KEY_VARIABLE, secret),)
    return ()


def reached(tracking: Tracking | None, namespace: str, listed: tuple[ListedServer, ...]) -> Tracking | None:
    """The same with the address that the pod is to speak to."""

    def there(wanted: Wanted | None) -> Wanted | None:
        if wanted is None or wanted.server is None:
            return wanted
        return wanted.model_copy(update={"server": address(wanted.server, namespace, listed)})

    return tracking and Tracking(mlflow=there(tracking.mlflow), wandb=there(tracking.wandb))
