// Constitutive laws, the same as pw_core/simulate/materials.py has for Genesis. Matrices are nine floats, row by row.
//
// The source is compiled with --fmad=false: where a multiplication and an addition are one instruction, fmaf says so,
// and the bits of a result do not depend on which kernel a function was inlined into.

enum Model { ELASTIC = 0, PLASTIC = 1, SNOW = 2, LIQUID = 3 };
enum Row { MODEL = 0, LAMBDA = 1, MU = 2, YIELD = 3, VISCOSITY = 4, MASS = 5, ROW_SIZE = 8 };

static const float SNOW_COMPRESSION = 0.025f, SNOW_STRETCH = 0.0075f;  // materials.py has the sources
static const float SNOW_HARDENING = 10.0f, SNOW_STIFFEST = 8.0f;
static const float SMALL = 1.1920929e-7f;  // what Genesis adds under a norm's root
static const float UPRIGHT = 0.05f;  // the polar decomposition iterates above this determinant; below, the SVD is taken

// Reciprocals and roots as the chip makes them, to a unit in the last place or two, written out so that no compiler
// chooses among ways to divide: the bits would depend on it. The CPU's tests have their own.
#ifdef __CUDA_ARCH__
FN float reciprocal(float x) {
    float y;
    asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}
FN float rough_inverse_root(float x) {
    float y;
    asm("rsqrt.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}
#else
FN float reciprocal(float x) { return 1.0f / x; }
FN float rough_inverse_root(float x) { return 1.0f / sqrtf(x); }
#endif

FN float inverse_root(float x) {  // with a step of Newton's, for what stresses are made of
    float y = rough_inverse_root(x);
    return fmaf(0.5f * y, fmaf(-x * y, y, 1.0f), y);
}

FN float dot3(const float* a, const float* b) { return fmaf(a[0], b[0], fmaf(a[1], b[1], a[2] * b[2])); }

FN void cross3(const float* a, const float* b, float* out) {
    out[0] = fmaf(a[1], b[2], -(a[2] * b[1]));
    out[1] = fmaf(a[2], b[0], -(a[0] * b[2]));
    out[2] = fmaf(a[0], b[1], -(a[1] * b[0]));
}

FN float determinant(const float* a) {
    float rows[3];
    cross3(a + 3, a + 6, rows);
    return dot3(a, rows);
}

// out = (I + dt C) F
FN void advance_deformation(float dt, const float* c, const float* f, float* out) {
#pragma unroll
    for (int i = 0; i < 3; ++i)
#pragma unroll
        for (int j = 0; j < 3; ++j) {
            float rate = fmaf(c[3 * i], f[j], fmaf(c[3 * i + 1], f[3 + j], c[3 * i + 2] * f[6 + j]));
            out[3 * i + j] = fmaf(dt, rate, f[3 * i + j]);
        }
}

// The rotation nearest to f, whose determinant `det` is positive: Newton's iteration on (R + R^-T) / 2 (Higham 1986).
FN void polar(const float* f, float* r) {
#pragma unroll
    for (int n = 0; n < 9; ++n) r[n] = f[n];
    for (int step = 0; step < 12; ++step) {
        float k[9];
        cross3(r + 3, r + 6, k);
        cross3(r + 6, r, k + 3);
        cross3(r, r + 3, k + 6);
        float half = 0.5f * reciprocal(dot3(r, k)), moved = 0.0f;
#pragma unroll
        for (int n = 0; n < 9; ++n) {
            float next = fmaf(half, k[n], 0.5f * r[n]);
            moved = fmaxf(moved, fabsf(next - r[n]));
            r[n] = next;
        }
        if (!(moved > 1e-4f)) break;  // it converges quadratically: what is left is 1e-8
    }
}

#define ROTATE(pp, qq, pq, pr, qr, p, q)                              \
    {                                                                 \
        float gap = qq - pp, twice = 2.0f * pq;                       \
        float square = fmaf(gap, gap, fmaf(twice, twice, 1e-30f));    \
        float root = square * rough_inverse_root(square);             \
        float t = twice * reciprocal(fabsf(gap) + root);              \
        t = gap < 0.0f ? -t : t;                                      \
        float c = rough_inverse_root(fmaf(t, t, 1.0f)), s = t * c;    \
        pp = fmaf(-t, pq, pp);                                        \
        qq = fmaf(t, pq, qq);                                         \
        pq = 0.0f;                                                    \
        float old = pr;                                               \
        pr = fmaf(c, old, -(s * qr));                                 \
        qr = fmaf(s, old, c * qr);                                    \
        _Pragma("unroll") for (int n = 0; n < 3; ++n) {               \
            float left = v[3 * n + p], right = v[3 * n + q];          \
            v[3 * n + p] = fmaf(c, left, -(s * right));               \
            v[3 * n + q] = fmaf(s, left, c * right);                  \
        }                                                             \
    }

FN void order(float* long_axis, float& long_size, float* axis, float& size) {
    if (size > long_size) {
#pragma unroll
        for (int n = 0; n < 3; ++n) {
            float a = axis[n];
            axis[n] = long_axis[n], long_axis[n] = a;
        }
        float s = size;
        size = long_size, long_size = s;
    }
}

FN void orthonormal(float* a) {  // three vectors, nearly so; right-handed afterwards
    float scale = inverse_root(dot3(a, a)), along;
#pragma unroll
    for (int n = 0; n < 3; ++n) a[n] *= scale;
    along = dot3(a, a + 3);
#pragma unroll
    for (int n = 0; n < 3; ++n) a[3 + n] = fmaf(-along, a[n], a[3 + n]);
    scale = inverse_root(dot3(a + 3, a + 3));
#pragma unroll
    for (int n = 0; n < 3; ++n) a[3 + n] *= scale;
    cross3(a, a + 3, a + 6);
}

// f = U diag(s) V^T with rotations U and V; columns of U and V are written as rows: u[3 * i] begins the i-th. s falls,
// and its last entry is negative where f is turned inside out. Jacobi on f^T f, then U from the images of V.
FN void decompose(const float* f, float* u, float* s, float* columns) {
    float xx = fmaf(f[0], f[0], fmaf(f[3], f[3], f[6] * f[6]));
    float yy = fmaf(f[1], f[1], fmaf(f[4], f[4], f[7] * f[7]));
    float zz = fmaf(f[2], f[2], fmaf(f[5], f[5], f[8] * f[8]));
    float xy = fmaf(f[0], f[1], fmaf(f[3], f[4], f[6] * f[7]));
    float xz = fmaf(f[0], f[2], fmaf(f[3], f[5], f[6] * f[8]));
    float yz = fmaf(f[1], f[2], fmaf(f[4], f[5], f[7] * f[8]));
    float v[9] = {1, 0, 0, 0, 1, 0, 0, 0, 1};
    for (int sweep = 0; sweep < 6; ++sweep) {
        float off = fmaf(xy, xy, fmaf(xz, xz, yz * yz)), all = fmaf(xx, xx, fmaf(yy, yy, zz * zz));
        if (!(off > 1e-15f * all)) break;
        ROTATE(xx, yy, xy, xz, yz, 0, 1)
        ROTATE(xx, zz, xz, xy, yz, 0, 2)
        ROTATE(yy, zz, yz, xy, xz, 1, 2)
    }
    float size[3] = {xx, yy, zz}, image[9];
#pragma unroll
    for (int i = 0; i < 3; ++i)
#pragma unroll
        for (int n = 0; n < 3; ++n) columns[3 * i + n] = v[3 * n + i];
    order(columns, size[0], columns + 3, size[1]);
    order(columns, size[0], columns + 6, size[2]);
    order(columns + 3, size[1], columns + 6, size[2]);
    // The rotations' rounding has added up: V is made orthonormal again, which is worth a digit of the stress.
    orthonormal(columns);
#pragma unroll
    for (int i = 0; i < 3; ++i)
#pragma unroll
        for (int n = 0; n < 3; ++n) image[3 * i + n] = dot3(f + 3 * n, columns + 3 * i);
    size[0] = dot3(image, image);
    float scale = inverse_root(fmaxf(size[0], 1e-30f));
    s[0] = size[0] * scale;
#pragma unroll
    for (int n = 0; n < 3; ++n) u[n] = image[n] * scale;
    float along = dot3(u, image + 3);
#pragma unroll
    for (int n = 0; n < 3; ++n) u[3 + n] = fmaf(-along, u[n], image[3 + n]);
    size[1] = dot3(u + 3, u + 3);
    scale = inverse_root(fmaxf(size[1], 1e-30f));
    s[1] = size[1] * scale;
#pragma unroll
    for (int n = 0; n < 3; ++n) u[3 + n] *= scale;
    cross3(u, u + 3, u + 6);
    s[2] = dot3(u + 6, image + 6);
}

// out = U diag(s) W^T from columns that are written as rows
FN void compose(const float* u, const float* s, const float* w, float* out) {
#pragma unroll
    for (int i = 0; i < 3; ++i)
#pragma unroll
        for (int j = 0; j < 3; ++j)
            out[3 * i + j] = fmaf(u[i] * s[0], w[j], fmaf(u[3 + i] * s[1], w[3 + j], u[6 + i] * s[2] * w[6 + j]));
}

// f: the deformation a substep begins with, on return the one it leaves; packed likewise (Jp). stress: nine entries of
// the Kirchhoff stress [Pa]. Returns false where f has no meaning left for the law.
FN bool apply_law(const float* row, float* f, float& packed, float* stress) {
    int model = (int)row[MODEL];
    float lambda = row[LAMBDA], mu = row[MU];
    if (model == LIQUID) {
        float volume = determinant(f);
        bool sound = volume > 0.0f;
        float root = cbrtf(volume);
        float share = row[VISCOSITY] * reciprocal(root * root), b[6];
        b[0] = dot3(f, f), b[1] = dot3(f + 3, f + 3), b[2] = dot3(f + 6, f + 6);
        b[3] = dot3(f, f + 3), b[4] = dot3(f, f + 6), b[5] = dot3(f + 3, f + 6);
        float mean = (b[0] + b[1] + b[2]) * (1.0f / 3.0f), pressure = lambda * volume * (volume - 1.0f);
        stress[0] = fmaf(share, b[0] - mean, pressure);
        stress[4] = fmaf(share, b[1] - mean, pressure);
        stress[8] = fmaf(share, b[2] - mean, pressure);
        stress[1] = stress[3] = share * b[3];
        stress[2] = stress[6] = share * b[4];
        stress[5] = stress[7] = share * b[5];
#pragma unroll
        for (int n = 0; n < 9; ++n) f[n] = n % 4 ? 0.0f : root;
        return sound;
    }
    if (model == ELASTIC) {
        float volume = determinant(f);
        if (volume > UPRIGHT) {
            float r[9];
            polar(f, r);
#pragma unroll
            for (int n = 0; n < 9; ++n) r[n] = 2.0f * mu * (f[n] - r[n]);
            float pressure = lambda * volume * (volume - 1.0f);
#pragma unroll
            for (int i = 0; i < 3; ++i)
#pragma unroll
                for (int j = 0; j < 3; ++j) stress[3 * i + j] = dot3(r + 3 * i, f + 3 * j) + (i == j ? pressure : 0.0f);
            return true;
        }
    }
    float u[9], s[3], v[9], harder = 1.0f;
    decompose(f, u, s, v);
    float volume = s[0] * s[1] * s[2];
    bool sound = volume == volume;
    if (model == PLASTIC) {
        float strain[3], shear[3];
#pragma unroll
        for (int d = 0; d < 3; ++d) strain[d] = logf(fmaxf(s[d], 0.05f));
        float mean = (strain[0] + strain[1] + strain[2]) * (1.0f / 3.0f);
#pragma unroll
        for (int d = 0; d < 3; ++d) shear[d] = strain[d] - mean;
        float square = dot3(shear, shear) + SMALL, shorter = inverse_root(square), size = square * shorter;
        float excess = size - row[YIELD] * reciprocal(2.0f * mu);
        if (excess > 0.0f) {
            float share = excess * shorter;
#pragma unroll
            for (int d = 0; d < 3; ++d) s[d] = expf(fmaf(-share, shear[d], strain[d]));
            compose(u, s, v, f);
        }
    } else if (model == SNOW) {
        float before = packed;
#pragma unroll
        for (int d = 0; d < 3; ++d) {
            float kept = fminf(fmaxf(s[d], 1.0f - SNOW_COMPRESSION), 1.0f + SNOW_STRETCH);
            packed *= s[d] / kept;
            s[d] = kept;
        }
        packed = fminf(fmaxf(packed, 0.05f), 20.0f);
        volume = s[0] * s[1] * s[2];
        harder = fminf(expf(SNOW_HARDENING * (1.0f - before)), SNOW_STIFFEST);
        compose(u, s, v, f);
    }
    float pressure = lambda * volume * (volume - 1.0f), principal[3];
#pragma unroll
    for (int d = 0; d < 3; ++d) principal[d] = harder * fmaf(2.0f * mu * s[d], s[d] - 1.0f, pressure);
    compose(u, principal, u, stress);
    return sound;
}
