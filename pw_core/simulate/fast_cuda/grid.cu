// Many blocks share a world, a launch a stage, its grid in device memory: for worlds too large for shared memory, and for
// few worlds on GPUs without clusters.

struct FarGrid {  // (nodes, 4) in device memory: two sums in one 64-bit addition
    int4* nodes;
    FN static unsigned long long both(int low, int high) {
        return ((unsigned long long)(unsigned)high << 32) + (unsigned long long)(long long)low;
    }
    FN void add(int node, int m, int x, int y, int z) {
        unsigned long long* words = (unsigned long long*)(nodes + node);
        atomicAdd(words, both(m, x));
        atomicAdd(words + 1, both(y, z));
    }
    FN static int4 sums(int4 raw) {  // a low half that is negative has borrowed from the high one
        raw.y += raw.x < 0;
        raw.w += raw.z < 0;
        return raw;
    }
    FN void velocity(int node, float* v) const {
        float4 raw = *(const float4*)(nodes + node);
        v[0] = raw.x, v[1] = raw.y, v[2] = raw.z;
    }
};

FN FarGrid far_grid(const Problem& p, int world, int which) {
    return FarGrid{(int4*)p.grid + ((long long)world * 2 + which) * p.spare_nodes};
}

extern "C" __global__ void __launch_bounds__(512) begin(const __grid_constant__ Problem p, int offset) {
    __shared__ int windows[24], count;
    __shared__ long long scratch[32];
    const int world = blockIdx.x;
    int fault = p.status[world];
    if (!(fault & (UNSTABLE | SPREAD)))
        fault |= begin_step(p, Cluster{0, 1}, 0, p.particles, world, *p.time + offset,
                            p.slots + (long long)world * p.actions * 8, &count, windows, scratch,
                            p.body_rows + (long long)world * p.bodies * BODY_SIZE);
    else if (threadIdx.x == 0) {
        count = 0;
        for (int n = 0; n < 3; ++n) close(windows + 8 * n);
    }
    __syncthreads();
    int size = window_of(p, windows).nodes();
    FarGrid fresh = far_grid(p, world, 0);
    for (int n = threadIdx.x; n < size; n += blockDim.x) fresh.nodes[n] = make_int4(0, 0, 0, 0);
    if (threadIdx.x < 24) p.windows[world * 24 + threadIdx.x] = windows[threadIdx.x];
    if (threadIdx.x == 0) {
        p.counts[world] = count;
        if (fault) atomicOr(p.status + world, fault);
    }
}

template <bool GATHER, bool SCATTER>
FN void particles(const Problem& p, int substep) {
    __shared__ int reached[6];
    const int world = blockIdx.y, i = blockIdx.x * blockDim.x + threadIdx.x;
    int* windows = p.windows + world * 24;
    Window from = window_of(p, windows + substep % 3 * 8), to = window_of(p, windows + (GATHER ? substep + 1 : substep) % 3 * 8);
    if (from.nodes() == 0) return;
    if (GATHER && SCATTER && threadIdx.x == 0) close(reached);
    if (GATHER && SCATTER) __syncthreads();
    Reach reach;
    reach.clear();
    if (i < p.particles && p.active[(long long)world * p.stride + i] && p.entity[i] >= 0) {
        FarGrid old = far_grid(p, world, substep & 1), fresh = far_grid(p, world, (GATHER ? substep + 1 : substep) & 1);
        const float* row = p.rows + (world * p.entities + p.entity[i]) * ROW_SIZE;
        float* state = p.state + (long long)world * STATE_SIZE * p.stride + i;
        int fault = pass(p, GATHER, SCATTER, row, p.units + world * UNITS_SIZE, state, from, old, to, fresh, reach);
        if (fault) atomicOr(p.status + world, fault);
    }
    if (GATHER && SCATTER) {
        __syncwarp();
        widen(reached, reach);
        __syncthreads();
        int* after = windows + (substep + 2) % 3 * 8;
        if (threadIdx.x < 3) atomicMin(after + threadIdx.x, reached[threadIdx.x]);
        else if (threadIdx.x < 6) atomicMax(after + threadIdx.x, reached[threadIdx.x]);
    }
}

extern "C" __global__ void __launch_bounds__(PARTICLE_THREADS) scatter_first(const __grid_constant__ Problem p, int substep) {
    particles<false, true>(p, substep);
}

extern "C" __global__ void __launch_bounds__(PARTICLE_THREADS) exchange(const __grid_constant__ Problem p, int substep) {
    particles<true, true>(p, substep);
}

extern "C" __global__ void __launch_bounds__(PARTICLE_THREADS) gather_last(const __grid_constant__ Problem p, int substep) {
    particles<true, false>(p, substep);
}

extern "C" __global__ void nodes(const __grid_constant__ Problem p, int substep) {
    const int world = blockIdx.y;
    const bool last = substep + 1 == p.substeps;
    int* windows = p.windows + world * 24;
    Window now = window_of(p, windows + substep % 3 * 8), then = window_of(p, windows + (substep + 1) % 3 * 8);
    if (blockIdx.x == 0 && threadIdx.x == 0) close(windows + (substep + 2) % 3 * 8);
    FarGrid sums = far_grid(p, world, substep & 1), next = far_grid(p, world, ~substep & 1);
    const float *slots = p.slots + (long long)world * p.actions * 8, *units = p.units + world * UNITS_SIZE;
    long long* sums_of_bodies = p.given + ((long long)world * 2 + (substep & 1)) * 6 * p.bodies;
    Given given;
    given.clear(p.bodies);
    const int count = p.counts[world], many = now.nodes(), empty = last ? 0 : then.nodes(), all = gridDim.x * blockDim.x;
    for (int n = blockIdx.x * blockDim.x + threadIdx.x; n < max(many, empty); n += all) {
        if (n < empty) next.nodes[n] = make_int4(0, 0, 0, 0);
        if (n >= many) continue;
        int node[3];
        float v[3];
        locate(now, n, node);
        int4 raw = FarGrid::sums(sums.nodes[n]);
        if (!node_velocity(p, units, slots, count, node, (int*)&raw, p.near + world * p.bodies, true, given, v))
            atomicOr(p.status + world, UNSTABLE);
        *(float4*)(sums.nodes + n) = make_float4(v[0], v[1], v[2], 0.0f);
    }
    hand_over(p, given, sums_of_bodies);
}

// A warp for a world's bodies: what they got in the substep before acts in this one; after the last they settle.
extern "C" __global__ void bodies(const __grid_constant__ Problem p, int substep) {
    const int world = blockIdx.x;
    const Cluster alone = {0, 1};
    double* rows = p.body_rows + (long long)world * p.bodies * BODY_SIZE;
    long long* given = p.given + (long long)world * 12 * p.bodies;
    long long *old = given + (~substep & 1) * 6 * p.bodies, *fresh = given + (substep & 1) * 6 * p.bodies;
    if (p.status[world] & (UNSTABLE | SPREAD)) return;
    if (substep < p.substeps) {
        for (int b = 0; b < p.bodies; ++b)
            go_on(p, alone, world, b, substep > 0, old + 6 * b, fresh + 6 * b, rows + b * BODY_SIZE,
                  p.near[world * p.bodies + b]);
        return;
    }
    for (int b = 0; b < p.bodies; ++b) {
        receive(p, alone, world, old + 6 * b, rows + b * BODY_SIZE);
        settle(p, b, rows + b * BODY_SIZE);
    }
}
