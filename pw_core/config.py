"""SceneConfig: everything about a scene that is chosen rather than computed; one YAML file a scene."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from pw_core.actions import PhysicalAction
from pw_core.documents.faults import fault_lines
from pw_core.errors import ErrorCode, SceneError
from pw_core.limits import LIMITS

NAME = r"^[A-Za-z0-9][A-Za-z0-9_-]*$"
Name = Annotated[str, Field(pattern=NAME, max_length=LIMITS.name_chars)]
Text = Annotated[str, Field(max_length=LIMITS.text_chars)]
MaterialModel = Literal["liquid", "elastic", "plastic", "snow", "rigid"]
Kind = Literal["deformable", "rigid", "tool"]


class Part(BaseModel):
    """Base of all parts: frozen, and a typo in a key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


P = TypeVar("P", bound=Part)


def validated(kind: type[P], fields: Any, *, source: str) -> P:
    """A part from plain data.

    Raises:
        ValueError: the message gives the path of each fault in `source` and what is wrong there.
    """
    try:
        return kind.model_validate(fields)
    except (OverflowError, RecursionError) as error:  # an integer that no number can hold
        raise ValueError(f"{source}: {error}") from None
    except ValidationError as error:
        raise ValueError("\n".join([f"{source}:", *(f"  {line}" for line in fault_lines(error, kind))])) from None


class Material(Part):
    """How an entity's substance behaves; `model` picks the law, the rest its parameters."""

    model: MaterialModel = Field(description="snow packs and crumbles: no yield stress, see simulate/materials.py")
    density_kg_m3: float = Field(default=1000.0, ge=0.1, le=1e5, description="of what it is made of")
    youngs_modulus_pa: float = Field(
        default=8e3, ge=1e-3, le=1e13, description="stiffness; of a liquid, against compression; rigid ones have none"
    )
    poisson_ratio: float = Field(default=0.4, gt=0, lt=0.5, description="towards 0.5 it keeps its volume")
    viscosity_pa_s: float = Field(default=0.0, ge=0, le=1e9, description="liquids only")
    yield_stress_pa: float = Field(
        default=400.0, gt=0, le=1e13, description="plastic only: von Mises stress where it yields"
    )
    friction: float = Field(default=0.5, ge=0, le=1000, description="against the table and rigid bodies")


