/* SPDX-License-Identifier: Apache-2.0 */
/* What `carnot calibrate` tells: watts by domain and of the node, and how they were got. Text only. */
#ifndef CARNOT_CLI_CALIBRATE_REPORT_H
#define CARNOT_CLI_CALIBRATE_REPORT_H

#include "cli/calibrate.h"
#include "cli/text.h"

#define CALIBRATE_IDLE_ADVISED_NS (10ULL * 1000000000)
#define CALIBRATE_LOAD_ADVISED_NS (20ULL * 1000000000)

struct calibrate_report {
    const struct calibrate_result *result; /* of figures of a model only its calibration is looked at */
    const char *path;                      /* of the file written */
    const char *format;
    const char *hint; /* what to do with it; "" */
};

/* 0 or -errno. */
int calibrate_report_text(const struct calibrate_report *report, struct text_style style, struct buf *out);
/* One line. Loaded power that is not believed is null, with what was read beside it. */
int calibrate_report_json(const struct calibrate_report *report, struct buf *out);

#endif
