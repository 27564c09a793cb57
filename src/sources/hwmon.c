/* SPDX-License-Identifier: Apache-2.0 */
/* Energy from hwmon: counters as they are, powers integrated over time. A file is opened at each reading, by a path
 * that names its device, so that nothing is held when a driver goes and no other chip is taken for it. A sensor that
 * went is looked for again under its own chip, device and label. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "sources/hwmon_sensors.h"
#include "sources/power_integral.h"
#include "sources/registry.h"

/* Time between two powers that is still bridged. A mean over a longer time than it was a mean of would be a guess. */
#define GAP_MAX_NS (60 * NS_PER_SEC)

/* Listing the class costs some hundred system calls; a driver is not reloaded more often. */
#define LOOK_AGAIN_NS (5 * NS_PER_SEC)

struct hwmon {
    const struct fsroot *sys;
    struct carnot_clock *clock;
    size_t n;
    struct domain domains[HWMON_SENSORS_MAX];
    struct power_integral integrals[HWMON_SENSORS_MAX];
    struct hwmon_sensor sensors[HWMON_SENSORS_MAX];
    struct hwmon_left_out left_out;
    uint64_t look_again_ns;                            /* not before */
    struct hwmon_sensor scratch[HWMON_CANDIDATES_MAX]; /* of a search, so that it needs no memory later */
};

static int explain(const struct fsroot *sys, const struct hwmon_sensor *sensor, int code, struct carnot_err *err)
{
    const char *root = sys->path, *path = sensor->path, *file = sensor->file;

    if (code == -EACCES || code == -EPERM)
        return carnot_err_set(err, code,
                              "no right to read %s/%s/%s: run as root, or give the program CAP_DAC_READ_SEARCH, or let "
                              "a udev rule do `chmod a+r` on it",
                              root, path, file);
    if (code == -ENOENT || code == -ENODEV)
        return carnot_err_set(err, code, "%s/%s/%s vanished; it is taken up again when its driver brings it back", root,
                              path, file);
    if (code == -EPROTO)
        return carnot_err_set(err, code, "%s/%s/%s holds something that is no number of its kind", root, path, file);
    if (code == -ERANGE)
        return carnot_err_set(err, code,
                              "%s/%s/%s tells a power below 0 or above 100 kW, which is refused; see whether "
                              "`sensors` shows the same, and if so leave the source out with --collector.disable hwmon",
                              root, path, file);
    return carnot_err_errno(err, code, "cannot read %s/%s/%s", root, path, file);
}

static int read_value(const struct fsroot *sys, const struct hwmon_sensor *sensor, uint64_t *ret)
{
    char path[HWMON_PATH_MAX + HWMON_FILE_MAX + 2], text[64]; /* a decimal number of 64 bits */
    int n = snprintf(path, sizeof(path), "%s/%s", sensor->path, sensor->file);

    if (n < 0 || (size_t)n >= sizeof(path))
        return -ENAMETOOLONG;
    _cleanup_close_ int fd = fsroot_openat(sys, path, 0, NULL);
    if (fd < 0)
        return fd;
    ssize_t len = fd_read_start(fd, text, sizeof(text));
    if (len == -EPERM) /* we may open it, but the card sleeps and is not woken for a reading */
        return -ENODATA;
    return len < 0 ? (int)len : hwmon_parse_value((struct text){text, (size_t)len}, sensor->energy, ret);
}

static int find(const struct source_args *args, struct hwmon *hwmon, struct carnot_err *err)
{
    int n = hwmon_sensors_find(&args->env->sys, hwmon->scratch, &hwmon->left_out, err);

    if (n == 0)
        return carnot_err_set(err, ENODEV,
                              "no power or energy sensor below %s/class/hwmon: most machines have none; an ACPI power "
                              "meter needs `modprobe acpi_power_meter`",
                              args->env->sys.path);
    return n;
}

/* 0 when at least one of the sensors in scratch can be opened. */
static int check_rights(const struct fsroot *sys, const struct hwmon *hwmon, int n, struct carnot_err *err)
{
    int first_error = 0, failed = 0;

    for (int i = 0; i < n; i++) {
        const struct hwmon_sensor *sensor = &hwmon->scratch[i];
        char path[HWMON_PATH_MAX + HWMON_FILE_MAX + 2];

        snprintf(path, sizeof(path), "%s/%s", sensor->path, sensor->file);
        _cleanup_close_ int fd = fsroot_openat(sys, path, 0, NULL);
        if (fd >= 0)
            return 0;
        if (!first_error || (fd == -EACCES && first_error != -EACCES)) {
            first_error = fd;
            failed = i;
        }
    }
    return explain(sys, &hwmon->scratch[failed], first_error, err);
}

static int hwmon_probe(const struct source_args *args, struct carnot_err *err)
{
    _cleanup_free_ struct hwmon *hwmon = calloc(1, sizeof(*hwmon));

    if (!hwmon)
        return carnot_err_set(err, ENOMEM, "out of memory while looking for power sensors");
    int n = find(args, hwmon, err);
    return n < 0 ? n : check_rights(&args->env->sys, hwmon, n, err);
}

static void *hwmon_close(void *self)
{
    free(self);
    return NULL;
}

