/* SPDX-License-Identifier: Apache-2.0 */
/* hwmon sensors on trees written by each test, and on a recorded one: which domain each chip and label means, what is
 * never added, and what becomes of files that vanish, break or tell nonsense. Errors of devices are made by standing in
 * front of the function that reads. */
#include "recorded.h"

#include <inttypes.h>
#include <stdio.h>

#include "sources/hwmon_sensors.h"
#include "sources/registry.h"

static struct scratch s;
static struct source_args args;
static struct reading readings[DOMAINS_MAX];

/* What the next reads of a device give instead of their contents, 0: the contents. */
static int read_error;
static uint64_t read_takes_ns;

ssize_t __real_fd_read_start(int fd, char *buf, size_t size);
ssize_t __wrap_fd_read_start(int fd, char *buf, size_t size);

ssize_t __wrap_fd_read_start(int fd, char *buf, size_t size)
{
    fake_clock_advance(&s.clock, read_takes_ns);
    return read_error ? read_error : __real_fd_read_start(fd, buf, size);
}

static int setup(void **state)
{
    scratch_init(&s);
    args = (struct source_args){.env = &s.env};
    read_error = 0;
    read_takes_ns = 0;
    return 0;
}

static int teardown(void **state)
{
    scratch_done(&s);
    return 0;
}

static void put(const char *dir, const char *file, const char *text)
{
    char path[512];

    assert_true(snprintf(path, sizeof(path), "sys/%s/%s", dir, file) < (int)sizeof(path));
    scratch_write(&s, path, text);
}

/* A chip as the kernel shows it: a directory in that of its device, linked from the class. Gives its path. */
static const char *put_chip(unsigned number, const char *device, const char *name)
{
    static char dir[256];
    char path[512], target[512];

    snprintf(dir, sizeof(dir), "devices/%s/hwmon/hwmon%u", device, number);
    put(dir, "name", name);
    snprintf(path, sizeof(path), "sys/%s/device", dir);
    snprintf(target, sizeof(target), "../../../%s", strrchr(device, '/') ? strrchr(device, '/') + 1 : device);
    assert_int_equal(symlink(target, scratch_path(&s, path)), 0);
    scratch_mkdirs(&s, "sys/class/hwmon");
    snprintf(path, sizeof(path), "sys/class/hwmon/hwmon%u", number);
    snprintf(target, sizeof(target), "../../%s", dir);
    assert_int_equal(symlink(target, scratch_path(&s, path)), 0);
    return dir;
}

static void *open_source(void)
{
    struct carnot_err err = CARNOT_ERR_INIT;
    void *self = NULL;

    assert_int_equal(source_hwmon.probe(&args, &err), 0);
    assert_int_equal(source_hwmon.open(&args, &self, &err), 0);
    return self;
}

static uint32_t find(const void *self, const char *name)
{
    const struct domain *domains;
    size_t n = source_hwmon.domains(self, &domains);

    for (size_t i = 0; i < n; i++) {
        if (strcmp(domains[i].name, name) == 0)
            return (uint32_t)i;
    }
    for (size_t i = 0; i < n; i++)
        print_message("there is %s\n", domains[i].name);
    fail_msg("no domain %s", name);
    return 0;
}

static const struct domain *assert_domain(const void *self, const char *name, enum domain_kind kind, int package,
                                          enum quality quality)
{
    const struct domain *domains;

    source_hwmon.domains(self, &domains);
    const struct domain *domain = &domains[find(self, name)];
    assert_int_equal(domain->kind, kind);
    assert_int_equal(domain->package, package);
    assert_int_equal(domain->die, -1);
    assert_int_equal(domain->node, -1);
    assert_int_equal(domain->quality, quality);
    assert_string_equal(domain->source, "hwmon");
    return domain;
}

static size_t count(const void *self)
{
    const struct domain *domains;

    return source_hwmon.domains(self, &domains);
}

static struct reading read_one(void *self, const char *name, uint64_t now_ns, struct carnot_err *err)
{
    uint32_t i = find(self, name);

    assert_true(source_hwmon.read(self, now_ns, readings, err) > (int)i);
    assert_int_equal(readings[i].domain, i);
    assert_int_equal(readings[i].mono_ns, now_ns);
    assert_int_equal(readings[i].modulus_uj, 0);
    return readings[i];
}

