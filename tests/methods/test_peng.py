import pytest
import torch

from pointillist.losses import partial_ce, prototype_label
from pointillist.types import IGNORE
from tests.methods.small import at, batch_of, method_of, pixel_net


def test_pseudo_labels_come_from_the_finest_level_and_exclude_what_lies_outside():
    method, batch = method_of("peng", pixel_net(), similarity=0.5, margin=0.0), batch_of()
    batch.valid[:, :, 10:] = False
    terms = method.step(batch, at(50)).terms
    out = method.net(batch.image)
    pseudo = prototype_label(out.levels[0], batch.label, 4, similarity=0.5, margin=0.0)
    inside = torch.where(batch.valid, pseudo, IGNORE)
    assert 0 < (inside != IGNORE).sum() < (pseudo != IGNORE).sum()
    torch.testing.assert_close(terms["pseudo"].value, partial_ce(out.logits, inside))
    torch.testing.assert_close(terms["pce"].value, partial_ce(out.logits, batch.label))


def test_pseudo_labels_begin_after_a_sixth_of_the_run():
    method, batch = method_of("peng", pixel_net()), batch_of()
    assert set(method.step(batch, at(16)).terms) == {"pce"}
    terms = method.step(batch, at(17)).terms
    assert (terms["pseudo"].weight, method.similarity, method.margin) == (1.0, 0.8, 0.2)
    assert method.start == pytest.approx(5 / 30)
    assert (method.recipe.optimizer, method.recipe.lr, method.recipe.schedule) == ("adam", 1e-4, "constant")


def test_an_image_without_marks_teaches_nothing():
    method, batch = method_of("peng", pixel_net()), batch_of()
    batch.label.fill_(IGNORE)
    value = method.step(batch, at(50)).terms["pseudo"].value
    value.backward()
    assert value == 0
    assert all((p.grad == 0).all() for p in method.net.output.parameters())
