/* SPDX-License-Identifier: Apache-2.0 */
/* Functions that this project does not call, each with what to use instead. Included before every file by the build. */
#ifndef CARNOT_BASE_BANNED_H
#define CARNOT_BASE_BANNED_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define BANNED(func, instead) func##_is_banned_use_##instead

#undef strcpy
#define strcpy(d, s) BANNED(strcpy, arena_strdup)
#undef strcat
#define strcat(d, s) BANNED(strcat, buf_puts)
#undef strncpy
#define strncpy(d, s, n) BANNED(strncpy, memcpy_or_snprintf)
#undef strncat
#define strncat(d, s, n) BANNED(strncat, buf_append)
#undef strtok
#define strtok(s, d) BANNED(strtok, scan_word)
#undef sprintf
#define sprintf(...) BANNED(sprintf, snprintf_or_buf)
#undef vsprintf
#define vsprintf(...) BANNED(vsprintf, vsnprintf)
#undef sscanf
#define sscanf(...) BANNED(sscanf, parse_h)
#undef atoi
#define atoi(s) BANNED(atoi, parse_u64)
#undef atof
#define atof(s) BANNED(atof, parse_f64)
#undef system
#define system(s) BANNED(system, posix_spawn)
#undef popen
#define popen(s, m) BANNED(popen, posix_spawn)
#undef gmtime
#define gmtime(t) BANNED(gmtime, gmtime_r)
#undef localtime
#define localtime(t) BANNED(localtime, localtime_r)

#endif
