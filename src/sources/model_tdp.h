/* SPDX-License-Identifier: Apache-2.0 */
/* Settings and formula of the power model, for its option table and its tests. */
#ifndef CARNOT_SOURCES_MODEL_TDP_H
#define CARNOT_SOURCES_MODEL_TDP_H

struct model_tdp_settings {
    double tdp_watts; /* per package; 0: from the table */
    double idle_ratio;
    double gamma;
    double memory_watts_per_gb;
};

/* P = idle + (full - idle) * u^gamma, in watts; u is held to 0..1. */
double model_power_w(double idle_w, double full_w, double gamma, double u);

/* The same with idle = r * TDP and full = TDP. */
double model_tdp_power_w(double tdp_w, double idle_ratio, double gamma, double u);

#endif
