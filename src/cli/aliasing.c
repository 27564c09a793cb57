/* SPDX-License-Identifier: Apache-2.0 */
/* See aliasing.h. Energies are whole microjoules; a double is made of them only for a share. */
#include "cli/aliasing.h"

#include "base/clock.h"
#include "model/quantity.h"

#define BURST_PARTS 15

uint64_t aliasing_poll(struct aliasing_poller *poller, uint64_t counter_uj)
{
    uint64_t shown_uj = 0;

    if (poller->modulus_uj)
        counter_uj %= poller->modulus_uj;
    if (poller->primed) {
        poller->polls++;
        shown_uj = counter_uj >= poller->last_uj ? counter_uj - poller->last_uj : 0;
        poller->dropped += counter_uj < poller->last_uj;
        poller->naive_uj += shown_uj;
        /* Without a modulus there is no wrap to correct. */
        poller->one_wrap_uj += counter_uj >= poller->last_uj || !poller->modulus_uj
                                   ? shown_uj
                                   : counter_uj + (poller->modulus_uj - poller->last_uj);
    }
    poller->primed = true;
    poller->last_uj = counter_uj;
    return shown_uj;
}

double aliasing_loss(uint64_t exact_uj, uint64_t shown_uj)
{
    return exact_uj ? 1.0 - (double)shown_uj / (double)exact_uj : 0.0;
}

/* E = k * M + r: k whole turns are never seen; of r the counter shows all unless it wraps within it, which happens in a
 * share r / M of the phases and then drops all of it. */
double aliasing_naive_loss(uint64_t energy_uj, uint64_t modulus_uj)
{
    if (energy_uj == 0 || modulus_uj == 0)
        return 0.0;
    double r = (double)(energy_uj % modulus_uj), turns = (double)(energy_uj - energy_uj % modulus_uj);

    return (turns + r * r / (double)modulus_uj) / (double)energy_uj;
}

double aliasing_one_wrap_loss(uint64_t energy_uj, uint64_t modulus_uj)
{
    if (energy_uj == 0 || modulus_uj == 0)
        return 0.0;
    return (double)(energy_uj - energy_uj % modulus_uj) / (double)energy_uj;
}

uint64_t aliasing_energy_uj(const struct aliasing_load *load, uint64_t t_ns)
{
    uint64_t bursts_ns = 0;

    if (load->period_ns)
        bursts_ns = t_ns / load->period_ns * load->burst_ns + min_u64(t_ns % load->period_ns, load->burst_ns);
    unsigned __int128 uw_ns =
        (unsigned __int128)load->base_uw * t_ns + (unsigned __int128)(load->burst_uw - load->base_uw) * bursts_ns;

    return (uint64_t)(uw_ns / NS_PER_SEC);
}

void aliasing_simulate(const struct aliasing_case *of, struct plot_series *ours, struct plot_series *polled,
                       struct aliasing_result *ret_result)
{
    struct aliasing_result result = {.poller = {.modulus_uj = of->modulus_uj}};
    struct delta delta = {0};
    uint64_t steps = of->poll_interval_ns / of->our_interval_ns;

    for (uint64_t i = 0; i <= of->polls * steps; i++) {
        uint64_t t_ns = i * of->our_interval_ns, delta_uj;

        result.true_uj = aliasing_energy_uj(&of->load, t_ns);
        uint64_t counter_uj = result.true_uj % of->modulus_uj;
        delta_step(&delta, counter_uj, of->modulus_uj, 0, t_ns, &delta_uj);
        if (ours && i > 0)
            plot_series_add(ours, t_ns - of->our_interval_ns, t_ns, power_uw(delta_uj, of->our_interval_ns));
        if (i % steps != 0)
            continue;
        uint64_t shown_uj = aliasing_poll(&result.poller, counter_uj);
        if (polled && i > 0)
            plot_series_add(polled, t_ns - of->poll_interval_ns, t_ns, power_uw(shown_uj, of->poll_interval_ns));
    }
    result.ours_uj = delta.total_uj;
    result.wraps = delta.wraps;
    *ret_result = result;
}

void aliasing_bursts(uint64_t poll_interval_ns, uint64_t *ret_period_ns, uint64_t *ret_burst_ns)
{
    *ret_burst_ns = max_u64(poll_interval_ns / BURST_PARTS, 1);
    *ret_period_ns = max_u64(poll_interval_ns - *ret_burst_ns, 1);
}
