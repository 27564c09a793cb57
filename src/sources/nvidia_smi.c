/* SPDX-License-Identifier: Apache-2.0 */
/* NVIDIA GPUs through the program nvidia-smi, where the driver's library cannot be loaded into ours (another libc, a
 * container that was given the program alone): power, integrated over time. It is the library's second, coarse and
 * dear; a GPU that gives no figure has a status, and is never taken for one that draws nothing. */
#include "sources/nvidia_smi.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "base/commands.h"
#include "sources/nvidia_smi_xml.h"
#include "sources/printable.h"
#include "sources/registry.h"

struct nvidia_smi {
    struct commands *commands;
    unsigned number;
    struct carnot_clock *clock;
    size_t n;
    struct domain domains[NVIDIA_SMI_GPUS_MAX];
    struct nvidia_smi_log opened; /* as it was at open: what the domains are */
    struct nvidia_smi_log log;
    struct buf out;
};

static struct nvidia_smi_settings default_settings = {.program = ""};

static const struct carnot_option options[] = {
    {.name = "nvidia_smi.program",
     .type = OPTION_STRING,
     .offset = offsetof(struct nvidia_smi_settings, program),
     .def = "",
     .metavar = "PATH",
     .help =
         "nvidia-smi to run where NVIDIA's library cannot be used; without it the one in the system's directories."},
};

/* --- running it ------------------------------------------------------------------------------------------------- */

static int name_command(const struct source_args *args, unsigned *ret_number, struct carnot_err *err)
{
    const struct nvidia_smi_settings *settings = args->settings ? args->settings : &default_settings;
    const char *program = settings->program && settings->program[0] ? settings->program : "nvidia-smi";
    const char *const argv[] = {program, "-q", "-x", NULL};
    const struct command_limits limits = {.timeout_ns = NVIDIA_SMI_TIMEOUT_NS, .output_max = NVIDIA_SMI_XML_MAX};

    if (!args->env->commands)
        return carnot_err_set(err, ENODEV, "nvidia-smi is not asked: no other programs are run here");
    int r = commands_add(args->env->commands, argv, &limits, ret_number, err);
    if (r == -ENOENT)
        return carnot_err_set(err, ENODEV, "neither NVIDIA's library nor the program %s is there", program);
    return r;
}

/* Return values of its manual; any other is a failure without more meaning to us. */
static int status_of_exit(int status)
{
    static const struct {
        int exit, status;
    } meanings[] = {{4, -EACCES}, {6, -ENODEV}, {9, -ENODEV}, {12, -ENODEV}, {15, -ENODEV}};

    for (size_t i = 0; i < ELEMENTSOF(meanings); i++)
        if (meanings[i].exit == status)
            return meanings[i].status;
    return -EIO;
}

/* What it says when it fails may stand on its standard output; the first line is enough. */
static int explain_end(const struct command_end *end, const struct buf *out, struct carnot_err *err)
{
    struct text rest = {buf_str(out), out->len}, line = text_of(end->error);
    char said[160];

    if (WIFSIGNALED(end->status))
        return carnot_err_set(err, EIO, "nvidia-smi was ended by signal %d", WTERMSIG(end->status));
    if (line.n == 0)
        scan_line(&rest, &line);
    printable_copy(said, sizeof(said), line);
    return carnot_err_set(err, status_of_exit(WEXITSTATUS(end->status)),
                          "nvidia-smi gives no figures (exit status %d): %s; run it by hand to see more",
                          WEXITSTATUS(end->status), said);
}

static int ask(struct nvidia_smi *smi, struct carnot_err *err)
{
    struct command_end end = {0};
    int r;

    buf_reset(&smi->out);
    r = commands_run(smi->commands, smi->number, &smi->out, &end, err);
    if (r < 0)
        return r;
    r = nvidia_smi_xml_parse((struct text){buf_str(&smi->out), smi->out.len}, &smi->log, err);
    /* A corrupted infoROM makes the status 14, beside figures that are right. */
    if (end.status != 0 && (r < 0 || smi->log.n == 0))
        return explain_end(&end, &smi->out, err);
    return r;
}

/* --- opening ---------------------------------------------------------------------------------------------------- */

static int nvidia_smi_probe(const struct source_args *args, struct carnot_err *err)
{
    unsigned number;

    return name_command(args, &number, err);
}

static void *nvidia_smi_close(void *self)
{
    struct nvidia_smi *smi = self;

    if (smi)
        buf_done(&smi->out);
    free(smi);
    return NULL;
}

static void open_gpu(struct nvidia_smi *smi, size_t i)
{
    struct domain *domain = &smi->domains[i];

    *domain = (struct domain){
        .kind = DOMAIN_GPU,
        .quality = QUALITY_DERIVED,
        .package = -1,
        .die = -1,
        .node = -1,
        .source = source_nvidia_smi.name,
    };
    snprintf(domain->name, sizeof(domain->name), "gpu-%zu", i);
    memcpy(domain->pci, smi->opened.gpus[i].pci, sizeof(domain->pci));
}

