"""examples/k8s: what Kubernetes accepts, and what the server and its image need."""

from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from tests.docs.generated import REPOSITORY
from tests.tokens import PUBLIC_PEM
from tusd_py.config import Config, load_config
from tusd_py.setting_types import Backend

FOLDER = REPOSITORY / "examples/k8s"
FILES = sorted(path.name for path in FOLDER.iterdir())
SETTINGS = {field.name.upper() for field in fields(Config)}
VERSIONS = ["1.29", kubernetes_validate.latest_version()]
Object = Mapping[str, object]

VARIANTS = pytest.mark.parametrize("name", ["local.yaml", "s3.yaml"])


def objects(name: str) -> list[Object]:
    """The objects in a file."""
    return list(yaml.safe_load_all((FOLDER / name).read_text()))


def one(name: str, kind: str, called: str = "tusd-py") -> Object:
    """The object of a kind and name."""
    [found] = [
        each
        for each in objects(name)
        if each["kind"] == kind and at(each, "metadata", "name") == called
    ]
    return found


def at(value: object, *path: str | int) -> object:
    """What lies inside of an object."""
    for step in path:
        assert isinstance(value, dict | list)
        value = value[step]  # type: ignore[index]  # each step fits what it is taken from
    return value


def pod(name: str) -> object:
    """The pod of a deployment."""
    return at(one(name, "Deployment"), "spec", "template", "spec")


def container(name: str) -> object:
    """Its one container."""
    containers = at(pod(name), "containers")
    assert isinstance(containers, list)
    [only] = containers
    return only


def environment(name: str) -> dict[str, str]:
    """The variables that the container has."""
    found: dict[str, str] = {}
    sources = at(container(name), "envFrom")
    assert isinstance(sources, list)
    for source in sources:
        for kind, data in (("configMapRef", "data"), ("secretRef", "stringData")):
            if kind in source:
                object_kind = "ConfigMap" if kind == "configMapRef" else "Secret"
                values = at(one(name, object_kind, source[kind]["name"]), data)
                assert isinstance(values, dict)
                found |= values
    return found


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", FILES)
def test_kubernetes_accepts_them(name: str, version: str) -> None:
    """Every object fits the schema of its kind, and has no field that is not in it."""
    for each in objects(name):
        kubernetes_validate.validate(each, version, strict=True)


def test_the_schemas_are_strict() -> None:
    """A misspelled field would be found."""
    wrong = dict(one("local.yaml", "Service"))
    wrong["spec"] = {"selectors": {}}

    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSIONS[0], strict=True)


@VARIANTS
def test_every_variable_is_a_setting(name: str) -> None:
    """No variable is misspelled, and with them the server starts."""
    environ = environment(name)
    key = environ.pop("MAIN_SERVICE_JWT_PUBLIC_KEY_FILE")

    config = load_config({}, {**environ, "MAIN_SERVICE_JWT_PUBLIC_KEY": PUBLIC_PEM}, None)

    assert set(environ) <= SETTINGS
    assert config.storage_backend is (Backend.S3 if name == "s3.yaml" else Backend.LOCAL)
    assert str(config.local_temp_chunk_path) in dict(mounts(name)).values()
    assert str(Path(key).parent) in dict(mounts(name)).values()
    assert Path(key).name in str(at(one(name, "ConfigMap", "tusd-py-key"), "data"))
    assert "env" not in dict(container(name).items())  # type: ignore[attr-defined]  # a mapping


def mounts(name: str) -> Iterator[tuple[str, str]]:
    """The name of each volume that is mounted, and where."""
    found = at(container(name), "volumeMounts")
    assert isinstance(found, list)
    for each in found:
        yield each["name"], each["mountPath"]


@VARIANTS
def test_what_is_mounted_is_there(name: str) -> None:
    """Every volume is mounted, the claim and the maps exist."""
    volumes = at(pod(name), "volumes")
    assert isinstance(volumes, list)

    assert {each["name"] for each in volumes} == {volume for volume, _ in mounts(name)}
    for each in volumes:
        if "persistentVolumeClaim" in each:
            one(name, "PersistentVolumeClaim", each["persistentVolumeClaim"]["claimName"])
        if "configMap" in each:
            one(name, "ConfigMap", each["configMap"]["name"])


