"""Masks of a thing without points of its own, carried from view to view by the visual hull.

A smooth thing gives no features to follow. But its silhouette in the prompt's view leaves a cone of places where it can
be; the next view shows that cone as a strip in which it must lie, and what colours find there cuts the cone down; with
each view less is left (visual hull, Laurentini 1994), until it tells where the thing is before what has its colours.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pw_core.gaussians import F64, I64, Camera
from pw_core.reconstruct.segmentation.grabcut import colours, grabcut
from pw_core.reconstruct.types import Mask, Posed, Rgb, View

CELLS = 96
"""Voxels along the longest side of where the thing may be."""
FINE = 6000
"""Voxels; when fewer are left each becomes eight."""
REACH = 0.6
"""Of the cameras' distance from what they look at: how far before and behind that a thing without any point may be."""
DEEP = 1.0
"""Of the silhouette's extent: how far before and behind its few points the thing may reach."""
ASTRAY = 8
"""One silhouette in so many may be wrong at a place."""
RIM = 0.01
"""Of the picture's width: how far a silhouette may lie outside of what the others expect."""
EXPLAINED = 0.85
"""Share of each silhouette found before that the hull must still explain once a new one has carved it."""
GROWS = 2.5
"""A silhouette so many times larger or smaller than in the view beside it is something else."""
STEADY = 2
"""Rounds in which each silhouette is cut again by what all others expect."""
FOUND = 0.5
"""Share of the views that must agree on one solid; to the rest it shows where the thing is."""
LOOSE = 2.0
"""While the hull shows so many times what the view beside does, colours alone say what is of the thing."""
CORE = 0.5
"""How deep inside of what is expected a pixel is certainly of the thing, of the deepest."""
POINT_PX = 2
"""Radius of what a point that lies elsewhere says of its surroundings."""
FREE = 0.3
"""Share of what is expected that others must leave free for a silhouette's size to tell."""


