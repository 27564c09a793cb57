/* SPDX-License-Identifier: Apache-2.0 */
/* From files to a time zone's name, and from the name to a country. Knows /etc/timezone, /etc/localtime and the tables
 * of tzdata; refuses to know the TZ variable, offsets and clocks. */
#include "intensity/timezone.h"

#include <errno.h>
#include <stdio.h>

#include "intensity/intensity.h"

/* zone.tab and zone1970.tab are 18 KiB; ten times that is another file. */
#define ZONE_TAB_MAX ((size_t)192 * 1024)

/* What /etc/timezone and a link's target may hold: one name, and comments before it. */
#define TIMEZONE_TEXT_MAX 1024

static bool is_name_char(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '/' || c == '_' ||
           c == '-' || c == '+';
}

/* Names become paths below zoneinfo, so nothing but letters, digits and "/_-+" is taken: no dot, hence no "..". */
static int copy_name(struct text t, char ret_name[TIMEZONE_NAME_MAX])
{
    if (t.n == 0 || t.n >= TIMEZONE_NAME_MAX || t.p[0] == '/' || t.p[t.n - 1] == '/')
        return -EINVAL;
    for (size_t i = 0; i < t.n; i++) {
        if (!is_name_char(t.p[i]))
            return -EINVAL;
    }
    memcpy(ret_name, t.p, t.n);
    ret_name[t.n] = '\0';
    return 0;
}

int timezone_of_text(struct text text, char ret_name[TIMEZONE_NAME_MAX])
{
    struct text line;

    while (scan_line(&text, &line)) {
        line = text_trim(line);
        if (line.n && line.p[0] != '#')
            return copy_name(line, ret_name);
    }
    return -ENODATA;
}

static struct text after_prefix(struct text t, const char *prefix)
{
    size_t n = strlen(prefix);

    return text_starts(t, prefix) ? (struct text){t.p + n, t.n - n} : t;
}

int timezone_of_link(struct text target, char ret_name[TIMEZONE_NAME_MAX])
{
    static const char marker[] = "zoneinfo/";
    const char *at = target.n ? memmem(target.p, target.n, marker, sizeof(marker) - 1) : NULL;

    if (!at)
        return -EINVAL;

    size_t skip = (size_t)(at - target.p) + sizeof(marker) - 1;
    struct text name = {target.p + skip, target.n - skip};
    return copy_name(after_prefix(after_prefix(name, "posix/"), "right/"), ret_name);
}

/* Length of the directory part of a name, with its slash: 3 for "US/Pacific". */
static size_t directory_len(const char *name, size_t len)
{
    while (len && name[len - 1] != '/')
        len--;
    return len;
}

int timezone_of_alias(const char *name, struct text target, char ret_name[TIMEZONE_NAME_MAX])
{
    char joined[TIMEZONE_NAME_MAX];
    size_t dir = directory_len(name, strlen(name));

    if (target.n && target.p[0] == '/')
        return timezone_of_link(target, ret_name);
    while (text_starts(target, "../")) {
        if (dir == 0)
            return -EINVAL;
        dir = directory_len(name, dir - 1);
        target = after_prefix(target, "../");
    }
    if (dir + target.n >= sizeof(joined))
        return -EINVAL;
    snprintf(joined, sizeof(joined), "%.*s%.*s", (int)dir, name, (int)target.n, target.n ? target.p : "");
    return copy_name((struct text){joined, dir + target.n}, ret_name);
}

int timezone_read(const struct carnot_env *env, char ret_name[TIMEZONE_NAME_MAX])
{
    char text[TIMEZONE_TEXT_MAX];

    ssize_t n = fsroot_read(&env->root, "etc/timezone", text, sizeof(text), NULL);
    if (n >= 0 && timezone_of_text((struct text){text, (size_t)n}, ret_name) >= 0)
        return 0;

    n = fsroot_readlink(&env->root, "etc/localtime", text, sizeof(text));
    if (n >= 0 && timezone_of_link((struct text){text, (size_t)n}, ret_name) >= 0)
        return 0;
    return -ENODATA;
}

static bool is_upper(char c)
{
    return c >= 'A' && c <= 'Z';
}

/* Columns, separated by tabs: country codes (joined by commas in zone1970.tab), coordinates, zone name, comment. */
int intensity_country_of_timezone(const char *tab_text, size_t len, const char *tz_name, char ret_iso2[3])
{
    struct text rest = {tab_text, len}, line, codes, coordinates, name;

    while (scan_line(&rest, &line)) {
        if (line.n == 0 || line.p[0] == '#' || !scan_until(&line, '\t', &codes) ||
            !scan_until(&line, '\t', &coordinates) || !scan_until(&line, '\t', &name))
            continue;
        if (!text_is(text_trim(name), tz_name))
            continue;
        if (codes.n < 2 || !is_upper(codes.p[0]) || !is_upper(codes.p[1]) || (codes.n > 2 && codes.p[2] != ','))
            continue;
        ret_iso2[0] = codes.p[0];
        ret_iso2[1] = codes.p[1];
        ret_iso2[2] = '\0';
        return 0;
    }
    return -ENOENT;
}

/* zone1970.tab first: it is the one that tzdata goes on with. It leaves out zones that have agreed with another since
 * 1970 (Europe/Amsterdam); zone.tab has those. */
static int country_in_tables(const struct carnot_env *env, const char *name, char *text, char ret_iso2[3])
{
    static const char *const tables[] = {"usr/share/zoneinfo/zone1970.tab", "usr/share/zoneinfo/zone.tab"};

    for (size_t i = 0; i < ELEMENTSOF(tables); i++) {
        ssize_t n = fsroot_read(&env->root, tables[i], text, ZONE_TAB_MAX, NULL);
        if (n > 0 && intensity_country_of_timezone(text, (size_t)n, name, ret_iso2) >= 0)
            return 0;
    }
    return -ENOENT;
}

static int follow_alias(const struct carnot_env *env, const char *name, char ret_name[TIMEZONE_NAME_MAX])
{
    static const char zoneinfo[] = "usr/share/zoneinfo/";
    char path[sizeof(zoneinfo) + TIMEZONE_NAME_MAX];
    char target[TIMEZONE_TEXT_MAX];
    size_t len = strlen(name);

    if (len >= TIMEZONE_NAME_MAX)
        return -EINVAL;
    memcpy(path, zoneinfo, sizeof(zoneinfo) - 1);
    memcpy(path + sizeof(zoneinfo) - 1, name, len + 1);

    ssize_t n = fsroot_readlink(&env->root, path, target, sizeof(target));
    if (n < 0)
        return (int)n;
    return timezone_of_alias(name, (struct text){target, (size_t)n}, ret_name);
}

int timezone_country(const struct carnot_env *env, const char *name, char ret_iso2[3])
{
    char alias[TIMEZONE_NAME_MAX];
    _cleanup_free_ char *text = malloc(ZONE_TAB_MAX);

    if (!text)
        return -ENOMEM;

    int r = country_in_tables(env, name, text, ret_iso2);
    if (r == -ENOENT && follow_alias(env, name, alias) >= 0)
        r = country_in_tables(env, alias, text, ret_iso2);
    return r;
}
