"""Who owns which shard: sticky, balanced, and moved in the safe order."""

from collections import Counter
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from headgate.core.assign import Moves, balanced, shard_costs
from headgate.core.demand import fullest
from headgate.model.ids import ShardId, TaskId
from headgate.model.shard import ShardRecord

A, B, C = TaskId("a"), TaskId("b"), TaskId("c")


def shards(*owners: TaskId | None) -> list[ShardRecord]:
    return [ShardRecord(id=ShardId(f"s{number}"), epoch=1, owner=owner) for number, owner in enumerate(owners)]


def moves(
    table: Sequence[ShardRecord],
    workers: Sequence[TaskId],
    *,
    costs: dict[str, float] | None = None,
    leaving: frozenset[TaskId] = frozenset(),
    may_give: bool = True,
    may_take: bool = True,
    may_level: bool = True,
) -> Moves:
    weights = {ShardId(name): cost for name, cost in (costs or {}).items()} or shard_costs(
        [shard.id for shard in table], {}
    )
    return balanced(
        table,
        workers=workers,
        leaving=leaving,
        costs=weights,
        may_give=may_give,
        may_take=may_take,
        may_level=may_level,
    )


def test_free_shards_go_to_the_emptiest_largest_first() -> None:
    """And the emptiest of equals is the first."""
    found = moves(shards(None, None, None, None), [A, B], costs={"s0": 1, "s1": 3, "s2": 1, "s3": 1})
    assert found == Moves(give={"s1": A, "s0": B, "s2": B, "s3": B}, take=())


def test_what_is_balanced_stays() -> None:
    """Five shards on two workers are three and two, whoever has three."""
    assert moves(shards(A, A, A, B, B), [A, B]) == Moves(give={}, take=())
    assert moves(shards(B, B, B, A, A), [A, B]) == Moves(give={}, take=())


def test_a_new_worker_gets_its_share_and_no_more() -> None:
    """Two of six, taken from those who have most."""
    found = moves(shards(A, A, A, B, B, B), [A, B, C], may_level=False)
    assert len(found.take) == 2
    assert {name in ("s0", "s1", "s2") for name in found.take} == {True, False}


def test_many_small_shards_are_levelled_as_few_large_ones_are() -> None:
    """None of them is worth its move alone."""
    assert 90 <= len(moves(shards(*[A] * 200), [A, B]).take) <= 100
    assert 40 <= len(moves(shards(*[A] * 150, *[B] * 50), [A, B]).take) <= 50
    assert moves(shards(*[A] * 98, *[B] * 102), [A, B]).take == ()


def test_balance_alone_waits_for_its_season() -> None:
    """Not every few seconds."""
    table = shards(A, A, A, A, B)
    assert moves(table, [A, B], may_level=False).take == ()
    assert len(moves(table, [A, B]).take) == 1


def test_all_of_a_leaving_worker_is_taken() -> None:
    """But not while those who are to have it are on their way."""
    table = shards(A, A, B, C)
    assert moves(table, [A, B], leaving=frozenset({C})).take == ("s3",)
    assert moves(table, [A, B], leaving=frozenset({C}), may_take=False).take == ()
    assert moves(table, [], leaving=frozenset({C})) == Moves(give={}, take=())


def test_a_worker_that_is_away_for_now_keeps_its_shards() -> None:
    """Unreachable is neither ready nor leaving."""
    assert moves(shards(A, B, C, C), [A, B]) == Moves(give={}, take=())


def test_what_is_being_released_is_reckoned_with_but_not_given() -> None:
    """It will be free soon: the plan for it must not be made twice."""
    table = [
        *shards(A, A, A),
        ShardRecord(id=ShardId("s3"), epoch=1, owner=A, releasing=5),
        ShardRecord(id=ShardId("s4"), epoch=1, owner=A, releasing=5),
        ShardRecord(id=ShardId("s5"), epoch=1, owner=A, releasing=5),
    ]
    assert moves(table, [A, B]) == Moves(give={}, take=())


def test_a_hot_shard_is_left_alone_and_the_others_make_room() -> None:
    """Moving it would only move the trouble."""
    found = moves(shards(A, A, A, B), [A, B], costs={"s0": 10, "s1": 1, "s2": 1, "s3": 1})
    assert found.take == ("s1", "s2")


def test_costs_without_measurements_are_equal_and_idle_shards_count_a_little() -> None:
    """Noise of a job at rest moves nothing."""
    names = [ShardId(name) for name in "abc"]
    assert shard_costs(names, {}) == {"a": 1.0, "b": 1.0, "c": 1.0}
    assert shard_costs(names, {ShardId("a"): 0.001, ShardId("b"): 0.003}) == {"a": 1.0, "b": 1.0, "c": 1.0}
    found = shard_costs(names, {ShardId("a"): 1.0, ShardId("b"): 0.0})
    assert found == {"a": 1.025, "b": 0.025, "c": 0.525}


COSTS = st.lists(st.floats(0.01, 5.0), min_size=1, max_size=25)
OWNERS = st.lists(st.sampled_from([None, A, B, C]), min_size=25, max_size=25)


@given(COSTS, OWNERS, st.integers(1, 3))
def test_moves_settle(costs: list[float], owners: list[TaskId | None], workers: int) -> None:
    """Carried out, they leave every shard owned by a worker that stays, near the best packing, and nothing to do."""
    staying = [A, B, C][:workers]
    leaving = frozenset([A, B, C][workers:])
    weights = {f"s{number}": cost for number, cost in enumerate(costs)}
    table = shards(*owners[: len(costs)])
    for _ in range(3):
        found = moves(table, staying, costs=weights, leaving=leaving)
        assert not set(found.give) & set(found.take)
        assert set(found.give.values()) <= set(staying)
        table = [
            ShardRecord(
                id=shard.id,
                epoch=1,
                owner=found.give.get(shard.id, None if shard.id in found.take else shard.owner),
            )
            for shard in table
        ]
    assert moves(table, staying, costs=weights, leaving=leaving) == Moves(give={}, take=())
    load = Counter[TaskId]()
    for shard in table:
        assert shard.owner in staying
        load[shard.owner] += weights[shard.id]  # type: ignore[index,assignment]
    assert max(load.values()) <= fullest(costs, workers) * 1.5 + 0.2 * sum(costs) / workers