static int hwmon_open(const struct source_args *args, void **ret_self, struct carnot_err *err)
{
    _cleanup_free_ struct hwmon *hwmon = calloc(1, sizeof(*hwmon));

    if (!hwmon)
        return carnot_err_set(err, ENOMEM, "out of memory for the power sensors");
    hwmon->sys = &args->env->sys;
    hwmon->clock = args->env->clock;
    int n = find(args, hwmon, err);
    if (n < 0)
        return n;
    int r = check_rights(hwmon->sys, hwmon, n, err);
    if (r < 0)
        return r;

    hwmon->n = (size_t)n;
    memcpy(hwmon->sensors, hwmon->scratch, hwmon->n * sizeof(*hwmon->sensors));
    hwmon_sensors_domains(hwmon->sensors, hwmon->n, args->topology, hwmon->domains);
    for (size_t i = 0; i < hwmon->n; i++) {
        hwmon->domains[i].source = source_hwmon.name;
        power_integral_init(&hwmon->integrals[i], POWER_TRAPEZOID, GAP_MAX_NS);
    }
    *ret_self = TAKE_PTR(hwmon);
    return 0;
}

static size_t hwmon_domains(const void *self, const struct domain **ret_domains)
{
    const struct hwmon *hwmon = self;

    *ret_domains = hwmon->domains;
    return hwmon->n;
}

/* Takes over where sensors are now. What describe() shows of them stays as it is: it may run on another thread. */
static void look_again(struct hwmon *hwmon)
{
    struct hwmon_left_out ignored;
    int n = hwmon_sensors_find(hwmon->sys, hwmon->scratch, &ignored, NULL);

    for (size_t i = 0; i < hwmon->n; i++) {
        for (int k = 0; k < n; k++) {
            if (hwmon_sensor_is_same(&hwmon->sensors[i], &hwmon->scratch[k])) {
                memcpy(hwmon->sensors[i].path, hwmon->scratch[k].path, sizeof(hwmon->sensors[i].path));
                hwmon->sensors[i].number = hwmon->scratch[k].number;
                break;
            }
        }
    }
}

static bool is_gone(int status)
{
    return status == -ENOENT || status == -ENODEV || status == -ENXIO || status == -ENOTDIR;
}

/* Reads the file, and once more where its driver may have come back. */
static int read_again(struct hwmon *hwmon, size_t i, uint64_t now_ns, uint64_t *ret)
{
    int r = read_value(hwmon->sys, &hwmon->sensors[i], ret);

    if (!is_gone(r) || now_ns < hwmon->look_again_ns)
        return r;
    look_again(hwmon);
    hwmon->look_again_ns = now_ns + LOOK_AGAIN_NS;
    return read_value(hwmon->sys, &hwmon->sensors[i], ret);
}

static int hwmon_read(void *self, uint64_t now_mono_ns, struct reading *out, struct carnot_err *err)
{
    struct hwmon *hwmon = self;
    uint64_t begin_ns = clock_now(hwmon->clock).mono_ns;
    bool explained = false;

    for (size_t i = 0; i < hwmon->n; i++) {
        uint64_t value = 0;
        int status = read_again(hwmon, i, now_mono_ns, &value);
        /* A sensor before this one may have taken a second: each has the time at which it answered. */
        uint64_t answered_ns = now_mono_ns + (clock_now(hwmon->clock).mono_ns - begin_ns);

        if (status == 0 && !hwmon->sensors[i].energy) {
            power_integral_add(&hwmon->integrals[i], value, answered_ns);
            value = hwmon->integrals[i].uj;
        }
        /* 64 bits in sysfs: drivers of counters with fewer bits widen them. */
        out[i] = (struct reading){
            .domain = (uint32_t)i, .status = status, .counter_uj = status == 0 ? value : 0, .mono_ns = answered_ns};
        if (status < 0 && status != -ENODATA && !explained) {
            explain(hwmon->sys, &hwmon->sensors[i], status, err);
            explained = true;
        }
    }
    return (int)hwmon->n;
}

static void hwmon_reset(void *self, uint64_t now_mono_ns)
{
    struct hwmon *hwmon = self;

    for (size_t i = 0; i < hwmon->n; i++)
        power_integral_reset(&hwmon->integrals[i]);
}

static void hwmon_describe(const void *self, struct buf *out)
{
    const struct hwmon *hwmon = self;

    for (size_t i = 0; i < hwmon->n; i++) {
        const struct hwmon_sensor *sensor = &hwmon->sensors[i];
        const struct domain *domain = &hwmon->domains[i];

        buf_printf(out, "%s: %s", domain->name, sensor->chip);
        if (sensor->device[0])
            buf_printf(out, " (%s)", sensor->device);
        buf_printf(out, " %s", sensor->file);
        if (sensor->label[0])
            buf_printf(out, " \"%s\"", sensor->label);
        buf_puts(out, sensor->energy ? ", an energy counter" : ", a power, integrated over time");
        if (domain->kind == DOMAIN_OTHER)
            buf_puts(out, "; not known to be apart from other domains, hence in no total");
        buf_putc(out, '\n');
    }
    if (hwmon->left_out.cores)
        buf_printf(out, "amd_energy: %u core counters not read, the sockets hold them\n", hwmon->left_out.cores);
    if (hwmon->left_out.many)
        buf_printf(out, "%u more sensors not read: no room beyond %d\n", hwmon->left_out.many, HWMON_SENSORS_MAX);
}

const struct source_ops source_hwmon = {
    .name = "hwmon",
    .summary = "power and energy sensors of cards, boards and ACPI power meters (/sys/class/hwmon)",
    .flags = SOURCE_ON_BY_DEFAULT | SOURCE_SLOW, /* ACPI meters and bus monitors take milliseconds to seconds */
    .min_interval_ns = 100 * NS_PER_MS,          /* Grace averages over 50 ms, most others over longer */
    .probe = hwmon_probe,
    .open = hwmon_open,
    .domains = hwmon_domains,
    .read = hwmon_read,
    .reset = hwmon_reset,
    .describe = hwmon_describe,
    .close = hwmon_close,
};
