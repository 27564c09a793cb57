/* SPDX-License-Identifier: Apache-2.0 */
/* Parses columns of ticks. Kernels have added columns over time; those that are missing count as 0. */
#include "sources/proc_stat.h"

#include <errno.h>

/* Columns of a cpu line, in their order (proc_stat(5)). guest is contained in user, guest_nice in nice. */
enum { USER, NICE, SYSTEM, IDLE, IOWAIT, IRQ, SOFTIRQ, STEAL, COLUMNS };

static bool parse_cpu_line(struct text line, struct proc_stat_cpu *ret)
{
    uint64_t ticks[COLUMNS] = {0}, cpu;
    struct text word;

    if (!scan_word(&line, &word) || !text_starts(word, "cpu"))
        return false;
    word.p += 3;
    word.n -= 3;
    if (parse_u64(word, &cpu) < 0)
        return false;
    for (size_t i = 0; i < COLUMNS && scan_word(&line, &word); i++) {
        if (parse_u64(word, &ticks[i]) < 0)
            return false;
    }
    uint64_t busy = ticks[USER] + ticks[NICE] + ticks[SYSTEM] + ticks[IRQ] + ticks[SOFTIRQ];
    uint64_t idle = ticks[IDLE] + ticks[IOWAIT];
    *ret = (struct proc_stat_cpu){.cpu = cpu, .busy = busy, .idle = idle, .total = busy + idle + ticks[STEAL]};
    return true;
}

bool proc_stat_next_cpu(struct text *rest, struct proc_stat_cpu *ret_cpu)
{
    struct text line;

    while (rest->n && memchr(rest->p, '\n', rest->n) && scan_line(rest, &line)) {
        if (!text_starts(line, "cpu"))
            return false; /* the CPU lines stand together, at the start */
        if (parse_cpu_line(line, ret_cpu))
            return true;
    }
    return false;
}

/* "MemTotal:       15666184 kB" */
static bool take_kib(struct text line, const char *key, uint64_t *out)
{
    struct text word;
    uint64_t kib;

    if (!scan_word(&line, &word) || !text_is(word, key) || scan_u64(&line, &kib) < 0 || kib > UINT64_MAX / 4096)
        return false;
    *out = kib * 1024;
    return true;
}

int meminfo_used_bytes(struct text text, uint64_t *ret_used, uint64_t *ret_total)
{
    uint64_t total = 0, available = 0, unused = 0, buffers = 0, cached = 0;
    bool has_total = false, has_available = false;
    struct text line;

    while (scan_line(&text, &line)) {
        has_total |= take_kib(line, "MemTotal:", &total);
        has_available |= take_kib(line, "MemAvailable:", &available);
        take_kib(line, "MemFree:", &unused);
        take_kib(line, "Buffers:", &buffers);
        take_kib(line, "Cached:", &cached);
    }
    if (!has_total)
        return -EINVAL;
    if (!has_available)
        available = unused + buffers + cached;
    *ret_used = total > available ? total - available : 0;
    *ret_total = total;
    return 0;
}
