/* SPDX-License-Identifier: Apache-2.0 */
/* libcarnot: the energy of parts of a program, by the figures of the machine's carnotd.
 *
 *     struct carnot *carnot;
 *     struct carnot_region *region;
 *     struct carnot_result result = CARNOT_RESULT_INIT;
 *
 *     if (carnot_open(NULL, &carnot, NULL) < 0) ...
 *     carnot_region_begin(carnot, "solve", &region);
 *     solve();
 *     carnot_region_end(region, NULL);
 *     if (carnot_region_read(region, 5000, &result, NULL) == 1)
 *         use(result.energy_uj);
 *     carnot_region_free(region);
 *     carnot_close(carnot);
 *
 * What a figure is. carnotd gives each process its energy, slot by slot (1 s for ordinary users). This library reads
 * only clocks at the begin and the end of a region; a thread of its own asks the agent once in a slot, while a region
 * needs it, and gives the region, of each slot that it overlaps, the energy of the process times the region's part of
 * the process's CPU time in that slot. So a region shorter than a slot gets a share, not a measurement of its own;
 * regions that do not overlap never add up to more than their process got; regions that overlap (nested ones, or those
 * of a whole process in several threads) count the same energy each. Ordinary users' energy comes in whole quanta (1 J
 * where something is measured): single short regions may show 0 or a whole quantum, and their bounds say so; sums over
 * many are right.
 *
 * Conventions. Integers: energy in microjoules (_uj), time in nanoseconds (_ns). Functions return 0 or more, or a
 * negative errno value; outputs are written only on success; where there is a `struct carnot_error *`, it may be NULL
 * and else gets a sentence for the user. The library never prints, exits, changes signal handlers, or makes the caller
 * wait where it is not said.
 *
 * Threads. Every function may be called from any thread, except that nobody may use a region while or after it is
 * freed, nor a handle or its regions while or after it is closed. After fork() the child may not use the parent's
 * handle: functions return -ECHILD there; it opens its own.
 *
 * ABI. Functions and structs stay as they are in libcarnot.so.0; later versions only add. Structs that the library
 * fills begin with their size, set by the INIT macro. */
#ifndef CARNOT_CARNOT_H
#define CARNOT_CARNOT_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct carnot;        /* a way to the agent, and the thread that follows it */
struct carnot_region; /* a piece of the program's run; belongs to its handle */

struct carnot_error {
    int32_t code;      /* errno value, positive */
    char message[480]; /* one sentence: what, where, what to do next */
};

/* How a figure was got, from best to worst; of a sum, the worst of its parts. */
enum carnot_quality {
    CARNOT_QUALITY_MEASURED = 0,
    CARNOT_QUALITY_DERIVED = 1,
    CARNOT_QUALITY_MODELLED = 2,
    CARNOT_QUALITY_DEFAULT = 3, /* a model without anything known of this machine */
    CARNOT_QUALITY_UNKNOWN = 4, /* nothing has come from the agent yet */
};

/* carnot_result.flags */
#define CARNOT_COMPLETE 1U /* every slot of the region is in; else the figures are those so far */
/* Part of the region is not in the figures, which are lower bounds: the agent was away, restarted, or did not see the
 * process. */
#define CARNOT_GAP 2U

#define CARNOT_NO_BOUND UINT64_MAX

struct carnot_result {
    uint32_t size;        /* of this struct as the caller knows it */
    uint32_t flags;       /* CARNOT_COMPLETE, CARNOT_GAP */
    uint64_t duration_ns; /* begin to end (CLOCK_MONOTONIC), or to now */
    uint64_t cpu_ns;      /* CPU time used meanwhile, by the process or the thread */
    uint64_t energy_uj;   /* of the domains that make up the node's total */
    uint64_t
        energy_low_uj; /* what the region got at least and at most, whatever the process did when in the slots at */
    uint64_t
        energy_high_uj;  /* its edges, and with the agent's quanta; CARNOT_NO_BOUND after a gap or while incomplete */
    uint64_t covered_ns; /* part of the duration that the figures cover */
    uint32_t quality;    /* enum carnot_quality */
    uint32_t domains;    /* how many carnot_region_domains() knows */
};
#define CARNOT_RESULT_INIT                                                                                             \
    {                                                                                                                  \
        sizeof(struct carnot_result), 0, 0, 0, 0, 0, 0, 0, 0, 0                                                        \
    }

