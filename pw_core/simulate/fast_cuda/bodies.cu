// What happens to rigid bodies between steps: tools' paths, forces, contact with the table. pw_core/simulate/bodies.py
// has the same, and says why. One warp does it for a body; all its lanes hold the same numbers.

enum ToolRow { T_BODY = 0, T_START = 1, T_END = 2, T_RELATIVE = 3, T_KEYS = 4, T_ANCHORED = 5, T_ANCHOR = 8, TOOL_SIZE = 24 };
enum KeyRow { K_TIME = 0, K_POSITION = 1, K_ORIENTATION = 4, KEY_SIZE = 8 };

static const double CONTACT_M = 2e-4, ROLLING_DAMPING = 4.0, ROLLING_RESISTANCE = 0.02;
static const int MAX_CONTACTS = 8, CONTACT_SWEEPS = 12;

FN double warp_sum(double value) {  // in the same order whatever the block
#pragma unroll
    for (int n = 16; n; n >>= 1) value += __shfl_xor_sync(0xffffffffu, value, n);
    return value;
}

FN double warp_least(double value) {
#pragma unroll
    for (int n = 16; n; n >>= 1) value = fmin(value, __shfl_xor_sync(0xffffffffu, value, n));
    return value;
}

// The index whose value is the greatest, the first of several; `value` becomes that one.
FN int warp_first_greatest(double& value, int index) {
#pragma unroll
    for (int n = 16; n; n >>= 1) {
        double other = __shfl_xor_sync(0xffffffffu, value, n);
        int whose = __shfl_xor_sync(0xffffffffu, index, n);
        if (other > value || (other == value && whose < index)) value = other, index = whose;
    }
    return index;
}

FN void slerp(const double* a, const double* to, double f, double* q) {
    double along = a[0] * to[0] + a[1] * to[1] + a[2] * to[2] + a[3] * to[3], flip = along < 0.0 ? -1.0 : 1.0, size = 0.0;
    double angle = acos(fmin(fmax(along * flip, -1.0), 1.0));
    double left = angle < 1e-6 ? 1.0 - f : sin((1.0 - f) * angle) / sin(angle);
    double right = angle < 1e-6 ? f : sin(f * angle) / sin(angle);
#pragma unroll
    for (int n = 0; n < 4; ++n) q[n] = left * a[n] + right * flip * to[n], size += q[n] * q[n];
    size = sqrt(size);
#pragma unroll
    for (int n = 0; n < 4; ++n) q[n] /= size;
}

// Where a tool is at t [s]; bodies.py: tool_pose. anchor: the body's pose when its action began.
SLOW void tool_pose(const double* tool, const double* keys, const double* anchor, double t, double* position, double* q) {
    const int many = (int)tool[T_KEYS];
    double since = t - tool[T_START];
    bool relative = tool[T_RELATIVE] > 0.5;
    if (!relative && since < keys[K_TIME] && keys[K_TIME] > 0.0) {
        double f = fmax(since, 0.0) / keys[K_TIME];
        for (int d = 0; d < 3; ++d) position[d] = (1.0 - f) * anchor[d] + f * keys[K_POSITION + d];
        slerp(anchor + B_ORIENTATION, keys + K_ORIENTATION, f, q);
        return;
    }
    double s = fmin(fmax(since, keys[K_TIME]), keys[(many - 1) * KEY_SIZE + K_TIME]), f = 0.0;
    int k = 0;
    while (k + 1 < many && keys[(k + 1) * KEY_SIZE + K_TIME] <= s) ++k;
    const double *a = keys + k * KEY_SIZE, *b = keys + min(k + 1, many - 1) * KEY_SIZE;
    if (b != a) f = (s - a[K_TIME]) / (b[K_TIME] - a[K_TIME]);
    for (int d = 0; d < 3; ++d) position[d] = (1.0 - f) * a[K_POSITION + d] + f * b[K_POSITION + d];
    slerp(a + K_ORIENTATION, b + K_ORIENTATION, f, q);
    if (relative) {
        double turn[4] = {q[0], q[1], q[2], q[3]};
        for (int d = 0; d < 3; ++d) position[d] += anchor[d];
        multiplied(turn, anchor + B_ORIENTATION, q);
    }
}

