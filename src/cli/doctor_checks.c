/* SPDX-License-Identifier: Apache-2.0 */
/* The checks of `carnot doctor`. What can be mended has the command that mends it; what cannot (a virtual machine
 * without counters) says so and is no reason for a bad exit status. */
#include "cli/doctor_checks.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/parse.h"
#include "meter/calibration_file.h"
#include "net/line_server.h"
#include "sources/activity.h"
#include "sources/source.h"

/* linux/capability.h */
#define CAP_DAC_READ_SEARCH_BIT 2
#define CAP_SYS_ADMIN_BIT       21
#define CAP_PERFMON_BIT         38
#define CAP_BPF_BIT             39

#define AGENT_TIMEOUT_NS (2 * NS_PER_SEC)
/* Number of the first pid namespace (PROC_PID_INIT_INO of the kernel's proc_ns.h): another one means a container. */
#define INIT_PID_NS "pid:[4026531836]"

#define START_AGENT "sudo systemctl enable --now carnotd"

const char *const finding_state_names[] = {"ok", "missing", "denied", "unused", NULL};

struct finding *doctor_find(struct doctor *doctor, const char *subject, enum finding_state state, const char *fmt, ...)
{
    struct findings *all = &doctor->findings;
    struct finding *f = &all->items[all->n < FINDINGS_MAX ? all->n++ : FINDINGS_MAX - 1];
    va_list args;

    *f = (struct finding){.subject = subject, .state = state};
    va_start(args, fmt);
    vsnprintf(f->text, sizeof(f->text), fmt, args);
    va_end(args);
    return f;
}

static void set_remedy(struct finding *f, bool matters, const char *fmt, ...) PRINTF_LIKE(3, 4);
static void set_remedy(struct finding *f, bool matters, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    vsnprintf(f->remedy, sizeof(f->remedy), fmt, args);
    va_end(args);
    f->matters = matters;
}

static bool has_capability(const struct doctor *doctor, int bit)
{
    return doctor->capabilities >> bit & 1;
}

static enum finding_state state_of(int r)
{
    return r >= 0 ? FINDING_OK : r == -EACCES || r == -EPERM ? FINDING_DENIED : FINDING_MISSING;
}

static void remedy_rights(const struct doctor *doctor, struct finding *f)
{
    set_remedy(f, true, START_AGENT "; or sudo setcap cap_dac_read_search,cap_perfmon,cap_bpf+ep %s; or run as root",
               doctor->program);
}

/* ---- machine ---- */

static void read_self(struct doctor *doctor)
{
    char status[8192];
    ssize_t n = fsroot_read(&doctor->env->proc, "self/status", status, sizeof(status), NULL);
    struct text rest = {status, n > 0 ? (size_t)n : 0}, line;

    while (scan_line(&rest, &line))
        if (text_starts(line, "CapEff:"))
            parse_hex64(text_trim((struct text){line.p + 7, line.n - 7}), &doctor->capabilities);
    if (fsroot_readlink(&doctor->env->proc, "self/exe", doctor->program, sizeof(doctor->program)) < 0)
        snprintf(doctor->program, sizeof(doctor->program), "carnot");
}

static void check_machine(struct doctor *doctor)
{
    const struct topology *t = &doctor->topology;
    struct carnot_err err = CARNOT_ERR_INIT;

    if (topology_read(doctor->env, &doctor->topology, &err) < 0) {
        struct finding *f = doctor_find(doctor, "machine", FINDING_MISSING, "%s", err.msg);
        f->matters = true;
        return;
    }
    doctor->has_topology = true;
    doctor_find(doctor, "machine", FINDING_OK, "%s%sCPUs online %u, packages %u, NUMA nodes %u, memory %llu MiB",
                t->model_name, t->model_name[0] ? ": " : "", t->n_online, t->n_packages, t->n_nodes,
                (unsigned long long)(t->memory_bytes >> 20));
    if (t->hypervisor)
        doctor_find(doctor, "virtual machine", FINDING_UNUSED,
                    "this is a guest: hypervisors seldom hand energy counters on, energy is modelled; measured figures "
                    "come from an agent on the host");
}