struct carnot_domain {
    char name[64];      /* "package-0", "dram-0", "gpu-0" */
    char kind[32];      /* "package", "dram", "gpu", ... */
    uint64_t energy_uj; /* of the region */
    uint32_t quality;   /* enum carnot_quality */
    uint32_t in_total;  /* 1: part of carnot_result.energy_uj; 0: counted there by another domain already */
};

/* "0.1.0". Static. */
const char *carnot_version(void);
/* "measured", "derived", "modelled", "default", "unknown". Static. */
const char *carnot_quality_name(uint32_t quality);

/* Opens a way to the agent that listens on `socket_path` (NULL: /run/carnot/carnot.sock) and starts the thread that
 * follows it. Waits for the agent for at most two seconds, for one that has just started for two more. -ENOTCONN: no
 * agent answers there, or not to this user (the library itself measures nothing); -EPROTO: what answers is none;
 * -EINVAL: no such path can be; -ENOMEM, -EAGAIN: no memory, no thread. Free it with carnot_close(). */
int carnot_open(const char *socket_path, struct carnot **ret_carnot, struct carnot_error *error);
/* Ends the thread and frees the handle with all of its regions. May wait two seconds for an agent that hangs. NULL is
 * fine; returns NULL. */
struct carnot *carnot_close(struct carnot *carnot);

/* Begins a region of the whole process: all its threads' energy from now on. The name is copied (cut to 63 bytes;
 * NULL: ""). Costs a few microseconds and never waits for the agent. -ENOBUFS: 65536 regions wait for figures already;
 * -ENOMEM; -ECHILD. Regions may nest and overlap; each is freed with carnot_region_free(). */
int carnot_region_begin(struct carnot *carnot, const char *name, struct carnot_region **ret_region);
/* As above, of the calling thread alone: regions of different threads count no energy twice. To be ended by the same
 * thread. */
int carnot_region_begin_thread(struct carnot *carnot, const char *name, struct carnot_region **ret_region);

/* Ends the region. `ret_result` may be NULL; else it gets what is known at once, which for a short region is its times
 * only: see carnot_region_read(). Never waits for the agent. -EALREADY: it was ended before; -EINVAL: a region of
 * another thread, or ret_result->size is not set; -ECHILD. */
int carnot_region_end(struct carnot_region *region, struct carnot_result *ret_result);

/* The figures of a region, ended or not. Waits until they are complete or `timeout_ms` have passed (0: does not wait;
 * a region that has not ended is never complete, so there is no wait for it either). An ended region is complete when
 * the slot in which it ended is over and the agent has told of it: 1 to 2 s later at most.
 * 1: complete. 0: not (yet) complete, what is known so far was written; -ENOTCONN: not complete in time, since the
 * agent cannot be reached (only with a timeout); -EINVAL: ret_result->size is not set; -ECHILD. */
int carnot_region_read(struct carnot_region *region, uint32_t timeout_ms, struct carnot_result *ret_result,
                       struct carnot_error *error);

/* The same figures by domain: writes at most `room` (of `size` bytes each: sizeof(struct carnot_domain)) and returns
 * how many there are. -EINVAL, -ECHILD. */
int carnot_region_domains(struct carnot_region *region, struct carnot_domain *ret_domains, size_t room, size_t size);

/* The name it was begun with; lives as long as the region. */
const char *carnot_region_name(const struct carnot_region *region);

/* Frees a region, ended or not. NULL is fine; returns NULL. */
struct carnot_region *carnot_region_free(struct carnot_region *region);

/* Asks the agent one request of its protocol (one line of JSON, docs/PROTOCOL.md) and gives its answer, errors of the
 * agent's included, as a NUL-terminated line of JSON to be freed with free(). On a connection of its own, so not for
 * sessions. Waits for at most `timeout_ms`. -ENOTCONN: no agent; -ETIMEDOUT; -EINVAL: more than one line; -EPROTO: more
 * than 16 MiB; -ENOMEM. Thread-safe; the handle only tells where the agent is. */
int carnot_request(struct carnot *carnot, const char *request, uint32_t timeout_ms, char **ret_answer,
                   struct carnot_error *error);

#ifdef __cplusplus
}
#endif

#endif
