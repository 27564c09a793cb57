/* SPDX-License-Identifier: Apache-2.0 */
/* Containment of domains and the choice of those that make up the node: nothing twice. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "model/domain.h"

static struct domain make(const char *name, enum domain_kind kind, int package, int die)
{
    struct domain d = {.kind = kind, .package = package, .die = die, .node = -1};

    snprintf(d.name, sizeof(d.name), "%s", name);
    return d;
}

/* "1" for a domain in the total, in their order. */
static void assert_total(struct domain *domains, size_t n, const char *expected)
{
    char got[DOMAINS_MAX + 1] = "";

    domains_mark_total(domains, n);
    for (size_t i = 0; i < n; i++)
        got[i] = domains[i].in_total ? '1' : '0';
    got[n] = '\0';
    assert_string_equal(got, expected);
}

static void names(void **state)
{
    (void)state;
    assert_string_equal(domain_kind_name(DOMAIN_PACKAGE), "package");
    assert_string_equal(domain_kind_name(DOMAIN_OTHER), "other");
    assert_string_equal(domain_kind_name((enum domain_kind)99), "other");
    assert_string_equal(quality_name(QUALITY_MEASURED), "measured");
    assert_string_equal(quality_name(QUALITY_DEFAULT), "default");
    assert_int_equal(quality_worse(QUALITY_MEASURED, QUALITY_MODELLED), QUALITY_MODELLED);
    assert_int_equal(quality_worse(QUALITY_DEFAULT, QUALITY_DERIVED), QUALITY_DEFAULT);
}

static void containment(void **state)
{
    struct domain host = make("host", DOMAIN_HOST, -1, -1), psys = make("psys", DOMAIN_PSYS, -1, -1);
    struct domain p0 = make("package-0", DOMAIN_PACKAGE, 0, -1), p1 = make("package-1", DOMAIN_PACKAGE, 1, -1);
    struct domain p0d1 = make("package-0-die-1", DOMAIN_PACKAGE, 0, 1);
    struct domain core0 = make("core-0", DOMAIN_CORE, 0, -1), core0d1 = make("core-0-die-1", DOMAIN_CORE, 0, 1);
    struct domain dram0 = make("dram-0", DOMAIN_DRAM, 0, -1), dram = make("dram", DOMAIN_DRAM, -1, -1);
    struct domain gpu0 = make("gpu-0", DOMAIN_GPU, -1, -1), gpu1 = make("gpu-1", DOMAIN_GPU, -1, -1);
    struct domain mmio = make("package-0-mmio", DOMAIN_OTHER, 0, -1);

    (void)state;
    assert_true(domain_contains(&host, &psys));
    assert_true(domain_contains(&host, &gpu0));
    assert_true(domain_contains(&psys, &p1));
    assert_true(domain_contains(&psys, &dram0));
    assert_false(domain_contains(&psys, &gpu0));
    assert_false(domain_contains(&psys, &host));
    assert_true(domain_contains(&p0, &core0));
    assert_true(domain_contains(&p0, &p0d1));
    assert_false(domain_contains(&p0d1, &p0));
    assert_true(domain_contains(&p0d1, &core0d1));
    assert_false(domain_contains(&p0d1, &core0));
    assert_false(domain_contains(&p1, &core0));
    assert_false(domain_contains(&p0, &dram0)); /* beside the package */
    assert_false(domain_contains(&core0, &p0));
    assert_true(domain_contains(&dram, &dram0));
    assert_false(domain_contains(&dram0, &dram));
    assert_true(domain_contains(&gpu0, &gpu0));
    assert_false(domain_contains(&gpu0, &gpu1));
    assert_false(domain_contains(&p0, &mmio));
    assert_true(domain_contains(&p0, &p0));
}

