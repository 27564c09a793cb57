/* SPDX-License-Identifier: Apache-2.0 */
/* A Redfish service asked with authentication: sessions made, renewed and ended, or basic authentication; rounds of
 * requests that end in time; a service that is busy or refuses us left alone for a while. Knows HTTP's statuses;
 * refuses to know what a resource says.
 *
 * A wrong password is not tried again and again: BMCs lock accounts for that. */
#ifndef CARNOT_SOURCES_REDFISH_SESSION_H
#define CARNOT_SOURCES_REDFISH_SESSION_H

#include "base/clock.h"
#include "sources/redfish_config.h"
#include "sources/redfish_json.h"

#define REDFISH_ROOT "/redfish/v1/"

/* After a refused login: longer than the usual lock-out windows count (30 s to some minutes). */
#define REDFISH_LOGIN_PAUSE_NS (300 * NS_PER_SEC)

/* Retry-After as believed, and where there is none that can be read. */
#define REDFISH_BUSY_MIN_NS     (1 * NS_PER_SEC)
#define REDFISH_BUSY_MAX_NS     (300 * NS_PER_SEC)
#define REDFISH_BUSY_DEFAULT_NS (10 * NS_PER_SEC)

/* Ending a session, while the program waits to end. */
#define REDFISH_CLOSE_NS (2 * NS_PER_SEC)

struct redfish_service;

/* Asks nothing so far. The config must outlive the service. */
int redfish_service_open(const struct redfish_config *config, struct carnot_clock *clock,
                         struct redfish_service **ret_service, struct carnot_err *err);
/* Ends the session at the BMC too, within REDFISH_CLOSE_NS. NULL-safe, returns NULL. */
struct redfish_service *redfish_service_close(struct redfish_service *service);

/* Begins a round of requests that has budget_ns for all of them together. */
void redfish_service_begin(struct redfish_service *service, uint64_t budget_ns);

/* The resource at a path; *ret_body is valid until the next request. -ENOENT: there is none; -EACCES: not for us;
 * -EAGAIN: busy, it says when to come again; -EIO: its own error; -EPROTO: any other status; -ETIMEDOUT also when the
 * round's time is over before the request; others as http_client_perform(). */
int redfish_service_get(struct redfish_service *service, const char *path, struct text *ret_body,
                        struct carnot_err *err);

/* True when a failure of this round concerns the service and not one resource: further requests are in vain. */
bool redfish_service_is_down(const struct redfish_service *service);
/* That failure again: its code and sentence. */
int redfish_service_why_down(const struct redfish_service *service, struct carnot_err *err);

/* Where sessions are made, as the service root told. */
void redfish_service_set_sessions(struct redfish_service *service, const char *path);

const char *redfish_service_origin(const struct redfish_service *service); /* "https://bmc-7:443", for sentences */

#endif
