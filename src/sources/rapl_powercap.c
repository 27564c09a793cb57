/* SPDX-License-Identifier: Apache-2.0 */
/* RAPL energy counters through /sys/class/powercap. Holds one descriptor per zone and gives the raw counter with the
 * value at which it wraps; keeps no baseline. The file "enabled" is not looked at: it tells whether a power limit is
 * enforced, the counter runs either way. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/parse.h"
#include "sources/rapl_filter.h"
#include "sources/rapl_mode.h"
#include "sources/rapl_zones.h"
#include "sources/registry.h"

/* A zone has at most three limits (long, short, peak). */
#define CONSTRAINTS_MAX 4

/* A power limit may be set far below what a part draws, and firmware tells nonsense: no zone is held to less. */
#define MAX_POWER_FLOOR_UW 500000000ULL

/* Beyond this a limit is a filler ("4095 W" in every field), which says nothing. */
#define MAX_POWER_CEILING_UW 10000000000ULL

struct zone_reader {
    int fd;
    uint64_t modulus_uj;
};

struct rapl {
    const struct fsroot *sys;
    struct rapl_settings settings;
    size_t n;
    struct rapl_zone zones[DOMAINS_MAX];
    struct domain domains[DOMAINS_MAX];
    struct zone_reader readers[DOMAINS_MAX];
    enum rapl_filter filter;
    bool sgx;
};

static bool zone_file(char *out, size_t size, const struct rapl_zone *zone, const char *file)
{
    int n = snprintf(out, size, "%s/%s", zone->path, file);

    return n > 0 && (size_t)n < size;
}

/* The sentence for a counter that cannot be opened or read. */
static int explain(const struct fsroot *sys, const struct rapl_zone *zone, int code, struct carnot_err *err)
{
    if (code == -EACCES || code == -EPERM)
        return carnot_err_set(
            err, code,
            "no right to read %s/%s/energy_uj: since Linux 5.10 it is for root alone (CVE-2020-8694). "
            "Run as root, or give the program CAP_DAC_READ_SEARCH, or let a udev rule do "
            "`chmod a+r` on it",
            sys->path, zone->path);
    if (code == -ENOENT || code == -ENODEV)
        return carnot_err_set(err, code, "%s/%s vanished; it is taken up again when its driver brings it back",
                              sys->path, zone->path);
    if (code == -EPROTO)
        return carnot_err_set(err, code, "%s/%s/energy_uj holds something that is no number", sys->path, zone->path);
    return carnot_err_errno(err, code, "cannot read %s/%s/energy_uj", sys->path, zone->path);
}

static int open_energy(const struct fsroot *sys, const struct rapl_zone *zone)
{
    char path[RAPL_ZONE_PATH_MAX + 16];

    if (!zone_file(path, sizeof(path), zone, "energy_uj"))
        return -ENAMETOOLONG;
    return fsroot_openat(sys, path, 0, NULL);
}

static uint64_t read_modulus(const struct fsroot *sys, const struct rapl_zone *zone)
{
    char path[RAPL_ZONE_PATH_MAX + 32];
    uint64_t range_uj;

    if (!zone_file(path, sizeof(path), zone, "max_energy_range_uj") || fsroot_read_u64(sys, path, &range_uj, NULL) < 0)
        return 0; /* unknown, which is not a range of 0: a step back counts as a reset then */
    return rapl_modulus_uj(range_uj);
}

/* Twice the largest limit that is told, 0 when none is. */
static uint64_t read_max_uw(const struct fsroot *sys, const struct rapl_zone *zone)
{
    static const char *const files[] = {"max_power_uw", "power_limit_uw"};
    uint64_t largest = 0;

    for (unsigned i = 0; i < CONSTRAINTS_MAX; i++) {
        for (size_t f = 0; f < ELEMENTSOF(files); f++) {
            char file[48], path[RAPL_ZONE_PATH_MAX + 48];
            uint64_t uw;

            snprintf(file, sizeof(file), "constraint_%u_%s", i, files[f]);
            if (zone_file(path, sizeof(path), zone, file) && fsroot_read_u64(sys, path, &uw, NULL) == 0)
                largest = max_u64(largest, uw);
        }
    }
    if (largest == 0 || largest > MAX_POWER_CEILING_UW / 2)
        return 0;
    return max_u64(2 * largest, MAX_POWER_FLOOR_UW);
}