/* Names of the domains in the total, in their order. */
static void assert_total(const void *self, const char *expected)
{
    struct domain copy[HWMON_SENSORS_MAX];
    const struct domain *domains;
    struct buf got;
    size_t n = source_hwmon.domains(self, &domains);

    memcpy(copy, domains, n * sizeof(*copy));
    domains_mark_total(copy, n);
    buf_init(&got, 4096);
    for (size_t i = 0; i < n; i++) {
        if (copy[i].in_total)
            buf_printf(&got, "%s%s", got.len ? " " : "", copy[i].name);
    }
    assert_string_equal(buf_str(&got), expected);
    buf_done(&got);
}

static void put_meter(unsigned number, const char *oem_info, const char *power)
{
    char device[64];

    snprintf(device, sizeof(device), "LNXSYSTM:00/LNXSYBUS:00/ACPI000D:%02u", number);
    put_chip(number, device, "power_meter\n");
    snprintf(device, sizeof(device), "devices/LNXSYSTM:00/LNXSYBUS:00/ACPI000D:%02u", number);
    put(device, "power1_average", power); /* the driver shows them at the device */
    put(device, "power1_average_interval", "50\n");
    if (oem_info)
        put(device, "power1_oem_info", oem_info);
}

static void grace(void **state)
{
    struct topology_cpu cpus[] = {{.package = 0}, {.package = 256}, {.package = 0}, {.package = 256}};
    struct topology topology = {.cpus = cpus, .n_cpus = ELEMENTSOF(cpus)};

    put_meter(0, "Module Power Socket 0\n", "500000000\n");
    put_meter(1, "Grace Power Socket 0\n", "150000000\n");
    put_meter(2, "CPU Power Socket 0\n", "90000000\n");
    put_meter(3, "SysIO Power Socket 0\n", "10000000\n");
    put_meter(4, "Grace Power Socket 1\n", "160000000\n");
    put_meter(5, "Grace Power Socket\n", "1\n"); /* a socket that is not told */
    args.topology = &topology;
    void *self = open_source();
    assert_int_equal(count(self), 6);
    assert_domain(self, "module-0-hwmon", DOMAIN_OTHER, 0, QUALITY_DERIVED);
    assert_true(assert_domain(self, "package-0-hwmon", DOMAIN_PACKAGE, 0, QUALITY_DERIVED)->with_dram);
    assert_false(assert_domain(self, "core-0-hwmon", DOMAIN_CORE, 0, QUALITY_DERIVED)->with_dram);
    assert_domain(self, "uncore-0-hwmon", DOMAIN_UNCORE, 0, QUALITY_DERIVED);
    assert_domain(self, "package-256-hwmon", DOMAIN_PACKAGE, 256, QUALITY_DERIVED);
    assert_domain(self, "power_meter-ACPI000D:05-Grace_Power_S-hwmon", DOMAIN_OTHER, -1, QUALITY_DERIVED);
    assert_total(self, "package-0-hwmon package-256-hwmon");

    read_one(self, "package-0-hwmon", NS_PER_SEC, NULL);
    assert_int_equal(read_one(self, "package-0-hwmon", 2 * NS_PER_SEC, NULL).counter_uj, 150000000);
    assert_int_equal(readings[find(self, "module-0-hwmon")].counter_uj, 500000000);
    assert_null(source_hwmon.close(self));
}

static void an_acpi_meter_of_the_node(void **state)
{
    put_meter(0, "Some Vendor Inc.\n", "300000000\n");
    void *self = open_source();
    assert_int_equal(assert_domain(self, "host-hwmon", DOMAIN_HOST, -1, QUALITY_DERIVED)->max_uw, HWMON_MAX_UW);
    assert_total(self, "host-hwmon");
    source_hwmon.close(self);

    put_meter(1, NULL, "20000000\n"); /* two of them: which part each one measures is not told */
    self = open_source();
    assert_domain(self, "power_meter-ACPI000D:00-Some_Vendor_I-hwmon", DOMAIN_OTHER, -1, QUALITY_DERIVED);
    assert_domain(self, "power_meter-ACPI000D:01-power1-hwmon", DOMAIN_OTHER, -1, QUALITY_DERIVED);
    assert_total(self, "");
    source_hwmon.close(self);
}

