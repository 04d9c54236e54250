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
