"""Who we are to Mesos when nobody says so."""

import getpass

import pytest

from headgate.errors import StartFailed
from headgate.service_options import default_framework


@pytest.mark.parametrize("problem", [KeyError("getpwuid(): uid not found: 1000"), OSError("No username set")])
def test_a_user_without_a_name_is_told_what_to_set(monkeypatch: pytest.MonkeyPatch, problem: Exception) -> None:
    """As in a container whose user no passwd file knows; a user that is given is taken as it is."""

    def nobody() -> str:
        raise problem

    monkeypatch.setattr(getpass, "getuser", nobody)
    with pytest.raises(StartFailed, match="set --user or HEADGATE_USER"):
        default_framework()
    assert default_framework(user="nobody").user == "nobody"
