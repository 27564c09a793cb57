/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration file of a CEEMS exporter's Redfish collector, so that a site can move over with it. For
 * redfish_config.c alone, and what both of them need. */
#ifndef CARNOT_SOURCES_REDFISH_CEEMS_H
#define CARNOT_SOURCES_REDFISH_CEEMS_H

#include "sources/redfish_config.h"

/* Fills the config from settings->config_file: key redfish_collector, or redfish_web_config as it was called before. */
int redfish_ceems_load(const struct redfish_settings *settings, const struct carnot_env *env,
                       redfish_address_fn find_address, struct redfish_config *config, struct carnot_err *err);

/* Opens a file that may hold a secret; *ret_exposed: others than its owner and group can read it, or change it. */
int redfish_open_private(const char *path, const char *what, bool *ret_exposed, struct carnot_err *err);
int redfish_explain_exposed(const char *what, const char *path, struct carnot_err *err);

/* Overwrites a text in an arena of ours. NULL-safe. */
void redfish_wipe(const char *secret);

/* Checks a URL and takes it as the base. */
int redfish_set_base(struct redfish_config *config, const char *url, struct carnot_err *err);

/* The URL of the BMC whose address find_address tells; "" when that is NULL. */
int redfish_find_base(struct redfish_config *config, const char *protocol, const char *port,
                      const struct carnot_env *env, redfish_address_fn find_address, const char **ret_url,
                      struct carnot_err *err);

#endif
