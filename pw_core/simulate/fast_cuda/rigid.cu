// Rigid bodies in a substep: their motion, what a node and a body do to each other, and who adds that up. The same
// equations as pw_core/simulate/fast/rigid.py.
//
// A body's state is in double precision, as on the CPU. What nodes give it is added up in whole numbers, like all sums
// here. `MOST_BODIES` is how many a world may have.

enum BodyRow { B_POSITION = 0, B_ORIENTATION = 3, B_LINEAR = 7, B_SPIN = 10, B_FORCE = 13, B_TORQUE = 16, B_HELD = 19,
               B_TURN = 20, BODY_SIZE = 32 };
enum ShapeRow { S_MASS = 0, S_INERTIA = 1, S_INVERSE = 10, S_TOOL = 19, S_LOW = 20, S_CELL = 23, S_COUNT = 26,
                S_FIRST = 29, S_WIDEST = 30, S_REACH = 31, S_SOFTNESS = 32, S_FRICTION = 33, S_SUPPORT = 34,
                S_SUPPORTS = 35, S_REST = 36, S_RESTS = 37, SHAPE_SIZE = 40 };

static const double HELD_ARMATURE = 1e5;  // engine.py
static const float LEAST_INFLUENCE = 0.1f;
static const int MIDPOINT_ROUNDS = 12;

struct Near {  // what nodes need of a body
    float position[3], turn[9], linear[3], spin[3], low[3], cell[3], widest, reach, softness, friction;
    int count[3], first;
};

FN void rotate(const double* r, const double* v, double* out) {
#pragma unroll
    for (int a = 0; a < 3; ++a) out[a] = r[3 * a] * v[0] + r[3 * a + 1] * v[1] + r[3 * a + 2] * v[2];
}

FN void rotate_back(const double* r, const double* v, double* out) {
#pragma unroll
    for (int a = 0; a < 3; ++a) out[a] = r[a] * v[0] + r[3 + a] * v[1] + r[6 + a] * v[2];
}

FN void crossed(const double* a, const double* b, double* out) {
    out[0] = a[1] * b[2] - a[2] * b[1];
    out[1] = a[2] * b[0] - a[0] * b[2];
    out[2] = a[0] * b[1] - a[1] * b[0];
}

FN void turned(const double* q, double* r) {  // the rotation matrix of a unit quaternion wxyz
    double w = q[0], x = q[1], y = q[2], z = q[3];
    r[0] = 1 - 2 * (y * y + z * z), r[1] = 2 * (x * y - w * z), r[2] = 2 * (x * z + w * y);
    r[3] = 2 * (x * y + w * z), r[4] = 1 - 2 * (x * x + z * z), r[5] = 2 * (y * z - w * x);
    r[6] = 2 * (x * z - w * y), r[7] = 2 * (y * z + w * x), r[8] = 1 - 2 * (x * x + y * y);
}

FN void multiplied(const double* a, const double* b, double* out) {  // quaternions wxyz
    out[0] = a[0] * b[0] - a[1] * b[1] - a[2] * b[2] - a[3] * b[3];
    out[1] = a[0] * b[1] + a[1] * b[0] + a[2] * b[3] - a[3] * b[2];
    out[2] = a[0] * b[2] - a[1] * b[3] + a[2] * b[0] + a[3] * b[1];
    out[3] = a[0] * b[3] + a[1] * b[2] - a[2] * b[1] + a[3] * b[0];
}

FN void inverted(const double* m, double* out) {
    double c[9];
    crossed(m + 3, m + 6, c);
    crossed(m + 6, m, c + 3);
    crossed(m, m + 3, c + 6);
    double one = 1.0 / (m[0] * c[0] + m[1] * c[1] + m[2] * c[2]);
#pragma unroll
    for (int i = 0; i < 3; ++i)
#pragma unroll
        for (int j = 0; j < 3; ++j) out[3 * i + j] = c[3 * j + i] * one;
}

