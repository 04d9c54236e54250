"""Materials by name for `pw new`: constants, and where they are from."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Preset:
    """material: fields of `pw_core.config.Material`; source: where its numbers are from."""

    material: dict[str, str | float]
    source: str


PRESETS: dict[str, Preset] = {
    "clay": Preset(
        {"model": "plastic", "density_kg_m3": 1500, "youngs_modulus_pa": 6e4, "poisson_ratio": 0.4,
         "yield_stress_pa": 1500},
        "modelling clay warm from the hand: carries its own weight in a lump, yields at twice that",
    ),
    "dough": Preset(
        {"model": "elastic", "density_kg_m3": 1000, "youngs_modulus_pa": 8e3, "poisson_ratio": 0.45},
        "PerpetualWonder's dough (arXiv 2602.04876); wheat dough has 5 to 20 kPa (Dobraszczyk and Morgenstern 2003)",
    ),
    "jam": Preset(
        {"model": "liquid", "density_kg_m3": 1300, "youngs_modulus_pa": 1e5, "poisson_ratio": 0.45,
         "viscosity_pa_s": 50},
        "density of 65 % sugar; apparent viscosity of fruit jam at low shear, 20 to 100 Pa s (Alvarez et al. 2006)",
    ),
    "honey": Preset(
        {"model": "liquid", "density_kg_m3": 1420, "youngs_modulus_pa": 1e5, "poisson_ratio": 0.45,
         "viscosity_pa_s": 10},
        "17 to 18 % water at 20 degrees: about 10 Pa s (Yanniotis et al. 2006)",
    ),
    "foam": Preset(
        {"model": "elastic", "density_kg_m3": 40, "youngs_modulus_pa": 5e4, "poisson_ratio": 0.2},
        "flexible polyurethane foam, 25 to 100 kPa (Gibson and Ashby, Cellular Solids, 1997)",
    ),
    "fruit": Preset(
        {"model": "elastic", "density_kg_m3": 950, "youngs_modulus_pa": 1e6, "poisson_ratio": 0.35},
        "flesh of ripe apples and bananas, 0.5 to 5 MPa (Mohsenin, Physical Properties of Plant Materials, 1986)",
    ),
    "wood": Preset({"model": "rigid", "density_kg_m3": 700, "friction": 0.4},
                   "beech and oak, dry: 650 to 750 kg/m3 (Wood Handbook, USDA 2010)"),
    "metal": Preset({"model": "rigid", "density_kg_m3": 7800, "friction": 0.4}, "steel, solid"),
    "ceramic": Preset({"model": "rigid", "density_kg_m3": 2300, "friction": 0.5}, "stoneware, solid"),
}  # fmt: skip
"""Names as a person would say them."""
