/* SPDX-License-Identifier: Apache-2.0 */
/* Names compute units by their cgroup path. Knows how systemd, container engines and virtual machine managers call
 * their cgroups; refuses to ask any of them.
 *
 * The path is read from the root down, one component after the other, against one table. A container, pod or VM stays
 * the answer for everything below it, a systemd inside it included; otherwise the deepest systemd unit is the answer,
 * and stays so for plain directories below a service or scope. Who has a delegated subtree can give his cgroups any
 * name in it: a name is a label, not a proof; owner_uid comes from the outermost user slice, which nobody but systemd
 * makes. */
#include "units/unit.h"

#include <string.h>

#include "base/parse.h"

#define CONTAINER_ID_LEN    64 /* SHA-256 in hexadecimal */
#define CONTAINER_SHORT_LEN 12 /* what docker ps and podman ps show */
#define POD_UID_MIN         8  /* 36 for a UUID, 32 for the hash of a static pod; less than this is a word */
#define POD_UID_MAX         64

/* What stands between a pattern's prefix and suffix, and what becomes of it. */
enum body {
    BODY_NONE,    /* nothing; the name is the component */
    BODY_UNIT,    /* anything; the name is the whole component, unescaped */
    BODY_NAME,    /* anything; it is the name and the id, unescaped */
    BODY_HEX,     /* a container's id; the name is its first part */
    BODY_POD,     /* a pod's uid, '_' for '-' under systemd; name and id */
    BODY_MACHINE, /* libvirt's NUMBER-NAME, the number optional, unescaped; the name part is name and id */
};

enum rank { RANK_PLAIN, RANK_UNIT, RANK_WORKLOAD };

struct pattern {
    const char *parent; /* the component before must be this; NULL: any; POD: a pod */
    const char *prefix;
    const char *suffix;
    enum body body;
    enum rank rank;
    bool absorbs; /* plain directories below it belong to it */
    const char *manager;
    const char *type;
};

static const char POD[] = "pod";

#define CONTAINER RANK_WORKLOAD, true /* two columns of the table that belong together */

