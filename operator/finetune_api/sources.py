"""Where things are: base models, datasets, suites and artifacts."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from finetune_api.fields import (
    ApiModel,
    ConfigMapKeyName,
    ObjectName,
    PathInVolume,
    ServerAddress,
    exactly_one_of,
    rule,
    rule_naming_the_value,
    validations,
)


class ClaimPath(ApiModel):
    """A file or folder on a PersistentVolumeClaim of this namespace."""

    claim_name: ObjectName
    """Name of the PersistentVolumeClaim."""
    path: PathInVolume
    """Path inside the volume, relative to its root."""


class Claim(ApiModel):
    """A PersistentVolumeClaim of this namespace."""

    claim_name: ObjectName
    """Name of the PersistentVolumeClaim."""


class ConfigMapKey(ApiModel):
    """One key of a ConfigMap of this namespace."""

    name: ObjectName
    """Name of the ConfigMap."""
    key: ConfigMapKeyName
    """Key whose value is the file."""


class ConfigMapFolder(ApiModel):
    """A ConfigMap of this namespace, whose keys are files of one folder."""

    name: ObjectName
    """Name of the ConfigMap."""


class BaseModelSource(ApiModel):
    """The model to start from: a folder with config.json, tokenizer and safetensors weights."""

    model_config = {"json_schema_extra": validations(exactly_one_of("persistentVolumeClaim"))}

    persistent_volume_claim: ClaimPath | None = None
    """A folder on a volume. It is mounted read-only."""


BucketName = Annotated[
    str,
    Field(
        min_length=3,
        max_length=63,
        json_schema_extra=validations(
            rule_naming_the_value(
                "self.matches('^[a-z0-9][-.a-z0-9]*[a-z0-9]$')",
                "must be a bucket's name: lower case letters, digits, '-' and '.'",
            )
        ),
    ),
]
ObjectKey = Annotated[
    str,
    Field(
        min_length=1,
        max_length=1024,
        json_schema_extra=validations(
            rule_naming_the_value(
                "!self.endsWith('/')", 'must be the key of one object, such as "earnings/v3/train.jsonl"'
            )
        ),
    ),
]


class S3Credentials(ApiModel):
    """A Secret of this namespace with the keys accessKeyId and secretAccessKey. Only the preparing pod gets to see
    them."""

    name: ObjectName
    """Name of the Secret."""


class S3Object(ApiModel):
    """An object in a storage that speaks S3."""

    model_config = {
        "json_schema_extra": validations(
            rule(
                "!has(self.caCertificate) || self.endpoint.startsWith('https://')",
                "caCertificate is for an endpoint with https: set one, or leave caCertificate out",
                field="caCertificate",
            )
        )
    }

    endpoint: ServerAddress
    """The storage: a Service of the cluster, such as https://minio.storage:9000, or a server that the chart's
    objectStores list."""
    bucket: BucketName
    """Name of the bucket, which is addressed as a path."""
    key: ObjectKey
    """Key of the object."""
    region: Annotated[str, Field(min_length=1, max_length=63)] = "us-east-1"
    """Region that requests are signed for."""
    credentials_secret: S3Credentials
    """Who reads it."""
    ca_certificate: ConfigMapKey | None = None
    """PEM file with the certificates of the authority that signed the endpoint's; left out, the public ones count."""


class DatasetSource(ApiModel):
    """The examples to learn from: one JSON object a line, in one of the three shapes
    instruction/input/output, prompt/completion, or messages."""

    model_config = {"json_schema_extra": validations(exactly_one_of("persistentVolumeClaim", "configMap", "s3"))}

    persistent_volume_claim: ClaimPath | None = None
    """A JSONL file on a volume. It is mounted read-only."""
    config_map: ConfigMapKey | None = None
    """A JSONL file in a ConfigMap (at most 1 MiB)."""
    s3: S3Object | None = None
    """A JSONL file in a storage that speaks S3. It is downloaded anew by each preparation."""


class SuiteSplit(StrEnum):
    """Which of a suite's groups are asked. A group's hash decides, so that it is always on the same side."""

    HOLDOUT = "holdout"
    SEARCH = "search"
    ALL = "all"


class SuiteSource(ApiModel):
    """The questions and how their answers are scored: a folder with suite.yaml and JSONL examples."""

    model_config = {"json_schema_extra": validations(exactly_one_of("builtin", "configMap", "persistentVolumeClaim"))}

    builtin: Annotated[str, Field(json_schema_extra={"enum": ["finance"]})] | None = None
    """A suite that the trainer image carries: finance (EPS extraction, sentiment, revenue analysis, perplexity)."""
    config_map: ConfigMapFolder | None = None
    """A suite in a ConfigMap, whose keys are suite.yaml and the files that it names."""
    persistent_volume_claim: ClaimPath | None = None
    """A suite's folder on a volume. It is mounted read-only."""
    split: SuiteSplit = SuiteSplit.HOLDOUT
    """holdout: what a verdict rests on; search: the groups that the suite keeps apart to choose by; all: both."""
    limit_per_task: Annotated[int, Field(ge=1, le=100_000)] | None = None
    """Score only so many examples of each task: the same ones for every model, spread over groups and patterns."""


class Artifacts(ApiModel):
    """Where checkpoints, adapters, predictions and reports are kept."""

    persistent_volume_claim: Claim
    """The volume; default: the claim that the operator's chart names (artifacts), in this namespace."""
