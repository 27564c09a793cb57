/* SPDX-License-Identifier: Apache-2.0 */
/* Finds the files. A chip shows its attributes in its own directory (Documentation/hwmon/sysfs-interface); older
 * drivers, acpi_power_meter among them, in that of the device below it. */
#include "sources/hwmon_sensors.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#define HWMON_DIR "class/hwmon"

struct finder {
    const struct fsroot *sys;
    struct hwmon_sensor *sensors; /* room for HWMON_CANDIDATES_MAX */
    size_t n;
    struct hwmon_left_out left_out;
    struct hwmon_sensor chip; /* the one being looked through: path, name, device, number */
};

/* Takes `prefix` and a number off the front. */
static bool scan_numbered(struct text *name, const char *prefix, unsigned *ret)
{
    size_t len = strlen(prefix);
    uint64_t number;

    if (!text_starts(*name, prefix))
        return false;
    struct text rest = {name->p + len, name->n - len};
    if (rest.n == 0 || rest.p[0] < '0' || rest.p[0] > '9' || scan_u64(&rest, &number) < 0 || number > INT_MAX)
        return false;
    *name = rest;
    *ret = (unsigned)number;
    return true;
}

/* False when it does not fit: nothing that we would know has a name that long. */
static bool join(char *out, size_t size, const char *dir, const char *file)
{
    int n = snprintf(out, size, "%s/%s", dir, file);

    return n > 0 && (size_t)n < size;
}

static void read_word(const struct fsroot *sys, const char *dir, const char *file, char *out, size_t size)
{
    char path[HWMON_PATH_MAX + 64];

    if (!join(path, sizeof(path), dir, file) || fsroot_read_line(sys, path, out, size, NULL) < 0)
        out[0] = '\0';
}

static void read_channel_word(const struct fsroot *sys, const struct hwmon_sensor *sensor, const char *what, char *out,
                              size_t size)
{
    char file[48];

    snprintf(file, sizeof(file), "%s%u_%s", sensor->energy ? "energy" : "power", sensor->channel, what);
    read_word(sys, sensor->path, file, out, size);
}

/* "energy1_input", "power2_average", "power2_input"; "power1_input_highest" and the like are none. */
static bool parse_file(const char *name, struct hwmon_sensor *sensor)
{
    struct text rest = text_of(name);

    if (rest.n >= sizeof(sensor->file))
        return false;
    sensor->energy = text_starts(rest, "energy");
    if (!scan_numbered(&rest, sensor->energy ? "energy" : "power", &sensor->channel))
        return false;
    if (!text_is(rest, "_input") && (sensor->energy || !text_is(rest, "_average")))
        return false;
    memcpy(sensor->file, name, strlen(name) + 1);
    return true;
}

static struct hwmon_sensor *find_channel(struct finder *finder, const struct hwmon_sensor *like)
{
    for (size_t i = finder->n; i-- > 0;) {
        struct hwmon_sensor *sensor = &finder->sensors[i];
        if (sensor->number != like->number)
            return NULL; /* sensors of a chip stand together */
        if (sensor->channel == like->channel && sensor->energy == like->energy)
            return sensor;
    }
    return NULL;
}

static int take_file(const char *name, unsigned char d_type, void *userdata)
{
    struct finder *finder = userdata;
    struct hwmon_sensor sensor = finder->chip;
    char cap[48];

    if (!parse_file(name, &sensor))
        return 0;
    struct hwmon_sensor *known = find_channel(finder, &sensor);
    if (known) { /* a mean holds what happened between two readings, the value of a moment does not */
        if (text_ends(text_of(name), "_average"))
            memcpy(known->file, sensor.file, sizeof(known->file));
        return 0;
    }
    read_channel_word(finder->sys, &sensor, "label", sensor.label, sizeof(sensor.label));
    if (!sensor.label[0] && !sensor.energy)
        read_channel_word(finder->sys, &sensor, "oem_info", sensor.label, sizeof(sensor.label));
    if (!sensor.energy) {
        read_channel_word(finder->sys, &sensor, "cap", cap, sizeof(cap));
        sensor.has_cap = cap[0] != '\0';
    }
    if (strcmp(sensor.chip, "amd_energy") == 0 && text_starts(text_of(sensor.label), "Ecore")) {
        finder->left_out.cores++;
        return 0;
    }
    if (finder->n == HWMON_CANDIDATES_MAX)
        finder->left_out.many++;
    else
        finder->sensors[finder->n++] = sensor;
    return 0;
}

/* Where the class entry leads, below the sys root. That path names the device, so that after a reload of the driver it
 * is absent rather than another chip's; a plain directory stands for itself. */
static void resolve(const struct fsroot *sys, struct hwmon_sensor *chip)
{
    char target[HWMON_PATH_MAX];
    ssize_t n = fsroot_readlink(sys, chip->path, target, sizeof(target));

    while (n > 0 && target[n - 1] == '/')
        target[--n] = '\0';
    if (n > 6 && strncmp(target, "../../", 6) == 0 && !strstr(target + 6, ".."))
        memcpy(chip->path, target + 6, (size_t)n - 6 + 1);
}

