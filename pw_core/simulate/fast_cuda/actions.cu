// The table of actions.

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
