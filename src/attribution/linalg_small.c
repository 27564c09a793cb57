/* SPDX-License-Identifier: Apache-2.0 */
/* Square-root information by Givens rotations. Knows triangles of at most LINALG_MAX; does not know what is measured.
 */
#include "attribution/linalg_small.h"

#include <math.h>
#include <string.h>

/* A diagonal element below this part of the largest is 0 for all that doubles can tell. */
#define SINGULAR 1e-14

/* Lawson and Hanson's method ends; with rounding it may take an unknown in and out for ever. */
#define NONNEGATIVE_ROUNDS (4 * LINALG_MAX)

/* Rotates the row (with its value) into the triangle from column `first` on. Both are changed. */
static void rotate_in(struct info_root *root, double *row, double *value, size_t first)
{
    for (size_t j = first; j < root->n; j++) {
        if (row[j] == 0.0)
            continue;

        double length = hypot(root->r[j][j], row[j]);
        double c = root->r[j][j] / length, s = row[j] / length;
        for (size_t k = j; k < root->n; k++) {
            double upper = root->r[j][k], lower = row[k];
            root->r[j][k] = c * upper + s * lower;
            row[k] = c * lower - s * upper;
        }
        double upper = root->z[j], lower = *value;
        root->z[j] = c * upper + s * lower;
        *value = c * lower - s * upper;
        row[j] = 0.0;
    }
}

void info_root_prior(struct info_root *root, size_t n, const double *mean, const double *sd)
{
    *root = (struct info_root){.n = n};
    for (size_t i = 0; i < n; i++) {
        root->r[i][i] = 1.0 / sd[i];
        root->z[i] = mean[i] / sd[i];
    }
}

void info_root_add(struct info_root *root, const double *row, double value)
{
    double work[LINALG_MAX];

    memcpy(work, row, root->n * sizeof(*row));
    rotate_in(root, work, &value, 0);
}

/* Makes a full square (rows in `rows`, values in `values`) triangular again. */
static void triangulate(struct info_root *root, double rows[][LINALG_MAX], double *values, size_t n_rows)
{
    size_t n = root->n;

    *root = (struct info_root){.n = n};
    for (size_t i = 0; i < n_rows; i++)
        rotate_in(root, rows[i], &values[i], 0);
}

/* With v = R row', the information along it is R'vv'R / v'v: scaling R's part along v by sqrt(keep) scales exactly
 * that, and what is orthogonal to v keeps all it has (L. Cao, H. Schwartz, "A directional forgetting algorithm based on
 * the decomposition of the information matrix", Automatica 36, 2000). */
void info_root_fade(struct info_root *root, const double *row, double keep)
{
    double v[LINALG_MAX], along[LINALG_MAX] = {0}, along_z = 0.0, norm = 0.0;
    double rows[LINALG_MAX][LINALG_MAX], values[LINALG_MAX];
    size_t n = root->n;

    for (size_t i = 0; i < n; i++) {
        v[i] = 0.0;
        for (size_t j = i; j < n; j++)
            v[i] += root->r[i][j] * row[j];
        norm = hypot(norm, v[i]);
    }
    if (norm == 0.0 || keep >= 1.0)
        return;
    for (size_t i = 0; i < n; i++) {
        v[i] /= norm;
        for (size_t j = i; j < n; j++)
            along[j] += v[i] * root->r[i][j];
        along_z += v[i] * root->z[i];
    }

    double lost = 1.0 - sqrt(keep);
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < n; j++)
            rows[i][j] = root->r[i][j] - lost * v[i] * along[j];
        values[i] = root->z[i] - lost * v[i] * along_z;
    }
    triangulate(root, rows, values, n);
}

void info_root_blend(struct info_root *root, const struct info_root *other, double keep)
{
    double own = sqrt(keep), theirs = sqrt(1.0 - keep);

    for (size_t i = 0; i < root->n; i++) {
        for (size_t j = i; j < root->n; j++)
            root->r[i][j] *= own;
        root->z[i] *= own;
    }
    for (size_t i = 0; i < root->n; i++) {
        double row[LINALG_MAX], value = other->z[i] * theirs;
        for (size_t j = 0; j < root->n; j++)
            row[j] = other->r[i][j] * theirs;
        rotate_in(root, row, &value, 0);
    }
}

/* x_new = x_old + drift: the triangle holds x_old, one row more says (x_new - x_old) / sd = 0. The column of x_old is
 * rotated away from all rows but one, and that one, the only one that speaks of x_old, is dropped. */
void info_root_diffuse(struct info_root *root, size_t i, double variance)
{
    double rows[LINALG_MAX + 1][LINALG_MAX], old[LINALG_MAX + 1], values[LINALG_MAX + 1];
    size_t n = root->n;

    if (!(variance > 0.0))
        return;
    for (size_t k = 0; k < n; k++) {
        memcpy(rows[k], root->r[k], sizeof(rows[k]));
        old[k] = rows[k][i];
        rows[k][i] = 0.0;
        values[k] = root->z[k];
    }
    memset(rows[n], 0, sizeof(rows[n]));
    rows[n][i] = 1.0 / sqrt(variance);
    old[n] = -rows[n][i];
    values[n] = 0.0;

    for (size_t k = 0; k < n; k++) { /* everything of x_old goes into the last row */
        double length = hypot(old[n], old[k]);
        if (old[k] == 0.0)
            continue;
        double c = old[n] / length, s = old[k] / length;
        for (size_t j = 0; j < n; j++) {
            double last = rows[n][j], upper = rows[k][j];
            rows[n][j] = c * last + s * upper;
            rows[k][j] = c * upper - s * last;
        }
        double last = values[n];
        values[n] = c * last + s * values[k];
        values[k] = c * values[k] - s * last;
        old[n] = length;
    }
    triangulate(root, rows, values, n);
}

