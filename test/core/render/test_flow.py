"""Optical flow against its analytic value."""

from __future__ import annotations

import pytest
import torch

from pw_core.render.flow import local_deformations, optical_flow
from pw_core.render.reference import covariances
from support.gaussian_sets import VIEW, H, K, W


def plate(n: int = 90) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """An opaque textured plate of small flat Gaussians facing the camera at 2 m."""
    xs = torch.linspace(-0.3, 0.3, n)
    means = torch.stack([*torch.meshgrid(xs, xs, indexing="xy"), torch.zeros(n, n)], -1).reshape(-1, 3)
    quats = torch.tensor([1.0, 0, 0, 0]).repeat(len(means), 1)
    return (
        means,
        covariances(quats, torch.tensor([0.006, 0.006, 0.001]).expand(len(means), 3)),
        torch.full((n * n,), 0.9),
    )


@pytest.mark.parametrize("given", [True, False])
def test_flow_of_a_moved_turned_and_scaled_plate(given: bool) -> None:
    shape, cov, opacity = plate()
    a = torch.tensor(0.15)
    turn = torch.tensor([[torch.cos(a), -torch.sin(a), 0], [torch.sin(a), torch.cos(a), 0], [0, 0, 1.0]])
    A = 1.08 * turn
    shift = torch.tensor([0.0, 0.0, 2.0])
    move = torch.tensor([0.04, -0.03, 0.05])
    means, after = shape + shift, shape @ A.T + shift + move
    flow = optical_flow(means, cov, after, A @ cov @ A.T, opacity, VIEW[None], K[None], W, H,
                        deformations=A.expand(len(shape), 3, 3) if given else None)  # fmt: skip
    ys, xs = torch.meshgrid(torch.arange(H) + 0.5, torch.arange(W) + 0.5, indexing="ij")
    world = torch.stack([(xs - 80) / 150 * 2, (ys - 60) / 150 * 2, torch.full_like(xs, 0.0)], -1)
    goal = world @ A.T + shift + move
    truth = torch.stack([goal[..., 0] / goal[..., 2] * 150 + 80 - xs, goal[..., 1] / goal[..., 2] * 150 + 60 - ys], -1)
    seen = flow.forward_visible[0]
    assert 1000 < seen.sum() < W * H / 2
    error = (flow.forward[0] - truth).norm(dim=-1)[seen]
    assert truth[seen].norm(dim=-1).median() > 3
    assert error.median() < 0.05, float(error.median())
    assert error.quantile(0.99) < 0.2, float(error.quantile(0.99))


def test_local_deformations_hold_bodies_apart() -> None:
    """Two blocks that slide past each other, face to face; one also turns. And too few points to say anything."""
    g = torch.Generator().manual_seed(3)
    a = torch.rand(400, 3, generator=g, dtype=torch.float64)
    b = torch.rand(400, 3, generator=g, dtype=torch.float64) + torch.tensor([1.0, 0, 0])
    turn = torch.linalg.matrix_exp(torch.tensor([[0, -0.4, 0.1], [0.4, 0, 0.2], [-0.1, -0.2, 0]], dtype=torch.float64))
    found = local_deformations(torch.cat([a, b]), torch.cat([a @ (1.1 * turn).T, b + torch.tensor([0, 9.0, 0])]))
    off = torch.linalg.matrix_norm(found - torch.cat([(1.1 * turn).expand(400, 3, 3), torch.eye(3).expand(400, 3, 3)]))
    assert off.max() < 0.02, float(off.max())
    for n in (0, 1, 2):
        few = local_deformations(a[:n], a[:n] + 1)
        torch.testing.assert_close(few, torch.eye(3, dtype=torch.float64).expand(n, 3, 3))


def test_what_gets_covered_is_not_visible() -> None:
    shape, cov, opacity = plate()
    wall, bar = shape + torch.tensor([0.0, 0, 2.4]), shape * 0.4 + torch.tensor([-0.1, 0, 2.0])
    moved = bar + torch.tensor([0.2, 0, 0])
    both = torch.cat([wall, bar]), torch.cat([wall, moved])
    covs, op = torch.cat([cov, cov * 0.16]), torch.cat([opacity, opacity])
    flow = optical_flow(both[0], covs, both[1], covs, op, VIEW[None], K[None], W, H)
    # The wall at the bar's goal is hidden afterwards; the wall far from both stays.
    assert not flow.forward_visible[0, 60, 87:92].any()
    assert flow.forward_visible[0, 47, 75:85].all() and flow.forward[0, 47, 75:85].abs().max() < 0.05
    # Where the bar was, the second picture shows wall that the first did not.
    assert not flow.backward_visible[0, 60, 66:72].any()


def test_what_is_behind_the_camera_or_thin_spoils_no_flow() -> None:
    """Neither is drawn, or hardly; a matrix of theirs once had no inverse in float32."""
    means, covs, opacity = plate()
    means = means + torch.tensor([0.0, 0.0, 2.0])
    extra = torch.tensor([[-0.16, 0.06, -0.2], [0.3, 0.1, -1e-3], [0.0, 0.0, 0.0], [0.9, 0.9, 2.0], [0.1, 0.1, 2.0]])
    thin = torch.diag(torch.tensor([1e-4, 0.0, 0.0]))
    round_ = 3e-5 * torch.eye(3)
    more = torch.cat([means, extra]), torch.cat([covs, torch.stack([round_, round_, round_, thin, 0 * thin])])
    both = torch.cat([opacity, torch.full((5,), 0.5)])
    move = torch.tensor([0.05, 0.0, 0.0])
    plain = optical_flow(means, covs, means + move, covs, opacity, VIEW[None], K[None], W, H)
    flow = optical_flow(more[0], more[1], more[0] + move, more[1], both, VIEW[None], K[None], W, H)
    assert flow.forward.isfinite().all() and flow.backward.isfinite().all()
    seen = plain.forward_visible[0] & flow.forward_visible[0]
    assert seen.sum() > 0.9 * plain.forward_visible.sum()
    assert (flow.forward - plain.forward)[0][seen].abs().quantile(0.99) < 0.05
