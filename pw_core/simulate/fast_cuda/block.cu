// A cluster of blocks (one, where there are worlds enough) takes a world through a whole rollout, its grid in shared
// memory.

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
                 int empty, SharedGrid next, const Near* near, long long* sums_of_bodies) {
    const float* units = p.units + world * UNITS_SIZE;
    int many = win.nodes(), fault = 0;
    Given given;
    given.clear(p.bodies);
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
        if (!node_velocity(p, units, slots, count, node, raw, near, true, given, v)) fault = UNSTABLE;
#pragma unroll
        for (int d = 0; d < 3; ++d) *sums.at(n, 1 + d) = __float_as_int(v[d]);
    }
    hand_over(p, given, sums_of_bodies);
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
                    SharedGrid sums, int empty, SharedGrid next, const Near* near, long long* sums_of_bodies) {
    const float* units = p.units + world * UNITS_SIZE;
    const int many = win.nodes(), part = threadIdx.x & 3, lead = threadIdx.x & 28;
    int fault = 0;
    Given given;
    given.clear(p.bodies);
    empty_nodes(cluster, next, empty);
    const int first = (cluster.rank * blockDim.x + threadIdx.x) >> 2, all = cluster.size * blockDim.x >> 2;
    for (int n = first; n - (int)(threadIdx.x >> 2 & 7) < many; n += all) {  // a warp stays together
        int sum = 0, node[3], raw[4], here = min(n, many - 1), *place = sums.at(here, part);
        bool close_by = here < sums.capacity;
        float v[3];
        if (close_by) {
#pragma unroll 8
            for (int other = 0; other < cluster.size; ++other) sum += *cluster.of(other, place);
        } else {
            sum = *place;
        }
#pragma unroll
        for (int d = 0; d < 4; ++d) raw[d] = __shfl_sync(0xffffffffu, sum, lead + d);
        locate(win, here, node);
        if (!node_velocity(p, units, slots, count, node, raw, near, n < many && part == 0, given, v)) fault = UNSTABLE;
        int mine = __float_as_int(part < 2 ? v[0] : part == 2 ? v[1] : v[2]);
        if (n >= many || part == 0) continue;
        if (close_by) {
#pragma unroll 8
            for (int other = 0; other < cluster.size; ++other) *cluster.of(other, place) = mine;
        } else {
            *place = mine;
        }
    }
    hand_over(p, given, sums_of_bodies);
    return fault;
}

// Bodies' steps where a block has them in shared memory.
struct Bodies {
    double* rows;       // (bodies, BODY_SIZE)
    Near* near;         // (bodies,)
    long long* given;   // (2, bodies, 6)
    FN long long* sums(const Problem& p, int which) const { return given + (which & 1) * 6 * p.bodies; }
    // From `source` to the rows, or back.
    FN void copy(const Problem& p, double* to, const double* from) const {
        for (int n = threadIdx.x; n < p.bodies * BODY_SIZE; n += blockDim.x) to[n] = from[n];
    }
    // Between substep n and the next, by the last warp, which has no particles where it can be spared.
    FN void between(const Problem& p, const Cluster& cluster, int world, int n) const {
        if (threadIdx.x >> 5 != (blockDim.x >> 5) - 1) return;
        for (int b = 0; b < p.bodies; ++b)
            go_on(p, cluster, world, b, n >= 0, sums(p, n) + 6 * b, sums(p, n + 1) + 6 * b, rows + b * BODY_SIZE, near[b]);
    }
    // After the last substep n; -1 where there was no particle: then they go all substeps alone.
    FN void finish(const Problem& p, const Cluster& cluster, int world, int n) const {
        if (threadIdx.x >= 32) return;
        for (int b = 0; b < p.bodies; ++b) {
            double* body = rows + b * BODY_SIZE;
            if (n >= 0) receive(p, cluster, world, sums(p, n) + 6 * b, body);
            else
                for (int s = 0; s < p.substeps; ++s)
                    go_on(p, cluster, world, b, false, sums(p, 1) + 6 * b, sums(p, 0) + 6 * b, body, near[b]);
            settle(p, b, body);
        }
    }
};

extern "C" __global__ void __launch_bounds__(BLOCK_THREADS, BLOCKS_PER_SM) advance_worlds(const __grid_constant__ Problem p, int steps) {
    extern __shared__ int memory[];
    __shared__ float slots[MOST_SLOTS * 8];
    __shared__ int windows[24], count, bad;
    __shared__ long long scratch[32], given[2 * 6 * MOST_BODIES];
    __shared__ double rows[MOST_BODIES * BODY_SIZE];
    __shared__ Near near[MOST_BODIES];
    const Bodies bodies = {rows, near, given};
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
        double* stored = p.body_rows + (long long)world * p.bodies * BODY_SIZE;
        bodies.copy(p, rows, stored);
        __syncthreads();
        for (int step = 0; step < steps; ++step) {
            fault |= begin_step(p, cluster, first, end, world, *p.time + step, slots, &count, windows, scratch,
                                rows);
            int size = window_of(p, windows).nodes();
            if (size == 0 && p.bodies) {
                bodies.finish(p, cluster, world, -1);
                __syncthreads();
                continue;
            }
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
                        fault |= own_nodes(p, world, slots, count, now, grids[old], last ? 0 : next, grids[fresh],
                                           near, bodies.sums(p, n));
                    else
                        fault |= shared_nodes(p, cluster, world, slots, count, now, grids[old], last ? 0 : next,
                                              grids[fresh], near, bodies.sums(p, n));
                    if (threadIdx.x == 0) close(after);
                    cluster.barrier();
                } else {
                    many = 0;
                }
                if (!last) bodies.between(p, cluster, world, n);
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
                if (last && p.bodies) {
                    bodies.finish(p, cluster, world, n);
                    __syncthreads();
                }
            }
            if (fault & SPREAD) break;
        }
        if (fault) atomicOr(&bad, fault);
        __syncthreads();
        if (threadIdx.x == 0 && bad) atomicOr(p.status + world, bad);
        if (cluster.rank == 0) bodies.copy(p, stored, rows);
        cluster.barrier();
    }
}