static void check_container(struct doctor *doctor)
{
    static const char *const marks[] = {"run/.containerenv", ".dockerenv", "run/systemd/container"};
    char ns[64] = "";
    bool marked = false;

    for (size_t i = 0; i < ELEMENTSOF(marks); i++)
        marked |= fsroot_exists(&doctor->env->root, marks[i]);
    fsroot_readlink(&doctor->env->proc, "self/ns/pid", ns, sizeof(ns));
    if (ns[0] && strcmp(ns, INIT_PID_NS) != 0) {
        struct finding *f =
            doctor_find(doctor, "container", FINDING_UNUSED,
                        "this process is in a PID namespace of its own: processes outside are not seen");
        set_remedy(f, false,
                   "run the agent on the host, and give the container its socket: -v /run/carnot:/run/carnot");
    } else if (marked) {
        doctor_find(doctor, "container", FINDING_UNUSED,
                    "this looks like a container, with the processes of the host in sight");
    }
}

/* ---- energy ---- */

static void check_powercap(struct doctor *doctor)
{
    bool x86 = doctor->has_topology && doctor->topology.vendor[0];
    struct finding *f;

    if (fsroot_exists(&doctor->env->sys, "class/powercap/intel-rapl")) {
        doctor_find(doctor, "powercap", FINDING_OK, "the kernel's energy counters are there (intel-rapl)");
        return;
    }
    if (!x86 || doctor->topology.hypervisor) {
        doctor_find(doctor, "powercap", FINDING_MISSING, "no intel-rapl: %s",
                    x86 ? "as usual in a virtual machine" : "this processor has none");
        return;
    }
    f = doctor_find(doctor, "powercap", FINDING_MISSING,
                    "no intel-rapl below %s/class/powercap, though the processor may have it", doctor->env->sys.path);
    set_remedy(f, true, "sudo modprobe intel_rapl_msr");
}

static const struct source_ops *of_group(const struct source_ops *const *sources, size_t n, const char *group)
{
    for (size_t i = 0; i < n && group; i++) {
        if (strcmp(sources[i]->group, group) == 0)
            return sources[i];
    }
    return NULL;
}

static void check_sources(struct doctor *doctor)
{
    bool any = false;
    const struct source_ops *first[8]; /* of each group, the one that would be used; there are few groups */
    size_t n_first = 0;

    for (size_t i = 0; i < source_registry_count && doctor->has_topology; i++) {
        const struct source_ops *ops = source_registry[i];
        const struct source_args args = {.env = doctor->env, .topology = &doctor->topology, .settings = ops->settings};
        struct carnot_err err = CARNOT_ERR_INIT;
        int r = ops->probe(&args, &err);
        struct finding *f;

        if (r >= 0 && ops->flags & SOURCE_MODEL && doctor->measured) {
            doctor_find(doctor, ops->name, FINDING_UNUSED, "%s; used only for what no counter measures", ops->summary);
            continue;
        }
        const struct source_ops *other = of_group(first, n_first, ops->group);
        if (other || r == -ECANCELED) {
            doctor_find(doctor, ops->name, FINDING_UNUSED, "%s%s%s", r >= 0 ? ops->summary : err.msg,
                        other ? "; not needed: the same counters are read by " : "", other ? other->name : "");
            continue;
        }
        if (r >= 0 && ops->group && n_first < ELEMENTSOF(first))
            first[n_first++] = ops;
        f = doctor_find(doctor, ops->name, state_of(r), "%s", r >= 0 ? ops->summary : err.msg);
        any |= r >= 0;
        doctor->measured |= r >= 0 && !(ops->flags & SOURCE_MODEL);
        if (f->state == FINDING_DENIED)
            remedy_rights(doctor, f);
        if (f->state == FINDING_MISSING && r != -ENODEV)
            f->matters = true; /* there, and broken */
    }
    if (!any) {
        struct finding *f = doctor_find(doctor, "energy", FINDING_MISSING, "nothing can be measured or modelled");
        f->matters = true;
    }
}

