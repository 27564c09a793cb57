/* SPDX-License-Identifier: Apache-2.0 */
/* See line_limit.h. */
#include "net/line_limit.h"

#include "base/clock.h"

/* An entry whose time has passed is as good as none, so that a user who leaves and returns gains nothing. When all are
 * in use the one with most left is taken over: its user gets up to a second's allowance too much. */
static struct line_bucket *bucket_of(struct line_limit *limit, uint32_t uid)
{
    struct line_bucket *spare = &limit->buckets[0];

    for (size_t i = 0; i < LINE_LIMIT_USERS; i++) {
        struct line_bucket *bucket = &limit->buckets[i];

        if (bucket->used_until_ns && bucket->uid == uid)
            return bucket;
        if (bucket->used_until_ns < spare->used_until_ns)
            spare = bucket;
    }
    *spare = (struct line_bucket){.uid = uid};
    return spare;
}

bool line_limit_take(struct line_limit *limit, uint32_t uid, unsigned per_s, uint64_t now_ns)
{
    if (uid == 0)
        return true;

    struct line_bucket *bucket = bucket_of(limit, uid);
    uint64_t step = NS_PER_SEC / per_s;
    uint64_t used = max_u64(bucket->used_until_ns, now_ns);
    if (used + step > now_ns + NS_PER_SEC)
        return false;
    bucket->used_until_ns = used + step;
    return true;
}
