/* SPDX-License-Identifier: Apache-2.0 */
/* Which region of the machine a hwmon sensor measures, from its chip and label. A chip that is not listed here is
 * reported as `other` and never part of a total: it may be a fan, a rail, or a meter that holds all the rest. */
#include <stdio.h>
#include <string.h>

#include "sources/hwmon_sensors.h"
#include "sources/pci_address.h"
#include "sources/socket_package.h"

/* What besides chip and label must hold for a rule. */
enum condition {
    ALWAYS,
    HAS_CAP, /* amdgpu: on a processor with graphics the driver shows the power of the whole package, and no cap */
    NO_CARD, /* xe: the counter of the GPU package lies inside that of the card, if there is one */
    ALONE,   /* the only meter of its chip name: several of them measure parts that nobody names */
};

struct rule {
    const char *chip;
    const char *label; /* it begins so, a number follows where `numbered`; NULL: any or none */
    enum domain_kind kind;
    enum condition condition;
    bool numbered; /* the number is a socket */
    bool with_dram;
};

/* The first that fits counts.
 *
 * NVIDIA Grace has one ACPI meter for each of these, told apart by the OEM text (Grace Performance Tuning Guide, "Power
 * Telemetry"): "Grace" is the socket with its memory and the losses of its regulators, "CPU" and "SysIO" two of its
 * rails, "Module" a Grace Hopper module, that is Grace, GPU and HBM. The module is less than the node and holds a GPU
 * that the GPU's own source counts, so it stays out of the total. */
static const struct rule rules[] = {
    {"power_meter", "Grace Power Socket ", DOMAIN_PACKAGE, ALWAYS, true, true},
    {"power_meter", "CPU Power Socket ", DOMAIN_CORE, ALWAYS, true, false},
    {"power_meter", "SysIO Power Socket ", DOMAIN_UNCORE, ALWAYS, true, false},
    {"power_meter", "Module Power Socket ", DOMAIN_OTHER, ALWAYS, true, false},
    {"power_meter", NULL, DOMAIN_HOST, ALONE, false, false},
    {"amd_energy", "Esocket", DOMAIN_PACKAGE, ALWAYS, true, false},
    {"i915", NULL, DOMAIN_GPU, ALWAYS, false, false}, /* cards only; tiles are chips "i915_gt0", ... inside it */
    {"xe", "card", DOMAIN_GPU, ALWAYS, false, false}, /* cards only */
    {"xe", "pkg", DOMAIN_GPU, NO_CARD, false, false},
    {"amdgpu", "PPT", DOMAIN_GPU, HAS_CAP, false, false},
    {"amdgpu", "", DOMAIN_GPU, HAS_CAP, false, false}, /* kernels before the label; "slowPPT" is a handheld's package */
    {"nouveau", NULL, DOMAIN_GPU, ALWAYS, false, false},
};

struct sensors {
    const struct hwmon_sensor *sensors;
    size_t n;
};

static bool label_fits(const struct rule *rule, const char *label, uint64_t *ret_number)
{
    struct text rest = text_of(label);

    if (!rule->label)
        return true;
    if (!text_starts(rest, rule->label))
        return false;
    size_t len = strlen(rule->label);
    rest = (struct text){rest.p + len, rest.n - len};
    if (!rule->numbered)
        return rest.n == 0;
    return parse_u64(rest, ret_number) == 0 && *ret_number < 4096; /* no machine has more sockets than CPUs */
}

static bool has_sibling(const struct sensors *all, const struct hwmon_sensor *sensor, const char *label)
{
    for (size_t i = 0; i < all->n; i++) {
        const struct hwmon_sensor *other = &all->sensors[i];
        if (other->number == sensor->number && other->energy == sensor->energy && strcmp(other->label, label) == 0)
            return true;
    }
    return false;
}

static size_t count_chip(const struct sensors *all, const char *chip)
{
    size_t count = 0;

    for (size_t i = 0; i < all->n; i++)
        count += strcmp(all->sensors[i].chip, chip) == 0;
    return count;
}

