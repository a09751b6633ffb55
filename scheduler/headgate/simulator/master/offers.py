"""Offers and inverse offers: made from what the allocator granted, taken back, used up."""

from __future__ import annotations

from headgate.simulator.master.allocator import Outcome
from headgate.simulator.master.filters import refuse_seconds
from headgate.simulator.master.ledger import Ledger
from headgate.simulator.master.records import Agent, Framework, InverseOffer, Offer
from headgate.simulator.messages import Json
from headgate.simulator.resources import Form, Resources


class Offers:
    """The outstanding offers of a master."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    # --- making --------------------------------------------------------------------------------------------------

    def send(self, outcome: Outcome) -> None:
        """One OFFERS event for each framework that was granted something, one INVERSE_OFFERS likewise."""
        ledger = self._ledger
        made: dict[str, list[Json]] = {}
        for grant in outcome.grants:
            offer = Offer(
                id=ledger.new_offer_id(),
                framework_id=grant.framework_id,
                agent_id=grant.agent_id,
                role=grant.role,
                resources=grant.resources,
            )
            framework, agent = ledger.frameworks[offer.framework_id], ledger.agents[offer.agent_id]
            ledger.offers[offer.id] = framework.offers[offer.id] = agent.offers[offer.id] = offer
            made.setdefault(framework.id, []).append(self._json(offer, framework, agent))
            if ledger.settings.offer_timeout is not None:
                ledger.agenda.at(ledger.now + ledger.settings.offer_timeout, lambda offer=offer: self._expire(offer))  # type: ignore[misc]
        for framework_id, offers in made.items():
            ledger.counters["offers_sent"] += len(offers)
            ledger.tell(ledger.frameworks[framework_id], {"type": "OFFERS", "offers": {"offers": offers}})
        self._send_inverse(outcome)

    def _send_inverse(self, outcome: Outcome) -> None:
        ledger = self._ledger
        made: dict[str, list[Json]] = {}
        for framework_id, agent_id in outcome.inverse:
            framework, agent = ledger.frameworks[framework_id], ledger.agents[agent_id]
            unavailability = unavailability_of(ledger, agent)
            if unavailability is None:
                continue
            offer = InverseOffer(
                id=ledger.new_offer_id(),
                framework_id=framework_id,
                agent_id=agent_id,
                unavailability=unavailability,
            )
            ledger.inverse_offers[offer.id] = offer
            framework.inverse_offers[offer.id] = agent.inverse_offers[offer.id] = offer
            made.setdefault(framework_id, []).append(
                {
                    "id": {"value": offer.id},
                    "url": _url(agent),
                    "framework_id": {"value": framework_id},
                    "agent_id": {"value": agent_id},
                    "unavailability": unavailability,
                }
            )
        for framework_id, offers in made.items():
            event = {"type": "INVERSE_OFFERS", "inverse_offers": {"inverse_offers": offers}}
            ledger.tell(ledger.frameworks[framework_id], event)

    def _json(self, offer: Offer, framework: Framework, agent: Agent) -> Json:
        capabilities = framework.capabilities
        multi_role = "MULTI_ROLE" in capabilities
        shown = offer.resources if multi_role else offer.resources.allocated(None)
        form = Form.STACK if "RESERVATION_REFINEMENT" in capabilities else Form.OLD
        message: Json = {
            "id": {"value": offer.id},
            "framework_id": {"value": framework.id},
            "agent_id": {"value": agent.id},
            "hostname": agent.hostname,
            "url": _url(agent),
            "resources": shown.json(form),
        }
        for field in ("attributes", "domain"):
            if agent.info.get(field):
                message[field] = agent.info[field]
        executors = agent.executors.get(framework.id)
        if executors:
            message["executor_ids"] = [{"value": executor_id} for executor_id in executors]
        unavailability = unavailability_of(self._ledger, agent)
        if unavailability is not None:
            message["unavailability"] = unavailability
        if multi_role:
            message["allocation_info"] = {"role": offer.role}
        return message

    # --- ending --------------------------------------------------------------------------------------------------

    def rescind(self, offer: Offer) -> None:
        """Take an offer back and say so; its resources are free."""
        framework = self._ledger.frameworks[offer.framework_id]
        self._ledger.tell(framework, {"type": "RESCIND", "rescind": {"offer_id": {"value": offer.id}}})
        self.discard(offer)

    def discard(self, offer: Offer, filters: Json | None = None) -> None:
        """Take an offer back in silence; its resources are free, for others only if there is a filter."""
        self.remove(offer)
        self.recover(offer.framework_id, offer.agent_id, offer.resources, filters)

    def remove(self, offer: Offer) -> None:
        """The offer is no more; what becomes of its resources is the caller's affair."""
        del self._ledger.offers[offer.id]
        del self._ledger.frameworks[offer.framework_id].offers[offer.id]
        del self._ledger.agents[offer.agent_id].offers[offer.id]

    def recover(self, framework_id: str, agent_id: str, resources: Resources, filters: Json | None) -> None:
        """Give resources back to the allocator; `filters` is a Filters message, None for no filter at all."""
        ledger = self._ledger
        seconds = 0.0 if filters is None else refuse_seconds(filters)
        until = ledger.now + max(seconds, ledger.settings.allocation_interval) if seconds else None
        ledger.allocator.recover(framework_id, agent_id, resources, refuse_until=until)
        if until is not None:
            ledger.agenda.at(until, lambda: ledger.allocator.filter_expired(agent_id))

    def _expire(self, offer: Offer) -> None:
        if offer.id in self._ledger.offers:
            self.rescind(offer)

    def remove_inverse(self, offer: InverseOffer, *, rescind: bool) -> None:
        """The inverse offer is no more; it may be made again."""
        ledger = self._ledger
        self._forget_inverse(offer)
        ledger.allocator.answered_inverse(offer.framework_id, offer.agent_id, refuse_until=None)
        if rescind:
            event = {"inverse_offer_id": {"value": offer.id}}
            framework = ledger.frameworks[offer.framework_id]
            ledger.tell(framework, {"type": "RESCIND_INVERSE_OFFER", "rescind_inverse_offer": event})

    def answer_inverse(self, offer: InverseOffer, filters: Json | None) -> None:
        """The inverse offer has been answered; the next one comes after the filter."""
        ledger = self._ledger
        self._forget_inverse(offer)
        seconds = refuse_seconds(filters)
        until = ledger.now + seconds if seconds else None
        ledger.allocator.answered_inverse(offer.framework_id, offer.agent_id, refuse_until=until)
        if until is not None:
            ledger.agenda.at(until, lambda: ledger.allocator.filter_expired(offer.agent_id))

    def _forget_inverse(self, offer: InverseOffer) -> None:
        del self._ledger.inverse_offers[offer.id]
        del self._ledger.frameworks[offer.framework_id].inverse_offers[offer.id]
        del self._ledger.agents[offer.agent_id].inverse_offers[offer.id]

    def withdraw_from(self, agent: Agent) -> None:
        """Rescind everything that concerns an agent."""
        for offer in list(agent.offers.values()):
            self.rescind(offer)
        for inverse in list(agent.inverse_offers.values()):
            self.remove_inverse(inverse, rescind=True)

    def drop_all_of(self, framework: Framework, *, rescind: bool) -> None:
        """End all offers of a framework."""
        for offer in list(framework.offers.values()):
            (self.rescind if rescind else self.discard)(offer)
        for inverse in list(framework.inverse_offers.values()):
            self.remove_inverse(inverse, rescind=rescind)


def _url(agent: Agent) -> Json:
    address = {"hostname": agent.hostname, "ip": agent.ip, "port": agent.port}
    return {"scheme": "http", "address": address, "path": "/slave(1)"}


def unavailability_of(ledger: Ledger, agent: Agent) -> Json | None:
    """The maintenance window of an agent's machine, if one is planned."""
    for window in ledger.schedule:
        for machine in window.get("machine_ids", ()):
            if (machine.get("hostname", "").lower(), machine.get("ip")) == agent.machine:
                unavailability: Json = window["unavailability"]
                return unavailability
    return None
