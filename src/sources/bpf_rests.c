/* SPDX-License-Identifier: Apache-2.0 */
/* Time of threads without a row, read and its entries recycled; knows ids, not the tree of cgroups.
 *
 * The sums are never set back: what a program adds late, having looked the entry up before its key was deleted, comes
 * in a later reading. The owner stays written in the entry for one reading after the deletion, which is long for a
 * program that runs with interrupts off; what comes later still is the root's. */
#include "sources/bpf_rests.h"

#include <bpf/bpf.h>
#include <errno.h>

/* What an entry in use has come to. After the second reading without gain its key is deleted, at the next its number is
 * free. */
enum { NOT_IN_USE, GAINED, IDLE_NOT, IDLE_ONCE, IDLE_TWICE, IDLE_LEFT };

static struct switch_rest *owner_of(const struct bpf_rests *rests, uint32_t entry)
{
    return (struct switch_rest *)(void *)rests->rests.base + entry;
}

static const uint64_t *ns_of(const struct bpf_rests *rests, uint32_t entry)
{
    return (const uint64_t *)(const void *)rests->ns.base + (size_t)entry * rests->n_columns;
}

static int map_all(struct bpf_region *region, int fd, size_t size, struct carnot_err *err)
{
    int r = bpf_region_open(region, fd, size, err);

    return r < 0 ? r : bpf_region_extend(region, size, err);
}

/* Entry 0 is nobody's. The lowest number is pushed last, and so taken first. */
static int fill_free(const struct bpf_rests *rests, struct carnot_err *err)
{
    for (uint32_t entry = SWITCH_RESTS - 1; entry > 0; entry--) {
        int r = bpf_map_update_elem(rests->free_fd, NULL, &entry, BPF_ANY);
        if (r < 0)
            return carnot_err_errno(err, r, "cannot fill the BPF table of free entries for cgroups");
    }
    return 0;
}

int bpf_rests_open(struct bpf_rests *rests, const struct bpf_rests_args *args, struct carnot_err *err)
{
    size_t ns_size = (size_t)SWITCH_RESTS * args->n_columns * sizeof(uint64_t);
    int r;

    *rests = (struct bpf_rests){
        .n_columns = args->n_columns,
        .index_fd = args->index_fd,
        .free_fd = args->free_fd,
        .control = args->control,
    };
    r = map_all(&rests->rests, args->rests_fd, SWITCH_RESTS * sizeof(struct switch_rest), err);
    if (r == 0)
        r = map_all(&rests->ns, args->ns_fd, ns_size, err);
    if (r < 0)
        return r;
    rests->prev = calloc(1, ns_size);
    if (!rests->prev)
        return carnot_err_set(err, ENOMEM, "no memory for the table of cgroups");
    return fill_free(rests, err);
}

void bpf_rests_close(struct bpf_rests *rests)
{
    bpf_region_close(&rests->rests);
    bpf_region_close(&rests->ns);
    free(rests->prev);
    *rests = (struct bpf_rests){.index_fd = -1, .free_fd = -1};
}

bool bpf_rests_begin(struct bpf_rests *rests)
{
    rests->dropped_now = __atomic_load_n(&rests->control->dropped, __ATOMIC_ACQUIRE);
    return rests->dropped_now != rests->dropped_before;
}

bool bpf_rests_gained(const struct bpf_rests *rests, uint32_t entry, struct switch_rest *ret_owner)
{
    const uint64_t *prev = rests->prev + (size_t)entry * rests->n_columns;

    if (memcmp(ns_of(rests, entry), prev, rests->n_columns * sizeof(*prev)) == 0)
        return false;
    __atomic_thread_fence(__ATOMIC_ACQUIRE); /* the owner was written before the first time */
    *ret_owner = *owner_of(rests, entry);
    return true;
}

void bpf_rests_take(struct bpf_rests *rests, uint32_t entry, uint64_t *sum)
{
    const uint64_t *ns = ns_of(rests, entry);
    uint64_t *prev = rests->prev + (size_t)entry * rests->n_columns;

    for (uint32_t b = 0; b < rests->n_columns; b++) {
        uint64_t now = __atomic_load_n(&ns[b], __ATOMIC_RELAXED);
        sum[b] += now - prev[b];
        prev[b] = now;
    }
    if (entry == 0 || owner_of(rests, entry)->cgroup_id == 0)
        return;
    if (rests->use[entry] == NOT_IN_USE)
        rests->n_used++;
    if (rests->use[entry] < IDLE_TWICE) /* else late time of one that is on its way out */
        rests->use[entry] = GAINED;
}

/* The key may be there no more, when its owner was late and has taken another entry, which then only is idle sooner. */
static void delete_key(struct bpf_rests *rests, uint32_t entry)
{
    int r = bpf_map_delete_elem(rests->index_fd, owner_of(rests, entry));

    rests->denied = r == -EPERM || r == -EACCES;
    if (r < 0 && r != -ENOENT)
        rests->use[entry] = IDLE_ONCE; /* again at the next reading */
}

static void give_back(struct bpf_rests *rests, uint32_t entry)
{
    *owner_of(rests, entry) = (struct switch_rest){0};
    __atomic_thread_fence(__ATOMIC_RELEASE);
    /* Cannot fail for want of room, the table has some for all numbers; a number lost otherwise is one entry less. */
    bpf_map_update_elem(rests->free_fd, NULL, &entry, BPF_ANY);
    rests->use[entry] = NOT_IN_USE;
    rests->n_used--;
}

void bpf_rests_done(struct bpf_rests *rests)
{
    rests->dropped_before = rests->dropped_now;
    if (rests->n_used == 0)
        return;
    for (uint32_t entry = 1; entry < SWITCH_RESTS && !rests->denied; entry++) {
        if (rests->use[entry] == NOT_IN_USE)
            continue;
        rests->use[entry]++;
        if (rests->use[entry] == IDLE_TWICE)
            delete_key(rests, entry);
        else if (rests->use[entry] == IDLE_LEFT)
            give_back(rests, entry);
    }
}
