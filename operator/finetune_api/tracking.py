"""Experiment tracking besides TensorBoard files, which are always written."""

from typing import Annotated

from pydantic import Field

from finetune_api.fields import ApiModel, ObjectName, ServerAddress, exactly_one_of, key_of, rule, validations

MLFLOW_TOKEN_VARIABLE = "MLFLOW_TRACKING_TOKEN"
"""Where MLflow's client looks for the token that it sends with each request."""
WANDB_KEY_VARIABLE = "WANDB_API_KEY"
"""Where the client of Weights & Biases looks for its API key."""

Label = Annotated[str, Field(min_length=1, max_length=128)]

SecretKeyName = Annotated[str, key_of("Secret")]


class SecretKey(ApiModel):
    """A value of a Secret of this namespace. Only the training pod gets to see it."""

    name: ObjectName
    """Name of the Secret."""
    key: SecretKeyName
    """The value's key in it."""


class MLflow(ApiModel):
    """A run in MLflow."""

    model_config = {
        "json_schema_extra": validations(
            rule(
                "has(self.server) || !has(self.tokenSecret)",
                "tokenSecret is for a server: set server, or leave tokenSecret out",
                field="tokenSecret",
            )
        )
    }

    server: ServerAddress | None = None
    """The tracking server: a Service of the cluster, or one that the chart's trackingServers list. Left out, the run is
    written to the artifacts volume (mlruns)."""
    token_secret: SecretKey | None = None
    """Where the token is that the server asks for, if it does."""
    experiment: Label = "finetune"
    """Name of the experiment."""


class WeightsAndBiases(ApiModel):
    """A run in Weights & Biases, offline unless a server is named."""

    model_config = {
        "json_schema_extra": validations(
            rule(
                "has(self.server) || !has(self.apiKeySecret)",
                "apiKeySecret is for a server: set server, or leave apiKeySecret out",
                field="apiKeySecret",
            )
        )
    }

    server: ServerAddress | None = None
    """A Service of the cluster, or a server that the chart's trackingServers list. Left out, the run is written to the
    artifacts volume, to be synchronized by hand."""
    api_key_secret: SecretKey | None = None
    """Where the API key is that the server asks for."""
    project: Label = "finetune"
    """Name of the project."""


class Tracking(ApiModel):
    """Where the training's curves go."""

    model_config = {"json_schema_extra": validations(exactly_one_of("mlflow", "wandb"))}

    mlflow: MLflow | None = None
    """MLflow."""
    wandb: WeightsAndBiases | None = None
    """Weights & Biases."""
