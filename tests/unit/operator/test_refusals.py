"""Pods and volumes that Kubernetes 1.34 refuses, in its own words, and what is told of them: the rule by its name."""

from __future__ import annotations

import pytest

from finetune_api.conditions import Reason
from finetune_api.group import Step
from finetune_operator.plan.refusals import refusal

from .building import Raw, fine_tune_job, job_of, starting, trouble
from .deciding import decide, told
from .outcomes import prepare_done

CREATING = 'Error creating: pods "tuned-train-6hm2t" is forbidden: '
RULES = (
    'allowPrivilegeEscalation != false (container "trainer" must set '
    "securityContext.allowPrivilegeEscalation=false), runAsNonRoot != true"
)


@pytest.mark.parametrize(
    ("message", "reason", "words"),
    [
        (
            f"{CREATING}exceeded quota: team-gpus, requested: requests.cpu=2,requests.nvidia.com/gpu=1, "
            "used: requests.cpu=0,requests.nvidia.com/gpu=8, limited: requests.cpu=9,requests.nvidia.com/gpu=8",
            Reason.WAITING_FOR_QUOTA,
            "ResourceQuota team-gpus does not allow the pod yet: it asks for requests.cpu=2,requests.nvidia.com/gpu=1; "
            "in use are requests.cpu=0,requests.nvidia.com/gpu=8 of requests.cpu=9,requests.nvidia.com/gpu=8.",
        ),
        (
            f"{CREATING}failed quota: team-gpus: must specify limits.memory for: trainer",
            Reason.POD_REFUSED,
            "ResourceQuota team-gpus refuses the pod: must specify limits.memory for: trainer",
        ),
        (
            f'{CREATING}violates PodSecurity "restricted:latest": {RULES}',
            Reason.POD_REFUSED,
            f"The namespace's pod security standard restricted:latest refuses the pod: {RULES}",
        ),
        (
            'Error creating: pods "tuned-train-" is forbidden: no PriorityClass with name nonesuch was found',
            Reason.POD_REFUSED,
            "spec.priorityClassName: there is no PriorityClass nonesuch; create it or name another one.",
        ),
        (
            f"{CREATING}maximum cpu usage per Container is 1, but limit is 2",
            Reason.POD_REFUSED,
            "A LimitRange of the namespace refuses the pod; see spec.resources: maximum cpu usage per Container is 1, "
            "but limit is 2",
        ),
        (
            f'{CREATING}error looking up service account research/default: serviceaccount "default" not found',
            Reason.POD_REFUSED,
            'The pod was refused: error looking up service account research/default: serviceaccount "default" '
            "not found",
        ),
    ],
    ids=["quota", "quota that asks for limits", "pod security", "priority class", "limit range", "anything else"],
)
def test_the_rule_is_named_and_the_pod_that_never_was_is_not(message: str, reason: Reason, words: str) -> None:
    """Its name is another one with each attempt: told, it would cost a write each time."""
    assert refusal(message, "the pod") == (reason, words)


CLAIMS = [
    {"name": "claim-0", "persistentVolumeClaim": {"claimName": "models"}},
    {"name": "configmap-0", "configMap": {"name": "earnings"}},
    {"name": "tmp", "emptyDir": {}},
]


def unmounted(message: str) -> str:
    job = told(fine_tune_job())
    train = job_of(job, Step.TRAIN)
    pod: Raw = starting(train)
    pod["spec"]["volumes"] = CLAIMS
    decision = decide(
        told(job, *prepare_done(job)), *prepare_done(job), train, pod, trouble(pod, "FailedMount", message)
    )
    assert decision.reason == "WaitingForVolume"
    return decision.message


@pytest.mark.parametrize(
    ("message", "behind"),
    [
        ('MountVolume.SetUp failed for volume "configmap-0" : configmap "earnings" not found', "ConfigMap earnings"),
        (
            "Unable to attach or mount volumes: unmounted volumes=[claim-0], unattached volumes=[], failed to process "
            "volumes=[]: timed out waiting for the condition",
            "PersistentVolumeClaim models",
        ),
        ('Multi-Attach error for volume "pvc-7" Volume is already used by pod(s) other', "A volume"),
    ],
)
def test_a_volume_that_cannot_be_mounted_is_told_by_what_is_behind_it(message: str, behind: str) -> None:
    assert unmounted(message) == f"{behind} cannot be mounted: {message}"