/* First match counts: special names before general ones. */
static const struct pattern patterns[] = {
    /* docker with the systemd driver, with its own, and the malformed name of the one under the other */
    {NULL, "docker-", ".scope", BODY_HEX, CONTAINER, "docker", "container"},
    {NULL, "docker:", "", BODY_HEX, CONTAINER, "docker", "container"},
    {"docker", "", "", BODY_HEX, CONTAINER, "docker", "container"},
    /* podman; conmon scopes are no containers and come out as scopes */
    {NULL, "libpod-", ".scope", BODY_HEX, CONTAINER, "podman", "container"},
    {NULL, "libpod-", "", BODY_HEX, CONTAINER, "podman", "container"},
    {NULL, "libpod:", "", BODY_HEX, CONTAINER, "podman", "container"},
    {NULL, "machine-libpod_pod_", ".slice", BODY_HEX, CONTAINER, "podman", "pod"},
    {NULL, "user-libpod_pod_", ".slice", BODY_HEX, CONTAINER, "podman", "pod"},
    {"libpod_parent", "", "", BODY_HEX, CONTAINER, "podman", "pod"},
    /* containerd (Kubernetes, nerdctl) and CRI-O */
    {NULL, "cri-containerd-", ".scope", BODY_HEX, CONTAINER, "containerd", "container"},
    {NULL, "cri-containerd-", "", BODY_HEX, CONTAINER, "containerd", "container"},
    {NULL, "cri-containerd:", "", BODY_HEX, CONTAINER, "containerd", "container"},
    {NULL, "nerdctl-", ".scope", BODY_HEX, CONTAINER, "containerd", "container"},
    {NULL, "crio-", ".scope", BODY_HEX, CONTAINER, "cri-o", "container"},
    {NULL, "crio-", "", BODY_HEX, CONTAINER, "cri-o", "container"},
    {NULL, "crio:", "", BODY_HEX, CONTAINER, "cri-o", "container"},
    /* Kubernetes: pods under systemd (also nested in a node's own slice), under plain cgroups, containers by id */
    {NULL, "kubepods-burstable-pod", ".slice", BODY_POD, CONTAINER, "kubernetes", "pod"},
    {NULL, "kubepods-besteffort-pod", ".slice", BODY_POD, CONTAINER, "kubernetes", "pod"},
    {NULL, "kubepods-pod", ".slice", BODY_POD, CONTAINER, "kubernetes", "pod"},
    {NULL, "kubelet-kubepods-burstable-pod", ".slice", BODY_POD, CONTAINER, "kubernetes", "pod"},
    {NULL, "kubelet-kubepods-besteffort-pod", ".slice", BODY_POD, CONTAINER, "kubernetes", "pod"},
    {NULL, "kubelet-kubepods-pod", ".slice", BODY_POD, CONTAINER, "kubernetes", "pod"},
    {"kubepods", "pod", "", BODY_POD, CONTAINER, "kubernetes", "pod"},
    {"burstable", "pod", "", BODY_POD, CONTAINER, "kubernetes", "pod"},
    {"besteffort", "pod", "", BODY_POD, CONTAINER, "kubernetes", "pod"},
    {POD, "", "", BODY_HEX, CONTAINER, "kubernetes", "container"},
    {NULL, "kubepods", ".slice", BODY_UNIT, RANK_UNIT, false, "kubernetes", "slice"},
    {NULL, "kubelet-kubepods", ".slice", BODY_UNIT, RANK_UNIT, false, "kubernetes", "slice"},
    {NULL, "kubepods", "", BODY_NONE, RANK_PLAIN, false, "kubernetes", "cgroup"},
    {"kubepods", "burstable", "", BODY_NONE, RANK_PLAIN, false, "kubernetes", "cgroup"},
    {"kubepods", "besteffort", "", BODY_NONE, RANK_PLAIN, false, "kubernetes", "cgroup"},
    /* libvirt with systemd-machined, and without; other machines of machined (nspawn, vmspawn) */
    {NULL, "machine-qemu\\x2d", ".scope", BODY_MACHINE, CONTAINER, "libvirt", "vm"},
    {NULL, "machine-lxc\\x2d", ".scope", BODY_MACHINE, CONTAINER, "libvirt", "container"},
    {NULL, "qemu-", ".libvirt-qemu", BODY_MACHINE, CONTAINER, "libvirt", "vm"},
    {NULL, "", ".libvirt-qemu", BODY_MACHINE, CONTAINER, "libvirt", "vm"},
    {NULL, "lxc-", ".libvirt-lxc", BODY_MACHINE, CONTAINER, "libvirt", "container"},
    {"machine.slice", "machine-", ".scope", BODY_NAME, CONTAINER, "systemd", "container"},
    {NULL, "systemd-nspawn@", ".service", BODY_NAME, CONTAINER, "systemd", "container"},
    /* LXC since 4.0, and before */
    {NULL, "lxc.payload.", "", BODY_NAME, CONTAINER, "lxc", "container"},
    {"lxc.payload", "", "", BODY_NAME, CONTAINER, "lxc", "container"},
    {"lxc", "", "", BODY_NAME, CONTAINER, "lxc", "container"},
    {NULL, "lxc.monitor.", "", BODY_UNIT, RANK_UNIT, true, "lxc", "cgroup"},
    /* systemd */
    {NULL, "session-", ".scope", BODY_UNIT, RANK_UNIT, true, "systemd", "session"},
    {NULL, "", ".service", BODY_UNIT, RANK_UNIT, true, "systemd", "service"},
    {NULL, "", ".scope", BODY_UNIT, RANK_UNIT, true, "systemd", "scope"},
    {NULL, "", ".slice", BODY_UNIT, RANK_UNIT, false, "systemd", "slice"},
    {NULL, "", ".mount", BODY_UNIT, RANK_UNIT, true, "systemd", "cgroup"},
    {NULL, "", ".socket", BODY_UNIT, RANK_UNIT, true, "systemd", "cgroup"},
    {NULL, "", ".swap", BODY_UNIT, RANK_UNIT, true, "systemd", "cgroup"},
};

