/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The few kernel types and constants that the programs read, declared by hand: only the fields used, in any order,
 * since every access is relocated against the running kernel's own type information when the programs are loaded.
 *
 * The build therefore does not need the type information of the machine that builds. */
#ifndef CARNOT_SOURCES_BPF_VMLINUX_MIN_H
#define CARNOT_SOURCES_BPF_VMLINUX_MIN_H

typedef unsigned char __u8;
typedef unsigned short __u16;
typedef unsigned int __u32;
typedef unsigned long long __u64;
typedef signed char __s8;
typedef short __s16;
typedef int __s32;
typedef long long __s64;
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u32 __wsum;
typedef __u16 uint16_t;
typedef __u32 uint32_t;
typedef __u64 uint64_t;
typedef _Bool bool;
#define true 1
#define false 0

/* Stable numbers of the bpf(2) interface. */
enum bpf_map_type {
    BPF_MAP_TYPE_HASH = 1,
    BPF_MAP_TYPE_ARRAY = 2,
    BPF_MAP_TYPE_STACK = 23,
    BPF_MAP_TYPE_RINGBUF = 27,
    BPF_MAP_TYPE_TASK_STORAGE = 29,
};

enum {
    BPF_NOEXIST = 1,
    BPF_F_NO_PREALLOC = 1 << 0,
    BPF_F_MMAPABLE = 1 << 10,
    BPF_LOCAL_STORAGE_GET_F_CREATE = 1 << 0,
    BPF_RB_NO_WAKEUP = 1 << 0,
};

#define PF_KTHREAD 0x00200000

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct kernfs_node {
    __u64 id;
};

struct cgroup_root {
    int hierarchy_id;
};

struct cgroup_subsys_state {
    struct cgroup *cgroup;
    struct cgroup_subsys_state *parent;
};

struct cgroup {
    struct cgroup_subsys_state self;
    int level; /* 0: the root */
    struct kernfs_node *kn;
    struct cgroup_root *root;
};

struct css_set {
    struct cgroup_subsys_state *subsys[1]; /* as many as the kernel has controllers */
    struct cgroup *dfl_cgrp;
};

/* The newest function of the release in which a look-up of task storage became reliable; see core_fixes.bpf.h. */
enum bpf_func_id { BPF_FUNC_cgrp_storage_get = 210 };

/* Its values move with the kernel's configuration: only ever used through bpf_core_enum_value(). */
enum cgroup_subsys_id { cpuacct_cgrp_id = 1 };

typedef struct {
    __u32 val;
} kuid_t;

struct cred {
    kuid_t uid;
};

struct sched_entity {
    __u64 sum_exec_runtime;
};

typedef struct {
    int counter;
} atomic_t;

/* Shared by the threads of a process; a thread holds it until its own task_struct is freed. */
struct signal_struct {
    atomic_t live;  /* threads that have not begun to exit */
    int nr_threads; /* threads that were not released */
};

struct bpf_local_storage;

struct task_struct {
    unsigned int flags;
    struct sched_entity se;
    int pid;
    int tgid;
    struct task_struct *real_parent;
    struct task_struct *group_leader;
    __u64 start_boottime;
    const struct cred *real_cred;
    char comm[16];
    struct css_set *cgroups;
    struct signal_struct *signal;
    struct bpf_local_storage *bpf_storage; /* memory that programs, ours or others', gave the thread */
};

struct linux_binprm;
struct bpf_iter_meta;

struct bpf_iter__task {
    struct bpf_iter_meta *meta;
    struct task_struct *task;
};

#pragma clang attribute pop

#endif