static void total_of_a_server(void **state)
{
    struct domain d[] = {
        make("package-0", DOMAIN_PACKAGE, 0, -1),    make("core-0", DOMAIN_CORE, 0, -1),
        make("dram-0", DOMAIN_DRAM, 0, -1),          make("package-1", DOMAIN_PACKAGE, 1, -1),
        make("dram-1", DOMAIN_DRAM, 1, -1),          make("psys", DOMAIN_PSYS, -1, -1),
        make("package-0-mmio", DOMAIN_OTHER, 0, -1), make("gpu-0", DOMAIN_GPU, -1, -1),
        make("gpu-1", DOMAIN_GPU, -1, -1),
    };

    (void)state;
    for (size_t i = 0; i < ELEMENTSOF(d); i++)
        d[i].in_total = true; /* whatever stood there before */
    assert_total(d, ELEMENTSOF(d), "101110011");
}

static void total_of_dies(void **state)
{
    struct domain dies[] = {make("package-0-die-0", DOMAIN_PACKAGE, 0, 0),
                            make("package-0-die-1", DOMAIN_PACKAGE, 0, 1), make("core-0-die-0", DOMAIN_CORE, 0, 0)};
    struct domain both[] = {make("package-0-die-0", DOMAIN_PACKAGE, 0, 0), make("package-0", DOMAIN_PACKAGE, 0, -1)};

    (void)state;
    assert_total(dies, ELEMENTSOF(dies), "110");
    assert_total(both, ELEMENTSOF(both), "01"); /* the die is in the package */
}

static void host_stands_alone(void **state)
{
    struct domain d[] = {make("package-0", DOMAIN_PACKAGE, 0, -1), make("host", DOMAIN_HOST, -1, -1),
                         make("host-bmc", DOMAIN_HOST, -1, -1), make("gpu-0", DOMAIN_GPU, -1, -1)};

    (void)state;
    assert_total(d, ELEMENTSOF(d), "0100");
}

static void psys_only_without_packages(void **state)
{
    struct domain d[] = {make("psys", DOMAIN_PSYS, -1, -1), make("dram-0", DOMAIN_DRAM, 0, -1),
                         make("gpu-0", DOMAIN_GPU, -1, -1)};

    (void)state;
    assert_total(d, ELEMENTSOF(d), "101");
    assert_total(d, 0, "");
}

static void two_sources_of_one_region(void **state)
{
    struct domain same[] = {make("package-0", DOMAIN_PACKAGE, 0, -1), make("package-0-2", DOMAIN_PACKAGE, 0, -1)};
    struct domain better[] = {make("package-0-model", DOMAIN_PACKAGE, 0, -1), make("package-0", DOMAIN_PACKAGE, 0, -1)};
    struct domain memory[] = {make("dram-0", DOMAIN_DRAM, -1, -1), make("dram-measured", DOMAIN_DRAM, 1, -1)};

    (void)state;
    assert_total(same, ELEMENTSOF(same), "10");
    better[0].quality = QUALITY_MODELLED;
    assert_total(better, ELEMENTSOF(better), "01");
    memory[0].quality = QUALITY_MODELLED;
    assert_total(memory, ELEMENTSOF(memory), "01"); /* too little rather than twice */
    memory[0].quality = QUALITY_MEASURED;
    assert_total(memory, ELEMENTSOF(memory), "10");
}

static void one_card_read_twice(void **state)
{
    struct domain cards[] = {make("gpu-0000:c1:00.0-hwmon", DOMAIN_GPU, -1, -1), make("gpu-0", DOMAIN_GPU, -1, -1),
                             make("gpu-1", DOMAIN_GPU, -1, -1), make("gpu-2", DOMAIN_GPU, -1, -1)};

    (void)state;
    snprintf(cards[0].pci, sizeof(cards[0].pci), "0000:c1:00.0");
    snprintf(cards[1].pci, sizeof(cards[1].pci), "0000:c1:00.0");
    snprintf(cards[2].pci, sizeof(cards[2].pci), "0000:c2:00.0");
    assert_total(cards, ELEMENTSOF(cards), "1011"); /* of the same quality: the first */
    cards[0].quality = QUALITY_DERIVED;
    assert_total(cards, ELEMENTSOF(cards), "0111"); /* the better one */
}

