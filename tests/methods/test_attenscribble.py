from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from pointillist.errors import InputError
from pointillist.losses import attentive_similarity, gated_crf, partial_ce
from pointillist.types import IGNORE
from tests.methods.small import at, batch_of, method_of, pixel_net, unet


def attenscribble(**settings):
    torch.manual_seed(1)
    return method_of("attenscribble", unet(), **{"stage": 1, **settings}).eval()  # eval: no dropout


def batch(share=0.02):
    """Three images with few marks, the last one with marks of one class."""
    given = batch_of(share=share)
    label = given.label.clone()
    label[:2, 0, :4] = torch.arange(4)
    label[2] = torch.where(label[2] == IGNORE, IGNORE, 1)
    label[2, 5, 5] = 1
    return replace(given, label=label)


def terms(method, given, progress=0.5):
    return method.terms(method.net(given.image), given, at(round(100 * progress)))


def values(method, given, progress=0.5):
    return {name: term.value.item() for name, term in terms(method, given, progress).items()}


def free_cells(label):
    """Cells of 2×2 pixels without a mark."""
    marked = label != IGNORE
    return ~(marked[:, ::2, ::2] | marked[:, 1::2, ::2] | marked[:, ::2, 1::2] | marked[:, 1::2, 1::2])


def expected(method, given, mask, **keywords):
    """The attentive term over a mask."""
    out = method.net(given.image)
    reduced = F.interpolate(out.logits.softmax(1), scale_factor=0.5, mode="bilinear")
    weight, bias = method.compress.weight.flatten(), method.compress.bias.squeeze()
    side = out.side
    return attentive_similarity(reduced, side["query"], side["key"], weight, bias, mask=mask, **keywords).item()


def test_the_terms_are_those_of_the_paper():
    method, given = attenscribble(), batch()
    found, logits = terms(method, given), method.net(given.image).logits
    unlabelled = given.label == IGNORE
    assert {name: term.weight for name, term in found.items()} == {
        "pce": 1, "masked_crf": 0.1, "attentive_similarity": 0.1,
    }  # fmt: skip
    assert found["pce"].value.item() == pytest.approx(partial_ce(logits, given.label).item())
    crf = gated_crf(logits.softmax(1), given.image, source=unlabelled, destination=unlabelled)
    assert found["masked_crf"].value.item() == pytest.approx(crf.item(), rel=1e-6)
    mask = free_cells(given.label)
    mask[2] = False  # its marks show one class
    assert found["attentive_similarity"].value.item() == pytest.approx(expected(method, given, mask), rel=1e-5)


def test_the_published_layer_has_one_head_on_the_third_stage():
    method = method_of("attenscribble", unet())
    assert list(method.net.grafts) == ["2"]
    assert method.net.grafts["2"].settings == {"channels": 8, "heads": 1, "layers": 1}


def test_literal_counts_all_cells_and_labelled_neighbours_and_does_not_scale():
    method, given = attenscribble(literal=True), batch()
    found, p = values(method, given), method.net(given.image).logits.softmax(1)
    crf = gated_crf(p, given.image, destination=given.label == IGNORE, literal=True).item()
    assert found["masked_crf"] == pytest.approx(crf, rel=1e-6)
    everywhere = torch.ones(3, 8, 8, dtype=torch.bool)
    several = everywhere & torch.tensor([True, True, False]).view(3, 1, 1)
    share = 2 / 3  # the image of one class adds nothing, but its cells are counted
    assert found["attentive_similarity"] == pytest.approx(
        share * expected(method, given, several, literal=True), rel=1e-5
    )
    plain = values(attenscribble(), given)
    for name in ("masked_crf", "attentive_similarity"):
        assert found[name] != pytest.approx(plain[name], rel=1e-3)


@pytest.mark.parametrize("literal", [False, True])
def test_images_of_one_class_are_told_by_their_marks(literal):
    method, given = attenscribble(literal=literal), batch()
    alone = replace(given, label=torch.where(given.label == IGNORE, IGNORE, 2))
    assert values(method, given)["attentive_similarity"] > 0
    assert values(method, alone)["attentive_similarity"] == 0


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"radius": 2}, "masked_crf"),
        ({"sigma_xy": 1.0}, "masked_crf"),
        ({"sigma_rgb": 1.0}, "masked_crf"),
        ({"radius": 2}, "attentive_similarity"),
        ({"sigma": 1.0}, "attentive_similarity"),
        ({"fixed_bias": True}, "attentive_similarity"),
        ({"heads": 2}, "attentive_similarity"),
        ({"layers": 2}, "attentive_similarity"),
    ],
)
def test_every_constant_reaches_its_term(settings, name):
    given = batch()
    assert values(attenscribble(**settings), given)[name] != pytest.approx(
        values(attenscribble(), given)[name], rel=1e-4
    )


def test_a_fixed_bias_stays_0():
    method = attenscribble(fixed_bias=True)
    assert [name for name, _ in method.compress.named_parameters()] == ["weight"]


@pytest.mark.parametrize(
    ("settings", "left"),
    [
        ({"lambda_mcrf": 0}, {"pce", "attentive_similarity"}),
        ({"lambda_atn": 0}, {"pce", "masked_crf"}),
        ({"lambda_mcrf": 0, "lambda_atn": 0}, {"pce"}),
        ({"start": 0.6}, {"pce"}),
        ({"start": 0.5}, {"pce", "masked_crf", "attentive_similarity"}),
    ],
)
def test_ablations_and_start_leave_terms_out_but_no_parameter_without_gradient(settings, left):
    method, given = attenscribble(**settings), batch()
    found = terms(method, given)
    assert {name for name, term in found.items() if term.weight * term.value > 0} == left
    loss = sum(term.weight * term.value for term in found.values())
    loss.backward()
    assert all(p.grad is not None for p in method.parameters())
    if left == {"pce"}:
        assert loss.item() == pytest.approx(partial_ce(method.net(given.image).logits, given.label).item())


def test_the_attentive_term_alone_teaches_attention_and_network():
    method, given = attenscribble(), batch()
    terms(method, given)["attentive_similarity"].value.backward()
    layer = method.net.grafts["1"].layers[0]
    for parameter in (layer.compare.weight, method.compress.weight, method.compress.bias):
        assert parameter.grad.abs().max() > 0
    assert method.net.decoder.output.weight.grad.abs().max() > 0


def test_sides_that_the_stride_does_not_divide_are_welcome():
    given = batch_of(h=19, w=17)
    assert values(attenscribble(), given)["attentive_similarity"] > 0


def test_heads_that_cannot_share_the_channels_are_refused():
    with pytest.raises(InputError, match="cannot share the channels"):
        attenscribble(heads=3)


def test_a_stage_that_is_not_there_is_refused():
    with pytest.raises(InputError, match="no such stage for attention"):
        method_of("attenscribble", pixel_net(), stage=1)
