/* libnvidia-ml.so.1 without a GPU: NVML's functions, answered by a script (FINETUNE_SCRIPTED_NVML names it).
 *
 * Types and codes are those of NVIDIA's nvml.h, as far as a training asks.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "script.h"

enum {
    SUCCESS = 0,
    UNINITIALIZED = 1,
    INVALID_ARGUMENT = 2,
    NOT_SUPPORTED = 3,
    NOT_FOUND = 6,
    LIBRARY_NOT_FOUND = 12,
    GPU_IS_LOST = 15,
    UNKNOWN = 999
};
typedef struct {
    unsigned int gpu, memory;
} Utilization;
typedef struct {
    unsigned long long total, free, used;
} Memory;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static Script script;
static bool is_ready;
static double started, virtual_now, process_before;

static double seconds_of(clockid_t clock) {
    struct timespec time;
    clock_gettime(clock, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static double now(void) {
    return script.virtual_clock ? virtual_now : seconds_of(CLOCK_MONOTONIC) - started;
}

/* The share of one CPU that this process used since the last look. */
static double load_of_process(double seconds) {
    double used = seconds_of(CLOCK_PROCESS_CPUTIME_ID);
    double load = (used - process_before) / seconds;
    process_before = used;
    return load < 1 ? load : 1;
}

static Event *next_event(double until) {
    Event *next = NULL;
    for (int index = 0; index < script.events; index++) {
        Event *event = &script.event[index];
        if (!event->done && event->at <= until && (!next || event->at < next->at)) next = event;
    }
    return next;
}

static void bring_all_to(double time) {
    for (int index = 0; index < script.gpus; index++) advance_gpu(&script.gpu[index], time - script.gpu[index].time);
}

/* Everything that happened until now. The lock is held. */
static void catch_up(void) {
    double time = now();
    /* Of shorter times the process's clock tells too little. */
    double passed = time - script.gpu[0].time;
    if (script.load_of_process && passed < 0.01) return;
    if (script.load_of_process) {
        double load = load_of_process(passed);
        for (int index = 0; index < script.gpus; index++) script.gpu[index].load = load;
    }
    for (Event *event = next_event(time); event; event = next_event(time)) {
        bring_all_to(event->at);
        set_value(&script.gpu[event->gpu], event->key, event->value);
        event->done = true;
    }
    bring_all_to(time);
}

/* Tests start, load and advance the GPUs by these. A script that is started anew starts everything anew. */

int scripted_start(const char *path) {
    pthread_mutex_lock(&lock);
    memset(&script, 0, sizeof script);
    virtual_now = 0;
    started = seconds_of(CLOCK_MONOTONIC);
    process_before = seconds_of(CLOCK_PROCESS_CPUTIME_ID);
    is_ready = read_script(path, &script);
    pthread_mutex_unlock(&lock);
    return is_ready ? SUCCESS : UNKNOWN;
}

/* From here on it is as if there were no NVML. */
void scripted_end(void) {
    is_ready = false;
}

void scripted_load(int index, double load) {
    pthread_mutex_lock(&lock);
    catch_up();
    script.gpu[index].load = load;
    pthread_mutex_unlock(&lock);
}

void scripted_advance(double seconds) {
    pthread_mutex_lock(&lock);
    virtual_now += seconds;
    catch_up();
    pthread_mutex_unlock(&lock);
}

double scripted_celsius(int index) {
    return script.gpu[index].celsius;
}

double scripted_joules(int index) {
    return script.gpu[index].joules;
}

/* NVML */

int nvmlInitWithFlags(unsigned int flags) {
    (void)flags;
    const char *path = getenv("FINETUNE_SCRIPTED_NVML");
    if (is_ready) return SUCCESS;
    return path ? scripted_start(path) : LIBRARY_NOT_FOUND;
}

int nvmlInit_v2(void) {
    return nvmlInitWithFlags(0);
}

int nvmlShutdown(void) {
    return SUCCESS;
}

const char *nvmlErrorString(int code) {
    switch (code) {
    case SUCCESS: return "Success";
    case UNINITIALIZED: return "Uninitialized";
    case INVALID_ARGUMENT: return "Invalid Argument";
    case NOT_SUPPORTED: return "Not Supported";
    case NOT_FOUND: return "Not Found";
    case LIBRARY_NOT_FOUND: return "NVML Shared Library Not Found";
    case GPU_IS_LOST: return "GPU is lost";
    default: return "Unknown Error";
    }
}