class Prompt(Part):
    """Where the entity is in the photo [px of the photo as given]: the box bounds it, points seed it."""

    box: tuple[float, float, float, float] = Field(description="left, top, right, bottom")
    points: tuple[tuple[float, float], ...] = Field(
        default=(), max_length=LIMITS.prompt_points, description="[x, y] on the thing, where the box finds too little"
    )
    negative_points: tuple[tuple[float, float], ...] = Field(
        default=(), max_length=LIMITS.prompt_points, description="[x, y] on what is not of it, where it finds too much"
    )

    @field_validator("box")
    @classmethod
    def _ordered(cls, box: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
        left, top, right, bottom = box
        if right - left < 4 or bottom - top < 4:
            raise ValueError(f"box must be [left, top, right, bottom] and at least 4 px wide and high, got {list(box)}")
        return box


class EntityConfig(Part):
    """One thing that moves."""

    name: Name = Field(description="by which actions and answers call it")
    material: Material
    prompt: Prompt
    shape: Literal["inflate", "revolve"] = Field(
        default="inflate", description="how its silhouette becomes a solid: inflated, or turned about its long axis"
    )
    depth_ratio: float = Field(default=1.0, gt=0.05, le=5, description="depth over width of the inflated solid")
    above: Text = Field(default="", description="the entity it hangs above; empty: it stands on the table")
    diameter_m: float = Field(
        default=0.0, ge=0, le=1000,
        description="of a revolved silhouette, or of the widest circle in one: tells how far away the thing is; the "
        "first entity's is the metre of photos without poses; 0: from the image",
    )  # fmt: skip
    tool: bool = Field(default=False, description="a rigid entity that only ever moves along timed poses")
    distance_m: float = Field(
        default=0.0, ge=0, le=1000,
        description="ahead of the camera, horizontally, of a thing that hangs; the first entity's is the metre of "
        "photos without poses; 0: from diameter_m",
    )
    fixed: Literal["no", "all", "top", "bottom", "left", "right", "back"] = Field(
        default="no",
        description="what of it is held in place: mounted, or hanging by its top; sides as the first camera sees them; "
        "a rigid one stays where it is whatever is held",
    )
    fixed_share: float = Field(default=0.12, gt=0, le=1, description="of its extent that way, how much is held")
    added_from: Text = Field(
        default="", description="Gaussians that `pw entity` made it of: its prompt says nothing; not for people to set"
    )

    @property
    def kind(self) -> Kind:
        """`deformable`, `rigid` (dynamic) or `tool` (kinematic)."""
        if self.material.model != "rigid":
            return "deformable"
        return "tool" if self.tool else "rigid"


class CameraConfig(Part):
    """The photo's camera: above the world's origin, looking along +x, pitched down."""

    height_m: float = Field(ge=1e-3, le=1000, description="above the table; without one, above the world's origin")
    pitch_deg: float = Field(gt=-90, lt=90, description="downwards; upwards, below 0, without a table alone")
    roll_deg: float = Field(default=0.0, ge=-180, le=180, description="to its right; without a table alone")
    hfov_deg: float = Field(gt=1, lt=150, description="horizontal field of view")


class TableConfig(Part):
    """The table plane z = 0 ends at x = edge_m; a vertical backdrop stands beyond."""

    edge_m: float = Field(
        default=100.0, ge=1e-3, le=1e4, description="from below the camera; the default where no edge is seen"
    )
    backdrop_m: float = Field(default=0.0, ge=0, le=1e4, description="how far beyond the edge the backdrop stands")


class Sam2Settings(Part):
    """SAM 2 from a local checkpoint; nothing is downloaded."""

    checkpoint: Text = Field(default="", description="path of the .pt or .safetensors file")
    size: Literal["tiny", "small", "base_plus", "large"] = Field(default="tiny", description="which model it is of")


class ViewsSettings(Part):
    """Reconstruction from photos, film, posed images and RGB-D; 0 or empty: chosen by the program and reported."""

    width_px: int = Field(default=640, ge=64, le=4096, description="working width; wider pictures are scaled down")
    device: Literal["auto", "cpu", "cuda"] = Field(default="auto", description="CUDA where there is one, else the CPU")
    model: Literal["3dgs", "2dgs"] = Field(default="3dgs", description="2dgs needs CUDA")
    steps: int = Field(default=2000, ge=10, le=100_000, description="of the photometric fit")
    bind_steps: int = Field(default=240, ge=0, le=20_000, description="of the fit after the move onto particles")
    max_gaussians: int = Field(
        default=0, ge=0, le=20_000_000, description="0: 60 000 on the CPU, on CUDA as many as gsplat's strategy makes"
    )
    sh_degree: int = Field(default=0, ge=0, le=3, description="of harmonics: colours that change with the view")
    holdout_every: int = Field(
        default=0, ge=0, le=1_000_000, description="every n-th view, from the first, is kept for measuring"
    )
    checkpoint_every: int = Field(default=250, ge=1, le=1_000_000, description="steps between checkpoints")
    max_frames: int = Field(default=40, ge=2, le=10_000, description="frames taken from a film")
    matching: Literal["auto", "exhaustive", "sequential"] = Field(
        default="auto", description="of pictures: all pairs, or neighbours in order; auto: by their count"
    )
    mapper: Literal["incremental", "global"] = Field(default="incremental", description="structure from motion's")
    shared_camera: bool = Field(default=True, description="all pictures are of one camera and zoom")
    refine_poses: bool = Field(default=False, description="given poses are adjusted to agree with the pictures")
    frame: Literal["auto", "given", "table"] = Field(
        default="auto", description="world frame with given poses: as given, or with z = 0 on the plane that was found"
    )
    object_size_m: float = Field(default=0.0, ge=0, le=1000, description="longest side of the first entity")
    camera_height_m: float = Field(default=0.0, ge=0, le=1000, description="of the first camera above the plane")
    depth_scale: float = Field(
        default=0.0, ge=0, le=1000,
        description="[m] of a unit of depth pictures; 0: millimetres, metres of floats, or as the layout has it",
    )
    prompt_view: Text = Field(default="", description="file name of the view that the prompts belong to; empty: first")
    masks: Literal["grabcut", "sam2"] = Field(default="grabcut", description="of a single photo too")
    sam2: Sam2Settings = Sam2Settings()
    voxels: int = Field(default=112, ge=32, le=512, description="along the longest side of an entity")


class ProviderConfig(Part):
    """An optional part by its name, and what it is told; see docs/reconstruct.md for the names and their settings."""

    provider: Text = Field(default="", description="empty: none")
    settings: dict[str, Any] = Field(default_factory=dict, description="of that provider")


class ReconstructConfig(Part):
    """Pictures to a scene: the lift of a single photo, what may stand in for its guesses, and many views."""

    width_px: int = Field(default=640, ge=64, le=4096, description="working width; a wider photo is scaled down")
    fit_iterations: int = Field(default=12, ge=0, le=1000, description="of the colours of a single photo's lift")
    depth: ProviderConfig = Field(default=ProviderConfig(), description="of a single photo: gives the visible side")
    more_views: ProviderConfig = Field(default=ProviderConfig(), description="of a single photo: makes many of it")
    clutter: tuple[Prompt, ...] = Field(
        default=(), max_length=LIMITS.prompt_points,
        description="of a single photo: boxes of what else stands on the table; it stays where it is and nothing "
        "collides with it",
    )  # fmt: skip
    find_clutter: bool = Field(
        default=True,
        description="of a single photo: whether what plainly stands there is found too; what is not lies on the table "
        "as a picture",
    )
    views: ViewsSettings = ViewsSettings()


class SimulationConfig(Part):
    """Physics settings; what is 0 is chosen from the particle size and the materials, and reported."""

    particles: int = Field(default=4000, ge=100, le=2_000_000, description="about as many in all deformable entities")
    grid_density: float = Field(
        default=0.0, ge=0, le=1e5, description="MPM grid cells a metre; 0: 1 / (2 * particle size)"
    )
    substep_s: float = Field(default=0.0, ge=0, le=1, description="0: from stiffness and grid")
    substeps: int = Field(default=0, ge=0, le=LIMITS.substeps, description="in a step; 0: so that a step is about 2 ms")
    gravity_m_s2: float = Field(default=9.81, ge=0, le=1e4, description="downwards")
    margin_m: float = Field(default=0.12, gt=0, le=1000, description="free room about the entities on every side")
    floor_friction: float = Field(default=0.5, ge=0, le=1000, description="of the table")
    engine: Literal["genesis", "fast"] = Field(
        default="fast", description="this project's own kernels; what they do not cover goes to Genesis, and is said"
    )

    @field_validator("substep_s")
    @classmethod
    def _a_length_of_time(cls, value: float) -> float:
        if 0 < value < 1e-9:
            raise ValueError("must be 0, or a nanosecond or longer")
        return value


class RefineConfig(Part):
    """How target frames correct a rollout (design section 5)."""

    provider: Text = Field(default="observed", description="where target frames come from")
    settings: dict[str, Any] = Field(default_factory=dict, description="of the provider, e.g. a model's folder")
    prompt: Text = Field(default="", description="what the film shows, for a video model")
    strength: float = Field(default=0.8, ge=0, le=1, description="how far a video model may leave the prediction")
    strengths: tuple[Annotated[float, Field(ge=0, le=1)] | None, ...] = Field(
        default=(), max_length=100,
        description="the same for each view; none given: `strength`, half of it for all but the first",
    )
    side_weight: float = Field(default=1.0, ge=0, le=1e6, description="of views but the first, against the first")
    width_px: int = Field(default=320, ge=64, le=4096, description="working width; wider films are scaled down")
    iterations: int = Field(default=100, ge=0, le=10_000, description="of Adam, after tracking")
    frames_per_step: int = Field(default=1, ge=1, le=64, description="frames drawn at once: memory against steadiness")
    nodes: int = Field(default=40, ge=0, le=2000, description="control nodes of a deformable's displacement field")
    lambda_sim: float = Field(default=1e-4, ge=0, le=1e9, description="pull towards the simulation")
    temporal_opacity: bool = Field(default=False, description="let Gaussians fade in and out over the round")
    velocity: Literal["inherit", "estimate"] = Field(
        default="estimate", description="of the corrected state: as predicted, or from the corrected motion"
    )
    stress: Literal["by_material", "transport", "relax"] = Field(
        default="by_material", description="of the corrected state: carried along, forgotten, or as the material has it"
    )
    estimate: tuple[Literal["stiffness", "viscosity", "yield_stress", "friction", "wind"], ...] = Field(
        default=(), description="physical constants fitted to the corrected motion; costs rollouts"
    )
    seed: int = Field(default=0, ge=-(2**63), lt=2**63, description="of a video model's noise")

    def strength_of(self, view: int) -> float:
        """How far a video model may leave the prediction in that view, 0 to 1."""
        own = self.strengths[view] if view < len(self.strengths) else None
        return self.strength * (0.5 if view else 1.0) if own is None else own


class Round(Part):
    """One rollout of the scene's own story."""

    name: Text = Field(default="", description="for reports")
    duration: float = Field(default=0.5, gt=0, le=LIMITS.duration_s, description="[s] of simulated time")
    actions: tuple[PhysicalAction, ...] = Field(default=(), max_length=LIMITS.actions)
    strengths: tuple[Annotated[float, Field(ge=0, le=1)] | None, ...] = Field(
        default=(), max_length=100, description="as in refine.strengths, for this round's refinement"
    )


class SceneConfig(Part):
    """A scene: photo, camera, entities, physics, rounds. Load with `SceneConfig.load`."""

    name: Name = Field(description="the scene's id in the store")
    title: Text = Field(default="", description="for people")
    photo: Text = Field(default="", description="path, from the YAML file's folder")
    camera: CameraConfig
    ground: Literal["table", "none"] = Field(
        default="table", description="none: what is there hangs or is mounted, and nothing bears it"
    )
    up: tuple[float, float, float] | None = Field(
        default=None,
        description="without a table: against gravity, in the first camera's axes (right, down, ahead); not given: z "
        "of given poses, a recording's IMU, a photo's pitch and roll, or level cameras",
    )
    table: TableConfig = TableConfig()
    entities: tuple[EntityConfig, ...] = Field(min_length=1, max_length=LIMITS.entities)
    reconstruct: ReconstructConfig = ReconstructConfig()
    simulation: SimulationConfig = SimulationConfig()
    refine: RefineConfig = RefineConfig()
    frame_interval_s: float = Field(
        default=1 / 50, ge=1e-5, le=LIMITS.duration_s, description="simulated time between frames"
    )
    playback_fps: float = Field(default=25.0, ge=0.01, le=1000, description="of the films")
    rounds: tuple[Round, ...] = Field(default=(), max_length=LIMITS.rounds)

    @model_validator(mode="after")
    def _names_agree(self) -> SceneConfig:
        names = [e.name for e in self.entities]
        if len(set(names)) < len(names):
            raise ValueError(f"entity names must differ, got {names}")
        self._ground_agrees()
        for e in self.entities:
            if e.above and (e.above not in names or e.above == e.name):
                raise ValueError(f"entity '{e.name}' is above '{e.above}', which is none of {names}")
        for i, round_ in enumerate(self.rounds):
            for action in round_.actions:
                if action.entity and action.entity not in names:
                    raise ValueError(f"rounds.{i}: action on '{action.entity}', which is none of {names}")
        return self

    def _ground_agrees(self) -> None:
        if self.ground == "table":
            if self.camera.pitch_deg < 0 or self.camera.roll_deg != 0:
                raise ValueError(
                    f"camera: pitch_deg {self.camera.pitch_deg:g} and roll_deg {self.camera.roll_deg:g}: over a table "
                    "the pitch is 0 or more and the roll 0; ground: none takes any"
                )
            if self.up is not None:
                raise ValueError("up: a table's normal is up; it is given with ground: none alone")
        elif self.up is not None and sum(x * x for x in self.up) < 1e-12:
            raise ValueError("up: must have a length")
        if self.ground == "none" and self.reconstruct.clutter:
            raise ValueError("reconstruct.clutter: it stands on a table, and there is none (ground: none)")
        for e in self.entities:
            if e.fixed != "no" and e.tool:
                raise ValueError(f"entity '{e.name}': a tool moves along timed poses, it is not fixed")

    @property
    def has_table(self) -> bool:
        """Whether the plane z = 0 bears what is there."""
        return self.ground == "table"

    @classmethod
    def parse(cls, fields: Any, *, source: str = "scene config") -> SceneConfig:
        """From plain data.

        Raises:
            SceneError (INVALID_CONFIG): the message gives the path of each fault and what is wrong there.
        """
        try:
            return validated(cls, fields, source=source)
        except ValueError as error:
            raise SceneError(str(error), code=ErrorCode.INVALID_CONFIG) from None

    @classmethod
    def load(cls, path: Path | str) -> SceneConfig:
        """From a YAML file; a relative `photo` is taken from the file's folder.

        Raises:
            SceneError (INVALID_CONFIG): missing, not YAML, or a fault in it, named by its path.
        """
        from pw_core.documents.reading import DocumentError, parse_yaml, read_text

        path = Path(path)
        try:
            fields = parse_yaml(read_text(path))
        except DocumentError as error:
            raise SceneError(f"{path}: {error}", code=ErrorCode.INVALID_CONFIG) from None
        config = cls.parse(fields, source=str(path))
        if config.photo and not Path(config.photo).is_absolute():
            config = config.model_copy(update={"photo": str((path.parent / config.photo).resolve())})
        return config

    def entity(self, name: str) -> EntityConfig:
        """The entity of that name; KeyError if there is none."""
        for e in self.entities:
            if e.name == name:
                return e
        raise KeyError(name)
