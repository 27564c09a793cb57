/* SPDX-License-Identifier: Apache-2.0 */
/* A host that tells its power seldom, what is inside it, and the rest: counted in every window, dropped when too old,
 * never twice, never below 0. Sources and clock are the test's own. */
#include "../sources/scratch.h"

#include "meter/energy.h"

#define HOST_INTERVAL_NS (5 * NS_PER_SEC)
#define WATT             1000000ULL

static struct fake_clock test_clock;
static struct carnot_env env;
static struct reading host_next, package_next;
static unsigned host_reads;

static struct domain domain_of(const char *name, enum domain_kind kind, int package)
{
    struct domain domain = {.kind = kind, .package = package, .die = -1, .node = -1, .source = "fake"};

    snprintf(domain.name, sizeof(domain.name), "%s", name);
    return domain;
}

static int read_host(void *self, uint64_t now_ns, struct reading *out, struct carnot_err *err)
{
    host_reads++;
    *out = host_next;
    out->mono_ns = now_ns;
    return 1;
}

static int read_package(void *self, uint64_t now_ns, struct reading *out, struct carnot_err *err)
{
    *out = package_next;
    out->mono_ns = now_ns;
    return 1;
}

static const struct source_ops host_ops = {.name = "fake_host", .min_interval_ns = HOST_INTERVAL_NS, .read = read_host};
static const struct source_ops package_ops = {.name = "fake_package", .read = read_package};

static void add(struct energy *energy, const struct source_ops *ops, struct domain domain)
{
    struct energy_source *source = &energy->sources[energy->n_sources++];

    *source = (struct energy_source){.ops = ops, .self = energy};
    for (size_t i = 0; i < DOMAINS_MAX; i++)
        source->first_domain[i] = UINT32_MAX;
    source->first_domain[0] = (uint32_t)energy->n_domains;
    energy->domains[energy->n_domains] = (struct energy_domain){.domain = domain, .status = -ENODATA};
    power_integral_init(&energy->domains[energy->n_domains].held, POWER_PREVIOUS, 3600 * NS_PER_SEC);
    energy->n_domains++;
}

static void begin(struct energy *energy)
{
    test_clock = (struct fake_clock){0};
    fake_clock_init(&test_clock, 1700000000ULL * NS_PER_SEC);
    env = (struct carnot_env){.clock = &test_clock.clock};
    *energy = (struct energy){.env = &env};
    energy->domains = calloc(DOMAINS_MAX, sizeof(*energy->domains));
    energy->readings = calloc(DOMAINS_MAX, sizeof(*energy->readings));
    assert_true(energy->domains && energy->readings);
    add(energy, &host_ops, domain_of("host", DOMAIN_HOST, -1));
    add(energy, &package_ops, domain_of("package-0", DOMAIN_PACKAGE, 0));
    energy_rest_add(energy);
    host_next = (struct reading){.is_power = true, .power_uw = 100 * WATT};
    package_next = (struct reading){0};
    host_reads = 0;
    energy_sample(energy, true);
    energy_window_reset(energy);
}

static void end(struct energy *energy)
{
    free(energy->domains);
    free(energy->readings);
}

/* One second in which the package takes so much. */
static void second(struct energy *energy, uint64_t package_uj)
{
    energy_window_reset(energy);
    package_next.counter_uj += package_uj;
    fake_clock_advance(&test_clock, NS_PER_SEC);
    energy_sample(energy, true);
}

static uint64_t window(const struct energy *energy, size_t d)
{
    return energy->domains[d].window_uj;
}

static void a_power_counts_in_every_window(void **state)
{
    struct energy energy;

    begin(&energy);
    assert_int_equal(energy.n_domains, 3);
    assert_string_equal(energy.domains[2].domain.name, "rest");
    assert_int_equal(energy.domains[2].domain.quality, QUALITY_DERIVED);
    for (int i = 0; i < 20; i++) {
        second(&energy, 30 * WATT);
        assert_int_equal(window(&energy, 0), 100 * WATT);
        assert_int_equal(window(&energy, 2), 70 * WATT);
        assert_int_equal(energy.domains[0].status, 0);
        assert_int_equal(energy_window_span_ns(&energy.domains[0]), NS_PER_SEC);
        assert_int_equal(energy_window_span_ns(&energy.domains[2]), NS_PER_SEC);
    }
    assert_true(host_reads < 10); /* each 2.5 to 5 s */
    assert_int_equal(energy.domains[0].delta.total_uj, 2000 * WATT);
    end(&energy);
}