int nvmlDeviceGetCount_v2(unsigned int *count) {
    *count = (unsigned int)script.gpus;
    return is_ready ? SUCCESS : UNINITIALIZED;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned int index, Gpu **gpu) {
    if (!is_ready) return UNINITIALIZED;
    if (index >= (unsigned int)script.gpus) return INVALID_ARGUMENT;
    *gpu = &script.gpu[index];
    return SUCCESS;
}

/* A bus id may have a domain of four or of eight digits. */
static bool is_same_bus(const char *one, const char *other) {
    const char *short_one = strlen(one) > 12 ? one + strlen(one) - 12 : one;
    const char *short_other = strlen(other) > 12 ? other + strlen(other) - 12 : other;
    return strcasecmp(short_one, short_other) == 0;
}

int nvmlDeviceGetHandleByPciBusId_v2(const char *bus, Gpu **gpu) {
    for (int index = 0; index < script.gpus; index++)
        if (is_same_bus(script.gpu[index].bus, bus)) {
            *gpu = &script.gpu[index];
            return SUCCESS;
        }
    return NOT_FOUND;
}

int nvmlDeviceGetHandleByUUID(const char *uuid, Gpu **gpu) {
    for (int index = 0; index < script.gpus; index++)
        if (strcmp(script.gpu[index].uuid, uuid) == 0) {
            *gpu = &script.gpu[index];
            return SUCCESS;
        }
    return NOT_FOUND;
}

/* Runs up to now; what the caller then reads is of one moment. */
static int asked(Gpu *gpu, bool is_supported) {
    pthread_mutex_lock(&lock);
    catch_up();
    pthread_mutex_unlock(&lock);
    if (gpu->lost) return GPU_IS_LOST;
    return is_supported ? SUCCESS : NOT_SUPPORTED;
}

int nvmlDeviceGetName(Gpu *gpu, char *name, unsigned int length) {
    snprintf(name, length, "%s", gpu->name);
    return asked(gpu, true);
}

int nvmlDeviceGetUUID(Gpu *gpu, char *uuid, unsigned int length) {
    snprintf(uuid, length, "%s", gpu->uuid);
    return asked(gpu, true);
}

int nvmlDeviceGetMemoryInfo(Gpu *gpu, Memory *memory) {
    memory->total = (unsigned long long)gpu->memory_bytes;
    memory->used = (unsigned long long)gpu->used_bytes;
    memory->free = memory->total - memory->used;
    return asked(gpu, true);
}

int nvmlDeviceGetTemperature(Gpu *gpu, int sensor, unsigned int *celsius) {
    if (sensor != 0) return INVALID_ARGUMENT;
    int code = asked(gpu, gpu->has_temperature);
    /* Whole degrees, and what is behind the point is cut off: that hides most of a limit that is passed. */
    *celsius = (unsigned int)gpu->celsius;
    return code;
}

int nvmlDeviceGetPowerUsage(Gpu *gpu, unsigned int *milliwatts) {
    int code = asked(gpu, gpu->has_power);
    *milliwatts = (unsigned int)(gpu->watts * 1000);
    return code;
}

int nvmlDeviceGetEnforcedPowerLimit(Gpu *gpu, unsigned int *milliwatts) {
    *milliwatts = (unsigned int)(gpu->limit_watts * 1000);
    return asked(gpu, gpu->has_power);
}

int nvmlDeviceGetTotalEnergyConsumption(Gpu *gpu, unsigned long long *millijoules) {
    int code = asked(gpu, gpu->has_energy);
    *millijoules = (unsigned long long)(gpu->joules * 1000);
    return code;
}

int nvmlDeviceGetUtilizationRates(Gpu *gpu, Utilization *utilization) {
    int code = asked(gpu, true);
    utilization->gpu = (unsigned int)(gpu->load * 100 + 0.5);
    utilization->memory = utilization->gpu / 2;
    return code;
}

int nvmlDeviceGetMigMode(Gpu *gpu, unsigned int *current, unsigned int *pending) {
    *current = *pending = gpu->mig;
    return asked(gpu, true);
}
