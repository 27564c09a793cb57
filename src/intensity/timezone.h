/* SPDX-License-Identifier: Apache-2.0 */
/* The machine's time zone by name ("Europe/Paris"), as its files under /etc tell it. Inner header of intensity/. */
#ifndef CARNOT_INTENSITY_TIMEZONE_H
#define CARNOT_INTENSITY_TIMEZONE_H

#include "base/fsroot.h"
#include "base/parse.h"

/* The longest name in tzdata has 32 characters ("America/Argentina/ComodRivadavia"). */
#define TIMEZONE_NAME_MAX 48

/* A zone name out of the contents of /etc/timezone: its first line that is neither blank nor a '#' comment. 0, -ENODATA
 * when there is none, -EINVAL when it is no zone name. */
int timezone_of_text(struct text text, char ret_name[TIMEZONE_NAME_MAX]);

/* A zone name out of the target of the /etc/localtime link: what follows "zoneinfo/", without "posix/" or "right/".
 * -EINVAL when there is none. */
int timezone_of_link(struct text target, char ret_name[TIMEZONE_NAME_MAX]);

/* The name a zone's own file in zoneinfo links to: ("US/Pacific", "../America/Los_Angeles") gives
 * "America/Los_Angeles". -EINVAL when it leads out of zoneinfo. */
int timezone_of_alias(const char *name, struct text target, char ret_name[TIMEZONE_NAME_MAX]);

/* etc/timezone, then etc/localtime, below env->root. 0, or -ENODATA when neither tells a name. TZ is not looked at: it
 * says where a user wants to be, not where the machine stands. */
int timezone_read(const struct carnot_env *env, char ret_name[TIMEZONE_NAME_MAX]);

/* Country (ISO 3166-1 alpha-2) of a zone by the tables in usr/share/zoneinfo below env->root; an old name that is a
 * link there is followed. 0 or -ENOENT (UTC and the like have none; so has every zone when tzdata is not installed). */
int timezone_country(const struct carnot_env *env, const char *name, char ret_iso2[3]);

#endif