static void amd_energy(void **state)
{
    const char *dir = put_chip(3, "platform/amd_energy.0", "amd_energy\n");
    struct buf out;

    for (unsigned i = 0; i < 130; i++) { /* 64 cores of each socket, then the sockets */
        char file[32], label[32], energy[32];
        snprintf(file, sizeof(file), "energy%u_label", i + 1);
        if (i < 128)
            snprintf(label, sizeof(label), "Ecore%03u\n", i);
        else
            snprintf(label, sizeof(label), "Esocket%u\n", i - 128);
        put(dir, file, label);
        snprintf(file, sizeof(file), "energy%u_input", i + 1);
        snprintf(energy, sizeof(energy), "%u\n", 1000000 + i);
        put(dir, file, energy);
    }
    void *self = open_source();
    assert_int_equal(count(self), 2);
    assert_domain(self, "package-0-hwmon", DOMAIN_PACKAGE, 0, QUALITY_MEASURED);
    assert_domain(self, "package-1-hwmon", DOMAIN_PACKAGE, 1, QUALITY_MEASURED);
    assert_total(self, "package-0-hwmon package-1-hwmon");
    assert_int_equal(read_one(self, "package-1-hwmon", 5, NULL).counter_uj, 1000129);
    buf_init(&out, 4096);
    source_hwmon.describe(self, &out);
    assert_string_equal(buf_str(&out),
                        "package-0-hwmon: amd_energy (amd_energy.0) energy129_input \"Esocket0\", an energy counter\n"
                        "package-1-hwmon: amd_energy (amd_energy.0) energy130_input \"Esocket1\", an energy counter\n"
                        "amd_energy: 128 core counters not read, the sockets hold them\n");
    buf_done(&out);
    source_hwmon.close(self);
}

static void cards(void **state)
{
    const char *dir = put_chip(0, "pci0000:00/0000:00:01.0/0000:03:00.0", "i915\n");
    put(dir, "energy1_input", "18446744073709551615\n"); /* 64 bits in sysfs */
    put(dir, "power1_max", "190000000\n");
    dir = put_chip(1, "pci0000:00/0000:00:01.0/0000:03:00.0/tile", "i915_gt0\n");
    put(dir, "energy1_input", "5\n");
    dir = put_chip(2, "pci0000:00/0000:04:00.0", "xe\n");
    put(dir, "energy1_input", "20\n");
    put(dir, "energy1_label", "card\n");
    put(dir, "energy2_input", "10\n");
    put(dir, "energy2_label", "pkg\n");
    dir = put_chip(4, "pci0000:00/0000:05:00.0", "xe\n");
    put(dir, "energy2_input", "10\n");
    put(dir, "energy2_label", "pkg\n");
    dir = put_chip(5, "pci0000:00/0000:c1:00.0", "amdgpu\n");
    put(dir, "power1_average", "35000000\n");
    put(dir, "power1_label", "PPT\n");
    put(dir, "power1_cap", "300000000\n");
    dir = put_chip(6, "pci0000:00/0000:c2:00.0", "amdgpu\n"); /* graphics of a processor: its whole package */
    put(dir, "power1_input", "15000000\n");
    put(dir, "power1_label", "PPT\n");
    dir = put_chip(7, "pci0000:00/0000:c3:00.0", "amdgpu\n"); /* a handheld */
    put(dir, "power1_input", "15000000\n");
    put(dir, "power1_label", "slowPPT\n");
    put(dir, "power1_cap", "15000000\n");
    dir = put_chip(10, "pci0000:00/0000:0a:00.0", "nouveau\n");
    put(dir, "power1_input", "9000000\n");

    void *self = open_source();
    assert_int_equal(count(self), 9);
    const struct domain *card = assert_domain(self, "gpu-0000:03:00.0-hwmon", DOMAIN_GPU, -1, QUALITY_MEASURED);
    assert_string_equal(card->pci, "0000:03:00.0");
    assert_domain(self, "i915_gt0-energy1-hwmon", DOMAIN_OTHER, -1, QUALITY_MEASURED);
    assert_domain(self, "gpu-0000:04:00.0-hwmon", DOMAIN_GPU, -1, QUALITY_MEASURED);
    assert_domain(self, "xe-0000:04:00.0-pkg-hwmon", DOMAIN_OTHER, -1, QUALITY_MEASURED);
    assert_domain(self, "gpu-0000:05:00.0-hwmon", DOMAIN_GPU, -1, QUALITY_MEASURED);
    assert_domain(self, "gpu-0000:c1:00.0-hwmon", DOMAIN_GPU, -1, QUALITY_DERIVED);
    assert_domain(self, "amdgpu-0000:c2:00.0-PPT-hwmon", DOMAIN_OTHER, -1, QUALITY_DERIVED);
    assert_domain(self, "amdgpu-0000:c3:00.0-slowPPT-hwmon", DOMAIN_OTHER, -1, QUALITY_DERIVED);
    assert_domain(self, "gpu-0000:0a:00.0-hwmon", DOMAIN_GPU, -1, QUALITY_DERIVED);
    assert_total(self, "gpu-0000:c1:00.0-hwmon gpu-0000:03:00.0-hwmon gpu-0000:0a:00.0-hwmon gpu-0000:04:00.0-hwmon "
                       "gpu-0000:05:00.0-hwmon");
    assert_int_equal(read_one(self, "gpu-0000:03:00.0-hwmon", 5, NULL).counter_uj, UINT64_MAX);
    source_hwmon.close(self);
}

