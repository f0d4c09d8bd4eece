import pytest
import torch

from pointillist.errors import InputError
from pointillist.methods._statistics import kept_statistics
from pointillist.methods.mixmatch import marked_or, mix, pose_of, posed_back, sharpen
from pointillist.types import IGNORE
from tests.methods.small import at, batch_of, method_of, pixel_net, unet


def predictions(seed=0):
    return torch.randn(2, 4, 3, 5, generator=torch.Generator().manual_seed(seed)).softmax(1)


def terms_of(method, batch, clock, seed=0):
    torch.manual_seed(seed)
    return method.step(batch, clock).terms


@pytest.mark.parametrize("temperature", [0.01, 0.5, 0.9])
def test_sharpening_keeps_the_largest_and_sums_to_one(temperature):
    p = predictions()
    q = sharpen(p, temperature)
    assert torch.equal(q.argmax(1), p.argmax(1))
    torch.testing.assert_close(q.sum(1), torch.ones(2, 3, 5))
    assert (q.amax(1) > p.amax(1)).all()


def test_sharpening_by_hand():
    p = torch.tensor([[[0.75], [0.25]]])
    torch.testing.assert_close(sharpen(p, 0.5), torch.tensor([[[0.9], [0.1]]]))  # 9 : 1
    torch.testing.assert_close(sharpen(p, 1.0), p)


@pytest.mark.parametrize("pose", range(8))
def test_every_pose_is_another_one_and_is_taken_back(pose):
    x = torch.arange(2 * 3 * 4.0).view(1, 2, 3, 4)
    assert torch.equal(posed_back(pose_of(x, pose), pose), x)
    others = [pose_of(x, other) for other in range(8) if other != pose]
    assert not any(torch.equal(pose_of(x, pose), other) for other in others)


def test_marks_overrule_the_guess():
    label = torch.full((2, 3, 5), IGNORE)
    label[0, 1, 2] = 3
    found = marked_or(predictions(), label)
    assert found[0, :, 1, 2].tolist() == [0, 0, 0, 1]
    found[0, :, 1, 2] = predictions()[0, :, 1, 2]
    assert torch.equal(found, predictions())


def test_mixing_by_hand_and_not_at_all():
    x, partner = torch.tensor([[1.0], [5.0], [9.0]]), torch.tensor([2, 0, 1])
    assert mix(x, partner, torch.tensor([0.75, 0.5, 1.0])).tolist() == [[3.0], [3.0], [9.0]]
    assert torch.equal(mix(predictions(), torch.tensor([1, 0]), torch.ones(2)), predictions())


def test_one_view_at_temperature_one_is_the_prediction():
    method = method_of("mixmatch", unet(), views=1, temperature=1.0)
    batch = batch_of()
    logits = method.net(batch.image).logits
    torch.testing.assert_close(method._guess(batch.image, logits), logits.softmax(1))


def test_views_are_put_back_before_they_are_averaged():
    """A pixel-wise network sees the same in every pose, on oblong images too."""
    method = method_of("mixmatch", pixel_net(), views=6)
    batch = batch_of(h=12, w=20)
    logits = method.net(batch.image).logits
    guess = method._guess(batch.image, logits)
    torch.testing.assert_close(guess, sharpen(logits.softmax(1), 0.5))
    assert not guess.requires_grad


def test_equal_to_the_equation(monkeypatch):
    """With the same draws in the same order, an image and a pixel at a time."""
    net = pixel_net()
    method, batch = method_of("mixmatch", net), batch_of(h=6, w=5)
    batch.valid[1, 2] = False
    value = terms_of(method, batch, at(50))["mixed"].value
    torch.manual_seed(0)
    torch.randint(1, 8, ())
    drawn = torch.distributions.Beta(0.75, 0.75).sample((3,))
    partner = torch.randperm(3)
    q = net(batch.image).logits.softmax(1).detach() ** 2
    q = q / q.sum(1, keepdim=True)
    total, count = 0.0, 0
    for n, other in enumerate(partner.tolist()):
        share = max(float(drawn[n]), 1 - float(drawn[n]))
        p = net(share * batch.image[n : n + 1] + (1 - share) * batch.image[other : other + 1]).logits.softmax(1)[0]
        for i in range(6):
            for j in range(5):
                if not (batch.valid[n, i, j] and batch.valid[other, i, j]):
                    continue
                sides = []
                for m in (n, other):
                    mark = int(batch.label[m, i, j])
                    sides.append(q[m, :, i, j] if mark == IGNORE else torch.eye(4)[mark])
                target = share * sides[0] + (1 - share) * sides[1]
                total += (p[:, i, j] - target).square().mean().item()
                count += 1
    assert 0 < count < 90
    assert value.item() == pytest.approx(total / count, rel=1e-5)


def test_schedule_and_settings():
    method = method_of("mixmatch", pixel_net(), weight=3.0, start=0.2)
    batch = batch_of()
    assert set(terms_of(method, batch, at(19))) == {"pce"}
    weights = [terms_of(method, batch, at(step))["mixed"].weight for step in (20, 40, 60, 90)]
    assert weights == pytest.approx([0, 1.5, 3, 3])
    default = method_of("mixmatch", pixel_net())
    assert (default.weight, default.ramp, default.views, default.temperature) == (1.0, 0.4, 2, 0.5)
    assert (default.alpha, default.needs.min_batch, default.recipe.optimizer) == (0.75, 2, "adam")
    with pytest.raises(InputError, match="value it cannot have"):
        method_of("mixmatch", pixel_net(), temperature=0.0)


def test_only_the_images_as_they_are_enter_the_running_statistics():
    method, plain = method_of("mixmatch", unet(dropout=0.0)), unet(dropout=0.0)
    batch = batch_of()
    terms_of(method, batch, at(50))
    plain(batch.image)
    for key, value in plain.state_dict().items():
        if "running" in key:
            assert torch.equal(method.net.state_dict()[key], value), key


def test_statistics_are_kept_until_the_end_even_of_a_failed_pass():
    net = unet()
    before = {key: value.clone() for key, value in net.state_dict().items() if "running" in key}
    with pytest.raises(ValueError, match="the image must be"), kept_statistics(net):
        net(batch_of().image)
        net(torch.zeros(1, 1, 4, 4))
    assert all(torch.equal(net.state_dict()[key], value) for key, value in before.items())
    net(batch_of().image)
    assert not any(torch.equal(net.state_dict()[key], value) for key, value in before.items())
