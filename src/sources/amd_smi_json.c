/* SPDX-License-Identifier: Apache-2.0 */
/* AMD GPUs through the programs amd-smi or rocm-smi, where AMD's libraries cannot be loaded into ours: energy counter
 * or power, one domain per card. The libraries' second, coarse and dear; a card that gives no figure has a status, and
 * is never taken for one that draws nothing. */
#include "sources/amd_smi_json.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "base/commands.h"
#include "sources/printable.h"
#include "sources/registry.h"

struct amd_smi_json {
    struct commands *commands;
    struct carnot_clock *clock;
    const char *tool;           /* static */
    unsigned inventory, metric; /* numbers of commands; the same one of rocm-smi */
    struct amd_smi_json_list devices, list;
    struct amd_figures figures[AMD_DEVICES_MAX]; /* of devices */
    struct amd_cards cards;
    struct buf out;
};

static struct amd_smi_json_settings default_settings = {.amd_smi = "", .rocm_smi = ""};

static const struct carnot_option options[] = {
    {.name = "amd_smi_json.amd-smi",
     .type = OPTION_STRING,
     .offset = offsetof(struct amd_smi_json_settings, amd_smi),
     .def = "",
     .metavar = "PATH",
     .help =
         "amd-smi to run where AMD's libraries cannot be used; without it the one in the system's directories or in "
         "/opt/rocm/bin."},
    {.name = "amd_smi_json.rocm-smi",
     .type = OPTION_STRING,
     .offset = offsetof(struct amd_smi_json_settings, rocm_smi),
     .def = "",
     .metavar = "PATH",
     .help = "rocm-smi to run where there is no amd-smi; likewise."},
};

/* --- running them ----------------------------------------------------------------------------------------------- */

struct tool {
    const char *name, *path;
    size_t offset;                        /* of its setting */
    const char *inventory[8], *metric[8]; /* arguments, NULL-terminated */
};

/* Only options that all releases have. */
static const struct tool tools[] = {
    {.name = "amd-smi",
     .path = "/opt/rocm/bin/amd-smi",
     .offset = offsetof(struct amd_smi_json_settings, amd_smi),
     .inventory = {"static", "--bus", "--board", "--json"},
     .metric = {"metric", "--power", "--energy", "--json"}},
    {.name = "rocm-smi",
     .path = "/opt/rocm/bin/rocm-smi",
     .offset = offsetof(struct amd_smi_json_settings, rocm_smi),
     .inventory = {"--showpower", "--showenergycounter", "--showbus", "--showuniqueid", "--json"},
     .metric = {"--showpower", "--showenergycounter", "--showbus", "--showuniqueid", "--json"}},
};

static int add(struct commands *commands, const char *program, const char *const *args, unsigned *ret_number,
               struct carnot_err *err)
{
    const char *argv[ELEMENTSOF(tools[0].inventory) + 1] = {program};
    const struct command_limits limits = {.timeout_ns = AMD_SMI_JSON_TIMEOUT_NS, .output_max = AMD_SMI_JSON_MAX};

    for (size_t i = 0; i + 1 < ELEMENTSOF(argv) && args[i]; i++)
        argv[i + 1] = args[i];
    return commands_add(commands, argv, &limits, ret_number, err);
}

/* The tool's commands; -ENOENT when it is not there. */
static int name_commands(const struct source_args *args, const struct tool *tool, unsigned *ret_inventory,
                         unsigned *ret_metric, struct carnot_err *err)
{
    const char *settings = args->settings ? args->settings : (const void *)&default_settings, *given;

    memcpy(&given, settings + tool->offset, sizeof(given));
    const char *program = given && given[0] ? given : tool->name;
    int r = add(args->env->commands, program, tool->inventory, ret_inventory, err);
    if (r == -ENOENT && program == tool->name) {
        program = tool->path;
        r = add(args->env->commands, program, tool->inventory, ret_inventory, err);
    }
    return r < 0 ? r : add(args->env->commands, program, tool->metric, ret_metric, err);
}

static int ask(struct amd_smi_json *smi, unsigned number, struct amd_smi_json_list *ret_list, struct carnot_err *err)
{
    struct command_end end = {0};
    char said[160];
    int r;

    buf_reset(&smi->out);
    r = commands_run(smi->commands, number, &smi->out, &end, err);
    if (r < 0)
        return r;
    r = amd_smi_json_parse((struct text){buf_str(&smi->out), smi->out.len}, ret_list, err);
    if (r >= 0)
        return r;
    if (end.status == 0) {
        carnot_err_wrap(err, "%s", smi->tool);
        return r;
    }
    printable_copy(said, sizeof(said), text_of(end.error));
    if (WIFSIGNALED(end.status))
        return carnot_err_set(err, EIO, "%s was ended by signal %d", smi->tool, WTERMSIG(end.status));
    return carnot_err_set(err, EIO, "%s gives no figures (exit status %d): %s; run it by hand to see more", smi->tool,
                          WEXITSTATUS(end.status), said);
}

/* Figures of each device, from the newest list. */
static void sort_figures(struct amd_smi_json *smi)
{
    size_t k = 0; /* both are in the order of their indexes */

    for (size_t i = 0; i < smi->devices.n; i++) {
        const struct amd_smi_json_gpu *gpu = NULL;

        while (k < smi->list.n && smi->list.gpus[k].index < smi->devices.gpus[i].index)
            k++;
        if (k < smi->list.n && smi->list.gpus[k].index == smi->devices.gpus[i].index)
            gpu = &smi->list.gpus[k];
        smi->figures[i] =
            (struct amd_figures){.uj_status = gpu ? -ENODATA : -ENODEV, .uw_status = gpu ? -ENODATA : -ENODEV};
        if (gpu && gpu->energy_uj) {
            smi->figures[i].uj_status = 0;
            smi->figures[i].energy_uj = gpu->energy_uj;
        }
        if (gpu && gpu->power_uw) {
            smi->figures[i].uw_status = 0;
            smi->figures[i].power_uw = gpu->power_uw;
        }
    }
}

