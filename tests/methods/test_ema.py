import pytest
import torch
from torch import nn

from pointillist.methods._ema import follow, frozen_copy, mean_prediction, noisy
from tests.methods.small import batch_of, pixel_net, unet


def shake(net, seed):
    g = torch.Generator().manual_seed(seed)
    for tensor in (*net.parameters(), *net.buffers()):
        tensor.data = torch.randn(tensor.shape, generator=g) if tensor.is_floating_point() else tensor + seed
    return net


def test_a_teacher_is_a_frozen_copy_of_any_network():
    for net in (unet(), pixel_net()):
        teacher = frozen_copy(net)
        assert not any(p.requires_grad for p in teacher.parameters())
        assert all(p.requires_grad for p in net.parameters())
        image = torch.rand(2, 1, 16, 16)
        assert torch.equal(teacher.eval()(image).logits, net.eval()(image).logits)
        next(net.parameters()).data.zero_()
        assert next(teacher.parameters()).abs().sum() > 0


def test_follows_as_the_equation_says_tensor_by_tensor():
    teacher, student = frozen_copy(shake(unet(), 1)), shake(unet(), 2)
    past, present = teacher.state_dict(), student.state_dict()
    expected = {
        key: 0.99 * past[key] + 0.01 * present[key] if past[key].is_floating_point() else present[key].clone()
        for key in past
    }
    follow(teacher, student, step=500, alpha=0.99)
    assert len(expected) == len(present) > 0
    for key, value in teacher.state_dict().items():
        torch.testing.assert_close(value, expected[key], rtol=1e-6, atol=1e-7, msg=key)


@pytest.mark.parametrize(("step", "alpha"), [(0, 0.99), (7, 0.0)])
def test_copies_the_student_at_first_and_where_nothing_is_remembered(step, alpha):
    teacher, student = frozen_copy(shake(unet(), 1)), shake(unet(), 2)
    follow(teacher, student, step, alpha)
    for key, value in teacher.state_dict().items():
        assert torch.equal(value, student.state_dict()[key]), key


def test_is_the_plain_mean_of_the_first_students():
    teacher = frozen_copy(pixel_net())
    students = [shake(pixel_net(), seed) for seed in range(1, 6)]
    for step, student in enumerate(students):
        follow(teacher, student, step, 0.99)
    for key, value in teacher.state_dict().items():
        torch.testing.assert_close(value, torch.stack([s.state_dict()[key] for s in students]).mean(0))


def test_a_constant_stays_a_constant_to_the_bit():
    student = shake(unet(), 1)
    teacher = frozen_copy(student)
    for step in range(50):
        follow(teacher, student, step, 0.99)
    for key, value in teacher.state_dict().items():
        assert torch.equal(value, student.state_dict()[key]), key


def test_its_passes_leave_its_running_statistics_alone():
    net = unet()
    teacher = frozen_copy(net).train()
    before = {key: value.clone() for key, value in teacher.state_dict().items() if "running" in key}
    mean_prediction(teacher, batch_of().image, passes=3, sigma=0.1)
    assert before
    for key, value in before.items():
        assert torch.equal(teacher.state_dict()[key], value), key
    assert all(m.momentum == 0.1 for m in net.modules() if isinstance(m, nn.BatchNorm2d))


@pytest.mark.parametrize("passes", [1, 2, 3, 8])
def test_the_mean_over_chunks_is_the_mean_over_passes(passes):
    teacher, image = frozen_copy(pixel_net()), batch_of().image
    torch.manual_seed(0)
    found = mean_prediction(teacher, image, passes=passes, sigma=0.1)
    torch.manual_seed(0)
    copies = torch.cat([noisy(torch.cat([image] * n), 0.1) for n in [2] * (passes // 2) + [1] * (passes % 2)])
    expected = teacher(copies).logits.softmax(1).view(passes, *found.shape).mean(0)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(found.sum(1), torch.ones(3, 16, 16))
    assert not found.requires_grad


def test_passes_differ_by_dropout_and_by_noise():
    image = torch.full((2, 1, 16, 16), 0.5)
    for net, sigma in ((pixel_net(), 0.1), (unet(), 0.0)):
        teacher = frozen_copy(net).train()
        one, two = (mean_prediction(teacher, image, passes=1, sigma=sigma) for _ in range(2))
        assert not torch.equal(one, two)
    still = frozen_copy(pixel_net())
    one, two = (mean_prediction(still, image, passes=n, sigma=0.0) for n in (1, 4))
    torch.testing.assert_close(one, two)


def test_noise_is_cut_off_at_two_deviations():
    noise = noisy(torch.zeros(1, 1, 200, 200), 0.1)
    assert noise.abs().max() == pytest.approx(0.2)
    assert noise.std() == pytest.approx(0.096, abs=0.002)  # of a normal distribution clamped at 2σ
    assert (noise.abs() > 0.1999).float().mean() == pytest.approx(0.0455, abs=0.005)
