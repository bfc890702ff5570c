from __future__ import annotations

import json
from pathlib import Path

import pytest

from halfsight.engines.plan import Item, Plan, plan
from halfsight.outputs import OutputError
from halfsight.table import CoalitionTable, TableError, failed_row

WITH = {"model": "triq", "grid": "2x2"}


@pytest.fixture
def five(tmp_path: Path) -> list[Item]:
    for number in range(5):
        (tmp_path / f"{number}.jpg").write_bytes(b"x" * (10 + number))
    return [(str(number), str(tmp_path / f"{number}.jpg")) for number in range(5)]


def fill(given: Plan) -> None:
    for shard in list(given.missing()):
        given.write(shard, [failed_row(name, "empty") for name, _ in shard.items])


def names(given: Plan) -> list[str]:
    return [shard.name for shard in given.shards]


def test_shards_hold_every_photograph_once_in_order(tmp_path: Path, five: list[Item]) -> None:
    made = plan(tmp_path / "t", five, WITH, 4, shard=2)
    assert [len(shard.items) for shard in made.shards] == [2, 2, 1]
    assert [item for shard in made.shards for item in shard.items] == five
    assert made.photographs == 5
    assert len(set(names(made))) == 3
    assert list(made.missing()) == list(made.shards)
    fill(made)
    assert list(made.missing()) == []
    assert [name for name, _ in CoalitionTable.load(tmp_path / "t").failures] == list("01234")


def test_names_follow_content(tmp_path: Path, five: list[Item]) -> None:
    first = names(plan(tmp_path / "a", five, WITH, 4, shard=2))
    assert names(plan(tmp_path / "b", five, WITH, 4, shard=2)) == first
    other = names(plan(tmp_path / "c", five, {**WITH, "grid": "1x4"}, 4, shard=2))
    assert not set(first) & set(other)
    renamed = [("new", five[0][1]), *five[1:]]
    changed = names(plan(tmp_path / "d", renamed, WITH, 4, shard=2))
    assert [a == b for a, b in zip(first, changed, strict=True)] == [False, True, True]


def test_resume_makes_only_what_is_missing(tmp_path: Path, five: list[Item]) -> None:
    begun = plan(tmp_path / "t", five, WITH, 4, shard=2)
    begun.write(begun.shards[1], [failed_row(name, "x") for name, _ in begun.shards[1].items])
    again = plan(tmp_path / "t", five, WITH, 4, resume=True)
    assert names(again) == names(begun)  # 32 to a shard by default, but it was begun with 2
    assert list(again.missing()) == [again.shards[0], again.shards[2]]
    with pytest.raises(TableError, match="2 of 3 shards are missing"):
        CoalitionTable.load(tmp_path / "t")


def test_resume_of_nothing_begins(tmp_path: Path, five: list[Item]) -> None:
    assert len(list(plan(tmp_path / "t", five, WITH, 4, resume=True).missing())) == 1


def test_a_replaced_photograph_is_done_again_with_its_shard(
    tmp_path: Path, five: list[Item]
) -> None:
    begun = plan(tmp_path / "t", five, WITH, 4, shard=2)
    fill(begun)
    Path(five[2][1]).write_bytes(b"whole by now")
    again = plan(tmp_path / "t", five, WITH, 4, resume=True)
    assert list(again.missing()) == [again.shards[1]]
    left = {path.name for path in (tmp_path / "t" / "shards").iterdir()}
    assert left == {Path(names(begun)[0]).name, Path(names(begun)[2]).name}


def test_resume_sweeps_up_after_a_killed_writer(tmp_path: Path, five: list[Item]) -> None:
    begun = plan(tmp_path / "t", five, WITH, 4)
    fill(begun)
    half = tmp_path / "t" / "shards" / ".abc.partial-12345678.parquet"
    half.write_bytes(b"PAR1")
    plan(tmp_path / "t", five, WITH, 4, resume=True)
    assert not half.exists()
    assert begun.has(begun.shards[0])


@pytest.mark.parametrize("change", ["provenance", "ids", "fewer"])
def test_resume_refuses_another_table(tmp_path: Path, five: list[Item], change: str) -> None:
    begun = plan(tmp_path / "t", five, WITH, 4)
    fill(begun)
    items = {"ids": [("z", five[0][1]), *five[1:]], "fewer": five[:3]}.get(change, five)
    given = {**WITH, "grid": "1x4"} if change == "provenance" else WITH
    with pytest.raises(TableError, match="was begun with another"):
        plan(tmp_path / "t", items, given, 4, resume=True)
    assert list(begun.missing()) == []


def test_a_finished_table_is_not_overwritten_unasked(tmp_path: Path, five: list[Item]) -> None:
    begun = plan(tmp_path / "t", five, WITH, 4)
    fill(begun)
    with pytest.raises(OutputError, match="--resume, --overwrite"):
        plan(tmp_path / "t", five, WITH, 4)
    assert begun.has(begun.shards[0])
    again = plan(tmp_path / "t", five, WITH, 4, overwrite=True)
    assert list(again.missing()) == list(again.shards)


@pytest.mark.parametrize("flag", ["resume", "overwrite"])
def test_folders_that_are_no_table_are_left_alone(
    tmp_path: Path, five: list[Item], flag: str
) -> None:
    with pytest.raises(OutputError, match="not a table"):
        plan(tmp_path, five, WITH, 4, resume=flag == "resume", overwrite=flag == "overwrite")
    with pytest.raises(OutputError, match="another folder"):
        plan(five[0][1], five, WITH, 4)
    assert len(list(tmp_path.iterdir())) == 5


def test_bad_requests(tmp_path: Path, five: list[Item]) -> None:
    with pytest.raises(TableError, match="'0' more than once"):
        plan(tmp_path / "t", [*five, five[0]], WITH, 4)
    with pytest.raises(TableError, match="at least 1"):
        plan(tmp_path / "t", five, WITH, 4, shard=0)
    assert not (tmp_path / "t").exists()


def test_a_damaged_shard_is_named(tmp_path: Path, five: list[Item]) -> None:
    begun = plan(tmp_path / "t", five, WITH, 4)
    fill(begun)
    path = tmp_path / "t" / begun.shards[0].name
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(TableError, match=f"{path.name}: damaged .* delete it"):
        CoalitionTable.load(tmp_path / "t")


def test_manifest_says_what_it_is(tmp_path: Path, five: list[Item]) -> None:
    begun = plan(tmp_path / "t", five, WITH, 4, shard=2)
    found = json.loads((tmp_path / "t" / "manifest.json").read_text())
    assert found["made_by"] == "halfsight"
    assert found["provenance"] == WITH
    assert found["photographs"] == 5
    assert found["shards"] == names(begun)
