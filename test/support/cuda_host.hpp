// CUDA's threads on a CPU: each a fiber, each block of a cluster a thread of the system, so that whole kernels run where
// there is no GPU. Slow, and exact in what barriers, shuffles and sums of integers do.
#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <thread>
#include <vector>
using std::fmaf;
using std::max;
using std::min;
#define __device__
#define __global__
#define __forceinline__ inline
#define __noinline__ __attribute__((noinline))
#define __launch_bounds__(...)
#define __grid_constant__
#define __shared__ static thread_local

struct uint3 {
    unsigned x, y, z;
};
struct int4 {
    int x, y, z, w;
};
struct float4 {
    float x, y, z, w;
};
static inline int4 make_int4(int x, int y, int z, int w) { return {x, y, z, w}; }
static inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }

extern "C" void switch_fiber(void** save, void* load);
asm(".text\n.globl switch_fiber\n.type switch_fiber,@function\nswitch_fiber:\n"
    "pushq %rbp\npushq %rbx\npushq %r12\npushq %r13\npushq %r14\npushq %r15\nmovq %rsp, (%rdi)\nmovq %rsi, %rsp\n"
    "popq %r15\npopq %r14\npopq %r13\npopq %r12\npopq %rbx\npopq %rbp\nret\n");

static const size_t STACK = 1 << 17;
static const int SHARED_WORDS = 1 << 16;

struct Barrier {
    int arrived = 0, generation = 0;
};
struct Fiber {
    void* stack_pointer = nullptr;
    bool done = false;
    uint3 thread{};
};
struct Block {
    std::vector<Fiber> fibers;
    std::vector<Barrier> warps;
    std::vector<uint64_t> exchange;
    Barrier all;
    bool refused = false;
    Fiber* now = nullptr;
    void* home = nullptr;
    uint3 index{}, size{}, grid{};
    int rank = 0, cluster = 1;
    std::vector<char*>* anchors = nullptr;
    pthread_barrier_t* others = nullptr;
    void (*entry)(const void*, int) = nullptr;
    const void* problem = nullptr;
    int argument = 0;
};
static thread_local Block* block;
static thread_local int dynamic_words[SHARED_WORDS];
#define threadIdx (block->now->thread)
#define blockIdx (block->index)
#define blockDim (block->size)
#define gridDim (block->grid)

static void yield() { switch_fiber(&block->now->stack_pointer, block->home); }

static void wait_at(Barrier& barrier, int count) {
    int before = barrier.generation;
    if (++barrier.arrived == count) {
        barrier.arrived = 0;
        ++barrier.generation;
        return;
    }
    while (barrier.generation == before) yield();
}

static void __syncthreads() { wait_at(block->all, (int)block->size.x); }
static int __syncthreads_and(int value) {
    Block& b = *block;
    if (!value) b.refused = true;
    __syncthreads();
    int all = !b.refused;
    __syncthreads();
    if (threadIdx.x == 0) b.refused = false;
    __syncthreads();
    return all;
}
static void __syncwarp() { wait_at(block->warps[threadIdx.x >> 5], 32); }
static void __threadfence() { std::atomic_thread_fence(std::memory_order_seq_cst); }

