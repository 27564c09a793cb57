/* SPDX-License-Identifier: Apache-2.0 */
/* MIG instances and processes of NVIDIA GPUs, gathered a few calls at a time in what a read leaves over: calls of the
 * library may take 100 ms, and 56 instances have hundreds of questions. Reads no energy. */
#ifndef CARNOT_SOURCES_NVML_USAGE_H
#define CARNOT_SOURCES_NVML_USAGE_H

#include "base/clock.h"
#include "sources/gpu_usage.h"
#include "sources/nvml_abi.h"

/* After the energies of a read so much time goes into usage: as much as they took, within these bounds. The thread of a
 * slow source rests as long as it read, so this bounds how much later energies come (a second), and how often the
 * library is busy for us (half of the time at most). */
#define NVML_USAGE_WALL_MIN_NS (100 * NS_PER_MS)
#define NVML_USAGE_WALL_MAX_NS (500 * NS_PER_MS)

/* A library that spins in its calls instead of sleeping is called less: of each second so much of a core, saved up to a
 * tenth of a second. */
#define NVML_USAGE_CPU_PERCENT     1
#define NVML_USAGE_CPU_SAVE_MAX_NS (100 * NS_PER_MS)

/* The driver's own samples are a sixth of a second to a second long: more often tells nothing new. */
#define NVML_USAGE_ROUND_NS NS_PER_SEC

/* Instances come and go rarely. A process on one that is not known, or one that no longer answers, makes us look
 * earlier, but not again and again. */
#define NVML_USAGE_LOOK_NS       (300 * NS_PER_SEC)
#define NVML_USAGE_LOOK_AGAIN_NS (30 * NS_PER_SEC)

struct nvml_usage;

/* For n GPUs (at most DOMAINS_MAX), numbered as the source's domains. NULL when out of memory. */
struct nvml_usage *nvml_usage_new(const struct nvml_api *api, struct carnot_clock *clock, unsigned int n);
struct nvml_usage *nvml_usage_free(struct nvml_usage *usage);

/* Which handle a GPU has; NULL: leave it alone, it does not answer. */
void nvml_usage_set_handle(struct nvml_usage *usage, unsigned int gpu, struct nvml_device *handle);

/* Goes on gathering where it stopped. The energies of this read took so long. */
void nvml_usage_gather(struct nvml_usage *usage, uint64_t energies_took_ns);

/* After a suspend: what was sampled before belongs to no window. */
void nvml_usage_reset(struct nvml_usage *usage);

/* As source_ops.usage: on any thread, beside nvml_usage_gather(). */
int nvml_usage_get(struct nvml_usage *usage, struct gpu_usage *ret_usage);

#endif
