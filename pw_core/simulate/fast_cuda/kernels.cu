// One world's particles and nodes, and the kernels. `advance_worlds` takes a cluster of blocks (one, where there are
// worlds enough) through a whole rollout of a world, grids in shared memory; `begin`, `particles` and `nodes` share a
// large world among many blocks, a launch a stage.

struct SharedGrid {  // (4, capacity) in shared memory; nodes beyond it in `rest` (4, more)
    int *near, *far, capacity, more;
    FN int* at(int node, int part) const {
        return node < capacity ? near + part * capacity + node : far + part * more + node - capacity;
    }
    FN void add(int node, int m, int x, int y, int z) {
        atomicAdd(at(node, 0), m), atomicAdd(at(node, 1), x), atomicAdd(at(node, 2), y), atomicAdd(at(node, 3), z);
    }
    FN void velocity(int node, float* v) const {
#pragma unroll
        for (int d = 0; d < 3; ++d) v[d] = __int_as_float(*at(node, 1 + d));
    }
};

struct NearGrid {  // all of a world's nodes in shared memory
    int *near, capacity;
    FN void add(int node, int m, int x, int y, int z) {
        atomicAdd(near + node, m);
        atomicAdd(near + capacity + node, x);
        atomicAdd(near + 2 * capacity + node, y);
        atomicAdd(near + 3 * capacity + node, z);
    }
    FN void velocity(int node, float* v) const {
#pragma unroll
        for (int d = 0; d < 3; ++d) v[d] = __int_as_float(near[(1 + d) * capacity + node]);
    }
};

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

FN void widen(int* words, const Reach& reach) {  // by a warp whose lanes are all here
#pragma unroll
    for (int d = 0; d < 3; ++d) {
        int low = __reduce_min_sync(0xffffffffu, reach.low[d]), high = __reduce_max_sync(0xffffffffu, reach.high[d]);
        if ((threadIdx.x & 31) == 0) atomicMin(words + d, low), atomicMax(words + 3 + d, high);
    }
}

FN void close(int* words) {
#pragma unroll
    for (int d = 0; d < 3; ++d) words[d] = 1 << 29, words[3 + d] = -(1 << 29);
}

// The sum of `value` over a block. All threads get it.
FN long long block_sum(long long value, long long* scratch) {
#pragma unroll
    for (int n = 16; n; n >>= 1) value += __shfl_xor_sync(0xffffffffu, value, n);
    __syncthreads();
    if ((threadIdx.x & 31) == 0) scratch[threadIdx.x >> 5] = value;
    __syncthreads();
    long long sum = 0;
    for (int n = 0; n < (int)(blockDim.x >> 5); ++n) sum += scratch[n];
    return sum;
}

// Blocks of a cluster read and write each other's shared memory. Where there is one block, a cluster is that block.
struct Cluster {
    int rank, size;
#if __CUDA_ARCH__ >= 900
    FN static Cluster here() {
        Cluster c;
        asm("mov.u32 %0, %%cluster_ctarank;" : "=r"(c.rank));
        asm("mov.u32 %0, %%cluster_nctarank;" : "=r"(c.size));
        return c;
    }
    FN void barrier() const {
        if (size == 1) {
            __syncthreads();
        } else {
            asm volatile("barrier.cluster.arrive.release.aligned;" ::: "memory");
            asm volatile("barrier.cluster.wait.acquire.aligned;" ::: "memory");
        }
    }
    FN int* of(int other, int* mine) const {
        unsigned long long address;
        asm("mapa.u64 %0, %1, %2;" : "=l"(address) : "l"((unsigned long long)mine), "r"(other));
        return (int*)address;
    }
#else
    FN static Cluster here() { return Cluster{0, 1}; }
    FN void barrier() const { __syncthreads(); }
    FN int* of(int, int* mine) const { return mine; }
#endif
    // Windows that every block has widened for its own particles become those of all. Barriers stand on both sides.
    FN void agree(int* words) const {
        if (size == 1) return;
        int other = threadIdx.x >> 3, word = threadIdx.x & 7;
        if (other >= size || other == rank || word >= 6) return;
        if (word < 3) atomicMin(of(other, words) + word, words[word]);
        else atomicMax(of(other, words) + word, words[word]);
    }
};

enum Action { VECTOR = 0, CENTRE = 3, RADIUS = 6, FALLOFF = 7, START = 8, END = 9, KIND = 10, WHOM = 11, SHARED = 12,
              INSIDE = 13, ACTION_SIZE = 16 };
enum Kind { UNUSED = 0, STEADY = 1, HALF_SINE = 2 };

