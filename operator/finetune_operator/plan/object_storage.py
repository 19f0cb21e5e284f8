"""What is said of an object storage that may not be spoken to."""

from finetune_api.conditions import Reason
from finetune_operator.manifests.object_storage import FIELD
from finetune_operator.manifests.servers import address
from finetune_operator.plan.finetunejob_situation import Situation
from finetune_operator.plan.outcomes import Broken


def refusal(situation: Situation) -> Broken | None:
    """The end, where the storage is outside the cluster and the administrator did not list it."""
    observed, wanted = situation.observed, situation.spec.dataset.s3
    listed = observed.settings.object_stores
    if wanted is None or address(wanted.endpoint, observed.job.key.namespace, listed) is not None:
        return None
    message = (
        f"{FIELD}.endpoint: {wanted.endpoint} leads out of the cluster: name a Service, such as "
        '"https://minio.storage.svc:9000", or ask the administrator to list the server in objectStores in the '
        "chart's values."
    )
    return Broken(Reason.OBJECT_STORE_NOT_ALLOWED, message, retry=False)
