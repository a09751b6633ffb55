"""Rules about operations on reservations: recorded before they are sent, followed to their ends, used once."""

from __future__ import annotations

from headgate.model.call import Accept, AcknowledgeOperation
from headgate.model.event import OperationUpdate
from headgate.model.ids import OperationId
from headgate.testing.rules import Happening, Heard, Sent, Violation
from headgate.testing.stored_records import StoredRecords
from headgate.testing.timeline import Timeline


class OperationsSaved:
    """An operation that is sent is recorded, under an id of its own; its end is acknowledged when that is recorded."""

    def __init__(self, store: StoredRecords, timeline: Timeline) -> None:
        del timeline  # Order is all that counts here.
        self._store = store
        self._sent: set[OperationId] = set()
        self._heard: set[str] = set()

    def see(self, happened: Happening) -> None:
        """See `Rule`."""
        match happened:
            case Heard(event=OperationUpdate(status=status)) if status.uuid is not None:
                self._heard.add(status.uuid)
            case Sent(call=Accept() as call):
                for unreserve in call.unreserve:
                    self._send(unreserve.operation_id, unreserve.volume_operation_id)
                for reserve in call.reserve:
                    self._send(reserve.operation_id, reserve.volume_operation_id)
                    if reserve.id not in self._store.reservations:
                        raise Violation("OperationsSaved", f"reserves {reserve.id}, of which the store knows nothing")
            case Sent(call=AcknowledgeOperation(operation_id=operation_id, uuid=uuid)):
                if uuid not in self._heard:
                    raise Violation("OperationsSaved", f"acknowledges {operation_id}, which nobody has spoken of")
                if operation_id in self._store.operations:
                    raise Violation("OperationsSaved", f"acknowledges {operation_id} before its end is saved")

    def _send(self, *operation_ids: OperationId | None) -> None:
        for operation_id in operation_ids:
            if operation_id is None:
                continue
            if operation_id not in self._store.operations:
                raise Violation("OperationsSaved", f"sends {operation_id}, of which the store knows nothing")
            if operation_id in self._sent:
                raise Violation("OperationsSaved", f"sends {operation_id} twice")
            self._sent.add(operation_id)