FN void put(double* body, const double* pose, const double* linear, const double* spin) {  // pose: position, orientation
    __syncwarp();
    if ((threadIdx.x & 31) == 0) {
        for (int n = 0; n < 7; ++n) body[B_POSITION + n] = pose[n];
        for (int d = 0; d < 3; ++d) body[B_LINEAR + d] = linear[d], body[B_SPIN + d] = spin[d];
        turned(body + B_ORIENTATION, body + B_TURN);
    }
    __syncwarp();
}

FN void follow(const double* tool, const double* keys, const double* anchor, double t, double dt, double* body) {
    double pose[7], after[7], delta[4], linear[3], spin[3], sine = 0.0;
    tool_pose(tool, keys, anchor, t, pose, pose + 3);
    tool_pose(tool, keys, anchor, t + dt, after, after + 3);
    double back[4] = {pose[3], -pose[4], -pose[5], -pose[6]};
    multiplied(after + 3, back, delta);
    double sign = delta[0] >= 0.0 ? 1.0 : -1.0;
    for (int d = 0; d < 3; ++d) sine += delta[1 + d] * delta[1 + d];
    sine = sqrt(sine);
    double rate = sine < 1e-12 ? 0.0 : sign / sine * (2.0 * atan2(sine, sign * delta[0]) / dt);
    for (int d = 0; d < 3; ++d) linear[d] = (after[d] - pose[d]) / dt, spin[d] = delta[1 + d] * rate;
    put(body, pose, linear, spin);
}

// How much of an action is felt at x; actions.py: weights.
FN double felt_exactly(const double* a, const double* x) {
    double square = 0.0;
    for (int d = 0; d < 3; ++d) square += (x[d] - a[CENTRE + d]) * (x[d] - a[CENTRE + d]);
    double r = sqrt(square) / a[RADIUS];
    if (r >= 1.0) return 0.0;
    return a[FALLOFF] > 1.5 ? exp(-4.5 * r * r) : a[FALLOFF] > 0.5 ? 1.0 - r : 1.0;
}

// Where a body's particle is, as a float has it.
FN void particle_of(const double* body, const float* rest, double* x) {
    double arm[3] = {rest[0], rest[1], rest[2]};
    rotate(body + B_TURN, arm, x);
    for (int d = 0; d < 3; ++d) x[d] = (double)(float)(x[d] + body[B_POSITION + d]);
}

// Adds an action's acceleration (3,), felt by the body's particles where it has a radius.
SLOW void force(const Problem& p, const double* a, const double* acceleration, const double* body, const double* shape,
                const double* inverse, double dt, double* linear, double* spin) {
    if (!(a[RADIUS] > 0.0)) {
        for (int d = 0; d < 3; ++d) linear[d] += dt * acceleration[d];
        return;
    }
    const float* rest = p.rest + 3 * (int)shape[S_REST];
    const int many = (int)shape[S_RESTS];
    double weight = 0.0, arm[3] = {0, 0, 0}, torque[3], change[3];
    for (int i = threadIdx.x & 31; i < many; i += 32) {
        double x[3];
        particle_of(body, rest + 3 * i, x);
        double w = felt_exactly(a, x);
        weight += w;
        for (int d = 0; d < 3; ++d) arm[d] += w * (x[d] - body[B_POSITION + d]);
    }
    weight = warp_sum(weight) / many;
    for (int d = 0; d < 3; ++d) arm[d] = warp_sum(arm[d]) * (shape[S_MASS] / many);
    crossed(arm, acceleration, torque);
    rotate(inverse, torque, change);
    for (int d = 0; d < 3; ++d) linear[d] += dt * weight * acceleration[d], spin[d] += dt * change[d];
}

