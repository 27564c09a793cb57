/* SPDX-License-Identifier: Apache-2.0 */
/* The public functions: what crosses the border of the library, and the one lock. The ledger shares energy out, the
 * follower asks the agent. Nothing here waits for the agent but carnot_open(), carnot_close(), carnot_request() and
 * carnot_region_read(). */
#include <carnot/carnot.h>

#include <errno.h>

#include "lib/follower.h"

#define SOCKET_DEFAULT "/run/carnot/carnot.sock"

/* Regions that wait for figures: those begun and not ended, and those ended in the last two slots. The follower goes
 * through all of them once in a slot: some 10 ms of CPU time at this number. */
#define REGIONS_MAX 65536

#define NAME_MAX_BYTES 64

/* An answer about one process takes a kilobyte, a snapshot of 10,000 units some 3 MB. */
#define REQUEST_ANSWER_MAX ((size_t)16 << 20)

struct carnot_region {
    struct ledger_region ledger;
    struct carnot *carnot;
    struct carnot_region *next, *prev; /* all of the handle's */
    int thread;                        /* of_thread: the thread that began it */
    char name[NAME_MAX_BYTES];
    uint64_t energy_uj[]; /* the ledger's */
};

struct carnot {
    struct follower follower;
    struct carnot_region *regions;
    pid_t pid; /* the process that opened it */
};

static struct carnot_region *free_region(struct carnot_region *region);

static int tell(struct carnot_error *error, int code, const char *sentence)
{
    if (error) {
        error->code = code;
        snprintf(error->message, sizeof error->message, "%s", sentence);
    }
    return -code;
}

static bool is_child(const struct carnot *carnot)
{
    return carnot->pid != getpid();
}

/* --- The handle --------------------------------------------------------------------------------------------------- */

const char *carnot_version(void)
{
    return CARNOT_VERSION;
}

const char *carnot_quality_name(uint32_t quality)
{
    return quality <= QUALITY_DEFAULT ? quality_name((enum quality)quality) : "unknown";
}

int carnot_open(const char *socket_path, struct carnot **ret_carnot, struct carnot_error *error)
{
    struct carnot_err err = CARNOT_ERR_INIT;
    struct carnot *carnot = calloc(1, sizeof *carnot);

    if (!carnot)
        return tell(error, ENOMEM, "out of memory");
    carnot->pid = getpid();
    int r = follower_start(&carnot->follower, socket_path ? socket_path : SOCKET_DEFAULT, &err);
    if (r < 0) {
        free(carnot);
        return tell(error, -r, err.msg);
    }
    *ret_carnot = carnot;
    return 0;
}

struct carnot *carnot_close(struct carnot *carnot)
{
    if (!carnot)
        return NULL;
    /* After a fork the thread is not there, and its lock may be held for ever: the child only leaves the memory. */
    if (is_child(carnot))
        return NULL;
    follower_stop(&carnot->follower);
    while (carnot->regions)
        free_region(carnot->regions);
    follower_done(&carnot->follower);
    free(carnot);
    return NULL;
}

int carnot_request(struct carnot *carnot, const char *request, uint32_t timeout_ms, char **ret_answer,
                   struct carnot_error *error)
{
    struct carnot_err err = CARNOT_ERR_INIT;
    int r = follower_ask(carnot->follower.path, request, timeout_ms * NS_PER_MS, REQUEST_ANSWER_MAX, ret_answer, &err);

    return r < 0 ? tell(error, -r, err.msg) : 0;
}

/* --- Regions ------------------------------------------------------------------------------------------------------ */

static int new_region(struct carnot *carnot, const char *name, struct carnot_region **ret_region)
{
    size_t n_domains = follower_domains(&carnot->follower);
    struct carnot_region *region = calloc(1, sizeof *region + n_domains * sizeof region->energy_uj[0]);

    if (!region)
        return -ENOMEM;
    region->ledger.n_domains = n_domains;
    region->ledger.energy_uj = region->energy_uj;
    snprintf(region->name, sizeof region->name, "%s", name ? name : "");
    *ret_region = region;
    return 0;
}

static int begin(struct carnot *carnot, const char *name, bool of_thread, struct carnot_region **ret_region)
{
    struct carnot_region *region;
    clockid_t clock = 0;
    int r;

    if (is_child(carnot))
        return -ECHILD;
    if (of_thread && pthread_getcpuclockid(pthread_self(), &clock) != 0)
        return -EINVAL;
    r = new_region(carnot, name, &region);
    if (r < 0)
        return r;
    region->carnot = carnot;
    region->thread = clock;

    pthread_mutex_lock(&carnot->follower.lock);
    r = carnot->follower.ledger.n_regions >= REGIONS_MAX ? -ENOBUFS : 0;
    if (r == 0)
        r = ledger_begin(&carnot->follower.ledger, &region->ledger, of_thread ? &region->thread : NULL);
    if (r == 0) {
        region->next = carnot->regions;
        if (carnot->regions)
            carnot->regions->prev = region;
        carnot->regions = region;
        follower_wake(&carnot->follower);
    }
    pthread_mutex_unlock(&carnot->follower.lock);
    if (r < 0) {
        free(region);
        return r;
    }
    *ret_region = region;
    return 0;
}

int carnot_region_begin(struct carnot *carnot, const char *name, struct carnot_region **ret_region)
{
    return begin(carnot, name, false, ret_region);
}

