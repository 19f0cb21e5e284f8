#include "script.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    const char *key;
    size_t offset;
} Field;

static const Field NUMBERS[] = {
    {"idle", offsetof(Gpu, idle_watts)},       {"busy", offsetof(Gpu, busy_watts)},
    {"lag", offsetof(Gpu, power_seconds)},     {"ambient", offsetof(Gpu, ambient)},
    {"resistance", offsetof(Gpu, resistance)}, {"tau", offsetof(Gpu, thermal_seconds)},
    {"limit", offsetof(Gpu, limit_watts)},     {"memory", offsetof(Gpu, memory_bytes)},
    {"used", offsetof(Gpu, used_bytes)},       {"counter", offsetof(Gpu, joules)},
    {"celsius", offsetof(Gpu, celsius)},
};
static const Field SWITCHES[] = {
    {"mig", offsetof(Gpu, mig)},         {"energy", offsetof(Gpu, has_energy)},
    {"power", offsetof(Gpu, has_power)}, {"temperature", offsetof(Gpu, has_temperature)},
    {"lost", offsetof(Gpu, lost)},
};
static const Field TEXTS[] = {
    {"name", offsetof(Gpu, name)},
    {"uuid", offsetof(Gpu, uuid)},
    {"bus", offsetof(Gpu, bus)},
};
#define COUNT(list) (sizeof(list) / sizeof(list[0]))

static void *find(Gpu *gpu, const char *key, const Field *fields, size_t count) {
    for (size_t index = 0; index < count; index++)
        if (strcmp(fields[index].key, key) == 0) return (char *)gpu + fields[index].offset;
    return NULL;
}

bool set_value(Gpu *gpu, const char *key, const char *value) {
    double *number = find(gpu, key, NUMBERS, COUNT(NUMBERS));
    bool *is_on = find(gpu, key, SWITCHES, COUNT(SWITCHES));
    char *text = find(gpu, key, TEXTS, COUNT(TEXTS));
    if (number) *number = atof(value);
    if (is_on) *is_on = atoi(value) != 0;
    if (text) {
        snprintf(text, strcmp(key, "bus") == 0 ? sizeof gpu->bus : TEXT, "%s", value);
        for (char *letter = text; *letter; letter++)
            if (*letter == '_') *letter = ' ';
    }
    return number || is_on || text;
}

static Gpu new_gpu(int index) {
    Gpu gpu = {.name = "Scripted GPU",
               .idle_watts = 50,
               .busy_watts = 400,
               .power_seconds = 0.2,
               .ambient = 25,
               .resistance = 0.2,
               .thermal_seconds = 60,
               .limit_watts = 450,
               .memory_bytes = 24.0 * 1024 * 1024 * 1024,
               .has_energy = true,
               .has_power = true,
               .has_temperature = true,
               .celsius = -1};
    snprintf(gpu.uuid, sizeof gpu.uuid, "GPU-00000000-0000-0000-0000-%012d", index);
    snprintf(gpu.bus, sizeof gpu.bus, "00000000:%02x:00.0", index + 1);
    return gpu;
}

static bool set_pairs(Gpu *gpu, char *pairs) {
    char *rest = NULL;
    for (char *pair = strtok_r(pairs, " \n", &rest); pair; pair = strtok_r(NULL, " \n", &rest)) {
        char *equals = strchr(pair, '=');
        if (!equals) return false;
        *equals = '\0';
        if (!set_value(gpu, pair, equals + 1)) return false;
    }
    return true;
}

static bool add_gpu(Script *script, char *pairs) {
    if (script->gpus == MAX_GPUS) return false;
    Gpu *gpu = &script->gpu[script->gpus];
    *gpu = new_gpu(script->gpus++);
    if (!set_pairs(gpu, pairs)) return false;
    gpu->watts = gpu->idle_watts;
    if (gpu->celsius < 0) gpu->celsius = gpu->ambient + gpu->resistance * gpu->idle_watts;
    return true;
}

static bool add_event(Script *script, const char *line) {
    if (script->events == MAX_EVENTS) return false;
    Event *event = &script->event[script->events++];
    return sscanf(line, "at %lf gpu %d %95[^=]=%95s", &event->at, &event->gpu, event->key, event->value) == 4;
}

static bool understand(Script *script, char *line) {
    if (line[0] == '\n' || line[0] == '#') return true;
    if (strcmp(line, "clock virtual\n") == 0) return script->virtual_clock = true;
    if (strcmp(line, "load process\n") == 0) return script->load_of_process = true;
    if (strncmp(line, "gpu ", 4) == 0 || strcmp(line, "gpu\n") == 0) return add_gpu(script, line + 3);
    return add_event(script, line);
}

bool read_script(const char *path, Script *script) {
    FILE *file = fopen(path, "r");
    if (!file) {
        perror(path);
        return false;
    }
    char line[1024];
    bool is_whole = true;
    while (is_whole && fgets(line, sizeof line, file)) is_whole = understand(script, line);
    if (!is_whole) fprintf(stderr, "%s: not understood: %s\n", path, line);
    fclose(file);
    return is_whole;
}
