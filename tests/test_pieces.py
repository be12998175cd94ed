"""What is missing is cut into jobs: everything once, nobody waits for itself, nobody waits for what is not needed."""

import random
import time

import pytest

from omnitok.launching.pieces import pieces
from omnitok.launching.queued import MEASURING
from omnitok.launching.work import Work


def training(stage: str, *after: str) -> Work:
    return Work(stage, f"{stage} of an arm", 1, after, {})


def measuring(stage: str, name: str = "photos") -> Work:
    return Work(stage, f"{name} of {stage}", 0, (stage,), {"name": name})


def cut(paths, missing, given=None):
    return pieces(paths, missing, given or {stage: {} for stages in paths.values() for stage in stages})


def test_a_path_that_one_trial_uses_is_one_piece():
    missing = [training("a"), training("b", "a"), training("c", "b"), measuring("c"), measuring("c", "clips")]
    (one,) = cut({"arm/0": ["a", "b", "c"]}, missing)
    assert (one.id, one.label, one.stages, one.after) == ("c", "c of an arm", ("a", "b", "c"), ())
    assert one.evaluations == (("c", {"name": "photos"}), ("c", {"name": "clips"}))


def test_the_children_of_a_fork_wait_for_the_piece_of_their_parent():
    paths = {"x/0": ["a", "b", "x", "end"], "y/0": ["a", "b", "y"]}
    missing = [training("a"), training("b", "a"), training("x", "b"), training("end", "x"), training("y", "b")]
    found = cut(paths, [*missing, measuring("end"), measuring("y")])
    assert [(one.stages, one.after) for one in found] == [
        (("a", "b"), ()), (("x", "end"), ("b",)), (("y",), ("b",))
    ]  # fmt: skip


def test_what_is_done_is_left_out_and_not_waited_for():
    paths = {"x/0": ["a", "x"], "y/0": ["a", "y"]}
    assert [(one.id, one.stages, one.after) for one in cut(paths, [training("x", "a"), measuring("y")])] == [
        ("x", ("x",), ()), ("y", (), ())
    ]  # fmt: skip
    assert cut(paths, []) == []


def test_nobody_waits_for_the_measurement_of_a_stage_on_which_others_stand():
    paths = {"short/0": ["a"], "long/0": ["a", "b"]}
    missing = [training("a"), training("b", "a"), measuring("a"), measuring("b")]
    first, child, measured = cut(paths, missing)
    assert (first.id, first.evaluations, child.after) == ("a", (), ("a",))
    assert (measured.id, measured.stages, measured.after) == (f"a{MEASURING}", (), ("a",))
    (again,) = cut(paths, [measuring("a")])  # under the same name when only it is missing
    assert (again.id, again.after) == (measured.id, ())


def test_stages_that_are_given_something_else_are_a_piece_of_their_own():
    given = {"a": {"gpus_per_node": 1}, "b": {"gpus_per_node": 4}, "c": {"gpus_per_node": 4}}
    missing = [training("a"), training("b", "a"), training("c", "b"), measuring("c")]
    first, second = cut({"arm/0": ["a", "b", "c"]}, missing, given)
    assert (first.stages, first.resources) == (("a",), {"gpus_per_node": 1})
    assert (second.stages, second.after, second.resources) == (("b", "c"), ("a",), {"gpus_per_node": 4})


def test_a_stage_with_two_parents_waits_for_both():
    paths = {"arm/0": ["a", "b", "c"]}
    found = cut(paths, [training("a"), training("b", "a"), training("c", "b", "a")])
    assert [(one.stages, one.after) for one in found] == [(("a",), ()), (("b", "c"), ("a",))]


def made_up(seed: int):
    """A sweep of random forks, of which a random part is done: parents before children."""
    draw = random.Random(seed)
    parents, paths = {}, {}
    for trial in range(draw.randint(1, 12)):
        path = draw.choice([[], *paths.values()])
        path = list(path[: draw.randint(0, len(path))])
        for _ in range(draw.randint(1, 3)):
            stage = f"s{len(parents)}"
            more = draw.sample(path[:-1], 1) if len(path) > 1 and draw.random() < 0.2 else []
            parents[stage] = tuple(path[-1:] + more)
            path.append(stage)
        paths[f"arm{trial}/0"] = path
    done = set()
    for stage, after in parents.items():
        if set(after) <= done and draw.random() < 0.3:
            done.add(stage)
    missing = [training(stage, *after) for stage, after in parents.items() if stage not in done]
    missing += [measuring(path[-1], name) for path in paths.values() for name in "xy" if draw.random() < 0.7]
    given = {stage: {"mem_gb": draw.choice([8, 8, 8, 16])} for stage in parents}
    return paths, parents, missing, given


@pytest.mark.parametrize("seed", range(200))
def test_whatever_is_missing_is_done_once_after_what_it_needs_and_by_as_few_as_can_be(seed):
    paths, parents, missing, given = made_up(seed)
    found = pieces(paths, missing, given)
    work = [*(stage for one in found for stage in one.stages), *(str(e) for one in found for e in one.evaluations)]
    assert sorted(work) == sorted(str((w.stage, w.evaluation)) if w.evaluation else w.stage for w in missing)
    place = {one.id: i for i, one in enumerate(found)}
    home = {stage: one.id for one in found for stage in one.stages}
    assert len(place) == len(found)
    for i, one in enumerate(found):
        assert all(place[name] < i for name in one.after)  # so it never waits for itself, nor anybody in a circle
        needed = {home[p] for stage in one.stages for p in parents[stage] if p in home and home[p] != one.id}
        needed |= {home[stage] for stage, _ in one.evaluations if home.get(stage, one.id) != one.id}
        assert set(one.after) == needed
        assert all(given[stage] == one.resources for stage in (*one.stages, *(stage for stage, _ in one.evaluations)))
        assert len({frozenset(t for t, path in paths.items() if stage in path) for stage in one.stages}) <= 1
    children = {stage: [child for child in home if stage in parents[child]] for stage in home}
    for stage, (*_, last) in ((stage, ["", *after]) for stage, after in parents.items()):
        alike = last in home and stage in home and given[last] == given[stage] and children[last] == [stage]
        if alike and parents[stage] == (last,) and _users(paths, last) == _users(paths, stage):
            assert home[last] == home[stage]  # a piece ends only where it must


def _users(paths, stage):
    return {trial for trial, path in paths.items() if stage in path}


def test_ten_thousand_cells_are_cut_in_a_moment():
    paths = {f"arm{i}/{seed}": [f"a{seed}", f"b{i}.{seed}", f"c{i}.{seed}"] for i in range(1000) for seed in range(10)}
    missing = [training(f"a{seed}") for seed in range(10)]
    missing += [w for _, (a, b, c) in paths.items() for w in (training(b, a), training(c, b), measuring(c))]
    began = time.perf_counter()
    found = cut(paths, missing)
    assert time.perf_counter() - began < 2
    assert len(found) == 10 + 10_000
