// Between particles and grid: quadratic B-splines, APIC, sums in whole numbers.
//
// A node holds mass and momentum as 32-bit integers in units that suit its world (tables.py). Sums of integers do not
// depend on their order, so a world gives the same bits whatever threads, batches and devices do.

static const float MARGIN = 0.25f;  // of a cell: how far a particle may go astray of where its velocity leads it

struct Window {
    int low[3], size[3];
    FN int nodes() const { return size[0] * size[1] * size[2]; }
};

// The window that the three words of `first` and `last` name, within the domain. No particle: no node.
FN Window window_of(const Problem& p, const int* words) {
    Window w;
#pragma unroll
    for (int d = 0; d < 3; ++d) {
        int low = max(words[d], p.lowest[d]), high = min(words[3 + d], p.lowest[d] + p.nodes[d] - 1);
        w.low[d] = low;
        w.size[d] = max(high - low + 1, 0);
    }
    return w;
}

struct Reach {  // what a thread's particles touch
    int low[3], high[3];
    FN void clear() {
#pragma unroll
        for (int d = 0; d < 3; ++d) low[d] = 1 << 29, high[d] = -(1 << 29);
    }
    // The stencil at x, and with `ahead` [s] also where v leads in twice that time, by a margin wider.
    FN void add(const Problem& p, const float* x, const float* v, float ahead) {
#pragma unroll
        for (int d = 0; d < 3; ++d) {
            float here = x[d] * p.per_cell - 0.5f, slack = 0.0f, there = here;
            if (ahead > 0.0f) there = fmaf(2.0f * ahead * v[d], p.per_cell, here), slack = MARGIN;
            // Far beyond the domain an integer would overflow; not-a-number becomes its lower end.
            float first = fminf(fmaxf(fminf(here, there) - slack, -1e8f), 1e8f);
            float last = fminf(fmaxf(fmaxf(here, there) + slack, -1e8f), 1e8f);
            low[d] = min(low[d], (int)floorf(first));
            high[d] = max(high[d], (int)floorf(last) + 2);
        }
    }
};

struct Stencil {
    int base[3];
    float fx[3], w[3][3];
    FN void at(const Problem& p, const float* x) {
#pragma unroll
        for (int d = 0; d < 3; ++d) {
            float scaled = x[d] * p.per_cell, floored = floorf(scaled - 0.5f), f = scaled - floored;
            base[d] = (int)floored;
            fx[d] = f;
            w[0][d] = 0.5f * (1.5f - f) * (1.5f - f);
            w[1][d] = fmaf(-(f - 1.0f), f - 1.0f, 0.75f);
            w[2][d] = 0.5f * (f - 0.5f) * (f - 0.5f);
        }
    }
    // Index of its first node in the window; one that hangs out is moved in, and said to be astray.
    FN int place(const Window& win, bool& astray) const {
        int at[3];
#pragma unroll
        for (int d = 0; d < 3; ++d) {
            int offset = base[d] - win.low[d], most = max(win.size[d] - 3, 0);
            at[d] = min(max(offset, 0), most);
            astray |= at[d] != offset;
        }
        return (at[0] * win.size[1] + at[1]) * win.size[2] + at[2];
    }
};

// A particle's share for its 27 nodes. momentum: its own, and affine: [kg/s] so that affine * (node - x) is added.
template <class Grid>
FN void scatter(const Problem& p, const Stencil& s, const Window& win, int first, float mass, const float* momentum,
                const float* affine, const float* units, Grid& grid) {
    float scale = units[MOMENTUM_UNITS], m = mass * units[MASS_UNITS];
    float a[9], start[3];
    // What rounding takes from the others, the middle node gets: a particle's mass and momentum arrive whole. (Most of
    // the 27 shares are tiny, and rounding them to the nearest would lose more than it adds.)
    int rest[4] = {__float2int_rn(m), 0, 0, 0}, middle = 0;
#pragma unroll
    for (int i = 0; i < 3; ++i) {
        float sum = momentum[i] * scale;
        rest[1 + i] = __float2int_rn(sum);
#pragma unroll
        for (int j = 0; j < 3; ++j) {
            a[3 * i + j] = affine[3 * i + j] * p.cell * scale;
            sum = fmaf(-a[3 * i + j], s.fx[j], sum);
        }
        start[i] = sum;
    }
#pragma unroll
    for (int i = 0; i < 3; ++i)
#pragma unroll
        for (int j = 0; j < 3; ++j) {
            float share = s.w[i][0] * s.w[j][1], here[3];
#pragma unroll
            for (int d = 0; d < 3; ++d) here[d] = fmaf((float)i, a[3 * d], fmaf((float)j, a[3 * d + 1], start[d]));
            int node = first + (i * win.size[1] + j) * win.size[2];
#pragma unroll
            for (int k = 0; k < 3; ++k) {
                if (i == 1 && j == 1 && k == 1) {
                    middle = node + k;
                } else {
                    float weight = share * s.w[k][2];
                    int sums[4] = {__float2int_rn(weight * m), __float2int_rn(weight * here[0]),
                                   __float2int_rn(weight * here[1]), __float2int_rn(weight * here[2])};
                    grid.add(node + k, sums[0], sums[1], sums[2], sums[3]);
#pragma unroll
                    for (int d = 0; d < 4; ++d) rest[d] -= sums[d];
                }
#pragma unroll
                for (int d = 0; d < 3; ++d) here[d] += a[3 * d + 2];
            }
        }
    grid.add(middle, rest[0], rest[1], rest[2], rest[3]);
}

