from __future__ import annotations

import pytest
import torch

from pointillist.nets.dropout import Dropout

FAST = [torch.bfloat16, torch.float32]


def layers(*shape, dtype, layout=torch.contiguous_format):
    return torch.ones(shape, dtype=dtype).contiguous(memory_format=layout).requires_grad_()


@pytest.mark.parametrize("dtype", FAST)
@pytest.mark.parametrize("p", [0.05, 0.3, 0.5])
def test_share_and_size_of_what_is_kept(dtype, p):
    torch.manual_seed(0)
    out = Dropout(p)(layers(4, 16, 64, 64, dtype=dtype))
    kept = out != 0
    assert torch.all(out[kept] == torch.tensor(1 / (1 - p), dtype=dtype))
    error = (p * (1 - p) / kept.numel()) ** 0.5
    assert abs(kept.double().mean() - (1 - p)) < 4 * error


@pytest.mark.parametrize("dtype", FAST)
def test_elements_are_dropped_independently(dtype):
    torch.manual_seed(0)
    kept = (Dropout(0.5)(torch.ones(1 << 16, dtype=dtype)) != 0).double() - 0.5
    shifts = [1, 2, 3, 4, 8, 64]  # elements of one 64-bit draw, and of neighbouring ones
    correlations = [4 * (kept[:-shift] * kept[shift:]).mean() for shift in shifts]
    assert max(map(abs, correlations)) < 4 / 2**8


@pytest.mark.parametrize("dtype", FAST)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_the_gradient_passes_through_the_same_mask(dtype, layout):
    x = layers(2, 3, 5, 7, dtype=dtype, layout=layout)
    out = Dropout(0.4)(x)
    out.sum().backward()
    assert torch.equal(x.grad, out.detach())
    assert out.is_contiguous(memory_format=layout)


@pytest.mark.parametrize("dtype", [*FAST, torch.float64])
def test_the_seed_decides(dtype):
    def drawn(seed):
        torch.manual_seed(seed)
        return Dropout(0.5)(torch.ones(3, 5, 7, dtype=dtype))

    assert torch.equal(drawn(1), drawn(1))
    assert not torch.equal(drawn(1), drawn(2))


@pytest.mark.parametrize("dtype", FAST)
def test_rates_at_the_ends_and_eval_mode(dtype):
    x = torch.randn(64, 8).to(dtype)
    assert torch.equal(Dropout(0.5).eval()(x), x)
    assert torch.equal(Dropout(0.0)(x), x)
    assert torch.equal(Dropout(1.0)(x), torch.zeros_like(x))
    assert torch.all(Dropout(1e-9)(x) == x)


def test_nothing_to_drop():
    assert Dropout(0.5)(torch.empty(0, 4)).shape == (0, 4)
