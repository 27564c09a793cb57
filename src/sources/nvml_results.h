/* SPDX-License-Identifier: Apache-2.0 */
/* What results of NVIDIA's library mean to us, and what helps. */
#ifndef CARNOT_SOURCES_NVML_RESULTS_H
#define CARNOT_SOURCES_NVML_RESULTS_H

#include "base/err.h"
#include "sources/nvml_abi.h"

int nvml_status(int result);         /* 0 or -errno: -ENODATA, -ENODEV, -EACCES, ... as struct reading has them */
const char *nvml_advice(int result); /* "; do this", or "" */
void nvml_text(const struct nvml_api *api, int result, char *out, size_t size); /* the library's own words, printable */
int nvml_explain(const struct nvml_api *api, int result, const char *what, struct carnot_err *err);

/* A text that the library wrote into a buffer that was cleared before. */
void nvml_copy_text(char *out, size_t size, const char *in);

#endif
