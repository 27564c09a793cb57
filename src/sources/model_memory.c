/* SPDX-License-Identifier: Apache-2.0 */
/* Power of all memory together, see model_memory.h. The share of busy CPUs stands for memory traffic where a
 * calibration tells two powers: nothing better is known without counters. */
#include "sources/model_memory.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "sources/model_tdp.h"
#include "sources/proc_stat.h"

#define MEMINFO_MAX 8192 /* some 1.5 KiB today */

#define BYTES_PER_GB (1ULL << 30)

void model_integrate(struct model_integral *integral, uint64_t power_uw, uint64_t duration_ns)
{
    unsigned __int128 sum = (unsigned __int128)power_uw * duration_ns + integral->remainder;

    integral->uj += (uint64_t)(sum / NS_PER_SEC);
    integral->remainder = (uint64_t)(sum % NS_PER_SEC);
}

uint64_t model_uw(double watts)
{
    return watts > 0 ? (uint64_t)llround(watts * 1e6) : 0;
}

void model_put_watts(struct buf *out, double watts)
{
    buf_put_double_fixed(out, watts, 2);
    buf_puts(out, " W");
}

static int read_memory(int fd, uint64_t *ret_used, uint64_t *ret_total)
{
    char text[MEMINFO_MAX];
    ssize_t n = fd_read_front(fd, text, sizeof(text));

    if (n < 0)
        return (int)n;
    return meminfo_used_bytes((struct text){text, (size_t)n}, ret_used, ret_total) < 0 ? -EPROTO : 0;
}

int memory_model_open(const struct carnot_env *env, const struct calibration *calibration, double watts_per_gb,
                      struct memory_model *ret)
{
    struct memory_model memory = {.fd = -1, .watts_per_gb = watts_per_gb};
    uint64_t used;

    if (!calibration || !calibration_memory(calibration, &memory.known)) {
        _cleanup_close_ int fd = fsroot_openat(&env->proc, "meminfo", 0, NULL);

        int r = fd < 0 ? fd : read_memory(fd, &used, &memory.total_bytes);
        if (r < 0)
            return r;
        memory.fd = TAKE_FD(fd);
    }
    *ret = memory;
    return 0;
}

void memory_model_close(struct memory_model *memory)
{
    cleanup_closep(&memory->fd);
    memory->fd = -1;
}

struct domain memory_model_domain(const struct memory_model *memory, const char *source)
{
    return (struct domain){
        .name = "dram-0",
        .kind = DOMAIN_DRAM,
        .quality = QUALITY_MODELLED,
        .package = -1,
        .die = -1,
        .node = -1,
        .source = source,
        .idle_uw = memory->known.idle_uw,
        .max_uw = memory->known.idle_uw ? max_u64(memory->known.idle_uw, memory->known.loaded_uw)
                                        : model_uw((double)memory->total_bytes / BYTES_PER_GB * memory->watts_per_gb),
    };
}

static int power_now_uw(const struct memory_model *memory, double busy, uint64_t *ret_uw)
{
    double idle_w = (double)memory->known.idle_uw / 1e6, loaded_w = (double)memory->known.loaded_uw / 1e6;
    uint64_t used, total;

    if (memory->known.idle_uw) {
        *ret_uw = model_uw(model_power_w(idle_w, loaded_w > idle_w ? loaded_w : idle_w, 1, busy));
        return 0;
    }
    int r = read_memory(memory->fd, &used, &total);
    if (r < 0)
        return r;
    *ret_uw = model_uw((double)used / BYTES_PER_GB * memory->watts_per_gb);
    return 0;
}

struct reading memory_model_read(struct memory_model *memory, double busy, uint64_t duration_ns, struct carnot_err *err)
{
    uint64_t uw = 0;
    int status = power_now_uw(memory, busy, &uw);

    if (status == 0)
        model_integrate(&memory->energy, uw, duration_ns);
    else
        carnot_err_errno(err, status, "cannot read the memory in use from /proc/meminfo");
    return (struct reading){
        .status = status,
        .counter_uj = memory->energy.uj,
        .idle_uw = memory->known.loaded_uw ? memory->known.idle_uw : DOMAIN_ALL_IDLE,
    };
}

void memory_model_describe(const struct memory_model *memory, struct buf *out)
{
    const struct calibration_power *known = &memory->known;

    buf_puts(out, "dram-0: ");
    if (known->idle_uw == 0) {
        buf_put_double(out, memory->watts_per_gb);
        buf_puts(out, " W per GB (2^30 bytes) of memory in use (MemTotal - MemAvailable), all of it counted as idle\n");
        return;
    }
    model_put_watts(out, (double)known->idle_uw / 1e6);
    if (known->loaded_uw) {
        buf_puts(out, " + ");
        model_put_watts(out, (double)(known->loaded_uw - known->idle_uw) / 1e6);
        buf_puts(out, " * busy share of all CPUs");
    }
    buf_puts(out, ", from the calibration\n");
}
