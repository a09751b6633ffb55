"""The v1 messages as data, and what Mesos makes of the JSON of its clients.

* `*_table` modules say which messages there are, in the notation of `notation`; `registry` reads them.
* `conversion`: any JSON value → one normal form, or an exact refusal.
* `validation`: which parts a call of a type must have.
* `requests`: the two together, for a request body.
* `defaults`: the normal form → what Mesos writes.

Everything here is pure.  Meaning (does this offer exist, is this role valid) belongs to the models.
"""

from headgate.simulator.schema.conversion import Unconvertible, convert
from headgate.simulator.schema.defaults import with_defaults
from headgate.simulator.schema.requests import Api, read_call

__all__ = ["Api", "Unconvertible", "convert", "read_call", "with_defaults"]