static void read_device(const struct fsroot *sys, struct hwmon_sensor *chip)
{
    char path[HWMON_PATH_MAX + 16], target[PATH_MAX];

    if (!join(path, sizeof(path), chip->path, "device") || fsroot_readlink(sys, path, target, sizeof(target)) < 0)
        return;
    const char *slash = strrchr(target, '/');
    const char *last = slash ? slash + 1 : target;
    if (strlen(last) < sizeof(chip->device))
        memcpy(chip->device, last, strlen(last) + 1);
}

static int take_chip(const char *name, unsigned char d_type, void *userdata)
{
    struct finder *finder = userdata;
    struct hwmon_sensor chip = {0};
    struct text rest = text_of(name);
    size_t before = finder->n;
    unsigned cores_before = finder->left_out.cores;

    if (!scan_numbered(&rest, "hwmon", &chip.number) || rest.n || !join(chip.path, sizeof(chip.path), HWMON_DIR, name))
        return 0;
    resolve(finder->sys, &chip);
    read_device(finder->sys, &chip);
    read_word(finder->sys, chip.path, "name", chip.chip, sizeof(chip.chip));
    if (!chip.chip[0])
        read_word(finder->sys, chip.path, "device/name", chip.chip, sizeof(chip.chip));
    if (!chip.chip[0])
        snprintf(chip.chip, sizeof(chip.chip), "%.*s", (int)sizeof(chip.chip) - 1, name);

    /* What vanishes or hides while we look is not there. */
    finder->chip = chip;
    fsroot_list(finder->sys, chip.path, take_file, finder, NULL);
    if (finder->n == before && finder->left_out.cores == cores_before &&
        join(finder->chip.path, sizeof(finder->chip.path), chip.path, "device"))
        fsroot_list(finder->sys, finder->chip.path, take_file, finder, NULL);
    return 0;
}

static int compare_sensors(const void *a, const void *b)
{
    const struct hwmon_sensor *sa = a, *sb = b;
    int by_chip = strverscmp(sa->chip, sb->chip), by_device = strverscmp(sa->device, sb->device);

    if (by_chip)
        return by_chip;
    if (by_device)
        return by_device;
    if (sa->number != sb->number)
        return sa->number < sb->number ? -1 : 1;
    if (sa->energy != sb->energy)
        return sa->energy ? -1 : 1;
    return sa->channel < sb->channel ? -1 : sa->channel > sb->channel;
}

/* Drops from the end what means nothing to us, then what is left beyond the limit. */
static size_t cut(struct finder *finder, size_t max)
{
    struct domain domain;

    for (size_t i = finder->n; i-- > 0 && finder->n > max;) {
        hwmon_sensors_domains(&finder->sensors[i], 1, NULL, &domain);
        if (domain.kind != DOMAIN_OTHER)
            continue;
        memmove(&finder->sensors[i], &finder->sensors[i + 1], (finder->n - i - 1) * sizeof(*finder->sensors));
        finder->n--;
        finder->left_out.many++;
    }
    if (finder->n > max) {
        finder->left_out.many += (unsigned)(finder->n - max);
        finder->n = max;
    }
    return finder->n;
}

int hwmon_sensors_find(const struct fsroot *sys, struct hwmon_sensor *sensors, struct hwmon_left_out *ret_left_out,
                       struct carnot_err *err)
{
    struct finder finder = {.sys = sys, .sensors = sensors};

    int r = fsroot_list(sys, HWMON_DIR, take_chip, &finder, NULL);
    if (r < 0 && r != -ENOENT && r != -ENOTDIR && r != -ENODEV)
        return carnot_err_errno(err, r, "cannot list %s/" HWMON_DIR, sys->path);
    qsort(sensors, finder.n, sizeof(*sensors), compare_sensors);
    size_t n = cut(&finder, HWMON_SENSORS_MAX);
    *ret_left_out = finder.left_out;
    return (int)n;
}

bool hwmon_sensor_is_same(const struct hwmon_sensor *a, const struct hwmon_sensor *b)
{
    /* Chips without a device are told apart by nothing but their number. */
    return strcmp(a->chip, b->chip) == 0 && strcmp(a->device, b->device) == 0 && strcmp(a->file, b->file) == 0 &&
           strcmp(a->label, b->label) == 0 && (a->device[0] || a->number == b->number);
}

int hwmon_parse_value(struct text t, bool energy, uint64_t *ret)
{
    uint64_t value;

    t = text_trim(t);
    if (t.n == 0)
        return -ENODATA;
    if (t.p[0] == '-' && !energy) {
        int64_t negative; /* a bus monitor with its wires crossed; the kernel's powers are signed */
        return parse_i64(t, &negative) == -EINVAL ? -EPROTO : -ERANGE;
    }
    int r = parse_u64(t, &value);
    if (r == -ERANGE && !energy)
        return -ERANGE;
    if (r < 0)
        return -EPROTO;
    if (!energy && value > HWMON_MAX_UW)
        return -ERANGE;
    *ret = value;
    return 0;
}
