/* SPDX-License-Identifier: Apache-2.0 */
/* Square-root information against answers worked out by hand and against normal equations. */
#include <math.h>
#include <string.h>

#include "../base/unit_test.h"
#include "attribution/linalg_small.h"

static void assert_near(double value, double expected, double tolerance)
{
    if (!(fabs(value - expected) <= tolerance))
        fail_msg("%.12g is not %.12g +- %g", value, expected, tolerance);
}

static double unit(uint64_t *random)
{
    return (double)(next_random(random) >> 11) * 0x1p-53;
}

static double variance(const struct info_root *root, size_t i)
{
    double inv[LINALG_MAX][LINALG_MAX], sum = 0.0;

    assert_true(info_root_inverse(root, inv));
    for (size_t k = 0; k < root->n; k++)
        sum += inv[i][k] * inv[i][k];
    return sum;
}

/* One unknown: mean 2 +- 1, measured 4 +- 1: 3 +- sqrt(1/2). */
static void test_one_unknown(void **state)
{
    struct info_root root;
    double x;

    info_root_prior(&root, 1, (double[]){2.0}, (double[]){1.0});
    info_root_add(&root, (double[]){1.0}, 4.0);
    assert_true(info_root_solve(&root, &x));
    assert_near(x, 3.0, 1e-12);
    assert_near(variance(&root, 0), 0.5, 1e-12);
}

/* Many measurements of five unknowns without an error: they are found. */
static void test_finds_the_unknowns(void **state)
{
    const double truth[5] = {3.0, 0.5, 20.0, 1e-3, 7.0}, mean[5] = {0}, sd[5] = {1e3, 1e3, 1e3, 1e3, 1e3};
    struct info_root root;
    uint64_t random = 7;
    double x[5];

    info_root_prior(&root, 5, mean, sd);
    for (unsigned i = 0; i < 200; i++) {
        double row[5], value = 0.0;
        for (size_t j = 0; j < 5; j++) {
            row[j] = unit(&random);
            value += row[j] * truth[j];
        }
        for (size_t j = 0; j < 5; j++)
            row[j] *= 1e4; /* +- 1e-4 */
        info_root_add(&root, row, value * 1e4);
    }
    assert_true(info_root_solve(&root, x));
    for (size_t j = 0; j < 5; j++)
        assert_near(x[j], truth[j], 1e-6);
}

/* Two columns that differ in the eighth digit: normal equations would see one. */
static void test_nearly_dependent(void **state)
{
    struct info_root root;
    double x[2];

    info_root_prior(&root, 2, (double[]){0.0, 0.0}, (double[]){1e12, 1e12});
    info_root_add(&root, (double[]){1.0, 1.0}, 3.0);
    info_root_add(&root, (double[]){1.0, 1.0 + 1e-8}, 3.0 + 2e-8);
    assert_true(info_root_solve(&root, x));
    assert_near(x[0], 1.0, 1e-6);
    assert_near(x[1], 2.0, 1e-6);
}

/* Forgetting takes a tenth of the information along the row and leaves the solution and everything else alone. */
static void test_fade_is_directional(void **state)
{
    struct info_root root;
    double x[2];

    info_root_prior(&root, 2, (double[]){5.0, 6.0}, (double[]){0.1, 0.2});
    info_root_fade(&root, (double[]){1.0, 0.0}, 0.9);
    assert_true(info_root_solve(&root, x));
    assert_near(x[0], 5.0, 1e-12);
    assert_near(x[1], 6.0, 1e-12);
    assert_near(variance(&root, 0), 0.01 / 0.9, 1e-12);
    assert_near(variance(&root, 1), 0.04, 1e-12);
    info_root_fade(&root, (double[]){0.0, 0.0}, 0.5); /* says nothing, forgets nothing */
    assert_near(variance(&root, 1), 0.04, 1e-12);
}

static void test_blend(void **state)
{
    struct info_root root, other;
    double x;

    info_root_prior(&root, 1, (double[]){10.0}, (double[]){0.1}); /* information 100 */
    info_root_prior(&other, 1, (double[]){0.0}, (double[]){1.0}); /* 1 */
    info_root_blend(&root, &other, 0.5);
    assert_true(info_root_solve(&root, &x));
    assert_near(variance(&root, 0), 1.0 / 50.5, 1e-12);
    assert_near(x, 500.0 / 50.5, 1e-12);
}

/* Of x + y = 1 +- 1e-6 and a prior +- 1 on each, x drifts by +- 2: x is as good as unknown, the sum too, y keeps what
 * it had. */
