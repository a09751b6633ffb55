"""The agent half of the simulated cluster: a pure model of a Mesos agent and of its built-in executors.

`Agent` (in `front`) is the whole thing as `ports.AgentModel`; `AgentSettings` are its flags.  What belongs here: what
an agent remembers (`records`, `update_streams`), what it decides (`launching`, `killing`, `executor_begin`,
`executor_end`, `status_flow`, `operations`, `draining`, `registration`, `recovery`), the two executors that Mesos
brings along (`command_executor`, `default_executor`), and what it shows (`views`, `metrics`).  No clock, no randomness
of its own, no I/O.
"""

from headgate.simulator.agent.front import Agent
from headgate.simulator.agent.recovery import Checkpoint
from headgate.simulator.agent.settings import AgentSettings

__all__ = ["Agent", "AgentSettings", "Checkpoint"]
