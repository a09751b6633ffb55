"""Real services that tests of several folders share: each is started once, when the first test asks for it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from zookeeper_server import ZooKeepers, require_zookeeper


@pytest.fixture(scope="session")
def zookeeper(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ZooKeepers]:
    """One ZooKeeper server for the session; tests do not kill it."""
    require_zookeeper()
    with ZooKeepers(tmp_path_factory.mktemp("zookeeper")) as running:
        yield running
