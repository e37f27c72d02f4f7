"""Kubernetes manifests: valid by the published schemas, and true to the code that they run. No cluster is at hand."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from service.access import declared
from service.settings import Settings

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docker" / "k8s"
VERSIONS = ("1.30", "1.34")


def documents() -> Iterator[tuple[str, dict[str, Any]]]:
    for path in sorted(FOLDER.glob("*.yaml")):
        for document in yaml.safe_load_all(path.read_text()):
            yield path.name, document


def of_kind(kind: str) -> dict[str, dict[str, Any]]:
    return {found["metadata"]["name"]: found for _, found in documents() if found["kind"] == kind}


def pods() -> dict[str, dict[str, Any]]:
    return {
        name: found["spec"]["template"]
        for kind in ("Deployment", "StatefulSet")
        for name, found in of_kind(kind).items()
    }


@pytest.mark.parametrize("version", VERSIONS)
def test_every_manifest_is_valid(version: str) -> None:
    checked = 0
    for name, document in documents():
        if document["kind"] != "Kustomization":
            kubernetes_validate.validate(document, version, strict=True)
            checked += 1
        assert name
    assert checked >= 12


def test_what_is_wrong_would_be_found() -> None:
    broken = {**of_kind("PodDisruptionBudget")["tocsin"], "spec": {"minAvailable": [1]}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, VERSIONS[0], strict=True)


def test_everything_but_the_example_is_applied() -> None:
    resources = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())["resources"]
    files = {path.name for path in FOLDER.glob("*.yaml")} - {"kustomization.yaml", "secret.example.yaml"}
    assert set(resources) == files
    assert len(resources) == len(files)


def test_every_setting_is_one() -> None:
    known = {f"TOCSIN_{name.upper()}" for name in Settings.model_fields}
    assert set(of_kind("ConfigMap")["tocsin"]["data"]) - known == set()


def test_probes_ask_what_is_served_and_ports_are_named() -> None:
    container = pods()["tocsin"]["spec"]["containers"][0]
    ports = {port["name"] for port in container["ports"]}
    paths = {container[f"{probe}Probe"]["httpGet"]["path"] for probe in ("startup", "readiness", "liveness")}
    assert paths == {"/healthz", "/readyz"}
    assert {container[f"{probe}Probe"]["httpGet"]["port"] for probe in ("startup", "readiness", "liveness")} <= ports
    assert of_kind("Service")["tocsin"]["spec"]["ports"][0]["targetPort"] in ports


def test_selectors_find_their_pods() -> None:
    labels = {name: pod["metadata"]["labels"] for name, pod in pods().items()}
    for name in ("tocsin", "redis"):
        assert of_kind("Service")[name]["spec"]["selector"] == labels[name]
        assert of_kind("NetworkPolicy")[name]["spec"]["podSelector"]["matchLabels"] == labels[name]
    assert of_kind("PodDisruptionBudget")["tocsin"]["spec"]["selector"]["matchLabels"] == labels["tocsin"]
    for kind in ("Deployment", "StatefulSet"):
        for name, found in of_kind(kind).items():
            assert found["spec"]["selector"]["matchLabels"] == labels[name]


def test_a_pod_has_longer_to_stop_than_the_service_takes_to_drain() -> None:
    pod = pods()["tocsin"]["spec"]
    pause = int(pod["containers"][0]["lifecycle"]["preStop"]["exec"]["command"][1])
    drain = float(of_kind("ConfigMap")["tocsin"]["data"]["TOCSIN_DRAIN_S"])
    assert pod["terminationGracePeriodSeconds"] > pause + drain


@pytest.mark.parametrize("name", sorted(pods()))
def test_pods_are_no_root_and_cannot_become_it(name: str) -> None:
    pod = pods()[name]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["automountServiceAccountToken"] is False
    for container in pod["containers"]:
        own = container["securityContext"]
        assert own["allowPrivilegeEscalation"] is False
        assert own["readOnlyRootFilesystem"] is True
        assert own["capabilities"] == {"drop": ["ALL"]}
        assert "memory" in container["resources"]["limits"]


def test_images_are_those_of_compose() -> None:
    compose = (ROOT / "docker-compose.yml").read_text()
    redis = pods()["redis"]["spec"]["containers"][0]["image"]
    assert re.search(rf"image: {re.escape(redis)}\n", compose)


def test_the_example_of_keys_is_a_file_of_keys(tmp_path: Path) -> None:
    path = tmp_path / "keys.yaml"
    path.write_text(of_kind("Secret")["tocsin"]["stringData"]["keys.yaml"])
    assert declared.load(path) == []
    mounted = {mount["mountPath"] for mount in pods()["tocsin"]["spec"]["containers"][0]["volumeMounts"]}
    assert str(Path(of_kind("ConfigMap")["tocsin"]["data"]["TOCSIN_API_KEYS_FILE"]).parent) in mounted