int carnot_region_begin_thread(struct carnot *carnot, const char *name, struct carnot_region **ret_region)
{
    return begin(carnot, name, true, ret_region);
}

static bool is_of_another_thread(const struct carnot_region *region)
{
    clockid_t clock;

    return region->ledger.of_thread && (pthread_getcpuclockid(pthread_self(), &clock) != 0 || clock != region->thread);
}

/* With the lock held. */
static void fill(const struct carnot_region *region, struct carnot_result *out)
{
    const struct ledger *ledger = &region->carnot->follower.ledger;
    const struct ledger_region *r = &region->ledger;
    uint64_t end_ns = r->ended ? r->end_mono_ns : ledger->clocks->mono_ns(ledger->clocks->userdata);
    bool bounded = r->complete && !r->gap;
    struct carnot_result result = {
        .size = out->size,
        .flags = (r->complete ? CARNOT_COMPLETE : 0) | (r->gap ? CARNOT_GAP : 0),
        .duration_ns = end_ns - r->begin_mono_ns,
        .cpu_ns = ledger_region_cpu_ns(ledger, r),
        .energy_uj = r->total_uj,
        .energy_low_uj = r->low_uj - min_u64(r->quanta_uj, r->low_uj),
        .energy_high_uj = bounded ? r->high_uj + r->quanta_uj : CARNOT_NO_BOUND,
        .covered_ns = r->covered_ns,
        .quality = r->any_quality ? r->quality : CARNOT_QUALITY_UNKNOWN,
        .domains = (uint32_t)r->n_domains,
    };

    memcpy(out, &result, min_size(out->size, sizeof result));
}

/* What CARNOT_0.1 has; a program that knows more fields than we do gets these. */
static bool is_sized(const struct carnot_result *result)
{
    return result->size >= offsetof(struct carnot_result, domains) + sizeof result->domains;
}

int carnot_region_end(struct carnot_region *region, struct carnot_result *ret_result)
{
    struct carnot *carnot = region->carnot;

    if (is_child(carnot))
        return -ECHILD;
    if ((ret_result && !is_sized(ret_result)) || is_of_another_thread(region))
        return -EINVAL;
    pthread_mutex_lock(&carnot->follower.lock);
    int r = ledger_end(&carnot->follower.ledger, &region->ledger);
    if (r == 0 && ret_result)
        fill(region, ret_result);
    pthread_mutex_unlock(&carnot->follower.lock);
    return r;
}

int carnot_region_read(struct carnot_region *region, uint32_t timeout_ms, struct carnot_result *ret_result,
                       struct carnot_error *error)
{
    struct carnot *carnot = region->carnot;
    struct carnot_err err = CARNOT_ERR_INIT;
    int r = 0;

    if (is_child(carnot))
        return tell(error, ECHILD, "this handle is of the parent process: open one in the child");
    if (!is_sized(ret_result))
        return tell(error, EINVAL, "the result's size is not set: begin with CARNOT_RESULT_INIT");
    pthread_mutex_lock(&carnot->follower.lock);
    if (timeout_ms > 0 && region->ledger.ended)
        r = follower_wait(&carnot->follower, &region->ledger.complete, timeout_ms * NS_PER_MS, &err);
    if (r >= 0)
        fill(region, ret_result);
    bool complete = region->ledger.complete;
    pthread_mutex_unlock(&carnot->follower.lock);
    return r < 0 ? tell(error, -r, err.msg) : complete;
}

int carnot_region_domains(struct carnot_region *region, struct carnot_domain *ret_domains, size_t room, size_t size)
{
    struct carnot *carnot = region->carnot;
    size_t n = region->ledger.n_domains;

    if (is_child(carnot))
        return -ECHILD;
    if (size != sizeof(struct carnot_domain))
        return -EINVAL;
    pthread_mutex_lock(&carnot->follower.lock);
    for (size_t i = 0; i < min_size(n, room); i++) {
        const struct figures_domain *domain = &carnot->follower.ledger.domains[i].domain;

        ret_domains[i] = (struct carnot_domain){
            .energy_uj = region->energy_uj[i], .quality = domain->quality, .in_total = domain->in_total};
        snprintf(ret_domains[i].name, sizeof ret_domains[i].name, "%s", domain->name);
        snprintf(ret_domains[i].kind, sizeof ret_domains[i].kind, "%s", domain->kind);
    }
    pthread_mutex_unlock(&carnot->follower.lock);
    return (int)n;
}

const char *carnot_region_name(const struct carnot_region *region)
{
    return region->name;
}

/* With the lock held, or the follower stopped. */
static struct carnot_region *free_region(struct carnot_region *region)
{
    struct carnot *carnot = region->carnot;

    ledger_drop(&carnot->follower.ledger, &region->ledger);
    if (region->prev)
        region->prev->next = region->next;
    else
        carnot->regions = region->next;
    if (region->next)
        region->next->prev = region->prev;
    free(region);
    return NULL;
}

struct carnot_region *carnot_region_free(struct carnot_region *region)
{
    struct carnot *carnot = region ? region->carnot : NULL;

    if (!region || is_child(carnot))
        return NULL;
    pthread_mutex_lock(&carnot->follower.lock);
    free_region(region);
    pthread_mutex_unlock(&carnot->follower.lock);
    return NULL;
}
