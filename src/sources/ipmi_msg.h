/* SPDX-License-Identifier: Apache-2.0 */
/* IPMI messages as bytes: requests built, answers taken apart (IPMI 2.0 rev. 1.1, DCMI 1.5). Sends nothing; knows
 * neither devices nor networks. An answer is believed only as far as its length and its completion code go. */
#ifndef CARNOT_SOURCES_IPMI_MSG_H
#define CARNOT_SOURCES_IPMI_MSG_H

#include "base/err.h"
#include "base/util.h"

#define IPMI_REQUEST_MAX 8   /* bytes of data; the longest of ours has 6 */
#define IPMI_ANSWER_MAX  272 /* IPMI_MAX_MSG_LENGTH of the kernel: it hands no longer one over */

#define IPMI_UW_PER_W 1000000ULL

/* As a power of 16 bits: no figure, rather than 65 kW. */
#define IPMI_WATTS_NONE 0xFFFF

/* More than this is refused: a wrong scale or a failed bus read, not a machine. 100 kW is near ten times the largest
 * node sold. */
#define IPMI_MAX_UW (100000ULL * 1000000)

struct ipmi_request {
    const char *name; /* as the specification calls it, for messages */
    uint8_t netfn, cmd;
    uint8_t lun; /* of the answering side */
    uint8_t n;
    uint8_t data[IPMI_REQUEST_MAX];
};

struct ipmi_answer {
    size_t n;
    uint8_t data[IPMI_ANSWER_MAX]; /* the completion code comes first */
};

/* What a power reading says, whoever asked. */
struct ipmi_power {
    uint64_t power_uw;                /* never 0 */
    uint64_t min_uw, max_uw, mean_uw; /* over the BMC's statistics period; 0: not told */
    uint64_t period_ms;               /* that period; 0: not told */
    uint64_t stamp;                   /* the same as before: perhaps the same sample; 0: not told */
};

struct ipmi_device_id {
    uint8_t ipmi_major, ipmi_minor;
    uint8_t firmware_major, firmware_minor;
    bool updating;         /* firmware update or self-initialisation in progress: most commands fail */
    bool has_sdr;          /* a repository of sensor data records */
    uint32_t manufacturer; /* IANA enterprise number */
    uint16_t product;
};

struct ipmi_dcmi_info {
    uint8_t major, minor;
    bool power; /* power management is supported */
};

struct ipmi_sdr_info {
    uint16_t records;
    bool reservation; /* Reserve SDR Repository is supported */
};

/* A piece of a sensor data record; `data` points into the answer. */
struct ipmi_sdr_part {
    uint16_t next; /* record after this one; IPMI_SDR_LAST: none */
    const uint8_t *data;
    size_t n;
};

#define IPMI_SDR_FIRST 0x0000
#define IPMI_SDR_LAST  0xFFFF

struct ipmi_request ipmi_ask_power(void);
struct ipmi_request ipmi_ask_dcmi_info(void);
struct ipmi_request ipmi_ask_device_id(void);
struct ipmi_request ipmi_ask_sdr_info(void);
struct ipmi_request ipmi_ask_sdr_reservation(void);
struct ipmi_request ipmi_ask_sdr(uint16_t reservation, uint16_t record, uint8_t offset, uint8_t count);
struct ipmi_request ipmi_ask_sensor(uint8_t lun, uint8_t sensor);
struct ipmi_request ipmi_ask_lan_address(uint8_t channel); /* IPv4 */

/* 0 for success, else what the completion code means here: -EOPNOTSUPP the BMC has no such command; -EAGAIN busy,
 * updating or not in this state; -ETIMEDOUT; -EPERM; -ENODATA no such sensor or record; -ECANCELED the reservation was
 * lost; -EMSGSIZE the length is not liked; -EIO the rest. */
int ipmi_completion_status(uint8_t code);
const char *ipmi_completion_text(uint8_t code);

/* All: the completion code's status; -EPROTO when it is too short or of another group. Outputs only on success. */
int ipmi_parse_power(const struct ipmi_answer *answer, struct ipmi_power *ret); /* -ENODATA: not measuring just now */
int ipmi_parse_dcmi_info(const struct ipmi_answer *answer, struct ipmi_dcmi_info *ret);
int ipmi_parse_device_id(const struct ipmi_answer *answer, struct ipmi_device_id *ret);
int ipmi_parse_sdr_info(const struct ipmi_answer *answer, struct ipmi_sdr_info *ret);
int ipmi_parse_sdr_reservation(const struct ipmi_answer *answer, uint16_t *ret);
int ipmi_parse_sdr(const struct ipmi_answer *answer, struct ipmi_sdr_part *ret);
int ipmi_parse_sensor(const struct ipmi_answer *answer, uint8_t *ret_raw); /* -ENODATA: unavailable, not scanned */
int ipmi_parse_lan_address(const struct ipmi_answer *answer, uint8_t ret_address[4]); /* -ENODATA: none is set */

/* The sentence for a status from one of the above. Returns it. */
int ipmi_explain(const struct ipmi_request *request, const struct ipmi_answer *answer, int status,
                 struct carnot_err *err);

#endif
