from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from scipy import ndimage, optimize

from pointillist.solvers.additive_splitting import splitting, splitting_step
from pointillist.solvers.edges import edge_weight, gaussian
from pointillist.solvers.variational import constants, data_term, two_regions
from pointillist.solvers.weighted_variation import energy, minimise, variation


def disc(side=48, noise=0.15, seed=0, dtype=torch.float32):
    """A bright disc in noise, stretched to [0, 1]."""
    axis = torch.arange(side, dtype=dtype) - (side - 1) / 2
    inside = (axis[:, None] ** 2 + axis**2 < (side / 3) ** 2).to(dtype)
    noisy = inside + noise * torch.randn(side, side, generator=torch.Generator().manual_seed(seed), dtype=dtype)
    return ((noisy - noisy.min()) / (noisy.max() - noisy.min()))[None], inside[None]


def random_problem(m=3, h=7, w=9, seed=0):
    rng = torch.Generator().manual_seed(seed)
    g = 0.1 + torch.rand(m, h, w, generator=rng, dtype=torch.float64)
    return g, 2 * torch.rand(m, h, w, generator=rng, dtype=torch.float64) - 1


def slow_energy(u, g, r, lam):
    """The energy of one map, pixel by pixel."""
    height, width = u.shape
    total = 0.0
    for y in range(height):
        for x in range(width):
            down = u[y + 1, x] - u[y, x] if y + 1 < height else 0
            right = u[y, x + 1] - u[y, x] if x + 1 < width else 0
            total += g[y, x] * math.hypot(down, right) + lam * r[y, x] * u[y, x]
    return total


# --- energy and edges