static void a_new_power_counts_from_its_reading(void **state)
{
    struct energy energy;

    begin(&energy);
    host_next.power_uw = 200 * WATT;
    for (int i = 0; i < 30 && window(&energy, 0) != 200 * WATT; i++) {
        second(&energy, 0);
        assert_true(window(&energy, 0) == 100 * WATT || window(&energy, 0) == 200 * WATT);
    }
    assert_int_equal(window(&energy, 0), 200 * WATT);
    end(&energy);
}

static void an_old_power_is_dropped(void **state)
{
    struct energy energy;
    uint64_t counted = 0;
    int seconds = 0;

    begin(&energy);
    host_next = (struct reading){.status = -EIO};
    do {
        second(&energy, 30 * WATT);
        counted += window(&energy, 0);
        seconds++;
        assert_true(seconds < 60);
    } while (window(&energy, 0));
    /* Four intervals of 5 s after the one power that was told, to the microjoule. */
    assert_int_equal(counted, 20 * 100 * WATT);
    assert_int_equal(energy.domains[0].status, -ESTALE);
    assert_int_equal(energy.domains[0].delta.gaps, 1);
    assert_int_equal(window(&energy, 2), 0);

    /* What the package took meanwhile is not taken off what the host tells when it is back. */
    host_next = (struct reading){.is_power = true, .power_uw = 100 * WATT};
    for (int i = 0; i < 200; i++)
        second(&energy, 30 * WATT);
    assert_int_equal(energy.domains[0].status, 0);
    assert_int_equal(window(&energy, 2), 70 * WATT);
    assert_int_equal(energy.domains[0].delta.gaps, 1);
    end(&energy);
}

static void a_suspend_is_a_gap(void **state)
{
    struct energy energy;

    begin(&energy);
    second(&energy, 0);
    energy_rebase(&energy);
    second(&energy, 0);
    assert_int_equal(window(&energy, 0), 0);
    assert_int_equal(energy.domains[0].delta.gaps, 1);
    end(&energy);
}

/* Meters that do not agree about when: what a window owes is taken off the next ones. */
static void what_is_owed_is_paid(void **state)
{
    struct energy energy;
    uint64_t rest = 0;

    begin(&energy);
    second(&energy, 150 * WATT);
    assert_int_equal(window(&energy, 2), 0);
    for (int i = 0; i < 10; i++) {
        second(&energy, 30 * WATT);
        rest += window(&energy, 2);
    }
    assert_int_equal(rest, (11 * 100 - 150 - 10 * 30) * WATT);
    assert_int_equal(energy.rest.excess_uj, 0);
    end(&energy);
}

/* Meters that do not agree about how much: the rest is 0, and it is told; mended, the rest is back within a minute. */
static void parts_that_exceed_the_host(void **state)
{
    struct energy energy;
    int seconds = 0;

    begin(&energy);
    for (int i = 0; i < 1000; i++) {
        second(&energy, 110 * WATT);
        assert_int_equal(window(&energy, 2), 0);
    }
    assert_true(energy.rest.excess_uj > 0);
    do {
        second(&energy, 0);
        assert_true(++seconds <= 67);
    } while (window(&energy, 2) != 100 * WATT);
    end(&energy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_power_counts_in_every_window), cmocka_unit_test(a_new_power_counts_from_its_reading),
        cmocka_unit_test(an_old_power_is_dropped),        cmocka_unit_test(a_suspend_is_a_gap),
        cmocka_unit_test(what_is_owed_is_paid),           cmocka_unit_test(parts_that_exceed_the_host),
    };

    return cmocka_run_group_tests_name("energy_host", tests, NULL, NULL);
}
