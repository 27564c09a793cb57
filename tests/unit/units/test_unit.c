/* SPDX-License-Identifier: Apache-2.0 */
/* Cgroup paths as distributions, container engines and hypervisors make them, and as nobody should. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "units/unit.h"

#define HEX    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define HEX2   "fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210"
#define S12    "0123456789ab"
#define T12    "fedcba987654"
#define UID    "8f2a91c3-0d1e-4b77-9a55-1c2d3e4f5a6b"
#define UID_   "8f2a91c3_0d1e_4b77_9a55_1c2d3e4f5a6b"
#define NOBODY UINT32_MAX

static const struct {
    const char *path, *manager, *type, *name, *id;
    uint32_t uid;
} cases[] = {
    {"/", "", "root", "/", "", NOBODY},
    {"", "", "root", "/", "", NOBODY},
    {"////", "", "root", "/", "", NOBODY},
    /* systemd */
    {"/init.scope", "systemd", "scope", "init.scope", "", NOBODY},
    {"/system.slice", "systemd", "slice", "system.slice", "", NOBODY},
    {"/-.slice", "systemd", "slice", "-.slice", "", NOBODY},
    {"/system.slice/ssh.service", "systemd", "service", "ssh.service", "", NOBODY},
    {"system.slice/ssh.service/", "systemd", "service", "ssh.service", "", NOBODY},
    {"//system.slice//ssh.service", "systemd", "service", "ssh.service", "", NOBODY},
    {"/system.slice/system-getty.slice/getty@tty1.service", "systemd", "service", "getty@tty1.service", "", NOBODY},
    {"/system.slice/nginx.service/workers/7", "systemd", "service", "nginx.service", "", NOBODY},
    {"/system.slice/system-postgresql.slice/postgresql@15-main.service", "systemd", "service",
     "postgresql@15-main.service", "", NOBODY},
    {"/system.slice/systemd-fsck@dev-disk-by\\x2duuid-AB12\\x2dCD34.service", "systemd", "service",
     "systemd-fsck@dev-disk-by-uuid-AB12-CD34.service", "", NOBODY},
    {"/system.slice/dev-hugepages.mount", "systemd", "cgroup", "dev-hugepages.mount", "", NOBODY},
    {"/user.slice", "systemd", "slice", "user.slice", "", NOBODY},
    {"/user.slice/user-1000.slice", "systemd", "slice", "user-1000.slice", "", 1000},
    {"/user.slice/user-0.slice/session-c3.scope", "systemd", "session", "session-c3.scope", "", 0},
    {"/user.slice/user-1000.slice/session-3.scope/sub", "systemd", "session", "session-3.scope", "", 1000},
    {"/user.slice/user-1000.slice/user@1000.service", "systemd", "service", "user@1000.service", "", 1000},
    {"/user.slice/user-1000.slice/user@1000.service/init.scope", "systemd", "scope", "init.scope", "", 1000},
    {"/user.slice/user-1000.slice/user@1000.service/app.slice", "systemd", "slice", "app.slice", "", 1000},
    {"/user.slice/user-1000.slice/user@1000.service/app.slice/app-org.gnome.Terminal.slice/vte-spawn-1.scope",
     "systemd", "scope", "vte-spawn-1.scope", "", 1000},
    {"/user.slice/user-1000.slice/user@1000.service/session.slice/pipewire.service", "systemd", "service",
     "pipewire.service", "", 1000},
    /* a user who calls a slice of his own after another user */
    {"/user.slice/user-1000.slice/user@1000.service/user-0.slice/x.service", "systemd", "service", "x.service", "",
     1000},
    {"/user.slice/user-4294967295.slice", "systemd", "slice", "user-4294967295.slice", "", NOBODY},
    {"/user.slice/user-.slice/a.service", "systemd", "service", "a.service", "", NOBODY},
    {"/user.slice/user-12x.slice", "systemd", "slice", "user-12x.slice", "", NOBODY},
    /* docker */
    {"/system.slice/docker-" HEX ".scope", "docker", "container", S12, HEX, NOBODY},
    {"/docker/" HEX, "docker", "container", S12, HEX, NOBODY},
    {"/docker/" HEX "/init", "docker", "container", S12, HEX, NOBODY},
    {"/docker/" HEX "/system.slice/cron.service", "docker", "container", S12, HEX, NOBODY},
    {"/docker/" HEX "/docker/" HEX2, "docker", "container", T12, HEX2, NOBODY},
    {"/system.slice:docker:" HEX, "docker", "container", S12, HEX, NOBODY},
    {"/docker", "", "cgroup", "docker", "", NOBODY},
    {"/system.slice/docker.service", "systemd", "service", "docker.service", "", NOBODY},
    {"/docker/0123", "", "cgroup", "0123", "", NOBODY},
    {"/system.slice/docker-0123.scope", "systemd", "scope", "docker-0123.scope", "", NOBODY},
    {"/user.slice/user-1000.slice/user@1000.service/user.slice/docker-" HEX ".scope", "docker", "container", S12, HEX,
     1000},
    /* podman */
    {"/machine.slice/libpod-" HEX ".scope", "podman", "container", S12, HEX, NOBODY},
    {"/machine.slice/libpod-" HEX ".scope/container", "podman", "container", S12, HEX, NOBODY},
    {"/machine.slice/libpod-conmon-" HEX ".scope", "systemd", "scope", "libpod-conmon-" HEX ".scope", "", NOBODY},
    {"/machine.slice/machine-libpod_pod_" HEX2 ".slice", "podman", "pod", T12, HEX2, NOBODY},
    {"/machine.slice/machine-libpod_pod_" HEX2 ".slice/libpod-" HEX ".scope", "podman", "container", S12, HEX, NOBODY},
    {"/libpod_parent/libpod-" HEX, "podman", "container", S12, HEX, NOBODY},
    {"/libpod_parent/" HEX2 "/libpod-" HEX, "podman", "container", S12, HEX, NOBODY},
    {"/libpod_parent/" HEX2, "podman", "pod", T12, HEX2, NOBODY},
    {"/user.slice/user-1001.slice/user@1001.service/user.slice/libpod-" HEX ".scope", "podman", "container", S12, HEX,
     1001},
    /* Kubernetes, containerd, CRI-O */
    {"/kubepods.slice", "kubernetes", "slice", "kubepods.slice", "", NOBODY},
    {"/kubepods.slice/kubepods-burstable.slice", "kubernetes", "slice", "kubepods-burstable.slice", "", NOBODY},
    {"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" UID_ ".slice", "kubernetes", "pod", UID, UID,
     NOBODY},
    {"/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod" UID_ ".slice/cri-containerd-" HEX ".scope",
     "containerd", "container", S12, HEX, NOBODY},
    {"/kubepods.slice/kubepods-pod" UID_ ".slice/crio-" HEX ".scope", "cri-o", "container", S12, HEX, NOBODY},
    {"/kubepods.slice/kubepods-pod" UID_ ".slice/crio-" HEX ".scope/container", "cri-o", "container", S12, HEX, NOBODY},
    {"/kubepods.slice/kubepods-pod" UID_ ".slice/docker-" HEX ".scope", "docker", "container", S12, HEX, NOBODY},
    {"/kubepods.slice/kubepods-pod" UID_ ".slice/" HEX, "kubernetes", "container", S12, HEX, NOBODY},
    {"/kubepods", "kubernetes", "cgroup", "kubepods", "", NOBODY},
    {"/kubepods/burstable", "kubernetes", "cgroup", "burstable", "", NOBODY},
    {"/kubepods/pod" UID, "kubernetes", "pod", UID, UID, NOBODY},
    {"/kubepods/besteffort/pod" UID "/" HEX, "kubernetes", "container", S12, HEX, NOBODY},
    {"/kubepods/burstable/pod0123456789abcdef0123456789abcdef/" HEX, "kubernetes", "container", S12, HEX, NOBODY},
    {"/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-burstable.slice/kubelet-kubepods-burstable-pod" UID_
     ".slice/cri-containerd-" HEX ".scope",
     "containerd", "container", S12, HEX, NOBODY},
    {"/docker/" HEX2 "/kubelet/kubepods/burstable/pod" UID "/" HEX, "kubernetes", "container", S12, HEX, NOBODY},
    {"/system.slice/containerd.service/kubepods-burstable-pod" UID_ ".slice:cri-containerd:" HEX, "containerd",
     "container", S12, HEX, NOBODY},
    {"/kubepods/podcast", "", "cgroup", "podcast", "", NOBODY},
    {"/elsewhere/" HEX, "", "cgroup", HEX, "", NOBODY},
    /* LXC */
    {"/lxc/web1", "lxc", "container", "web1", "web1", NOBODY},
    {"/lxc/101/ns/system.slice/cron.service", "lxc", "container", "101", "101", NOBODY},
    {"/lxc.payload.web1/init.scope", "lxc", "container", "web1", "web1", NOBODY},
    {"/lxc.payload/web1", "lxc", "container", "web1", "web1", NOBODY},
    {"/lxc.monitor.web1", "lxc", "cgroup", "lxc.monitor.web1", "", NOBODY},
    {"/lxc", "", "cgroup", "lxc", "", NOBODY},
    /* machines */
    {"/machine.slice", "systemd", "slice", "machine.slice", "", NOBODY},
    {"/machine.slice/machine-qemu\\x2d1\\x2dinstance\\x2d00000001.scope", "libvirt", "vm", "instance-00000001",
     "instance-00000001", NOBODY},
    {"/machine.slice/machine-qemu\\x2d12\\x2dweb.scope/libvirt/vcpu0", "libvirt", "vm", "web", "web", NOBODY},
    {"/machine.slice/machine-qemu\\x2dweb.scope/libvirt/emulator", "libvirt", "vm", "web", "web", NOBODY},
    {"/machine.slice/machine-lxc\\x2d3\\x2dbox.scope", "libvirt", "container", "box", "box", NOBODY},
    {"/machine/qemu-2-instance-00000002.libvirt-qemu/vcpu1", "libvirt", "vm", "instance-00000002", "instance-00000002",
     NOBODY},
    {"/machine.slice/machine-debian\\x2dtest.scope/payload/init.scope", "systemd", "container", "debian-test",
     "debian-test", NOBODY},
    {"/machine.slice/systemd-nspawn@sid.service/payload", "systemd", "container", "sid", "sid", NOBODY},
    /* unknown shapes */
    {"/foo", "", "cgroup", "foo", "", NOBODY},
    {"/foo/bar", "", "cgroup", "bar", "", NOBODY},
    {"/my.slice/plain", "", "cgroup", "plain", "", NOBODY},
    {"/my.slice/plain/x.service", "systemd", "service", "x.service", "", NOBODY},
    {"/my.slice/kubepods", "kubernetes", "cgroup", "kubepods", "", NOBODY},
    {"/.service", "", "cgroup", ".service", "", NOBODY},
    {"/..", "", "cgroup", "..", "", NOBODY},
    {"/../../etc", "", "cgroup", "etc", "", NOBODY},
    {"/a\xff\xfe.service", "systemd", "service", "a\xff\xfe.service", "", NOBODY},
    {"/x\\x00y.service", "systemd", "service", "x\\x00y.service", "", NOBODY},
    {"/x\\x4.service", "systemd", "service", "x\\x4.service", "", NOBODY},
    {"/x\\xzz\\.service", "systemd", "service", "x\\xzz\\.service", "", NOBODY},
    {"/x\\x2", "", "cgroup", "x\\x2", "", NOBODY},
    {"/:" HEX, "", "cgroup", ":" HEX, "", NOBODY},
    {"/docker:" HEX, "docker", "container", S12, HEX, NOBODY},
};

