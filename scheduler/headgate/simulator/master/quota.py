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

    def set_old_quota(self, body: Json) -> Reply:
        """SET_QUOTA: a guarantee that is also the limit, for a role that has neither."""
        request = body["quota_request"]
        role, guarantee = request.get("role"), request.get("guarantee", [])
        start = "Failed to validate set quota request: "
        problem = old_quota_problem(role, guarantee)
        if problem is not None:
            return Reply(status=400, body=start + problem)
        if role in self._ledger.quota_roles:
            return Reply(status=400, body=f"{start}Cannot set quota for role '{role}' which already has quota")
        if "/" in role:
            return Reply(status=400, body=f"Setting quota on nested role '{role}' is not supported yet")
        amounts = {item["name"]: item["scalar"] for item in guarantee}
        config: Json = {"role": role, "guarantees": amounts, "limits": amounts}
        if not request.get("force", False) and (problem := self._capacity_problem([config])) is not None:
            start = "Quota guarantees overcommit the cluster (use 'force' to bypass this check): "
            return Reply(status=409, body=f"{start}T{problem[1:]}")
        self.set_quota(config)
        self._make_room(config)
        return Reply(status=200)

    def remove_quota(self, body: Json) -> Reply:
        """REMOVE_QUOTA: the role is as if it had never had one."""
        role = body["role"]
        if role not in self._ledger.quota_roles:
            return Reply(status=400, body=f"Failed to remove quota: Role '{role}' has no quota set")
        self.set_quota({"role": role})
        del self._ledger.quota_roles[role]
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


def old_quota_problem(role: str | None, guarantee: list[Json]) -> str | None:
    """What is wrong with the parts of a SET_QUOTA; Source: quota::validation::quotaInfo."""
    if role is None:
        return "QuotaInfo must specify a role"
    found = roles.problem(role)
    if found is not None:
        return f"QuotaInfo with invalid role: {found}"
    if not guarantee:
        return "QuotaInfo with empty 'guarantee'"
    seen: set[str] = set()
    for item in guarantee:
        if item.get("reservations") or "reservation" in item or item.get("role", "*") != "*":
            return "QuotaInfo must not contain any ReservationInfo"
        for field, title in (("disk", "DiskInfo"), ("revocable", "RevocableInfo")):
            if field in item:
                return f"QuotaInfo must not contain {title}"
        if item.get("type") != "SCALAR" or "scalar" not in item:
            return "QuotaInfo must not include non-scalar resources"
        if item["name"] in seen:
            return f"QuotaInfo contains duplicate resource name '{item['name']}'"
        seen.add(item["name"])
    return None


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