static void check_calibration(struct doctor *doctor)
{
    struct calibration_file file = {0};
    struct carnot_err err = CARNOT_ERR_INIT;
    struct finding *f;
    struct buf text;

    if (!doctor->has_topology)
        return;
    if (calibration_file_load(doctor->env, &doctor->topology, doctor->settings->meter.calibration_file, &file, &err) <
        0) {
        f = doctor_find(doctor, "calibration", FINDING_MISSING, "%s", err.msg);
        set_remedy(f, true, "correct --calibration.file, or sudo carnot calibrate");
        return;
    }
    buf_init(&text, FINDING_TEXT_MAX);
    calibration_file_describe(&file, &text);
    if (file.calibration) {
        doctor_find(doctor, "calibration", FINDING_OK, "%s", buf_str(&text));
    } else {
        f = doctor_find(doctor, "calibration", file.why[0] ? FINDING_MISSING : FINDING_UNUSED, "%s%s", buf_str(&text),
                        file.why[0] || !doctor->measured ? "" : "; idle power is taken from utilisation");
        if (file.why[0] || doctor->measured)
            set_remedy(f, file.why[0] != '\0', "sudo carnot calibrate, on an otherwise idle machine (40 s)");
    }
    buf_done(&text);
    calibration_file_done(&file);
}

/* ---- activity ---- */

static void check_activity(struct doctor *doctor)
{
    for (size_t i = 0; i < activity_registry_count; i++) {
        const struct activity_ops *ops = activity_registry[i];
        const struct activity_args args = {.env = doctor->env,
                                           .topology = &doctor->topology,
                                           .cgroups = doctor->cgroups,
                                           .monitor_pid = (uint32_t)getpid()};
        struct carnot_err err = CARNOT_ERR_INIT;
        int r = ops->probe ? ops->probe(&args, &err) : 0;
        struct finding *f = doctor_find(doctor, ops->name, state_of(r), "%s%s%s", r >= 0 ? ops->summary : err.msg,
                                        r >= 0 && ops->blind[0] ? "; not seen: " : "", r >= 0 ? ops->blind : "");

        if (f->state == FINDING_DENIED)
            remedy_rights(doctor, f);
        else if (r < 0 && i == 0)
            f->matters = true; /* the best way; whoever is behind it in the list is worse */
    }
    if (!fsroot_exists(&doctor->env->sys, "kernel/btf/vmlinux")) {
        struct finding *f = doctor_find(doctor, "BTF", FINDING_MISSING,
                                        "the kernel has no type information (%s/kernel/btf/vmlinux), which BPF needs",
                                        doctor->env->sys.path);
        set_remedy(f, true, "use a kernel built with CONFIG_DEBUG_INFO_BTF=y; distributions' kernels are");
    } else {
        doctor_find(doctor, "BTF", FINDING_OK, "%s/kernel/btf/vmlinux", doctor->env->sys.path);
    }
}

static void check_cgroups(struct doctor *doctor)
{
    struct carnot_err err = CARNOT_ERR_INIT;
    int r =
        cgroup_tree_open(doctor->env, (enum cgroup_hierarchy)doctor->settings->meter.hierarchy, &doctor->cgroups, &err);

    if (r >= 0) {
        doctor_find(doctor, "control groups", FINDING_OK, "%s, %u groups", cgroup_tree_describe(doctor->cgroups),
                    cgroup_tree_count(doctor->cgroups));
        return;
    }
    struct finding *f = doctor_find(doctor, "control groups", state_of(r), "%s", err.msg);
    set_remedy(f, true, "sudo mount -t cgroup2 cgroup2 %s", "/sys/fs/cgroup");
}

