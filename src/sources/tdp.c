/* SPDX-License-Identifier: Apache-2.0 */
/* From the processor's name to watts. A guest is given its CPUs' share of the part that it runs on. */
#include "sources/tdp.h"

#include <inttypes.h>

#include "sources/cpu_table.h"

/* A machine of which nothing is known: the usual default of carbon calculators. */
#define DEFAULT_TDP_W 85.0

/* A guest of which nothing is known: the middle of the generations in the table (1.3 to 8.4 W per thread, mostly
 * 1.9 to 3.4). */
#define DEFAULT_THREAD_W 2.5

struct tdp_choice tdp_choose(const struct topology *topology, double option_w)
{
    struct tdp_choice choice = {.origin = TDP_DEFAULT, .option_w = option_w, .topology = topology};

    choice.part = cpu_table_find(topology->model_name);
    choice.generation = cpu_table_generation(topology->vendor, topology->family, topology->model);
    if (option_w > 0)
        choice.origin = TDP_OPTION;
    else if (choice.part)
        choice.origin = TDP_PART;
    else if (choice.generation)
        choice.origin = TDP_GENERATION;
    else if (topology->hypervisor)
        choice.origin = TDP_GUEST_DEFAULT;
    return choice;
}

/* Bare metal with SMT switched off shows half the threads of the whole part. */
static bool is_whole_part(const struct tdp_choice *choice, uint32_t n_cpus)
{
    const struct topology *t = choice->topology;
    bool smt_off = !t->hypervisor && t->n_cores == t->n_online;

    return n_cpus >= choice->part->threads || (smt_off && n_cpus * 2 == choice->part->threads);
}

double tdp_package_w(const struct tdp_choice *choice, uint32_t n_cpus)
{
    switch (choice->origin) {
    case TDP_OPTION:
        return choice->option_w;
    case TDP_PART:
        if (is_whole_part(choice, n_cpus))
            return choice->part->tdp_w;
        return (double)choice->part->tdp_w * n_cpus / choice->part->threads;
    case TDP_GENERATION:
        return (double)choice->generation->tdp_w * n_cpus / choice->generation->tdp_threads;
    case TDP_GUEST_DEFAULT:
        return DEFAULT_THREAD_W * n_cpus;
    case TDP_DEFAULT:
        break;
    }
    return DEFAULT_TDP_W;
}

enum quality tdp_quality(const struct tdp_choice *choice)
{
    return choice->origin == TDP_DEFAULT || choice->origin == TDP_GUEST_DEFAULT ? QUALITY_DEFAULT : QUALITY_MODELLED;
}

void tdp_describe(const struct tdp_choice *choice, uint32_t n_cpus, struct buf *out)
{
    const struct cpu_part *part = choice->part;
    const struct cpu_generation *generation = choice->generation;

    switch (choice->origin) {
    case TDP_OPTION:
        buf_puts(out, "set by model.tdp-watts");
        break;
    case TDP_PART:
        if (is_whole_part(choice, n_cpus))
            buf_printf(out, "%s, from the table of processors", part->pattern);
        else
            buf_printf(out, "%s, %" PRIu32 " W, for %" PRIu32 " of the %" PRIu32 " threads of the part", part->pattern,
                       part->tdp_w, n_cpus, part->threads);
        break;
    case TDP_GENERATION:
        buf_printf(out,
                   "\"%s\" is not in the table; %s by family and model: %" PRIu32 " W / %" PRIu32
                   " threads for each of %" PRIu32 " CPUs",
                   choice->topology->model_name, generation->name, generation->tdp_w, generation->tdp_threads, n_cpus);
        break;
    case TDP_GUEST_DEFAULT:
        buf_puts(out, "a guest on an unknown processor: ");
        buf_put_double_fixed(out, DEFAULT_THREAD_W, 2);
        buf_printf(out, " W for each of %" PRIu32 " CPUs; set model.tdp-watts", n_cpus);
        break;
    case TDP_DEFAULT:
        buf_puts(out, "an unknown processor; set model.tdp-watts");
        break;
    }
}
