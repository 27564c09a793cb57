/* SPDX-License-Identifier: Apache-2.0 */
/* A host that tells its power seldom, what is inside it, and the rest: counted in every window, dropped when too old,
 * never twice, never below 0. Sources and clock are the test's own. */
#include "../sources/scratch.h"

#include "meter/internal.h"

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

static void begin_with(struct energy *energy, struct reading host)
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
    host_next = host;
    package_next = (struct reading){0};
    host_reads = 0;
    energy_sample(energy, true);
    energy_window_reset(energy);
}

static void begin(struct energy *energy)
{
    begin_with(energy, (struct reading){.is_power = true, .power_uw = 100 * WATT});
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
    energy.sources[0].not_before_ns = 0; /* the back-off is over */
    while (window(&energy, 0) == 0) {
        second(&energy, 30 * WATT);
        assert_true(++seconds < 120);
    }
    assert_int_equal(window(&energy, 2), 70 * WATT);
    second(&energy, 30 * WATT);
    assert_int_equal(energy.domains[0].status, 0);
    assert_int_equal(window(&energy, 2), 70 * WATT);
    assert_int_equal(energy.domains[0].delta.gaps, 1);
    end(&energy);
}

/* A host whose first answer comes late: what the package took before is not taken off it. */
static void a_host_that_comes_late(void **state)
{
    struct energy energy;

    begin_with(&energy, (struct reading){.status = -ENODATA});
    for (int i = 0; i < 9; i++) {
        second(&energy, 30 * WATT);
        assert_int_equal(window(&energy, 2), 0);
    }
    host_next = (struct reading){.is_power = true, .power_uw = 100 * WATT};
    for (int i = 0; i < 10 && energy.domains[0].last_reading_ns == 0; i++)
        second(&energy, 30 * WATT);
    for (int i = 0; i < 5; i++) {
        second(&energy, 30 * WATT);
        assert_int_equal(window(&energy, 0), 100 * WATT);
        assert_int_equal(window(&energy, 2), 70 * WATT);
    }
    end(&energy);
}

/* Of a window in which the host was known for a part only, that part of the package's energy is taken off. */
static void a_window_half_known(void **state)
{
    struct energy energy;

    begin(&energy);
    second(&energy, 30 * WATT);
    energy.domains[0].held_until_ns = test_clock.now.mono_ns + NS_PER_SEC / 2;
    host_next = (struct reading){.status = -EIO};
    second(&energy, 30 * WATT);
    assert_int_equal(window(&energy, 0), 50 * WATT);
    assert_int_equal(window(&energy, 2), 35 * WATT);
    assert_int_equal(energy_window_span_ns(&energy.domains[2]), NS_PER_SEC / 2);
    end(&energy);
}

/* Dropped and told again within one window: its span is the time that was counted, so that the power is right. */
static void a_gap_within_a_window(void **state)
{
    struct energy energy;
    struct energy_domain *host;

    begin(&energy);
    host = &energy.domains[0];
    energy_window_reset(&energy);
    host->held_until_ns = test_clock.now.mono_ns + 200 * NS_PER_MS;
    host_next = (struct reading){.status = -EIO};
    fake_clock_advance(&test_clock, 500 * NS_PER_MS);
    energy_sample(&energy, false);
    assert_int_equal(host->status, -ESTALE);
    host_next = (struct reading){.is_power = true, .power_uw = 100 * WATT};
    energy.sources[0].not_before_ns = energy.sources[0].last_read_ns = 0;
    fake_clock_advance(&test_clock, 400 * NS_PER_MS);
    energy_sample(&energy, false);
    package_next.counter_uj += 30 * WATT;
    fake_clock_advance(&test_clock, 100 * NS_PER_MS);
    energy_sample(&energy, true);
    assert_int_equal(host->window_uj, 30 * WATT);
    assert_int_equal(energy_window_span_ns(host), 300 * NS_PER_MS);
    assert_int_equal(window(&energy, 2), 21 * WATT); /* 70 W over those 300 ms */
    end(&energy);
}

/* A domain of which only powers are told, and the rest, are known as soon as something was told. */
static void counters_know_powers(void **state)
{
    struct meter *meter = calloc(1, sizeof(*meter));
    struct meter_counters *counters = calloc(1, sizeof(*counters));

    assert_true(meter && counters);
    begin(&meter->energy);
    meter->self.windows = 1;
    second(&meter->energy, 30 * WATT);
    assert_int_equal(meter_counters(meter, counters), 0);
    assert_int_equal(counters->n, 3);
    for (size_t i = 0; i < counters->n; i++)
        assert_true(counters->items[i].known);
    assert_int_equal(counters->items[0].run_uj, 100 * WATT);
    assert_int_equal(counters->items[2].run_uj, 70 * WATT);
    end(&meter->energy);

    begin_with(&meter->energy, (struct reading){.status = -ENODATA});
    second(&meter->energy, 30 * WATT);
    assert_int_equal(meter_counters(meter, counters), 0);
    assert_false(counters->items[0].known);
    assert_true(counters->items[1].known);
    assert_false(counters->items[2].known);
    end(&meter->energy);
    free(counters);
    free(meter);
}

/* A bus that was read badly: the last power that made sense counts on, and it is told. */
static void an_impossible_power_is_refused(void **state)
{
    struct energy energy;

    begin(&energy);
    host_next.power_uw = 65000 * WATT;
    for (int i = 0; i < 12; i++) {
        second(&energy, 0);
        assert_int_equal(window(&energy, 0), 100 * WATT);
    }
    assert_true(energy.domains[0].delta.absurd > 0);
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
        cmocka_unit_test(a_power_counts_in_every_window),
        cmocka_unit_test(a_new_power_counts_from_its_reading),
        cmocka_unit_test(an_old_power_is_dropped),
        cmocka_unit_test(a_suspend_is_a_gap),
        cmocka_unit_test(an_impossible_power_is_refused),
        cmocka_unit_test(what_is_owed_is_paid),
        cmocka_unit_test(parts_that_exceed_the_host),
        cmocka_unit_test(a_host_that_comes_late),
        cmocka_unit_test(a_window_half_known),
        cmocka_unit_test(a_gap_within_a_window),
        cmocka_unit_test(counters_know_powers),
    };

    return cmocka_run_group_tests_name("energy_host", tests, NULL, NULL);
}
