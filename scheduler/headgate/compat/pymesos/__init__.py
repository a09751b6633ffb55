"""The interface of pymesos 0.3.15 on Headgate's driver: `from headgate.compat.pymesos import MesosSchedulerDriver`.

A framework written for pymesos runs after changing its import.  The names, arguments and callbacks are the same; what
pymesos gets wrong is not:

* A silent stream is given up and subscribed anew, with random pauses that grow.
* A call that cannot be sent raises `CallNotSent`; pymesos drops most of them without a word.  Raised within a callback
  it is logged, and the driver goes on: the stream is being subscribed anew.
* `error` means that the driver has ended, as Mesos's own interface has it.  Any other exception that a callback lets
  out ends the driver as well, and `join` raises it.
* An executor's updates are sent again until the agent has acknowledged them.
* TLS, client certificates and DC/OS service accounts: `MesosSchedulerDriver(…, doors=Doors(…))`.
"""

from headgate.adapters.dcos_login import read_service_account
from headgate.adapters.mesos_access import Doors
from headgate.compat.pymesos.callbacks import Executor, OperatorMaster, Scheduler
from headgate.compat.pymesos.data import Dict, decode_data, encode_data
from headgate.compat.pymesos.executor_driver import MesosExecutorDriver
from headgate.compat.pymesos.linked_driver import CallNotSent, CallRefused
from headgate.compat.pymesos.operator_drivers import MesosOperatorAgentDriver, MesosOperatorMasterDriver
from headgate.compat.pymesos.scheduler_driver import MesosSchedulerDriver

__all__ = [
    "CallNotSent",
    "CallRefused",
    "Dict",
    "Doors",
    "Executor",
    "MesosExecutorDriver",
    "MesosOperatorAgentDriver",
    "MesosOperatorMasterDriver",
    "MesosSchedulerDriver",
    "OperatorMaster",
    "Scheduler",
    "decode_data",
    "encode_data",
    "read_service_account",
]