static int find(const struct source_args *args, struct rapl_zone *zones, struct carnot_err *err)
{
    const struct fsroot *sys = &args->env->sys;
    int n = rapl_zones_find(sys, zones, DOMAINS_MAX, err);

    if (n == 0)
        return carnot_err_set(err, ENODEV,
                              "no energy counter below %s/class/powercap: a virtual machine has none; on bare metal "
                              "try `modprobe intel_rapl_msr`",
                              sys->path);
    return n;
}

static int rapl_probe(const struct source_args *args, struct carnot_err *err)
{
    int allowed = rapl_mode_check(RAPL_SYSFS, args->settings, err);
    if (allowed < 0)
        return allowed;

    _cleanup_free_ struct rapl_zone *zones = calloc(DOMAINS_MAX, sizeof(*zones));
    if (!zones)
        return carnot_err_set(err, ENOMEM, "out of memory while looking for energy counters");
    int n = find(args, zones, err);
    if (n < 0)
        return n;

    int first_error = 0;
    size_t failed = 0;
    for (int i = 0; i < n; i++) {
        _cleanup_close_ int fd = open_energy(&args->env->sys, &zones[i]);
        if (fd >= 0)
            return 0;
        if (!first_error || (fd == -EACCES && first_error != -EACCES)) {
            first_error = fd;
            failed = (size_t)i;
        }
    }
    return explain(&args->env->sys, &zones[failed], first_error, err);
}

static void *rapl_close(void *self)
{
    struct rapl *rapl = self;

    for (size_t i = 0; rapl && i < rapl->n; i++) {
        if (rapl->readers[i].fd >= 0)
            close(rapl->readers[i].fd);
    }
    free(rapl);
    return NULL;
}

static int rapl_open(const struct source_args *args, void **ret_self, struct carnot_err *err)
{
    struct rapl *rapl = calloc(1, sizeof(*rapl));
    int first_error = 0;
    size_t n_open = 0, failed = 0;

    if (!rapl)
        return carnot_err_set(err, ENOMEM, "out of memory for the energy counters");
    rapl->sys = &args->env->sys;
    rapl->settings = args->settings ? *(const struct rapl_settings *)args->settings : rapl_default_settings;
    int n = find(args, rapl->zones, err);
    if (n < 0) {
        rapl_close(rapl);
        return n;
    }
    rapl->n = (size_t)n;
    rapl_zones_domains(rapl->zones, rapl->n, rapl->domains);

    for (size_t i = 0; i < rapl->n; i++) {
        struct zone_reader *reader = &rapl->readers[i];

        reader->fd = open_energy(rapl->sys, &rapl->zones[i]);
        reader->modulus_uj = read_modulus(rapl->sys, &rapl->zones[i]);
        rapl->domains[i].quality = QUALITY_MEASURED;
        rapl->domains[i].lasting = true;
        rapl->domains[i].source = source_rapl_powercap.name;
        rapl->domains[i].max_uw = read_max_uw(rapl->sys, &rapl->zones[i]);
        n_open += reader->fd >= 0;
        if (reader->fd < 0 && (!first_error || (reader->fd == -EACCES && first_error != -EACCES))) {
            first_error = reader->fd;
            failed = i;
        }
    }
    if (n_open == 0) {
        int r = explain(rapl->sys, &rapl->zones[failed], first_error, err);
        rapl_close(rapl);
        return r;
    }
    struct rapl_msr_io io = rapl_msr_device(&args->env->root);
    rapl->filter = rapl_filter_read(&io, args->topology);
    rapl->sgx = args->topology && args->topology->sgx;
    rapl_filter_mark(rapl->filter, rapl->domains, rapl->n);
    *ret_self = rapl;
    return 0;
}

static size_t rapl_domains(const void *self, const struct domain **ret_domains)
{
    const struct rapl *rapl = self;

    *ret_domains = rapl->domains;
    return rapl->n;
}

/* The device behind a descriptor went away. */
static bool is_gone(ssize_t r)
{
    return r == -ENODEV || r == -EBADF || r == -ENOENT || r == -ENXIO || r == -ESTALE;
}

static void drop_fd(struct zone_reader *reader, ssize_t why)
{
    if (reader->fd >= 0 && why != -EBADF) /* a number that is no descriptor may be somebody else's soon */
        close(reader->fd);
    reader->fd = -1;
}

