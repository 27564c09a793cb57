/* SPDX-License-Identifier: Apache-2.0 */
/* How the BMC is reached: options of our own, or the configuration file of a CEEMS exporter, made into one form.
 * Knows files, the environment's variables and who may read a password; asks nobody on the network. */
#ifndef CARNOT_SOURCES_REDFISH_CONFIG_H
#define CARNOT_SOURCES_REDFISH_CONFIG_H

#include "base/arena.h"
#include "base/fsroot.h"
#include "base/option.h"

/* What the option table fills. */
struct redfish_settings {
    const char *url, *user, *password_file;
    bool session;
    const char *ca_file, *cert_file, *key_file;
    bool insecure;
    const char *proxy;
    uint64_t timeout_ns, interval_ns;
    struct option_list chassis;
    const char *config_file;
    bool expand_env;
};

#define REDFISH_OPTIONS 14
extern const struct carnot_option redfish_options[REDFISH_OPTIONS];
extern struct redfish_settings redfish_default_settings;

struct redfish_config {
    struct arena arena; /* owns the strings */
    const char *base;   /* what stands before "/redfish/v1": "https://bmc-7:443" */
    const char *target; /* the BMC itself, where `base` is a proxy of such; NULL */
    const char *user;   /* NULL: nobody logs in */
    const char *password;
    bool session; /* else basic authentication */
    const char *ca_file, *cert_file, *key_file;
    bool insecure;
    const char *proxy; /* of HTTP; NULL */
    bool proxy_from_env;
    uint64_t timeout_ns, interval_ns;
    const struct option_list *chassis; /* the settings' own */
};

/* The address of this machine's BMC as text, for a configuration that names none. -ENODEV when it cannot be known. */
typedef int (*redfish_address_fn)(const struct carnot_env *env, unsigned device, char *ret, size_t size,
                                  struct carnot_err *err);

/* -ENODEV with the way to configure it when nothing is set; -EINVAL, -ENOENT, ... with the option, or FILE:LINE. With
 * find_address NULL a BMC without a name is let pass, with an empty base. */
int redfish_config_load(const struct redfish_settings *settings, const struct carnot_env *env,
                        redfish_address_fn find_address, struct redfish_config *ret_config, struct carnot_err *err);
void redfish_config_done(struct redfish_config *config); /* leaves no password in memory that was ours */

/* Reads a secret's file: one line, at most 1 KiB, that nobody but its owner (root or we) and its group can read. */
int redfish_read_secret(const char *path, struct arena *arena, const char **ret_secret, struct carnot_err *err);

#endif
