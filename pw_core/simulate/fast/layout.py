"""Where things lie in the kernels' arrays: rows of particles, constants, scratch, units of work, what threads share."""

from __future__ import annotations

# Rows of the sorted particles, `sorted[row * stride + i]`; matrices row by row.
X, V, C, F, JP, ROWS = 0, 3, 6, 15, 24, 25

# Columns of an entity's row of constants (entities, ENTITY). MASS is of one particle, with the volume scale.
LAW, LAMBDA, MU, YIELD, VISCOSITY, MASS, ENTITY = 0, 1, 2, 3, 4, 5, 8
LAWS = {"elastic": 0, "plastic": 1, "snow": 2, "liquid": 3}

# The constants of a substep. STRESS is -dt * volume * 4 / dx^2; walls' corners in LOW and HIGH; FLOOR is the highest
# node of the table and beneath, along z.
DT, DX, INVERSE_DX, STRESS, LOW, HIGH, GRAVITY, FLOOR, CONSTANTS = 0, 1, 2, 3, 4, 7, 10, 14, 16
NO_FLOOR = -1e6
"""That, where there is no table."""

# Vectors of a thread's scratch memory, times 16 floats.
EXCHANGE, TURNED, WX, WXD, WY, WYD, FZ, CELL = 0, 16, 32, 35, 38, 41, 44, 45
F_TMP, U, W, S, TAU, SCRATCH = 48, 57, 66, 75, 80, 96

# Columns of a unit: one entity's particles in one column of 4 x 4 cells. Z0 and NZ: the rows of its tile.
START, END, OWNER, BX, BY, Z0, NZ, TILE, UNIT = 0, 1, 2, 3, 4, 5, 6, 7, 8
BLOCK = 4  # cells and nodes along a side of a block
TILE_SIDE = 8  # nodes along a side of a unit's tile: 4 cells, 2 more of the stencil, 1 to each side to drift into
# Columns of a block of nodes; LIST to LIST_END are the units whose tiles reach it.
NODE_BX, NODE_BY, NODE_Z0, NODE_NZ, LIST, LIST_END, NODE = 0, 1, 2, 3, 4, 5, 6

# Columns of a rigid body, float64: pose and twist in the world, mass [kg], inertia [kg m²] in its own frame, what
# deformables gave it (force, torque), what a hand that holds it adds to mass and inertia, its rotation matrix, its
# coupling, its grid of distances, and how far from its centre it is felt [m].
BODY_POSITION, BODY_ORIENTATION, BODY_LINEAR, BODY_SPIN, BODY_MASS, BODY_INERTIA = 0, 3, 7, 10, 13, 14
BODY_FORCE, BODY_HELD, BODY_TURN, BODY_FRICTION, BODY_SOFTNESS = 23, 29, 30, 39, 40
BODY_LOW, BODY_CELL, BODY_WIDEST, BODY_REACH, BODY = 41, 44, 47, 48, 49

# What the sort says.
UNITS, BLOCKS, FLOATS, BOX_X, BOX_Y, BOX_Z, BOX_NY, BOX_NZ, LOST, INFO = 0, 1, 2, 3, 4, 5, 6, 7, 8, 12

# Words that threads share, each in a cache line of its own.
ARRIVED, GENERATION, QUEUE, DRIFTED, SHARED = 0, 8, 16, 24, 32

VOLUME_SCALE = 1e3
"""Genesis multiplies volumes, and so masses, by this; `SMALLEST_MASS` is in its units."""
SMALLEST_MASS = 1e-12
"""A node with less mass stays at rest. Genesis has 1.2e-7, which costs a body in free flight 1e-8 of its momentum a
substep: its outermost nodes are lighter than that."""
NORM_EPSILON = 1.1920929e-07
"""Genesis's norms of vectors have this added under the root."""
