from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from pointillist.data.batch import Batch
from pointillist.errors import InputError
from pointillist.losses import cell_label, sigmoid_contrast
from pointillist.methods import build_method, s2l_contrast
from pointillist.methods._level_contrast import drawn
from pointillist.methods._running_average import sure_label
from pointillist.nets.registry import build_net
from pointillist.nets.unet import UNet
from pointillist.runtime.clock import Clock
from pointillist.spec import TaskSpec
from pointillist.types import IGNORE

NUCLEI = TaskSpec(("background", "nucleus"), ("grey",))
GROWN = 1 - 0.8**3  # after three updates


def net_of(classes=2, seed=0):
    torch.manual_seed(seed)
    return UNet(1, classes, channels=(4, 6, 8, 8, 8), dropout=(0.0,) * 5)


def method_of(name="s2l_contrast", classes=2, **settings):
    spec = NUCLEI if classes == 2 else TaskSpec(tuple("zabcdefg"[:classes]), ("grey",))
    return build_method(name, net_of(classes), spec, settings)


def batch_of(classes=2, b=2, side=32, grown=GROWN, seed=0):
    """Averages that are sure in 8×8 patches, and scattered marks that agree with them."""
    g = torch.Generator().manual_seed(seed)
    truth = torch.randint(0, classes, (b, side // 8, side // 8), generator=g)
    truth = truth.repeat_interleave(8, 1).repeat_interleave(8, 2)
    sure = torch.rand(b, side // 8, side // 8, generator=g) < 0.7
    peak = torch.where(sure, 0.95, 0.6).repeat_interleave(8, 1).repeat_interleave(8, 2)
    rest = ((1 - peak) / (classes - 1))[:, None].expand(-1, classes, -1, -1)
    soft = rest.scatter(1, truth[:, None], peak[:, None]) * grown
    label = truth.where(torch.rand(b, side, side, generator=g) < 0.05, IGNORE)
    image = torch.rand(b, 1, side, side, generator=g)
    return Batch(image, label, label >= 0, None, tuple("ab"[:b]), soft, torch.full((b, side, side), grown))


def clock(step, total=60_000, epoch=0):
    return Clock(seed=0, step=step, epoch=epoch, total=total)


def terms_of(method, batch, when=None, seed=0):
    torch.manual_seed(seed)
    return method.terms(method.net(batch.image), batch, when or clock(6000))


def test_pseudo_labels_and_contrast_count_after_6000_of_60000_steps_with_the_papers_weights():
    method, batch = method_of(), batch_of()
    early = terms_of(method, batch, clock(5999))
    assert {name: early[name].value.item() for name in ("contrast_R1x1", "contrast_R4x4")} == {
        "contrast_R1x1": 0, "contrast_R4x4": 0,
    }  # fmt: skip
    assert "sure" not in early
    terms = terms_of(method, batch)
    weights = {"pce": 1, "sure": 0.5, "contrast_R1x1": 0.5, "contrast_R4x4": 10}
    assert {name: term.weight for name, term in terms.items()} == weights
    assert all(term.value > 0 for term in terms.values())


@pytest.mark.parametrize(("scales", "names"), [("R1x1", ["R1x1"]), ("R4x4", ["R4x4"]), ("both", ["R1x1", "R4x4"])])
def test_presets_choose_scales(scales, names):
    method = method_of(scales=scales)
    assert [(name, one.delta, one.tau, one.weight) for name, one in method.scales.items()] == [
        {"R1x1": ("R1x1", 1, 0.3, 0.5), "R4x4": ("R4x4", 4, 0.1, 10.0)}[name] for name in names
    ]
    assert {key for key in terms_of(method, batch_of()) if key.startswith("contrast")} == {
        f"contrast_{name}" for name in names
    }


def test_any_list_of_levels_has_a_head_and_a_term_each():
    method = method_of(
        scales="R1x1 + R4x4 nu_2=0.75 lambda=3 + delta=8 tau=0.2 lambda=1 + level=1 tau=1 lambda=2 + R1x1"
    )
    assert [(name, one.level, one.delta, one.tau, one.weight, one.nu_2) for name, one in method.scales.items()] == [
        ("R1x1", 0, 1, 0.3, 0.5, 1), ("R4x4", 2, 4, 0.1, 3, 0.75), ("R8x8", 3, 8, 0.2, 1, 1), ("level1", 1, 2, 1, 2, 1),
        ("R1x1_2", 0, 1, 0.3, 0.5, 1),
    ]  # fmt: skip
    terms = terms_of(method, batch_of())
    assert {name for name in terms if name.startswith("contrast")} == {f"contrast_{name}" for name in method.scales}
    assert all(terms[f"contrast_{name}"].weight == one.weight for name, one in method.scales.items())
    torch.stack([term.value for term in terms.values()]).sum().backward()
    assert all(p.grad is not None for p in method.scales.parameters())


def test_cells_larger_than_the_stride_are_means_over_what_the_head_makes():
    method, batch = method_of(scales="level=0 delta=4 tau=0.1 lambda=1"), batch_of()
    one = method.scales["R4x4"]
    assert (one.level, one.delta) == (0, 4)
    label = torch.where(batch.label == IGNORE, sure_label(batch, 0.8), batch.label)
    blocks = one.head(method.net(batch.image).levels[0]).view(2, 32, 8, 4, 8, 4).mean((3, 5))
    cells = cell_label(label, 4, 2).flatten()
    expected = sigmoid_contrast(blocks.permute(0, 2, 3, 1).flatten(0, 2), cells, tau=0.1)
    torch.testing.assert_close(terms_of(method, batch)["contrast_R4x4"].value, expected)


@pytest.mark.parametrize(
    ("scales", "message"),
    [
        ("r4x4", "no preset 'r4x4'; did you mean 'R4x4'"),
        ("R4x4 tua=1", "a scale has no 'tua'; did you mean 'tau'"),
        ("R4x4 + delta=8 tau=0.1", "'delta=8 tau=0.1' lacks lambda"),
        ("tau=0.1 lambda=1", "lacks delta or level"),
        ("R4x4 nu_2=0.2", r"nu_2 must be a number in 0.51 … 1, got '0.2'"),
        ("R4x4 delta=2.5", "delta must be a whole number"),
        ("", "lacks tau and lambda"),
        ("R1x1 +", "lacks tau and lambda"),
    ],
)
def test_scales_that_cannot_be_read_are_named(scales, message):
    with pytest.raises(InputError, match=message) as caught:
        method_of(scales=scales)
    assert caught.value.where == "scales"
    assert "R4x4 nu_2=0.75 + delta=8 tau=0.1 lambda=10" in caught.value.expected


def test_a_scale_that_the_network_does_not_have_is_refused():
    with pytest.raises(InputError, match="no such level"):
        method_of(scales="level=4 tau=1 lambda=1")
    with pytest.raises(InputError, match="made of whole ones") as caught:
        method_of(scales="R4x4 level=3")
    assert "a multiple of 8" in caught.value.expected


def test_heads_are_those_of_the_source_on_the_network_of_the_source():
    with torch.device("meta"):
        method = build_method("s2l_contrast", build_net("resnet34_unet", 3, 2), NUCLEI, {})
    shapes = [[tuple(p.shape[:2]) for p in one.head.parameters() if p.ndim == 4] for one in method.scales.values()]
    assert shapes == [[(16, 16), (32, 16)], [(32, 64), (32, 32)]]
    assert [one.level for one in method.scales.values()] == [0, 2]
    assert all(module.bias is None for module in method.scales.modules() if isinstance(module, torch.nn.Conv2d))


@pytest.mark.parametrize(("delta", "level", "stride"), [(1, 0, 1), (2, 1, 2), (8, 3, 8), (64, 3, 8)])
def test_a_scale_takes_the_decoder_level_of_its_stride(delta, level, stride):
    one = method_of(scales=f"R4x4 delta={delta}").scales["R4x4"]
    assert (one.level, one.delta) == (level, stride)


@pytest.mark.parametrize("literal", [False, True])
@pytest.mark.parametrize("classes", [2, 3])
def test_without_the_contrast_it_is_scribble2label(classes, literal):
    batch = batch_of(classes)
    plain = terms_of(method_of("scribble2label", classes, literal=literal), batch)
    method = method_of(classes=classes, literal=literal, scales="R1x1 lambda=0 + R4x4 lambda=0")
    terms = terms_of(method, batch)
    assert {name: terms.pop(name).value.item() for name in ("contrast_R1x1", "contrast_R4x4")} == {
        "contrast_R1x1": 0, "contrast_R4x4": 0,
    }  # fmt: skip
    assert set(terms) == set(plain)
    assert all(torch.equal(terms[name].value, plain[name].value) for name in plain)


def cells_of(method, batch, one, **changes):
    """Vectors and classes of all cells of a scale."""
    out = method.net(batch.image)
    sure = sure_label(batch, 0.8, literal=method.literal)
    label = torch.where(batch.label == IGNORE, sure, batch.label)
    projected = one.head(out.levels[one.level])
    cells = cell_label(label, one.delta, method.net.classes, **changes)
    return projected.permute(0, 2, 3, 1).flatten(0, 2), cells.flatten()


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("scale", ["R1x1", "R4x4"])
def test_the_term_is_the_contrast_of_marked_and_sure_cells_of_the_whole_batch(classes, scale):
    method, batch = method_of(classes=classes), batch_of(classes)
    one = method.scales[scale]
    vectors, cells = cells_of(method, batch, one)
    counts = torch.bincount(cells, minlength=256)
    assert (counts[:classes] > 2).all()  # of each class
    assert 0 < counts[IGNORE] < len(cells)
    expected = sigmoid_contrast(vectors, cells, tau=one.tau)
    torch.testing.assert_close(terms_of(method, batch)[f"contrast_{scale}"].value, expected)


def test_settings_reach_the_cells_and_the_pairs():
    batch = batch_of()
    batch.label[:, 4::8, 4::8] = 1  # marks that contradict the averages
    plain = terms_of(method_of(), batch)
    one = method_of().scales["R4x4"]
    for settings, changes, reduction in (
        ({"scales": "R4x4 nu_1=0.2 nu_2=0.8"}, {"nu_1": 0.2, "nu_2": 0.8}, "blocks"),
        ({"marked_cells": True}, {"marks": batch.label}, "blocks"),
        ({"pairs": "all"}, {}, "pairs"),
    ):
        method = method_of(**settings)
        vectors, cells = cells_of(method, batch, method.scales["R4x4"], **changes)
        value = terms_of(method, batch)["contrast_R4x4"].value
        torch.testing.assert_close(value, sigmoid_contrast(vectors, cells, tau=one.tau, reduction=reduction))
        assert not torch.isclose(value, plain["contrast_R4x4"].value)


def public(method, batch, scale):
    """The published rule, re-derived: as many of both classes, three blocks, no diagonals."""
    one = method.scales[scale]
    m = batch.soft[:, 1]
    sure = ((m < 0.2) | (m > 0.8)) & (batch.label == IGNORE)
    label = torch.where(sure, m.round().long(), batch.label).where(sure | (batch.label != IGNORE), 250)
    side = label.shape[1] // one.delta
    sums = label.view(-1, side, one.delta, side, one.delta).sum((2, 4)).flatten()
    z = F.normalize(one.head(method.net(batch.image).levels[one.level]).permute(0, 2, 3, 1).flatten(0, 2), dim=1)
    groups = [z[sums == 0], z[sums == one.delta**2]]
    assert len(groups[0]) == len(groups[1]) > 2  # nothing to draw: the value is no matter of chance
    keep = ~torch.eye(len(groups[0]), dtype=torch.bool)
    same = [F.softplus(-(g @ g.T / one.tau)[keep]).mean() for g in groups]
    return sum(same) + F.softplus(groups[0] @ groups[1].T / one.tau).mean()


@pytest.mark.parametrize("scale", ["R1x1", "R4x4"])
def test_literal_is_the_public_loss_for_two_classes(scale):
    method, batch = method_of(literal=True), batch_of(grown=1.0)
    truth = torch.zeros(2, 32, 32, dtype=torch.int64)
    truth[:, :, 16:] = 1
    soft = F.one_hot(truth, 2).permute(0, 3, 1, 2) * 0.9 + 0.05
    soft[:, :, 10] = 0.5  # a row of cells without a class
    batch = replace(batch, soft=soft, label=torch.full_like(truth, IGNORE))
    batch.label[:, 3, 3], batch.label[:, 3, 20] = 0, 1
    torch.testing.assert_close(terms_of(method, batch)[f"contrast_{scale}"].value, public(method, batch, scale))


def few(count, side=32):
    """All of the background but some cells of 4×4 of foreground."""
    truth = torch.zeros(1, side, side, dtype=torch.int64)
    truth[0, :4, : 4 * count] = 1
    soft = F.one_hot(truth, 2).permute(0, 3, 1, 2).float()
    nothing = torch.full_like(truth, IGNORE)
    return Batch(torch.rand(1, 1, side, side), nothing, truth >= 0, None, ("a",), soft, torch.ones(1, side, side))


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_literal_wants_three_cells_a_class(count):
    for literal, least in ((True, 3), (False, 1)):
        value = terms_of(method_of(literal=literal), few(count))["contrast_R4x4"].value
        assert value.isfinite()
        assert (value > 0) == (count >= least)


def test_literal_compares_as_many_of_each_class():
    values = [
        [terms_of(method_of(literal=literal), few(3), seed=seed)["contrast_R4x4"].value for seed in (1, 2)]
        for literal in (True, False)
    ]
    assert values[0][0] != values[0][1]  # three of 61 background cells, drawn anew
    assert values[1][0] == values[1][1]  # all of them


def test_drawing_is_without_replacement_and_limited_a_class():
    label = torch.tensor([0] * 50 + [1] * 7 + [IGNORE] * 9 + [2] * 20)
    for most, equal, expected in ((10, False, [10, 7, 10]), (10, True, [7] * 3), (5, True, [5] * 3)):
        torch.manual_seed(0)
        places = drawn(label, 3, most, equal=equal)
        assert len(places.unique()) == len(places)
        assert label[places].bincount(minlength=3).tolist() == expected
    assert len(drawn(label, 4, 10, equal=True, least=2)) == 0  # a class is absent
    assert label[drawn(label, 3, 10, least=8)].unique().tolist() == [0, 2]
    assert len(drawn(label[57:66], 3, 10)) == 0


def test_every_vector_is_drawn_equally_often():
    label, hits = torch.arange(40) % 2, torch.zeros(40)
    for seed in range(2000):
        torch.manual_seed(seed)
        hits[drawn(label, 2, 5)] += 1
    assert (hits - 500).abs().max() < 5 * math.sqrt(2000 * 0.25 * 0.75)


def test_drawing_does_not_depend_on_the_names_of_classes():
    label = torch.randint(0, 3, (400,), generator=torch.Generator().manual_seed(0))
    drawings = []
    for names in (label, torch.tensor([1, 2, 0])[label]):
        torch.manual_seed(3)
        drawings.append(set(drawn(names, 3, 20).tolist()))
    assert drawings[0] == drawings[1]


def test_a_limit_of_vectors_is_obeyed(monkeypatch):
    from pointillist.methods import _level_contrast

    seen = []
    monkeypatch.setattr(
        _level_contrast, "sigmoid_contrast", lambda z, y, **_: (seen.append(y.bincount().tolist()), z.sum())[1]
    )
    terms_of(method_of(samples=11), batch_of())
    assert seen == [[11, 11], [11, 11]]


@pytest.mark.parametrize("literal", [False, True])
def test_a_batch_without_averages_contrasts_marks(literal):
    bare = replace(batch_of(), soft=None, soft_weight=None)
    terms = terms_of(method_of(literal=literal), bare)
    assert terms["sure"].value == 0
    assert terms["contrast_R1x1"].value > 0
    assert terms["contrast_R4x4"].value == 0  # no cell is filled by marks
    marked = terms_of(method_of(marked_cells=True), bare)
    assert marked["contrast_R4x4"].value > 0


def test_the_contrast_reaches_heads_and_network():
    method = method_of()
    terms = terms_of(method, batch_of())
    sum(terms[f"contrast_{name}"].value for name in ("R1x1", "R4x4")).backward()
    assert all(p.grad is not None for p in method.scales.parameters())
    assert method.net.encoder[0][0].weight.grad.abs().sum() > 0
    assert method.predictor() is method.net


@pytest.mark.parametrize(("refresh", "expected"), [(1, [1, 2, 3, 4, 5]), (5, [5])])
def test_averages_are_updated_every_few_epochs_but_not_at_the_end(refresh, expected, monkeypatch):
    updates = []
    monkeypatch.setattr(s2l_contrast, "update_averages", lambda _, ctx, alpha: updates.append((ctx, alpha)))
    method = method_of(refresh=refresh, alpha=0.3)
    for epoch in range(1, 7):
        method.after_epoch(SimpleNamespace(clock=clock(epoch * 10, total=60, epoch=epoch)))
    assert [ctx.clock.epoch for ctx, _ in updates] == expected
    assert {alpha for _, alpha in updates} == {0.3}