FN void support_of(const Problem& p, const double* shape, const double* body, int i, double* arm) {
    rotate(body + B_TURN, p.support + 3 * ((int)shape[S_SUPPORT] + i), arm);
}

struct Contacts {
    double arm[MAX_CONTACTS][3], gap[MAX_CONTACTS], total[MAX_CONTACTS][3], effective[MAX_CONTACTS][3];
    int many;
};

// The lowest point of those that come near the table, then always the one farthest from those chosen.
FN void choose(const Problem& p, const double* body, const double* shape, const double* linear, const double* spin,
               double dt, Contacts& c) {
    const int all = (int)shape[S_SUPPORTS], lane = threadIdx.x & 31;
    c.many = 0;
    while (c.many < MAX_CONTACTS) {
        double best = -1e30;
        int which = 1 << 30;
        for (int i = lane; i < all; i += 32) {
            double arm[3], fall[3], value;
            support_of(p, shape, body, i, arm);
            crossed(spin, arm, fall);
            double gap = arm[2] + body[B_POSITION + 2];
            if (!(gap + dt * fmin(linear[2] + fall[2], 0.0) < CONTACT_M)) continue;
            value = -gap;
            if (c.many) {
                value = 1e30;
                for (int k = 0; k < c.many; ++k) {
                    double square = 0.0;
                    for (int d = 0; d < 3; ++d) square += (arm[d] - c.arm[k][d]) * (arm[d] - c.arm[k][d]);
                    value = fmin(value, sqrt(square));
                }
            }
            if (value > best) best = value, which = i;
        }
        which = warp_first_greatest(best, which);
        if (which == 1 << 30 || (c.many && best <= 1e-9)) break;
        support_of(p, shape, body, which, c.arm[c.many]);
        c.gap[c.many] = c.arm[c.many][2] + body[B_POSITION + 2];
        ++c.many;
    }
}

// Contact with the plane z = 0: impulses, Gauss-Seidel, Coulomb friction. False where nothing comes near.
SLOW bool land(const Problem& p, const double* body, const double* shape, const double* inverse, double friction,
               double dt, double* linear, double* spin) {
    Contacts c;
    choose(p, body, shape, linear, spin, dt, c);
    if (!c.many) return false;
    const double lightness = 1.0 / shape[S_MASS];
    for (int k = 0; k < c.many; ++k)
        for (int a = 0; a < 3; ++a) {
            // The diagonal of 1/m - [r]x I^-1 [r]x: how the point gives way to an impulse along an axis.
            double axis[3] = {a == 0 ? 1.0 : 0.0, a == 1 ? 1.0 : 0.0, a == 2 ? 1.0 : 0.0}, turn[3], rate[3];
            crossed(c.arm[k], axis, turn);
            rotate(inverse, turn, rate);
            c.effective[k][a] = 1.0 / (lightness + turn[0] * rate[0] + turn[1] * rate[1] + turn[2] * rate[2]);
            c.total[k][a] = 0.0;
        }
    for (int sweep = 0; sweep < CONTACT_SWEEPS; ++sweep)
        for (int k = 0; k < c.many; ++k) {
            const double* r = c.arm[k];
            double v[3], wanted[3], change[3], turn[3], rate[3], gap = c.gap[k];
            crossed(spin, r, v);
            double target = gap >= 0.0 ? -gap / dt : fmin(-0.1 * gap / dt, 0.2);
            for (int a = 0; a < 3; ++a)
                wanted[a] = c.total[k][a] + c.effective[k][a] * ((a == 2 ? target : 0.0) - (linear[a] + v[a]));
            wanted[2] = fmax(wanted[2], 0.0);
            double slide = sqrt(wanted[0] * wanted[0] + wanted[1] * wanted[1]), most = friction * wanted[2];
            if (slide > most) wanted[0] *= most / slide, wanted[1] *= most / slide;
            for (int a = 0; a < 3; ++a) change[a] = wanted[a] - c.total[k][a], c.total[k][a] = wanted[a];
            crossed(r, change, turn);
            rotate(inverse, turn, rate);
            for (int a = 0; a < 3; ++a) linear[a] += lightness * change[a], spin[a] += rate[a];
        }
    double load = 0.0, height = 0.0, size = sqrt(spin[0] * spin[0] + spin[1] * spin[1] + spin[2] * spin[2]);
    bool any = false;
    for (int k = 0; k < c.many; ++k) load += c.total[k][2], height -= c.arm[k][2], any = any || c.total[k][2] != 0.0;
    if (any && size > 0.0) {
        double axis[3], rate[3], slower = fmax(0.0, 1.0 - ROLLING_DAMPING * dt);
        for (int a = 0; a < 3; ++a) axis[a] = slower * spin[a] / size;
        rotate(inverse, axis, rate);
        double give = axis[0] * rate[0] + axis[1] * rate[1] + axis[2] * rate[2];
        slower *= fmax(0.0, 1.0 - ROLLING_RESISTANCE * (height / c.many * load) * give / size);
        for (int a = 0; a < 3; ++a) spin[a] *= slower;
    }
    return true;
}