@VARIANTS
def test_it_has_the_time_to_leave(name: str) -> None:
    """The grace period is longer than what the server takes; the probe sees 503 in that time."""
    environ = {**environment(name), "MAIN_SERVICE_JWT_PUBLIC_KEY": PUBLIC_PEM}
    config = load_config({}, environ, None)
    grace = at(pod(name), "terminationGracePeriodSeconds")
    probe = at(container(name), "readinessProbe")

    assert isinstance(grace, int)
    assert grace > (config.shutdown_delay + config.shutdown_timeout).total_seconds()
    assert at(probe, "httpGet", "path") == "/readyz"
    assert int(str(at(probe, "periodSeconds"))) * int(str(at(probe, "failureThreshold"))) < (
        config.shutdown_delay.total_seconds()
    )
    assert at(container(name), "livenessProbe", "httpGet", "path") == "/healthz"


@VARIANTS
def test_it_runs_with_the_least_rights(name: str) -> None:
    """As the user of the image, without capabilities, on a root that cannot be written to."""
    image = (REPOSITORY / "Dockerfile").read_text()
    user = at(pod(name), "securityContext", "runAsUser")
    group = at(pod(name), "securityContext", "fsGroup")

    assert f"\nUSER {user}:{group}\n" in image
    assert at(pod(name), "securityContext", "runAsNonRoot") is True
    assert at(container(name), "securityContext") == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert at(pod(name), "enableServiceLinks") is False


@VARIANTS
def test_the_service_finds_its_pods(name: str) -> None:
    """Service, budget and ingress name what is there; Prometheus is told the right port."""
    labels = at(one(name, "Deployment"), "spec", "template", "metadata", "labels")
    annotations = at(one(name, "Deployment"), "spec", "template", "metadata", "annotations")
    port = at(container(name), "ports", 0, "containerPort")
    service = one(name, "Service")
    [ingress] = objects("ingress.yaml")
    paths = at(ingress, "spec", "rules", 0, "http", "paths")
    assert isinstance(paths, list)

    assert at(service, "spec", "selector") == labels
    assert at(one(name, "Deployment"), "spec", "selector", "matchLabels") == labels
    assert at(annotations, "prometheus.io/port") == str(port) == "8000"
    assert at(annotations, "prometheus.io/path") == "/metrics"
    assert {at(each, "backend", "service", "name") for each in paths} == {"tusd-py"}
    assert [each["path"] for each in paths] == ["/files", "/upload"]


def test_servers_with_a_bucket_are_several() -> None:
    """With S3 one may go while another serves; on a volume there is one at a time."""
    budget = one("s3.yaml", "PodDisruptionBudget")

    assert at(one("local.yaml", "Deployment"), "spec", "replicas") == 1
    assert at(one("local.yaml", "Deployment"), "spec", "strategy", "type") == "Recreate"
    assert int(str(at(one("s3.yaml", "Deployment"), "spec", "replicas"))) > int(
        str(at(budget, "spec", "minAvailable"))
    )


def test_the_ingress_passes_bytes_on_as_they_come() -> None:
    """What examples/nginx.conf sets, the annotations of the ingress set too."""
    [ingress] = objects("ingress.yaml")
    annotations = at(ingress, "metadata", "annotations")
    assert isinstance(annotations, dict)
    nginx = (REPOSITORY / "examples/nginx.conf").read_text()

    assert "    client_max_body_size 0;" in nginx
    assert annotations.pop("nginx.ingress.kubernetes.io/proxy-body-size") == "0"
    for name, value in annotations.items():
        directive = name.removeprefix("nginx.ingress.kubernetes.io/").replace("-", "_")
        seconds = "s" if directive.endswith("timeout") else ""
        assert f"    {directive} {value}{seconds};" in nginx
