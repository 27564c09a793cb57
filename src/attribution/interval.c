/* SPDX-License-Identifier: Apache-2.0 */
/* Errors that are added up as what they are: the same one (linearly), independent ones (in quadrature), one that comes
 * back with the opposite sign (by difference). */
#include "attribution/interval.h"

#include <math.h>
#include <string.h>

#include "model/quantity.h"

#define Z_95 1.959964

static double square(double x)
{
    return x * x;
}

double sensor_edge_sigma_uj(const struct sensor *sensor, uint64_t uw)
{
    double step = (double)sensor->resolution_uj, per_ns = (double)uw * 1e-9;

    /* uniform in 0 .. step: step / sqrt(12); uniform in -t .. t: t / sqrt(3) */
    return sqrt(square(step) / 12.0 + square(per_ns * (double)sensor->update_ns) / 3.0 +
                square(per_ns * (double)sensor->align_ns) / 3.0);
}

uint64_t sensor_window_sigma_uj(const struct sensor *sensor, uint64_t energy_uj, uint64_t window_ns)
{
    double sigma = sqrt(2.0) * sensor_edge_sigma_uj(sensor, power_uw(energy_uj, window_ns));

    return sigma >= (double)energy_uj ? energy_uj : (uint64_t)ceil(sigma);
}

/* A reading's error e ends one window and begins the next: the figure gets part * e of the one and -next part * e of
 * the other, so that with constant parts only the outermost edges remain. */
static void add_edges(struct interval_sum *sum, const struct interval_window *window, double part)
{
    if (window->follows && sum->begun)
        sum->sensor_uj2 += square((sum->part - part) * sum->edge_uj);
    else
        sum->sensor_uj2 += square(sum->part * sum->edge_uj) + square(part * window->edge_uj);
    sum->part = part;
    sum->edge_uj = window->edge_uj;
}

void interval_add(struct interval_sum *sum, const struct interval_window *window, uint64_t share_uj,
                  const struct method_error *error)
{
    double part = window->energy_uj ? (double)share_uj / (double)window->energy_uj : 0.0;

    add_edges(sum, window, part);
    if (window->result->epoch != sum->epoch) { /* other errors from here on */
        for (size_t m = 0; m < METHOD_MODES; m++)
            sum->settled_uj2 += square(sum->mode_uj[m]);
        memset(sum->mode_uj, 0, sizeof(sum->mode_uj));
        sum->epoch = window->result->epoch;
    }
    for (size_t m = 0; error && m < METHOD_MODES; m++)
        sum->mode_uj[m] += error->mode_uj[m];
    if (error)
        sum->spread_uj += method_spread_uj(window->result, share_uj, error->spread_uj);
    sum->uj = add_saturating_u64(sum->uj, share_uj);
    sum->most_uj = add_saturating_u64(sum->most_uj, window->energy_uj);
    sum->begun = true;
}

struct interval_part interval_part(const struct interval_sum *sum)
{
    double model = sum->settled_uj2;

    for (size_t m = 0; m < METHOD_MODES; m++)
        model += square(sum->mode_uj[m]);
    return (struct interval_part){
        .uj = sum->uj,
        .most_uj = sum->most_uj,
        .sensor_uj = sqrt(sum->sensor_uj2 + square(sum->part * sum->edge_uj)),
        .model_uj = sqrt(model),
        .spread_uj = sum->spread_uj,
    };
}

static uint64_t clip_uj(double uj, uint64_t most_uj)
{
    if (!(uj > 0.0))
        return 0;
    return uj >= (double)most_uj ? most_uj : (uint64_t)round(uj);
}

struct interval interval_of(const struct interval_part *parts, size_t n, double gain)
{
    struct interval interval = {0};
    double independent = 0.0, workload = 0.0;
    uint64_t most_uj = 0;

    for (size_t i = 0; i < n; i++) {
        interval.uj = add_saturating_u64(interval.uj, parts[i].uj);
        most_uj = add_saturating_u64(most_uj, parts[i].most_uj);
        independent += square(parts[i].sensor_uj) + square(parts[i].model_uj);
        workload += parts[i].spread_uj;
    }
    interval.sigma_uj = sqrt(independent + square(workload) + square(gain * (double)interval.uj));
    interval.low_uj = min_u64(interval.uj, clip_uj((double)interval.uj - Z_95 * interval.sigma_uj, most_uj));
    interval.high_uj = max_u64(interval.uj, clip_uj((double)interval.uj + Z_95 * interval.sigma_uj, most_uj));
    return interval;
}