FN void world_inverse(const double* body, const double* shape, double* out) {  // of the inertia, in the world's frame
    double half[9];
    for (int i = 0; i < 3; ++i)
        for (int j = 0; j < 3; ++j) {
            half[3 * i + j] = 0.0;
            for (int k = 0; k < 3; ++k) half[3 * i + j] += body[B_TURN + 3 * i + k] * shape[S_INVERSE + 3 * k + j];
        }
    for (int i = 0; i < 3; ++i)
        for (int j = 0; j < 3; ++j) {
            out[3 * i + j] = 0.0;
            for (int k = 0; k < 3; ++k) out[3 * i + j] += half[3 * i + k] * body[B_TURN + 3 * j + k];
        }
}

// Prepares a body for the step [t, t + dt]; bodies.py: RigidBody.act.
SLOW void act(const Problem& p, int world, int b, double* body, double t) {
    const double *shape = p.shapes + b * SHAPE_SIZE, dt = p.step;
    double now[13], middle = t + 0.5 * dt;
    for (int n = 0; n < 13; ++n) now[n] = body[n];
    int chosen = -1;
    for (int n = 0; n < p.tools && chosen < 0; ++n) {
        const double* tool = p.tool_rows + ((long long)world * p.tools + n) * TOOL_SIZE;
        if ((int)tool[T_BODY] == b && tool[T_START] <= middle && middle < tool[T_END]) chosen = n;
    }
    bool held = chosen >= 0 || shape[S_TOOL] > 0.5;
    __syncwarp();
    if ((threadIdx.x & 31) == 0) body[B_HELD] = held ? HELD_ARMATURE : 0.0;
    if (chosen >= 0) {
        volatile double* tool = p.tool_rows + ((long long)world * p.tools + chosen) * TOOL_SIZE;
        const double* keys = p.key_rows + ((long long)world * p.tools + chosen) * p.keys * KEY_SIZE;
        // The blocks of a cluster all do this, with the same pose: who finds it anchored finds the whole anchor. Another
        // may write it just now: a warp's lanes go one way together.
        bool anchored = !__any_sync(0xffffffffu, !(tool[T_ANCHORED] > 0.5));
        if (anchored) {
            __threadfence();
            for (int n = 0; n < 7; ++n) now[n] = tool[T_ANCHOR + n];
        } else {
            if ((threadIdx.x & 31) == 0) {
                for (int n = 0; n < 7; ++n) tool[T_ANCHOR + n] = now[n];
                __threadfence();
                tool[T_ANCHORED] = 1.0;
            }
            __syncwarp();
        }
        follow((const double*)tool, keys, now, t, dt, body);
        return;
    }
    double linear[3], spin[3], none[3] = {0, 0, 0}, inverse[9];
    if (held) {
        put(body, now, none, none);
        return;
    }
    for (int d = 0; d < 3; ++d) linear[d] = now[B_LINEAR + d], spin[d] = now[B_SPIN + d];
    world_inverse(body, shape, inverse);
    for (int n = 0; n < p.actions; ++n) {
        const double* a = p.schedule + ((long long)world * p.actions + n) * ACTION_SIZE;
        double part = share_of_step(a, t, dt), acceleration[3];
        int whom = (int)a[WHOM];
        if (part == 0.0 || (whom >= 0 && whom != p.entities + b)) continue;
        if (a[SHARED] > 0.5) part = a[INSIDE] > 0.0 ? part / a[INSIDE] : 0.0;
        for (int d = 0; d < 3; ++d) acceleration[d] = a[VECTOR + d] * part;
        force(p, a, acceleration, body, shape, inverse, dt, linear, spin);
    }
    double friction = p.units[world * UNITS_SIZE + FRICTION];
    if (!land(p, body, shape, inverse, friction, dt, linear, spin))
        // The engine goes the whole step with the velocity of its end: back by half of what a force adds, so that a
        // free body falls exactly.
        for (int d = 0; d < 3; ++d) now[d] -= 0.5 * dt * (linear[d] - body[B_LINEAR + d]);
    put(body, now, linear, spin);
}

