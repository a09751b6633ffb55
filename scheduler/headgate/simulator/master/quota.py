"""UPDATE_QUOTA and UPDATE_WEIGHTS, and what is shown of them."""

from __future__ import annotations

from collections.abc import Mapping

from headgate.simulator.master import quantities, views
from headgate.simulator.master.books import Quota
from headgate.simulator.master.framework_rules import amount_problem
from headgate.simulator.master.ledger import Ledger
from headgate.simulator.master.offers import Offers
from headgate.simulator.master.quantities import Quantities
from headgate.simulator.messages import Json, Reply
from headgate.simulator.resources import Thousandths, number_text, roles, thousandths

_EXABYTE_MB = 1024**4
_TRILLION = 1000**4


class Shares:
    """Quotas and weights of roles."""

    def __init__(self, ledger: Ledger, offers: Offers) -> None:
        self._ledger = ledger
        self._offers = offers

    # --- quota ---------------------------------------------------------------------------------------------------

    def update_quota(self, body: Json) -> Reply:
        """UPDATE_QUOTA: all configs or none."""
        configs = body.get("quota_configs", [])
        problem = next(filter(None, map(_config_problem, configs)), None)
        if problem is not None:
            return Reply(status=400, body=problem)
        if not body.get("force", False):
            problem = self._use_problem(configs) or self._capacity_problem(configs)
            if problem is not None:
                return Reply(status=400, body=f"Invalid QuotaConfig: {problem} (use 'force' flag to bypass this check)")
        for config in configs:
            self.set_quota(config)
        for config in configs:
            self._make_room(config)
        return Reply(status=200)

    def set_quota(self, config: Json) -> None:
        """Make one config the role's quota."""
        self._ledger.quota_roles[config["role"]] = config
        self._ledger.allocator.set_quota(config["role"], _quota(config))

    def _use_problem(self, configs: list[Json]) -> str | None:
        for config in configs:
            limits = quantities.of_json(config.get("limits", {}))
            consumed = views.role_consumed(self._ledger, config["role"])
            if not _within(consumed, limits):
                return (
                    f"Role '{config['role']}' is already consuming '{quantities.text(consumed)}';"
                    f" this is more than the requested limits '{quantities.text(limits)}'"
                )
        return None

    def _capacity_problem(self, configs: list[Json]) -> str | None:
        ledger = self._ledger
        quotas = {role: quota.guarantees for role, quota in ledger.allocator.quotas.items()}
        quotas |= {config["role"]: quantities.of_json(config.get("guarantees", {})) for config in configs}
        total: Quantities = {}
        for guarantees in quotas.values():
            quantities.add_to(total, guarantees)
        capacity = ledger.allocator.cluster_totals()
        if quantities.contains(capacity, total):
            return None
        return (
            f"total quota guarantees '{quantities.text(total)}' exceed cluster capacity '{quantities.text(capacity)}'"
        )

    def _make_room(self, config: Json) -> None:
        """Rescind what exceeds the limits, then from others what the guarantees need."""
        ledger, role, quota = self._ledger, config["role"], _quota(config)
        held = quantities.plus(views.role_consumed(ledger, role), views.role_offered(ledger, role))
        for offer in list(ledger.offers.values()):
            if _within(held, quota.limits):
                break
            if roles.covers(role, offer.role):
                held = quantities.minus(held, quantities.of_pool(offer.resources))
                self._offers.rescind(offer)
        rescinded: Quantities = {}
        for offer in list(ledger.offers.values()):
            if quantities.contains(quantities.plus(rescinded, held), quota.guarantees):
                break
            if not roles.covers(role, offer.role):
                quantities.add_to(rescinded, quantities.of_pool(offer.resources))
                self._offers.rescind(offer)

    def quota_status(self) -> Json:
        """GET_QUOTA: every role that has ever been given a quota."""
        configs: list[Json] = []
        infos: list[Json] = []
        for role in sorted(self._ledger.quota_roles):
            quota = self._ledger.allocator.quotas[role]
            config: Json = {"role": role}
            if quota.guarantees:
                config["guarantees"] = quantities.json(quota.guarantees)
            if quota.limits:
                config["limits"] = quantities.json(quota.limits)
            configs.append(config)
            guarantee = [
                {"name": name, "type": "SCALAR", "scalar": amount}
                for name, amount in quantities.json(quota.guarantees).items()
            ]
            infos.append({"role": role, **({"guarantee": guarantee} if guarantee else {})})
        return {"status": {"infos": infos, "configs": configs} if configs else {}}

    # --- weights -------------------------------------------------------------------------------------------------

    def update_weights(self, body: Json) -> Reply:
        """UPDATE_WEIGHTS: if one of the roles has a framework, every offer of the cluster is rescinded."""
        infos = body.get("weight_infos", [])
        start = "Failed to validate update weights request JSON"
        for info in infos:
            role = info.get("role", "").strip()
            found = roles.problem(role)
            if found is not None:
                return Reply(status=400, body=f"{start}: Invalid role '{role}': {found}")
            if info["weight"] <= 0:
                weight = f"{info['weight']:g}"
                return Reply(
                    status=400, body=f"{start} for role '{role}': Invalid weight '{weight}': Weights must be positive"
                )
        ledger = self._ledger
        for info in infos:
            ledger.allocator.set_weight(info["role"].strip(), float(info["weight"]))
        changed = {info["role"].strip() for info in infos}
        if any(changed.intersection(framework.roles) for framework in ledger.frameworks.values()):
            for offer in list(ledger.offers.values()):
                self._offers.rescind(offer)
        return Reply(status=200)

    def weights(self) -> list[Json]:
        """The weights that were given."""
        return [{"role": role, "weight": weight} for role, weight in sorted(self._ledger.allocator.weights.items())]


