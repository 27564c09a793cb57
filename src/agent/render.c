/* SPDX-License-Identifier: Apache-2.0 */
/* See render.h. */
#include "agent/render.h"

#include <errno.h>
#include <pthread.h>

#include "net/gzip.h"

/* Per variant: one being read by fast scrapers, one new, two that slow readers hold. With all held, scrapers get the
 * newest that there is. */
#define SLOTS 4

/* Scrapers get a new batch at most this often, however short the windows. */
#define SLOT_NS NS_PER_SEC

enum { VARIANTS = 4 }; /* two formats, plain and gzip */

struct render {
    struct renders *owner;
    struct buf buf;
    uint64_t seq; /* 0: empty */
    unsigned refs;
};

struct renders {
    struct meter *meter;
    struct prometheus_options options;
    pthread_mutex_t lock;
    struct batch
        *slot_batch; /* what scrapers get: moves on once a second at most (DESIGN: finer readings leak secrets) */
    struct gzip *gzip;
    struct buf plain; /* before compression */
    struct render slots[VARIANTS][SLOTS];
};

int renders_new(struct meter *meter, const struct prometheus_options *options, struct renders **ret_renders)
{
    struct renders *renders = calloc(1, sizeof *renders);

    if (!renders)
        return -ENOMEM;
    if (gzip_new(&renders->gzip) < 0) {
        free(renders);
        return -ENOMEM;
    }
    renders->meter = meter;
    renders->options = *options;
    pthread_mutex_init(&renders->lock, NULL);
    buf_init(&renders->plain, PROMETHEUS_BYTES_MAX);
    for (size_t v = 0; v < VARIANTS; v++) {
        for (size_t s = 0; s < SLOTS; s++) {
            renders->slots[v][s].owner = renders;
            buf_init(&renders->slots[v][s].buf, PROMETHEUS_BYTES_MAX);
        }
    }
    *ret_renders = renders;
    return 0;
}

struct renders *renders_free(struct renders *renders)
{
    if (!renders)
        return NULL;
    for (size_t v = 0; v < VARIANTS; v++)
        for (size_t s = 0; s < SLOTS; s++)
            buf_done(&renders->slots[v][s].buf);
    batch_unref(renders->slot_batch);
    buf_done(&renders->plain);
    gzip_free(renders->gzip);
    pthread_mutex_destroy(&renders->lock);
    free(renders);
    return NULL;
}

/* The batch of the current slot, with a reference for the caller; NULL before the first. Under lock. */
static struct batch *batch_of_slot(struct renders *renders)
{
    struct batch *latest = meter_latest(renders->meter);

    if (latest &&
        (!renders->slot_batch || latest->end.mono_ns / SLOT_NS != renders->slot_batch->end.mono_ns / SLOT_NS)) {
        batch_unref(renders->slot_batch);
        renders->slot_batch = batch_ref(latest);
    }
    batch_unref(latest);
    return renders->slot_batch ? batch_ref(renders->slot_batch) : NULL;
}

static int fill(struct renders *renders, struct render *slot, const struct batch *batch, enum prometheus_format format,
                bool gzip, const struct prometheus_options *now)
{
    struct prometheus_options options = renders->options;
    struct buf *plain = gzip ? &renders->plain : &slot->buf;
    int r;

    options.http_requests = now->http_requests;
    options.http_errors = now->http_errors;
    slot->seq = 0;
    buf_reset(&slot->buf);
    buf_reset(plain);
    r = prometheus_write(batch, format, &options, plain);
    if (r >= 0 && gzip)
        r = gzip_append(renders->gzip, plain->data, plain->len, &slot->buf);
    if (r >= 0)
        slot->seq = batch->seq;
    return r;
}

/* The slot to hand out: already of this batch; else a free one, filled; else, with slow readers on all of them, the
 * newest. */
static int choose(struct renders *renders, const struct batch *batch, enum prometheus_format format, bool gzip,
                  const struct prometheus_options *now, struct render **ret_slot)
{
    struct render *slots = renders->slots[(size_t)format * 2 + gzip], *unused = NULL, *newest = NULL;

    for (size_t s = 0; s < SLOTS; s++) {
        if (slots[s].seq == batch->seq) {
            *ret_slot = &slots[s];
            return 0;
        }
        if (slots[s].refs == 0)
            unused = &slots[s];
        else if (!newest || slots[s].seq > newest->seq)
            newest = &slots[s];
    }
    if (!unused) {
        *ret_slot = newest;
        return 0;
    }
    int r = fill(renders, unused, batch, format, gzip, now);
    if (r >= 0)
        *ret_slot = unused;
    return r;
}

int renders_get(struct renders *renders, enum prometheus_format format, bool gzip, const struct prometheus_options *now,
                struct rendered *ret_rendered, struct carnot_err *err)
{
    struct render *slot = NULL;
    struct batch *batch;
    int r;

    pthread_mutex_lock(&renders->lock);
    batch = batch_of_slot(renders);
    if (!batch) {
        pthread_mutex_unlock(&renders->lock);
        return carnot_err_set(err, EAGAIN, "the first window has not ended yet; try again in a second");
    }
    r = choose(renders, batch, format, gzip, now, &slot);
    if (r >= 0) {
        slot->refs++;
        *ret_rendered = (struct rendered){slot->buf.data, slot->buf.len, slot};
        meter_reported(renders->meter, slot->seq);
    }
    pthread_mutex_unlock(&renders->lock);
    batch_unref(batch);
    if (r < 0)
        return carnot_err_set(
            err, -r, "the metrics of this machine do not fit the limit of %u MiB; switch off --collector.processes",
            PROMETHEUS_BYTES_MAX >> 20);
    return 0;
}

void renders_release(void *handle)
{
    struct render *slot = handle;

    pthread_mutex_lock(&slot->owner->lock);
    slot->refs--;
    pthread_mutex_unlock(&slot->owner->lock);
}
