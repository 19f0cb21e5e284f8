"""Experiment tracking besides TensorBoard files, which are always written."""

from typing import Annotated

from pydantic import Field

from finetune_api.fields import ApiModel, exactly_one_of, rule_naming_the_value, validations

ServerAddress = Annotated[
    str,
    Field(
        min_length=1,
        max_length=512,
        json_schema_extra=validations(
            rule_naming_the_value(
                "self.matches('^https?://[^ /?#]+(/[^ ?#]*)?$')",
                'must be the address of a server inside the cluster, such as "http://mlflow.tracking:5000"',
            )
        ),
    ),
]
Label = Annotated[str, Field(min_length=1, max_length=128)]


class MLflow(ApiModel):
    """A run in MLflow."""

    server: ServerAddress | None = None
    """The tracking server. Left out, the run is written to the artifacts volume (mlruns)."""
    experiment: Label = "finetune"
    """Name of the experiment."""


class WeightsAndBiases(ApiModel):
    """A run in Weights & Biases, offline unless a server is named."""

    server: ServerAddress | None = None
    """A server inside the cluster. Left out, the run is written to the artifacts volume, to be synchronized by hand."""
    project: Label = "finetune"
    """Name of the project."""


class Tracking(ApiModel):
    """Where the training's curves go."""

    model_config = {"json_schema_extra": validations(exactly_one_of("mlflow", "wandb"))}

    mlflow: MLflow | None = None
    """MLflow."""
    wandb: WeightsAndBiases | None = None
    """Weights & Biases."""
