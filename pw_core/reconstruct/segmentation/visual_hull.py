"""Masks of a thing without points of its own, propagated from view to view by its visual hull.

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
from pw_core.reconstruct.components import largest_component
from pw_core.reconstruct.segmentation.grabcut import GrabCutOptions, color_models, grabcut, mark_discs
from pw_core.reconstruct.types import Mask, Posed, Rgb, View


@dataclass(frozen=True, kw_only=True)
class VisualHullOptions:
    """How silhouettes are found by what other silhouettes leave of space."""

    cells: int = 96
    """Voxels along the longest side of where the thing may be."""
    refine_below_cells: int = 6000
    """When fewer voxels are left each becomes eight."""
    reach_ratio: float = 0.6
    """Of the cameras' distance from what they look at: how far before and behind that a thing without any point may
    be."""
    depth_ratio: float = 1.0
    """Of the silhouette's extent: how far before and behind its few points the thing may reach."""
    nearest_ratio: float = 0.05
    """Of the furthest that the thing may be: it is no nearer to the camera."""
    silhouettes_per_error: int = 8
    """One silhouette in so many may be wrong at a place."""
    outline_ratio: float = 0.01
    """Of the picture's width: how far a silhouette may lie outside of what the others expect."""
    min_explained_share: float = 0.85
    """Of each silhouette found before: what the visual hull must still explain once a new one has carved it."""
    max_size_ratio: float = 2.5
    """A silhouette so many times larger or smaller than in the view beside it is something else."""
    final_rounds: int = 2
    """In which each silhouette is cut again by what all others expect."""
    min_agreeing_share: float = 0.5
    """Of the views: so many must agree on one solid; to the rest it shows where the thing is."""
    loose_ratio: float = 2.0
    """While the visual hull shows so many times what the view beside does, colours alone say what is of the thing."""
    core_share: float = 0.5
    """How deep inside of what is expected a pixel is certainly of the thing, of the deepest."""
    other_radius_px: int = 2
    """Radius of what a point that lies elsewhere says of its surroundings."""
    other_distance_cells: float = 2.0
    """From what is left, in voxels: a point further off lies elsewhere."""
    min_free_share: float = 0.3
    """Of what is expected: so much others must leave free for a silhouette's size to say anything."""
    surroundings_share: float = 0.3
    """Of the extent of what is expected: how far around it colours are taken from."""
    min_surroundings_px: int = 8
    """And at least so far."""
    grabcut: GrabCutOptions = GrabCutOptions()