// Velocity [m/s] and C [1/s] of a particle from its nodes' velocities.
template <class Grid>
FN void gather(const Problem& p, const Stencil& s, const Window& win, int first, const Grid& grid, float* velocity,
               float* affine) {
#pragma unroll
    for (int d = 0; d < 3; ++d) velocity[d] = 0.0f;
#pragma unroll
    for (int n = 0; n < 9; ++n) affine[n] = 0.0f;
#pragma unroll
    for (int i = 0; i < 3; ++i) {
        float plane[3] = {0, 0, 0}, plane_y[3] = {0, 0, 0}, plane_z[3] = {0, 0, 0};
#pragma unroll
        for (int j = 0; j < 3; ++j) {
            int node = first + (i * win.size[1] + j) * win.size[2];
            float line[3] = {0, 0, 0}, line_z[3] = {0, 0, 0};
#pragma unroll
            for (int k = 0; k < 3; ++k) {
                float v[3], weight = s.w[k][2], arm = weight * ((float)k - s.fx[2]);
                grid.velocity(node + k, v);
#pragma unroll
                for (int d = 0; d < 3; ++d) {
                    line[d] = fmaf(weight, v[d], line[d]);
                    line_z[d] = fmaf(arm, v[d], line_z[d]);
                }
            }
            float weight = s.w[j][1], arm = weight * ((float)j - s.fx[1]);
#pragma unroll
            for (int d = 0; d < 3; ++d) {
                plane[d] = fmaf(weight, line[d], plane[d]);
                plane_y[d] = fmaf(arm, line[d], plane_y[d]);
                plane_z[d] = fmaf(weight, line_z[d], plane_z[d]);
            }
        }
        float weight = s.w[i][0], arm = weight * ((float)i - s.fx[0]);
#pragma unroll
        for (int d = 0; d < 3; ++d) {
            velocity[d] = fmaf(weight, plane[d], velocity[d]);
            affine[3 * d] = fmaf(arm, plane[d], affine[3 * d]);
            affine[3 * d + 1] = fmaf(weight, plane_y[d], affine[3 * d + 1]);
            affine[3 * d + 2] = fmaf(weight, plane_z[d], affine[3 * d + 2]);
        }
    }
    float scale = 4.0f * p.per_cell;
#pragma unroll
    for (int n = 0; n < 9; ++n) affine[n] *= scale;
}

// How much of an action is felt at x: actions.py has the same.
FN float felt(const float* slot, const float* x) {
    float radius = slot[6];
    if (!(radius > 0.0f)) return 1.0f;
    float d[3] = {x[0] - slot[3], x[1] - slot[4], x[2] - slot[5]};
    float r = sqrtf(dot3(d, d)) / radius;
    if (r >= 1.0f) return 0.0f;
    if (slot[7] > 1.5f) return expf(-4.5f * r * r);
    return slot[7] > 0.5f ? 1.0f - r : 1.0f;
}

// What stands at a node after the substep's forces, the floor, the bodies and the walls. sums: mass and momentum, in
// units. `mine`: what the bodies get from it is added to `given`.
FN bool node_velocity(const Problem& p, const float* units, const float* slots, int count, const int* node,
                      const int* sums, const Near* near, bool mine, Given& given, float* v) {
    v[0] = v[1] = v[2] = 0.0f;
    if (sums[0] <= 0) return sums[0] == 0;
    float x[3], share = units[MASS_UNITS] / (units[MOMENTUM_UNITS] * (float)sums[0]);
#pragma unroll
    for (int d = 0; d < 3; ++d) v[d] = (float)sums[1 + d] * share, x[d] = (float)node[d] * p.cell;
    float total[3] = {0, 0, 0};
    for (int n = 0; n < count; ++n) {
        float weight = felt(slots + 8 * n, x);
#pragma unroll
        for (int d = 0; d < 3; ++d) total[d] = fmaf(weight, slots[8 * n + d], total[d]);
    }
#pragma unroll
    for (int d = 0; d < 3; ++d) v[d] = fmaf(p.substep, total[d], v[d]);
    if (x[2] <= 0.0f && v[2] < 0.0f) {  // the table: Coulomb friction, no rebound
        float slide = sqrtf(fmaf(v[0], v[0], fmaf(v[1], v[1], SMALL)));
        float kept = fmaxf(0.0f, fmaf(v[2], units[FRICTION], slide)) / slide;
        v[0] *= kept, v[1] *= kept, v[2] = 0.0f;
    }
    for (int b = 0; b < p.bodies; ++b) {
        float impulse[6];
        bool met = meet(near[b], p.samples, x, (float)sums[0] / units[MASS_UNITS], v, impulse);
        if (met && mine) given.add(b, impulse, impulse_units(units));
    }
#pragma unroll
    for (int d = 0; d < 3; ++d)
        if ((x[d] >= p.high_wall[d] && v[d] > 0.0f) || (x[d] <= p.low_wall[d] && v[d] < 0.0f)) v[d] = 0.0f;
    return true;
}

FN void locate(const Window& win, int index, int* node) {
    int rest = index / win.size[2];
    node[2] = index - rest * win.size[2] + win.low[2];
    node[0] = rest / win.size[1] + win.low[0];
    node[1] = rest % win.size[1] + win.low[1];
}
