"""Several pods that train together: a headless Service gives the first of them a name, and torchrun meets there."""

from dataclasses import dataclass
from typing import Any

from finetune_api.group import Label, Step
from finetune_api.orders import NODE_RANK_VARIABLE, NODES_VARIABLE, RENDEZVOUS_VARIABLE
from finetune_operator.digests import service_name
from finetune_operator.manifests.ownership import child_labels, owner_reference
from finetune_operator.views import INDEX_ANNOTATION, AnyResource

PORT = 29500


@dataclass(frozen=True)
class Rendezvous:
    """What makes pods of the same Job find each other."""

    service: str
    """Name of the headless Service."""
    pods: int

    def job_fields(self) -> dict[str, Any]:
        """All at once, each with a number that stays when it is replaced, and a host name that ends with it."""
        return {"completionMode": "Indexed", "completions": self.pods, "parallelism": self.pods}

    def pod_fields(self) -> dict[str, Any]:
        return {"subdomain": self.service}

    def environment(self, job_name: str) -> list[dict[str, Any]]:
        rank = {"fieldRef": {"fieldPath": f"metadata.annotations['{INDEX_ANNOTATION}']"}}
        return [
            {"name": NODES_VARIABLE, "value": str(self.pods)},
            {"name": NODE_RANK_VARIABLE, "valueFrom": rank},
            {"name": RENDEZVOUS_VARIABLE, "value": f"{job_name}-0.{self.service}:{PORT}"},
        ]


def rendezvous(resource: AnyResource, run: str, pods: int) -> Rendezvous | None:
    """None for a pod that works alone."""
    return Rendezvous(service_name(resource.key.name, resource.uid, run), pods) if pods > 1 else None


def service(resource: AnyResource, run: str) -> dict[str, Any]:
    """One for all attempts of a run. A pod has its name before it is ready: it is ready when the others have come."""
    labels = child_labels(resource, run)
    chosen = (Label.OWNER_UID, Label.RUN)
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": service_name(resource.key.name, resource.uid, run),
            "namespace": resource.key.namespace,
            "labels": labels,
            "ownerReferences": [owner_reference(resource)],
        },
        "spec": {
            "clusterIP": "None",
            "publishNotReadyAddresses": True,
            "selector": {label.value: labels[label.value] for label in chosen} | {Label.STEP.value: Step.TRAIN.value},
            "ports": [{"name": "rendezvous", "port": PORT}],
        },
    }