static int nvidia_smi_open(const struct source_args *args, void **ret_self, struct carnot_err *err)
{
    struct nvidia_smi *smi = calloc(1, sizeof(*smi));
    int r;

    if (!smi)
        return carnot_err_set(err, ENOMEM, "out of memory for the answers of nvidia-smi");
    buf_init(&smi->out, NVIDIA_SMI_XML_MAX);
    smi->commands = args->env->commands;
    smi->clock = args->env->clock;
    r = name_command(args, &smi->number, err);
    if (r >= 0)
        r = ask(smi, err);
    if (r >= 0 && smi->log.n == 0)
        r = carnot_err_set(err, ENODEV, "nvidia-smi runs but tells of no GPU");
    if (r < 0) {
        nvidia_smi_close(smi);
        return r;
    }
    smi->opened = smi->log;
    smi->n = smi->opened.n;
    for (size_t i = 0; i < smi->n; i++)
        open_gpu(smi, i);
    *ret_self = smi;
    return 0;
}

static size_t nvidia_smi_domains(const void *self, const struct domain **ret_domains)
{
    const struct nvidia_smi *smi = self;

    *ret_domains = smi->domains;
    return smi->n;
}

/* --- reading ---------------------------------------------------------------------------------------------------- */

/* Numbers go to other cards when one falls off the bus. */
static const struct nvidia_smi_gpu *find_gpu(const struct nvidia_smi *smi, size_t i)
{
    const struct nvidia_smi_gpu *opened = &smi->opened.gpus[i];

    for (size_t k = 0; k < smi->log.n; k++) {
        const struct nvidia_smi_gpu *gpu = &smi->log.gpus[k];
        bool same = opened->uuid[0]  ? strcmp(gpu->uuid, opened->uuid) == 0
                    : opened->pci[0] ? strcmp(gpu->pci, opened->pci) == 0
                                     : k == i;
        if (same)
            return gpu;
    }
    return NULL;
}

static int nvidia_smi_read(void *self, uint64_t now_mono_ns, struct reading *out, struct carnot_err *err)
{
    struct nvidia_smi *smi = self;
    int r = ask(smi, err);
    uint64_t answered_ns = clock_now(smi->clock).mono_ns;
    bool explained = false;

    if (r < 0)
        return r;
    for (size_t i = 0; i < smi->n; i++) {
        const struct nvidia_smi_gpu *gpu = find_gpu(smi, i);

        out[i] = (struct reading){.domain = (uint32_t)i, .mono_ns = answered_ns};
        if (!gpu && !explained) {
            carnot_err_set(err, ENODEV, "%s (%s) is no longer in the answer of nvidia-smi; see `dmesg`",
                           smi->domains[i].name, smi->opened.gpus[i].uuid);
            explained = true;
        }
        if (!gpu || !gpu->power_uw) {
            out[i].status = gpu ? -ENODATA : -ENODEV;
            continue;
        }
        out[i].is_power = true;
        out[i].power_uw = gpu->power_uw;
    }
    return (int)smi->n;
}

/* Uses only what is fixed at open: a read may be in progress on another thread. */
static void nvidia_smi_describe(const void *self, struct buf *out)
{
    const struct nvidia_smi *smi = self;

    for (size_t i = 0; i < smi->n; i++) {
        const struct nvidia_smi_gpu *gpu = &smi->opened.gpus[i];

        buf_printf(out, "%s: %s, %s%s\n", smi->domains[i].name, gpu->name[0] ? gpu->name : "nameless",
                   gpu->uuid[0] ? gpu->uuid : "no UUID",
                   gpu->power_uw ? ", its power once in ten seconds" : ", told no power at the start");
        for (size_t k = 0; k < gpu->n_instances; k++)
            buf_printf(out, "%s: MIG instance %u, GPU instance %u, compute instance %u, %u multiprocessors\n",
                       smi->domains[i].name, gpu->instances[k].index, gpu->instances[k].gpu_instance,
                       gpu->instances[k].compute_instance, gpu->instances[k].sms);
    }
    if (smi->opened.left_out)
        buf_printf(out, "%u more GPUs or instances are left out: at most %d GPUs are read\n", smi->opened.left_out,
                   NVIDIA_SMI_GPUS_MAX);
}

const struct source_ops source_nvidia_smi = {
    .name = "nvidia_smi",
    .summary = "NVIDIA GPUs (power, by the program nvidia-smi where the library cannot be used)",
    .flags = SOURCE_SLOW | SOURCE_ON_BY_DEFAULT,
    .group = "nvidia",
    .options = options,
    .n_options = ELEMENTSOF(options),
    .settings = &default_settings,
    .min_interval_ns = NVIDIA_SMI_INTERVAL_NS,
    .probe = nvidia_smi_probe,
    .open = nvidia_smi_open,
    .domains = nvidia_smi_domains,
    .read = nvidia_smi_read,
    .describe = nvidia_smi_describe,
    .close = nvidia_smi_close,
};
