"""How a worker learns which ports of its agent it was given: by environment variables, named as Marathon names them."""

from __future__ import annotations

from collections.abc import Sequence

from headgate.model.resources import PortRange


def port_variables(names: Sequence[str], ports: Sequence[PortRange]) -> dict[str, str]:
    """PORT0, PORT1 …, PORTS with all of them, and PORT_<NAME> for those that have a name; nothing without ports."""
    numbers = [str(number) for each in ports for number in range(each.begin, each.end + 1)]
    if not numbers:
        return {}
    return {
        **{f"PORT{at}": number for at, number in enumerate(numbers)},
        "PORTS": ",".join(numbers),
        **{f"PORT_{name.upper().replace('-', '_')}": number for name, number in zip(names, numbers, strict=False)},
    }