/* Value of a lower- or upper-case hexadecimal digit, -1 otherwise. */
static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static bool is_container_id(struct text t)
{
    if (t.n != CONTAINER_ID_LEN)
        return false;
    for (size_t i = 0; i < t.n; i++) {
        if (hex_digit(t.p[i]) < 0)
            return false;
    }
    return true;
}

static bool is_pod_uid(struct text t)
{
    if (t.n < POD_UID_MIN || t.n > POD_UID_MAX)
        return false;
    for (size_t i = 0; i < t.n; i++) {
        if (hex_digit(t.p[i]) < 0 && t.p[i] != '-' && t.p[i] != '_')
            return false;
    }
    return true;
}

/* Ends a text that was cut at n bytes: never in the middle of a UTF-8 character. */
static void end_cut(char out[UNIT_NAME_MAX], size_t n)
{
    while (n && ((unsigned char)out[n - 1] & 0xC0) == 0x80)
        n--;
    if (n && ((unsigned char)out[n - 1] & 0xC0) == 0xC0)
        n--;
    out[n] = '\0';
}

static void copy_text(struct text t, char out[UNIT_NAME_MAX])
{
    size_t n = min_size(t.n, UNIT_NAME_MAX - 1);

    memcpy(out, t.p, n);
    out[n] = '\0';
    if (n < t.n)
        end_cut(out, n);
}

/* systemd writes bytes that a unit name may not hold as \xHH. NUL is left as written: it would end the name. */
static void unescape(struct text t, char out[UNIT_NAME_MAX])
{
    size_t n = 0, i = 0;

    while (i < t.n && n < UNIT_NAME_MAX - 1) {
        int high = -1, low = -1;

        if (t.n - i >= 4 && t.p[i] == '\\' && t.p[i + 1] == 'x') {
            high = hex_digit(t.p[i + 2]);
            low = hex_digit(t.p[i + 3]);
        }
        bool escaped = high >= 0 && low >= 0 && (high || low);
        out[n++] = escaped ? (char)(high << 4 | low) : t.p[i];
        i += escaped ? 4 : 1;
    }
    out[n] = '\0';
    if (i < t.n)
        end_cut(out, n);
}

/* "12-name" -> "name"; what has no number stays. */
static struct text without_number(struct text t)
{
    size_t n = 0;

    while (n < t.n && t.p[n] >= '0' && t.p[n] <= '9')
        n++;
    if (n == 0 || n + 1 >= t.n || t.p[n] != '-')
        return t;
    return (struct text){t.p + n + 1, t.n - n - 1};
}

/* runc without its systemd driver, under an engine that thinks it has it, makes "SLICE:ENGINE:ID". Gives "ENGINE:ID",
 * or the component as it is. */
static struct text without_slice(struct text t)
{
    if (t.n <= CONTAINER_ID_LEN + 1 || t.p[t.n - CONTAINER_ID_LEN - 1] != ':')
        return t;
    for (size_t i = t.n - CONTAINER_ID_LEN - 1; i-- > 0;) {
        if (t.p[i] == ':')
            return (struct text){t.p + i + 1, t.n - i - 1};
    }
    return t;
}

static bool body_fits(enum body body, struct text t)
{
    switch (body) {
    case BODY_NONE:
        return t.n == 0;
    case BODY_HEX:
        return is_container_id(t);
    case BODY_POD:
        return is_pod_uid(t);
    case BODY_UNIT:
        return true;
    case BODY_NAME:
    case BODY_MACHINE:
        return t.n > 0;
    }
    return false;
}