@dataclass
class Hull:
    """Places (n, 3) where a thing may be, voxels of side `step` in the scene's unit; how many silhouettes see each and
    how many leave it out; what each view says, by name."""

    places: F64
    step: float
    seen: I64 = field(init=False)
    out: I64 = field(init=False)
    said: dict[str, tuple[Mask, Mask]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.seen, self.out = np.zeros(len(self.places), np.int64), np.zeros(len(self.places), np.int64)

    def carve(self, view: View, mask: Mask, unknown: Mask) -> None:
        """By a view's silhouette (H, W), which says nothing where it is `unknown` (H, W)."""
        inside, outside = self._says(view.camera, mask, unknown)
        self.seen += inside | outside
        self.out += outside
        self.said[view.name] = inside, outside

    def refined(self, views: Mapping[str, View], masks: Mapping[str, Mask], others: Mapping[str, Mask]) -> Hull:
        """The same of voxels half as large, once few are left and those are more than a pixel wide."""
        left = self.left()
        camera = next(iter(views.values())).camera
        away = float(np.median(camera.project(self.places[left])[1])) if left.any() else 0.0
        if not 0 < left.sum() < FINE or self.step * float(camera.K[0, 0]) < away:
            return self
        corners = np.stack(np.meshgrid(*3 * [[-0.25, 0.25]], indexing="ij"), -1).reshape(-1, 3) * self.step
        out = Hull((self.places[left][:, None] + corners).reshape(-1, 3), self.step / 2)
        for name in self.said:
            out.carve(views[name], masks[name], others[name] & ~masks[name])
        return out

    def forget(self, view: View) -> None:
        """What a view said."""
        inside, outside = self.said.pop(view.name)
        self.seen -= inside | outside
        self.out -= outside

    def left(self) -> Mask:
        """(n,): the places that are left."""
        return np.asarray((self.seen > 0) & (self.out <= self.seen // ASTRAY))

    def shown(self, camera: Camera, *, without: str = "") -> Mask:
        """(H, W): where a camera sees what is left, as far as the views other than `without` tell."""
        seen, out = self.seen, self.out
        if without in self.said:
            inside, outside = self.said[without]
            seen, out = seen - (inside | outside), out - outside
        return _footprint(camera, self.places[(seen > 0) & (out <= seen // ASTRAY)], self.step)

    def _says(self, camera: Camera, mask: Mask, unknown: Mask) -> tuple[Mask, Mask]:
        uv, z = camera.project(self.places)
        x, y = np.floor(uv[:, 0]).astype(int), np.floor(uv[:, 1]).astype(int)
        within = (z > 0) & (x >= 0) & (x < camera.width) & (y >= 0) & (y < camera.height)
        inside, outside = np.zeros(len(z), bool), np.zeros(len(z), bool)
        i = np.flatnonzero(within)
        own, silent = mask[y[i], x[i]], unknown[y[i], x[i]]
        inside[i], outside[i] = own, ~own & ~silent
        return inside, outside


def carry_by_hull(
    posed: Posed, known: Mapping[str, Mask], others: Mapping[str, Mask], *, prompt_view: str, own: F64
) -> dict[str, Mask] | None:
    """A thing's mask in every view, by name, from those `known`, which stay and hold one of `prompt_view`; None where
    what colours find in the views does not make one solid thing.

    others: by view, the pixels of other things, which may hide it. own (m, 3): the few points that lie on it, if any.
    """
    views = {v.name: v for v in posed.views}
    first = views[prompt_view]
    hull = _cone(posed, first, known[prompt_view], own)
    if hull is None:
        return None
    masks: dict[str, Mask] = {}
    for name in sorted(known, key=lambda n: n != prompt_view):
        masks[name] = known[name]
        hull.carve(views[name], known[name], others[name] & ~known[name])
    ahead = {n: v.camera.viewmat[2, :3] for n, v in views.items()}
    waiting, refused = [n for n in views if n not in masks], set[str]()
    while waiting:
        shows = [n for n, m in masks.items() if m.any()]  # in a mask that was given it may be out of sight
        near = {n: max(shows, key=lambda m: float(ahead[n] @ ahead[m])) for n in waiting}
        open_ = [n for n in waiting if n not in refused]
        if not open_:
            if len(masks) < FOUND * len(views):
                return None
            masks |= {n: hull.shown(views[n].camera) for n in waiting}
            break
        name = max(open_, key=lambda n: float(ahead[n] @ ahead[near[n]]))
        found = _first_cut(posed, views[name], hull, others[name], views[near[name]], masks[near[name]])
        if _fits(found, views[name], hull, others, {n: (views[n], masks[n]) for n in shows}, near[name]):
            masks[name] = found
            hull.carve(views[name], found, others[name] & ~found)
            waiting.remove(name)
            refused.clear()  # what is left has become smaller
            hull = hull.refined(views, masks, others)
        else:
            refused.add(name)
    cut = [n for n in views if n not in known]
    for _ in range(STEADY):
        for name in cut:
            view = views[name]
            masks[name] = _within(posed, view, hull, hull.shown(view.camera, without=name), others[name])
            if name in hull.said:
                hull.forget(view)
            hull.carve(view, masks[name], others[name] & ~masks[name])
    return masks


def _cone(posed: Posed, view: View, mask: Mask, own: F64) -> Hull | None:
    """Where a thing may be that has this silhouette: above z = 0, about its few points or where the cameras look."""
    camera = view.camera
    y, x = np.nonzero(mask)
    if len(y) == 0:
        return None
    _, z = camera.project(own)
    if len(own) and (z > 0).any():
        depth = float(np.median(z[z > 0]))
        deep = DEEP * float(np.hypot(np.ptp(x), np.ptp(y))) * depth / float(camera.K[0, 0])
        near, far = float(z[z > 0].min()) - deep, float(z.max()) + deep
    else:
        centres = np.array([v.camera.centre for v in posed.views])
        ahead = np.array([v.camera.viewmat[2, :3] for v in posed.views])
        across = np.eye(3) - np.einsum("ni,nj->nij", ahead, ahead)
        target = np.linalg.lstsq(across.sum(0), np.einsum("nij,nj->i", across, centres), rcond=1e-6)[0]
        depth = float(camera.project(target[None])[1][0])
        reach = REACH * float(np.mean(np.linalg.norm(centres - target, axis=1)))
        near, far = depth - reach, depth + reach
    near = max(near, 0.05 * far)
    pixels = np.stack([x, y], 1).astype(np.float64) + 0.5
    ends = np.concatenate([camera.unproject(pixels, np.full(len(pixels), d)) for d in (near, far)])
    low, high = ends.min(0), ends.max(0)
    low[2] = max(low[2], 0.0)
    if high[2] <= low[2]:
        return None
    step = float((high - low).max()) / CELLS
    axes = [np.arange(a + step / 2, b, step) for a, b in zip(low, high)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3)
    uv, z = camera.project(grid)
    u, v = np.floor(uv).astype(int).T
    keep = (z > near) & (z < far) & (u >= 0) & (u < camera.width) & (v >= 0) & (v < camera.height)
    wide = ndimage.binary_dilation(mask, iterations=max(1, round(RIM * camera.width)))
    keep[keep] = wide[v[keep], u[keep]]
    return Hull(grid[keep], step) if keep.any() else None


def _footprint(camera: Camera, places: F64, step: float) -> Mask:
    """(H, W): where a camera sees voxels (n, 3) of side `step`."""
    out = np.zeros((camera.height, camera.width), bool)
    uv, z = camera.project(places)
    uv, z = uv[z > 0], z[z > 0]
    if len(z) == 0:
        return out
    x, y = np.floor(uv).astype(int).T
    inside = (x >= 0) & (x < camera.width) & (y >= 0) & (y < camera.height)
    out[y[inside], x[inside]] = True
    side = step * float(camera.K[0, 0]) / float(np.median(z))
    return np.asarray(ndimage.binary_closing(np.pad(out, 8), iterations=int(np.ceil(side)))[8:-8, 8:-8] | out)


def _first_cut(posed: Posed, view: View, hull: Hull, others: Mask, beside: View, shape: Mask) -> Mask:
    """What has the colours of the thing in the view beside, within what the hull leaves; once that is not much more
    than the thing, its middle is certain."""
    expected = hull.shown(view.camera)
    if expected.sum() < LOOSE * shape.sum():
        return _largest(_within(posed, view, hull, expected, others))
    labels = _labels(posed, view, hull, expected, others)
    return _largest(grabcut(view.image, labels, models=colours(beside.image, shape)))


def _within(posed: Posed, view: View, hull: Hull, expected: Mask, others: Mask) -> Mask:
    """Cut about what other views expect here."""
    import cv2

    labels = _labels(posed, view, hull, expected, others)
    deep = ndimage.distance_transform_edt(expected)
    labels[(deep > CORE * deep.max()) & (labels != cv2.GC_BGD) & ~others] = cv2.GC_FGD
    if not (labels == cv2.GC_FGD).any():
        return np.zeros_like(expected)
    return _sharp(view.image, labels, expected)


def _sharp(image: Rgb, labels: NDArray[np.uint8], expected: Mask) -> Mask:
    """GrabCut with colours of the surroundings alone: far away others may have those of the thing."""
    y, x = np.nonzero(expected)
    grow = max(8, int(0.3 * max(np.ptp(x), np.ptp(y))))
    rows = slice(max(0, int(y.min()) - grow), int(y.max()) + grow + 1)
    columns = slice(max(0, int(x.min()) - grow), int(x.max()) + grow + 1)
    out = np.zeros(labels.shape, bool)
    out[rows, columns] = grabcut(np.ascontiguousarray(image[rows, columns]), labels[rows, columns].copy())
    return out


def _labels(posed: Posed, view: View, hull: Hull, expected: Mask, others: Mask) -> NDArray[np.uint8]:
    """GrabCut's: likely where it is expected, certainly not further than a rim from there, where others are beside
    that, or where a point is seen that lies elsewhere."""
    import cv2
    from scipy.spatial import cKDTree

    labels = np.full(expected.shape, cv2.GC_BGD, np.uint8)
    labels[ndimage.binary_dilation(expected, iterations=max(2, round(RIM * expected.shape[1])))] = cv2.GC_PR_BGD
    labels[others] = cv2.GC_BGD
    labels[expected] = cv2.GC_PR_FGD
    left = hull.places[hull.left()]
    points = posed.points[posed.seen[view.name]]
    if len(points) and len(left):
        points = points[cKDTree(left).query(points)[0] > 2 * hull.step]
    uv, z = view.camera.project(points)
    for x, y in uv[z > 0]:
        if 0 <= x < expected.shape[1] and 0 <= y < expected.shape[0]:
            cv2.circle(labels, (int(x), int(y)), POINT_PX, int(cv2.GC_BGD), -1)
    return labels


def _fits(
    found: Mask, view: View, hull: Hull, others: Mapping[str, Mask], before: Mapping[str, tuple[View, Mask]], near: str
) -> bool:
    """Whether a new silhouette is about as large as in the view beside, and leaves of the hull what the others show."""
    _, shape = before[near]
    if not found.any():
        return False
    open_ = hull.shown(view.camera)
    if (open_ & ~others[view.name]).sum() > FREE * open_.sum():
        size = float(found.sum()) / float(shape.sum())
        if not 1 / GROWS < size < GROWS:
            return False
    hull.carve(view, found, others[view.name] & ~found)
    left = hull.places[hull.left()]
    hull.forget(view)
    if len(left) == 0:
        return False
    return all((_footprint(v.camera, left, hull.step) & m).sum() >= EXPLAINED * m.sum() for v, m in before.values())


def _largest(mask: Mask) -> Mask:
    parts, count = ndimage.label(mask)
    if count < 2:
        return mask
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    return np.asarray(parts == sizes.argmax())
