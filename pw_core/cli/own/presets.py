"""Materials by name for `pw new`: constants, and where they are from.

A source is named where its numbers were looked up; else the text says that they are an order of magnitude.
"""

from __future__ import annotations

from dataclasses import dataclass

UNSOURCED = "order of magnitude, no source found"


@dataclass(frozen=True)
class Preset:
    """material: fields of `pw_core.config.Material`; source: where its numbers are from."""

    material: dict[str, str | float]
    source: str


PRESETS: dict[str, Preset] = {
    "clay": Preset(
        {"model": "plastic", "density_kg_m3": 1500, "youngs_modulus_pa": 6e4, "poisson_ratio": 0.4,
         "yield_stress_pa": 1500},
        f"modelling clay warm from the hand: carries its own weight in a lump, yields at twice that; {UNSOURCED}",
    ),
    "dough": Preset(
        {"model": "elastic", "density_kg_m3": 1000, "youngs_modulus_pa": 8e3, "poisson_ratio": 0.45},
        "PerpetualWonder's dough (arXiv 2602.04876); real dough is stiffer the faster it is pulled (Ng, McKinley and "
        "Padmanabhan 2006)",
    ),
    "jam": Preset(
        {"model": "liquid", "density_kg_m3": 1300, "youngs_modulus_pa": 1e5, "poisson_ratio": 0.45,
         "viscosity_pa_s": 50},
        f"between honey and a paste; {UNSOURCED}; real jam has a yield stress and thins when sheared (Carbonell, "
        "Costell and Duran 1991), which a liquid here has not",
    ),
    "honey": Preset(
        {"model": "liquid", "density_kg_m3": 1420, "youngs_modulus_pa": 1e5, "poisson_ratio": 0.45,
         "viscosity_pa_s": 10},
        "17 to 18 % water at 20 degrees: specific gravity 1.42; 19 Pa s with 16 % at 20 degrees, 7 at 30 (clover; "
        "Bogdanov, The Book of Honey, chapter 4)",
    ),
    "foam": Preset(
        {"model": "elastic", "density_kg_m3": 40, "youngs_modulus_pa": 5e4, "poisson_ratio": 0.2},
        f"flexible polyurethane: 12 to 40 kg/m3 (Handbook of Polymer Foams, 5.6.1); stiffness: {UNSOURCED}",
    ),
    "fruit": Preset(
        {"model": "elastic", "density_kg_m3": 950, "youngs_modulus_pa": 1e6, "poisson_ratio": 0.35},
        f"flesh of apples and bananas; {UNSOURCED}",
    ),
    "snow": Preset(
        {"model": "snow", "density_kg_m3": 400, "youngs_modulus_pa": 1.4e5, "poisson_ratio": 0.2},
        "packs and crumbles: Stomakhin et al., A material point method for snow simulation, 2013",
    ),
    "wood": Preset({"model": "rigid", "density_kg_m3": 700, "friction": 0.4},
                   "beech and oak, dry: 600 to 800 kg/m3 (Roth, Timber, Forest Service Bulletin 10)"),
    "metal": Preset({"model": "rigid", "density_kg_m3": 7800, "friction": 0.4}, "steel, solid, by textbooks"),
    "ceramic": Preset({"model": "rigid", "density_kg_m3": 2300, "friction": 0.5}, f"stoneware, solid; {UNSOURCED}"),
}  # fmt: skip
"""Names as a person would say them."""