/* The part between prefix and suffix, if the component has both and the rest is of the pattern's kind. */
static bool matches(const struct pattern *pattern, struct text component, struct text parent, bool in_pod,
                    struct text *ret_body)
{
    size_t prefix = strlen(pattern->prefix), suffix = strlen(pattern->suffix);

    if (pattern->parent == POD ? !in_pod : pattern->parent && !text_is(parent, pattern->parent))
        return false;
    if (component.n < prefix + suffix || component.n == suffix || !text_starts(component, pattern->prefix) ||
        !text_ends(component, pattern->suffix))
        return false;
    struct text body = {component.p + prefix, component.n - prefix - suffix};
    if (!body_fits(pattern->body, body))
        return false;
    *ret_body = body;
    return true;
}

static const struct pattern *find_pattern(struct text component, struct text parent, bool in_pod, struct text *ret_body)
{
    for (size_t i = 0; i < ELEMENTSOF(patterns); i++) {
        if (matches(&patterns[i], component, parent, in_pod, ret_body))
            return &patterns[i];
    }
    return NULL;
}

static void describe(const struct pattern *pattern, struct text component, struct text body, struct unit_info *info)
{
    info->manager = pattern->manager;
    info->type = pattern->type;
    info->id[0] = '\0';
    switch (pattern->body) {
    case BODY_NONE:
        copy_text(component, info->name);
        break;
    case BODY_UNIT:
        unescape(component, info->name);
        break;
    case BODY_NAME:
        unescape(body, info->name);
        memcpy(info->id, info->name, sizeof(info->id));
        break;
    case BODY_HEX:
        copy_text((struct text){body.p, CONTAINER_SHORT_LEN}, info->name);
        copy_text(body, info->id);
        break;
    case BODY_POD:
        copy_text(body, info->id);
        for (char *c = info->id; *c; c++)
            *c = *c == '_' ? '-' : *c;
        memcpy(info->name, info->id, sizeof(info->name));
        break;
    case BODY_MACHINE:
        unescape(body, info->id);
        copy_text(without_number(text_of(info->id)), info->name);
        memcpy(info->id, info->name, sizeof(info->id));
        break;
    }
}

static void describe_plain(struct text component, struct unit_info *info)
{
    info->manager = "";
    info->type = "cgroup";
    info->id[0] = '\0';
    copy_text(component, info->name);
}

/* "user-1000.slice" */
static bool slice_uid(struct text component, uint32_t *ret_uid)
{
    static const char prefix[] = "user-", suffix[] = ".slice";
    uint64_t uid;

    if (!text_starts(component, prefix) || !text_ends(component, suffix) ||
        component.n < strlen(prefix) + strlen(suffix))
        return false;
    struct text digits = {component.p + strlen(prefix), component.n - strlen(prefix) - strlen(suffix)};
    if (parse_u64(digits, &uid) < 0 || uid >= UINT32_MAX)
        return false;
    *ret_uid = (uint32_t)uid;
    return true;
}

void unit_of_cgroup(const char *path, struct unit_info *ret_info)
{
    static const struct pattern root = {.rank = RANK_PLAIN};
    struct text rest = text_of(path), component, parent = {"", 0}, body;
    const struct pattern *best = &root;

    *ret_info = (struct unit_info){.manager = "", .type = "root", .name = "/", .owner_uid = UINT32_MAX};
    while (scan_until(&rest, '/', &component)) {
        if (component.n == 0)
            continue;
        if (ret_info->owner_uid == UINT32_MAX)
            slice_uid(component, &ret_info->owner_uid);

        bool in_pod = best->type && strcmp(best->type, POD) == 0;
        const struct pattern *pattern = find_pattern(without_slice(component), parent, in_pod, &body);
        if (pattern && (pattern->rank >= best->rank || !best->absorbs)) {
            best = pattern;
            describe(pattern, component, body, ret_info);
        } else if (!pattern && !best->absorbs) {
            best = &root;
            describe_plain(component, ret_info);
        }
        parent = component;
    }
}
