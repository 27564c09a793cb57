/* SPDX-License-Identifier: Apache-2.0 */
/* The power and energy sensors of /sys/class/hwmon: where their files are, whose they are, and which domain each one
 * measures. Knows chip names and labels of the kernel's drivers; reads no power. */
#ifndef CARNOT_SOURCES_HWMON_SENSORS_H
#define CARNOT_SOURCES_HWMON_SENSORS_H

#include "base/fsroot.h"
#include "base/parse.h"
#include "model/domain.h"
#include "model/topology.h"

#define HWMON_PATH_MAX   256 /* devices/pci0000:00/... through half a dozen bridges */
#define HWMON_CHIP_MAX   32  /* hwmon names are shorter than 20 */
#define HWMON_DEVICE_MAX 48  /* "0000:c1:00.0", "ACPI000D:00", "1-0040" */
#define HWMON_FILE_MAX   24  /* "power10_average" */
#define HWMON_LABEL_MAX  48  /* "Module Power Socket 0" */

/* Room in a node's table of domains for other sources; no machine known has more than a dozen of use. */
#define HWMON_SENSORS_MAX 64

/* Candidates looked at before the choice: 128 cores of amd_energy do not count, other chips have at most some dozen. */
#define HWMON_CANDIDATES_MAX 512

/* More than this is refused: power above it is garbage (a wrong scale, a failed bus read), not a machine. 100 kW is
 * near ten times the largest node sold. */
#define HWMON_MAX_UW (100000ULL * 1000000)

struct hwmon_sensor {
    char path[HWMON_PATH_MAX];     /* directory of the files, below the sys root */
    char chip[HWMON_CHIP_MAX];     /* the file "name"; "hwmon4" when there is none */
    char device[HWMON_DEVICE_MAX]; /* last part of the link "device": which of several chips of one name; "" */
    char file[HWMON_FILE_MAX];     /* "power1_average" */
    char label[HWMON_LABEL_MAX];   /* power1_label, or power1_oem_info of an ACPI meter; "" */
    unsigned number;               /* hwmonN; a driver that comes back may get another */
    unsigned channel;              /* power1: 1 */
    bool energy;                   /* a counter of microjoules, else a power in microwatts */
    bool has_cap;                  /* powerN_cap: its power can be limited */
};

/* What was found beside the sensors that are used. */
struct hwmon_left_out {
    unsigned cores; /* counters of single cores, inside the socket counters beside them */
    unsigned many;  /* beyond the room for them */
};

/* Every sensor that is worth reading: of each channel the energy counter, and of its powers the mean if there is one,
 * else the value of the moment. Ordered by chip name, device, hwmon number, energy before power, channel. `sensors` has
 * room for HWMON_CANDIDATES_MAX; of them the first HWMON_SENSORS_MAX at most are given, and chips that mean nothing to
 * us are left out first. Returns the count, 0 when there is none. */
int hwmon_sensors_find(const struct fsroot *sys, struct hwmon_sensor *sensors, struct hwmon_left_out *ret_left_out,
                       struct carnot_err *err);

/* Makes the domains: domains[i] belongs to sensors[i]. Socket numbers become package ids through the topology (NULL:
 * they are taken as such). Names are unique among them and hold no unusual sign. */
void hwmon_sensors_domains(const struct hwmon_sensor *sensors, size_t n, const struct topology *topology,
                           struct domain *domains);

/* Is it the same sensor, perhaps under another hwmon number? */
bool hwmon_sensor_is_same(const struct hwmon_sensor *a, const struct hwmon_sensor *b);

/* The contents of a sensor's file. -ENODATA: nothing in it; -EPROTO: no number; -ERANGE: a power below 0 or above
 * HWMON_MAX_UW. */
int hwmon_parse_value(struct text t, bool energy, uint64_t *ret);

#endif