static bool condition_holds(const struct rule *rule, const struct sensors *all, const struct hwmon_sensor *sensor)
{
    switch (rule->condition) {
    case ALWAYS:
        return true;
    case HAS_CAP:
        return sensor->has_cap;
    case NO_CARD:
        return !has_sibling(all, sensor, "card");
    case ALONE:
        return count_chip(all, sensor->chip) == 1;
    }
    return false;
}

static const struct rule *find_rule(const struct sensors *all, const struct hwmon_sensor *sensor, uint64_t *ret_socket)
{
    for (size_t i = 0; i < ELEMENTSOF(rules); i++) {
        if (strcmp(rules[i].chip, sensor->chip) == 0 && label_fits(&rules[i], sensor->label, ret_socket) &&
            condition_holds(&rules[i], all, sensor))
            return &rules[i];
    }
    return NULL;
}

/* A sensor that says nothing to us: its chip, where several have that name its device, and its label or channel. */
static void describe_other(const struct sensors *all, const struct hwmon_sensor *sensor, char *out, size_t size)
{
    bool alone = true;
    char where[HWMON_DEVICE_MAX + 2] = "";
    char what[HWMON_LABEL_MAX];

    for (size_t i = 0; i < all->n; i++)
        alone = alone && (all->sensors[i].number == sensor->number || strcmp(all->sensors[i].chip, sensor->chip) != 0);
    if (!alone && sensor->device[0])
        snprintf(where, sizeof(where), "-%s", sensor->device);
    else if (!alone)
        snprintf(where, sizeof(where), "-%u", sensor->number);
    if (sensor->label[0])
        snprintf(what, sizeof(what), "%s", sensor->label);
    else
        snprintf(what, sizeof(what), "%s%u", sensor->energy ? "energy" : "power", sensor->channel);
    snprintf(out, size, "%s%s-%s", sensor->chip, where, what);
}

static void make_domain(const struct sensors *all, const struct topology *topology, size_t index,
                        struct domain *domains)
{
    const struct hwmon_sensor *sensor = &all->sensors[index];
    struct domain *domain = &domains[index];
    uint64_t socket = 0;
    const struct rule *rule = find_rule(all, sensor, &socket);
    char base[HWMON_CHIP_MAX + HWMON_DEVICE_MAX + HWMON_LABEL_MAX + 8];

    *domain = (struct domain){.kind = rule ? rule->kind : DOMAIN_OTHER,
                              .quality = sensor->energy ? QUALITY_MEASURED : QUALITY_DERIVED,
                              .package = rule && rule->numbered ? socket_package(topology, (uint32_t)socket) : -1,
                              .die = -1,
                              .node = -1,
                              .with_dram = rule && rule->with_dram,
                              .max_uw = sensor->energy ? 0 : HWMON_MAX_UW};
    if (domain->kind == DOMAIN_GPU) /* stays "" where the device is no PCI card */
        pci_address_parse(text_of(sensor->device), domain->pci);

    if (domain->kind == DOMAIN_HOST)
        snprintf(base, sizeof(base), "host");
    else if (domain->kind == DOMAIN_GPU)
        snprintf(base, sizeof(base), "gpu-%s", sensor->device[0] ? sensor->device : sensor->chip);
    else if (rule && rule->kind == DOMAIN_OTHER)
        snprintf(base, sizeof(base), "module-%d", domain->package);
    else if (domain->package >= 0)
        snprintf(base, sizeof(base), "%s-%d", domain_kind_name(domain->kind), domain->package);
    else
        describe_other(all, sensor, base, sizeof(base));
    domain_plain_name(base);
    domain_set_unique_name(domains, index, base, "-hwmon");
}

void hwmon_sensors_domains(const struct hwmon_sensor *sensors, size_t n, const struct topology *topology,
                           struct domain *domains)
{
    const struct sensors all = {sensors, n};

    for (size_t i = 0; i < n; i++)
        make_domain(&all, topology, i, domains);
}
