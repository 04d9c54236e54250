// One particle of a substep.

FN void read(const float* state, int stride, int first, int count, float* out) {
#pragma unroll
    for (int n = 0; n < count; ++n) out[n] = state[(first + n) * stride];
}

FN void write(float* state, int stride, int first, int count, const float* in) {
#pragma unroll
    for (int n = 0; n < count; ++n) state[(first + n) * stride] = in[n];
}

// One particle from velocities at nodes to shares at nodes. GATHER ends a substep, SCATTER begins the next.
template <class Grid>
FN int pass(const Problem& p, bool GATHER, bool SCATTER, const float* rows, const float* units, float* state,
            const Window& from, const Grid& old, const Window& to, Grid& fresh, Reach& reach) {
    const int stride = p.stride;
    float x[3], v[3], c[9];
    bool astray = false, sound = true;
    Stencil s;
    read(state, stride, POSITION, 3, x);
    if (GATHER) {
        s.at(p, x);
        int first = s.place(from, astray);
        gather(p, s, from, first, old, v, c);
#pragma unroll
        for (int d = 0; d < 3; ++d) {
            x[d] = fmaf(p.substep, v[d], x[d]);
            sound = sound && fabsf(x[d]) < 1e8f;
            if ((x[d] >= p.high_wall[d] && v[d] > 0.0f) || (x[d] <= p.low_wall[d] && v[d] < 0.0f)) v[d] = 0.0f;
            x[d] = fmaxf(fminf(x[d], p.high_wall[d]), p.low_wall[d]);
        }
        write(state, stride, POSITION, 3, x);
        if (!SCATTER) {
            write(state, stride, VELOCITY, 3, v);
            write(state, stride, AFFINE, 9, c);
        } else {
            reach.add(p, x, v, p.substep);
        }
    } else {
        read(state, stride, VELOCITY, 3, v);
        read(state, stride, AFFINE, 9, c);
        // Not-a-number would become a momentum of 0 on the grid, and the particle would be sound again.
#pragma unroll
        for (int n = 0; n < 9; ++n) sound = sound && fabsf(c[n]) < 1e12f && fabsf(v[n % 3]) < 1e8f;
    }
    if (SCATTER) {
        float f[9], next[9], packed = state[PACKED * stride], stress[9], momentum[3], mass = rows[MASS];
        read(state, stride, DEFORMATION, 9, f);
        advance_deformation(p.substep, c, f, next);
        sound = apply_law(rows, next, packed, stress) && sound;
        write(state, stride, DEFORMATION, 9, next);
        state[PACKED * stride] = packed;
        float scale = -4.0f * p.substep * p.volume * p.per_cell * p.per_cell;
#pragma unroll
        for (int n = 0; n < 9; ++n) stress[n] = fmaf(scale, stress[n], mass * c[n]);
#pragma unroll
        for (int d = 0; d < 3; ++d) momentum[d] = mass * v[d];
        s.at(p, x);
        int first = s.place(to, astray);
        scatter(p, s, to, first, mass, momentum, stress, units, fresh);
    }
    return sound && !astray ? 0 : UNSTABLE;
}
