/* SPDX-License-Identifier: Apache-2.0 */
/* Requests per second and user: a token bucket of one second's worth for each uid. */
#ifndef CARNOT_NET_LINE_LIMIT_H
#define CARNOT_NET_LINE_LIMIT_H

#include "base/util.h"

/* Users that asked within the last second; more than this are not told apart exactly. */
#define LINE_LIMIT_USERS 256

/* One user's allowance, as the time until which it is used up: a request moves it on by 1/rate, and it may be up to a
 * second ahead. 0: free entry. */
struct line_bucket {
    uint32_t uid;
    uint64_t used_until_ns;
};

struct line_limit {
    struct line_bucket buckets[LINE_LIMIT_USERS];
};

/* False when the user has had its requests of this second; root always may. */
bool line_limit_take(struct line_limit *limit, uint32_t uid, unsigned per_s, uint64_t now_ns);

#endif
