"""The master half of the simulated cluster: a pure model of a leading Mesos master.

`Master` (in `model`) is the whole; it implements `ports.MasterModel`.  Below it:

* `records` and `ledger`: what the master knows; `agenda`: what is due when; `outbox`: what it has to say;
* `allocator`, `sorter`, `quantities`, `constraints`: who is offered what;
* `subscriptions`, `offers`, `accepting`, `operations`, `tasks`, `reconciling`: what schedulers ask;
* `agents`, `removal`: what agents ask and what becomes of lost ones;
* `*_rules`: what is wrong with a FrameworkInfo, TaskInfo, operation and so on, in Mesos's words;
* `operator_calls`, `maintenance`, `quota`, `draining`, `watchers`: the operator's side;
* `endpoints`: the GET endpoints.
"""

from headgate.simulator.master.model import Master
from headgate.simulator.master.settings import MasterSettings, Registry

__all__ = ["Master", "MasterSettings", "Registry"]