// After a step: the impulse of its last substep (body: FORCE, TORQUE); out of the table, where deformables have pressed
// it in. bodies.py: RigidBody.settle.
SLOW void settle(const Problem& p, int b, double* body) {
    const double* shape = p.shapes + b * SHAPE_SIZE;
    if (body[B_HELD] > 0.0) return;
    double h = p.step / p.substeps, lowest = 1e30, linear[3], spin[3], pose[7], inverse[9], rate[3];
    for (int i = threadIdx.x & 31; i < (int)shape[S_SUPPORTS]; i += 32) {
        double arm[3];
        support_of(p, shape, body, i, arm);
        lowest = fmin(lowest, arm[2] + body[B_POSITION + 2]);
    }
    lowest = warp_least(lowest);
    bool given = false;
    for (int n = 0; n < 6; ++n) given = given || body[B_FORCE + n] != 0.0;
    if (!given && lowest >= -CONTACT_M) return;
    world_inverse(body, shape, inverse);
    rotate(inverse, body + B_TORQUE, rate);
    for (int n = 0; n < 7; ++n) pose[n] = body[n];
    for (int d = 0; d < 3; ++d) {
        linear[d] = body[B_LINEAR + d] + h * body[B_FORCE + d] / shape[S_MASS];
        spin[d] = body[B_SPIN + d] + h * rate[d];
    }
    if (lowest < -CONTACT_M) {
        pose[2] -= lowest;
        linear[2] = fmax(linear[2], 0.0);
    }
    put(body, pose, linear, spin);
}

// The mass of bodies [kg] that an action's region holds, a thread's share in units.
FN long long bodies_inside(const Problem& p, const double* a, int whom, const double* bodies, double unit) {
    long long sum = 0;
    for (int b = 0; b < p.bodies; ++b) {
        const double* shape = p.shapes + b * SHAPE_SIZE;
        const int many = (int)shape[S_RESTS];
        if (whom >= 0 && whom != p.entities + b) continue;
        for (int i = threadIdx.x; i < many; i += blockDim.x) {
            double x[3];
            particle_of(bodies + b * BODY_SIZE, p.rest + 3 * ((int)shape[S_REST] + i), x);
            double weight = a[RADIUS] > 0.0 ? felt_exactly(a, x) : 1.0;
            sum += __double2ll_rn(weight * (shape[S_MASS] / many) * unit);
        }
    }
    return sum;
}
