// The CUDA engine's particle and node functions on a CPU, one after the other: the same source, the same whole-number sums.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>
using std::fmaf;
using std::max;
using std::min;
#define FN inline
#define SLOW inline
#define MOST_BODIES 1
struct float4 {
    float x, y, z, w;
};
static inline int __float2int_rn(float x) { return (int)lrintf(x); }
static inline long long __double2ll_rn(double x) { return llrint(x); }
#include "problem.cu"
#include "laws.cu"
#include "rigid.cu"
#include "transfer.cu"
#include "particle.cu"

struct HostGrid {
    int* sums;
    void add(int node, int m, int x, int y, int z) {
        int more[4] = {m, x, y, z};
        for (int d = 0; d < 4; ++d) sums[4 * node + d] += more[d];
    }
    void velocity(int node, float* v) const { memcpy(v, sums + 4 * node + 1, 3 * sizeof(float)); }
};

extern "C" void laws(const float* rows, float* f, float* packed, float* stress, int count) {
    for (int i = 0; i < count; ++i) apply_law(rows + ROW_SIZE * i, f + 9 * i, packed[i], stress + 9 * i);
}

extern "C" int substeps(const Problem* problem, const float* slots, int count, int many) {
    const Problem& p = *problem;
    Window all;
    for (int d = 0; d < 3; ++d) all.low[d] = p.lowest[d], all.size[d] = p.nodes[d];
    std::vector<int> old(4 * all.nodes()), fresh(old.size());
    int fault = 0;
    Reach reach;
    reach.clear();
    Given given;
    for (int s = -1; s < many; ++s) {
        bool last = s + 1 == many;
        std::fill(fresh.begin(), fresh.end(), 0);
        HostGrid from{old.data()}, to{fresh.data()};
        for (int i = 0; i < p.particles; ++i)
            if (p.active[i])
                fault |= pass(p, s >= 0, !last, p.rows + p.entity[i] * ROW_SIZE, p.units, p.state + i, all, from, all, to,
                              reach);
        for (int n = 0; n < all.nodes() && !last; ++n) {
            int node[3];
            float v[3];
            locate(all, n, node);
            if (!node_velocity(p, p.units, slots, count, node, fresh.data() + 4 * n, nullptr, false, given, v))
                fault |= UNSTABLE;
            memcpy(fresh.data() + 4 * n + 1, v, sizeof v);
        }
        old.swap(fresh);
    }
    return fault;
}