// The mean of an action's time course over [t, t + dt]; actions.py: mean_profile.
FN double share_of_step(const double* a, double t, double dt) {
    double from = fmax(t, a[START]), to = fmin(t + dt, a[END]);
    if (a[KIND] == UNUSED || to <= from) return 0.0;
    if (a[KIND] == HALF_SINE) {
        double w = 3.14159265358979323846 / (a[END] - a[START]);
        return (cos(w * (from - a[START])) - cos(w * (to - a[START]))) / (w * dt);
    }
    return from == t && to == t + dt ? 1.0 : (to - from) / dt;
}

// A block begins a world's step for particles `from` to `to`: what is in force (slots, count), impulses on single
// entities, masses that pushes share, and what particles touch now and will touch after a substep (two windows).
FN int begin_step(const Problem& p, const Cluster& cluster, int from, int to, int world, int steps, float* slots,
                  int* count, int* windows, long long* scratch) {
    double t = steps * p.step;
    float* state = p.state + (long long)world * STATE_SIZE * p.stride;
    const unsigned char* active = p.active + (long long)world * p.stride;
    const float* rows = p.rows + world * p.entities * ROW_SIZE;
    int used = 0, fault = 0;
    for (int n = 0; n < p.actions; ++n) {
        double* a = p.schedule + ((long long)world * p.actions + n) * ACTION_SIZE;
        double part = share_of_step(a, t, p.step);
        if (part == 0.0) continue;
        float slot[8];
#pragma unroll
        for (int k = 0; k < 5; ++k) slot[3 + k] = (float)a[CENTRE + k];
        int whom = (int)a[WHOM];
        if (a[SHARED] > 0.5) {
            double inside = a[INSIDE];
            if (!(inside > 0.0)) {
                // In whole numbers, like all sums here; fine enough for 2^20 of the heaviest.
                double unit = (double)p.units[world * UNITS_SIZE + MASS_UNITS] * 1048576.0;
                long long sum = 0;
                for (int i = threadIdx.x; i < p.particles; i += blockDim.x) {
                    int e = p.entity[i];
                    if (e < 0 || (whom >= 0 && e != whom)) continue;
                    float x[3];
                    read(state + i, p.stride, POSITION, 3, x);
                    sum += __double2ll_rn((double)felt(slot, x) * rows[e * ROW_SIZE + MASS] * unit);
                }
                inside = (double)block_sum(sum, scratch) / unit;
                if (threadIdx.x == 0) a[INSIDE] = inside;
            }
            if (inside > 0.0) part /= inside;
            else part = 0.0, fault = EMPTY_PUSH;
        }
#pragma unroll
        for (int d = 0; d < 3; ++d) slot[d] = (float)(a[VECTOR + d] * part);
        if (whom < 0) {
            if (threadIdx.x == 0)
#pragma unroll
                for (int k = 0; k < 8; ++k) slots[8 * used + k] = slot[k];
            ++used;
        } else {
            for (int i = from + threadIdx.x; i < to; i += blockDim.x) {
                if (p.entity[i] != whom) continue;
                float x[3], v[3];
                read(state + i, p.stride, POSITION, 3, x);
                read(state + i, p.stride, VELOCITY, 3, v);
                float weight = (float)p.step * felt(slot, x);
#pragma unroll
                for (int d = 0; d < 3; ++d) v[d] = fmaf(weight, slot[d], v[d]);
                write(state + i, p.stride, VELOCITY, 3, v);
            }
        }
    }
    if (threadIdx.x == 0) {
        *count = used;
        for (int n = 0; n < 3; ++n) close(windows + 8 * n);
    }
    cluster.barrier();
    Reach now, soon;
    now.clear(), soon.clear();
    for (int i = from + threadIdx.x; i < to; i += blockDim.x) {
        if (!active[i]) continue;
        float x[3], v[3];
        read(state + i, p.stride, POSITION, 3, x);
        read(state + i, p.stride, VELOCITY, 3, v);
        now.add(p, x, v, 0.0f);
        soon.add(p, x, v, p.substep);
    }
    __syncwarp();
    widen(windows, now);
    widen(windows + 8, soon);
    __syncthreads();
    cluster.agree(windows);
    cluster.agree(windows + 8);
    cluster.barrier();
    return fault;
}

template <class Grid>
FN int own_particles(const Problem& p, bool GATHER, bool SCATTER, int first, int end, int world, const int* from, Grid old,
                     const int* to, Grid fresh, int* after) {
    float* state = p.state + (long long)world * STATE_SIZE * p.stride;
    const unsigned char* active = p.active + (long long)world * p.stride;
    const float* rows = p.rows + world * p.entities * ROW_SIZE;
    const float* units = p.units + world * UNITS_SIZE;
    Window before = window_of(p, from), now = window_of(p, to);
    Reach reach;
    reach.clear();
    int fault = 0;
    for (int i = first + threadIdx.x; i < end; i += blockDim.x)
        if (active[i] && p.entity[i] >= 0)
            fault |= pass(p, GATHER, SCATTER, rows + p.entity[i] * ROW_SIZE, units, state + i, before, old, now, fresh,
                          reach);
    __syncwarp();
    if (GATHER && SCATTER) widen(after, reach);
    return fault;
}