static void several_unknown_chips_of_one_name(void **state)
{
    const char *dir = put_chip(4, "i2c-1/1-0040", "ina226\n");
    put(dir, "power1_input", "1000000\n");
    dir = put_chip(2, "i2c-1/1-0041", "ina226\n");
    put(dir, "power1_input", "2000000\n");
    put(dir, "power2_input", "3000000\n");
    put(dir, "power2_label", "a \"rail\"\n");
    put("class/hwmon/hwmon7", "name", "virtual\n"); /* no device, no link */
    put("class/hwmon/hwmon7", "power1_input", "4000000\n");
    put("class/hwmon/hwmon8", "name", "virtual\n");
    put("class/hwmon/hwmon8", "power1_input", "5000000\n");
    put("class/hwmon/hwmon9", "power1_average", "6000000\n"); /* no name */
    put("class/hwmon/hwmon10", "power1_average_max", "6000000\n");
    put("class/hwmon/hwmonitor", "power1_average", "6000000\n");
    put("class/hwmon/hwmon", "power1_average", "6000000\n");
    void *self = open_source();
    assert_int_equal(count(self), 6);
    assert_domain(self, "ina226-1-0040-power1-hwmon", DOMAIN_OTHER, -1, QUALITY_DERIVED);
    assert_domain(self, "ina226-1-0041-power1-hwmon", DOMAIN_OTHER, -1, QUALITY_DERIVED);
    assert_domain(self, "ina226-1-0041-a__rail_-hwmon", DOMAIN_OTHER, -1, QUALITY_DERIVED);
    assert_domain(self, "virtual-7-power1-hwmon", DOMAIN_OTHER, -1, QUALITY_DERIVED);
    assert_domain(self, "virtual-8-power1-hwmon", DOMAIN_OTHER, -1, QUALITY_DERIVED);
    assert_domain(self, "hwmon9-power1-hwmon", DOMAIN_OTHER, -1, QUALITY_DERIVED);
    assert_total(self, "");
    source_hwmon.close(self);
}

