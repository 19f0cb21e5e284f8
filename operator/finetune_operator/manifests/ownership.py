"""How an object says for whom it was made: by ownerReference and labels."""

from typing import Any

from finetune_api.group import API_VERSION, MANAGER, Label, Step
from finetune_operator.views import AnyResource


def owner_reference(resource: AnyResource, *, controller: bool = True) -> dict[str, Any]:
    return {
        "apiVersion": API_VERSION,
        "kind": resource.key.kind.value,
        "name": resource.key.name,
        "uid": resource.uid,
        **({"controller": True} if controller else {}),
    }


def child_labels(
    resource: AnyResource, run: str, step: Step | None = None, attempt: int | None = None, part: str = ""
) -> dict[str, str]:
    """A label's value has at most 63 characters; the owner's name is for people, links go by its uid."""
    labels = {
        Label.MANAGED_BY.value: MANAGER,
        Label.OWNER_KIND.value: resource.key.kind.value,
        Label.OWNER_NAME.value: resource.key.name[:63].rstrip("-."),
        Label.OWNER_UID.value: resource.uid,
        Label.RUN.value: run,
    }
    if step is not None:
        labels |= {Label.STEP.value: step.value, Label.ATTEMPT.value: str(attempt)}
    if part:
        labels[Label.PART.value] = part
    return labels
