/* SPDX-License-Identifier: Apache-2.0 */
/* The calibration of this machine, found and read: where it is, whether it may be used, and if not, why. What it is
 * used for is the business of meter/energy and of the models. */
#ifndef CARNOT_METER_CALIBRATION_FILE_H
#define CARNOT_METER_CALIBRATION_FILE_H

#include "base/buf.h"
#include "base/fsroot.h"
#include "model/calibration.h"

/* Below --path.rootfs. */
#define CALIBRATION_DEFAULT_DIR  "var/lib/carnot"
#define CALIBRATION_DEFAULT_FILE CALIBRATION_DEFAULT_DIR "/calibration.json"

#define CALIBRATION_NONE "none" /* as the setting: use no file */

struct calibration_file {
    struct calibration *calibration; /* NULL: there is none, or it may not be used */
    char *path;                      /* for messages; NULL with the setting "none" */
    char why[CARNOT_ERR_MSG_MAX];    /* a file that is there may not be used; "" */
};

/* Path of the default file, the caller's to free; NULL: out of memory. */
char *calibration_default_path(const struct carnot_env *env);

/* `setting`: a path, "" or NULL for the default file, or "none". A default file that is not there is no error, and one
 * that is wrong or of another machine is left alone, with the reason in `why`; a path that the user gave is an error in
 * each of these cases. */
int calibration_file_load(const struct carnot_env *env, const struct topology *topology, const char *setting,
                          struct calibration_file *ret_file, struct carnot_err *err);
void calibration_file_done(struct calibration_file *file);

/* One line, without the newline: "PATH (rapl, 2026-06-14T10:15:00Z)", "not used: WHY", "none (PATH is not there)". */
void calibration_file_describe(const struct calibration_file *file, struct buf *out);

#endif
