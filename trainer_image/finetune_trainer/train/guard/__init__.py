"""The guard: what a GPU draws and how hot it is, and how fast a training may therefore go.

`gpus` reads NVML; `power` and `temperature` each answer one question, how long a GPU has to rest before the next
micro-batch may begin; `controller` asks them for all GPUs and decides when resting is not enough. All of these are pure
but `gpus`. `watch` reads once a second and keeps the energy; `callback` rests between the micro-batches.
"""
