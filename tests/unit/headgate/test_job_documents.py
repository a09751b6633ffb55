"""Job files on disk: lines in messages, and what YAML would let pass silently."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from headgate.adapters.job_documents import load_document, load_job
from headgate.errors import BadJob


def refused(path: Path) -> list[str]:
    with pytest.raises(BadJob) as caught:
        load_job(path)
    return [line.replace(str(path), path.name) for line in caught.value.mistakes]


def written(folder: Path, text: str, name: str = "job.yaml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_a_mistake_points_at_its_line(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "name: a\nprogram:\n  file: a.py\nworkers:\n  min: 1\n  max: many\n"
        "placement:\n- attribute: x\n  operator: like\n",
    )
    assert refused(path) == [
        "job.yaml:6: workers.max: 'many' is not a whole number",
        "job.yaml:8: placement[0].value: is missing; like needs a regular expression the attribute must match",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "job.yaml: is empty; `headgate schema job` shows what a job file may say"),
        ("# nothing\n", "job.yaml: is empty; `headgate schema job` shows what a job file may say"),
        ("name: a\n\tb: c\n",
         "job.yaml:2: not YAML: found character '\\t' that cannot start any token; indent with spaces, not with tabs"),
        ("name: [a\n", "job.yaml:2: not YAML: expected ',' or ']', but got '<stream end>'"),
        ("name: a\nworkers: {min: 1}\nname: b\n", "job.yaml:3: name: is given twice, first in line 1; keep one"),
        ("workers:\n  min: 1\n  min: 2\n", "job.yaml:3: workers.min: is given twice, first in line 2; keep one"),
        ("name: &a [*a]\n", "job.yaml:1: name[0]: an alias stands inside its own anchor"),
        ("a: !!python/object:os.system x\n",
         "job.yaml:1: not YAML: could not determine a constructor "
         "for the tag 'tag:yaml.org,2002:python/object:os.system'"),
        ("when: 2024-13-45\n", "job.yaml: not YAML: month must be in 1..12"),
    ],
)  # fmt: skip
def test_what_is_no_job_file(tmp_path: Path, text: str, expected: str) -> None:
    assert refused(written(tmp_path, text)) == [expected]


def test_aliases_that_explode_are_refused(tmp_path: Path) -> None:
    lines = ["a: &a [x, x, x, x, x, x, x, x, x, x]"]
    lines += [
        f"{here}: &{here} [{', '.join(['*' + before] * 10)}]" for before, here in zip("abcdefg", "bcdefgh", strict=True)
    ]
    assert refused(written(tmp_path, "\n".join(lines)))[0].endswith("values once its aliases are written out")


def test_merge_keys_and_aliases_are_read(tmp_path: Path) -> None:
    text = "name: a\nprogram: {file: a.py}\nenv: &e {A: b}\nlabels:\n  <<: *e\n  team: air\n"
    _, job = load_job(written(tmp_path, text))
    assert job.labels == {"A": "b", "team": "air"}


def test_json_is_read_too_with_tabs_and_all(tmp_path: Path) -> None:
    path = written(tmp_path, '{\n\t"name": "a",\n\t"program": {"file": "a.py"}\n}', "job.json")
    assert load_job(path)[1].name == "a"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"name": "a",\n}', "job.json:2: not JSON: "),
        ('{"name": "a", "name": "b"}', "job.json: name: is given twice; keep one"),
        ("[" * 100_000, "job.json: not JSON of a job: nested too deeply"),
    ],
)
def test_what_is_no_json(tmp_path: Path, text: str, expected: str) -> None:
    (line,) = refused(written(tmp_path, text, "job.json"))
    assert line.startswith(expected)


def test_no_file_a_folder_and_no_text(tmp_path: Path) -> None:
    assert refused(tmp_path / "none.yaml") == ["none.yaml: there is no such file"]
    assert refused(tmp_path)[0].endswith("is a folder; name the job file in it")
    binary = tmp_path / "job.yaml"
    binary.write_bytes(b"\xff\xfe")
    assert refused(binary) == ["job.yaml: is not a text in UTF-8; is it a job file?"]
    binary.write_text("a" * 1_100_000, encoding="utf-8")
    assert refused(binary) == ["job.yaml: is 1100000 bytes; a job file has at most 1048576"]


def test_job_dir_is_the_folder_of_the_job_file(tmp_path: Path) -> None:
    text = 'name: a\nprogram: {file: a.py, args: {from: "${job_dir}/in", list: ["${job_dir}", "$x", 3]}}\n'
    document = load_document(written(tmp_path, text))
    here = str(tmp_path.resolve())
    assert document.value["program"]["args"] == {"from": f"{here}/in", "list": [here, "$x", 3]}
    assert json.dumps(document.value)
