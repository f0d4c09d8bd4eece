from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import nn

from pointillist.data.batch import Batch, MarkPoints
from pointillist.losses import partial_ce
from pointillist.methods import build_method, cyclemix
from pointillist.methods._puzzle import Smoothness, puzzle_mask
from pointillist.methods._rotation import rotated
from pointillist.methods.cyclemix import holes
from pointillist.nets.network import NetOut, SegmentationNet
from pointillist.nets.registry import build_net
from pointillist.runtime.clock import Clock
from pointillist.spec import TaskSpec
from pointillist.types import IGNORE

SPEC = TaskSpec(("background", "a", "b"), ("MRI",))


def batch_of(count=4, size=32, marked=0.1, seed=0):
    """Noise, marked at random."""
    g = torch.Generator().manual_seed(seed)
    image = torch.rand(count, 1, size, size, generator=g)
    label = torch.randint(0, 3, (count, size, size), generator=g)
    label[torch.rand(label.shape, generator=g) > marked] = IGNORE
    none = torch.zeros(0, dtype=torch.long)
    marks = MarkPoints(none, torch.zeros(0, 2), none, none)
    return Batch(image, label, torch.ones_like(label, dtype=torch.bool), marks, tuple(map(str, range(count))))


def at(step, total=100):
    return Clock(seed=1, step=step, epoch=0, total=total)


def method_of(seed=0, **settings):
    torch.manual_seed(seed)
    return build_method("cyclemix", build_net("unet", 1, 3), SPEC, settings)


def step_of(method, batch, when=50, seed=0):
    torch.manual_seed(seed)
    return method.step(batch, at(when))


class PixelNet(SegmentationNet):
    """Logits of each pixel from that pixel alone."""

    channels, strides = (1,), (1,)

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(1, 8, 1), nn.Tanh(), nn.Conv2d(8, 3, 1))

    def encode(self, x, side=None):  # noqa: ARG002 - grafts are not needed here
        return (x,)

    def decode(self, stages):
        return NetOut(5 * self.layers(stages[0]), stages, stages)

    def new_decoder(self):
        raise NotImplementedError


# --- what METHODS asks of the mix


def test_a_share_of_1_shows_the_image_alone_and_of_0_its_partner():
    image, saliency = torch.rand(2, 1, 32, 32), torch.rand(2, 32, 32)
    for share in (1.0, 0.0):
        mask = puzzle_mask(image, saliency, torch.tensor([1, 0]), 4, share, Smoothness(1.2, 0.5, 50))
        assert (mask == share).all()


def test_mixed_marks_sum_to_at_most_1_and_what_lacks_is_unlabelled():
    method, batch = method_of(), batch_of()
    torch.manual_seed(3)
    ones = torch.ones(4, 3, 32, 32) / 3
    image, marks, taught, seen = method._mixed(batch, torch.rand(4, 32, 32), ones)
    assert (marks >= 0).all()
    assert (marks.sum(1) <= 1 + 1e-6).all()
    assert 0 < marks.sum() < marks[:, 0].numel()
    torch.testing.assert_close(taught.sum(1), seen.float())
    assert (image[~seen[:, None]] == 0).all()
    assert (marks.sum(1)[~seen] == 0).all()


def test_a_net_that_looks_at_single_pixels_is_invariant(monkeypatch):
    """Where nothing is cut out and every block shows one image alone."""
    monkeypatch.setattr(
        cyclemix, "puzzle_mask", lambda image, *_: (torch.rand(len(image), 1, 1, 1) < 0.5).float().expand_as(image)
    )
    torch.manual_seed(0)
    method = build_method("cyclemix", PixelNet(), SPEC, {"hole": 0})
    for seed in range(3):
        terms = step_of(method, batch_of(), seed=seed).terms
        assert terms["invariance"].value.item() == pytest.approx(0, abs=1e-6)
    monkeypatch.undo()
    shifted = build_method("cyclemix", build_net("unet", 1, 3), SPEC, {"hole": 0})
    assert step_of(shifted, batch_of()).terms["invariance"].value > 1e-4


def test_the_share_of_pixels_cut_out():
    torch.manual_seed(0)
    cut = holes(500, [106, 212], 32 / 212)
    assert cut.shape == (500, 106, 212)
    assert cut.flatten(1).sum(1).max() == 16 * 32
    rows, columns = cut.any(2).sum(1), cut.any(1).sum(1)
    assert torch.equal(rows * columns, cut.flatten(1).sum(1))  # rectangles
    assert rows.min() < 16  # cut off at the border
    assert not holes(3, [8, 8], 0.0).any()


# --- rotation