def _quota(config: Json) -> Quota:
    guarantees = quantities.of_json(config.get("guarantees", {}))
    return Quota(
        guarantees={name: amount for name, amount in guarantees.items() if amount > 0},
        limits=quantities.of_json(config.get("limits", {})),
    )


def _within(amounts: Mapping[str, Thousandths], limits: Mapping[str, Thousandths]) -> bool:
    return all(amounts.get(name, 0) <= limit for name, limit in limits.items())


def _config_problem(config: Json) -> str | None:
    role = config["role"]
    if "/" in role:
        return f"Updating quota on nested role '{role}' is not supported yet"
    found = roles.problem(role)
    if found is not None:
        return f"Invalid QuotaConfig: Invalid 'QuotaConfig.role': {found}"
    for field in ("guarantees", "limits"):
        for name, amount in config.get(field, {}).items():
            found = _too_large(name, amount["value"])
            if found is not None:
                return f"Invalid QuotaConfig: Invalid 'QuotaConfig.{field}': {found}"
    for field, title in (("guarantees", "guarantee"), ("limits", "limit")):
        for name, amount in config.get(field, {}).items():
            found = amount_problem(amount["value"])
            if found is not None:
                printed = f"{{'{name}': {_amount_text(amount)}}}"
                return f"Invalid QuotaConfig: Invalid {title} configuration {printed}: {found}"
    guarantees, limits = (quantities.of_json(config.get(field, {})) for field in ("guarantees", "limits"))
    if not _within(guarantees, limits):
        return (
            f"Invalid QuotaConfig: 'QuotaConfig.guarantees' {_map_text(config['guarantees'])}"
            f" is not contained within the 'QuotaConfig.limits' {_map_text(config['limits'])}"
        )
    return None


def _too_large(name: str, value: float) -> str | None:
    if name in ("mem", "disk") and value > _EXABYTE_MB:
        return (
            f"{{'{name}': {number_text(thousandths(value))}}} is invalid: values greater than 1 exabyte"
            f" ({_EXABYTE_MB}) are not supported"
        )
    if name not in ("mem", "disk") and value > _TRILLION:
        return (
            f"{{'{name}': {number_text(thousandths(value))}}} is invalid: values greater than 1 trillion"
            f" ({_TRILLION}) are not supported"
        )
    return None


def _amount_text(amount: Json) -> str:
    return number_text(thousandths(amount["value"]))


def _map_text(amounts: Json) -> str:
    return "{ " + ", ".join(f"{name}: {_amount_text(amount)}" for name, amount in sorted(amounts.items())) + " }"
