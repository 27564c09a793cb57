/* SPDX-License-Identifier: Apache-2.0 */
/* DCMI for ipmi_sim, which has none of its own: a module for its `loadlib`. Answers Get DCMI Capabilities and Get Power
 * Reading with what the file named in loadlib's options says at that moment, one "key value" per line:
 *
 *     watts 250       minimum 90     maximum 400    average 245
 *     state 64        the last byte of the answer; 64 (bit 6): power measurement is active
 *     stamp 0         the BMC's time of the sample; 0: now
 *     period 1000     statistics reporting period in ms
 *     completion 193  completion code of the power reading (0xC1)
 *     length 19       answer so many bytes, completion code included
 *
 * Simulated hardware: the figures are the script's. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <OpenIPMI/mcserv.h>

#define GROUP_DCMI       0xDC
#define CMD_CAPABILITIES 0x01
#define CMD_POWER        0x02

enum key { WATTS, MINIMUM, MAXIMUM, AVERAGE, STATE, STAMP, PERIOD, COMPLETION, LENGTH, KEYS };

static const char *const names[KEYS] = {"watts", "minimum", "maximum",    "average", "state",
                                        "stamp", "period",  "completion", "length"};

static char script_path[512];

int ipmi_sim_module_print_version(sys_data_t *sys, const char *options);
int ipmi_sim_module_init(sys_data_t *sys, const char *options);

static void read_script(unsigned long *values)
{
    char line[128];
    FILE *file = fopen(script_path, "re");

    while (file && fgets(line, sizeof(line), file)) {
        char *value = strchr(line, ' ');

        for (int key = 0; value && key < KEYS; key++)
            if (strlen(names[key]) == (size_t)(value - line) && strncmp(line, names[key], strlen(names[key])) == 0)
                values[key] = strtoul(value, NULL, 0);
    }
    if (file)
        fclose(file);
}

static void put(unsigned char *out, unsigned long value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        out[i] = (unsigned char)(value >> (8 * i));
}

/* DCMI 1.5, power management supported. */
static void answer_capabilities(unsigned char *out, unsigned int *len)
{
    static const unsigned char data[] = {0, GROUP_DCMI, 1, 5, 2, 0, 1, 0};

    memcpy(out, data, sizeof(data));
    *len = sizeof(data);
}

static void answer_power(unsigned char *out, unsigned int *len)
{
    unsigned long v[KEYS] = {[STATE] = 0x40, [PERIOD] = 1000, [LENGTH] = 19};

    read_script(v);
    out[0] = (unsigned char)v[COMPLETION];
    if (out[0]) {
        *len = 1;
        return;
    }
    out[1] = GROUP_DCMI;
    put(out + 2, v[WATTS], 2);
    put(out + 4, v[MINIMUM], 2);
    put(out + 6, v[MAXIMUM], 2);
    put(out + 8, v[AVERAGE], 2);
    put(out + 10, v[STAMP] ? v[STAMP] : (unsigned long)time(NULL), 4);
    put(out + 14, v[PERIOD], 4);
    out[18] = (unsigned char)v[STATE];
    *len = (unsigned int)(v[LENGTH] >= 1 && v[LENGTH] <= 19 ? v[LENGTH] : 19);
}

static void handle(lmc_data_t *mc, msg_t *msg, unsigned char *rdata, unsigned int *rdata_len, void *data)
{
    if (msg->cmd == CMD_CAPABILITIES)
        answer_capabilities(rdata, rdata_len);
    else if (msg->cmd == CMD_POWER)
        answer_power(rdata, rdata_len);
    else
        handle_invalid_cmd(mc, rdata, rdata_len);
}

int ipmi_sim_module_print_version(sys_data_t *sys, const char *options)
{
    return 0;
}

int ipmi_sim_module_init(sys_data_t *sys, const char *options)
{
    if (!options || strlen(options) >= sizeof(script_path))
        return 1;
    snprintf(script_path, sizeof(script_path), "%s", options);
    ipmi_emu_register_group_extension_handler(GROUP_DCMI, handle, NULL);
    return 0;
}