def test_rotating_back_is_the_identity_inside_the_inscribed_disc():
    for height, width in ((33, 33), (32, 32), (48, 31)):
        torch.manual_seed(0)
        maps, degrees = torch.rand(40, 2, height, width) + 1, torch.rand(40) * 360
        back = rotated(rotated(maps, degrees), -degrees)
        row, column = torch.arange(height) - (height - 1) / 2, torch.arange(width) - (width - 1) / 2
        disc = torch.hypot(row[:, None], column[None]) <= min(height, width) / 2 - 2
        assert torch.equal(back[..., disc], maps[..., disc])
        lost = back == 0
        assert torch.equal(back[~lost], maps[~lost])


@pytest.mark.parametrize("turns", [0, 1, 2, 3, 4, -1])
def test_quarter_turns_are_exact(turns):
    maps = torch.rand(2, 3, 17, 17)
    assert torch.equal(rotated(maps, torch.full((2,), 90.0 * turns)), maps.rot90(turns, (2, 3)))


@pytest.mark.parametrize("size", [64, 65])
def test_each_pixel_comes_from_near_the_exact_place_and_none_comes_twice(size):
    place = torch.arange(size) - (size - 1) / 2
    row, column = torch.meshgrid(place, place, indexing="ij")
    maps = torch.stack([row, column])[None] + size
    for degrees in range(0, 360, 7):
        turned = rotated(maps, torch.tensor([float(degrees)]))[0]
        inside = turned[0] > 0
        y, x = (turned - size)[:, inside]
        cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
        exact = cos * row[inside] + sin * column[inside], cos * column[inside] - sin * row[inside]
        assert torch.hypot(y - exact[0], x - exact[1]).max() < 2
        assert len({*zip(y.tolist(), x.tolist(), strict=True)}) == len(y)
        assert inside.float().mean() > 0.75


def test_a_rotation_passes_gradients_to_where_pixels_came_from():
    maps = torch.rand(2, 1, 9, 9, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: rotated(x, torch.tensor([30.0, 200.0])), (maps,))


# --- which blocks are shown


def block_energy(z, image, partner, own, other, share, constants):
    """E for z in {0, ½, 1} of one pair of images, block by block and border by border."""
    blocks, size = len(z), image.shape[-1]
    step = size // blocks
    scale = constants.beta / (16 * blocks)
    pooled = [torch.nn.functional.avg_pool2d(x[None], 4)[0] for x in (partner, image)]
    thick = step // 4

    def phi(a, b, y, x, down):
        upper, lower = (pooled[i] if down else pooled[i].mT for i in (a, b))
        if not down:
            y, x = x, y
        row, columns = (y + 1) * thick, slice(x * thick, (x + 1) * thick)
        return (upper[:, row - 1, columns] - lower[:, row, columns]).abs().mean().item()

    def clash(p, q, *border):
        """φ of blocks that show one image each, continued to halves as the public code does."""
        corner = {(a, b): constants.gamma * phi(a, b, *border) for a in (0, 1) for b in (0, 1)}
        first = [(corner[a, 0] + corner[a, 1]) / 2 for a in (0, 1)]
        second = [(corner[0, b] + corner[1, b]) / 2 for b in (0, 1)]
        unlike = (corner[1, 0] + corner[0, 1] - corner[1, 1] - corner[0, 0]) / 2
        linear = p * first[1] + (1 - p) * first[0] + q * second[1] + (1 - q) * second[0]
        return linear + (1 + unlike) * (p - q) ** 2

    total = 0.0
    chances = {0: (1 - share) ** 2, 0.5: 2 * share * (1 - share), 1: share**2}
    for y in range(blocks):
        for x in range(blocks):
            inside = slice(y * step, (y + 1) * step), slice(x * step, (x + 1) * step)
            s, t = (m[inside].sum().item() / m.sum().item() for m in (own, other))
            total += z[y][x] * t + (1 - z[y][x]) * s
            total -= constants.eta / blocks**2 * math.log(chances[z[y][x]] + 1e-8)
            if y + 1 < blocks:
                total += scale * clash(z[y][x], z[y + 1][x], y, x, True)
            if x + 1 < blocks:
                total += scale * clash(z[y][x], z[y][x + 1], y, x, False)
    return total