// Ends a substep on the grid `sums`, whose nodes become velocities, and empties `next` for the one after.
FN int own_nodes(const Problem& p, int world, const float* slots, int count, const Window& win, SharedGrid sums,
                 int empty, SharedGrid next) {
    const float* units = p.units + world * UNITS_SIZE;
    int many = win.nodes(), fault = 0;
    for (int n = threadIdx.x; n < max(many, empty); n += blockDim.x) {
        if (n < empty)
#pragma unroll
            for (int d = 0; d < 4; ++d) *next.at(n, d) = 0;
        if (n >= many) continue;
        int node[3], raw[4];
        float v[3];
        locate(win, n, node);
#pragma unroll
        for (int d = 0; d < 4; ++d) raw[d] = *sums.at(n, d);
        if (!node_velocity(p, units, slots, count, node, raw, v)) fault = UNSTABLE;
#pragma unroll
        for (int d = 0; d < 3; ++d) *sums.at(n, 1 + d) = __float_as_int(v[d]);
    }
    return fault;
}

// Empties a block's own copy of near nodes, and its share of the far ones, which a cluster has in common.
FN void empty_nodes(const Cluster& cluster, SharedGrid grid, int many) {
    for (int n = threadIdx.x; n < min(many, grid.capacity); n += blockDim.x)
#pragma unroll
        for (int d = 0; d < 4; ++d) grid.near[d * grid.capacity + n] = 0;
    for (int n = grid.capacity + cluster.rank * blockDim.x + threadIdx.x; n < many; n += cluster.size * blockDim.x)
#pragma unroll
        for (int d = 0; d < 4; ++d) *grid.at(n, d) = 0;
}

// The same for a cluster, each of whose blocks has summed its own particles: four lanes a node add up the copies and
// hand the velocity to all.
FN int shared_nodes(const Problem& p, const Cluster& cluster, int world, const float* slots, int count, const Window& win,
                    SharedGrid sums, int empty, SharedGrid next) {
    const float* units = p.units + world * UNITS_SIZE;
    const int many = win.nodes(), part = threadIdx.x & 3, lead = threadIdx.x & 28;
    int fault = 0;
    empty_nodes(cluster, next, empty);
    const int first = (cluster.rank * blockDim.x + threadIdx.x) >> 2, all = cluster.size * blockDim.x >> 2;
    for (int n = first; n - (int)(threadIdx.x >> 2 & 7) < many; n += all) {  // a warp stays together
        int sum = 0, node[3], raw[4], here = min(n, many - 1), *place = sums.at(here, part);
        bool near = here < sums.capacity;
        float v[3];
        if (near) {
#pragma unroll 8
            for (int other = 0; other < cluster.size; ++other) sum += *cluster.of(other, place);
        } else {
            sum = *place;
        }
#pragma unroll
        for (int d = 0; d < 4; ++d) raw[d] = __shfl_sync(0xffffffffu, sum, lead + d);
        locate(win, here, node);
        if (!node_velocity(p, units, slots, count, node, raw, v)) fault = UNSTABLE;
        int mine = __float_as_int(part < 2 ? v[0] : part == 2 ? v[1] : v[2]);
        if (n >= many || part == 0) continue;
        if (near) {
#pragma unroll 8
            for (int other = 0; other < cluster.size; ++other) *cluster.of(other, place) = mine;
        } else {
            *place = mine;
        }
    }
    return fault;
}