@dataclass
class VisualHull:
    """Places (n, 3) where a thing may be, voxels of side `step` in the scene's unit; how many silhouettes see each and
    how many leave it out; what each view says, by name."""

    places: F64
    step: float
    options: VisualHullOptions = VisualHullOptions()
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

    def refined(self, views: Mapping[str, View], masks: Mapping[str, Mask], others: Mapping[str, Mask]) -> VisualHull:
        """The same of voxels half as large, once few are left and those are more than a pixel wide."""
        left = self.left()
        camera = next(iter(views.values())).camera
        away = float(np.median(camera.project(self.places[left])[1])) if left.any() else 0.0
        if not 0 < left.sum() < self.options.refine_below_cells or self.step * float(camera.K[0, 0]) < away:
            return self
        corners = np.stack(np.meshgrid(*3 * [[-0.25, 0.25]], indexing="ij"), -1).reshape(-1, 3) * self.step
        out = VisualHull((self.places[left][:, None] + corners).reshape(-1, 3), self.step / 2, self.options)
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
        return self._kept(self.seen, self.out)

    def shown(self, camera: Camera, *, without: str = "") -> Mask:
        """(H, W): where a camera sees what is left, as far as the views other than `without` tell."""
        seen, out = self.seen, self.out
        if without in self.said:
            inside, outside = self.said[without]
            seen, out = seen - (inside | outside), out - outside
        return _footprint(camera, self.places[self._kept(seen, out)], self.step)

    def _kept(self, seen: I64, out: I64) -> Mask:
        return np.asarray((seen > 0) & (out <= seen // self.options.silhouettes_per_error))

    def _says(self, camera: Camera, mask: Mask, unknown: Mask) -> tuple[Mask, Mask]:
        cells, _, within = camera.pixels(self.places)
        inside, outside = np.zeros(len(cells), bool), np.zeros(len(cells), bool)
        i = np.flatnonzero(within)
        x, y = cells[i].T
        own, silent = mask[y, x], unknown[y, x]
        inside[i], outside[i] = own, ~own & ~silent
        return inside, outside


def propagate_by_visual_hull(
    posed: Posed, known: Mapping[str, Mask], others: Mapping[str, Mask], *, prompt_view: str, own: F64,
    options: VisualHullOptions = VisualHullOptions(),
) -> dict[str, Mask] | None:  # fmt: skip
    """A thing's mask in every view, by name, from those `known`, which stay and hold one of `prompt_view`; None where
    what colours find in the views does not make one solid thing.

    others: by view, the pixels of other things, which may hide it. own (m, 3): the few points that lie on it, if any.
    """
    views = {v.name: v for v in posed.views}
    first = views[prompt_view]
    hull = _cone(posed, first, known[prompt_view], own, options)
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
            if len(masks) < options.min_agreeing_share * len(views):
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
    for _ in range(options.final_rounds):
        for name in cut:
            view = views[name]
            masks[name] = _within(posed, view, hull, hull.shown(view.camera, without=name), others[name])
            if name in hull.said:
                hull.forget(view)
            hull.carve(view, masks[name], others[name] & ~masks[name])
    return masks


def _cone(posed: Posed, view: View, mask: Mask, own: F64, options: VisualHullOptions) -> VisualHull | None:
    """Where a thing may be that has this silhouette: above z = 0, about its few points or where the cameras look."""
    camera = view.camera
    y, x = np.nonzero(mask)
    if len(y) == 0:
        return None
    _, z = camera.project(own)
    if len(own) and (z > 0).any():
        depth = float(np.median(z[z > 0]))
        deep = options.depth_ratio * float(np.hypot(np.ptp(x), np.ptp(y))) * depth / float(camera.K[0, 0])
        near, far = float(z[z > 0].min()) - deep, float(z.max()) + deep
    else:
        centres = np.array([v.camera.centre for v in posed.views])
        ahead = np.array([v.camera.viewmat[2, :3] for v in posed.views])
        across = np.eye(3) - np.einsum("ni,nj->nij", ahead, ahead)
        target = np.linalg.lstsq(across.sum(0), np.einsum("nij,nj->i", across, centres), rcond=1e-6)[0]
        depth = float(camera.project(target[None])[1][0])
        reach = options.reach_ratio * float(np.mean(np.linalg.norm(centres - target, axis=1)))
        near, far = depth - reach, depth + reach
    near = max(near, options.nearest_ratio * far)
    pixels = np.stack([x, y], 1).astype(np.float64) + 0.5
    ends = np.concatenate([camera.unproject(pixels, np.full(len(pixels), d)) for d in (near, far)])
    low, high = ends.min(0), ends.max(0)
    low[2] = max(low[2], 0.0)
    if high[2] <= low[2]:
        return None
    step = float((high - low).max()) / options.cells
    axes = [np.arange(a + step / 2, b, step) for a, b in zip(low, high)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3)
    cells, z, seen = camera.pixels(grid)
    keep = seen & (z > near) & (z < far)
    wide = ndimage.binary_dilation(mask, iterations=max(1, round(options.outline_ratio * camera.width)))
    keep[keep] = wide[cells[keep, 1], cells[keep, 0]]
    return VisualHull(grid[keep], step, options) if keep.any() else None


def _footprint(camera: Camera, places: F64, step: float) -> Mask:
    """(H, W): where a camera sees voxels (n, 3) of side `step`."""
    out = np.zeros((camera.height, camera.width), bool)
    cells, z, seen = camera.pixels(places)
    if not (z > 0).any():
        return out
    out[cells[seen, 1], cells[seen, 0]] = True
    side = step * float(camera.K[0, 0]) / float(np.median(z[z > 0]))
    return np.asarray(ndimage.binary_closing(np.pad(out, 8), iterations=int(np.ceil(side)))[8:-8, 8:-8] | out)


def _first_cut(posed: Posed, view: View, hull: VisualHull, others: Mask, beside: View, shape: Mask) -> Mask:
    """What has the colours of the thing in the view beside, within what the hull leaves; once that is not much more
    than the thing, its middle is certain."""
    expected = hull.shown(view.camera)
    if expected.sum() < hull.options.loose_ratio * shape.sum():
        return largest_component(_within(posed, view, hull, expected, others))
    labels = _labels(posed, view, hull, expected, others)
    cut = grabcut(view.image, labels, models=color_models(beside.image, shape), options=hull.options.grabcut)
    return largest_component(cut)


def _within(posed: Posed, view: View, hull: VisualHull, expected: Mask, others: Mask) -> Mask:
    """Cut about what other views expect here."""
    import cv2

    labels = _labels(posed, view, hull, expected, others)
    deep = ndimage.distance_transform_edt(expected)
    labels[(deep > hull.options.core_share * deep.max()) & (labels != cv2.GC_BGD) & ~others] = cv2.GC_FGD
    if not (labels == cv2.GC_FGD).any():
        return np.zeros_like(expected)
    return _sharp(view.image, labels, expected, hull.options)


def _sharp(image: Rgb, labels: NDArray[np.uint8], expected: Mask, options: VisualHullOptions) -> Mask:
    """GrabCut with colours of the surroundings alone: far away others may have those of the thing."""
    y, x = np.nonzero(expected)
    grow = max(options.min_surroundings_px, int(options.surroundings_share * max(np.ptp(x), np.ptp(y))))
    rows = slice(max(0, int(y.min()) - grow), int(y.max()) + grow + 1)
    columns = slice(max(0, int(x.min()) - grow), int(x.max()) + grow + 1)
    out = np.zeros(labels.shape, bool)
    window, part = np.ascontiguousarray(image[rows, columns]), labels[rows, columns].copy()
    out[rows, columns] = grabcut(window, part, options=options.grabcut)
    return out


def _labels(posed: Posed, view: View, hull: VisualHull, expected: Mask, others: Mask) -> NDArray[np.uint8]:
    """GrabCut's: likely where it is expected, certainly not far from there, where others are beside that, or where a
    point is seen that lies elsewhere."""
    import cv2
    from scipy.spatial import cKDTree

    labels = np.full(expected.shape, cv2.GC_BGD, np.uint8)
    around = max(2, round(hull.options.outline_ratio * expected.shape[1]))
    labels[ndimage.binary_dilation(expected, iterations=around)] = cv2.GC_PR_BGD
    labels[others] = cv2.GC_BGD
    labels[expected] = cv2.GC_PR_FGD
    left = hull.places[hull.left()]
    points = posed.points[posed.seen[view.name]]
    if len(points) and len(left):
        points = points[cKDTree(left).query(points)[0] > hull.options.other_distance_cells * hull.step]
    uv, z = view.camera.project(points)
    mark_discs(labels, uv[z > 0], radius=hull.options.other_radius_px, label=cv2.GC_BGD)
    return labels


def _fits(
    found: Mask, view: View, hull: VisualHull, others: Mapping[str, Mask], before: Mapping[str, tuple[View, Mask]],
    near: str,
) -> bool:  # fmt: skip
    """Whether a new silhouette is about as large as in the view beside, and leaves of the hull what the others show."""
    options = hull.options
    _, shape = before[near]
    if not found.any():
        return False
    open_ = hull.shown(view.camera)
    if (open_ & ~others[view.name]).sum() > options.min_free_share * open_.sum():
        size = float(found.sum()) / float(shape.sum())
        if not 1 / options.max_size_ratio < size < options.max_size_ratio:
            return False
    hull.carve(view, found, others[view.name] & ~found)
    left = hull.places[hull.left()]
    hull.forget(view)
    if len(left) == 0:
        return False
    return all(
        (_footprint(v.camera, left, hull.step) & m).sum() >= options.min_explained_share * m.sum()
        for v, m in before.values()
    )