static void powers_are_integrated(void **state)
{
    struct carnot_err err = CARNOT_ERR_INIT;
    const char *chip = "class/hwmon/hwmon0", *name = "board-power1-hwmon";

    put(chip, "name", "board\n");
    put(chip, "power1_input", "77000000\n");
    put(chip, "power1_average", "100000000\n"); /* the mean is preferred */
    void *self = open_source();
    assert_int_equal(read_one(self, name, 10 * NS_PER_SEC, NULL).counter_uj, 0);
    put(chip, "power1_average", "200000000\n");
    assert_int_equal(read_one(self, name, 11 * NS_PER_SEC, NULL).counter_uj, 150000000); /* trapezoid */
    assert_int_equal(read_one(self, name, 11 * NS_PER_SEC + 5, NULL).counter_uj, 150000001);
    put(chip, "power1_average", "100000000001\n");
    assert_int_equal(read_one(self, name, 12 * NS_PER_SEC, &err).status, -ERANGE);
    assert_non_null(strstr(err.msg, "100 kW"));
    assert_non_null(strstr(err.msg, "power1_average"));
    put(chip, "power1_average", "200000000\n"); /* the time of the absurd value is bridged */
    assert_int_equal(read_one(self, name, 13 * NS_PER_SEC, NULL).counter_uj, 550000000);
    source_hwmon.reset(self, 20 * NS_PER_SEC); /* a suspend */
    assert_int_equal(read_one(self, name, 20 * NS_PER_SEC, NULL).counter_uj, 550000000);
    assert_int_equal(read_one(self, name, 21 * NS_PER_SEC, NULL).counter_uj, 750000000);
    assert_int_equal(read_one(self, name, 82 * NS_PER_SEC, NULL).counter_uj, 750000000); /* not read for too long */
    assert_int_equal(read_one(self, name, 83 * NS_PER_SEC, NULL).counter_uj, 950000000);
    source_hwmon.close(self);
}

static void slow_sensors_have_their_own_time(void **state)
{
    put("class/hwmon/hwmon0", "name", "board\n");
    put("class/hwmon/hwmon0", "power1_average", "100000000\n");
    put("class/hwmon/hwmon0", "power2_average", "100000000\n");
    void *self = open_source();
    read_takes_ns = 500 * NS_PER_MS;
    assert_int_equal(source_hwmon.read(self, 10 * NS_PER_SEC, readings, NULL), 2);
    assert_int_equal(readings[0].mono_ns, 10 * NS_PER_SEC + 500 * NS_PER_MS);
    assert_int_equal(readings[1].mono_ns, 11 * NS_PER_SEC);
    read_takes_ns = 250 * NS_PER_MS;
    assert_int_equal(source_hwmon.read(self, 12 * NS_PER_SEC, readings, NULL), 2);
    assert_int_equal(readings[0].counter_uj, 175000000); /* 1.75 s between its two answers */
    assert_int_equal(readings[1].counter_uj, 150000000);
    source_hwmon.close(self);
}

static void values(void **state)
{
    static const struct {
        const char *text;
        bool energy;
        int result;
        uint64_t value;
    } cases[] = {
        {"234000000\n", false, 0, 234000000},
        {"0\n", false, 0, 0},
        {"100000000000\n", false, 0, 100000000000},
        {"100000000001\n", false, -ERANGE, 0},
        {"18446744073709551616\n", false, -ERANGE, 0},
        {"-5000\n", false, -ERANGE, 0},
        {"-\n", false, -EPROTO, 0},
        {"-5x\n", false, -EPROTO, 0},
        {"", false, -ENODATA, 0},
        {" \n", true, -ENODATA, 0},
        {"N/A\n", false, -EPROTO, 0},
        {"1.5\n", false, -EPROTO, 0},
        {"18446744073709551615\n", true, 0, UINT64_MAX},
        {"18446744073709551616\n", true, -EPROTO, 0},
        {"-1\n", true, -EPROTO, 0},
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        uint64_t value = 0;
        assert_int_equal(hwmon_parse_value(text_of(cases[i].text), cases[i].energy, &value), cases[i].result);
        assert_int_equal(value, cases[i].value);
    }
}

static void errors_of_a_device(void **state)
{
    struct carnot_err err = CARNOT_ERR_INIT;
    static const int errors[] = {-EIO, -ENODATA, -EAGAIN, -ETIMEDOUT};

    put("class/hwmon/hwmon0", "name", "board\n");
    put("class/hwmon/hwmon0", "energy1_input", "9\n");
    void *self = open_source();
    for (size_t i = 0; i < ELEMENTSOF(errors); i++) {
        read_error = errors[i];
        err = CARNOT_ERR_INIT;
        assert_int_equal(read_one(self, "board-energy1-hwmon", i, &err).status, errors[i]);
        assert_int_equal(err.code, errors[i] == -ENODATA ? 0 : -errors[i]);
    }
    read_error = -EPERM; /* amdgpu of a card that sleeps */
    assert_int_equal(read_one(self, "board-energy1-hwmon", 7, NULL).status, -ENODATA);
    read_error = 0;
    assert_int_equal(read_one(self, "board-energy1-hwmon", 8, NULL).counter_uj, 9);
    source_hwmon.close(self);
}