extern "C" __global__ void __launch_bounds__(BLOCK_THREADS, BLOCKS_PER_SM) advance_worlds(const Problem p, int steps) {
    extern __shared__ int memory[];
    __shared__ float slots[MOST_SLOTS * 8];
    __shared__ int windows[24], count, bad;
    __shared__ long long scratch[32];
    const Cluster cluster = Cluster::here();
    const int capacity = p.shared_nodes, most = capacity + p.spare_nodes, which = blockIdx.x / cluster.size;
    const int share = ((p.particles + cluster.size - 1) / cluster.size + 31) / 32 * 32;
    const int first = min(cluster.rank * share, p.particles), end = min(first + share, p.particles);
    int* spare = p.grid + (long long)which * 8 * p.spare_nodes;
    SharedGrid grids[2] = {{memory, spare, capacity, p.spare_nodes},
                           {memory + 4 * capacity, spare + 4 * (long long)p.spare_nodes, capacity, p.spare_nodes}};
    for (int world = which; world < p.worlds; world += gridDim.x / cluster.size) {
        int fault = p.status[world];
        if (fault & (UNSTABLE | SPREAD)) continue;
        if (threadIdx.x == 0) bad = 0;
        for (int step = 0; step < steps; ++step) {
            fault |= begin_step(p, cluster, first, end, world, *p.time + step, slots, &count, windows, scratch);
            int size = window_of(p, windows).nodes();
            if (size == 0 || size > most) {
                if (size) fault |= SPREAD;
                break;
            }
            empty_nodes(cluster, grids[0], size);
            if (size > capacity) cluster.barrier();
            else __syncthreads();
            // Stage -1 only scatters, the last only gathers, the others end one substep and begin the next.
            bool last = false;
            for (int n = -1; !last; ++n) {
                int *from = windows + (n + 3) % 3 * 8, *to = windows + (n + 1) % 3 * 8, *after = windows + (n + 2) % 3 * 8;
                Window now = window_of(p, from);
                int many = now.nodes(), next = window_of(p, to).nodes(), old = n & 1, fresh = ~n & 1;
                if (n >= 0) {
                    last = n + 1 == p.substeps || next > most;
                    if (last && n + 1 < p.substeps) fault |= SPREAD;
                    if (cluster.size == 1)
                        fault |= own_nodes(p, world, slots, count, now, grids[old], last ? 0 : next, grids[fresh]);
                    else
                        fault |= shared_nodes(p, cluster, world, slots, count, now, grids[old], last ? 0 : next,
                                              grids[fresh]);
                    if (threadIdx.x == 0) close(after);
                    cluster.barrier();
                } else {
                    many = 0;
                }
                if (max(many, last ? 0 : next) <= capacity) {
                    NearGrid near_old = {memory + 4 * capacity * old, capacity};
                    NearGrid near_fresh = {memory + 4 * capacity * fresh, capacity};
                    fault |= own_particles(p, n >= 0, !last, first, end, world, from, near_old, to, near_fresh, after);
                } else {
                    fault |= own_particles(p, n >= 0, !last, first, end, world, from, grids[old], to, grids[fresh], after);
                }
                if (cluster.size > 1 && n >= 0 && !last) {
                    __syncthreads();
                    cluster.agree(after);
                }
                cluster.barrier();
            }
            if (fault & SPREAD) break;
        }
        if (fault) atomicOr(&bad, fault);
        __syncthreads();
        if (threadIdx.x == 0 && bad) atomicOr(p.status + world, bad);
        cluster.barrier();
    }
}

FN FarGrid far_grid(const Problem& p, int world, int which) {
    return FarGrid{(int4*)p.grid + ((long long)world * 2 + which) * p.spare_nodes};
}

extern "C" __global__ void begin(const Problem p, int offset) {
    __shared__ int windows[24], count;
    __shared__ long long scratch[32];
    const int world = blockIdx.x;
    int fault = p.status[world];
    if (!(fault & (UNSTABLE | SPREAD)))
        fault |= begin_step(p, Cluster{0, 1}, 0, p.particles, world, *p.time + offset,
                            p.slots + (long long)world * p.actions * 8, &count, windows, scratch);
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

extern "C" __global__ void __launch_bounds__(PARTICLE_THREADS) scatter_first(const Problem p, int substep) {
    particles<false, true>(p, substep);
}

extern "C" __global__ void __launch_bounds__(PARTICLE_THREADS) exchange(const Problem p, int substep) {
    particles<true, true>(p, substep);
}

extern "C" __global__ void __launch_bounds__(PARTICLE_THREADS) gather_last(const Problem p, int substep) {
    particles<true, false>(p, substep);
}

extern "C" __global__ void nodes(const Problem p, int substep) {
    const int world = blockIdx.y;
    const bool last = substep + 1 == p.substeps;
    int* windows = p.windows + world * 24;
    Window now = window_of(p, windows + substep % 3 * 8), then = window_of(p, windows + (substep + 1) % 3 * 8);
    if (blockIdx.x == 0 && threadIdx.x == 0) close(windows + (substep + 2) % 3 * 8);
    FarGrid sums = far_grid(p, world, substep & 1), next = far_grid(p, world, ~substep & 1);
    const float *slots = p.slots + (long long)world * p.actions * 8, *units = p.units + world * UNITS_SIZE;
    const int count = p.counts[world], many = now.nodes(), empty = last ? 0 : then.nodes(), all = gridDim.x * blockDim.x;
    for (int n = blockIdx.x * blockDim.x + threadIdx.x; n < max(many, empty); n += all) {
        if (n < empty) next.nodes[n] = make_int4(0, 0, 0, 0);
        if (n >= many) continue;
        int node[3];
        float v[3];
        locate(now, n, node);
        int4 raw = FarGrid::sums(sums.nodes[n]);
        if (!node_velocity(p, units, slots, count, node, (int*)&raw, v)) atomicOr(p.status + world, UNSTABLE);
        *(float4*)(sums.nodes + n) = make_float4(v[0], v[1], v[2], 0.0f);
    }
}