static void a_package_with_its_memory(void **state)
{
    struct domain grace[] = {make("package-0-hwmon", DOMAIN_PACKAGE, 0, -1),
                             make("package-1-hwmon", DOMAIN_PACKAGE, 1, -1),
                             make("dram-0", DOMAIN_DRAM, 0, -1),
                             make("dram-2", DOMAIN_DRAM, 2, -1),
                             make("dram-model", DOMAIN_DRAM, -1, -1),
                             make("gpu-0", DOMAIN_GPU, -1, -1)};

    (void)state;
    grace[4].quality = QUALITY_MODELLED;
    grace[0].with_dram = grace[1].with_dram = true;
    assert_true(domain_contains(&grace[0], &grace[2]));
    assert_false(domain_contains(&grace[1], &grace[2]));
    assert_true(domain_contains(&grace[0], &grace[4]));
    assert_total(grace, ELEMENTSOF(grace), "110101");
}

static void whole_machine_meter_of_packages(void **state)
{
    struct domain d[] = {make("package-0", DOMAIN_PACKAGE, 0, -1), make("cpu-cray", DOMAIN_PACKAGE, -1, -1),
                         make("package-1", DOMAIN_PACKAGE, 1, -1), make("memory-cray", DOMAIN_DRAM, -1, -1),
                         make("dram-0", DOMAIN_DRAM, 0, -1)};

    (void)state;
    assert_total(d, ELEMENTSOF(d), "01010"); /* it holds both packages, so they are not added to it */
}

/* "1" for a part of domains[outer], in their order; "" when nothing of it is known. */
static void assert_parts(const struct domain *domains, size_t n, size_t outer, const char *expected)
{
    char got[DOMAINS_MAX + 1] = "";
    struct domain_rest rest;
    int r = domain_rest(domains, n, outer, &rest);

    if (r < 0) {
        assert_int_equal(r, -ENODATA);
        assert_string_equal("", expected);
        return;
    }
    memset(got, '0', n);
    for (size_t i = 0; i < rest.n_parts; i++) {
        got[rest.parts[i]] = '1';
        assert_true(i == 0 || rest.parts[i] > rest.parts[i - 1]);
    }
    assert_string_equal(got, expected);
}

static void parts_of_a_host(void **state)
{
    struct domain d[] = {
        make("package-0", DOMAIN_PACKAGE, 0, -1),  make("core-0", DOMAIN_CORE, 0, -1),
        make("dram-0", DOMAIN_DRAM, 0, -1),        make("package-1", DOMAIN_PACKAGE, 1, -1),
        make("host-bmc", DOMAIN_HOST, -1, -1),     make("host-acpi", DOMAIN_HOST, -1, -1),
        make("psys", DOMAIN_PSYS, -1, -1),         make("gpu-0", DOMAIN_GPU, -1, -1),
        make("gpu-0-hwmon", DOMAIN_GPU, -1, -1),   make("fan", DOMAIN_OTHER, -1, -1),
        make("package-1-2", DOMAIN_PACKAGE, 1, 0),
    };
    struct domain_rest rest;

    (void)state;
    snprintf(d[7].pci, sizeof(d[7].pci), "0000:c1:00.0");
    snprintf(d[8].pci, sizeof(d[8].pci), "0000:c1:00.0");
    d[8].quality = QUALITY_DERIVED;
    assert_parts(d, ELEMENTSOF(d), 4, "10110001000");
    assert_parts(d, ELEMENTSOF(d), 5, "10110001000");
    assert_parts(d, ELEMENTSOF(d), 6, "10110000000"); /* cards are not known to hang on psys */
    assert_total(d, ELEMENTSOF(d), "00001000000");    /* the total stays the host alone */

    d[4].quality = QUALITY_DERIVED;
    assert_int_equal(domain_rest(d, ELEMENTSOF(d), 4, &rest), 0);
    assert_int_equal(rest.quality, QUALITY_DERIVED);
    assert_int_equal(domain_rest(d, ELEMENTSOF(d), 5, &rest), 0);
    assert_int_equal(rest.quality, QUALITY_MEASURED);
    assert_int_equal(domain_rest(d, ELEMENTSOF(d), 0, &rest), -EINVAL);
    assert_int_equal(domain_rest(d, ELEMENTSOF(d), ELEMENTSOF(d), &rest), -EINVAL);
}