static void check_rights(struct doctor *doctor)
{
    bool bpf = (has_capability(doctor, CAP_BPF_BIT) && has_capability(doctor, CAP_PERFMON_BIT)) ||
               has_capability(doctor, CAP_SYS_ADMIN_BIT);
    bool files = has_capability(doctor, CAP_DAC_READ_SEARCH_BIT) || geteuid() == 0;
    char paranoid[32] = "";

    if (bpf && files) {
        doctor_find(doctor, "rights", FINDING_OK, "%s",
                    geteuid() == 0 ? "root" : "capabilities for BPF and energy files");
    } else {
        struct finding *f = doctor_find(doctor, "rights", FINDING_DENIED, "without rights for %s%s%s",
                                        bpf ? "" : "BPF (cap_bpf, cap_perfmon)", bpf || files ? "" : " and ",
                                        files ? "" : "energy counters (cap_dac_read_search)");
        remedy_rights(doctor, f);
        f->matters = false; /* counted where it bites: at the source and the reader */
    }
    if (fsroot_read_line(&doctor->env->proc, "sys/kernel/perf_event_paranoid", paranoid, sizeof(paranoid), NULL) > 0)
        doctor_find(doctor, "perf_event_paranoid", FINDING_UNUSED,
                    "is %s; it matters for rapl_perf alone, which without CAP_PERFMON needs 0 or less", paranoid);
}

/* ---- agent, intensity ---- */

static void check_agent(struct doctor *doctor)
{
    struct line_client *client = NULL;
    struct carnot_err err = CARNOT_ERR_INIT;
    const char *answer;
    size_t len;
    int r = line_client_connect(doctor->socket_path, AGENT_TIMEOUT_NS, &client, &err);
    struct finding *f;

    if (r >= 0)
        r = line_client_request(client, "{\"v\":1,\"op\":\"info\"}", AGENT_TIMEOUT_NS, &answer, &len, &err);
    if (r >= 0) {
        bool all = memmem(answer, len, "\"view\":\"all\"", 12) != NULL;

        f = doctor_find(doctor, "agent", FINDING_OK, "answers on %s; you see %s", doctor->socket_path,
                        all ? "everything" : "your own units only");
        if (!all)
            set_remedy(f, false, "sudo usermod -aG carnot $USER, then log in again, to see everything");
    } else {
        bool absent = r == -ENOENT || r == -ECONNREFUSED;

        f = doctor_find(doctor, "agent", absent ? FINDING_UNUSED : state_of(r), "%s", err.msg);
        set_remedy(f, !absent || doctor->settings->agent == AGENT_REQUIRED,
                   START_AGENT " (without one, carnot measures only while it runs)");
    }
    line_client_close(client);
}

static void check_intensity(struct doctor *doctor)
{
    const struct meter_settings *meter = &doctor->settings->meter;
    const char *how = meter->intensity_g_per_kwh > 0 ? "--intensity.g-per-kwh" : "--intensity.zone";
    struct intensity intensity;
    struct carnot_err err = CARNOT_ERR_INIT;
    char g[40];
    struct finding *f;

    if (intensity_choose(doctor->env, meter->intensity_g_per_kwh, meter->intensity_zone, how, &intensity, &err) < 0) {
        f = doctor_find(doctor, "intensity", FINDING_MISSING, "%s", err.msg);
        f->matters = true;
        return;
    }
    g[format_fixed(g, intensity.mg_kwh, 3)] = '\0';
    f = doctor_find(doctor, "intensity", intensity.quality == QUALITY_DEFAULT ? FINDING_MISSING : FINDING_OK,
                    "%s gCO2e/kWh%s%s, %s; chosen by %s", g, intensity.zone[0] ? ", " : "", intensity.zone,
                    intensity.source, intensity.chosen_by);
    if (f->state == FINDING_MISSING)
        set_remedy(f, false,
                   "sudo timedatectl set-timezone AREA/CITY; or --intensity.zone CODE; or "
                   "--intensity.g-per-kwh G");
}

void doctor_check_all(struct doctor *doctor)
{
    read_self(doctor);
    check_machine(doctor);
    check_container(doctor);
    check_powercap(doctor);
    check_sources(doctor);
    check_calibration(doctor);
    check_cgroups(doctor);
    check_activity(doctor);
    check_rights(doctor);
    check_agent(doctor);
    check_intensity(doctor);
}

void doctor_done(struct doctor *doctor)
{
    doctor->cgroups = cgroup_tree_close(doctor->cgroups);
    if (doctor->has_topology)
        topology_done(&doctor->topology);
    doctor->has_topology = false;
}
