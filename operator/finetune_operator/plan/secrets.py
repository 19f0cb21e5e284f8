"""What is said of a Secret that is not there."""

from collections.abc import Iterable
from dataclasses import replace

from finetune_api.conditions import Reason
from finetune_operator.manifests.servers import Credential
from finetune_operator.plan.attempts import Waiting


def naming_the_secret(waiting: Waiting, credentials: Iterable[Credential]) -> Waiting:
    """The kubelet says which Secret or which key is missing, and not who asked for it."""
    wanted = tuple(credentials)
    if waiting.reason is not Reason.POD_REFUSED or not wanted or "secret" not in waiting.message.lower():
        return waiting
    keys = " and ".join(credential.secret.key for credential in wanted)
    noun = "key" if len(wanted) == 1 else "keys"
    name = wanted[0].secret.name
    remedy = f"{wanted[0].field} asks for {noun} {keys} of Secret {name}: create it, and the pod starts."
    return replace(waiting, message=f"{waiting.message}. {remedy}")