static void total_with_a_rest(void **state)
{
    struct domain d[] = {
        make("package-0", DOMAIN_PACKAGE, 0, -1), make("core-0", DOMAIN_CORE, 0, -1),
        make("dram-0", DOMAIN_DRAM, 0, -1),       make("host-acpi", DOMAIN_HOST, -1, -1),
        make("host-bmc", DOMAIN_HOST, -1, -1),    make("gpu-0", DOMAIN_GPU, -1, -1),
        make("rest", DOMAIN_REST, -1, -1),
    };

    (void)state;
    assert_total(d, ELEMENTSOF(d), "1010011");
    d[3].quality = QUALITY_DERIVED;
    assert_int_equal(domains_host(d, ELEMENTSOF(d)), 4);
    assert_total(d, ELEMENTSOF(d), "1010011");
    d[0].quality = QUALITY_MODELLED; /* no part: inside the rest */
    assert_total(d, ELEMENTSOF(d), "0010011");
    assert_total(d, 6, "000010"); /* without a rest the host alone */
    assert_int_equal(domains_host(d, 3), -ENOENT);
}

static void a_model_does_not_displace_psys(void **state)
{
    struct domain d[] = {make("psys", DOMAIN_PSYS, -1, -1), make("package-0", DOMAIN_PACKAGE, 0, -1),
                         make("dram", DOMAIN_DRAM, -1, -1)};

    (void)state;
    d[1].quality = QUALITY_MODELLED;
    d[2].quality = QUALITY_DEFAULT;
    assert_total(d, ELEMENTSOF(d), "100");
    d[0].quality = QUALITY_MODELLED;
    assert_total(d, ELEMENTSOF(d), "011");
}

static void parts_that_are_not_known(void **state)
{
    struct domain modelled[] = {make("package-0", DOMAIN_PACKAGE, 0, -1), make("dram", DOMAIN_DRAM, -1, -1),
                                make("host", DOMAIN_HOST, -1, -1), make("gpu-0", DOMAIN_GPU, -1, -1)};
    struct domain psys[] = {make("host", DOMAIN_HOST, -1, -1), make("psys", DOMAIN_PSYS, -1, -1),
                            make("dram-0", DOMAIN_DRAM, 0, -1), make("gpu-0", DOMAIN_GPU, -1, -1),
                            make("package-0", DOMAIN_PACKAGE, 0, -1)};

    (void)state;
    modelled[0].quality = QUALITY_MODELLED;
    modelled[1].quality = QUALITY_DEFAULT;
    assert_parts(modelled, 4, 2, "0001");
    assert_parts(modelled, 3, 2, "");
    assert_parts(psys, 1, 0, "");
    assert_parts(psys, 4, 0, "0101"); /* no package: psys, which holds the memory, and the card */
    psys[4].quality = QUALITY_MODELLED;
    assert_parts(psys, 5, 0, "01010"); /* a modelled package does not displace it */
    psys[4].quality = QUALITY_MEASURED;
    assert_parts(psys, 5, 0, "00111");
}