static void a_driver_that_is_reloaded(void **state)
{
    struct carnot_err err = CARNOT_ERR_INIT;
    const char *name = "gpu-0000:c1:00.0-hwmon", *other = "gpu-0000:c2:00.0-hwmon";

    put(put_chip(3, "pci0000:00/0000:c1:00.0", "i915\n"), "energy1_input", "100\n");
    put(put_chip(4, "pci0000:00/0000:c2:00.0", "i915\n"), "energy1_input", "200\n");
    void *self = open_source();
    assert_int_equal(read_one(self, name, NS_PER_SEC, NULL).counter_uj, 100);

    /* The first goes; the second comes back under the number of the first, which must not be taken for it. */
    scratch_remove(&s, "sys/devices/pci0000:00");
    scratch_remove(&s, "sys/class/hwmon");
    put(put_chip(3, "pci0000:00/0000:c2:00.0", "i915\n"), "energy1_input", "201\n");
    assert_int_equal(read_one(self, name, 2 * NS_PER_SEC, &err).status, -ENOENT);
    assert_non_null(strstr(err.msg, "vanished"));
    assert_int_equal(readings[find(self, other)].status, 0);
    assert_int_equal(readings[find(self, other)].counter_uj, 201);

    /* The first comes back elsewhere. It is not looked for at every reading. */
    put(put_chip(9, "pci0000:00/0000:c1:00.0", "i915\n"), "energy1_input", "101\n");
    assert_int_equal(read_one(self, name, 3 * NS_PER_SEC, NULL).status, -ENOENT);
    assert_int_equal(read_one(self, name, 7 * NS_PER_SEC, NULL).status, 0);
    assert_int_equal(readings[find(self, name)].counter_uj, 101);
    source_hwmon.close(self);
}

static void rights(void **state)
{
    struct carnot_err err = CARNOT_ERR_INIT;
    void *self = NULL;

    put("class/hwmon/hwmon0", "name", "amd_energy\n");
    put("class/hwmon/hwmon0", "energy1_label", "Esocket0\n");
    put("class/hwmon/hwmon0", "energy1_input", "9\n");
    put("class/hwmon/hwmon0", "energy2_label", "Esocket1\n");
    put("class/hwmon/hwmon0", "energy2_input", "10\n");
    assert_int_equal(chmod(scratch_path(&s, "sys/class/hwmon/hwmon0/energy1_input"), 0), 0);
    assert_int_equal(chmod(scratch_path(&s, "sys/class/hwmon/hwmon0/energy2_input"), 0), 0);
    if (geteuid() == 0)
        assert_int_equal(seteuid(65534), 0);
    int probed = source_hwmon.probe(&args, &err), opened = source_hwmon.open(&args, &self, NULL);
    if (getuid() == 0)
        assert_int_equal(seteuid(0), 0);
    assert_int_equal(probed, -EACCES);
    assert_int_equal(opened, -EACCES);
    assert_non_null(strstr(err.msg, "hwmon0/energy1_input"));
    assert_non_null(strstr(err.msg, "CAP_DAC_READ_SEARCH"));

    assert_int_equal(chmod(scratch_path(&s, "sys/class/hwmon/hwmon0/energy2_input"), 0444), 0);
    if (geteuid() == 0)
        assert_int_equal(seteuid(65534), 0);
    opened = source_hwmon.open(&args, &self, NULL);
    int n = opened == 0 ? source_hwmon.read(self, 1, readings, NULL) : -1;
    if (getuid() == 0)
        assert_int_equal(seteuid(0), 0);
    assert_int_equal(opened, 0);
    assert_int_equal(n, 2);
    assert_int_equal(readings[0].status, -EACCES);
    assert_int_equal(readings[1].counter_uj, 10);
    source_hwmon.close(self);
}