// What nodes need of a body as it is now.
FN void look(const double* body, const double* shape, Near& near) {
#pragma unroll
    for (int a = 0; a < 3; ++a) {
        near.position[a] = (float)body[B_POSITION + a];
        near.linear[a] = (float)body[B_LINEAR + a];
        near.spin[a] = (float)body[B_SPIN + a];
        near.low[a] = (float)shape[S_LOW + a];
        near.cell[a] = (float)shape[S_CELL + a];
        near.count[a] = (int)shape[S_COUNT + a];
    }
#pragma unroll
    for (int n = 0; n < 9; ++n) near.turn[n] = (float)body[B_TURN + n];
    near.first = (int)shape[S_FIRST];
    near.widest = (float)shape[S_WIDEST], near.reach = (float)shape[S_REACH];
    near.softness = (float)shape[S_SOFTNESS], near.friction = (float)shape[S_FRICTION];
}

// A body one substep of h [s] further under force [N] and torque [N m]: implicit midpoint.
SLOW void integrate(double* body, const double* shape, const double* force, const double* torque, double h) {
    const double held = body[B_HELD];
#pragma unroll
    for (int a = 0; a < 3; ++a) {
        double change = h * force[a] / (shape[S_MASS] + held);
        body[B_POSITION + a] += h * (body[B_LINEAR + a] + 0.5 * change);
        body[B_LINEAR + a] += change;
    }
    double inertia[9], heavier[9], inverse[9], spin[3], load[3], middle[3];
#pragma unroll
    for (int n = 0; n < 9; ++n) inertia[n] = shape[S_INERTIA + n], heavier[n] = inertia[n] + (n % 4 ? 0.0 : held);
    inverted(heavier, inverse);
    rotate_back(body + B_TURN, body + B_SPIN, spin);
    rotate_back(body + B_TURN, torque, load);
#pragma unroll
    for (int a = 0; a < 3; ++a) middle[a] = spin[a];
    for (int round = 0; round < MIDPOINT_ROUNDS; ++round) {
        double momentum[3], gyro[3], rate[3];
        bool moved = false;
        rotate(inertia, middle, momentum);
        crossed(middle, momentum, gyro);
#pragma unroll
        for (int a = 0; a < 3; ++a) gyro[a] = load[a] - gyro[a];
        rotate(inverse, gyro, rate);
#pragma unroll
        for (int a = 0; a < 3; ++a) {
            double next = spin[a] + 0.5 * h * rate[a];
            moved = moved || next != middle[a];
            middle[a] = next;
        }
        if (!moved) break;
    }
    double angle = sqrt(middle[0] * middle[0] + middle[1] * middle[1] + middle[2] * middle[2]) * h;
    if (angle > 0.0) {
        double s = sin(0.5 * angle) / angle * h, q[4], whole = 0.0;
        double turn[4] = {cos(0.5 * angle), middle[0] * s, middle[1] * s, middle[2] * s};
        multiplied(body + B_ORIENTATION, turn, q);
#pragma unroll
        for (int n = 0; n < 4; ++n) whole += q[n] * q[n];
        whole = sqrt(whole);
#pragma unroll
        for (int n = 0; n < 4; ++n) body[B_ORIENTATION + n] = q[n] / whole;
        turned(body + B_ORIENTATION, body + B_TURN);
    }
#pragma unroll
    for (int a = 0; a < 3; ++a) middle[a] = 2.0 * middle[a] - spin[a];
    rotate(body + B_TURN, middle, body + B_SPIN);
}

