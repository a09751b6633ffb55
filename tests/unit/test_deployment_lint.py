"""The check of container files and app definitions finds each mistake it is there for."""

import configparser
import importlib.util
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


def _loaded(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


lint = _loaded(ROOT / "tests" / "lint_deployment.py")
install = _loaded(ROOT / "docker" / "install.py")

GOOD = 'ARG BASE=python:3\nFROM ${BASE}\nCOPY setup.cfg /src/\nUSER 1000\nCMD ["serve"]\n'


@pytest.mark.parametrize(
    ("before", "after", "line", "says"),
    [
        ("FROM ${BASE}", "FROM python:3", 2, "build argument"),
        ("setup.cfg", "setup.conf", 3, "does not exist"),
        ("setup.cfg", "Makefile", 3, ".dockerignore leaves out"),
        ("/src/", "src/", 3, "absolute path"),
        ("USER 1000", "USER root", 1, "as root"),
        ("USER 1000", "USER 0:1000", 1, "as root"),
        ('CMD ["serve"]', "CMD serve", 5, "shell form"),
        ('CMD ["serve"]', "", 1, "no CMD"),
        ("USER 1000", "USER 1000\nRUN curl x | \\\n  sh", 5, "outside the package index"),
        ("COPY", "COYP", 3, "unknown instruction COYP"),
    ],
)
def test_mistakes_in_container_files(tmp_path: Path, before: str, after: str, line: int, says: str) -> None:
    """Each is found, in its line, and a good file has none."""
    path = tmp_path / "scheduler.Dockerfile"
    path.write_text(GOOD)
    assert list(lint.container_file_problems(path)) == []
    path.write_text(GOOD.replace(before, after))
    (found,) = lint.container_file_problems(path)
    assert found[0] == line
    assert says in found[1]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"id": "Headgate"}, "is no Marathon path"),
        ({"args": ["run"]}, "do not run `headgate serve`"),
        ({"args": ["serve", "--stroe", "memory"]}, "no option --stroe"),
        ({"healthChecks": []}, "no health check"),
        ({"healthChecks": [{"protocol": "HTTP", "path": "/health", "portIndex": 0}]}, "run by the agents"),
        ({"healthChecks": [{"protocol": "MESOS_HTTP", "path": "/ping", "portIndex": 0}]}, "answers /health"),
        ({"healthChecks": [{"protocol": "MESOS_HTTP", "path": "/health", "portIndex": 1}]}, "not defined"),
    ],
)
def test_mistakes_in_app_definitions(tmp_path: Path, changes: dict[str, Any], says: str) -> None:
    """Each is found; the definition in the repository has none."""
    app = json.loads((ROOT / "marathon" / "headgate.json").read_text(encoding="utf-8"))
    path = tmp_path / "app.json"
    path.write_text(json.dumps(app))
    assert list(lint.app_problems(path)) == []
    path.write_text(json.dumps({**app, **changes}))
    (found,) = lint.app_problems(path)
    assert says in found[1]


@pytest.mark.parametrize(
    ("name", "changes", "variables", "says"),
    [
        ("headgate-ha", {}, {"HEADGATE_STORE": "sqlite:/x"}, "serves one instance"),
        ("headgate-ha", {}, {"HEADGATE_ADVERTISE": "http://one:1"}, "the same for all instances"),
        ("headgate-ha", {"constraints": []}, {}, "UNIQUE"),
    ],
)
def test_mistakes_in_an_app_of_several_instances(
    tmp_path: Path, name: str, changes: dict[str, Any], variables: dict[str, str], says: str
) -> None:
    """Each is found; the definition in the repository has none."""
    app = json.loads((ROOT / "marathon" / f"{name}.json").read_text(encoding="utf-8"))
    path = tmp_path / "app.json"
    path.write_text(json.dumps(app))
    assert list(lint.app_problems(path)) == []
    path.write_text(json.dumps({**app, **changes, "env": {**app["env"], **variables}}))
    (found,) = lint.app_problems(path)
    assert says in found[1]


def test_an_unknown_variable_is_found(tmp_path: Path) -> None:
    """A HEADGATE_ variable that no option of serve reads has no effect, which nobody would notice."""
    app = json.loads((ROOT / "marathon" / "headgate.json").read_text(encoding="utf-8"))
    app["env"]["HEADGATE_MASTERS"] = "zk://x/mesos"
    path = tmp_path / "app.json"
    path.write_text(json.dumps(app))
    assert [problem for _, problem in lint.app_problems(path)] == ["env: no option of serve reads HEADGATE_MASTERS"]


def test_an_app_names_the_user_of_its_workers(tmp_path: Path) -> None:
    """Without one the framework registers as a user that only the container knows."""
    app = json.loads((ROOT / "marathon" / "headgate.json").read_text(encoding="utf-8"))
    del app["env"]["HEADGATE_USER"]
    path = tmp_path / "app.json"
    path.write_text(json.dumps(app))
    (found,) = lint.app_problems(path)
    assert "no HEADGATE_USER" in found[1]


@pytest.mark.parametrize(
    ("image", "command", "others"),
    [
        ("scheduler", "headgate = headgate.cli:main", {"millstream.contract"}),
        ("worker", "millstream-worker = millstream.worker.main:main", set()),
    ],
)
def test_an_image_holds_one_side(tmp_path: Path, image: str, command: str, others: set[str]) -> None:
    """What a container file copies is all of its own package, of the other what both share, and its own command."""
    for _, word, rest in lint.instructions(ROOT / "docker" / f"{image}.Dockerfile"):
        if word == "COPY":
            for source in rest.split()[:-1]:
                place = tmp_path / source
                place.parent.mkdir(parents=True, exist_ok=True)
                (shutil.copytree if (ROOT / source).is_dir() else shutil.copy)(ROOT / source, place)
    install.trim(tmp_path / "setup.cfg")
    whole, config = configparser.ConfigParser(), configparser.ConfigParser()
    whole.read(ROOT / "setup.cfg", encoding="utf-8")
    config.read(tmp_path / "setup.cfg", encoding="utf-8")
    own = command.split(" = ")[1].split(".")[0]
    every = whole["options"]["packages"].split()
    assert set(config["options"]["packages"].split()) == {name for name in every if name.split(".")[0] == own} | others
    assert config["options.entry_points"]["console_scripts"].strip() == command
    assert config["options.extras_require"][image] == whole["options.extras_require"][image]