static void table(void **state)
{
    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        struct unit_info info;

        memset(&info, 0xA5, sizeof(info));
        unit_of_cgroup(cases[i].path, &info);
        if (strcmp(info.name, cases[i].name) != 0 || strcmp(info.type, cases[i].type) != 0)
            print_error("path %s\n", cases[i].path);
        assert_string_equal(info.name, cases[i].name);
        assert_string_equal(info.type, cases[i].type);
        assert_string_equal(info.manager, cases[i].manager);
        assert_string_equal(info.id, cases[i].id);
        assert_int_equal(info.owner_uid, cases[i].uid);
    }
}

static void long_paths(void **state)
{
    static char path[1U << 20];
    struct unit_info info;

    /* One component far too long. */
    memset(path, 'a', sizeof(path));
    path[0] = '/';
    path[sizeof(path) - 1] = '\0';
    unit_of_cgroup(path, &info);
    assert_string_equal(info.type, "cgroup");
    assert_int_equal(strlen(info.name), UNIT_NAME_MAX - 1);

    /* Cut between characters: 127 of two bytes fit into 255. */
    for (size_t i = 1; i + 2 < 2000; i += 2)
        memcpy(path + i, "\xc3\xa9", 2);
    memcpy(path + 1999, ".service", 9);
    unit_of_cgroup(path, &info);
    assert_string_equal(info.type, "service");
    assert_true(strlen(info.name) >= UNIT_NAME_MAX - 3);
    assert_int_equal(strlen(info.name) % 2, 0);

    /* Very many components. */
    for (size_t i = 0; i + 2 < sizeof(path); i += 2)
        memcpy(path + i, "/b", 2);
    path[sizeof(path) - 2] = '\0';
    unit_of_cgroup(path, &info);
    assert_string_equal(info.name, "b");

    /* The longest name that systemd and the kernel allow is whole. */
    char unit[UNIT_NAME_MAX + 1];
    memset(unit, 'u', sizeof(unit));
    unit[0] = '/';
    memcpy(unit + UNIT_NAME_MAX - strlen(".service"), ".service", strlen(".service") + 1);
    unit_of_cgroup(unit, &info);
    assert_string_equal(info.name, unit + 1);
    assert_int_equal(strlen(info.name), UNIT_NAME_MAX - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(table),
        cmocka_unit_test(long_paths),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
