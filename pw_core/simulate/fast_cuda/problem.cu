// What every kernel is given, and how its arrays are laid out. tables.py and engine.py make them.

struct Problem {
    int worlds, particles, stride, entities, actions, substeps, bodies, tools, keys;
    int lowest[3], nodes[3];  // the domain: its lowest node, counted from the world's origin, and how many there are
    float low_wall[3], high_wall[3];
    float cell, per_cell, substep, volume;
    int shared_nodes, spare_nodes;  // of a world's grid: in shared memory, and in device memory beyond
    double step;              // [s]
    float* state;             // (worlds, 25, stride): position, velocity, C, F, Jp
    const unsigned char* active;  // (worlds, stride)
    const int* entity;        // (stride,), -1 beyond the last particle
    const float* rows;        // (worlds, entities, ROW_SIZE)
    const float* units;       // (worlds, 4): mass and momentum in units, floor friction
    double* schedule;         // (worlds, actions, 16)
    float* slots;             // (worlds, actions, 8): the actions that are in force on all
    int* counts;              // (worlds, 4): slots in force
    int* windows;             // (worlds, 3, 8): first and last node of what is touched, for three substeps in turn
    int* grid;                // (worlds or blocks, 2, nodes)
    int* status;              // (worlds,)
    const int* time;          // steps since the start
    double* body_rows;        // (worlds, bodies, BODY_SIZE): rigid.cu
    const double* shapes;     // (bodies, SHAPE_SIZE)
    const float4* samples;    // of the bodies' distances [m] and their gradients, one grid after another
    const double* support;    // (.., 3): corners of the bodies' hulls about their centres
    const float* rest;        // (.., 3): the bodies' particles about their centres
    double* tool_rows;        // (worlds, tools, TOOL_SIZE): bodies.cu
    const double* key_rows;   // (worlds, tools, keys, KEY_SIZE)
    struct Near* near;        // (worlds, bodies), where many blocks share a world
    long long* given;         // (worlds, 2, bodies, 6), likewise: what nodes gave them, for two substeps in turn
};

enum State { POSITION = 0, VELOCITY = 3, AFFINE = 6, DEFORMATION = 15, PACKED = 24, STATE_SIZE = 25 };
enum Fault { UNSTABLE = 1, SPREAD = 2, EMPTY_PUSH = 4 };
enum Units { MASS_UNITS = 0, MOMENTUM_UNITS = 1, FRICTION = 2, UNITS_SIZE = 4 };
