// What begins a world's step, and what the blocks of a cluster share.

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
    template <class T>
    FN T* of(int other, T* mine) const {
        unsigned long long address;
        asm("mapa.u64 %0, %1, %2;" : "=l"(address) : "l"((unsigned long long)mine), "r"(other));
        return (T*)address;
    }
#else
    FN static Cluster here() { return Cluster{0, 1}; }
    FN void barrier() const { __syncthreads(); }
    template <class T>
    FN T* of(int, T* mine) const {
        return mine;
    }
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

// What a warp's nodes gave the bodies, added to the sums of all.
FN void hand_over(const Problem& p, const Given& given, long long* sums) {
    __syncwarp();
    if (!p.bodies || !__any_sync(0xffffffffu, given.any)) return;
    for (int n = 0; n < 6 * p.bodies; ++n) {
        long long value = given.sums[n];
#pragma unroll
        for (int k = 16; k; k >>= 1) value += __shfl_xor_sync(0xffffffffu, value, k);
        if ((threadIdx.x & 31) == 0 && value) atomicAdd((unsigned long long*)(sums + n), (unsigned long long)value);
    }
}

// Force [N] and torque [N m] of a substep into a body's row, from its six sums in the blocks of a cluster: by a warp.
FN void receive(const Problem& p, const Cluster& cluster, int world, long long* sums, double* body) {
    const double scale = 1.0 / (impulse_units(p.units + world * UNITS_SIZE) * (p.step / p.substeps));
    const int n = threadIdx.x & 31;
    if (n < 6) {
        long long sum = cluster.size == 1 ? sums[n] : 0;
        if (cluster.size > 1) {
#pragma unroll 8
            for (int other = 0; other < cluster.size; ++other) sum += *cluster.of(other, sums + n);
        }
        body[B_FORCE + n] = (double)sum * scale;
    }
    __syncwarp();
}

// A warp's body between two substeps: what it was given acts, and nodes find it where it then is.
FN void go_on(const Problem& p, const Cluster& cluster, int world, int b, bool begun, long long* old, long long* fresh,
              double* body, Near& near) {
    const double* shape = p.shapes + b * SHAPE_SIZE;
    const int lane = threadIdx.x & 31;
    if (begun) receive(p, cluster, world, old, body);
    else if (lane < 6) body[B_FORCE + lane] = 0.0;
    if (lane < 6) fresh[lane] = 0;
    __syncwarp();
    if (lane == 0) {
        integrate(body, shape, body + B_FORCE, body + B_TORQUE, p.step / p.substeps);
        look(body, shape, near);
    }
    __syncwarp();
}

// A block begins a world's step for particles `from` to `to`: what is in force (slots, count), impulses on single
// entities, masses that pushes share, bodies made ready, and what particles touch now and will touch after a substep (two windows).
FN int begin_step(const Problem& p, const Cluster& cluster, int from, int to, int world, int steps, float* slots,
                  int* count, int* windows, long long* scratch, double* bodies) {
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
            // Another block of the cluster may write it just now: a block's threads go one way together.
            if (!__syncthreads_and(inside > 0.0)) {
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
                sum += bodies_inside(p, a, whom, bodies, unit);
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
        } else if (whom < p.entities) {
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
    // All have looked where bodies are: masses are found between barriers.
    if (threadIdx.x < 32)
        for (int b = 0; b < p.bodies; ++b) act(p, world, b, bodies + b * BODY_SIZE, t);
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