static bool singular(const struct info_root *root)
{
    double largest = 0.0, smallest = INFINITY;

    for (size_t i = 0; i < root->n; i++) {
        double d = fabs(root->r[i][i]);
        largest = fmax(largest, d);
        smallest = fmin(smallest, d);
        if (!isfinite(d) || !isfinite(root->z[i]))
            return true;
    }
    return !(smallest > SINGULAR * largest);
}

bool info_root_solve(const struct info_root *root, double *ret_x)
{
    double x[LINALG_MAX];

    if (singular(root))
        return false;
    for (size_t i = root->n; i-- > 0;) {
        double sum = root->z[i];
        for (size_t j = i + 1; j < root->n; j++)
            sum -= root->r[i][j] * x[j];
        x[i] = sum / root->r[i][i];
    }
    memcpy(ret_x, x, root->n * sizeof(*x));
    return true;
}

bool info_root_inverse(const struct info_root *root, double ret_inv[LINALG_MAX][LINALG_MAX])
{
    if (singular(root))
        return false;
    memset(ret_inv, 0, sizeof(double[LINALG_MAX][LINALG_MAX]));
    for (size_t j = 0; j < root->n; j++) {
        ret_inv[j][j] = 1.0 / root->r[j][j];
        for (size_t i = j; i-- > 0;) {
            double sum = 0.0;
            for (size_t k = i + 1; k <= j; k++)
                sum += root->r[i][k] * ret_inv[k][j];
            ret_inv[i][j] = -sum / root->r[i][i];
        }
    }
    return true;
}

/* The least squares solution over the unknowns in `in`, 0 for the others. */
static bool solve_subset(const struct info_root *root, const bool *in, double *ret_x)
{
    struct info_root part = {0};
    size_t column[LINALG_MAX];
    double rows[LINALG_MAX][LINALG_MAX] = {{0}}, values[LINALG_MAX], x[LINALG_MAX];

    for (size_t j = 0; j < root->n; j++) {
        ret_x[j] = 0.0;
        if (in[j])
            column[part.n++] = j;
    }
    if (part.n == 0)
        return true;
    for (size_t i = 0; i < root->n; i++) {
        for (size_t j = 0; j < part.n; j++)
            rows[i][j] = root->r[i][column[j]];
        values[i] = root->z[i];
    }
    triangulate(&part, rows, values, root->n);
    if (!info_root_solve(&part, x))
        return false;
    for (size_t j = 0; j < part.n; j++)
        ret_x[column[j]] = x[j];
    return true;
}

/* The unknown outside the set whose growth from 0 lessens the misfit most; n when there is none. */
static size_t worth_taking_in(const struct info_root *root, const bool *in, const double *x)
{
    double rest[LINALG_MAX], best = 0.0;
    size_t found = root->n;

    for (size_t i = 0; i < root->n; i++) {
        rest[i] = root->z[i];
        for (size_t j = i; j < root->n; j++)
            rest[i] -= root->r[i][j] * x[j];
    }
    for (size_t j = 0; j < root->n; j++) {
        double gain = 0.0, size = 0.0;
        for (size_t i = 0; i <= j; i++) {
            gain += root->r[i][j] * rest[i];
            size = fmax(size, fabs(root->r[i][j] * root->z[i]));
        }
        if (!in[j] && gain > best && gain > 1e-12 * size) {
            best = gain;
            found = j;
        }
    }
    return found;
}

/* How far x[j] may go towards to[j] before it is below 0. */
static double reach(double x, double to)
{
    return to > 0.0 ? 1.0 : x > 0.0 ? x / (x - to) : 0.0;
}

/* From x towards the solution `to` of the set: as far as none of the first n_nonnegative becomes negative; what arrives
 * at 0 leaves the set. */
static bool step_inside(bool *in, double *x, const double *to, size_t n, size_t n_nonnegative)
{
    double part = 1.0;

    for (size_t j = 0; j < n_nonnegative; j++) {
        if (in[j])
            part = fmin(part, reach(x[j], to[j]));
    }
    if (part >= 1.0) {
        memcpy(x, to, n * sizeof(*x));
        return true;
    }
    for (size_t j = 0; j < n; j++) {
        if (!in[j])
            continue;
        bool arrives = j < n_nonnegative && reach(x[j], to[j]) <= part;
        x[j] = arrives ? 0.0 : x[j] + part * (to[j] - x[j]);
        in[j] = !arrives;
    }
    return false;
}

bool info_root_solve_nonnegative(const struct info_root *root, size_t n_nonnegative, double *ret_x)
{
    bool in[LINALG_MAX], fits = true;
    double x[LINALG_MAX], to[LINALG_MAX];

    if (!info_root_solve(root, to))
        return false;
    for (size_t j = 0; j < root->n; j++) {
        in[j] = j >= n_nonnegative;
        fits = fits && (in[j] || to[j] >= 0.0);
    }
    if (fits) { /* the usual case */
        memcpy(ret_x, to, root->n * sizeof(*to));
        return true;
    }

    if (!solve_subset(root, in, x))
        return false;
    for (size_t round = 0; round < NONNEGATIVE_ROUNDS; round++) {
        size_t next = worth_taking_in(root, in, x);
        if (next == root->n)
            break;
        in[next] = true;
        for (size_t inner = 0; inner <= root->n; inner++) {
            if (!solve_subset(root, in, to))
                return false;
            if (step_inside(in, x, to, root->n, n_nonnegative))
                break;
        }
    }
    for (size_t j = 0; j < root->n; j++)
        ret_x[j] = j < n_nonnegative ? fmax(x[j], 0.0) : x[j];
    return true;
}
