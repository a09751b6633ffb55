"""The CLI: help, exit codes, and errors in clear lines, without any scheduler."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from headgate.cli import main
from headgate.commands.exits import ExitCode, coloured
from headgate.commands.program import COMMANDS


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    shown = capsys.readouterr()
    return int(ended.value.code or 0), shown.out, shown.err


NOWHERE = ("--api", "http://127.0.0.1:9")


def test_the_help_shows_every_command_and_the_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "--help")
    assert code == ExitCode.OK
    for group, entries in COMMANDS.items():
        assert f"{group}:" in out
        for name, entry in entries.items():
            assert f"{name} " in out
            assert entry.summary in out
    assert "Exit codes: 0 done · 1 failed · 2 bad input" in out


@pytest.mark.parametrize("name", [name for group in COMMANDS.values() for name in group])
def test_every_command_has_a_help_of_its_own(capsys: pytest.CaptureFixture[str], name: str) -> None:
    code, out, _ = run(capsys, name, "--help")
    assert code == ExitCode.OK
    assert f"Usage: headgate {name}" in out
    assert len(out.splitlines()) > 5


def test_a_mistyped_command_is_guessed(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "statsu")
    assert code == ExitCode.BAD_INPUT
    assert "there is no command statsu; did you mean status?" in err


@pytest.mark.parametrize(
    "arguments",
    [("list",), ("status", "delays"), ("explain", "delays"), ("scale", "delays", "3"), ("cancel", "delays")],
)
def test_without_a_scheduler_the_exit_code_is_3_and_the_line_says_what_to_do(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    code, out, err = run(capsys, *arguments, *NOWHERE)
    assert code == ExitCode.UNREACHABLE
    assert out == ""
    assert err.count("\n") == 1
    assert "no scheduler answers at http://127.0.0.1:9" in err
    assert "--api or HEADGATE_API" in err


def test_json_mode_tells_errors_in_json(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, out, err = run(capsys, "list", "--json", *NOWHERE)
    assert (code, out) == (ExitCode.UNREACHABLE, "")
    assert "no scheduler answers" in json.loads(err)["error"]
    bad = tmp_path / "job.yaml"
    bad.write_text("name: A\nwrkers: 2\n")
    code, _, err = run(capsys, "validate", str(bad), "--json")
    assert code == ExitCode.BAD_INPUT
    assert len(json.loads(err)["mistakes"]) == 3


def test_a_wrong_job_is_told_line_by_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    bad = tmp_path / "job.yaml"
    bad.write_text("name: words\nprogram:\n  file: words.py\nworkers:\n  max: many\nworker: {mem: 1GB}\n")
    code, out, err = run(capsys, "validate", str(bad))
    assert (code, out) == (ExitCode.BAD_INPUT, "")
    assert err.splitlines() == [
        f"error: {bad}:5: workers.max: 'many' is not a whole number",
        f"error: {bad}:6: worker.mem: '1GB' is not an amount; write 1GiB",
    ]
    bad.write_text("name: words\nprogram: {file: words.py}\n")
    code, _, err = run(capsys, "validate", str(bad))
    assert (code, err) == (
        ExitCode.BAD_INPUT,
        f"error: {bad}: program.file: there is no words.py in {tmp_path.resolve()}\n",
    )


def test_submit_of_a_wrong_job_asks_no_scheduler(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, _, err = run(capsys, "submit", str(tmp_path / "none.yaml"), *NOWHERE)
    assert (code, err) == (ExitCode.BAD_INPUT, f"error: {tmp_path}/none.yaml: there is no such file\n")


def test_validate_without_loading_the_program(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "words.py").write_text("import nothing_there\n")
    good = tmp_path / "job.yaml"
    good.write_text("name: words\nprogram: {file: words.py}\nworkers: {max: 4}\nworker: {cpus: 0.5, mem: 512}\n")
    code, out, _ = run(capsys, "validate", str(good), "--no-check")
    assert code == ExitCode.OK
    assert f"valid  {good}: words, 1 to 4 workers of 0.5 cpu and 512MiB, exactly-once" in out
    code, out, _ = run(capsys, "validate", str(good), "--no-check", "--json")
    found = json.loads(out)
    assert (found["job"]["name"], found["bundle"]["files"], found["plan"]) == ("words", ["words.py"], None)
    assert found["job"]["program"]["sha256"] == found["bundle"]["sha256"]


def test_the_schema_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "schema", "job")
    assert code == ExitCode.OK
    assert json.loads(out)["title"] == "Headgate job"
    code, _, err = run(capsys, "schema", "jobs")
    assert code == ExitCode.BAD_INPUT
    assert "'jobs' is not 'job'" in err


def test_workers_are_a_number_or_auto(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "scale", "delays", "many", *NOWHERE)
    assert code == ExitCode.BAD_INPUT
    assert "'many' is neither a whole number nor auto" in err


def test_no_color_is_heeded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert coloured("error:", "red") == "\x1b[31merror:\x1b[0m"
    monkeypatch.setenv("NO_COLOR", "1")
    assert coloured("error:", "red") == "error:"


def test_a_token_file_that_is_not_there_or_empty(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, _, err = run(capsys, "list", "--api-token-file", str(tmp_path / "none"))
    assert (code, err) == (
        ExitCode.BAD_INPUT,
        f"error: --api-token-file: {tmp_path}/none cannot be read: No such file or directory\n",
    )
    (tmp_path / "token").write_text("\n")
    code, _, err = run(capsys, "list", "--api-token-file", str(tmp_path / "token"))
    assert "is empty; write the secret into it" in err


def test_ctrl_c_is_130(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("headgate.adapters.api_client.ApiClient.jobs", interrupted)
    code, _, err = run(capsys, "list", *NOWHERE)
    assert (code, err.strip()) == (ExitCode.INTERRUPTED, "interrupted")