/* --- opening ---------------------------------------------------------------------------------------------------- */

static int check(const struct source_args *args, struct carnot_err *err)
{
    if (!args->env->commands)
        return carnot_err_set(err, ENODEV, "amd-smi is not asked: no other programs are run here");
    return 0;
}

static int amd_smi_json_probe(const struct source_args *args, struct carnot_err *err)
{
    unsigned inventory, metric;
    int r = check(args, err);

    for (size_t i = 0; i < ELEMENTSOF(tools) && r >= 0; i++) {
        r = name_commands(args, &tools[i], &inventory, &metric, err);
        if (r != -ENOENT)
            return r;
        r = 0;
    }
    return r < 0 ? r : carnot_err_set(err, ENODEV, "neither AMD's libraries nor amd-smi nor rocm-smi are there");
}

static int open_tool(struct amd_smi_json *smi, const struct source_args *args, const struct tool *tool,
                     struct carnot_err *err)
{
    int r = name_commands(args, tool, &smi->inventory, &smi->metric, err);

    smi->tool = tool->name;
    if (r >= 0)
        r = ask(smi, smi->inventory, &smi->devices, err);
    if (r >= 0)
        r = ask(smi, smi->metric, &smi->list, err);
    return r;
}

static void *amd_smi_json_close(void *self)
{
    struct amd_smi_json *smi = self;

    if (smi)
        buf_done(&smi->out);
    free(smi);
    return NULL;
}

static int amd_smi_json_open(const struct source_args *args, void **ret_self, struct carnot_err *err)
{
    struct amd_device devices[AMD_DEVICES_MAX];
    struct amd_smi_json *smi;
    int r = check(args, err), first = 0;

    if (r < 0)
        return r;
    smi = calloc(1, sizeof(*smi));
    if (!smi)
        return carnot_err_set(err, ENOMEM, "out of memory for the answers of amd-smi");
    buf_init(&smi->out, AMD_SMI_JSON_MAX);
    smi->commands = args->env->commands;
    smi->clock = args->env->clock;
    /* The sentence is that of the first tool that is there. */
    r = -ENOENT;
    for (size_t i = 0; i < ELEMENTSOF(tools) && r < 0; i++) {
        struct carnot_err own = CARNOT_ERR_INIT;
        r = open_tool(smi, args, &tools[i], &own);
        if (r == 0 || r == -ENOENT || first)
            continue;
        first = r;
        if (err)
            *err = own;
    }
    if (r < 0) {
        amd_smi_json_close(smi);
        return first ? first
                     : carnot_err_set(err, ENODEV, "neither AMD's libraries nor amd-smi nor rocm-smi are there");
    }
    for (size_t i = 0; i < smi->devices.n; i++)
        devices[i] = smi->devices.gpus[i].device;
    sort_figures(smi);
    amd_cards_make(devices, smi->figures, smi->devices.n, source_amd_smi_json.name, true, &smi->cards);
    *ret_self = smi;
    return 0;
}

static size_t amd_smi_json_domains(const void *self, const struct domain **ret_domains)
{
    const struct amd_smi_json *smi = self;

    *ret_domains = smi->cards.domains;
    return smi->cards.n;
}

/* --- reading ---------------------------------------------------------------------------------------------------- */

static int amd_smi_json_read(void *self, uint64_t now_mono_ns, struct reading *out, struct carnot_err *err)
{
    struct amd_smi_json *smi = self;
    int r = ask(smi, smi->metric, &smi->list, err);
    uint64_t answered_ns = clock_now(smi->clock).mono_ns;
    bool explained = false;

    if (r < 0)
        return r;
    sort_figures(smi);
    for (uint32_t c = 0; c < smi->cards.n; c++) {
        amd_cards_read(&smi->cards, c, &smi->figures[smi->cards.cards[c].device], answered_ns, &out[c]);
        if (out[c].status == 0 || out[c].status == -ENODATA || explained)
            continue;
        explained = true;
        amd_card_explain(&smi->cards.domains[c], out[c].status, &CARNOT_ERR_INIT, err);
    }
    return (int)smi->cards.n;
}

/* Uses only what is fixed at open: a read may be in progress on another thread. */
static void amd_smi_json_describe(const void *self, struct buf *out)
{
    const struct amd_smi_json *smi = self;

    buf_printf(out, "read through %s, once in ten seconds\n", smi->tool);
    amd_cards_describe(&smi->cards, out);
    if (smi->devices.left_out)
        buf_printf(out, "%u more devices are left out: at most %d are read\n", smi->devices.left_out, AMD_DEVICES_MAX);
}

const struct source_ops source_amd_smi_json = {
    .name = "amd_smi_json",
    .summary = "AMD GPUs (by the programs amd-smi or rocm-smi where the libraries cannot be used)",
    .flags = SOURCE_SLOW | SOURCE_ON_BY_DEFAULT,
    .group = "amd",
    .options = options,
    .n_options = ELEMENTSOF(options),
    .settings = &default_settings,
    .min_interval_ns = AMD_SMI_JSON_INTERVAL_NS,
    .probe = amd_smi_json_probe,
    .open = amd_smi_json_open,
    .domains = amd_smi_json_domains,
    .read = amd_smi_json_read,
    .describe = amd_smi_json_describe,
    .close = amd_smi_json_close,
};
