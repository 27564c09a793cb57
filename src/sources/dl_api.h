/* SPDX-License-Identifier: Apache-2.0 */
/* Moved to base/dl_api.h, since net needs it too; for those who know it here. */
#ifndef CARNOT_SOURCES_DL_API_H
#define CARNOT_SOURCES_DL_API_H

#include "base/dl_api.h"

#endif
