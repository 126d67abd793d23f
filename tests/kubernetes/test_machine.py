"""Where there is no cluster, one sentence says what to do; where there is one, it is found."""

from pathlib import Path

from tests.kubernetes.machine import LOAD, Given, Kit, find_machine, why_not


def test_without_a_cluster_a_sentence_says_what_to_set(tmp_path: Path) -> None:
    nothing = find_machine(tmp_path, {})
    assert isinstance(nothing, str)
    assert "set KUBECONFIG" in nothing
    no_loader = find_machine(tmp_path, {"KUBECONFIG": "config"})
    assert isinstance(no_loader, str)
    assert LOAD in no_loader


def test_a_program_that_is_missing_is_named(tmp_path: Path) -> None:
    (tmp_path / "kubectl").touch(0o755)
    told = find_machine(tmp_path, {"KUBECONFIG": "config", LOAD: "load", "PATH": str(tmp_path)})
    assert told == "there is no helm on PATH"


def test_a_given_cluster_is_taken_with_its_own_way_to_load_an_image(tmp_path: Path) -> None:
    for name in ("kubectl", "helm"):
        (tmp_path / name).touch(0o755)
    loaded = tmp_path / "loaded"
    found = find_machine(tmp_path, {"KUBECONFIG": "config", LOAD: f"cp -t '{tmp_path}/into it'", "PATH": str(tmp_path)})
    assert isinstance(found, Given)
    (tmp_path / "into it").mkdir()
    loaded.write_text("archive")
    found.load(loaded)
    assert (tmp_path / "into it" / "loaded").read_text() == "archive"


def test_a_cluster_that_cannot_come_up_is_told_of_in_the_last_words_of_whoever_tried(tmp_path: Path) -> None:
    kit = tmp_path / "cluster"
    kit.write_text("#!/bin/sh\necho 'it was tried'\necho 'it needs namespaces of the network' >&2\nexit 1\n")
    kit.chmod(0o755)
    reason = Kit(tmp_path).up(3)
    assert reason is not None
    assert reason.startswith("it needs ")  # or memory, where there is little of it
    assert why_not(("true",), 10) is None