def test_the_energy_is_that_of_the_equation():
    g, r = random_problem()
    u = torch.rand(3, 7, 9, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    expected = [slow_energy(*(part[n].numpy() for part in (u, g, r)), 2.5) for n in range(3)]
    torch.testing.assert_close(energy(u, g, r, 2.5), torch.tensor(expected, dtype=torch.float64))


def test_the_variation_of_an_upright_block_is_its_perimeter_by_hand():
    u = torch.zeros(1, 6, 6)
    u[0, 2:4, 1:4] = 1  # 2 × 3; one corner pixel has both differences, which saves 2 − √2
    assert variation(u, torch.ones_like(u)).item() == pytest.approx(10 - 2 + math.sqrt(2))


@pytest.mark.parametrize("sigma", [0.7, 1.0, 2.5])
def test_smoothing_is_that_of_scipy(sigma):
    z = disc(dtype=torch.float64)[0]
    expected = ndimage.gaussian_filter(z[0].numpy(), sigma, mode="nearest", radius=math.ceil(4 * sigma))
    np.testing.assert_allclose(gaussian(z, sigma)[0].numpy(), expected, atol=1e-12)


def test_edge_weights_by_hand():
    z = torch.tensor([[[0.0, 0.0, 1.0, 1.0]]]).expand(1, 3, 4).contiguous()
    g = edge_weight(z, beta=10, sigma=0)
    torch.testing.assert_close(g[0, 1], torch.tensor([1, 1 / 3.5, 1 / 3.5, 1]))  # |∇z| = ½ on both sides of the edge
    torch.testing.assert_close(edge_weight(z, beta=1, sigma=0)[0, 1, 1].item(), 0.8)
    assert (edge_weight(torch.full((2, 5, 5), 0.3)) == 1).all()


def test_a_mirrored_map_has_the_mirrored_weights():
    z, _ = disc()
    torch.testing.assert_close(edge_weight(z.flip(2)), edge_weight(z).flip(2))
    torch.testing.assert_close(edge_weight(z.transpose(1, 2)), edge_weight(z).transpose(1, 2))


# --- primal–dual


def test_the_minimum_is_that_of_a_general_optimiser():
    """On a row of pixels the model is a linear programme."""
    g, r = random_problem(m=1, h=1, w=12)
    lam, n = 1.5, 12
    weights, pull = g[0, 0].numpy(), lam * r[0, 0].numpy()
    cost = np.concatenate([pull, weights[:-1]])  # unknowns u and t ≥ |difference|
    difference = np.eye(n - 1, n, 1) - np.eye(n - 1, n)
    sides = [np.hstack([sign * difference, -np.eye(n - 1)]) for sign in (1, -1)]
    bounds = [(0, 1)] * n + [(0, None)] * (n - 1)
    best = optimize.linprog(cost, np.vstack(sides), np.zeros(2 * n - 2), bounds=bounds).fun
    found = minimise(g, r, lam, iterations=3000, tolerance=1e-9)
    assert found.energy.item() == pytest.approx(best, rel=1e-6)
    assert found.gap.item() <= 1e-9


def test_property_d_the_gap_falls_and_bounds_the_error():
    z, _ = disc()
    g, r = edge_weight(z), 1 - 2 * z
    gaps = [minimise(g, r, 1.0, iterations=n, tolerance=0).gap.item() for n in (25, 50, 100, 200, 400)]
    assert all(later < earlier for earlier, later in itertools.pairwise(gaps))
    assert gaps[-1] >= -1e-6
    exact = minimise(g.double(), r.double(), 1.0, iterations=5000, tolerance=1e-10)
    for n, gap in zip((25, 50, 100), gaps, strict=False):
        found = minimise(g, r, 1.0, iterations=n, tolerance=0)
        excess = (found.energy.item() - exact.energy.item()) / abs(found.energy.item())
        assert -1e-6 <= excess <= gap + 1e-6


def test_the_measured_gaps_of_a_noisy_disc():
    z, _ = disc(side=64)
    for lam, most in ((5.0, 1e-5), (1.0, 1e-3), (0.3, 0.02)):
        assert minimise(edge_weight(z), 1 - 2 * z, lam, iterations=50, tolerance=0).gap.item() < most


def test_property_d_no_indicator_has_less_energy():
    z, inside = disc()
    g, r = edge_weight(z), 1 - 2 * z
    least = minimise(g, r, 2.0, tolerance=1e-6, iterations=2000).energy
    tried = [inside, (z > 0.5).float(), torch.zeros_like(z), torch.ones_like(z), (gaussian(z, 2.0) > 0.5).float()]
    tried += [torch.from_numpy(ndimage.binary_dilation(inside.numpy())).float()]
    assert all(least <= energy(one, g, r, 2.0) + 1e-6 for one in tried)


def test_property_c_a_large_lambda_thresholds_the_data_term():
    g, r = random_problem()
    found = minimise(g, r, 1e4, iterations=2000, tolerance=1e-9)
    assert torch.equal(found.u > 0.5, r < 0)


def test_property_c_without_data_a_constant_is_best():
    g, r = random_problem()
    u = torch.rand(3, 7, 9, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    found = minimise(g, r, 0.0, u=u, iterations=4000, tolerance=0)
    assert ((found.u.amax((1, 2)) - found.u.amin((1, 2))) < 1e-4).all()


def test_property_e_thresholds_of_stripes_have_the_energy_of_the_minimum():
    """Where maps change along one axis only, the discrete coarea formula is exact."""
    g, r = (part[:, :1].expand(-1, 6, -1).contiguous() for part in random_problem(w=40))
    found = minimise(g, r, 1.0, iterations=4000, tolerance=1e-9)
    for gamma in (0.1, 0.5, 0.9):
        change = energy((found.u > gamma).double(), g, r, 1.0) - found.energy
        assert (change.abs() <= found.gap.clamp(min=1e-9) * found.energy.abs() * 2).all()


def test_property_e_thresholds_of_a_disc_come_close():
    """At corners √(a² + b²) lies below a + b, so an indicator costs more than the coarea formula says."""
    z, _ = disc()
    g, r = edge_weight(z), 1 - 2 * z
    found = minimise(g, r, 5.0, iterations=2000, tolerance=1e-6)
    for gamma in (0.2, 0.5, 0.8):
        change = (energy((found.u > gamma).float(), g, r, 5.0) - found.energy) / found.energy.abs()
        assert -1e-5 < change.item() < 0.01


def test_a_map_does_not_depend_on_those_beside_it():
    z = torch.cat([disc(noise=noise, seed=seed)[0] for seed, noise in enumerate((0.05, 0.3, 0.6))])
    g, r = edge_weight(z), 1 - 2 * z
    together = minimise(g, r, 1.0)
    assert len(set(together.iterations.tolist())) > 1
    for n in range(3):
        alone = minimise(g[n : n + 1], r[n : n + 1], 1.0)
        assert torch.equal(alone.u[0], together.u[n])
        assert alone.iterations[0] == together.iterations[n]
        assert alone.gap[0] == together.gap[n]


def test_going_on_from_u_and_dual_is_going_on():
    z, _ = disc()
    g, r = edge_weight(z), 1 - 2 * z
    first = minimise(g, r, 1.0, iterations=100, tolerance=0)
    assert minimise(g, r, 1.0, u=first.u, dual=first.dual, iterations=25, tolerance=0).gap < first.gap


def test_an_energy_of_nothing_is_certified():
    g, _ = random_problem()
    found = minimise(g, torch.ones_like(g), 5.0, u=torch.zeros_like(g))
    assert (found.u == 0).all()
    assert (found.gap <= 1e-3).all()
    assert minimise(g[:0], g[:0], 5.0).u.shape == (0, 7, 9)


def test_an_edge_of_weight_0_is_free():
    g, r = torch.ones(1, 4, 6), torch.ones(1, 4, 6)
    r[..., :3] = -1
    g[..., 2] = 0
    found = minimise(g, r, 0.1, iterations=1000, tolerance=1e-6)
    torch.testing.assert_close(found.u, (r < 0).float(), atol=1e-3, rtol=0)


def test_wrong_inputs_are_named():
    with pytest.raises(ValueError, match=r"floating maps \(m, h, w\) of one shape, got torch.float32 \(1, 4, 4\)"):
        minimise(torch.ones(1, 4, 4), torch.ones(1, 4, 5), 1.0)
    with pytest.raises(ValueError, match="mask must be a Boolean tensor"):
        two_regions(torch.ones(1, 4, 4), mask=torch.ones(1, 4, 4))
    with pytest.raises(ValueError, match="z must be floating maps"):
        two_regions(torch.ones(4, 4))
    with pytest.raises(ValueError, match="solver must be 'primal_dual' or 'aos', got 'lu'"):
        two_regions(torch.ones(1, 4, 4), solver="lu")


# --- additive operator splitting


def operator(u, g, axis, smoothing):
    """A_ℓ(u) of one map as a matrix, built pixel by pixel."""
    height, width = u.shape
    a = np.zeros((height * width,) * 2)
    for y in range(height):
        for x in range(width):
            below, beside = (y + 1, x), (y, x + 1)
            down = u[below] - u[y, x] if y + 1 < height else 0
            right = u[beside] - u[y, x] if x + 1 < width else 0
            weight = g[y, x] / math.sqrt(down**2 + right**2 + smoothing**2)
            other = below if axis == 0 else beside
            if other[0] < height and other[1] < width:
                i, j = y * width + x, other[0] * width + other[1]
                a[i, i] -= weight
                a[j, j] -= weight
                a[i, j] += weight
                a[j, i] += weight
    return a


def test_a_step_of_the_splitting_is_that_of_the_matrices():
    g, r = random_problem(m=1, h=4, w=5)
    u = torch.rand(1, 4, 5, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    tau, known = 0.3, (u - 0.3 * r)[0].numpy().ravel()
    solved = [
        np.linalg.solve(np.eye(20) - 2 * tau * operator(u[0].numpy(), g[0].numpy(), axis, 0.1), known)
        for axis in (0, 1)
    ]
    found = splitting_step(u, g, r, tau, 0.1)
    np.testing.assert_allclose(found[0].numpy().ravel(), sum(solved) / 2, rtol=1e-12)


def test_property_a_without_data_a_step_keeps_the_sum_and_the_range():
    g, r = random_problem(h=30, w=20)
    u = torch.rand(3, 30, 20, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    after = splitting_step(u, g, torch.zeros_like(r), 5.0, 1e-3)
    torch.testing.assert_close(after.sum((1, 2)), u.sum((1, 2)), rtol=1e-12, atol=0)
    assert (after.amax((1, 2)) <= u.amax((1, 2))).all()
    assert (after.amin((1, 2)) >= u.amin((1, 2))).all()
    assert (after.var((1, 2)) < u.var((1, 2))).all()


def test_property_b_short_steps_are_explicit_ones():
    g, r = random_problem(m=1, h=5, w=6)
    u = torch.rand(1, 5, 6, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    both = sum(operator(u[0].numpy(), g[0].numpy(), axis, 0.3) for axis in (0, 1))
    slope = both @ u[0].numpy().ravel() - r[0].numpy().ravel()
    errors = []
    for tau in (1e-3, 5e-4, 2.5e-4):
        explicit = u[0].numpy().ravel() + tau * slope
        errors.append(np.abs(splitting_step(u, g, r, tau, 0.3)[0].numpy().ravel() - explicit).max())
    for longer, shorter in itertools.pairwise(errors):
        assert longer / shorter == pytest.approx(4, rel=0.05)


@pytest.mark.parametrize(("lam", "most"), [(5.0, 0.01), (1.0, 0.1)])
def test_both_solvers_find_one_minimum(lam, most):
    z = torch.cat([disc(noise=0.3, seed=seed)[0] for seed in range(3)])
    g, r = edge_weight(z), 1 - 2 * z
    exact = minimise(g, r, lam, iterations=2000, tolerance=1e-6)
    split = splitting(g, r, lam, u=z)
    excess = (energy(split, g, r, lam) - exact.energy) / exact.energy.abs()
    assert (excess > -1e-5).all()
    assert (excess < most).all()
    assert ((split > 0.5) == (exact.u > 0.5)).float().mean() > 0.99


# --- two regions


def test_a_noisy_disc_is_found_with_its_values():
    z, inside = disc(noise=0.2)
    found = two_regions(z)
    assert ((found.u > 0.5) == inside.bool()).float().mean() > 0.99
    assert found.gap.item() <= 1e-3
    true1, true2 = constants(z, inside)
    assert found.c1.item() == pytest.approx(true1.item(), abs=0.01)
    assert found.c2.item() == pytest.approx(true2.item(), abs=0.01)
    by_paper = two_regions(z, solver="aos")
    assert ((by_paper.u > 0.5) == (found.u > 0.5)).float().mean() > 0.99
    assert by_paper.gap.isinf().all()


def test_constants_of_points_stay_what_they_are():
    z, inside = disc(noise=0.2)
    mask = torch.zeros_like(z, dtype=torch.bool)
    mask[0, 20:22, 24:26] = True
    found = two_regions(z, mask=mask)
    torch.testing.assert_close(found.c1, z[mask].mean().view(1))
    torch.testing.assert_close(found.c2, z[~mask].mean().view(1))
    free = two_regions(z)
    assert abs(free.c2 - found.c2).item() > 0.05
    assert ((found.u > 0.5) == inside.bool()).float().mean() > 0.95


def test_the_data_term_is_scaled_by_its_largest_value():
    z = torch.tensor([[[0.0, 0.5, 1.0]]])
    c1, c2 = torch.tensor([0.6]), torch.tensor([0.2])  # (z − .6)² − (z − .2)² = .32 − .8 z
    torch.testing.assert_close(data_term(z, c1, c2), torch.tensor([[[0.32, -0.08, -0.48]]]) / 0.48)
    torch.testing.assert_close(data_term(z, c1, c2, signed=True), torch.tensor([[[0.32, -0.08, -0.48]]]) / 0.32)
    assert (data_term(z, c1, c1 + 1e-8) == 0).all()


def test_literal_scales_as_the_code_does():
    z, inside = disc(noise=0.2)
    z = z**3  # low values: c₁ + c₂ < 1, so the signed maximum is the smaller one
    plain, signed = (two_regions(z, mask=inside.bool(), literal=one) for one in (False, True))
    r = data_term(z, plain.c1, plain.c2, signed=True)
    torch.testing.assert_close(signed.energy, energy(signed.u, edge_weight(z), r, 5.0))
    assert signed.energy < 1.2 * plain.energy < 0


def test_a_constant_map_stays_and_a_smooth_binary_one_is_a_fixed_point():
    flat = two_regions(torch.full((1, 12, 12), 0.4))
    assert (flat.c1 - flat.c2).abs().item() < 1e-6
    _, inside = disc(side=40)
    torch.testing.assert_close(two_regions(inside, lam=20.0).u, inside, atol=0.02, rtol=0)


def test_no_maps_are_no_regions():
    assert two_regions(torch.zeros(0, 8, 8)).u.shape == (0, 8, 8)
