/* SPDX-License-Identifier: Apache-2.0 */
/* Reads Accept and Accept-Encoding (RFC 9110 12.5): comma-separated names with parameters, of which q counts. Knows
 * names and wildcards; refuses to know what a format is, and has no opinion on which to send. */
#include <strings.h>

#include "base/parse.h"
#include "net/http_server.h"

/* How closely an entry names the token. */
enum match { MATCH_NONE, MATCH_ANY, MATCH_TYPE, MATCH_NAME };

static bool same_ignoring_case(struct text t, const char *s, size_t n)
{
    return t.n == n && strncasecmp(t.p, s, n) == 0;
}

static enum match match_name(struct text name, const char *token)
{
    const char *slash = strchr(token, '/');

    if (same_ignoring_case(name, token, strlen(token)))
        return MATCH_NAME;
    if (slash && name.n >= 2 && name.p[name.n - 1] == '*' && name.p[name.n - 2] == '/' &&
        same_ignoring_case((struct text){name.p, name.n - 1}, token, (size_t)(slash - token) + 1))
        return MATCH_TYPE;
    return text_is(name, slash ? "*/*" : "*") ? MATCH_ANY : MATCH_NONE;
}

/* qvalue: "0", "0.5", "1.000". A larger one is no q: the entry is passed over. */
static bool parse_q(struct text t, double *ret_q)
{
    double q;

    if (t.n == 0 || t.n > 5 || t.p[0] < '0' || t.p[0] > '1' || parse_f64(t, &q) < 0 || q > 1)
        return false;
    *ret_q = q;
    return true;
}

/* One entry: "name;param=value;q=0.5". False when its q cannot be read. */
static bool read_entry(struct text entry, struct text *ret_name, double *ret_q)
{
    struct text name = {0}, param;
    double q = 1;

    scan_until(&entry, ';', &name);
    while (scan_until(&entry, ';', &param)) {
        struct text key = {0};

        scan_until(&param, '=', &key);
        if (same_ignoring_case(text_trim(key), "q", 1) && !parse_q(text_trim(param), &q))
            return false;
    }
    *ret_name = text_trim(name);
    *ret_q = q;
    return true;
}

static double accept_q(const char *header, const char *token, enum match least)
{
    struct text rest = header ? text_of(header) : (struct text){0};
    struct text entry, name;
    enum match best = MATCH_NONE;
    double best_q = 0, q;

    while (scan_until(&rest, ',', &entry)) {
        if (!read_entry(entry, &name, &q))
            continue;

        enum match match = match_name(name, token);
        if (match < least || match < best || match == MATCH_NONE)
            continue;
        /* The same name twice (two versions of a format): the better liked one. */
        if (match > best || q > best_q)
            best_q = q;
        best = match;
    }
    return best_q;
}

double http_accept_q(const char *header, const char *token)
{
    return accept_q(header, token, MATCH_ANY);
}

double http_accept_named_q(const char *header, const char *token)
{
    return accept_q(header, token, MATCH_NAME);
}
