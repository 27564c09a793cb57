/* SPDX-License-Identifier: Apache-2.0 */
/* What carnotd serves over HTTP: metrics, landing page, health and readiness. Never touches hardware: only sealed
 * batches. */
#ifndef CARNOT_AGENT_WEB_H
#define CARNOT_AGENT_WEB_H

#include "agent/settings.h"
#include "net/http_server.h"

struct web;

int web_start(const struct agent_settings *settings, struct meter *meter, struct web **ret_web, struct carnot_err *err);
struct web *web_stop(struct web *web);                  /* NULL-safe, returns NULL */
uint16_t web_port(const struct web *web, size_t index); /* bound port of the index-th address */

#endif
