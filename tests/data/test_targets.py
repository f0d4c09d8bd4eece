import multiprocessing
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from pointillist.data.cache.container import write_container
from pointillist.data.targets import TargetStore
from pointillist.errors import DamagedFileError, InputError


def some(seed=0, shape=(4, 6, 5)):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(shape, generator=generator).softmax(0), torch.rand(shape[1:], generator=generator)


def test_what_is_put_is_seen_after_the_next_commit(tmp_path):
    store = TargetStore(tmp_path / "targets")
    soft, weight = some()
    store.put("a", soft, weight)
    assert store.get(["a"]) is None
    assert store.commit() == store.generation == 1
    got, weights = store.get(["b", "a"])
    assert got.shape == (2, 4, 6, 5)
    torch.testing.assert_close(got[1], soft, atol=1e-3, rtol=0)
    torch.testing.assert_close(weights[1], weight, atol=1e-3, rtol=0)
    assert not got[0].any()
    assert not weights[0].any()
    assert store.get(["b"]) is None


def test_targets_stay_until_they_are_put_again(tmp_path):
    store = TargetStore(tmp_path)
    for name, seed in (("a", 1), ("b", 2)):
        store.put(name, *some(seed))
    store.commit()
    before = store.get(["a"])[0]
    for seed in (3, 4):
        store.put("b", *some(seed))
    store.commit()
    assert torch.equal(store.get(["a"])[0], before)
    torch.testing.assert_close(store.get(["b"])[0][0], some(4)[0], atol=1e-3, rtol=0)


def test_slices_of_several_sizes(tmp_path):
    store = TargetStore(tmp_path)
    store.put("a", *some(1, (2, 3, 9)))
    store.put("b", *some(2, (2, 7, 4)))
    store.put("b", *some(2, (2, 5, 4)))
    store.commit()
    soft, weight = store.get(["a", "b"])
    assert soft.shape == (2, 2, 5, 9)
    torch.testing.assert_close(soft[1, :, :5, :4], some(2, (2, 5, 4))[0], atol=1e-3, rtol=0)
    assert not weight[0, 3:].any()


def test_a_run_resumes_from_its_checkpoint_exactly(tmp_path):
    store = TargetStore(tmp_path)
    for seed in range(3):
        store.put("a", *some(seed))
        store.commit()
        saved = store.state(), store.get(["a"])
    store.put("a", *some(9))
    store.commit()
    store.put("a", *some(10))
    later = TargetStore(tmp_path)
    later.restore(saved[0])
    assert later.generation == 3
    assert torch.equal(later.get(["a"])[0], saved[1][0])
    assert torch.equal(later.get(["a"])[1], saved[1][1])
    later.put("a", *some(11))
    assert later.commit() == 4
    torch.testing.assert_close(later.get(["a"])[0][0], some(11)[0], atol=1e-3, rtol=0)


def test_generations_of_the_last_two_checkpoints_are_kept(tmp_path):
    store = TargetStore(tmp_path)
    saved = []
    for seed in range(6):
        store.put("a", *some(seed))
        store.commit()
        if seed % 2:
            saved.append(store.state())
    assert [path.stem for path in sorted(tmp_path.iterdir())] == [f"generation-{k:06d}" for k in (2, 4, 6)]
    for state in saved[-2:]:
        TargetStore(tmp_path).restore(state)
    store.commit()
    with pytest.raises(InputError, match="no such generation"):
        TargetStore(tmp_path).restore(saved[0])


def test_an_empty_store_is_restored_as_such(tmp_path):
    store = TargetStore(tmp_path)
    state = store.state()
    store.put("a", *some())
    store.commit()
    store.restore(state)
    assert store.get(["a"]) is None
    assert store.commit() == 1
    assert store.get(["a"]) is None


def test_what_was_put_before_restoring_is_dropped(tmp_path):
    store = TargetStore(tmp_path)
    store.put("a", *some(1))
    store.restore({"generation": 0})
    store.put("b", *some(2))
    store.commit()
    assert store.get(["a"]) is None
    torch.testing.assert_close(store.get(["b"])[0][0], some(2)[0], atol=1e-3, rtol=0)


def test_eight_bits(tmp_path):
    store = TargetStore(tmp_path, stored="uint8")
    soft, weight = some()
    store.put("a", soft, torch.ones_like(weight))
    store.commit()
    got, weights = store.get(["a"])
    assert (got[0] - soft).abs().max() <= 1 / 510 + 1e-6
    assert (weights == 1).all()
    with pytest.raises(InputError, match="another kind"):
        TargetStore(tmp_path).restore({"generation": 1})


def test_damage_and_mistakes_are_named(tmp_path):
    store = TargetStore(tmp_path)
    with pytest.raises(InputError, match="do not fit"):
        store.put("a", torch.zeros(2, 3, 4), torch.zeros(4, 3))
    store.put("a", *some())
    store.commit()
    path = next(tmp_path.glob("*.targets"))
    good = bytearray(path.read_bytes())
    good[100] ^= 1
    path.write_bytes(good)
    with pytest.raises(DamagedFileError, match="damaged"):
        TargetStore(tmp_path).restore({"generation": 1})
    write_container(path, {}, {"kind": "slices"})
    with pytest.raises(DamagedFileError, match="no targets"):
        TargetStore(tmp_path).restore({"generation": 1})


def one_of_two(rank: int, folder: str, port: int) -> None:
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    store = TargetStore(Path(folder))
    store.put(f"of {rank}", *some(rank))
    assert store.commit() == 1
    soft, _ = store.get(["of 0", "of 1"])
    for number in range(2):
        torch.testing.assert_close(soft[number], some(number)[0], atol=1e-3, rtol=0)
    dist.barrier()
    dist.destroy_process_group()


@pytest.mark.slow
def test_processes_that_train_together_see_the_same(tmp_path, unused_tcp_port_number):
    context = multiprocessing.get_context("spawn")
    arguments = [(rank, str(tmp_path), unused_tcp_port_number) for rank in range(2)]
    processes = [context.Process(target=one_of_two, args=one) for one in arguments]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0]
    assert [path.name for path in tmp_path.iterdir()] == ["generation-000001.targets"]


@pytest.fixture
def unused_tcp_port_number() -> int:
    import socket

    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]