// Signed distance [m] at an arm from the body's centre, in its own frame, and the surface's normal there.
FN float distance_at(const Near& near, const float4* samples, const float* arm, float* normal) {
    float g[3];
    bool within = true;
#pragma unroll
    for (int a = 0; a < 3; ++a) {
        g[a] = (arm[a] - near.low[a]) / near.cell[a];
        within = within && g[a] > 0.0f && g[a] < (float)(near.count[a] - 1);
    }
    if (!within) {
#pragma unroll
        for (int a = 0; a < 3; ++a) normal[a] = (g[a] - 0.5f * (float)(near.count[a] - 1)) * near.cell[a];
        return sqrtf(dot3(normal, normal)) + near.widest;
    }
    int at[3];
    float f[3], total = 0.0f;
#pragma unroll
    for (int a = 0; a < 3; ++a) {
        at[a] = min((int)g[a], near.count[a] - 2);
        f[a] = g[a] - (float)at[a];
        normal[a] = 0.0f;
    }
#pragma unroll
    for (int c = 0; c < 8; ++c) {
        int i = c >> 2, j = c >> 1 & 1, k = c & 1;
        float w = (i ? f[0] : 1.0f - f[0]) * (j ? f[1] : 1.0f - f[1]) * (k ? f[2] : 1.0f - f[2]);
        float4 s = samples[near.first + ((at[0] + i) * near.count[1] + at[1] + j) * near.count[2] + at[2] + k];
        total = fmaf(w, s.x, total);
        normal[0] = fmaf(w, s.y, normal[0]), normal[1] = fmaf(w, s.z, normal[1]), normal[2] = fmaf(w, s.w, normal[2]);
    }
    return total;
}

// A node of `mass` [kg] at x meets a body: v changes, and `impulse` [kg m/s] and its moment [kg m²/s] are the body's.
// Contact reaches beyond the surface: what happens there counts by exp(-distance / softness), down to a tenth.
FN bool meet(const Near& near, const float4* samples, const float* x, float mass, float* v, float* impulse) {
    float d[3], arm[3], own[3], normal[3], spun[3], along = 0.0f;
#pragma unroll
    for (int a = 0; a < 3; ++a) d[a] = x[a] - near.position[a];
    if (dot3(d, d) > near.reach * near.reach) return false;
#pragma unroll
    for (int a = 0; a < 3; ++a) arm[a] = fmaf(near.turn[a], d[0], fmaf(near.turn[3 + a], d[1], near.turn[6 + a] * d[2]));
    float distance = distance_at(near, samples, arm, own);
    float influence = fminf(expf(-distance / fmaxf(1e-10f, near.softness)), 1.0f);
    if (!(influence > LEAST_INFLUENCE)) return false;
    float size = fmaxf(sqrtf(dot3(own, own)), SMALL);
    cross3(near.spin, d, spun);
#pragma unroll
    for (int a = 0; a < 3; ++a) normal[a] = dot3(near.turn + 3 * a, own) / size, spun[a] = v[a] - near.linear[a] - spun[a];
    along = dot3(spun, normal);
    if (!(along < 0.0f)) return false;
    float slide[3];
#pragma unroll
    for (int a = 0; a < 3; ++a) slide[a] = fmaf(-along, normal[a], spun[a]);
    float speed = sqrtf(dot3(slide, slide) + SMALL);
    float kept = fmaxf(0.0f, fmaf(along, near.friction, speed)) / speed;
#pragma unroll
    for (int a = 0; a < 3; ++a) {
        float change = influence * fmaf(slide[a], kept, -spun[a]);
        v[a] += change;
        impulse[a] = -mass * change;
    }
    cross3(d, impulse, impulse + 3);
    return true;
}

// What a thread's nodes gave the bodies, in units of momentum over 2^16.
struct Given {
    long long sums[6 * MOST_BODIES];
    bool any;
    FN void clear(int bodies) {
        any = false;
        for (int n = 0; n < 6 * bodies; ++n) sums[n] = 0;
    }
    FN void add(int body, const float* impulse, double unit) {
        any = true;
#pragma unroll
        for (int a = 0; a < 6; ++a) sums[6 * body + a] += __double2ll_rn((double)impulse[a] * unit);
    }
};

FN double impulse_units(const float* units) { return (double)units[MOMENTUM_UNITS] * 65536.0; }
