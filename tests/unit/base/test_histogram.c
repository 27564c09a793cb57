/* SPDX-License-Identifier: Apache-2.0 */
/* Quantiles against a sorted list, at every size of number. */
#include "unit_test.h"

#include "base/histogram.h"

static struct histogram histogram, other;

static void empty(void **state)
{
    histogram = (struct histogram){0};
    assert_int_equal(histogram_quantile(&histogram, 500), 0);
    assert_int_equal(histogram_quantile(&histogram, 1000), 0);
}

static void small_numbers_are_exact(void **state)
{
    histogram = (struct histogram){0};
    for (uint64_t i = 1; i <= 50; i++)
        histogram_add(&histogram, i);
    assert_int_equal(histogram_quantile(&histogram, 0), 1);
    assert_int_equal(histogram_quantile(&histogram, 20), 1);
    assert_int_equal(histogram_quantile(&histogram, 500), 25);
    assert_int_equal(histogram_quantile(&histogram, 980), 49);
    assert_int_equal(histogram_quantile(&histogram, 990), 50);
    assert_int_equal(histogram_quantile(&histogram, 1000), 50);
}

/* A value alone is its own quantile within a bucket's width, and never more than the largest. */
static void every_size(void **state)
{
    for (unsigned bit = 0; bit < 64; bit++) {
        uint64_t value = 1ULL << bit;
        histogram = (struct histogram){0};
        histogram_add(&histogram, value);
        assert_int_equal(histogram_quantile(&histogram, 500), value);
        histogram_add(&histogram, value + value / 2); /* another bucket from 2 on */
        uint64_t median = histogram_quantile(&histogram, 500);
        assert_true(median >= value && median - value <= value / 32);
        assert_int_equal(histogram_quantile(&histogram, 1000), histogram.largest);
    }
    histogram_add(&histogram, UINT64_MAX);
    assert_int_equal(histogram_quantile(&histogram, 1000), UINT64_MAX);
}

static void merges(void **state)
{
    histogram = other = (struct histogram){0};
    for (uint64_t i = 0; i < 100; i++) {
        histogram_add(&histogram, 10);
        histogram_add(&other, 1000000);
    }
    histogram_add(&other, 2000000);
    histogram_merge(&histogram, &other);
    assert_int_equal(histogram.count, 201);
    assert_int_equal(histogram.largest, 2000000);
    assert_int_equal(histogram_quantile(&histogram, 400), 10);
    assert_in_range(histogram_quantile(&histogram, 990), 1000000, 1000000 + 1000000 / 32);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(empty), cmocka_unit_test(small_numbers_are_exact),
                                       cmocka_unit_test(every_size), cmocka_unit_test(merges)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