static void test_diffuse(void **state)
{
    struct info_root root;
    double inv[LINALG_MAX][LINALG_MAX], x[2];

    info_root_prior(&root, 2, (double[]){0.0, 0.0}, (double[]){1.0, 1.0});
    info_root_add(&root, (double[]){1e6, 1e6}, 1e6);
    double before = variance(&root, 1), own = variance(&root, 0);
    info_root_diffuse(&root, 0, 4.0);
    assert_near(variance(&root, 0), own + 4.0, 1e-9);
    assert_near(variance(&root, 1), before, 1e-9);
    assert_true(info_root_solve(&root, x));
    assert_near(x[0], 0.5, 1e-6);
    assert_near(x[1], 0.5, 1e-6);
    assert_true(info_root_inverse(&root, inv));
    double sum = hypot(inv[0][0] + inv[1][0], inv[0][1] + inv[1][1]);
    assert_near(sum * sum, 4.0, 1e-6);
    info_root_diffuse(&root, 1, 0.0);
    assert_near(variance(&root, 1), before, 1e-9);
}

/* min |x - (-1, 2)|^2 + |x + y - 1|^2 over x >= 0: x = 0, y = 1.5. */
static void test_nonnegative(void **state)
{
    struct info_root root;
    double x[2];

    info_root_prior(&root, 2, (double[]){-1.0, 2.0}, (double[]){1.0, 1.0});
    info_root_add(&root, (double[]){1.0, 1.0}, 1.0);
    assert_true(info_root_solve_nonnegative(&root, 2, x));
    assert_near(x[0], 0.0, 1e-12);
    assert_near(x[1], 1.5, 1e-12);
    assert_true(info_root_solve_nonnegative(&root, 0, x)); /* both free: the plain solution */
    assert_near(x[0], -1.0, 1e-12);
}

static double objective(const struct info_root *root, const double *x)
{
    double sum = 0.0;

    for (size_t i = 0; i < root->n; i++) {
        double rest = root->z[i];
        for (size_t j = i; j < root->n; j++)
            rest -= root->r[i][j] * x[j];
        sum += rest * rest;
    }
    return sum;
}

/* Against all 2^5 choices of what is 0, with a sixth unknown that may be negative. */
static void test_nonnegative_is_the_best(void **state)
{
    uint64_t random = 99;

    for (unsigned round = 0; round < 300; round++) {
        struct info_root root;
        double mean[6], sd[6], x[6], best = INFINITY;

        for (size_t j = 0; j < 6; j++) {
            mean[j] = unit(&random) * 4.0 - 2.0;
            sd[j] = 0.1 + unit(&random);
        }
        info_root_prior(&root, 6, mean, sd);
        for (unsigned i = 0; i < 4; i++) {
            double row[6];
            for (size_t j = 0; j < 6; j++)
                row[j] = unit(&random) * 4.0 - 1.0;
            info_root_add(&root, row, unit(&random) * 3.0 - 1.0);
        }
        assert_true(info_root_solve_nonnegative(&root, 5, x));
        for (unsigned zero = 0; zero < 32; zero++) {
            struct info_root part = root;
            double candidate[6];
            bool inside = true;
            for (size_t j = 0; j < 5; j++) {
                double row[6] = {0};
                row[j] = 1e7;
                if (zero >> j & 1)
                    info_root_add(&part, row, 0.0);
            }
            assert_true(info_root_solve(&part, candidate));
            for (size_t j = 0; j < 5; j++)
                inside = inside && candidate[j] > -1e-9;
            if (inside)
                best = fmin(best, objective(&root, candidate));
        }
        for (size_t j = 0; j < 5; j++)
            assert_true(x[j] >= 0.0);
        assert_true(objective(&root, x) <= best + 1e-6 * (1.0 + best));
    }
}

static void test_singular_is_told(void **state)
{
    struct info_root root;
    double x[2], inv[LINALG_MAX][LINALG_MAX];

    info_root_prior(&root, 2, (double[]){0.0, 0.0}, (double[]){1.0, 1e20});
    assert_false(info_root_solve(&root, x));
    assert_false(info_root_inverse(&root, inv));
    info_root_prior(&root, 2, (double[]){NAN, 0.0}, (double[]){1.0, 1.0});
    assert_false(info_root_solve_nonnegative(&root, 2, x));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_unknown),
        cmocka_unit_test(test_finds_the_unknowns),
        cmocka_unit_test(test_nearly_dependent),
        cmocka_unit_test(test_fade_is_directional),
        cmocka_unit_test(test_blend),
        cmocka_unit_test(test_diffuse),
        cmocka_unit_test(test_nonnegative),
        cmocka_unit_test(test_nonnegative_is_the_best),
        cmocka_unit_test(test_singular_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