static void rest_of_a_host(void **state)
{
    struct domain d[] = {make("host", DOMAIN_HOST, -1, -1), make("package-0", DOMAIN_PACKAGE, 0, -1),
                         make("core-0", DOMAIN_CORE, 0, -1), make("dram-0", DOMAIN_DRAM, 0, -1)};
    const uint64_t energy_uj[] = {1000, 600, 500, 150};
    struct domain_rest rest;
    uint64_t excess_uj = 7;

    (void)state;
    assert_int_equal(domain_rest(d, ELEMENTSOF(d), 0, &rest), 0);
    assert_int_equal(domain_rest_uj(&rest, energy_uj[0], energy_uj, &excess_uj), 250);
    assert_int_equal(excess_uj, 0);
    assert_int_equal(domain_rest_uj(&rest, 750, energy_uj, &excess_uj), 0);
    assert_int_equal(excess_uj, 0);
    assert_int_equal(domain_rest_uj(&rest, 700, energy_uj, &excess_uj), 0); /* meters that disagree */
    assert_int_equal(excess_uj, 50);
}

/* A small generator, so that a failure can be repeated. */
static uint32_t next_random(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005ULL + 1442695040888963407ULL;
    return (uint32_t)(*seed >> 33);
}

/* Whatever the machine, nothing chosen overlaps, and every part lies in its host. */
static void nothing_twice_in_any_machine(void **state)
{
    uint64_t seed = 42;
    struct domain d[24];

    (void)state;
    for (int round = 0; round < 20000; round++) {
        size_t n = 1 + next_random(&seed) % ELEMENTSOF(d);
        struct domain_rest rest;
        for (size_t i = 0; i < n; i++) {
            char name[32];
            snprintf(name, sizeof(name), "d%zu", i);
            d[i] = make(name, (enum domain_kind)(next_random(&seed) % (DOMAIN_REST + 1)),
                        (int)(next_random(&seed) % 4) - 1, (int)(next_random(&seed) % 3) - 1);
            d[i].quality = (enum quality)(next_random(&seed) % (QUALITY_DEFAULT + 1));
            d[i].with_dram = next_random(&seed) % 4 == 0;
            if (next_random(&seed) % 2)
                snprintf(d[i].pci, sizeof(d[i].pci), "0000:0%u:00.0", next_random(&seed) % 4);
        }
        domains_mark_total(d, n);
        for (size_t i = 0; i < n; i++) {
            for (size_t k = 0; k < n; k++)
                assert_false(i != k && d[i].in_total && d[k].in_total && domain_contains(&d[i], &d[k]));
        }
        for (size_t host = 0; host < n; host++) {
            if (domain_rest(d, n, host, &rest) < 0)
                continue;
            for (size_t i = 0; i < rest.n_parts; i++) {
                const struct domain *part = &d[rest.parts[i]];
                assert_true(rest.parts[i] != host && domain_contains(&d[host], part));
                assert_true(part->quality <= QUALITY_DERIVED && part->kind != DOMAIN_HOST);
                for (size_t k = 0; k < rest.n_parts; k++)
                    assert_false(i != k && domain_contains(part, &d[rest.parts[k]]));
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names),
        cmocka_unit_test(containment),
        cmocka_unit_test(total_of_a_server),
        cmocka_unit_test(total_of_dies),
        cmocka_unit_test(host_stands_alone),
        cmocka_unit_test(psys_only_without_packages),
        cmocka_unit_test(two_sources_of_one_region),
        cmocka_unit_test(one_card_read_twice),
        cmocka_unit_test(a_package_with_its_memory),
        cmocka_unit_test(whole_machine_meter_of_packages),
        cmocka_unit_test(parts_of_a_host),
        cmocka_unit_test(total_with_a_rest),
        cmocka_unit_test(a_model_does_not_displace_psys),
        cmocka_unit_test(parts_that_are_not_known),
        cmocka_unit_test(rest_of_a_host),
        cmocka_unit_test(nothing_twice_in_any_machine),
    };

    return cmocka_run_group_tests_name("domain", tests, NULL, NULL);
}
