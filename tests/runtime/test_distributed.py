import torch

from pointillist.runtime.distributed import average_buffers, gather, global_mean, leave, rank, world


def test_one_process_is_a_world_of_one():
    assert (world(), rank()) == (1, 0)
    x = torch.arange(6.0, requires_grad=True).reshape(3, 2)
    assert torch.equal(gather(x), x)
    assert not gather(x).requires_grad
    leave()


def test_the_global_mean_is_the_mean_and_zero_where_nobody_counted():
    total = torch.tensor(6.0, requires_grad=True)
    mean = global_mean(total, torch.tensor(4))
    mean.backward()
    assert mean == 1.5
    assert total.grad == 0.25
    assert global_mean(torch.tensor(0.0), torch.tensor(0)) == 0


def test_averaging_statistics_of_one_process_changes_nothing():
    layer = torch.nn.BatchNorm1d(2)
    layer.running_mean += 3
    average_buffers(layer)
    assert (layer.running_mean == 3).all()
