#include "model.h"

#include <math.h>

/* Longest stretch over which the power that drives the temperature is taken as its mean. */
static const double STRETCH = 1.0;

static double settled(double from, double to, double seconds, double constant) {
    return constant > 0 ? to + (from - to) * exp(-seconds / constant) : to;
}

static void advance_a_stretch(Gpu *gpu, double seconds) {
    double target = gpu->idle_watts + gpu->load * (gpu->busy_watts - gpu->idle_watts);
    double watts = settled(gpu->watts, target, seconds, gpu->power_seconds);
    /* The integral of an exponential approach. */
    double joules = target * seconds + (gpu->watts - watts) * gpu->power_seconds;
    double mean = joules / seconds;
    gpu->celsius = settled(gpu->celsius, gpu->ambient + gpu->resistance * mean, seconds, gpu->thermal_seconds);
    gpu->joules += joules;
    gpu->watts = watts;
    gpu->time += seconds;
}

void advance_gpu(Gpu *gpu, double seconds) {
    while (seconds > 0) {
        double stretch = seconds < STRETCH ? seconds : STRETCH;
        advance_a_stretch(gpu, stretch);
        seconds -= stretch;
    }
}
