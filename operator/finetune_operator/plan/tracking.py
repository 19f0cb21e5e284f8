"""What is said of a tracking server that may not be spoken to, and of a secret that is not there."""

from dataclasses import replace

from finetune_api.conditions import Reason
from finetune_api.tracking import Tracking
from finetune_operator.manifests.tracking import address, credential_of, server_of
from finetune_operator.plan.attempts import Waiting
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


def naming_the_secret(waiting: Waiting, tracking: Tracking | None) -> Waiting:
    """The kubelet says which Secret or which key is missing, and not who asked for it."""
    credential = credential_of(tracking)
    if waiting.reason is not Reason.POD_REFUSED or credential is None or "secret" not in waiting.message.lower():
        return waiting
    secret = credential.secret
    remedy = f"{credential.field} asks for key {secret.key} of Secret {secret.name}: create it, and the pod starts."
    return replace(waiting, message=f"{waiting.message}. {remedy}")