template <class T, class F>
static T exchanged(T value, F choose) {
    uint64_t* slots = &block->exchange[threadIdx.x & ~31u];
    memcpy(slots + (threadIdx.x & 31), &value, sizeof(T));
    __syncwarp();
    T out = choose([&](int lane) {
        T other;
        memcpy(&other, slots + (lane & 31), sizeof(T));
        return other;
    });
    __syncwarp();
    return out;
}
template <class T>
static T __shfl_xor_sync(unsigned, T value, int mask) {
    return exchanged(value, [&](auto of) { return of((int)(threadIdx.x & 31) ^ mask); });
}
template <class T>
static T __shfl_sync(unsigned, T value, int lane) {
    return exchanged(value, [&](auto of) { return of(lane); });
}
static int __reduce_min_sync(unsigned, int value) {
    return exchanged(value, [](auto of) { int v = of(0); for (int n = 1; n < 32; ++n) v = min(v, of(n)); return v; });
}
static int __reduce_max_sync(unsigned, int value) {
    return exchanged(value, [](auto of) { int v = of(0); for (int n = 1; n < 32; ++n) v = max(v, of(n)); return v; });
}
static bool __any_sync(unsigned, bool value) {
    return exchanged((int)value, [](auto of) { int v = 0; for (int n = 0; n < 32; ++n) v |= of(n); return v; });
}
template <class T>
static T atomicAdd(T* at, T more) {
    return __atomic_fetch_add(at, more, __ATOMIC_SEQ_CST);
}
static int atomicOr(int* at, int more) { return __atomic_fetch_or(at, more, __ATOMIC_SEQ_CST); }
static int atomicMin(int* at, int value) {
    int old = __atomic_load_n(at, __ATOMIC_SEQ_CST);
    while (value < old && !__atomic_compare_exchange_n(at, &old, value, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {}
    return old;
}
static int atomicMax(int* at, int value) {
    int old = __atomic_load_n(at, __ATOMIC_SEQ_CST);
    while (value > old && !__atomic_compare_exchange_n(at, &old, value, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {}
    return old;
}
static int __float2int_rn(float x) { return x == x ? (int)lrintf(fminf(fmaxf(x, -2147483648.0f), 2147483520.0f)) : 0; }
static long long __double2ll_rn(double x) { return x == x ? (long long)llrint(x) : 0; }
static int __float_as_int(float x) { int i; memcpy(&i, &x, 4); return i; }
static float __int_as_float(int x) { float f; memcpy(&f, &x, 4); return f; }

static void cluster_barrier() {
    __syncthreads();
    if (block->cluster == 1) return;
    if (threadIdx.x == 0) pthread_barrier_wait(block->others);
    __syncthreads();
}
template <class T>
static T* in_block(int other, T* mine) {
    return (T*)((*block->anchors)[other] + ((char*)mine - (char*)dynamic_words));
}

static void begin_fiber() {
    block->entry(block->problem, block->argument);
    block->now->done = true;
    yield();
}

static void run_block(Block& mine) {
    block = &mine;
    const int threads = (int)mine.size.x;
    mine.fibers.resize(threads);
    mine.warps.resize((threads + 31) / 32);
    mine.exchange.resize(mine.warps.size() * 32);
    char* stacks = (char*)malloc(STACK * threads);
    for (int t = 0; t < threads; ++t) {
        Fiber& fiber = mine.fibers[t];
        fiber.thread = {(unsigned)t, 0, 0};
        uintptr_t top = ((uintptr_t)stacks + STACK * (t + 1)) & ~(uintptr_t)15;
        void** at = (void**)top;
        *--at = nullptr;
        *--at = (void*)begin_fiber;
        for (int n = 0; n < 6; ++n) *--at = nullptr;
        fiber.stack_pointer = at;
    }
    if (mine.cluster > 1) {
        (*mine.anchors)[mine.rank] = (char*)dynamic_words;
        pthread_barrier_wait(mine.others);
    }
    for (int left = threads; left;) {
        left = 0;
        for (Fiber& fiber : mine.fibers) {
            if (fiber.done) continue;
            mine.now = &fiber;
            switch_fiber(&mine.home, fiber.stack_pointer);
            left += !fiber.done;
        }
    }
    if (mine.cluster > 1) pthread_barrier_wait(mine.others);  // no one's memory goes while another reads it
    free(stacks);
}

static void launch(void (*entry)(const void*, int), const void* problem, int argument, int width, int height,
                   int threads, int cluster) {
    for (int y = 0; y < height; ++y)
        for (int x = 0; x < width; x += cluster) {
            std::vector<Block> blocks(cluster);
            std::vector<char*> anchors(cluster);
            std::vector<std::thread> workers;
            pthread_barrier_t others;
            pthread_barrier_init(&others, nullptr, cluster);
            for (int r = 0; r < cluster; ++r) {
                Block& b = blocks[r];
                b.index = {(unsigned)(x + r), (unsigned)y, 0};
                b.size = {(unsigned)threads, 1, 1};
                b.grid = {(unsigned)width, (unsigned)height, 1};
                b.rank = r, b.cluster = cluster, b.anchors = &anchors, b.others = &others;
                b.entry = entry, b.problem = problem, b.argument = argument;
                if (cluster > 1) workers.emplace_back([&b] { run_block(b); });
                else run_block(b);
            }
            for (std::thread& w : workers) w.join();
            pthread_barrier_destroy(&others);
        }
}