@pytest.mark.parametrize("constants", [Smoothness(1.2, 0.5, 0.2), Smoothness(20, 3, 0.2), Smoothness(4, 0, 0.01)])
def test_no_other_mask_has_less_energy(constants):
    for seed in range(3):
        g = torch.Generator().manual_seed(seed)
        bright = 4 * torch.rand(2, 2, 2, 2, generator=g).repeat_interleave(32, 2).repeat_interleave(32, 3)
        image, saliency = torch.rand(2, 2, 64, 64, generator=g) + bright, torch.rand(2, 64, 64, generator=g) ** 8
        saliency[0, :32] *= 3
        saliency[1, :, 32:] *= 4
        share = 0.2 + 0.3 * seed
        found = puzzle_mask(image, saliency, torch.tensor([1, 0]), 2, share, constants)
        for own, other in ((0, 1), (1, 0)):
            args = image[own], image[other], saliency[own], saliency[other], share, constants
            z = found[own, 0, ::32, ::32].tolist()
            every = [((a, b), (c, d)) for a, b, c, d in itertools.product((0, 0.5, 1), repeat=4)]
            least = min(block_energy(one, *args) for one in every)
            assert block_energy(z, *args) == pytest.approx(least, abs=1e-5)


def test_an_energy_written_for_two_images_is_that_of_the_description():
    """For whole blocks the continuation to halves is [z ≠ z'] + γ φ plus what does not depend on z."""
    g = torch.Generator().manual_seed(0)
    image, saliency = torch.rand(2, 1, 64, 64, generator=g), torch.rand(2, 64, 64, generator=g)
    constants = Smoothness(3, 0.7, 0)
    args = image[0], image[1], saliency[0], saliency[1], 0.5, constants

    def described(z):
        mix = torch.stack(
            [torch.stack([image[1 - z[y // 32][x // 32], :, y, x] for x in range(64)]) for y in range(64)]
        )
        pooled = mix.view(16, 4, 16, 4).mean((1, 3))
        down, right = (pooled[7] - pooled[8]).abs(), (pooled[:, 7] - pooled[:, 8]).abs()
        clashes = sum(x.view(2, 8).mean(1).sum().item() for x in (down, right))
        unlike = sum(z[a][b] != z[c][d] for a, b, c, d in ((0, 0, 1, 0), (0, 1, 1, 1), (0, 0, 0, 1), (1, 0, 1, 1)))
        hidden = sum(
            saliency[z[y][x], 32 * y : 32 * y + 32, 32 * x : 32 * x + 32].sum().item() / saliency[z[y][x]].sum().item()
            for y in (0, 1) for x in (0, 1)
        )  # fmt: skip
        return hidden + 3 / 32 * (unlike + 0.7 * clashes)

    masks = [((0, 0), (0, 0)), ((1, 0), (0, 1)), ((1, 1), (0, 0)), ((1, 1), (1, 0)), ((1, 1), (1, 1))]
    gaps = [block_energy(z, *args) - described(z) for z in masks]
    assert max(gaps) - min(gaps) < 1e-5


@pytest.mark.parametrize("size", [16, 40, 64, 212])
@pytest.mark.parametrize("blocks", [2, 16])
def test_masks_cover_images_of_any_size_in_blocks(size, blocks):
    torch.manual_seed(0)
    image, saliency = torch.rand(3, 1, size, size), torch.rand(3, size, size) ** 30
    mask = puzzle_mask(image, saliency, torch.tensor([1, 2, 0]), blocks, 0.5, Smoothness(0.1, 0.5, 0.01))
    assert mask.shape == (3, 1, size, size)
    assert set(mask.unique().tolist()) <= {0, 0.5, 1}
    changes = (mask.diff(dim=3) != 0).any(dim=(0, 1, 2)).nonzero()[:, 0] + 1
    block = (size + -size % 64) // blocks
    assert ((changes + (-size % 64) // 2) % block == 0).all()
    assert len(changes) > 0


def test_salient_blocks_are_shown():
    saliency = torch.zeros(2, 64, 64)
    saliency[0, :32, :32] = 1  # of the image the first block, of the partner the last
    saliency[1, 32:, 32:] = 1
    mask = puzzle_mask(torch.zeros(2, 1, 64, 64), saliency, torch.tensor([1, 0]), 2, 0.5, Smoothness(0.1, 0.5, 0.01))
    assert (mask[0, 0, :32, :32] == 1).all()
    assert (mask[0, 0, 32:, 32:] == 0).all()
    assert torch.equal(mask[1], 1 - mask[0])


def test_images_without_any_saliency_are_mixed_all_the_same():
    mask = puzzle_mask(
        torch.rand(2, 1, 32, 32), torch.zeros(2, 32, 32), torch.tensor([1, 0]), 4, 0.3, Smoothness(1.2, 0.5, 0.2)
    )
    assert mask.isfinite().all()


# --- the method


def test_before_it_starts_it_is_partial_cross_entropy():
    method, batch = method_of(start=0.5), batch_of()
    assert set(step_of(method, batch, when=49).terms) == {"pce"}
    assert set(step_of(method, batch, when=50).terms) == {"pce", "mixed_ce", "integrity", "invariance"}
    method.eval()
    out = step_of(method, batch, when=0)
    torch.testing.assert_close(out.loss, partial_ce(method.net(batch.image).logits, batch.label))


def test_weights():
    terms = step_of(method_of(), batch_of()).terms
    assert {name: term.weight for name, term in terms.items()} == {
        "pce": 1, "mixed_ce": 1, "integrity": 0.1, "invariance": 0.1
    }  # fmt: skip


def test_both_cross_entropies_are_over_marks_and_literally_over_all_pixels():
    batch = batch_of()
    terms = [step_of(method_of(literal=literal).eval(), batch).terms for literal in (False, True)]
    marked = (batch.label != IGNORE).sum()
    torch.testing.assert_close(terms[1]["pce"].value * batch.label.numel() / marked, terms[0]["pce"].value)
    method = method_of().eval()
    drawn = []
    mixed = method._mixed
    method._mixed = lambda *args: drawn.append(mixed(*args)) or drawn[0]
    assert torch.equal(step_of(method, batch).terms["mixed_ce"].value, terms[0]["mixed_ce"].value)
    weight = drawn[0][1].sum()
    assert 0 < weight < marked * 2
    torch.testing.assert_close(terms[1]["mixed_ce"].value * batch.label.numel() / weight, terms[0]["mixed_ce"].value)


def test_literally_the_cosine_is_averaged_over_what_was_cut_out_too():
    batch = batch_of()
    terms, methods = [], [method_of(literal=literal).eval() for literal in (False, True)]
    for method in methods:
        drawn = []
        mixed = method._mixed
        method._mixed = lambda *args, mixed=mixed, drawn=drawn: drawn.append(mixed(*args)) or drawn[0]
        terms.append(step_of(method, batch).terms["invariance"].value)
    _, _, taught, seen = drawn[0]
    share = seen.float().mean()
    assert 0.5 < share < 0.95
    torch.testing.assert_close(terms[1], share * terms[0] + 1 - share)
    p = methods[1].net(drawn[0][0]).logits.softmax(1) * seen[:, None]
    torch.testing.assert_close(terms[1], 1 - torch.nn.functional.cosine_similarity(p, taught, dim=1).mean())


@pytest.mark.parametrize("literal", [False, True])
def test_the_mixed_prediction_takes_a_gradient_only_literally(literal):
    method, batch = method_of(literal=literal), batch_of()
    p = torch.full((4, 3, 32, 32), 1 / 3, requires_grad=True)
    seen = []
    mixed = method._mixed
    method._mixed = lambda batch, saliency, p: seen.append(p.requires_grad) or mixed(batch, saliency, p)
    step_of(method, batch)
    assert seen == [literal]
    assert mixed(batch, torch.rand(4, 32, 32), p)[2].requires_grad


def test_the_largest_parts_teach_integrity():
    method = method_of()
    p = torch.zeros(1, 3, 4, 6)
    classes = torch.tensor([[1, 1, 0, 2, 0, 0], [1, 2, 0, 0, 0, 0], [0, 0, 0, 0, 0, 1], [0, 0, 0, 2, 2, 1]])
    p.scatter_(1, classes[None, None], 1.0)
    target = method._largest(p)
    kept = torch.tensor([[1, 1, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0]])
    # the largest part of class 2 lies in another part of the foreground than the largest part of all
    assert torch.equal(target.argmax(1)[0], kept)
    assert (target.sum(1) == 1).all()


def test_saliency_is_the_gradient_of_cross_entropy():
    method, batch = method_of().eval(), batch_of()
    given = []
    mixed = method._mixed
    method._mixed = lambda batch, saliency, p: given.append(saliency) or mixed(batch, saliency, p)
    step_of(method, batch)
    image = batch.image.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(partial_ce(method.net(image).logits, batch.label), image)
    torch.testing.assert_close(given[0], gradient[:, 0].abs())


def test_gradients_of_the_weights_are_those_of_the_loss_alone():
    """The pass back to the image leaves nothing in the weights, and the image of the batch stays free of gradients."""
    method, batch = method_of(), batch_of()
    out = step_of(method, batch)
    assert all(p.grad is None for p in method.parameters())
    out.loss.backward()
    assert all(p.grad is not None for p in method.parameters())
    assert not batch.image.requires_grad


def test_nothing_marked_and_one_pair_are_finite():
    for count in (2, 5):
        batch = batch_of(count, marked=0)
        out = step_of(method_of(), batch)
        out.loss.backward()
        assert out.loss.isfinite()
        assert out.terms["mixed_ce"].value == 0


def test_it_needs_a_pair_and_says_so():
    assert cyclemix.CycleMix.needs.min_batch == 2