static void no_hardware(void **state)
{
    struct carnot_err err = CARNOT_ERR_INIT;
    void *self;

    assert_int_equal(source_hwmon.probe(&args, &err), -ENODEV);
    assert_non_null(strstr(err.msg, "acpi_power_meter"));
    put("class/hwmon/hwmon0", "name", "coretemp\n");
    put("class/hwmon/hwmon0", "temp1_input", "55000\n");
    assert_int_equal(source_hwmon.open(&args, &self, &err), -ENODEV);
    assert_null(source_hwmon.close(NULL));
}

static void more_than_there_is_room_for(void **state)
{
    struct buf out;

    for (unsigned i = 1; i <= HWMON_CANDIDATES_MAX + 8; i++) {
        char file[32];
        snprintf(file, sizeof(file), "power%u_input", i);
        put("class/hwmon/hwmon0", file, "1\n");
    }
    put("class/hwmon/hwmon0", "name", "a_board\n");
    void *self = open_source();
    assert_int_equal(count(self), HWMON_SENSORS_MAX);
    source_hwmon.close(self);

    scratch_remove(&s, "sys/class/hwmon");
    for (unsigned i = 1; i <= HWMON_SENSORS_MAX; i++) {
        char file[32];
        snprintf(file, sizeof(file), "power%u_input", i);
        put("class/hwmon/hwmon0", file, "1\n");
    }
    put("class/hwmon/hwmon0", "name", "a_board\n");
    put(put_chip(1, "pci0000:00/0000:c1:00.0", "i915\n"), "energy1_input", "100\n");
    self = open_source(); /* what is known stays */
    assert_int_equal(count(self), HWMON_SENSORS_MAX);
    find(self, "gpu-0000:c1:00.0-hwmon");
    buf_init(&out, 65536);
    source_hwmon.describe(self, &out);
    assert_non_null(strstr(buf_str(&out), "1 more sensors not read"));
    buf_done(&out);
    source_hwmon.close(self);
}

/* The same chip as other tools saw it: the joules and watts that they printed. */
static void recorded_chip(void **state)
{
    RECORDED_OR_SKIP(&s, "sys.tar.gz", "sys/class/hwmon");
    void *self = open_source();
    assert_int_equal(count(self), 4);
    assert_domain(self, "socket-energy1-hwmon", DOMAIN_OTHER, -1, QUALITY_MEASURED);
    assert_int_equal(read_one(self, "socket-energy1-hwmon", 0, NULL).counter_uj, 22323000000);
    assert_int_equal(readings[find(self, "socket-energy2-hwmon")].counter_uj, 9509000000);
    assert_int_equal(read_one(self, "socket-power1-hwmon", 10 * NS_PER_SEC, NULL).counter_uj, 2340000000); /* 234 W */
    assert_int_equal(readings[find(self, "socket-power2-hwmon")].counter_uj, 1200000000);                  /* 120 W */
    assert_total(self, "");
    source_hwmon.close(self);

    /* without a mean: the values of the moment, 270 and 156 W */
    scratch_remove(&s, "sys/class/hwmon/hwmon4/power1_average");
    scratch_remove(&s, "sys/class/hwmon/hwmon4/power2_average");
    self = open_source();
    read_one(self, "socket-power1-hwmon", 0, NULL);
    assert_int_equal(read_one(self, "socket-power1-hwmon", 10 * NS_PER_SEC, NULL).counter_uj, 2700000000);
    assert_int_equal(readings[find(self, "socket-power2-hwmon")].counter_uj, 1560000000);
    source_hwmon.close(self);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(grace),
        TEST(an_acpi_meter_of_the_node),
        TEST(amd_energy),
        TEST(cards),
        TEST(several_unknown_chips_of_one_name),
        TEST(powers_are_integrated),
        TEST(slow_sensors_have_their_own_time),
        TEST(values),
        TEST(errors_of_a_device),
        TEST(a_driver_that_is_reloaded),
        TEST(rights),
        TEST(no_hardware),
        TEST(more_than_there_is_room_for),
        TEST(recorded_chip),
    };

    return cmocka_run_group_tests_name("hwmon", tests, NULL, NULL);
}
