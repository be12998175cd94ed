"""The words of sentences that people read."""

from omnitok.spec import closest, counted


def test_one_is_said_as_one_and_large_numbers_can_be_read():
    assert [counted(n, "shard") for n in (0, 1, 2, 1234)] == ["0 shards", "1 shard", "2 shards", "1,234 shards"]
    assert [counted(n, "piece of work", "pieces of work") for n in (1, 2)] == ["1 piece of work", "2 pieces of work"]


def test_the_nearest_name_is_said_where_there_is_one():
    assert closest("pest", ["cats", "pets"]) == "; did you mean 'pets'?"
    assert closest("x", ["cats", "pets"]) == closest("x", []) == ""
