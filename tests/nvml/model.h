/* A GPU of first order: power follows the load, temperature follows power.
 *
 *   dP/dt = (idle + load * (busy - idle) - P) / power_seconds
 *   dT/dt = (ambient + resistance * P - T) / thermal_seconds
 *
 * Within a stretch of constant load both are solved exactly, so a stretch may be as long as one likes.
 */
#ifndef MODEL_H
#define MODEL_H

#include <stdbool.h>

#define MAX_GPUS 16
#define MAX_EVENTS 64
#define TEXT 96

typedef struct {
    char name[TEXT];
    char uuid[TEXT];
    char bus[32];
    double idle_watts, busy_watts, power_seconds;
    double ambient, resistance, thermal_seconds; /* degrees C, K per W, s */
    double limit_watts, memory_bytes, used_bytes;
    bool has_energy, has_power, has_temperature, mig, lost;
    double load, time, watts, celsius, joules; /* what changes */
} Gpu;

/* Puts `gpu` so many seconds further, under the load that it has. */
void advance_gpu(Gpu *gpu, double seconds);

#endif
