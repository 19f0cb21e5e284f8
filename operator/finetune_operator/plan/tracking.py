"""What is said of a tracking server that may not be spoken to."""

from finetune_api.conditions import Reason
from finetune_operator.manifests.servers import address
from finetune_operator.manifests.tracking import server_of
from finetune_operator.plan.finetunejob_situation import Situation
from finetune_operator.plan.outcomes import Broken


def refusal(situation: Situation) -> Broken | None:
    """The end, where the server is outside the cluster and the administrator did not list it."""
    observed, server = situation.observed, server_of(situation.spec.tracking)
    listed = observed.settings.tracking_servers
    if server is None or address(server.address, observed.job.key.namespace, listed) is not None:
        return None
    message = (
        f"{server.field}: {server.address} leads out of the cluster: name a Service, such as "
        '"http://mlflow.tracking.svc:5000", leave the server out to keep the curves on the artifacts volume, or ask '
        "the administrator to list the server in trackingServers in the chart's values."
    )
    return Broken(Reason.TRACKING_SERVER_NOT_ALLOWED, message, retry=False)
