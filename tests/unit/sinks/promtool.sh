#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Has Prometheus' own tool judge the names, types and help texts of the exposition. $1: test_prometheus.
set -eu
if ! command -v promtool >/dev/null 2>&1; then
    echo "skipped: promtool is not installed (Debian package prometheus)"
    exit 77
fi
"$1" --print text | promtool check metrics