/* Opens a zone again by its path, if what is there now has the old name: a driver that comes back may number its zones
 * anew. */
static int reopen(struct rapl *rapl, size_t i)
{
    const struct rapl_zone *zone = &rapl->zones[i];
    char path[RAPL_ZONE_PATH_MAX + 16], name[RAPL_ZONE_NAME_MAX] = "";

    int fd = open_energy(rapl->sys, zone);
    if (fd < 0)
        return fd;
    if (!zone_file(path, sizeof(path), zone, "name") || fsroot_read_line(rapl->sys, path, name, sizeof(name), NULL) < 0)
        name[0] = '\0';
    if (strcmp(name, zone->name) != 0) {
        close(fd);
        return -ENODEV;
    }
    rapl->readers[i].fd = fd;
    rapl->readers[i].modulus_uj = read_modulus(rapl->sys, zone);
    return 0;
}

static int parse_counter(const char *text, ssize_t len, uint64_t *ret)
{
    if (len < 0)
        return (int)len;
    if (len == 0)
        return -ENODATA;
    return parse_u64(text_trim((struct text){text, (size_t)len}), ret) < 0 ? -EPROTO : 0;
}

static int read_zone(struct rapl *rapl, size_t i, uint64_t *ret)
{
    struct zone_reader *reader = &rapl->readers[i];
    char text[64]; /* a decimal number of 64 bits */

    if (reader->fd >= 0) {
        ssize_t len = fd_read_start(reader->fd, text, sizeof(text));
        if (!is_gone(len))
            return parse_counter(text, len, ret);
        drop_fd(reader, len);
    }
    int r = reopen(rapl, i);
    if (r < 0)
        return r;
    ssize_t len = fd_read_start(reader->fd, text, sizeof(text));
    if (is_gone(len))
        drop_fd(reader, len);
    return parse_counter(text, len, ret);
}

static int rapl_read(void *self, uint64_t now_mono_ns, struct reading *out, struct carnot_err *err)
{
    struct rapl *rapl = self;
    bool explained = false;

    for (size_t i = 0; i < rapl->n; i++) {
        uint64_t counter_uj = 0;
        int status = read_zone(rapl, i, &counter_uj);

        out[i] = (struct reading){.domain = (uint32_t)i,
                                  .status = status,
                                  .counter_uj = counter_uj,
                                  .modulus_uj = rapl->readers[i].modulus_uj,
                                  .mono_ns = now_mono_ns};
        if (status < 0 && !explained) {
            explain(rapl->sys, &rapl->zones[i], status, err);
            explained = true;
        }
    }
    return (int)rapl->n;
}

static void rapl_describe(const void *self, struct buf *out)
{
    const struct rapl *rapl = self;

    rapl_mode_describe(RAPL_SYSFS, &rapl->settings, out);
    rapl_filter_describe(rapl->filter, rapl->sgx, out);
    for (size_t i = 0; i < rapl->n; i++) {
        const struct domain *domain = &rapl->domains[i];
        const struct zone_reader *reader = &rapl->readers[i];

        buf_printf(out, "%s: %s", domain->name, rapl->zones[i].id);
        if (reader->modulus_uj) {
            buf_puts(out, ", wraps at ");
            buf_put_fixed(out, reader->modulus_uj, 6);
            buf_puts(out, " J");
        } else {
            buf_puts(out, ", range not readable: a wrap is counted as a reset");
        }
        if (domain->max_uw) {
            buf_puts(out, ", at most ");
            buf_put_fixed(out, domain->max_uw, 6);
            buf_puts(out, " W believed");
        }
        if (reader->fd < 0)
            buf_puts(out, ", not readable");
        buf_putc(out, '\n');
    }
}

const struct source_ops source_rapl_powercap = {
    .name = "rapl_powercap",
    .summary = "RAPL energy counters of processor and memory (/sys/class/powercap)",
    .flags = SOURCE_ON_BY_DEFAULT,
    .group = RAPL_GROUP,
    .settings = &rapl_default_settings,
    .min_interval_ns = NS_PER_MS, /* the hardware updates its counters about once a millisecond */
    .probe = rapl_probe,
    .open = rapl_open,
    .domains = rapl_domains,
    .read = rapl_read,
    .describe = rapl_describe,
    .close = rapl_close,
};
