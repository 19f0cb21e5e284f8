/* The script: which GPUs there are, and what befalls them.
 *
 *   clock virtual                     time passes only by scripted_advance(); without it, as on the wall
 *   load process                      a GPU is as busy as this process; without it, as scripted_load() says
 *   gpu name=TEXT uuid=TEXT bus=TEXT idle=W busy=W lag=S ambient=C resistance=K/W tau=S limit=W memory=BYTES
 *       used=BYTES mig=0|1 energy=0|1 power=0|1 temperature=0|1 celsius=C
 *   at SECONDS gpu INDEX ambient=C | lost=0|1 | counter=JOULES | busy=W | resistance=K/W
 *
 * Underscores in a name stand for spaces. `celsius` is the temperature at the start; without it, that of an idle GPU.
 */
#ifndef SCRIPT_H
#define SCRIPT_H

#include "model.h"

typedef struct {
    double at;
    int gpu;
    char key[TEXT], value[TEXT];
    bool done;
} Event;

typedef struct {
    bool virtual_clock, load_of_process;
    int gpus, events;
    Gpu gpu[MAX_GPUS];
    Event event[MAX_EVENTS];
} Script;

/* False, with a line on stderr, where the file cannot be read or understood. */
bool read_script(const char *path, Script *script);

/* False where there is no such key. */
bool set_value(Gpu *gpu, const char *key, const char *value);

#endif
