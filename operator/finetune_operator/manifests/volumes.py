"""Which volumes a pod mounts, and where: inputs read-only, the artifacts claim writable."""

from dataclasses import dataclass
from typing import Any

from finetune_api.finetunejob import DecisionSource
from finetune_api.orders import Location, SuiteLocation
from finetune_api.sources import Artifacts, BaseModelSource, ClaimPath, DatasetSource, SuiteSource

ARTIFACTS_MOUNT = "/artifacts"
CLAIMS_MOUNT = "/inputs/claims"
CONFIG_MAPS_MOUNT = "/inputs/configmaps"
SHARED_MEMORY = "shared-memory"
DOWNLOADED_FILE = "source/dataset.jsonl"

Source = BaseModelSource | DatasetSource | DecisionSource | SuiteSource | ClaimPath


@dataclass(frozen=True)
class Mounts:
    """Claims and ConfigMaps that a pod needs."""

    artifacts: str
    """Name of the claim that is written to."""
    claims: frozenset[str] = frozenset()
    config_maps: frozenset[str] = frozenset()
    shared_memory: bool = False
    """Whether several processes of the pod work together: what a container has of /dev/shm by itself is too little."""

    def volumes(self) -> list[dict[str, Any]]:
        """One volume a claim: a pod that names the same claim in two volumes never starts."""
        claims = [
            {"name": volume, "persistentVolumeClaim": {"claimName": claim}}
            for claim, volume in self._claim_volumes().items()
        ]
        maps = [{"name": volume, "configMap": {"name": name}} for name, volume in self._map_volumes().items()]
        memory = [{"name": SHARED_MEMORY, "emptyDir": {"medium": "Memory"}}] if self.shared_memory else []
        return [*claims, *maps, {"name": "tmp", "emptyDir": {}}, *memory]

    def volume_mounts(self) -> list[dict[str, Any]]:
        """The artifacts claim is mounted twice where it also holds an input: to be written to, and to be read only."""
        volumes = self._claim_volumes()
        written = {"name": volumes[self.artifacts], "mountPath": ARTIFACTS_MOUNT}
        claims = [_read_only(volumes[claim], f"{CLAIMS_MOUNT}/{claim}") for claim in sorted(self.claims)]
        maps = [_read_only(volume, f"{CONFIG_MAPS_MOUNT}/{name}") for name, volume in self._map_volumes().items()]
        memory = [{"name": SHARED_MEMORY, "mountPath": "/dev/shm"}] if self.shared_memory else []
        return [written, *claims, *maps, {"name": "tmp", "mountPath": "/tmp"}, *memory]

    def _claim_volumes(self) -> dict[str, str]:
        """Name of each claim's volume."""
        inputs = sorted(self.claims - {self.artifacts})
        return {self.artifacts: "artifacts"} | {claim: f"claim-{index}" for index, claim in enumerate(inputs)}

    def _map_volumes(self) -> dict[str, str]:
        return {name: f"configmap-{index}" for index, name in enumerate(sorted(self.config_maps))}


def _read_only(name: str, path: str) -> dict[str, Any]:
    return {"name": name, "mountPath": path, "readOnly": True}


def artifacts_claim(artifacts: Artifacts | None, default: str) -> str:
    return artifacts.persistent_volume_claim.claim_name if artifacts is not None else default


def claim_location(source: ClaimPath, field: str) -> Location:
    return Location(volume=f"{CLAIMS_MOUNT}/{source.claim_name}", path=source.path, manifest_field=f"{field}.path")


def base_model_location(source: BaseModelSource, field: str) -> Location:
    assert source.persistent_volume_claim is not None, "the schema demands a source"
    return claim_location(source.persistent_volume_claim, f"{field}.persistentVolumeClaim")


def dataset_location(source: DatasetSource, field: str, directory: str) -> Location:
    """An object is downloaded to the run's folder, which is mounted as `directory`."""
    if source.s3 is not None:
        return Location(volume=directory, path=DOWNLOADED_FILE, manifest_field=f"{field}.s3.key")
    return file_location(source, field)


def file_location(source: DatasetSource | DecisionSource, field: str) -> Location:
    if source.config_map is not None:
        volume = f"{CONFIG_MAPS_MOUNT}/{source.config_map.name}"
        return Location(volume=volume, path=source.config_map.key, manifest_field=f"{field}.configMap.key")
    assert source.persistent_volume_claim is not None, "the schema demands a source"
    return claim_location(source.persistent_volume_claim, f"{field}.persistentVolumeClaim")


def suite_location(source: SuiteSource, field: str) -> SuiteLocation:
    return SuiteLocation(
        builtin=source.builtin,
        location=_suite_folder(source, field),
        split=source.split,
        limit_per_task=source.limit_per_task,
    )


def _suite_folder(source: SuiteSource, field: str) -> Location | None:
    if source.config_map is not None:
        volume = f"{CONFIG_MAPS_MOUNT}/{source.config_map.name}"
        return Location(volume=volume, path=".", manifest_field=f"{field}.configMap")
    if source.persistent_volume_claim is not None:
        return claim_location(source.persistent_volume_claim, f"{field}.persistentVolumeClaim")
    return None


def inputs(*sources: Source) -> tuple[frozenset[str], frozenset[str]]:
    """Names of the claims and of the ConfigMaps that the sources lie in."""
    claims, config_maps = set[str](), set[str]()
    for source in sources:
        if isinstance(source, ClaimPath):
            claims.add(source.claim_name)
            continue
        if source.persistent_volume_claim is not None:
            claims.add(source.persistent_volume_claim.claim_name)
        if isinstance(source, DatasetSource | DecisionSource | SuiteSource) and source.config_map is not None:
            config_maps.add(source.config_map.name)
        if isinstance(source, DatasetSource) and source.s3 is not None and source.s3.ca_certificate is not None:
            config_maps.add(source.s3.ca_certificate.name)
    return frozenset(claims), frozenset(config_maps)


def mounts(artifacts: str, *sources: Source, shared_memory: bool = False) -> Mounts:
    claims, config_maps = inputs(*sources)
    return Mounts(artifacts=artifacts, claims=claims, config_maps=config_maps, shared_memory=shared_memory)
